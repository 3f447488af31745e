"""What passes. Judgements of what was measured, without a daemon, a modem or a clock, so that they can be tried alone: each takes what
was seen and the limits, and raises `Failed` for what must not be."""
import signals

# What a rig of real modems may be like, unless its [limits] say otherwise: delay each way, longest gap, share of a tone that is missing,
# SINAD of the median and of the worst tenth of a tone, deviation of its level, share of digits, digits nobody sent, share of marks.
RIG = {"delay_ms": 1000, "gap_ms": 200, "missing": 0.1, "sinad_db": 20, "sinad_low_db": 10, "level_db": 6, "dtmf": 0.95, "extra_digits": 2,
       "marks": 0.8}
# Nothing is lost on the way through a simulated network: what is missing there was lost by us.
SIMULATED = {"delay_ms": 350, "gap_ms": 40, "missing": 0.02, "sinad_db": 28, "sinad_low_db": 20, "level_db": 1.5, "dtmf": 1.0,
             "extra_digits": 0, "marks": 1.0}


class Failed(Exception):
    """A scenario saw something that must not be."""


def eased(limits, worst_ms, total_ms, seconds):
    """The limits of a simulated path while the machine was late: by so much at the worst and in all, within so many seconds. The modems, the
    daemon and the telephones all run on it, and what it lost is not the path's. Never wider than those of a rig."""
    if worst_ms < 10:
        return limits
    wider = {"gap_ms": 2 * worst_ms, "delay_ms": 2 * worst_ms, "missing": 2 * total_ms / 1000 / seconds}
    found = {name: min(RIG[name], limits[name] + wider[name]) for name in wider}
    return limits | found | {"sinad_low_db": RIG["sinad_low_db"], "marks": RIG["marks"]}


def tone(way, samples, hz, dbm0, seconds, limits, coded=False):
    """The measures of a tone of so many seconds at a level in what was heard. SINAD is not judged where the path is `coded` by a speech
    codec, which is not made for tones."""
    found = signals.purity(samples, hz)
    if found is None:
        raise Failed(f"{way}: the tone was not heard")
    level, sinad, low = found
    held, count, longest = signals.gaps(samples, hz)
    missing = max(0, round((seconds - held) * 1000))
    measures = {f"{way}_level_db": round(level - dbm0, 1), f"{way}_sinad_db": round(sinad, 1), f"{way}_sinad_low_db": round(low, 1),
                f"{way}_gaps": count, f"{way}_longest_gap_ms": longest, f"{way}_missing_ms": missing}
    if abs(level - dbm0) > limits["level_db"]:
        raise Failed(f"{way}: the level is off: {measures}")
    if not coded and (sinad < limits["sinad_db"] or low < limits["sinad_low_db"]):
        raise Failed(f"{way}: the tone is not clean: {measures}")
    if longest > limits["gap_ms"]:
        raise Failed(f"{way}: the tone has gaps: {measures}")
    # One window at each end lies half in the tone.
    if missing > limits["missing"] * seconds * 1000 + 20:
        raise Failed(f"{way}: {missing} ms of the tone's {seconds} s are missing: {measures}")
    return measures


def digits(way, sent, got, limits):
    """How many of the digits that were sent arrived, and how many arrived that nobody sent."""
    found, extra = signals.hits(sent, got)
    measures = {f"{way}_hit_rate": round(found / len(sent), 3), f"{way}_extra": extra}
    if found / len(sent) < limits["dtmf"]:
        raise Failed(f"{way}: digits were lost: {measures}, {sent} became {got}")
    if extra > limits["extra_digits"]:
        raise Failed(f"{way}: digits that nobody sent: {measures}, {sent} became {got}")
    return measures


def delays(way, found, sent, limits, passes=1):
    """The delays in ms of the marks that were found, of so many that were sent over so many ways: the median and the longest."""
    if len(found) < limits["marks"] * sent:
        raise Failed(f"{way}: {len(found)} of {sent} chirps were found")
    found = sorted(found)
    measures = {f"{way}_ms": round(found[len(found) // 2]), f"{way}_max_ms": round(found[-1])}
    if found[-1] > limits["delay_ms"] * passes:
        raise Failed(f"{way}: it takes too long: {measures}")
    return measures


def ending(mode, right, simulated):
    """A call ended as it must. Of hardware `unknown` is taken too: not every modem tells why, and not every network tells the modem."""
    if mode != right and (simulated or mode != "unknown"):
        raise Failed(f"the call ended as {mode}, not as {right}")
    return mode


def same_line(name, before, after):
    """A line that was away came back as itself: the lines' permanent ids before and after, None for no line."""
    if after is None:
        raise Failed(f"{name} did not come back")
    if after != before:
        raise Failed(f"{name} came back as another line: its id was {before} and is {after}")


def absences(results, known):
    """Scenarios that a rig must be able to try, and did not, become failures, and so do those that it tries although they are said to be
    impossible there. `known` are parts of their names."""
    for result in results:
        excused = any(part in result["name"] for part in known)
        if result["outcome"] == "absent" and not excused:
            result["outcome"], result["text"] = "failed", f"it was not tried: {result['text']}"
        elif result["outcome"] == "passed" and excused:
            result["outcome"], result["text"] = "failed", "it was tried, and is in the list of what cannot be"
    return results
