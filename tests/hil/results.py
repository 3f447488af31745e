"""What a run found: a table for people, JSON for programs, JUnit XML for those who collect test results."""
import json
import xml.etree.ElementTree as xml

# How each outcome is told: a scenario that this rig cannot try is told as such, never left out.
WORDS = {"passed": "ok", "failed": "FAILED", "absent": "not on this rig"}


def brief(measures):
    return ", ".join(f"{name.removesuffix('_ms')} {value}{' ms' if name.endswith('_ms') else ''}"
                     for name, value in measures.items() if value is not None)


def table(results):
    width = max((len(result["name"]) for result in results), default=0)
    lines = []
    for result in results:
        text = result["text"] or brief(result["measures"])
        lines.append(f"{result['name']:<{width}}  {WORDS[result['outcome']]:<15}  {text}")
    return "\n".join(lines)


def summary(results):
    counts = {outcome: sum(result["outcome"] == outcome for result in results) for outcome in WORDS}
    return f"{counts['passed']} passed, {counts['failed']} failed, {counts['absent']} not on this rig"


def write_json(path, facts, results):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(facts | {"results": results}, file, indent=2, default=str)
        file.write("\n")


def write_junit(path, facts, results):
    suite = xml.Element("testsuite", name="hil", tests=str(len(results)), timestamp=facts["began"],
                        failures=str(sum(result["outcome"] == "failed" for result in results)),
                        skipped=str(sum(result["outcome"] == "absent" for result in results)))
    for result in results:
        case = xml.SubElement(suite, "testcase", classname=f"hil.{result['modem']}", name=result["name"],
                              time=f"{result['seconds']:.1f}")
        if result["outcome"] == "failed":
            xml.SubElement(case, "failure", message=result["text"])
        elif result["outcome"] == "absent":
            xml.SubElement(case, "skipped", message=f"not on this rig: {result['text']}")
        if result["measures"]:
            properties = xml.SubElement(case, "properties")
            for name, value in result["measures"].items():
                xml.SubElement(properties, "property", name=name, value=str(value))
    xml.indent(suite)
    xml.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)
