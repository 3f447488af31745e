"""A modem's call joined to a SIP call, and what crosses. The far end of the modem's call is joined to a second SIP telephone, so
that both ends are telephones of the suite with one clock: what leaves one socket is found again at the other."""
import time

import judgement
import signals
from phone import CallFailed, Phone, arrival
from scenarios import judge, milliseconds, out, partner, scenario, tone
from station import SIP_LINE, SIP_USER, Absent, Failed

CHIRPS = 5


def through(speaker, listener, station, name, passes=1):
    """Sends chirps; the one-way delay found by correlation, judged. A first one opens the way through modems that turn round for it, and
    the others come soon enough to keep it open."""
    apart = max(0.7, station.rig.limits["delay_ms"] * passes / 1000 + 0.1)
    speaker.media.play(signals.chirp())
    station.rest(apart)
    since, marks, delays = time.monotonic(), [], []
    pattern = signals.chirp()
    for at in range(CHIRPS):
        marks.append(speaker.media.play(pattern))
        # Not in step with the frames: each chirp begins elsewhere in whatever beats on the way.
        station.rest(apart + 0.007 * at)
    station.rest(0.5)
    samples, places, _ = listener.media.heard(since)
    for mark in marks:
        if not mark:
            raise Failed("a chirp was not sent")
        first = next((place for place, at in places if at > mark[0] - 0.02), None)
        if first is None:
            raise Failed("nothing was heard after a chirp")
        found = signals.find(pattern, samples[first:first + int((apart - 0.05) * signals.RATE)])
        if found and found[1] > 0.4:
            delays.append((arrival(places, first + found[0]) - mark[0]) * 1000)
    return judgement.delays(name, delays, CHIRPS, station.limits(since), passes)


def both_ways(station, near, sip, far):
    """Delay, gaps, level and purity from one telephone to the other, and back."""
    measures = {}
    station.rest(1.5)
    for way, speaker, listener in (("to_modem", sip, far), ("to_sip", far, sip)):
        measures |= station.measured(lambda: through(speaker, listener, station, f"{way}_delay"))
        measures |= station.measured(lambda: crosses(station, near, way, speaker, listener))
        station.rest(2)
    return measures


def crosses(station, near, way, speaker, listener):
    """A tone from one telephone to the other."""
    since = time.monotonic()
    speaker.media.play(tone(5.0))
    station.rest(5.2 + station.rig.limits["delay_ms"] / 1000)
    samples, _, lost = listener.media.heard(since)
    return judge(station, near, way, samples, 5.0, since) | {f"{way}_packets_lost": lost}


def join(station, one, other):
    one.ask("bridge", **{"with": other.call})


def ring(station, phone):
    """Calls one of the suite's telephones over the SIP line, which answers: the daemon's leg."""
    leg, began = station.make(SIP_LINE, f"sip:{phone.user}@127.0.0.1:{phone.port}")
    phone.wait("rings", 10)
    phone.answer()
    leg.wait("connected", seconds=10)
    return leg, began


@scenario("bridge, SIP to modem")
def sip_to_modem(station, near):
    far = partner(station, near)
    distant = Phone("distant")
    try:
        station.phone.call(SIP_USER, station.sip_port)
        came = station.offered(SIP_LINE)
        came.ask("answer")
        station.phone.answered(10)
        came.wait("connected")
        here, there, measures, _ = out(station, near, far, 1.0)
        join(station, came, here)
        onward, _ = ring(station, distant)
        join(station, there, onward)
        return measures | both_ways(station, near, station.phone, distant)
    except CallFailed as failure:
        raise Failed(str(failure)) from None
    finally:
        distant.close()


@scenario("bridge, modem to SIP")
def modem_to_sip(station, near):
    far = partner(station, near)
    distant = Phone("distant")
    try:
        there, began = station.make(far.line, near.number)
        here = station.offered(near.line)
        here.ask("answer")
        here.wait("connected")
        onward, _ = ring(station, station.phone)
        join(station, here, onward)
        # The telephone speaks first: that is how an analogue caller notices the answer.
        station.phone.media.play(tone(3.0))
        measures = {"setup_ms": milliseconds(began, there.wait("connected"))}
        beyond, _ = ring(station, distant)
        join(station, there, beyond)
        station.rest(3)
        return measures | both_ways(station, near, station.phone, distant)
    except CallFailed as failure:
        raise Failed(str(failure)) from None
    finally:
        distant.close()


@scenario("bridge, echo number")
def echo(station, near):
    number = station.rig.number("echo")
    if not near.duplex:
        raise Absent(f"{near.name} hears nothing while it plays")
    return _echo(station, near.line, number)


def _echo(station, line, number):
    try:
        here, began = station.make(line, number)
        onward, _ = ring(station, station.phone)
        connected = here.wait("connected", seconds=station.rig.patience["answer"])
        join(station, here, onward)
        station.rest(1.5)
        return {"setup_ms": milliseconds(began, connected)} | station.measured(
            lambda: through(station.phone, station.phone, station, "round_trip", 2))
    except CallFailed as failure:
        raise Failed(str(failure)) from None


@scenario("SIP peer, echo number")
def peer_echo(station, near):
    peers = [peer for peer in station.rig.peers if peer.echo]
    if not peers:
        raise Absent("no [[sip]] peer with an `echo` number")
    return _echo(station, peers[0].line, peers[0].echo)
