"""What a rig is: its modems, the numbers they can dial, how a modem is pulled out. A rig of hardware is read from a file, a
simulated one is tapi-exchange on pseudo-terminals; the scenarios see no difference but the word in their names."""
import collections
import json
import os
import re
import subprocess
import sys
import threading
import time
import tomllib

import judgement

# Keys of [[modem]] that are the suite's; all others go into the daemon's configuration as they are.
OWN = {"number", "near", "dead", "unplug", "plug", "reset", "withholds", "waiting", "duplex"}
NUMBERS = {"busy", "echo"}
PATIENCE = {"answer": 60, "service": 90, "clear": 30}


class BadRig(Exception):
    """The rig file cannot be used; the text says where and why."""


class Absent(Exception):
    """This rig has no device, number or switch for a scenario."""


class Program:
    """A program whose standard output is read line by line."""

    def __init__(self, command, log, **options):
        self.kept, self.arrived = [], threading.Condition()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                                        bufsize=1, errors="replace", **options)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            with self.arrived:
                self.kept.append(line.rstrip())
                self.arrived.notify_all()

    def wait(self, pattern, since=0, seconds=10):
        """The match of the first line after `since` that has one."""
        deadline = time.monotonic() + seconds
        with self.arrived:
            while True:
                for line in self.kept[since:]:
                    found = re.search(pattern, line)
                    if found:
                        return found
                since = len(self.kept)
                if not self.arrived.wait(max(0.0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                    raise BadRig(f"no line with '{pattern}' within {seconds} s")

    def order(self, line):
        """Gives an order and waits until it is taken."""
        with self.arrived:
            since = len(self.kept)
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.wait(r'.*"event":"(ordered|error)".*', since)[0])
        if answer["event"] == "error":
            raise BadRig(f"the exchange refused '{line}': {answer['reason']}")

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)


Modem = collections.namedtuple("Modem", "name line number near dead unplug plug reset withholds waiting duplex daemon")
Sip = collections.namedtuple("Sip", "name line number echo daemon user_agent")


class Rig:
    """Modems by name, SIP peers, fixed numbers."""
    simulated = False
    # What still passes, unless the file says otherwise.
    passes = judgement.RIG
    # Parts of the names of scenarios that cannot be tried; None: whatever is missing is said, and is no failure.
    cannot = None

    def __init__(self, data, path):
        self.path = path
        unknown = set(data) - {"modem", "sip", "numbers", "patience_s", "limits", "daemon", "rtp"}
        if unknown:
            raise BadRig(f"{path}: unknown sections: {', '.join(sorted(unknown))}")
        self.numbers = data.get("numbers", {})
        if set(self.numbers) - NUMBERS:
            raise BadRig(f"{path}: [numbers] has {', '.join(sorted(NUMBERS))}, not {', '.join(set(self.numbers) - NUMBERS)}")
        self.patience = PATIENCE | data.get("patience_s", {})
        self.limits = self.passes | data.get("limits", {})
        if set(self.limits) - set(self.passes):
            raise BadRig(f"{path}: [limits] has {', '.join(sorted(self.passes))}")
        self.daemon = {name: data.get(name, {}) for name in ("daemon", "rtp")}
        self.modems = [self._modem(entry) for entry in data.get("modem", [])]
        self.peers = [self._sip(entry) for entry in data.get("sip", [])]
        if not self.modems:
            raise BadRig(f"{path}: there is no [[modem]]")
        names = [modem.name for modem in self.modems] + [peer.name for peer in self.peers]
        if len(set(names)) != len(names):
            raise BadRig(f"{path}: two devices have the same name")

    def _modem(self, entry):
        for key in ("name", "device"):
            if key not in entry:
                raise BadRig(f"{self.path}: a [[modem]] has no {key}")
        daemon = {key: value for key, value in entry.items() if key not in OWN}
        number = entry.get("number")
        if number:
            daemon.setdefault("address", number)
        line = daemon.setdefault("line_name", f"modem:{entry['name']}")
        return Modem(entry["name"], line, number, entry.get("near", not entry.get("dead")), entry.get("dead", False),
                     entry.get("unplug"), entry.get("plug"), entry.get("reset"), entry.get("withholds", False),
                     entry.get("waiting", False), entry.get("duplex", True), daemon)

    def _sip(self, entry):
        if not {"name", "user", "domain"} <= set(entry):
            raise BadRig(f"{self.path}: a [[sip]] needs name, user and domain")
        daemon = {key: value for key, value in entry.items() if key not in ("number", "echo", "listen")}
        daemon["name"] = f"sip:{entry['name']}"
        return Sip(entry["name"], daemon["name"], entry.get("number"), entry.get("echo"), daemon,
                   {"name": entry["name"], "listen": entry.get("listen", "127.0.0.1:5070")})

    def number(self, kind):
        try:
            return self.numbers[kind]
        except KeyError:
            raise Absent(f"no `{kind}` in [numbers]") from None

    def start(self):
        """Nothing to start: the devices are there."""

    def stop(self):
        """Nothing was started."""

    def switch(self, modem, how):
        """Pulls a modem out, puts it in, or resets it, with the rig's own command or by asking a person."""
        command = getattr(modem, how)
        if command is None:
            raise Absent(f"no `{how}` for {modem.name}")
        if command == "ask":
            if not sys.stdin.isatty():
                raise Absent(f"`{how}` of {modem.name} asks a person, and there is no terminal")
            words = {"unplug": "Pull out", "plug": "Put in", "reset": "Reset"}
            input(f"\a\n>>> {words[how]} the modem '{modem.name}', then press Enter: ")
            return
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise BadRig(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")

    def can_switch(self, modem, how):
        command = getattr(modem, how)
        if command is None or command == "ask" and not sys.stdin.isatty():
            raise Absent(f"no way to {how} {modem.name}")


BUSY, ECHO = "4930901", "4930902"
# What the simulated rig cannot try, and why; anything else that it does not try is a failure.
CANNOT = [
    "SIP peer, echo number",  # There is none: both ends of SIP are the suite's.
    "usr5637: bridge, echo number",  # It hears nothing while it plays.
]


# What each simulated modem is: its family in tapi-exchange, its profile in the daemon, and whether it is tested itself or is only the
# other end. A modem that carries both directions at once and one that carries one at a time and leaves answers, busy and ends to be
# heard in its audio; a dongle as the standard has it, and one that orders its audio in the call and has words of its own.
FAMILIES = {
    "analogue": [("v253", "v253", True), ("v253", "v253", False), ("usr5637", "usr5637", True)],
    "cellular": [("generic", "27007", True), ("generic", "27007", False), ("e1550", "huawei-e1550", True)],
}


class Simulated(Rig):
    """Analogue and cellular modems of several families at a simulated exchange, and a modem at a line without dial tone."""
    simulated = True
    passes = judgement.SIMULATED
    cannot = CANNOT

    def __init__(self, programs, directory, seed):
        self.directory = directory
        self.command = [os.path.join(programs, "tapi-exchange"), "--link-dir", directory, "--seed", str(seed)]
        self.dead_directory = os.path.join(directory, "dead")
        modems = []
        for kind, families in FAMILIES.items():
            for at, (family, profile, near) in enumerate(families):
                port, number = f"{kind}{at}", f"49301{0 if kind == 'analogue' else 5}{at}"
                entry = {"name": family if near else f"{family}-far", "device": os.path.join(directory, port), "profile": profile,
                         "number": number, "near": near, "unplug": port, "plug": port, "reset": port}
                if kind == "cellular":
                    entry |= {"audio_device": os.path.join(directory, f"{port}-audio"), "withholds": True, "waiting": True}
                elif near:
                    entry |= {"office": "pbx", "waiting": True, "duplex": family != "usr5637"}
                modems.append(entry)
                self.command += [f"--{kind}", f"{family}@{number}"]
        modems.append({"name": "unconnected", "device": os.path.join(self.dead_directory, "analogue0"), "profile": "v253",
                       "dead": True})
        super().__init__({"modem": modems, "numbers": {"busy": BUSY, "echo": ECHO},
                          "patience_s": {"answer": 25, "service": 30, "clear": 15}}, "simulated")
        for number, words in ((BUSY, "busy"), (ECHO, "echo")):
            self.command += ["--subscriber", f"{number}={words}"]

    def start(self):
        os.makedirs(self.dead_directory, exist_ok=True)
        with open(os.path.join(self.directory, "exchange.log"), "w", encoding="utf-8") as log:
            self.exchange = Program(self.command, log)
            self.silent = Program([self.command[0], "--link-dir", self.dead_directory, "--analogue", "4930999",
                                   "--no-dial-tone"], log)
        for program in (self.exchange, self.silent):
            program.wait('"ready"')
        for modem in self.modems:
            if modem.waiting:
                self.exchange.order(f"waiting {modem.number} on")

    def stop(self):
        for program in (getattr(self, "exchange", None), getattr(self, "silent", None)):
            if program:
                program.stop()

    def switch(self, modem, how):
        self.exchange.order(f"{'restart' if how == 'reset' else how} {getattr(modem, how)}")


def load(path):
    try:
        with open(path, "rb") as file:
            return Rig(tomllib.load(file), path)
    except tomllib.TOMLDecodeError as error:
        raise BadRig(f"{path}: {error}") from None
