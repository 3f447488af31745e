#!/usr/bin/env python3
"""The packages on a machine with a real systemd: installed, activated, restarted, upgraded, killed, reloaded, purged.

run.py --deb DIRECTORY [--keep DIRECTORY] [--only NAME…]
Needs root, systemd-nspawn and mmdebstrap. Prints what was seen; exits 1 when something was not as it must be, and 77
when this machine cannot run it at all.
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
import time
import traceback

from machine import Machine

HERE = os.path.dirname(os.path.abspath(__file__))
CONFIG = """
[daemon]
allow_groups = ["tapid-client"]
record_directory = "/var/lib/tapid/records"
state_directory = "/var/lib/tapid"

[rtp]
address = "127.0.0.1"
ports = "20000-20049"

[[sip]]
name = "trunk"
listen = "127.0.0.1:5060"

[[sip.lines]]
name = "sip:trunk"
description = "{description}"
user = "100"
domain = "127.0.0.1"
peers = ["127.0.0.1"]
proxy = "127.0.0.1:5070"
"""
SOCKET = "/run/tapid/api.sock"
SECRET = "s3cret-0f-the-trunk"
# Who may do what: two users by rules of the configuration. Nobody may record or administer.
LOOPBACK = """
[daemon]
allow_groups = ["tapid-client"]
record_directory = "/var/lib/tapid/records"
state_directory = "/var/lib/tapid"

[[loopback]]
name = "loopback"
lines = 2
"""
RIGHTS = LOOPBACK + """
[[rights]]
lines = ["loopback:0"]
users = ["clerk"]
allow = ["monitor", "originate"]

[[rights]]
lines = ["loopback:*"]
groups = ["desk"]
allow = ["own", "originate", "listen"]
"""
CLERK = {"loopback:0": ["monitor", "originate"]}
DESK = {f"loopback:{number}": ["own", "originate", "listen"] for number in range(2)}
EVERYTHING = {f"loopback:{number}": ["monitor", "own", "originate", "listen", "record", "administer"] for number in range(2)}
# A rule of polkit: the stranger may see all lines, and place calls on the first.
POLKIT = """polkit.addRule(function(action, subject) {
  if (subject.user != "stranger") return polkit.Result.NOT_HANDLED;
  if (action.id == "org.tapid.telephony1.see") return polkit.Result.YES;
  if (action.id == "org.tapid.telephony1.originate" && action.lookup("line") == "loopback:0") return polkit.Result.YES;
  return polkit.Result.NOT_HANDLED;
});
"""
POLKIT_RULE = "/etc/polkit-1/rules.d/50-tapid.rules"


class Wrong(Exception):
    """Something is not as it must be."""


def must(condition, what):
    if not condition:
        raise Wrong(what)


class System:
    def __init__(self, machine, debs):
        self.machine, self.debs, self.answerer = machine, debs, None

    def until(self, what, condition, seconds=20):
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            must(time.monotonic() < deadline, f"{what}: not within {seconds} s")
            time.sleep(0.05)
        return value

    def property(self, name, unit="tapid.service"):
        return self.machine.run("systemctl", "show", "-P", name, unit)

    def active(self):
        return self.property("ActiveState") == "active"

    def deb(self, package):
        return next(path for path in self.debs if os.path.basename(path).startswith(f"{package}_"))

    def newer(self, package, version):
        """The same package under a higher version: what an upgrade brings."""
        with tempfile.TemporaryDirectory() as directory:
            subprocess.run(["dpkg-deb", "-R", self.deb(package), directory], check=True)
            control = os.path.join(directory, "DEBIAN/control")
            with open(control) as file:
                text = file.read()
            with open(control, "w") as file:
                file.write(re.sub(r"(?m)^Version: .*$", f"Version: {version}", text))
            target = os.path.join(tempfile.gettempdir(), f"{package}_{version}.deb")
            subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-b", directory, target], check=True,
                           stdout=subprocess.DEVNULL)
        self.machine.copy(target, f"/root/{os.path.basename(target)}")
        os.remove(target)
        return f"/root/{os.path.basename(target)}"

    # What is tried, in this order.

    def installed(self):
        """a fresh installation is a quiet daemon that says what to do next"""
        for package in ("tapid", "tapictl", "tapid-dev", "tapi-exchange"):
            self.machine.copy(self.deb(package), f"/root/{package}.deb")
        self.machine.run("dpkg", "-i", "/root/tapid.deb", "/root/tapictl.deb", "/root/tapid-dev.deb", "/root/tapi-exchange.deb")
        self.until("active", self.active)
        status = self.property("StatusText")
        must("no lines" in status, f"the status says what to do next, not {status!r}")
        must("no lines" in self.machine.run("tapictl", "status"), "tapictl status says it too")
        for package in ("tapid", "tapictl", "tapi-exchange"):
            bill = json.loads(self.machine.run("cat", f"/usr/share/doc/{package}/sbom.cdx.json"))
            must(bill["bomFormat"] == "CycloneDX" and len(bill["components"]) > 20, f"{package} has its bill of materials")
        return f"status: {status!r}"

    def hardened(self):
        """the unit's exposure is at most 1.6"""
        text = self.machine.run("systemd-analyze", "--no-pager", "security", "tapid.service", check=False)
        score = float(re.search(r"Overall exposure level for tapid\.service: ([0-9.]+)", text).group(1))
        must(score <= 1.6, f"exposure is {score}")
        return f"exposure {score}"

    def realtime(self):
        """media threads run under SCHED_RR"""
        self.machine.put("/etc/tapid/tapid.toml", CONFIG.format(description="the trunk"))
        self.machine.run("systemctl", "restart", "tapid.service")
        pid = self.property("MainPID")
        # Fields 40 and 41 of proc(5)'s stat are the real-time priority and the policy: 2 is SCHED_RR.
        stat = self.machine.run("sh", "-c", f"cat /proc/{pid}/task/*/stat")
        threads = [tuple(line.rsplit(")", 1)[1].split()[37:39]) for line in stat.splitlines()]
        count = threads.count(("10", "2"))
        limit = next(line.split() for line in self.machine.run("cat", f"/proc/{pid}/limits").splitlines() if "realtime priority" in line)
        if limit[4] == "0":
            return "NOT SEEN: this machine's root may not raise RLIMIT_RTPRIO (no CAP_SYS_RESOURCE); make vm-test shows it"
        must(0 < count < len(threads), f"priority and policy of the threads: {threads}")
        return f"{count} of {len(threads)} threads"

    def rights(self):
        """members of tapid-client may connect, others may not"""
        self.machine.run("useradd", "-m", "-G", "tapid-client", "member")
        self.machine.run("useradd", "-m", "stranger")
        self.machine.run("runuser", "-u", "member", "--", "tapictl", "status")
        refused = subprocess.run(self.machine.argv("runuser", "-u", "stranger", "--", "tapictl", "status"),
                                 capture_output=True, text=True, timeout=20)
        must(refused.returncode in (4, 5), f"a stranger's exit code is {refused.returncode}: {refused.stderr}")
        return refused.stderr.strip().splitlines()[0]

    def configured(self):
        """a configuration brings a line, and a bad one is refused with line and column"""
        self.machine.put("/etc/tapid/tapid.toml", CONFIG.format(description="the trunk"))
        self.machine.run("tapid", "--check")
        self.machine.run("systemctl", "restart", "tapid.service")
        self.until("the line is in service", lambda: "1 of 1 lines in service" in self.machine.run("tapictl", "status", check=False))
        self.machine.put("/root/bad.toml", CONFIG.format(description="x").replace("listen", "lisen"))
        bad = subprocess.run(self.machine.argv("tapid", "--check", "--config", "/root/bad.toml"), capture_output=True, text=True)
        must(bad.returncode == 1 and re.search(r"bad\.toml:\d+:\d+", bad.stderr), f"a bad one: {bad.stderr}")
        return bad.stderr.strip().splitlines()[0]

    def activated(self):
        """a client starts the daemon (socket activation)"""
        self.machine.run("systemctl", "stop", "tapid.service")
        must(not self.active(), "it is stopped")
        self.machine.run("tapictl", "status")
        must(self.active(), "the client has started it")

    def bus(self):
        """a call on the bus starts the daemon, and everything on it can be looked at (D-Bus activation)"""
        self.machine.run("systemctl", "stop", "tapid.socket", "tapid.service")
        must(not self.active(), "it is stopped")
        self.machine.run("busctl", "--system", "call", "org.tapid.Telephony1", "/org/tapid/Telephony1",
                         "org.freedesktop.DBus.Peer", "Ping")
        must(self.active(), "the call has started it")
        tree = self.machine.run("busctl", "--system", "tree", "org.tapid.Telephony1")
        must("/org/tapid/Telephony1" in tree, tree)
        return f"{len(tree.splitlines())} paths"

    def guest(self, *names):
        """Programs of the test, in the machine."""
        for name in names:
            self.machine.copy(os.path.join(HERE, "guest", name), f"/opt/guest/{os.path.basename(name)}")
        self.machine.run("chmod", "-R", "a+rX", "/opt/guest")

    def tries(self, user, front):
        """What a user may do with each line."""
        environment = ("env", "TAPID_TEST_BUS=unix:path=/run/dbus/system_bus_socket", "PYTHONDONTWRITEBYTECODE=1")
        return json.loads(self.machine.run("runuser", "-u", user, "--", *environment, "python3", "/opt/guest/user.py", front))

    def answering(self):
        """Somebody who answers the calls of loopback:1, over a restart too."""
        if self.answerer and self.answerer.poll() is None:
            return
        answerer = self.answerer = self.machine.start("python3", "/opt/guest/answerer.py", SOCKET, "loopback:1")
        must(answerer.stdout.readline().strip() == "ready", "somebody answers")

    def with_config(self, text):
        self.machine.put("/etc/tapid/tapid.toml", text)
        self.machine.run("systemctl", "restart", "tapid.service")
        self.until("it runs", self.active)
        self.until("it is on the bus", lambda: "tapid" in self.machine.run("busctl", "--system", "--acquired", "list"))

    def ruled(self):
        """rights by user and group hold on the socket and on the bus alike"""
        self.guest("user.py", "answerer.py", "../../../demo/tapi_client.py", "../../../crates/tapid/tests/bus/client.py")
        self.machine.run("groupadd", "desk")
        self.machine.run("useradd", "-m", "-G", "tapid-client", "clerk")
        self.machine.run("useradd", "-m", "-G", "tapid-client,desk", "attendant")
        self.with_config(RIGHTS)
        self.answering()
        for user, expected in (("clerk", CLERK), ("attendant", DESK), ("member", {}), ("root", EVERYTHING)):
            for front in ("socket", "bus"):
                may = self.tries(user, front)
                must(may == expected, f"{user} on the {front}: {may}, not {expected}")
        made = self.machine.run("ls", "/var/lib/tapid/records").split()
        must(made and all(name.startswith("root-") for name in made), f"recordings of those who may record, and no others: {made}")
        return f"clerk {CLERK}, attendant {DESK['loopback:0']} on both lines, member nothing, root everything"

    def authorised(self):
        """whom the configuration does not know polkit decides on, and takes back"""
        self.with_config(LOOPBACK)
        self.answering()
        must(self.tries("stranger", "bus") == {}, "as shipped a stranger sees nothing, and dials nowhere")
        self.machine.put(POLKIT_RULE, POLKIT)
        given = {"loopback:0": ["originate"], "loopback:1": []}
        self.until("the rule holds", lambda: self.tries("stranger", "bus") == given)
        self.machine.run("rm", "-f", POLKIT_RULE)
        self.until("it holds no longer", lambda: self.tries("stranger", "bus") == {})
        return f"by a rule {given}"

    def credential(self):
        """a password comes from the service manager, and is in no log"""
        self.guest("registrar.py")
        self.machine.put("/root/secret", SECRET + "\n")
        self.machine.run("chmod", "0600", "/root/secret")
        self.machine.put("/etc/systemd/system/tapid.service.d/secret.conf", "[Service]\nLoadCredential=trunk:/root/secret\n")
        self.machine.run("systemctl", "daemon-reload")
        registrar = self.machine.start("python3", "/opt/guest/registrar.py", "5070", "100", "/root/secret")
        must(registrar.stdout.readline().strip() == "ready", "the registrar listens")
        account = 'register = { registrar = "127.0.0.1:5070" }\nauth = { user = "100", credential = "trunk" }\n'
        self.machine.put("/etc/tapid/tapid.toml", CONFIG.format(description="the trunk") + account)
        self.machine.run("systemctl", "restart", "tapid.service")
        said = registrar.stdout.readline().strip()
        self.machine.run("pkill", "-f", "registrar.py", check=False)
        registrar.communicate(timeout=20)
        must(said == "registered", f"the registrar says {said}")
        self.until("the line is in service", lambda: "1 of 1 lines in service" in self.machine.run("tapictl", "status", check=False))
        pid = self.property("MainPID")
        for where, text in (("the journal", self.machine.run("journalctl", "--no-pager", "-o", "export")),
                            ("its environment", self.machine.run("cat", f"/proc/{pid}/environ")),
                            ("its command line", self.machine.run("cat", f"/proc/{pid}/cmdline")),
                            ("the unit", self.machine.run("systemctl", "show", "tapid.service")),
                            ("its state", self.machine.run("sh", "-c", "cat /var/lib/tapid/* 2>/dev/null || true"))):
            must(SECRET not in text, f"{where} has the password")
        self.machine.put("/etc/tapid/tapid.toml", CONFIG.format(description="the trunk"))
        self.machine.run("rm", "-r", "/etc/systemd/system/tapid.service.d")
        self.machine.run("systemctl", "daemon-reload")
        self.machine.run("systemctl", "restart", "tapid.service")

    def journal(self):
        """the journal has what happened, without numbers"""
        text = self.machine.run("journalctl", "-u", "tapid", "--no-pager", "-o", "cat")
        must("ready" in text and "line in service" in text, "readiness and the line's state are logged")
        must("there is no udev" not in text, "it listens to udev's monitor, though it may open no netlink socket")
        return f"{len(text.splitlines())} lines"

    def calls(self):
        """a call with audio stays up over restart, upgrade, SIGKILL, a hang and a reload"""
        for name in ("far_end.py", "witness.py"):
            self.machine.copy(os.path.join(HERE, "guest", name), f"/root/guest/{name}")
        self.machine.copy(os.path.join(HERE, "../../demo/tapi_client.py"), "/root/guest/tapi_client.py")
        upgrade = self.newer("tapid", "0.1.1~test")
        witness = self.machine.start("python3", "/root/guest/witness.py", SOCKET, "/root/stop-witness")
        must(witness.stdout.readline().strip() == "ready", "the witness has the line open")
        far = self.machine.start("python3", "/root/guest/far_end.py", "5070", "5060", "/root/stop-far")
        self.until("the call is connected", lambda: "connected" in self.machine.run("tapictl", "calls"))
        time.sleep(1.5)
        for name, act in (("systemctl restart", self.restart), ("package upgrade", lambda: self.upgrade(upgrade)),
                          ("SIGKILL", self.kill), ("watchdog", self.hang), ("reload, changed trunk", self.reload)):
            far.stdin.write(f"mark {name}\n")
            far.stdin.flush()
            must(far.stdout.readline().strip() == f"marked {name}", "the far end is there")
            act()
            self.until(f"{name}: the call is connected", lambda: "connected" in self.machine.run("tapictl", "calls"))
            time.sleep(2)
        for stop in ("/root/stop-far", "/root/stop-witness"):
            self.machine.put(stop, "")
            time.sleep(0.7)
        heard = json.loads(far.communicate(timeout=20)[0].strip().splitlines()[-1])
        told = json.loads(witness.communicate(timeout=20)[0].strip().splitlines()[-1])
        for chapter in heard["chapters"]:
            print(f"      {chapter['chapter']:24} {chapter['packets']:5} packets, {chapter['heard'] // max(chapter['packets'], 1):3} of 160 samples heard, longest gap {chapter['longest_gap_ms']:7.1f} ms")
        print(f"      events: {told['events']}, lost {told['lost']}, doubled {told['doubled']}; "
              f"session taken up again {told['resumed']} times, within {told['resume_ms']} ms")
        must(heard["ended"] is None, f"the call stayed up: {heard['ended']}")
        chapters = heard["chapters"][1:]
        must(all(chapter["packets"] > 40 for chapter in chapters), "audio went on in every chapter")
        must(all(chapter["heard"] > 40 * 100 for chapter in chapters), "and it was the tone, not silence")
        must(told["lost"] == 0 and told["doubled"] == 0, "no event was lost or doubled")
        must(told["states"].count("disconnected") <= 1, f"the call was told as one call: {told['states']}")

    def restart(self):
        self.machine.run("systemctl", "restart", "tapid.service")

    def upgrade(self, deb):
        self.machine.run("dpkg", "-i", deb)
        must("0.1.1~test" in self.machine.run("dpkg-query", "-W", "tapid"), "the new package is there")

    def kill(self):
        self.die("KILL")

    def hang(self):
        self.die("STOP")

    def die(self, how):
        before = self.property("MainPID")
        self.machine.run("kill", f"-{how}", before)
        self.until(f"after SIG{how} a new process runs",
                   lambda: self.property("MainPID") not in ("0", before) and self.active(), 40)

    def reload(self):
        self.machine.put("/etc/tapid/tapid.toml", CONFIG.format(description="the changed trunk"))
        self.machine.run("systemctl", "reload", "tapid.service")
        self.until("the change is there", self.changed)

    def changed(self):
        return "the changed trunk" in self.machine.run("tapictl", "--json", "lines", check=False)

    def refused(self):
        """a reload with a bad configuration is refused, and the old one stays"""
        self.machine.put("/etc/tapid/tapid.toml", "[sipp]\n")
        done = subprocess.run(self.machine.argv("systemctl", "reload", "tapid.service"), capture_output=True, text=True)
        must(done.returncode != 0, "systemctl reload says so")
        must(self.active() and self.changed(), "the old one stays")
        self.machine.put("/etc/tapid/tapid.toml", CONFIG.format(description="the changed trunk"))

    def purged(self):
        """removal stops it, and a purge leaves nothing behind"""
        self.machine.run("dpkg", "-r", "tapid")
        must(not self.active(), "it is stopped")
        self.machine.run("dpkg", "-P", "tapid", "tapictl", "tapid-dev", "tapi-exchange")
        left = self.machine.run("find", "/etc", "/usr", "/lib/systemd", "/var/lib", "/run", "-iname", "*tapi[cd]*",
                                "-not", "-path", "/var/lib/dpkg/*", check=False)
        must(not left, f"left behind:\n{left}")

    ALL = ("installed", "hardened", "realtime", "rights", "configured", "activated", "bus", "journal", "ruled", "authorised", "credential", "calls", "refused", "purged")


def able():
    """Why this machine cannot run the test, or None."""
    if os.geteuid() != 0:
        return "it needs root, for a container"
    for tool, package in (("systemd-nspawn", "systemd-container"), ("mmdebstrap", "mmdebstrap"), ("nsenter", "util-linux")):
        if shutil.which(tool) is None:
            return f"{tool} is missing: apt-get install {package}"
    probe = subprocess.run(["unshare", "--mount", "--pid", "--net", "--fork", "true"], capture_output=True)
    return None if probe.returncode == 0 else "namespaces cannot be made here"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--deb", required=True)
    parser.add_argument("--keep", default=os.path.join(tempfile.gettempdir(), "tapid-system-test"))
    parser.add_argument("--only", nargs="*", default=System.ALL)
    options = parser.parse_args()
    if (reason := able()) is not None:
        print(f"system-test: NOT RUN: {reason}", file=sys.stderr)
        return 77
    os.makedirs(options.keep, exist_ok=True)
    machine = Machine(options.keep)
    try:
        machine.make()
        machine.boot()
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        print(f"system-test: NOT RUN: no container with systemd can be made here: {error}", file=sys.stderr)
        machine.stop()
        return 77
    failed = 0
    try:
        system = System(machine, glob.glob(os.path.join(options.deb, "*.deb")))
        for name in options.only:
            what = getattr(System, name).__doc__
            try:
                said = getattr(system, name)()
                print(f"  ok  {what}" + (f": {said}" if said else ""), flush=True)
            except Exception as error:
                failed += 1
                print(f"FAIL  {what}: {error}", flush=True)
                if not isinstance(error, Wrong):
                    traceback.print_exc()
        if failed:
            print(machine.run("journalctl", "-u", "tapid", "--no-pager", "-n", "60", check=False))
    finally:
        machine.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
