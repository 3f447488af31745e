"""Modems that are pulled out in every state of a call, put in again, and reset."""
import time

import judgement
from scenarios import milliseconds, out, partner, scenario
from station import Absent, Failed


def service(station, line, since, change):
    """When a line changed so, after a moment."""
    return next((at for at, name, what, _ in station.line_events if name == line and what == change and at >= since), None)


def away(station, near, asked, since, leg=None):
    """The line goes out of service, and its call ends with a reason. Times count from the moment at which the modem was out
    (`since`); what was seen between the request (`asked`) and that moment was at once."""
    if not station.pump(lambda: not station.in_service(near.line), 10):
        raise Failed("the line stayed in service without its modem")
    gone = service(station, near.line, asked, "out_of_service") or time.monotonic()
    measures = {"out_of_service_ms": max(0, milliseconds(since, gone))}
    if near.line in station.lines:
        reason = station.lines[near.line]["status"].get("reason")
        if not reason:
            raise Failed("the line is out of service without a reason")
        measures["reason"] = reason
    if leg is not None:
        ended = leg.wait("disconnected", "idle", seconds=10)
        measures["ended_ms"] = max(0, milliseconds(since, ended))
        measures["mode"] = judgement.ending(leg.mode(), "unavail", station.rig.simulated)
    return measures


def back(station, near, since, before):
    """The line is in service again under its permanent name and id."""
    station.pump(lambda: station.in_service(near.line), station.rig.patience["service"])
    after = station.lines[near.line]["line"] if station.in_service(near.line) else None
    judgement.same_line(near.line, before["line"], after)
    return {"in_service_ms": milliseconds(since, time.monotonic())}


def idle(station, near):
    return None


def dialing(station, near):
    leg, _ = station.make(near.line, partner(station, near).number)
    leg.wait("dialtone", "dialing", "proceeding")
    return leg


def ringback(station, near):
    far = partner(station, near)
    leg, _ = station.make(near.line, far.number)
    station.offered(far.line)
    leg.wait("ringback")
    return leg


def offering(station, near):
    station.make(partner(station, near).line, near.number)
    return station.offered(near.line)


def accepted(station, near):
    leg = offering(station, near)
    if "accept" not in leg.features:
        raise Absent(f"calls of {near.name} are not accepted before the answer")
    leg.ask("accept")
    leg.wait("accepted")
    return leg


def connected(station, near):
    leg, _, _, _ = out(station, near, partner(station, near), 1.0)
    return leg


def playing(station, near):
    leg, there, _, _ = out(station, near, partner(station, near), 1.0)
    leg.play([0] * 80000)
    leg.ask("send_digits", digits="0123456789")
    there.record()
    return leg


def on_hold(station, near):
    leg = connected(station, near)
    if "hold" not in leg.features:
        raise Absent(f"the line of {near.name} cannot hold")
    leg.ask("hold")
    leg.wait("on_hold", seconds=10)
    return leg


def unplugged(begin):
    def run(station, near):
        station.rig.can_switch(near, "unplug")
        station.rig.can_switch(near, "plug")
        leg = begin(station, near)
        before = dict(station.lines[near.line])
        asked = time.monotonic()
        station.rig.switch(near, "unplug")
        try:
            measures = away(station, near, asked, time.monotonic(), leg)
        finally:
            station.rest(0.5)
            in_at = time.monotonic()
            station.rig.switch(near, "plug")
        return measures | back(station, near, in_at, before)
    return run


for state in (idle, dialing, ringback, offering, accepted, connected, playing, on_hold):
    words = "idle" if state is idle else state.__name__.replace("_", " ")
    scenario(f"unplug and replug, {words}")(unplugged(state))


@scenario("reset of the modem")
def reset(station, near):
    station.rig.can_switch(near, "reset")
    leg = connected(station, near)
    before = dict(station.lines[near.line])
    began = time.monotonic()
    station.rig.switch(near, "reset")
    ended = leg.wait("disconnected", "idle", seconds=20)
    measures = {"ended_ms": milliseconds(began, ended), "mode": judgement.ending(leg.mode(), "unavail", station.rig.simulated)}
    gone = station.pump(lambda: service(station, near.line, began, "out_of_service") is not None, 5)
    if not gone and station.rig.simulated:
        raise Failed("the line stayed in service while its modem started")
    measures |= back(station, near, began, before)
    station.clear()
    out(station, near, partner(station, near), 1.0)
    return measures | {"calls_again": True}
