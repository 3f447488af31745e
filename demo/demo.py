#!/usr/bin/env python3
"""The main job of tapid, shown with nothing pretended.

A SIP caller (baresip) reaches a SIP line, is greeted, and types a number. The application dials it on a modem line and joins
the two. Both ends measure what they hear; the daemon is restarted in the middle. Then a GSM modem rings with a caller's number, is
answered, and joined to a SIP callee (SIPp) that echoes: the level of each direction, and the way there and back, are measured. In a
second act (trunk.py) a line registers at Kamailio, and a call under TLS and SRTP is transferred.
"""
import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import audio
from programs import Baresip, Watched, free_port, say
from stand_in import ServiceManager
from trunk import TrunkAct

CALLER_HZ, CALLER_DBM0 = 1000, -12.0
CALLED_HZ, CALLED_DBM0 = 440, -16.0
ANALOGUE, CELLULAR, CALLED = "4930100", "4930200", "4930300"


class Demo:
    def __init__(self, bin_directory, directory):
        self.bin, self.directory, self.results = bin_directory, directory, []
        self.socket = os.path.join(directory, "api.sock")
        self.sip, self.callee = free_port(), free_port()
        self.running = []

    def path(self, name):
        return os.path.join(self.directory, name)

    def program(self, name):
        return os.path.join(self.bin, name)

    def tapictl(self, *arguments, show=True):
        done = subprocess.run([self.program("tapictl"), "--socket", self.socket, *arguments],
                              capture_output=True, text=True, timeout=20, check=False)
        if show:
            print(f"$ tapictl {' '.join(arguments)}\n{(done.stdout + done.stderr).rstrip()}", flush=True)
        return done

    def check(self, name, right, text):
        self.results.append((right, name, text))

    def prepare(self):
        audio.write_wav(self.path("microphone.wav"), audio.tone(CALLER_HZ, 60, CALLER_DBM0))
        melody = [sample for hz in (523, 659, 784, 1047) for sample in audio.tone(hz, 0.7, -14)]
        audio.write_wav(self.path("prompt.wav"), melody)
        rtp = 21000 + os.getpid() % 40 * 100
        with open(self.path("tapid.toml"), "w", encoding="utf-8") as file:
            file.write(f"""
[daemon]
socket = "{self.socket}"

[rtp]
address = "127.0.0.1"
ports = "{rtp}-{rtp + 40}"

[[sip]]
name = "trunk"
listen = "127.0.0.1:{self.sip}"

[[sip.lines]]
name = "sip:trunk"
user = "100"
domain = "127.0.0.1"
peers = ["127.0.0.1"]
proxy = "127.0.0.1:{self.callee}"

[[modem]]
name = "analogue"
line_name = "modem:analogue"
device = "{self.path('analogue0')}"
profile = "v253"
address = "{ANALOGUE}"

[[modem]]
name = "dongle"
line_name = "modem:dongle"
device = "{self.path('cellular0')}"
audio_device = "{self.path('cellular0-audio')}"
profile = "27007"
address = "{CELLULAR}"
""")

    def start(self):
        say("a simulated exchange with an analogue voice modem and a GSM modem on ptys, and a subscriber")
        self.exchange = Watched("exchange", [
            self.program("tapi-exchange"), "--analogue", ANALOGUE, "--cellular", CELLULAR,
            "--subscriber", f"{CALLED}=tone:{CALLED_HZ}@{CALLED_DBM0 * 10:.0f},answer:500ms", "--link-dir", self.directory])
        self.running.append(self.exchange)
        self.exchange.wait('"ready"')
        say("tapid, under a stand-in for the service manager")
        self.log = open(self.path("tapid.log"), "a", encoding="utf-8")
        self.manager = ServiceManager([self.program("tapid"), "--config", self.path("tapid.toml")], self.directory, self.log)
        self.manager.start()
        deadline = time.monotonic() + 30
        while True:
            lines = self.tapictl("lines", "--json", show=False).stdout
            if lines.count('"service":"in"') >= 3 or lines.count('"in"') >= 3:
                break
            if time.monotonic() > deadline:
                self.tapictl("lines")
                raise SystemExit("demo: not every line came into service")
            time.sleep(0.2)
        self.tapictl("lines")
        self.app = Watched("app", [
            sys.executable, os.path.join(os.path.dirname(__file__), "attendant.py"), "--socket", self.socket,
            "--prompt", self.path("prompt.wav"), "--forward", "modem:dongle=200",
            "--route", "49=modem:analogue", "--route", "200=sip:trunk",
            "--hz", str(CALLED_HZ), "--hz", str(CALLER_HZ), "--hz", "1900"])
        self.running.append(self.app)
        self.app.wait("line modem:dongle")

    def sip_to_modem(self):
        say(f"baresip calls the SIP line and speaks {CALLER_HZ} Hz at {CALLER_DBM0} dBm0")
        baresip = Baresip(self.directory, self.path("microphone.wav"))
        self.running.append(baresip.program)
        baresip.command("dial", f"sip:100@127.0.0.1:{self.sip}")
        call = self.app.wait(r"call (\d+): playing the prompt")[1]
        time.sleep(1.5)
        say(f"it types {CALLED}#")
        for key in CALLED + "#":
            baresip.key(key)
            time.sleep(0.12)
        other = self.app.wait(r"calls (\d+) and (\d+) are joined")
        other = other[1] if other[2] == call else other[2]
        self.check("digits", True, f"the application saw {CALLED}# and dialled it on the modem line")
        time.sleep(3)
        self.tapictl("calls")
        say("the daemon is restarted in mid-call")
        process = self.manager.process.pid
        began = time.monotonic()
        self.manager.restart()
        outage = time.monotonic() - began
        self.app.wait("back in the same session")
        self.check("restart", self.manager.process.pid != process,
                   f"process {process} became {self.manager.process.pid} in {outage * 1000:.0f} ms, with both calls up")
        time.sleep(3)
        self.tapictl("calls")
        say("what crossed the wires")
        self.tapictl("trace", call)
        self.tapictl("trace", other)
        say("baresip hangs up")
        baresip.command("hangup")
        self.app.wait(f"call {call} is idle")
        self.app.wait("is idle") if f"call {other} is idle" not in "\n".join(self.app.kept) else None
        baresip.command("quit")
        time.sleep(0.5)
        self.measure(baresip)

    def measure(self, baresip):
        heard = audio.heard(baresip.heard(), CALLED_HZ, CALLED_DBM0 - 6)
        if heard is None:
            self.check("modem → SIP", False, f"baresip did not hear {CALLED_HZ} Hz")
        else:
            level, seconds, gap = heard
            self.check("modem → SIP", abs(level - CALLED_DBM0) < 1.5,
                       f"{CALLED_HZ} Hz sent at {CALLED_DBM0:.1f} dBm0, heard at {level:.1f} for {seconds:.1f} s; "
                       f"longest gap {gap} ms, the restart included")
        self.subscriber_heard("SIP → modem", CALLER_HZ, CALLER_DBM0, 0, "")

    def subscriber_heard(self, name, hz, sent, since, way):
        """The level of a tone at the subscriber, by the exchange's reports since one of them."""
        reports = [json.loads(line) for line in self.exchange.kept[since:] if '"heard"' in line]
        levels = sorted(report["level_ddbm0"] / 10 for report in reports if abs(report.get("hz", 0) - hz) < 10)
        if not levels:
            self.check(name, False, f"the subscriber did not hear {hz} Hz")
            return
        level = levels[len(levels) // 2]
        self.check(name, abs(level - sent) < 1.5,
                   f"{hz} Hz sent at {sent:.1f} dBm0, heard at {level:.1f}{way} ({len(levels)} reports)")

    def modem_to_sip(self):
        say("a subscriber calls the GSM line: it rings with the caller's number, is answered, and joined to a SIP callee that echoes")
        callee = Watched("sipp", ["sipp", "-sn", "uas", "-rtp_echo", "-i", "127.0.0.1", "-p", str(self.callee), "-nostdin",
                                  "-m", "1", "-timeout", "60"], show=False, cwd=self.directory)
        self.running.append(callee)
        self.exchange.send(f"call {CALLED} {CELLULAR}")
        call = self.app.wait(r"call (\d+) on modem:dongle")[1]
        self.app.wait("are joined")
        self.check("caller id", any(f"{CALLED}" in line and "call " + call in line for line in self.app.kept),
                   f"the GSM modem rang with its caller's number, {CALLED}, and was answered")
        since = len(self.exchange.kept)
        time.sleep(3)
        self.tapictl("calls")
        self.heard_on(call)
        self.subscriber_heard("SIP → GSM", CALLED_HZ, CALLED_DBM0, since, ", from the modem to SIP and back")
        self.delay()
        say("the subscriber hangs up")
        self.exchange.send(f"hangup {CALLED}")
        self.app.wait(f"call {call} is idle")

    def heard_on(self, call):
        """What came from the modem into the bridge, as the application was told."""
        found = [float(match[1]) for match in (re.search(rf"call {call}: hears {CALLED_HZ} Hz at (-?[\d.]+)", line)
                                               for line in self.app.kept) if match]
        self.check("GSM → SIP", bool(found) and abs(found[-1] - CALLED_DBM0) < 1.5,
                   f"{CALLED_HZ} Hz sent at {CALLED_DBM0:.1f} dBm0, " + (f"in the bridge at {found[-1]:.1f}" if found else "not heard"))

    def delay(self):
        """Short bursts of 1900 Hz, and how long it took until the echo of each was heard, in steps of 20 ms."""
        times = []
        for _ in range(3):
            self.exchange.send(f"tone {CALLED} 1900 200")
            times.append(json.loads(self.exchange.wait(r'.*"event":"echoed".*', 6)[0])["after_ms"])
            time.sleep(0.5)
        middle = sorted(times)[1]
        self.check("delay", 0 < middle < 400,
                   f"{middle:.0f} ms from the subscriber over the GSM line to the SIP callee and back (three bursts: {times})")

    def finish(self):
        say("SIGTERM: calls are hung up and the daemon leaves")
        status = self.manager.stop()
        self.check("stop", status == 0, f"the daemon ended with status {status}")
        say("what was seen")
        for right, name, text in self.results:
            print(f"  {'ok ' if right else 'BAD'}  {name:<12} {text}")
        return all(right for right, _, _ in self.results)

    def close(self):
        for program in reversed(self.running):
            program.stop()
        if hasattr(self, "manager"):
            self.manager.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", default="target/release", help="where tapid, tapictl and tapi-exchange are")
    parser.add_argument("--keep", action="store_true", help="keep the files of the demonstration")
    options = parser.parse_args()
    for tool, package in (("baresip", "baresip-core"), ("sipp", "sip-tester"), ("kamailio", "kamailio"), ("openssl", "openssl")):
        if not shutil.which(tool):
            raise SystemExit(f"demo: {tool} is missing: run 'apt-get install {package}'")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    directory = tempfile.mkdtemp(prefix="tapid-demo-")
    demo = Demo(os.path.abspath(options.bin), directory)
    good = False
    try:
        demo.prepare()
        demo.start()
        demo.sip_to_modem()
        demo.modem_to_sip()
        good = demo.finish()
        good = TrunkAct(demo.bin, directory).run() and good
    finally:
        demo.close()
        if good and not options.keep:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            print(f"files of the demonstration: {directory}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
