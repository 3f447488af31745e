#!/usr/bin/env python3
"""What the user that runs this may do with each line, tried on the socket or on the bus.

user.py socket|bus: calls loopback:1 where it may, and prints a JSON object of lines; each has the acts that were taken. An act that fails for another reason than
a missing right counts: the right was there.
"""
import getpass
import json
import sys
import time

NONE = {"NOTREGISTERED", "BADDEVICEID", "NotRegistered", "BadDeviceId"}
SOCKET = "/run/tapid/api.sock"
TRIED = ("monitor", "own", "originate", "listen", "record", "administer")


def fresh():
    """A recording is a new file."""
    return f"{getpass.getuser()}-{time.monotonic_ns()}.wav"


class OnSocket:
    def __init__(self):
        from tapi_client import Client, Refused

        self.client, self.refused = Client(SOCKET, "user"), Refused

    def lines(self):
        return {line["name"]: line["line"] for line in self.client.call("line.list")["lines"]}

    def open(self, line, *privileges):
        self.client.call("line.open", line=line, privileges=privileges)

    def make(self, line, to):
        return self.client.call("call.make", line=line, to=to)["call"]

    def state(self, call):
        return self.client.call("call.get", call=call)["status"]["state"]

    def listen(self, call):
        self.client.call("call.monitor_digits", call=call, on=True)

    def drop(self, call):
        self.client.call("call.drop", call=call)

    def record(self, call):
        self.client.call("call.record", call=call, sink={"file": fresh()}, max_ms=1)

    def administer(self, line):
        self.client.call("line.set_policy", line=line, policy={"action": "reject"})

    def why(self, error):
        return error.code if isinstance(error, self.refused) else None


class OnBus:
    def __init__(self):
        from client import ROOT, Bus, Gio, GLib

        self.bus, self.gio, self.glib = Bus(), Gio, GLib
        self.bus.call(ROOT, "Client", "Open", "(sa{sv})", "user", {})

    def lines(self):
        interface = "org.tapid.Telephony1.Line"
        return {has[interface]["Name"]: path for path, has in self.bus.objects().items() if interface in has}

    def open(self, line, *privileges):
        self.bus.call(line, "Line", "Open", "(a{sv})", {"privileges": self.glib.Variant("as", privileges)})

    def make(self, line, to):
        return self.bus.call(line, "Line", "MakeCall", "(sa{sv})", to, {})[0]

    def state(self, call):
        return self.bus.get(call, "Call", "State")

    def listen(self, call):
        self.bus.call(call, "Call", "MonitorDigits", "(b)", True)

    def drop(self, call):
        self.bus.call(call, "Call", "Drop", "(a{sv})", {})

    def record(self, call):
        self.bus.call(call, "Call", "RecordFile", "(sa{sv})", fresh(), {"max_ms": self.glib.Variant("t", 1)})

    def administer(self, line):
        self.bus.call(line, "Line", "SetPolicy", "(a{sv})", {"action": self.glib.Variant("s", "reject")})

    def why(self, error):
        name = self.gio.DBusError.get_remote_error(error) if isinstance(error, self.glib.Error) else None
        return name and name.rsplit(".", 1)[1]


def tried(front):
    def may(act, *of):
        try:
            return True, act(*of)
        except Exception as error:
            if front.why(error) is None:
                raise
            print(f"{act.__name__}: {error}", file=sys.stderr)
            return front.why(error) not in NONE, None

    lines = {}
    for name, line in sorted(front.lines().items()):
        done = {"monitor": may(front.open, line, "monitor")[0], "own": may(front.open, line, "owner")[0]}
        may(front.open, line)
        done["originate"], call = may(front.make, line, "loopback:1")
        deadline = time.monotonic() + 20
        while call is not None and front.state(call) != "connected" and time.monotonic() < deadline:
            time.sleep(0.05)
        for act in ("listen", "record"):
            done[act] = call is not None and may(getattr(front, act), call)[0]
        # The line is free for the next user.
        deadline = time.monotonic() + 20
        while call is not None and front.state(call) != "idle" and time.monotonic() < deadline:
            may(front.drop, call)
            time.sleep(0.05)
        done["administer"] = may(front.administer, line)[0]
        lines[name] = [act for act in TRIED if done[act]]
    return lines


if __name__ == "__main__":
    print(json.dumps(tried({"socket": OnSocket, "bus": OnBus}[sys.argv[1]]())))
