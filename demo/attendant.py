#!/usr/bin/env python3
"""An attendant: answers whatever line rings, plays a prompt, takes a number, dials it on another line, joins the two.

It knows calls and lines. It does not know what a modem or SIP is.
"""
import argparse
import sys
import time

from tapi_client import Client, Refused, open_file

START = time.monotonic()


def say(text):
    print(f"[app   {time.monotonic() - START:6.2f}] {text}", flush=True)


class Attendant:
    def __init__(self, options):
        self.options = options
        self.client = Client(options.socket, "attendant")
        self.lines, self.digits, self.prompt, self.partner, self.levels, self.calls = {}, {}, {}, {}, {}, {}
        for line in self.client.call("line.list")["lines"]:
            self.open(line)

    def open(self, line):
        self.lines[line["line"]] = line
        self.client.call("line.open", line=line["line"], privileges=["owner", "monitor"])
        self.client.call("line.set_status_messages", line=line["line"], states=["in_service", "out_of_service", "ringing"])
        say(f"line {line['name']}: {line['description']}, {line['status']['service']} service")

    def run(self):
        while True:
            try:
                event = self.client.event(60)
            except ConnectionError:
                say("the server went away; taking the session up again")
                self.client.resume(within=10)
                say(f"back in the same session, events go on after {self.client.seen}")
                continue
            if event is None:
                return
            try:
                handler = getattr(self, "on_" + event["kind"].replace(".", "_"), None)
                if handler:
                    handler(event)
            except Refused as refusal:
                say(f"refused: {refusal}")

    def on_line_added(self, event):
        self.open(event["line"])

    def on_line_state(self, event):
        line = self.lines[event["line"]]
        line["status"] = event["status"]
        if event["change"] != "ringing":
            say(f"line {line['name']} is {event['change'].replace('_', ' ')}")

    def on_call_new(self, event):
        info = event["call"]["info"]
        self.calls[info["call"]] = info
        caller = info["caller"].get("address") or "somebody"
        say(f"call {info['call']} on {info['line_name']} from {caller}")

    def on_call_info(self, event):
        info = event["info"]
        before = self.calls.get(info["call"])
        self.calls[info["call"]] = info
        if "caller_id" in event["changed"] and before:
            say(f"call {info['call']}: it is {info['caller'].get('address')}")

    def on_call_state(self, event):
        call, state = event["call"], event["state"]
        mode = f" ({event['mode']})" if event.get("mode") else ""
        say(f"call {call} is {state}{mode}")
        act = getattr(self, "when_" + state, None)
        if act:
            act(call, event)

    def when_offering(self, call, event):
        self.client.call("call.accept", call=call)
        self.client.call("call.monitor_digits", call=call, on=True)
        self.client.call("call.answer", call=call)

    def when_connected(self, call, event):
        if call in self.partner:
            self.join(call, self.partner[call])
        elif call not in self.digits:
            self.digits[call] = ""
            line = self.lines[event["line"]]["name"]
            if line in self.options.forward:
                self.dial(call, self.options.forward[line])
            else:
                file = open_file(self.options.prompt)
                self.prompt[call] = self.client.call("call.play", file, call=call, source="descriptor")["operation"]
                say(f"call {call}: playing the prompt")

    def on_call_played(self, event):
        say(f"call {event['call']}: the prompt ended ({event['end']}, {event['played_ms']} ms)")
        self.prompt.pop(event["call"], None)

    def on_call_digit(self, event):
        call = event["call"]
        say(f"call {call}: digit {event['digit']}")
        if call not in self.digits or call in self.partner:
            return
        if event["digit"] != "#":
            self.digits[call] += event["digit"]
            return
        if call in self.prompt:
            self.client.call("call.stop", call=call, operation=self.prompt[call])
        self.dial(call, self.digits[call])

    def dial(self, call, number):
        own = self.calls[call]["line"]
        ready = [line for line in self.client.call("line.list")["lines"]
                 if line["line"] != own and "make_call" in line["status"]["features"]]
        routes = [name for prefix, name in self.options.route.items() if number.startswith(prefix)]
        ready.sort(key=lambda line: line["name"] not in routes)
        if not ready:
            say("no other line is ready")
            return
        say(f"call {call}: dialling {number} on {ready[0]['name']}")
        other = self.client.call("call.make", line=ready[0]["line"], to=number)["call"]
        self.partner[call], self.partner[other] = other, call

    def join(self, call, other):
        self.client.call("call.bridge", call=call, **{"with": other})
        for one in (call, other):
            self.client.call("call.monitor_tones", call=one, hz=self.options.hz)
        say(f"calls {call} and {other} are joined")

    def on_call_tone(self, event):
        loudest = max(event["tones"], key=lambda tone: tone["level_ddbm0"])
        heard = loudest["hz"] if loudest["level_ddbm0"] > -300 else None
        # The reading in which a tone begins has only a part of it: the second one tells.
        told, before = self.levels.get(event["call"], (None, None))
        self.levels[event["call"]] = (heard if heard == before else told, heard)
        if heard == before and heard != told:
            text = f"{heard} Hz at {loudest['level_ddbm0'] / 10:.1f} dBm0" if heard else "nothing"
            say(f"call {event['call']}: hears {text}")

    def when_disconnected(self, call, event):
        self.end(call)

    def when_busy(self, call, event):
        self.end(call)

    def when_idle(self, call, event):
        self.client.call("call.deallocate", call=call)
        self.calls.pop(call, None)

    def end(self, call):
        for one in (call, self.partner.pop(call, None)):
            if one is not None:
                self.partner.pop(one, None)
                try:
                    self.client.call("call.drop", call=one)
                except Refused as refusal:
                    say(str(refusal))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", default="/run/tapid/api.sock")
    parser.add_argument("--prompt", required=True, help="WAV file to greet callers with")
    parser.add_argument("--forward", action="append", default=[], metavar="LINE=NUMBER",
                        help="callers on this line are not asked, but sent on to this number")
    parser.add_argument("--route", action="append", default=[], metavar="PREFIX=LINE",
                        help="numbers that begin so go out on this line; others on any that is ready")
    parser.add_argument("--hz", type=int, action="append", default=[], help="tone to listen for once calls are joined")
    options = parser.parse_args()
    options.forward = dict(entry.rsplit("=", 1) for entry in options.forward)
    options.route = dict(entry.split("=", 1) for entry in options.route)
    options.hz = options.hz or [440, 1000]
    Attendant(options).run()


if __name__ == "__main__":
    sys.exit(main())
