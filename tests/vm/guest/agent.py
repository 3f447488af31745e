#!/usr/bin/env python3
"""Runs in the virtual machine what the test asks for: a line of JSON in, a line of JSON out, over a virtio port.

{"id", "argv", ["timeout"], ["input"]} is answered by {"id", "code", "out", "err"}; with "log" instead of a timeout the
program goes on beside, its output goes into that file, and the answer is {"id", "pid"}.
"""
import json
import subprocess
import threading

PORT = "/dev/virtio-ports/org.tapid.agent"


def run(request, answer):
    argv, log = request["argv"], request.get("log")
    try:
        if log:
            with open(log, "ab") as out:
                done = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
            threading.Thread(target=done.wait, daemon=True).start()
            answer(id=request["id"], pid=done.pid)
            return
        done = subprocess.run(argv, input=request.get("input", ""), capture_output=True, text=True, errors="replace",
                              timeout=request.get("timeout", 60), check=False)
        answer(id=request["id"], code=done.returncode, out=done.stdout, err=done.stderr)
    except (OSError, subprocess.SubprocessError) as error:
        answer(id=request["id"], code=-1, out="", err=str(error))


def main():
    writing = threading.Lock()
    with open(PORT, "r+b", buffering=0) as port:
        def answer(**what):
            rest = json.dumps(what).encode() + b"\n"
            with writing:
                while rest:
                    rest = rest[port.write(rest):]

        answer(id=0, ready=True)
        text = b""
        while True:
            text += port.read(65536) or b""
            *lines, text = text.split(b"\n")
            for line in filter(None, lines):
                threading.Thread(target=run, args=(json.loads(line), answer), daemon=True).start()


main()
