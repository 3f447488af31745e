#!/usr/bin/env python3
"""An application that answers, joins the call with itself (an echo), and proves that no event is lost or doubled.

witness.py SOCKET STOP-FILE: every event carries the number of the one that this session was sent before it, so that a
gap or a repetition shows. A second session opens and closes the line all the time, so that there are events to lose.
"""
import json
import os
import sys
import threading
import time

from tapi_client import Client, Refused

LINE = "sip:trunk"


def busybody(socket, stop):
    """Makes events: a session that opens and closes the line twenty times a second."""
    client = None
    while not os.path.exists(stop):
        try:
            client = client or Client(socket, "busybody")
            client.call("line.open", line=LINE)
            client.call("line.close", line=LINE)
            time.sleep(0.05)
        except (OSError, Refused):
            client = None
            time.sleep(0.05)


def main(socket, stop):
    client = Client(socket, "witness")
    client.call("line.open", line=LINE, privileges=["owner"])
    client.call("line.set_status_messages", line=LINE, states=["open", "close", "in_service", "out_of_service"])
    threading.Thread(target=busybody, args=(socket, stop), daemon=True).start()
    seen, last, lost, doubled, resumed, states, took = 0, client.seen, 0, 0, 0, [], []
    print("ready", flush=True)
    while not os.path.exists(stop):
        try:
            event = client.event(0.5)
        except OSError:
            gone = time.monotonic()
            client.resume(within=20)
            took.append(round(1000 * (time.monotonic() - gone)))
            resumed += 1
            continue
        if event is None:
            continue
        seen += 1
        lost += event["prev"] > last
        doubled += event["seq"] <= last
        last = max(last, event["seq"])
        if event["kind"] == "call.state":
            states.append(event["state"])
            if event["state"] == "offering":
                client.call("call.answer", call=event["call"])
            elif event["state"] == "connected":
                client.call("call.bridge", call=event["call"], **{"with": event["call"]})
    print(json.dumps({"events": seen, "lost": lost, "doubled": doubled, "resumed": resumed, "resume_ms": took,
                      "states": states}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
