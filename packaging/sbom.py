#!/usr/bin/env python3
"""A software bill of materials (CycloneDX 1.5) of what the programs are linked with, from Cargo's own view of it."""
import json
import subprocess

metadata = json.loads(subprocess.run(
    ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"],
    check=True, capture_output=True, text=True).stdout)
packages = {package["id"]: package for package in metadata["packages"]}
nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
SHIPPED = ("tapid", "tapictl", "tapi-sim")

roots = [package["id"] for package in packages.values() if package["name"] in SHIPPED and package["source"] is None]
linked, waiting = set(), list(roots)
while waiting:
    at = waiting.pop()
    if at in linked:
        continue
    linked.add(at)
    for dependency in nodes[at]["deps"]:
        if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
            waiting.append(dependency["pkg"])


def reference(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package):
    entry = {"type": "library", "name": package["name"], "version": package["version"], "bom-ref": reference(package),
             "purl": reference(package)}
    if package["license"]:
        entry["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    return entry


chosen = sorted((packages[at] for at in linked), key=lambda package: (package["name"], package["version"]))
print(json.dumps({
    "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
    "metadata": {"component": {"type": "application", "name": "tapid",
                               "version": next(p["version"] for p in chosen if p["name"] == "tapid")}},
    "components": [component(package) for package in chosen if package["source"] is not None],
    "dependencies": [{"ref": reference(packages[at]),
                      "dependsOn": sorted(reference(packages[d["pkg"]]) for d in nodes[at]["deps"] if d["pkg"] in linked)}
                     for at in sorted(linked)],
}, indent=1))
