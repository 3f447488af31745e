#!/usr/bin/env python3
"""Answers every call of a line: answerer.py SOCKET LINE."""
import sys

from tapi_client import Client, Refused


def main(socket, line):
    client = Client(socket, "answerer")
    client.call("line.open", line=line, privileges=["owner"])
    print("ready", flush=True)
    while True:
        try:
            event = client.event(60)
        except OSError:
            try:
                client.resume(within=20)
            except (OSError, Refused):
                return
            continue
        if event and event["kind"] == "call.state" and event["state"] == "offering":
            client.call("call.answer", call=event["call"])


main(*sys.argv[1:])
