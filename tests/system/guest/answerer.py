#!/usr/bin/env python3
"""Answers every call of a line: answerer.py SOCKET LINE."""
import sys

from tapi_client import Client


def main(socket, line):
    client = Client(socket, "answerer")
    client.call("line.open", line=line, privileges=["owner"])
    print("ready", flush=True)
    while True:
        event = client.event(60)
        if event and event["kind"] == "call.state" and event["state"] == "offering":
            client.call("call.answer", call=event["call"])


main(*sys.argv[1:])
