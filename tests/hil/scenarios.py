"""Calls: placed, taken, refused, held, ended. Each scenario gets the station and the modem under test, measures, and raises
`Failed` for what must not be, `Absent` for what this rig cannot try."""
import time

import judgement
import signals
from station import Absent, Failed, Refused, audio

ALL = []
TONE_HZ, TONE_DBM0 = 1004, -16.0
DIGITS = "0123456789*#" * 4 + "84"


def scenario(name, where=lambda modem: modem.near):
    def keep(function):
        ALL.append((name, function, where))
        return function
    return keep


def milliseconds(since, until):
    return round((until - since) * 1000)


def others(station, near):
    """Lines that can call the modem and be called, those of its own kind first."""
    cellular = "audio_device" in near.daemon
    modems = [modem for modem in station.rig.modems if modem.number and not modem.dead and modem.name != near.name]
    modems.sort(key=lambda modem: ("audio_device" in modem.daemon) != cellular)
    return modems + [peer for peer in station.rig.peers if peer.number]


def partner(station, near, count=1):
    if not near.number:
        raise Absent(f"{near.name} has no `number` that others could call")
    found = others(station, near)
    if len(found) < count:
        raise Absent(f"{count} other line(s) with a `number` needed, this rig has {len(found)}")
    return found[0] if count == 1 else found[:count]


def tone(seconds):
    return audio.tone(TONE_HZ, seconds, TONE_DBM0)


def out(station, near, far, seconds=3.0):
    """A call from the modem to the other line, answered there at once, which then speaks a tone: (near, far, measures)."""
    here, began = station.make(near.line, far.number)
    there = station.offered(far.line)
    rang = there.entered("offering")
    if "accept" in there.features:
        there.ask("accept")
    asked = time.monotonic()
    there.ask("answer")
    there.wait("connected")
    there.play(tone(seconds))
    connected = here.wait("connected")
    evidence = here.ask("get")["info"].get("answered_by")
    measures = {"ring_ms": milliseconds(began, rang), "setup_ms": milliseconds(began, connected),
                "answer_told_ms": milliseconds(asked, connected), "answered_by": evidence}
    return here, there, measures, asked


@scenario("outgoing, answered")
def outgoing(station, near):
    here, _, measures, asked = out(station, near, partner(station, near))
    recording = here.record()
    station.rest(1.5)
    at = signals.onset(recording.stop(), TONE_HZ)
    if at is None:
        raise Failed("the tone of the far end was not heard")
    return measures | {"answer_to_audio_ms": milliseconds(asked, recording.began + at)}


@scenario("incoming, answered")
def incoming(station, near):
    far = partner(station, near)
    there, began = station.make(far.line, near.number)
    here = station.offered(near.line)
    measures = {"ring_ms": milliseconds(began, here.entered("offering"))}
    station.pump(lambda: here.info.get("caller", {}).get("address"), 10)
    shown = here.info.get("caller", {}).get("address")
    measures["caller_id_ms"] = milliseconds(here.entered("offering"), time.monotonic()) if shown else None
    if shown is None or far.number.lstrip("+")[-4:] not in shown:
        raise Failed(f"the caller {far.number} was shown as {shown}")
    asked = time.monotonic()
    here.ask("answer")
    measures["answer_taken_ms"] = milliseconds(asked, here.wait("connected"))
    here.play(tone(4.0))
    measures["answer_told_ms"] = milliseconds(asked, there.wait("connected"))
    recording = there.record()
    station.rest(1.5)
    at = signals.onset(recording.stop(), TONE_HZ)
    if at is None:
        raise Failed("the caller did not hear the tone of the modem")
    return measures | {"answer_to_audio_ms": milliseconds(asked, recording.began + at)}


@scenario("busy")
def busy(station, near):
    here, began = station.make(near.line, station.rig.number("busy"))
    here.wait("disconnected", "busy", "connected", seconds=station.rig.patience["answer"] + 10)
    if here.entered("connected"):
        raise Failed("an engaged number was taken for answered")
    if here.entered("busy") is None and here.mode() != "busy":
        raise Failed(f"it ended as {here.mode()}, not as busy")
    return {"told_ms": milliseconds(began, here.entered("busy", "disconnected"))}


@scenario("no answer")
def no_answer(station, near):
    far = partner(station, near)
    here, began = station.make(near.line, far.number)
    there = station.offered(far.line)
    if "accept" in there.features:
        there.ask("accept")
    here.wait("ringback", "proceeding", "dialing", seconds=20)
    station.rest(8)
    if here.entered("connected"):
        raise Failed("ringing was taken for an answer")
    asked = time.monotonic()
    station.drop(here)
    here.wait("idle", seconds=20)
    ended = there.wait("disconnected", "idle", seconds=20)
    return {"ring_ms": milliseconds(began, there.entered("offering")), "given_up_ms": milliseconds(asked, here.entered("idle")),
            "far_end_told_ms": milliseconds(asked, ended)}


@scenario("no dial tone", where=lambda modem: modem.dead)
def no_dial_tone(station, dead):
    here, began = station.make(dead.line, "4930100")
    here.wait("disconnected", "connected")
    if here.mode() != "no_dialtone":
        raise Failed(f"it was {'answered' if here.entered('connected') else here.mode()}, not no_dialtone")
    return {"told_ms": milliseconds(began, here.entered("disconnected"))}


@scenario("withheld caller id")
def withheld(station, near):
    if not near.number:
        raise Absent(f"{near.name} has no `number`")
    callers = [modem for modem in others(station, near) if getattr(modem, "withholds", False)]
    if not callers:
        raise Absent("no other modem `withholds` its number")
    station.make(callers[0].line, near.number, block_id=True)
    here = station.offered(near.line)
    blocked = lambda: "blocked" in here.info.get("caller", {}).get("flags", [])  # noqa: E731
    station.pump(blocked, 10)
    if not blocked():
        raise Failed(f"the caller was shown as {here.info.get('caller')}")
    return {"told_ms": milliseconds(here.entered("offering"), time.monotonic())}


@scenario("call waiting")
def waiting(station, near):
    if not near.waiting:
        raise Absent(f"no call `waiting` at {near.name}")
    first, second = partner(station, near, 2)
    here, there, _, _ = out(station, near, first)
    third, began = station.make(second.line, near.number)
    knocks = station.offered(near.line)
    measures = {"knock_ms": milliseconds(began, knocks.entered("offering"))}
    asked = time.monotonic()
    knocks.ask("answer")
    measures["answer_taken_ms"] = milliseconds(asked, knocks.wait("connected"))
    here.wait("on_hold", seconds=10)
    try:
        knocks.ask("drop")
        measures["ended_by"] = "us"
        third.wait("disconnected", "idle", seconds=20)
    except Refused as refusal:
        # Not every exchange ends one of two calls of a line alone.
        if refusal.code != "OPERATIONUNAVAIL":
            raise
        third.ask("drop")
        measures["ended_by"] = "the far end"
        knocks.wait("disconnected", "idle", seconds=20)
    if there.state != "connected":
        raise Failed(f"the first call did not survive: {there.state}")
    return measures


def loudest(leg):
    """Which of the tones that are watched for a call hears now."""
    levels = leg.tones[-1][1] if leg.tones else {}
    return max(levels, key=levels.get) if levels and max(levels.values()) > -40 else None


@scenario("hold and swap")
def hold_and_swap(station, near):
    first, second = partner(station, near, 2)
    here, there, _, _ = out(station, near, first, 1.0)
    if "hold" not in here.features:
        raise Absent(f"the line of {near.name} cannot hold")
    there.play(audio.tone(700, 40, TONE_DBM0))
    asked = time.monotonic()
    here.ask("hold")
    measures = {"hold_ms": milliseconds(asked, here.wait("on_hold", seconds=10))}
    other, _ = station.make(near.line, second.number)
    beyond = station.offered(second.line)
    beyond.ask("answer")
    beyond.wait("connected")
    beyond.play(audio.tone(1200, 40, TONE_DBM0))
    other.wait("connected")
    for leg in (here, other):
        leg.ask("monitor_tones", hz=[700, 1200])
    if not station.pump(lambda: loudest(other) == 1200, 5):
        raise Failed("the second call does not hear its far end")
    asked = time.monotonic()
    other.ask("swap_hold", **{"with": here.call})
    if not station.pump(lambda: here.state == "connected" and other.state == "on_hold", 10):
        raise Failed(f"after the swap the calls are {here.state} and {other.state}")
    measures["swap_ms"] = milliseconds(asked, time.monotonic())
    if not station.pump(lambda: loudest(here) == 700, 5):
        raise Failed("after the swap the first call does not hear its far end")
    return measures | {"swap_to_audio_ms": milliseconds(asked, here.tones[-1][0])}


def digits(station, sender, receiver, text):
    """Sends digits; those that arrived."""
    receiver.digits.clear()
    receiver.ask("monitor_digits", on=True)
    operation = sender.ask("send_digits", digits=text, duration_ms=100)["operation"]
    station.pump(lambda: operation in station.generated, 60)
    # A network may play digits more slowly than it takes them.
    known = -1
    while known != len(receiver.digits):
        known = len(receiver.digits)
        station.rest(1.5)
    return "".join(receiver.digits)


@scenario("DTMF both ways")
def dtmf(station, near):
    far = partner(station, near)
    here, there, _, _ = out(station, near, far, 0.5)
    station.rest(1)
    measures = {"digits": len(DIGITS)}
    for way, sender, receiver in (("sent", here, there), ("received", there, here)):
        measures |= judgement.digits(way, DIGITS, digits(station, sender, receiver, DIGITS), station.rig.limits)
    return measures


@scenario("remote hang-up")
def remote_hang_up(station, near):
    here, there, _, _ = out(station, near, partner(station, near), 1.0)
    station.rest(1)
    asked = time.monotonic()
    there.ask("drop")
    ended = here.wait("disconnected", seconds=station.rig.patience["clear"] + 15)
    return {"told_ms": milliseconds(asked, ended), "mode": judgement.ending(here.mode(), "normal", station.rig.simulated)}


@scenario("tone after the path")
def purity(station, near):
    here, there, _, _ = out(station, near, partner(station, near), 0.5)
    measures = {}
    for way, speaker, listener in (("sent", here, there), ("received", there, here)):
        measures |= station.measured(lambda: heard(station, near, way, speaker, listener))
    return measures


def heard(station, near, way, speaker, listener):
    """A tone from one call to the other. A modem that carries one direction at a time listens again a while after it spoke."""
    station.rest(2)
    since, recording = time.monotonic(), listener.record()
    speaker.play(tone(4.0))
    station.rest(4.2 + station.rig.limits["delay_ms"] / 1000)
    return judge(station, near, way, recording.stop(), 4.0, since)


def judge(station, near, way, samples, seconds, since):
    """A tone of so many seconds in what was heard since a moment, against the limits. A network's speech codec is between real dongles."""
    coded = "audio_device" in near.daemon and not station.rig.simulated
    return judgement.tone(way, samples, TONE_HZ, TONE_DBM0, seconds, station.limits(since), coded)


__all__ = ["ALL", "Refused", "scenario"]
