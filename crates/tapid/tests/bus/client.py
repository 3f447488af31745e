"""A client of the daemon on D-Bus, by GLib's own implementation of the bus. It tells what it did as lines of JSON.

client.py call DIRECTORY       a whole call between loopback:0 and loopback:1, with all that a call has
client.py hold_on              places a call, tells it, and waits to be killed
client.py limited              what a client may do that is not root
client.py authority ACTION…    in the place of the policy kit: allows these, and tells what it is asked; after SIGHUP it allows nothing
"""
import array
import json
import os
import signal
import socket
import sys
import wave

import gi

gi.require_version("Gio", "2.0")
from gi.repository import Gio, GLib  # noqa: E402

NAME = "org.tapid.Telephony1"
ROOT = "/org/tapid/Telephony1"
PATIENCE = 20_000


class Bus:
    def __init__(self):
        flags = Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
        self.connection = Gio.DBusConnection.new_for_address_sync(os.environ["TAPID_TEST_BUS"], flags, None, None)
        self.told = []
        self.connection.signal_subscribe(NAME, None, None, None, None, Gio.DBusSignalFlags.NONE, self.signal)

    def signal(self, _connection, _sender, path, interface, member, parameters):
        self.told.append((path, interface.rsplit(".", 1)[1], member, parameters.unpack()))

    def call(self, path, interface, member, signature=None, *values, descriptors=()):
        if not interface.startswith("org."):
            interface = f"{NAME}.{interface}"
        fds = Gio.UnixFDList.new() if descriptors else None
        for descriptor in descriptors:
            fds.append(descriptor)
        body = GLib.Variant(signature, values) if signature else None
        reply, fds = self.connection.call_with_unix_fd_list_sync(
            NAME, path, interface, member, body, None, Gio.DBusCallFlags.NONE, PATIENCE, fds, None
        )
        self.descriptors = fds
        return reply.unpack()

    def fails(self, *call):
        try:
            self.call(*call)
        except GLib.Error as error:
            return Gio.DBusError.get_remote_error(error)
        raise AssertionError(f"{call} did not fail")

    def get(self, path, interface, name):
        (value,) = self.call(path, "org.freedesktop.DBus.Properties", "Get", "(ss)", f"{NAME}.{interface}", name)
        return value

    def wait(self, what, pick):
        context = GLib.MainContext.default()
        late = []
        source = GLib.timeout_add(PATIENCE, lambda: late.append(1) or False)
        seen = 0
        while True:
            for signal in self.told[seen:]:
                found = pick(*signal)
                if found is not None:
                    GLib.source_remove(source)
                    return found
            seen = len(self.told)
            if late:
                raise AssertionError(f"no {what}; told: {[told[:3] for told in self.told]}")
            context.iteration(True)

    def until(self, call, state):
        return self.wait(
            state, lambda path, _, member, said: said if (path, member) == (call, "StateChanged") and said[6] == state else None
        )

    def objects(self):
        (objects,) = self.call(ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
        return objects

    def line(self, name):
        for path, interfaces in self.objects().items():
            if interfaces.get(f"{NAME}.Line", {}).get("Name") == name:
                return path
        raise AssertionError(f"no line {name}")


def tell(**what):
    print(json.dumps(what), flush=True)


def opened(app):
    bus = Bus()
    bus.call(ROOT, "Client", "Open", "(sa{sv})", app, {"linger_ms": GLib.Variant("t", 0)})
    return bus, bus.line("loopback:0"), bus.line("loopback:1")


def place(bus, line, to):
    (call,) = bus.call(line, "Line", "MakeCall", "(sa{sv})", to, {"comment": GLib.Variant("s", "from D-Bus")})
    return call


def whole_call(directory):
    bus, first, second = opened("python")
    for line in (first, second):
        bus.call(line, "Line", "Open", "(a{sv})", {"privileges": GLib.Variant("as", ["owner"])})
    caller = place(bus, first, "loopback:1")
    assert caller in bus.objects(), "a call is an object as soon as it is answered"
    called = bus.wait(
        "offered call", lambda path, _, member, said: said[4][0] if (path, member) == (second, "CallAdded") else None
    )
    bus.call(called, "Call", "Accept", "(a{sv})", {})
    bus.until(caller, "ringback")
    tell(step="ringing", caller=caller, called=called)
    for call in (caller, called):
        while bus.get(call, "Call", "Owners") < 2:
            GLib.MainContext.default().iteration(False)
    mark = bus.get(ROOT, "Server", "Seq")
    assert bus.get(caller, "Call", "Comment") == "from D-Bus"
    assert bus.get(called, "Call", "Caller")["address"] == "loopback:0"

    bus.call(called, "Call", "Answer")
    bus.until(caller, "connected")
    bus.until(called, "connected")
    bus.call(called, "Call", "MonitorDigits", "(b)", True)
    (digits,) = bus.call(caller, "Call", "SendDigits", "(sa{sv})", "12#", {})
    bus.wait("digit #", lambda _path, _interface, member, said: 1 if member == "Digit" and said[5] == "#" else None)
    heard = [said[5] for _, _, member, said in bus.told if member == "Digit"]
    assert heard == ["1", "2", "#"], heard
    bus.wait("end of the digits", lambda path, _, member, said: said if (path, member) == (digits, "Generated") else None)

    record(bus, caller, called, directory)
    audio(bus, caller)
    errors(bus, caller, first)
    bus.call(caller, "Call", "Drop", "(a{sv})", {})
    for call in (caller, called):
        bus.until(call, "disconnected" if call == called else "idle")
    bus.call(called, "Call", "Drop", "(a{sv})", {})
    bus.until(called, "idle")
    for call in (caller, called):
        bus.call(call, "Call", "Deallocate")
        bus.wait("removal", lambda _p, _i, member, said: 1 if member == "InterfacesRemoved" and said[0] == call else None)
        assert call not in bus.objects()
    story = [
        [said[1], member, path.rsplit("/", 1)[1], said[6] if member == "StateChanged" else said[5]]
        for path, _, member, said in bus.told
        if member in ("StateChanged", "Digit")
    ]
    changes = [said for path, _, member, said in bus.told if member == "PropertiesChanged" and path == caller]
    assert any(values.get("State") == "connected" for _, values, _ in changes), changes
    tell(step="done", mark=mark, story=story)


def record(bus, caller, called, directory):
    path = os.path.join(directory, "heard.wav")
    with open(path, "wb+") as file:
        (recording,) = bus.call(
            called, "Call", "Record", "(ha{sv})", 0, {"max_ms": GLib.Variant("t", 600)}, descriptors=[file.fileno()]
        )
    assert bus.get(recording, "Terminal", "Kind") == "recording"
    tone = {"hz": GLib.Variant("au", [440]), "duration_ms": GLib.Variant("u", 500)}
    (tone,) = bus.call(caller, "Call", "MakeTone", "(a{sv})", tone)
    said = bus.wait("recording", lambda path, _, member, said: said if (path, member) == (recording, "Recorded") else None)
    assert said[6] == "done" and said[7] >= 560, said
    assert recording not in bus.objects()
    with wave.open(path) as file:
        samples = array.array("h", file.readframes(file.getnframes()))[:: file.getnchannels()]
    loud = max(samples)
    assert loud > 5_000, f"nothing was heard of the tone: {loud}"


def audio(bus, call):
    (terminal, socket_at) = bus.call(call, "Call", "AcquireAudio", "(a{sv})", {"rate": GLib.Variant("u", 8000)})
    descriptor = bus.descriptors.steal_fds()[socket_at]
    end = socket.socket(fileno=descriptor)
    end.settimeout(PATIENCE / 1000)
    frame = end.recv(4096)
    assert len(frame) == 320, f"20 ms at 8000 Hz are 320 bytes, not {len(frame)}"
    end.close()
    bus.wait("end of the audio", lambda path, _, member, said: said if (path, member) == (terminal, "AudioEnded") else None)


def errors(bus, call, line):
    error = f"{NAME}.Error."
    assert bus.fails(call, "Call", "Answer") == error + "InvalCallState"
    assert bus.fails(f"{ROOT}/call/1", "Call", "Drop", "(a{sv})", {}) == error + "InvalCallHandle"
    assert bus.fails(f"{ROOT}/line/1", "Line", "Open", "(a{sv})", {}) == error + "BadDeviceId"
    assert bus.fails(line, "Line", "MakeCall", "(sa{sv})", "", {}) == error + "InvalAddress"
    standard = "org.freedesktop.DBus.Error."
    assert bus.fails(line, "Line", "MakeCall", "(u)", 1) == standard + "InvalidArgs"
    assert bus.fails(line, "Line", "Eat") == standard + "UnknownMethod"
    assert bus.fails("/org/tapid/elsewhere", "Line", "Close") == standard + "UnknownObject"
    properties = "org.freedesktop.DBus.Properties"
    assert bus.fails(line, properties, "Get", "(ss)", f"{NAME}.Line", "Eaten") == standard + "UnknownProperty"
    assert bus.fails(line, properties, "Set", "(ssv)", f"{NAME}.Line", "Name", GLib.Variant("s", "x")) == standard + "PropertyReadOnly"


def hold_on():
    bus, first, _ = opened("to be killed")
    bus.call(first, "Line", "Open", "(a{sv})", {})
    call = place(bus, first, "loopback:1")
    bus.until(call, "proceeding")
    tell(step="placed", call=call)
    GLib.MainLoop().run()


def limited():
    bus = Bus()
    lines = [path for path, interfaces in bus.objects().items() if f"{NAME}.Line" in interfaces]
    tell(step="sees", lines=len(lines))
    if lines:
        monitor = {"privileges": GLib.Variant("as", ["monitor"])}
        bus.call(lines[0], "Line", "Open", "(a{sv})", monitor)
        tell(step="dials", error=bus.fails(lines[0], "Line", "MakeCall", "(sa{sv})", "loopback:1", {}))


AUTHORITY = """<node><interface name="org.freedesktop.PolicyKit1.Authority"><method name="CheckAuthorization">
<arg type="(sa{sv})" direction="in"/><arg type="s" direction="in"/><arg type="a{ss}" direction="in"/>
<arg type="u" direction="in"/><arg type="s" direction="in"/><arg type="(bba{ss})" direction="out"/>
</method></interface></node>"""


def authority(allowed):
    bus = Bus()

    def asked(_connection, _sender, _path, _interface, _method, parameters, invocation):
        subject, action, details, _flags, _cancellation = parameters.unpack()
        assert subject[0] == "system-bus-name", subject
        right = action.removeprefix("org.tapid.telephony1.")
        tell(step="asked", right=right, line=details.get("line"))
        invocation.return_value(GLib.Variant("((bba{ss}))", ((right in allowed, False, {}),)))

    def changes():
        allowed.clear()
        path, interface = "/org/freedesktop/PolicyKit1/Authority", "org.freedesktop.PolicyKit1.Authority"
        bus.connection.emit_signal(None, path, interface, "Changed", None)
        return True

    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGHUP, changes)
    info = Gio.DBusNodeInfo.new_for_xml(AUTHORITY).interfaces[0]
    bus.connection.register_object("/org/freedesktop/PolicyKit1/Authority", info, asked, None, None)
    taken = lambda _connection, _name: tell(step="ready")  # noqa: E731
    Gio.bus_own_name_on_connection(bus.connection, "org.freedesktop.PolicyKit1", Gio.BusNameOwnerFlags.NONE, taken, None)
    GLib.MainLoop().run()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["call", directory]:
            whole_call(directory)
        case ["hold_on"]:
            hold_on()
        case ["limited"]:
            limited()
        case ["authority", *allowed]:
            authority(allowed)
