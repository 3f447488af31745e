#!/usr/bin/env python3
"""An application of the virtual machine: owns every line, answers once it knows who calls, speaks and listens.

Prints every event that it is told as a line of JSON.
"""
import json
import sys

from tapi_client import Client, Refused

SAYS, HEARS = 440, 1000


class Application:
    def __init__(self, socket):
        self.client = Client(socket, "application")
        self.waiting = set()
        for line in self.client.call("line.list")["lines"]:
            self.open(line)

    def open(self, line):
        self.client.call("line.open", line=line["line"], privileges=["owner"])
        self.client.call("line.set_status_messages", line=line["line"], states=["in_service", "out_of_service", "ringing"])

    def on(self, event):
        match event["kind"]:
            case "line.added":
                self.open(event["line"])
            case "call.info" if event["info"]["call"] in self.waiting and event["info"]["caller"].get("address"):
                self.waiting.discard(event["info"]["call"])
                self.client.call("call.answer", call=event["info"]["call"])
            case "call.state":
                self.state(event["call"], event["state"])

    def state(self, call, state):
        match state:
            case "offering":
                known = self.client.call("call.get", call=call)["info"]["caller"].get("address")
                if known:
                    self.client.call("call.answer", call=call)
                else:
                    self.waiting.add(call)
            case "connected":
                self.client.call("call.monitor_tones", call=call, hz=[HEARS])
                self.client.call("call.tone", call=call, hz=[SAYS], duration_ms=4000)
            case "disconnected":
                self.client.call("call.drop", call=call)
            case "idle":
                self.client.call("call.deallocate", call=call)

    def run(self):
        while True:
            try:
                event = self.client.event(600)
            except OSError:
                self.client.resume(within=60)
                continue
            if event is None:
                continue
            print(json.dumps(event), flush=True)
            try:
                self.on(event)
            except Refused as refused:
                print(json.dumps({"kind": "refused", "why": str(refused)}), flush=True)


Application(sys.argv[1]).run()
