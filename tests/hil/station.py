"""The daemon under test, its configuration, and one application that sees every line and every call."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "demo"))
import audio  # noqa: E402  (the tones and levels of the demonstration)
from tapi_client import Client, Refused  # noqa: E402

import judgement  # noqa: E402
from judgement import Failed  # noqa: E402
from phone import Phone  # noqa: E402
from rig import Absent  # noqa: E402

RINGING_OVER = 10
SIP_LINE, SIP_USER = "sip:suite", "100"


def toml(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


class Lateness:
    """How late the machine is with what is due: a thread that wakes every 5 ms notes when it was not woken."""
    EVERY = 0.005

    def __init__(self):
        self.found = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            due = time.monotonic() + self.EVERY
            time.sleep(self.EVERY)
            late = (time.monotonic() - due) * 1000
            if late > 5:
                self.found.append((due, late))

    def since(self, moment):
        """The worst and the sum since a moment, in ms."""
        found = [late for at, late in list(self.found) if at >= moment]
        return max(found, default=0.0), sum(found)


class Leg:
    """One call of ours, and what became of it."""

    def __init__(self, station, call, line):
        self.station, self.call, self.line = station, call, line
        self.states, self.digits, self.tones, self.info = [], [], [], {}
        self.features = []

    @property
    def state(self):
        return self.states[-1][1] if self.states else None

    def entered(self, *names):
        """When a state was first entered, in seconds of the monotonic clock."""
        return next((at for at, state, _ in self.states if state in names), None)

    def mode(self):
        return next((event.get("mode") for _, state, event in reversed(self.states) if state == "disconnected"), None)

    def wait(self, *names, seconds=None):
        """Waits for one of these states; `idle` before it is a failure."""
        limit = seconds or self.station.rig.patience["answer"]
        self.station.pump(lambda: self.entered(*names) is not None or self.state == "idle", limit)
        if self.entered(*names) is None:
            past = ", ".join(f"{state}({event.get('mode', '')})" for _, state, event in self.states)
            raise Failed(f"{self.line}: not {' or '.join(names)} within {limit} s; it was: {past or 'nothing'}")
        return self.entered(*names)

    def ask(self, method, descriptor=None, **params):
        return self.station.client.call(f"call.{method}", descriptor, call=self.call, **params)

    def play(self, samples):
        """Plays samples; returns (operation, moment at which it was taken)."""
        path = tempfile.mktemp(suffix=".wav", dir=self.station.directory)
        audio.write_wav(path, samples)
        file = os.open(path, os.O_RDONLY)
        try:
            operation = self.ask("play", file, source="descriptor")["operation"]
        finally:
            os.close(file)
        return operation, time.monotonic()

    def record(self):
        path = tempfile.mktemp(suffix=".wav", dir=self.station.directory)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            operation = self.ask("record", file, sink="descriptor")["operation"]
        finally:
            os.close(file)
        return Recording(self, operation, path, time.monotonic())


class Recording:
    """A recording of a call that goes on."""

    def __init__(self, leg, operation, path, began):
        self.leg, self.operation, self.path, self.began = leg, operation, path, began

    def stop(self):
        """Ends it; its samples."""
        station = self.leg.station
        try:
            self.leg.ask("stop", operation=self.operation)
        except Refused as refusal:
            if refusal.code not in ("INVALCALLSTATE", "INVALCALLHANDLE", "INVALPARAM"):
                raise
        station.pump(lambda: self.operation in station.recorded, 5)
        return audio.read_wav(self.path)


class Station:
    """The daemon, with a client that has every line open."""

    def __init__(self, rig, programs, directory, transcripts):
        self.rig, self.programs, self.directory, self.transcripts = rig, programs, directory, transcripts
        self.socket = os.path.join(directory, "api.sock")
        self.phone, self.lateness = Phone(), Lateness()
        self.lines, self.legs, self.recorded, self.generated, self.fresh = {}, {}, {}, {}, []
        self.line_events = []
        self.process = self.client = None

    def configure(self):
        sip = self._free_port()
        self.sip_port = sip
        text = [f"[daemon]\nsocket = {toml(self.socket)}\nidle_grace_s = 5"]
        text += [f"{key} = {toml(value)}" for key, value in self.rig.daemon["daemon"].items()]
        rtp = {"address": "127.0.0.1", "ports": f"{24000 + os.getpid() % 60 * 100}-{24060 + os.getpid() % 60 * 100}"}
        text += ["\n[rtp]"] + [f"{key} = {toml(value)}" for key, value in (rtp | self.rig.daemon["rtp"]).items()]
        own = {"name": SIP_LINE, "user": SIP_USER, "domain": "127.0.0.1", "peers": ["127.0.0.1"]}
        agents = [({"name": "suite", "listen": f"127.0.0.1:{sip}"}, own)]
        agents += [(peer.user_agent, peer.daemon) for peer in self.rig.peers]
        for agent, line in agents:
            text += ["\n[[sip]]"] + [f"{key} = {toml(value)}" for key, value in agent.items()]
            text += ["\n[[sip.lines]]"] + [f"{key} = {toml(value)}" for key, value in line.items()]
        # Only the devices of the rig: what else is plugged in is not the suite's.
        text += ["\n[modems]", "discover = false"]
        for modem in self.rig.modems:
            own = {"transcript": os.path.join(self.transcripts, f"{modem.name}.transcript")}
            text += ["\n[[modem]]"] + [f"{key} = {toml(value)}" for key, value in (own | modem.daemon).items()]
        self.config = os.path.join(self.directory, "tapid.toml")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write("\n".join(text) + "\n")

    @staticmethod
    def _free_port():
        import socket
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    def start(self):
        self.configure()
        with open(os.path.join(self.directory, "tapid.log"), "w", encoding="utf-8") as log:
            self.process = subprocess.Popen([os.path.join(self.programs, "tapid"), "--config", self.config],
                                            stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while True:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"the daemon did not come up: see {self.directory}/tapid.log")
            try:
                self.client = Client(self.socket, "hil")
                break
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.05)
        for line in self.client.call("line.list")["lines"]:
            self._open(line)
        expected = [modem.line for modem in self.rig.modems] + [SIP_LINE]
        self.pump(lambda: all(self.in_service(name) for name in expected), self.rig.patience["service"])

    def _open(self, line):
        self.lines[line["name"]] = line
        self.client.call("line.open", line=line["line"], privileges=["owner", "monitor"])
        self.client.call("line.set_status_messages", line=line["line"], states=["in_service", "out_of_service"])

    def in_service(self, name):
        return self.lines.get(name, {}).get("status", {}).get("service") == "in"

    def stop(self):
        self.phone.close()
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)

    def pump(self, done, seconds):
        """Takes events until `done()`, for so many seconds at most; whether it came to that."""
        deadline = time.monotonic() + seconds
        while not done():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            event = self.client.event(min(left, 0.25))
            if event is not None:
                self._take(event)
        return True

    def limits(self, since):
        """What passes, of what was measured since a moment."""
        if not self.rig.simulated:
            return self.rig.limits
        worst, total = self.lateness.since(since)
        return judgement.eased(self.rig.limits, worst, total, max(time.monotonic() - since, 1.0))

    def measured(self, measure):
        """What a measurement found. On a simulated rig one that failed is taken again, twice at most: a machine with other work spoils some, and
        what is wrong with the path spoils all."""
        for left in (2, 1, 0):
            try:
                return measure()
            except Failed:
                if not (left and self.rig.simulated):
                    raise
                self.rest(2)

    def rest(self, seconds):
        """Time goes on."""
        self.pump(lambda: False, seconds)

    def _take(self, event):
        kind, at = event["kind"], event["time"] / 1e6
        if kind == "line.added":
            self._open(event["line"])
        elif kind == "line.removed":
            self.lines = {name: line for name, line in self.lines.items() if line["line"] != event["line"]}
        elif kind == "line.state":
            for name, line in self.lines.items():
                if line["line"] == event["line"]:
                    line["status"] = event["status"]
                    self.line_events.append((at, name, event["change"], event["status"]))
        elif kind == "call.new":
            info = event["call"]["info"]
            leg = self.legs.setdefault(info["call"], Leg(self, info["call"], info["line_name"]))
            leg.info = info
            if info["origin"] != "outbound":
                self.fresh.append(leg)
        elif "call" in event and event["call"] in self.legs or kind == "call.info":
            self._of_call(kind, at, event)

    def _of_call(self, kind, at, event):
        leg = self.legs.get(event["call"] if "call" in event else event["info"]["call"])
        if leg is None:
            return
        if kind == "call.state":
            leg.states.append((at, event["state"], event))
            leg.features = event["features"]
        elif kind == "call.info":
            leg.info = event["info"]
        elif kind == "call.digit":
            leg.digits.append(event["digit"])
        elif kind == "call.tone":
            leg.tones.append((at, {tone["hz"]: tone["level_ddbm0"] / 10 for tone in event["tones"]}))
        elif kind == "call.recorded":
            self.recorded[event["operation"]] = event["end"]
        elif kind == "call.generated":
            self.generated[event["operation"]] = event["end"]

    def make(self, line, to, **params):
        """Places a call; (leg, moment before the request)."""
        began = time.monotonic()
        call = self.client.call("call.make", line=line, to=to, **params)["call"]
        return self.legs.setdefault(call, Leg(self, call, line)), began

    def offered(self, line, seconds=None):
        """The next call that is offered on a line."""
        limit = seconds or self.rig.patience["answer"]
        waits = [leg for leg in self.fresh if leg.line == line]
        if not waits and not self.pump(lambda: any(leg.line == line for leg in self.fresh), limit):
            raise Failed(f"{line}: no call was offered within {limit} s")
        leg = next(leg for leg in self.fresh if leg.line == line)
        self.fresh.remove(leg)
        leg.wait("offering")
        return leg

    def drop(self, leg):
        if leg.state not in ("idle", None):
            try:
                leg.ask("drop")
            except Refused as refusal:
                # The last: an exchange that ends none of two calls alone ends both once both are dropped.
                if refusal.code not in ("INVALCALLSTATE", "INVALCALLHANDLE", "DISCONNECTED", "OPERATIONUNAVAIL"):
                    raise

    def clear(self):
        """Hangs up whatever is left, and tells whether everything became idle and every line is ready again."""
        self.rest(0.05)
        two_wire = {modem.line for modem in self.rig.modems if "audio_device" not in modem.daemon}
        ignored = any(leg.line in two_wire and leg.state in ("offering", "accepted") for leg in self.legs.values())
        deadline = time.monotonic() + self.rig.patience["clear"]
        while True:
            for leg in self.legs.values():
                if leg.state != "idle":
                    self.drop(leg)
            self.phone.hang_up()
            if self.pump(lambda: all(leg.state == "idle" for leg in self.legs.values()), 2) or time.monotonic() > deadline:
                break
        left = [f"{leg.line} {leg.state}" for leg in self.legs.values() if leg.state != "idle"]
        for leg in self.legs.values():
            try:
                leg.ask("deallocate")
            except Refused:
                pass
        self.legs, self.fresh, self.recorded, self.generated = {}, [], {}, {}
        self.phone.events.clear()
        deadline = time.monotonic() + self.rig.patience["clear"]
        while not self.ready() and time.monotonic() < deadline:
            self.rest(0.2)
        # Ringing that we ignored is over when the next burst did not come: only then is a two-wire line free.
        self.rest(RINGING_OVER if ignored else 0)
        return left

    def ready(self):
        """Whether every line of ours that is in service can place a call."""
        ours = {modem.line for modem in self.rig.modems}
        lines = [line for line in self.client.call("line.list")["lines"] if line["name"] in ours]
        return all(line["status"]["service"] == "in" and "make_call" in line["status"]["features"] for line in lines)

    def traces(self):
        """The AT transcripts and SIP ladders of the calls that are up or just ended."""
        found = {}
        for leg in self.legs.values():
            try:
                found[f"{leg.line} call {leg.call}"] = leg.ask("trace", full=True)["entries"]
            except Refused as refusal:
                found[f"{leg.line} call {leg.call}"] = str(refusal)
        return found


__all__ = ["Absent", "Failed", "Leg", "Refused", "Station", "audio"]
