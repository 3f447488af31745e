"""Further things that a client on D-Bus does; tells them as `client.py` does.

acts.py linger                 places a call with a session that outlives it, tells how to take it up, and waits to be killed
acts.py resume TOKEN SEQ CALL  takes that session up from a name of its own, and ends the call
acts.py conference             three parties in a conference, and out of it
acts.py speak DIRECTORY        speaks through the descriptor of a call's audio, and hears through another
acts.py through LINE           bytes to the modem of a line, past the server
acts.py deaf                   is told more than it reads, once it is stopped
acts.py watched                may see a line until the policy kit thinks otherwise
"""
import array
import os
import signal
import socket
import sys
import time
import wave

from client import NAME, PATIENCE, ROOT, Bus, GLib, opened, place, tell


def linger():
    bus = Bus()
    _, token, _, _ = bus.call(ROOT, "Client", "Open", "(sa{sv})", "lingering", {"linger_ms": GLib.Variant("t", 20_000)})
    bus.call(bus.line("loopback:0"), "Line", "Open", "(a{sv})", {})
    call = place(bus, bus.line("loopback:0"), "loopback:1")
    said = bus.until(call, "proceeding")
    tell(step="placed", call=call, token=token, seq=said[1])
    GLib.MainLoop().run()


def resume(token, seq, call):
    bus = Bus()
    bus.call(ROOT, "Client", "Resume", "(st)", token, int(seq))
    # What happened while nobody was there: its state changed at the other end.
    bus.until(call, "ringback")
    first = next(said for path, _, member, said in bus.told if (path, member) == (call, "StateChanged"))
    assert first[0] == int(seq), f"nothing is missing before {first[:2]}"
    assert bus.get(call, "Call", "Privilege") == "owner"
    bus.call(call, "Call", "Drop", "(a{sv})", {})
    bus.until(call, "idle")
    tell(step="ended")


def connected(bus, line, to):
    """A call between two lines, both ends ours: the caller's and the called."""
    call = place(bus, line, to)
    of = bus.line(to)
    called = bus.wait("offered call", lambda path, _, member, said: said[4][0] if (path, member) == (of, "CallAdded") else None)
    bus.call(called, "Call", "Answer")
    bus.until(call, "connected")
    bus.told.clear()
    return call, called


def lines(bus, *names):
    for name in names:
        bus.call(bus.line(name), "Line", "Open", "(a{sv})", {"privileges": GLib.Variant("as", ["owner"])})


def members(bus, conference):
    return sorted(bus.objects()[conference][f"{NAME}.Conference"]["Members"])


def conference():
    bus, first, _ = opened("host")
    lines(bus, "loopback:0", "loopback:1", "other:0", "other:1")
    a, _ = connected(bus, first, "loopback:1")
    b, _ = connected(bus, bus.line("other:0"), "other:1")
    made, _ = bus.call(a, "Call", "SetupConference", "(a{sv})", {})
    assert f"{NAME}.Conference" in bus.objects()[made], "a conference is an object as soon as it is answered"
    assert f"{NAME}.Call" in bus.objects()[made], "and a call"
    bus.call(made, "Conference", "Add", "(o)", b)
    bus.until(made, "connected")
    bus.until(b, "conferenced")
    assert members(bus, made) == sorted([a, b]), members(bus, made)
    assert bus.get(b, "Call", "Conference") == made
    bus.told.clear()
    bus.call(b, "Call", "RemoveFromConference")
    bus.until(made, "idle")
    bus.call(made, "Call", "Deallocate")
    bus.wait("its removal", lambda _p, _i, member, said: 1 if member == "InterfacesRemoved" and said[0] == made else None)
    assert bus.get(a, "Call", "State") == "connected", "the last one is connected"
    tell(step="done", left=bus.get(a, "Call", "State"))


def acquired(bus, call):
    terminal, at = bus.call(call, "Call", "AcquireAudio", "(a{sv})", {"rate": GLib.Variant("u", 8000)})
    end = socket.socket(fileno=bus.descriptors.steal_fds()[at])
    end.settimeout(PATIENCE / 1000)
    return terminal, end


def speak(directory):
    bus, first, _ = opened("speaker")
    lines(bus, "loopback:0", "loopback:1")
    caller, called = connected(bus, first, "loopback:1")
    path = os.path.join(directory, "spoken.wav")
    with open(path, "wb+") as file:
        (recording,) = bus.call(called, "Call", "Record", "(ha{sv})", 0, {"max_ms": GLib.Variant("t", 400)}, descriptors=[file.fileno()])
    terminal, mouth = acquired(bus, caller)
    assert bus.get(terminal, "Terminal", "Kind") == "application"
    ear_at, ear = acquired(bus, called)
    # 20 ms of 500 Hz, said as often as 20 ms are taken from it.
    frame = array.array("h", [9_000 if n // 8 % 2 else -9_000 for n in range(160)]).tobytes()
    loudest = 0
    for _ in range(60):
        mouth.recv(4096)
        mouth.send(frame)
        loudest = max(loudest, *array.array("h", ear.recv(4096)))
    assert loudest > 5_000, f"nothing came through the other descriptor: {loudest}"
    bus.wait("recording", lambda path, _, member, said: said if (path, member) == (recording, "Recorded") else None)
    with wave.open(path) as file:
        assert max(array.array("h", file.readframes(file.getnframes()))[:: file.getnchannels()]) > 5_000
    mouth.close()
    bus.wait("end of the audio", lambda path, _, member, said: said if (path, member) == (terminal, "AudioEnded") else None)
    # The other end of a call that ends is closed.
    bus.call(caller, "Call", "Drop", "(a{sv})", {})
    deadline = time.monotonic() + PATIENCE / 1000
    while ear.recv(4096):
        assert time.monotonic() < deadline, "the descriptor outlives the call"
    bus.wait("its end", lambda path, _, member, said: said if (path, member) == (ear_at, "AudioEnded") else None)
    tell(step="done", loudest=loudest)


def through(name):
    bus = Bus()
    bus.call(ROOT, "Client", "Open", "(sa{sv})", "raw", {})
    line = bus.line(name)
    bus.call(line, "Line", "Open", "(a{sv})", {})
    deadline = time.monotonic() + PATIENCE / 1000
    while bus.get(line, "Line", "Service") != "in":
        assert time.monotonic() < deadline, "the line does not come into service"
        time.sleep(0.05)
    call, at = bus.call(line, "Line", "PassThrough", "(a{sv})", {})
    end = socket.socket(fileno=bus.descriptors.steal_fds()[at])
    end.settimeout(PATIENCE / 1000)
    bus.until(call, "connected")
    end.sendall(b"ATE0V1\r")
    end.sendall(b"ATI\r")
    text = b""
    while text.count(b"OK") < 2:
        text += end.recv(4096)
    end.close()
    bus.until(call, "idle")
    tell(step="done", said=text.decode(errors="replace"))


def deaf():
    bus, first, second = opened("deaf")
    for line in (first, second):
        bus.call(line, "Line", "Open", "(a{sv})", {"privileges": GLib.Variant("as", ["monitor"])})
    call = place(bus, first, "loopback:1")
    bus.until(call, "proceeding")
    tell(step="hears", call=call, pid=os.getpid())
    # Time in which it was stopped counts for the patience of one wait.
    for last in (False, False, False, False, True):
        try:
            cut = bus.wait("cut-off", lambda path, _, member, said: said if member == "CutOff" else None)
            break
        except AssertionError:
            if last:
                raise
    assert bus.objects(), "it may come again"
    tell(step="cut off", reason=cut[0], told=len(bus.told))


def watched():
    bus = Bus()
    line = bus.line("loopback:0")
    monitor = {"privileges": GLib.Variant("as", ["monitor"])}
    bus.call(line, "Line", "Open", "(a{sv})", monitor)
    bus.call(line, "Line", "Close")
    tell(step="opened")
    deadline = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < deadline:
        try:
            bus.call(line, "Line", "Open", "(a{sv})", monitor)
            bus.call(line, "Line", "Close")
        except GLib.Error:
            tell(step="refused", error=bus.fails(line, "Line", "Open", "(a{sv})", monitor))
            return
    raise AssertionError("it may still open the line")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    match sys.argv[1:]:
        case [name, *values]:
            globals()[name](*values)
