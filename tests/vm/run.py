#!/usr/bin/env python3
"""The packages in a virtual machine with real kernel drivers: modems are plugged in, ring, are answered, and are pulled out.

run.py --deb DIRECTORY [--keep DIRECTORY] [--only NAME…]
One modem is a USB gadget of the guest's kernel (cdc_acm), the other a USB serial adapter that QEMU emulates (ftdi_sio); behind
both is the simulated exchange. Prints what was seen; exits 1 when something was not as it must be, and 77 when this
machine cannot run it at all.
"""
import argparse
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback

from vm import HERE, NotHere, VirtualMachine

CALLER, SPEAKS, HEARS = "4930300", 1000, 440
# Which modem it is, by its place in the exchange: number, driver, device, permanent name, and its family.
ACM = ("analogue0", "4930100", "cdc_acm", "ttyACM", "0572-1329-VM00017", "cx93001")
FTDI = ("analogue1", "4930101", "ftdi_sio", "ttyUSB", "0403-6001-VM00018", "v253")
# What an administrator writes for a serial adapter, which by itself is no modem: behind 60-serial.rules, which finds the
# serial number, and before 65-tapid.rules.
RULE = 'SUBSYSTEM=="tty", ENV{ID_SERIAL_SHORT}=="VM00018", ENV{ID_TAPID_MODEM}="1", ENV{ID_TAPID_PROFILE}="v253"\n'
# Media threads carry audio as soon as there are RTP ports.
CONFIG = """
[rtp]
address = "127.0.0.1"
ports = "20000-20019"

[[sip]]
name = "trunk"
listen = "127.0.0.1:5060"

[[sip.lines]]
name = "sip:trunk"
user = "100"
domain = "127.0.0.1"
proxy = "127.0.0.1:5070"
"""
# Scheduling policies by number (sched(7)).
ROUND_ROBIN = "2"


class Wrong(Exception):
    """Something is not as it must be."""


def must(condition, what):
    if not condition:
        raise Wrong(what)


class Exchange:
    """The simulated exchange: the far end of both modems and of their telephone lines."""

    def __init__(self, program, sockets):
        command = [program, "--subscriber", f"{CALLER}=tone:{SPEAKS}"]
        for (_, number, _, _, _, family), socket in zip((ACM, FTDI), sockets):
            command += ["--analogue", f"{family}@{number}"]
            command += ["--socket", f"{(ACM, FTDI)[sockets.index(socket)][0]}=abstract:{socket}"]
        self.told, self.changed = [], threading.Condition()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/")
        threading.Thread(target=self.listen, daemon=True).start()
        self.until("ready", lambda event: event["event"] == "ready")

    def listen(self):
        for line in self.process.stdout:
            with self.changed:
                self.told.append(json.loads(line))
                self.changed.notify_all()

    def until(self, what, pick, seconds=60, after=0):
        def found():
            return next((event for event in self.told[after:] if pick(event)), None)
        with self.changed:
            must(self.changed.wait_for(found, seconds), f"the exchange: {what}: not within {seconds} s; told {self.told[-5:]}")
            return found()

    def order(self, order):
        after = len(self.told)
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        answer = self.until(order, lambda event: event.get("order") == order, after=after)
        must(answer["event"] == "ordered", f"the exchange refused: {answer}")
        return after

    def stop(self):
        self.process.kill()
        self.process.wait()


class Scenario:
    def __init__(self, machine, exchange, debs):
        self.machine, self.exchange, self.debs = machine, exchange, debs
        self.ids, self.heard = {}, 0

    def until(self, what, condition, seconds=60):
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            must(time.monotonic() < deadline, f"{what}: not within {seconds} s")
            time.sleep(0.2)
        return value

    def lines(self):
        """Lines by the names of their providers."""
        text = self.machine.run("tapictl", "--json", "lines", check=False)
        lines = [json.loads(line) for line in text.splitlines()] if text else []
        return {line["name"]: line for line in lines}

    def line(self, name, service):
        line = self.lines().get(f"modem:{name}")
        return line if line and line["status"]["service"] == service else None

    def events(self):
        """What the application was told, as it was told it."""
        return [json.loads(line) for line in self.machine.run("cat", "/run/application.log").splitlines() if line.startswith("{")]

    def event(self, what, pick, after, seconds=60):
        return self.until(what, lambda: next((event for event in self.events()[after:] if pick(event)), None), seconds)

    # What is tried, in this order.

    def installed(self):
        """the packages are installed, and the daemon runs before any driver of a modem is loaded"""
        self.machine.put("/etc/udev/rules.d/62-here.rules", RULE)
        self.machine.run("udevadm", "control", "--reload")
        self.machine.run("sh", "-c", "dpkg --force-unsafe-io -i /run/payload/*.deb", timeout=300)
        self.machine.put("/etc/tapid/tapid.toml", CONFIG)
        self.machine.run("systemctl", "restart", "tapid.service")
        must(self.machine.run("systemctl", "is-active", "tapid.service") == "active", "it runs")
        loaded = self.machine.run("lsmod")
        must(not re.search(r"^(cdc_acm|ftdi_sio) ", loaded, re.M), f"drivers are loaded already:\n{loaded}")
        self.machine.start("/run/application.log", "python3", "/run/payload/application.py", "/run/tapid/api.sock")
        kernel = self.machine.run("uname", "-r")
        return f"Linux {kernel}, {self.machine.kind}"

    def realtime(self):
        """media threads have real-time priority under the shipped unit, and its exposure is at most 1.6"""
        pid = self.machine.run("systemctl", "show", "-P", "MainPID", "tapid.service")
        # Fields 40 and 41 of proc(5)'s stat are the real-time priority and the policy.
        stat = self.machine.run("sh", "-c", f"cat /proc/{pid}/task/*/stat")
        fields = [line.rsplit(")", 1)[1].split() for line in stat.splitlines()]
        threads = [tuple(field[37:39]) for field in fields]
        count = threads.count(("10", ROUND_ROBIN))
        must(count >= 1, f"no thread under SCHED_RR: {threads}")
        must(count < len(threads), "the others are not")
        text = self.machine.run("systemd-analyze", "--no-pager", "security", "tapid.service", check=False)
        score = float(re.search(r"Overall exposure level for tapid\.service: ([0-9.]+)", text).group(1))
        must(score <= 1.6, f"exposure is {score}")
        return f"{count} of {len(threads)} threads under SCHED_RR, exposure {score}"

    def plug(self, modem):
        place, _, driver, device, name, _ = modem
        began = time.monotonic()
        self.exchange.order(f"plug {place}")
        line = self.until(f"the line of {name}", lambda: self.line(name, "in"))
        took = time.monotonic() - began
        node = self.until("its device", lambda: self.machine.run("sh", "-c", f"ls -d /dev/{device}*", check=False)).split()[0]
        properties = dict(pair.split("=", 1) for pair in self.machine.run("udevadm", "info", "-q", "property", node).splitlines())
        must(properties.get("ID_TAPID_MODEM") == "1", f"udev's rule does not give it to the daemon: {properties}")
        must(properties.get("ID_MM_DEVICE_IGNORE") == "1", "ModemManager would take it")
        must(properties.get("ID_USB_DRIVER", driver) == driver, f"the driver is {properties.get('ID_USB_DRIVER')}")
        owner = self.machine.run("stat", "-c", "%G %a", node)
        must(owner == "tapid 660", f"it belongs to {owner}")
        before = self.ids.setdefault(name, line["line"])
        must(before == line["line"], f"it was line {before}, and is line {line['line']} now")
        return f"{node} is {line['name']} after {took:.1f} s"

    def call(self, modem):
        """Rings the modem's line until audio was heard both ways. The call stays up."""
        number, name = modem[1], modem[4]
        after, told = len(self.events()), self.exchange.order(f"call {CALLER} {number}")
        line = self.ids[name]
        rings = self.event("ringing", lambda event: event["kind"] == "call.new" and event["call"]["info"]["line"] == line, after)
        call = rings["call"]["info"]["call"]
        known = lambda event: CALLER in json.dumps([event.get("call"), event.get("info")]) and event["kind"] in ("call.new", "call.info")  # noqa: E731
        self.event("who calls", known, after)
        state = lambda state: lambda event: event["kind"] == "call.state" and (event["call"], event["state"]) == (call, state)  # noqa: E731
        self.event("connected", state("connected"), after)
        hears = lambda event: event["kind"] == "call.tone" and any(tone["hz"] == SPEAKS and tone["level_ddbm0"] > -300 for tone in event["tones"])  # noqa: E731
        self.event("the caller is heard", hears, after)
        heard = self.exchange.until("the caller hears the application", lambda event: event["event"] == "heard" and abs(event.get("hz", 0) - HEARS) < 20, after=told)
        return call, heard

    def modem(self, modem):
        plugged = self.plug(modem)
        print(f"      {plugged}", flush=True)
        call, heard = self.call(modem)
        print(f"      call {call} from {CALLER}: answered, {SPEAKS} Hz heard on it, {HEARS} Hz at the far end ({heard.get('level_ddbm0', heard)})", flush=True)
        place, name = modem[0], modem[4]
        after, began = len(self.events()), time.monotonic()
        self.exchange.order(f"unplug {place}")
        ended = self.event("the call ends", lambda event: event["kind"] == "call.state" and event["call"] == call and event["state"] == "disconnected", after)
        must(ended.get("mode") == "unavail", f"it ends as {ended}")
        line = self.until("the line goes out of service", lambda: self.line(name, "out"))
        took = time.monotonic() - began
        shown = next(row for row in self.machine.run("tapictl", "lines").splitlines() if name in row)
        must("out" in shown, shown)
        print(f"      pulled out in the call: {ended['mode']}, line out of service after {took:.1f} s at most: {line['status'].get('reason') or shown.strip()}", flush=True)
        self.until("idle", lambda: any(event["kind"] == "call.state" and event["call"] == call and event["state"] == "idle" for event in self.events()[after:]))
        print(f"      again: {self.plug(modem)}", flush=True)
        call, _ = self.call(modem)
        after = len(self.events())
        self.exchange.order(f"hangup {CALLER}")
        self.event("the caller's hanging up is seen", lambda event: event["kind"] == "call.state" and event["call"] == call and event["state"] == "idle", after)
        must("refused" not in {event["kind"] for event in self.events()}, "the application was refused something")

    def acm(self):
        """a modem of the kernel's class driver (cdc_acm): plugged in, rings, is answered, pulled out in the call, again"""
        self.machine.start("/run/gadget.log", "python3", "/run/payload/gadget.py", *ACM[4].split("-"))
        self.until("the gadget", lambda: "ready" in self.machine.run("cat", "/run/gadget.log"))
        return self.modem(ACM)

    def ftdi(self):
        """a modem behind a serial adapter (ftdi_sio) that the administrator's rule names: the same"""
        return self.modem(FTDI)

    def wakes(self):
        """a modem that is plugged in starts the daemon"""
        self.exchange.order(f"unplug {ACM[0]}")
        self.machine.run("systemctl", "stop", "tapid.service", "tapid.socket")
        must(self.machine.run("systemctl", "is-active", "tapid.service", check=False) == "inactive", "it is stopped")
        must(self.machine.run("systemctl", "is-active", "tapid-udev.socket", check=False) == "inactive", "it does not listen for modems")
        self.exchange.order(f"plug {ACM[0]}")
        self.until("the daemon runs", lambda: self.machine.run("systemctl", "is-active", "tapid.service", check=False) == "active")
        self.until("the line is in service", lambda: self.line(ACM[4], "in"))

    ALL = ("installed", "realtime", "acm", "ftdi", "wakes")


def able():
    """Why this machine cannot run the test, or None."""
    for tool, package in (("qemu-system-x86_64", "qemu-system-x86"), ("mmdebstrap", "mmdebstrap"), ("mkfs.ext4", "e2fsprogs"), ("dpkg-deb", "dpkg")):
        if shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
            return f"{tool} is missing: apt-get install {package}"
    if os.uname().machine != "x86_64":
        return f"the virtual machine is one for x86_64, and this is {os.uname().machine}"
    return "it needs root, to make the virtual machine's disk" if os.geteuid() != 0 else None


def devices(sockets):
    """QEMU's further devices: the gadget's other end, and the serial adapter. Each is there while the exchange listens."""
    acm, ftdi = (f"socket,id={name},path={path},abstract=on,server=off,reconnect=1" for name, path in zip(("acm", "ftdi"), sockets))
    return ["-chardev", acm, "-device", "virtserialport,chardev=acm,name=org.tapid.acm",
            "-chardev", ftdi, "-device", f"usb-serial,bus=xhci.0,chardev=ftdi,serial={FTDI[4].split('-')[2]}"]


def run(options, scratch):
    debs = glob.glob(os.path.join(options.deb, "*.deb"))
    of = {os.path.basename(path).split("_")[0]: path for path in debs}
    subprocess.run(["dpkg-deb", "-x", of["tapi-exchange"], scratch], check=True)
    sockets = [f"tapid-vm-{os.getpid()}-{name}" for name in ("acm", "ftdi")]
    exchange = Exchange(os.path.join(scratch, "usr/bin/tapi-exchange"), sockets)
    payload = {name: os.path.join(HERE, "guest", name) for name in ("gadget.py", "application.py")}
    payload["tapi_client.py"] = os.path.join(HERE, "../../demo/tapi_client.py")
    payload.update({os.path.basename(of[package]): of[package] for package in ("tapid", "tapictl")})
    machine, failed = VirtualMachine(options.keep, payload, devices(sockets)), 0
    try:
        # Nothing is plugged in when it boots.
        for modem in (ACM, FTDI):
            exchange.order(f"unplug {modem[0]}")
        try:
            machine.make()
            print(f"  ok  the virtual machine boots: {machine.boot()}", flush=True)
        except (NotHere, OSError, subprocess.SubprocessError) as error:
            print(f"vm-test: NOT RUN: {error}", file=sys.stderr)
            return 77
        scenario = Scenario(machine, exchange, debs)
        for name in options.only:
            what, began = getattr(Scenario, name).__doc__, time.monotonic()
            try:
                said = getattr(scenario, name)()
                print(f"  ok  {what}" + (f": {said}" if said else "") + f" ({time.monotonic() - began:.0f} s)", flush=True)
            except Exception as error:
                failed += 1
                print(f"FAIL  {what}: {error}", flush=True)
                if not isinstance(error, Wrong):
                    traceback.print_exc()
                if name == "installed":
                    break
        if failed:
            for command in (("journalctl", "-u", "tapid", "--no-pager", "-n", "60"), ("cat", "/run/gadget.log"), ("dmesg",)):
                print(machine.run(*command, check=False)[-6000:])
    finally:
        machine.stop()
        exchange.stop()
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--deb", required=True)
    parser.add_argument("--keep", default=os.path.join(tempfile.gettempdir(), "tapid-vm-test"))
    parser.add_argument("--only", nargs="*", default=Scenario.ALL)
    options = parser.parse_args()
    if (reason := able()) is not None:
        print(f"vm-test: NOT RUN: {reason}", file=sys.stderr)
        return 77
    os.makedirs(options.keep, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        return run(options, scratch)


if __name__ == "__main__":
    sys.exit(main())
