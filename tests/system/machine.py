"""A Debian machine in a container with a real systemd as PID 1, made and booted by the test itself."""
import os
import shutil
import signal
import subprocess
import time

PACKAGES = ("systemd,systemd-sysv,dbus,udev,libnss-systemd,polkitd,dbus-bin,procps,python3-minimal,libpython3-stdlib,"
            "python3-gi,gir1.2-glib-2.0,libglib2.0-bin,iproute2")


def debian(base, packages, after=()):
    """A minimal Debian in a directory, which is kept for the next run; `after`: commands of mmdebstrap's hook at the end."""
    if os.path.exists(f"{base}/usr/bin/python3") and not os.path.exists(f"{base}.begun"):
        return
    shutil.rmtree(base, ignore_errors=True)
    os.makedirs(os.path.dirname(base), exist_ok=True)
    with open(f"{base}.begun", "w"):
        pass
    hooks = [f"--customize-hook={command}" for command in after]
    subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}", *hooks, "bookworm", base], check=True)
    os.remove(f"{base}.begun")


class Machine:
    def __init__(self, directory, name="tapid-system-test"):
        self.base, self.root, self.name = os.path.join(directory, "base"), os.path.join(directory, "root"), name
        self.log = os.path.join(directory, "console.log")
        self.process = self.leader = None

    def make(self):
        """A fresh root; the base that it is a copy of is kept for the next run."""
        debian(self.base, PACKAGES)
        shutil.rmtree(self.root, ignore_errors=True)
        subprocess.run(["cp", "-a", "--reflink=auto", self.base, self.root], check=True)
        # What the host has plugged in is none of this machine's business.
        mask = os.path.join(self.root, "etc/systemd/system/systemd-udev-trigger.service")
        os.symlink("/dev/null", mask)

    def boot(self):
        environment = dict(os.environ, UNIFIED_CGROUP_HIERARCHY="1")
        # systemd in a container may not raise a limit beyond its own (no CAP_SYS_RESOURCE), and takes what there is without a
        # word: it gets the one that LimitRTPRIO= of the unit asks for.
        command = ["systemd-nspawn", "-D", self.root, "-M", self.name, "-b", "--register=no", "--keep-unit",
                   "--console=pipe", "--private-network", "--rlimit=RTPRIO=10"]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            found = subprocess.run(["pgrep", "-P", str(self.process.pid), "-n"], capture_output=True, text=True).stdout
            self.leader = found.strip() or None
            if self.leader and all(os.path.exists(f"/proc/{self.leader}/root{path}") for path in
                                   ("/run/systemd/private", "/run/dbus/system_bus_socket")):
                self.run("systemctl", "is-system-running", "--wait", check=False)
                return
            time.sleep(0.1)
        raise RuntimeError(f"the container did not boot: {open(self.log, errors='replace').read()[-2000:]}")

    def argv(self, *command):
        return ["nsenter", "-t", self.leader, "-m", "-u", "-i", "-n", "-p", "-C", "--", *command]

    def run(self, *command, check=True, timeout=60):
        """Runs a command in the machine and gives its output."""
        done = subprocess.run(self.argv(*command), capture_output=True, text=True, timeout=timeout)
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def start(self, *command):
        """Starts a program in the machine whose standard input and output are ours."""
        return subprocess.Popen(self.argv(*command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def put(self, path, text):
        target = os.path.join(f"/proc/{self.leader}/root", path.lstrip("/"))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "w") as file:
            file.write(text)

    def copy(self, source, path):
        target = os.path.join(f"/proc/{self.leader}/root", path.lstrip("/"))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy(source, target)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.root, ignore_errors=True)
