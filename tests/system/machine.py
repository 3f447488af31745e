"""A Debian machine in a container with a real systemd as PID 1, made and booted by the test itself."""
import os
import shutil
import signal
import subprocess
import time

PACKAGES = ("systemd,systemd-sysv,dbus,udev,libnss-systemd,polkitd,dbus-bin,procps,python3-minimal,libpython3-stdlib,"
            "python3-gi,gir1.2-glib-2.0,libglib2.0-bin,iproute2")


class Machine:
    def __init__(self, directory, name="tapid-system-test"):
        self.base, self.root, self.name = os.path.join(directory, "base"), os.path.join(directory, "root"), name
        self.log = os.path.join(directory, "console.log")
        self.process = self.leader = None

    def make(self):
        """A fresh root; the base that it is a copy of is kept for the next run."""
        if not os.path.exists(os.path.join(self.base, "usr/bin/python3")):
            shutil.rmtree(self.base, ignore_errors=True)
            subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", "bookworm", self.base],
                           check=True)
        shutil.rmtree(self.root, ignore_errors=True)
        subprocess.run(["cp", "-a", "--reflink=auto", self.base, self.root], check=True)
        # What the host has plugged in is none of this machine's business.
        mask = os.path.join(self.root, "etc/systemd/system/systemd-udev-trigger.service")
        os.symlink("/dev/null", mask)

    def boot(self):
        environment = dict(os.environ, UNIFIED_CGROUP_HIERARCHY="1")
        command = ["systemd-nspawn", "-D", self.root, "-M", self.name, "-b", "--register=no", "--keep-unit",
                   "--console=pipe", "--private-network"]
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
