"""A modem's call joined to a SIP call, and what crosses. The far end of the modem's call is joined to a second SIP telephone, so
that both ends are telephones of the suite with one clock: what leaves one socket is found again at the other."""
import time

import signals
from phone import CallFailed, Phone, arrival
from scenarios import judge, milliseconds, out, partner, scenario, tone
from station import SIP_LINE, SIP_USER, Absent, Failed

CHIRPS, APART = 5, 1.0


def through(speaker, listener, station):
    """Sends chirps; the one-way delays found by correlation, in ms."""
    since, marks, delays = time.monotonic(), [], []
    pattern = signals.chirp()
    for at in range(CHIRPS):
        marks.append(speaker.media.play(pattern))
        # Not in step with the frames: each chirp begins elsewhere in whatever beats on the way.
        station.rest(APART + 0.007 * at)
    station.rest(0.5)
    samples, places, _ = listener.media.heard(since)
    for mark in marks:
        if not mark:
            raise Failed("a chirp was not sent")
        first = next((place for place, at in places if at > mark[0] - 0.02), None)
        if first is None:
            raise Failed("nothing was heard after a chirp")
        found = signals.find(pattern, samples[first:first + int(0.95 * signals.RATE)])
        if found and found[1] > 0.4:
            delays.append((arrival(places, first + found[0]) - mark[0]) * 1000)
    if len(delays) < CHIRPS - 1:
        raise Failed(f"{len(delays)} of {CHIRPS} chirps were found")
    return sorted(delays)


def both_ways(station, near, sip, far):
    """Delay, gaps, level and purity from one telephone to the other, and back."""
    measures = {}
    station.rest(1.5)
    for way, speaker, listener in (("to_modem", sip, far), ("to_sip", far, sip)):
        delays = through(speaker, listener, station)
        measures[f"{way}_delay_ms"] = round(delays[len(delays) // 2])
        measures[f"{way}_delay_max_ms"] = round(delays[-1])
        if delays[-1] > station.rig.limits["delay_ms"]:
            raise Failed(f"{way}: the delay is too long: {measures}")
        since = time.monotonic()
        speaker.media.play(tone(5.0))
        station.rest(5.8)
        samples, _, lost = listener.media.heard(since)
        measures |= judge(station, near, way, samples)
        measures[f"{way}_packets_lost"] = lost
    return measures


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
    return _echo(station, near.line, number)


def _echo(station, line, number):
    try:
        here, began = station.make(line, number)
        onward, _ = ring(station, station.phone)
        connected = here.wait("connected", seconds=station.rig.patience["answer"])
        join(station, here, onward)
        station.rest(1.5)
        delays = through(station.phone, station.phone, station)
        return {"setup_ms": milliseconds(began, connected), "round_trip_ms": round(delays[len(delays) // 2]),
                "round_trip_max_ms": round(delays[-1])}
    except CallFailed as failure:
        raise Failed(str(failure)) from None


@scenario("SIP peer, echo number")
def peer_echo(station, near):
    peers = [peer for peer in station.rig.peers if peer.echo]
    if not peers:
        raise Absent("no [[sip]] peer with an `echo` number")
    return _echo(station, peers[0].line, peers[0].echo)
