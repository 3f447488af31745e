#!/usr/bin/env python3
"""Calls over real modems, or over simulated ones where there is no rig file: the same scenarios, the same daemon.

Without a rig file (tests/hil/rig.toml) every scenario runs on the simulated exchange, and its name says so. Results: a table, and
below the directory of results results.json, results.xml (JUnit), the daemon's log, and a transcript of each call.
"""
import argparse
import fnmatch
import json
import os
import shutil
import signal
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import bridges  # noqa: E402, F401  (scenarios register themselves)
import judgement  # noqa: E402
import plug  # noqa: E402, F401
import results  # noqa: E402
import rig as rigs  # noqa: E402
from scenarios import ALL  # noqa: E402
from station import Absent, Failed, Refused, Station  # noqa: E402


# A selection that takes less than two minutes on simulated modems, for every change: each family, both directions, each kind of judgement.
SHORT = ["v253: outgoing, answered", "usr5637: incoming, answered", "e1550: busy", "usr5637: tone after the path", "generic: hold and swap",
         "e1550: remote hang-up", "e1550: bridge, SIP to modem", "v253: unplug and replug, connected"]


def cases(rig, only):
    """(name, modem, scenario) of everything there is to try; a scenario without any modem for it has None."""
    word = "simulated: " if rig.simulated else ""
    for name, function, where in ALL:
        modems = [modem for modem in rig.modems if where(modem)] or [None]
        for modem in modems:
            full = f"{word}{modem.name if modem else 'rig'}: {name}"
            if not only or any(fnmatch.fnmatch(full, f"*{pattern}*") for pattern in only):
                yield full, modem, function


def attempt(station, full, modem, function, directory):
    began = time.monotonic()
    outcome, text, measures = "passed", "", {}
    try:
        if modem is None:
            raise Absent("no modem for this scenario")
        if not station.in_service(modem.line):
            reason = station.lines.get(modem.line, {}).get("status", {}).get("reason", "there is no such line")
            raise Failed(f"the line is out of service: {reason}")
        measures = function(station, modem) or {}
    except Absent as absent:
        outcome, text = "absent", str(absent)
    except (Failed, Refused, rigs.BadRig) as failure:
        outcome, text = "failed", str(failure)
    traces = station.traces()
    left = station.clear()
    if left and outcome == "passed":
        outcome, text = "failed", f"calls that did not end: {', '.join(left)}"
    if outcome != "absent":
        safe = "".join(letter if letter.isalnum() else "-" for letter in full)
        with open(os.path.join(directory, "transcripts", f"{safe}.json"), "w", encoding="utf-8") as file:
            json.dump(traces, file, indent=1)
    return {"name": full, "modem": modem.name if modem else "rig", "outcome": outcome, "text": text, "measures": measures,
            "seconds": round(time.monotonic() - began, 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="target/release", help="where tapid and tapi-exchange are")
    parser.add_argument("--rig", default=os.path.join(HERE, "rig.toml"), help="the rig file")
    parser.add_argument("--simulated", action="store_true", help="the simulated exchange, even if there is a rig file")
    parser.add_argument("--results", default="target/hil", help="where results are written")
    parser.add_argument("--only", action="append", default=[], metavar="PATTERN", help="names that contain this; again for more")
    parser.add_argument("--short", action="store_true", help="a small selection on the simulated exchange")
    parser.add_argument("--seed", type=int, default=1, help="chance of the simulated exchange")
    options = parser.parse_args()
    if options.short:
        options.simulated, options.only = True, options.only + SHORT
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    work = tempfile.mkdtemp(prefix="tapid-hil-")
    programs = os.path.abspath(options.bin)
    if options.simulated or not os.path.exists(options.rig):
        rig = rigs.Simulated(programs, work, options.seed)
        print(f"hil: no rig file {options.rig}: everything is simulated" if not options.simulated else "hil: simulated")
    else:
        rig = rigs.load(options.rig)
        print(f"hil: the rig of {options.rig}: {', '.join(modem.name for modem in rig.modems)}")
    directory = os.path.abspath(options.results)
    shutil.rmtree(os.path.join(directory, "transcripts"), ignore_errors=True)
    os.makedirs(os.path.join(directory, "transcripts"))
    facts = {"began": time.strftime("%Y-%m-%dT%H:%M:%S"), "simulated": rig.simulated, "rig": rig.path}
    found = []
    station = Station(rig, programs, work, os.path.join(directory, "transcripts"))
    try:
        rig.start()
        station.start()
        facts["lines"] = [{key: line[key] for key in ("name", "description")} for line in station.lines.values()]
        for full, modem, function in cases(rig, options.only):
            result = attempt(station, full, modem, function, directory)
            if rig.cannot is not None:
                judgement.absences([result], rig.cannot)
            found.append(result)
            print(results.table([result]), flush=True)
    finally:
        station.stop()
        rig.stop()
        results.write_json(os.path.join(directory, "results.json"), facts, found)
        results.write_junit(os.path.join(directory, "results.xml"), facts, found)
        if os.path.exists(os.path.join(work, "tapid.log")):
            shutil.copy(os.path.join(work, "tapid.log"), directory)
        shutil.rmtree(work, ignore_errors=True)
    print(f"\n{results.table(found)}\n\nhil: {results.summary(found)}; {directory}/results.json, results.xml")
    return 1 if not found or any(result["outcome"] == "failed" for result in found) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (rigs.BadRig, Failed) as problem:
        raise SystemExit(f"hil: {problem}") from None
