"""A Debian in a virtual machine with Debian's own kernel: real drivers, real hot-plug. Made by the test itself."""
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../system"))
from machine import debian  # noqa: E402

PACKAGES = "systemd,systemd-sysv,dbus,udev,libnss-systemd,polkitd,dbus-bin,procps,python3-minimal,libpython3-stdlib,kmod,linux-image-amd64"
# What no test here loads: half of the image.
PRUNED = ("kernel/sound", "kernel/net", "kernel/drivers/gpu", "kernel/drivers/net", "kernel/drivers/media", "kernel/drivers/infiniband",
          "kernel/drivers/scsi", "kernel/drivers/iio", "kernel/drivers/staging", "kernel/drivers/hwmon", "kernel/drivers/ata")
# The first thing that runs in it; what the test brings comes as a tar archive in the place of a disk.
PAYLOAD = """[Unit]
Description=What the test brings
[Service]
ExecStartPre=/bin/mkdir -p /run/payload
ExecStartPre=/bin/tar -xf /dev/vdb -C /run/payload
ExecStart=/usr/bin/python3 /run/payload/agent.py
[Install]
WantedBy=multi-user.target
"""
SIZE = "3G"


class NotHere(Exception):
    """This machine cannot run the virtual machine."""


class VirtualMachine:
    """Paths below `directory` are kept: the base and its image are made once."""

    def __init__(self, directory, payload, channels):
        """`payload`: names in the machine and files of ours. `channels`: options of QEMU for each further character device."""
        self.base, self.image = os.path.join(directory, "vm-base"), os.path.join(directory, "vm-base.img")
        self.directory, self.payload, self.channels = directory, payload, channels
        self.log, self.process, self.kind = os.path.join(directory, "vm-console.log"), None, None
        self.answers, self.next, self.changed = {}, 1, threading.Condition()

    def make(self):
        modules = 'find "$1/usr/lib/modules" "$1/lib/modules" -mindepth 1 -maxdepth 1 2>/dev/null | while read m; do (cd "$m" && rm -rf ' + " ".join(PRUNED) + "); done"
        fresh = not os.path.exists(self.image)
        debian(self.base, PACKAGES, (modules, 'rm -rf "$1"/usr/share/doc "$1"/usr/share/locale "$1"/var/cache/apt "$1"/var/lib/apt/lists'))
        if fresh:
            unit = os.path.join(self.base, "etc/systemd/system/payload.service")
            with open(unit, "w", encoding="ascii") as file:
                file.write(PAYLOAD)
            wants = os.path.join(self.base, "etc/systemd/system/multi-user.target.wants/payload.service")
            os.makedirs(os.path.dirname(wants), exist_ok=True)
            if not os.path.lexists(wants):
                os.symlink("/etc/systemd/system/payload.service", wants)
            part = self.image + ".part"
            subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1", "-d", self.base, part, SIZE], check=True)
            os.rename(part, self.image)
        tar = os.path.join(self.directory, "vm-payload.tar")
        staging = os.path.join(self.directory, "vm-payload")
        shutil.rmtree(staging, ignore_errors=True)
        os.makedirs(staging)
        for name, path in {**self.payload, "agent.py": os.path.join(HERE, "guest/agent.py")}.items():
            if name.endswith(".deb"):
                # Unpacking is slow in there.
                parts = os.path.join(staging, "parts")
                subprocess.run(["dpkg-deb", "-R", path, parts], check=True)
                subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", parts, os.path.join(staging, name)], check=True, stdout=subprocess.DEVNULL)
                shutil.rmtree(parts)
            else:
                shutil.copy(path, os.path.join(staging, name))
        subprocess.run(["tar", "-C", staging, "-cf", tar, "."], check=True)
        shutil.rmtree(staging)

    def boot(self):
        """Boots with KVM where that works, and else without. Tells how, and in what time."""
        tried = []
        for kind, options, silence, patience in (("KVM", ["-accel", "kvm", "-cpu", "host"], 10, 60),
                                                 ("TCG", ["-accel", "tcg,thread=multi", "-cpu", "max"], 60, 600)):
            if kind == "KVM" and not os.access("/dev/kvm", os.R_OK | os.W_OK):
                continue
            began = time.monotonic()
            if self.try_boot(options, silence, patience):
                self.kind = kind
                return ", ".join([f"{kind}, {time.monotonic() - began:.0f} s", *tried])
            tried.append(f"{kind} is there and does not boot")
            self.stop()
        raise NotHere(f"the virtual machine does not boot:\n{self.console()[-2000:]}")

    def console(self):
        with open(self.log, errors="replace", encoding="utf-8") as file:
            return file.read()

    def try_boot(self, accelerator, silence, patience):
        """`silence`: seconds until the kernel must have said something; a KVM that does not work says nothing."""
        boot = os.path.join(self.base, "boot")
        kernel, initrd = (os.path.join(boot, next(name for name in sorted(os.listdir(boot)) if name.startswith(what)))
                          for what in ("vmlinuz-", "initrd.img-"))
        agent = os.path.join(self.directory, "vm-agent.sock")
        command = [
            "qemu-system-x86_64", *accelerator, "-m", "1024", "-smp", "2", "-nodefaults", "-display", "none", "-nic", "none",
            "-serial", f"file:{self.log}", "-kernel", kernel, "-initrd", initrd,
            "-append", "root=/dev/vda rw console=ttyS0 panic=-1 systemd.mask=apt-daily.timer systemd.mask=e2scrub_reap.service",
            "-drive", f"file={self.image},if=virtio,format=raw,snapshot=on",
            "-drive", f"file={os.path.join(self.directory, 'vm-payload.tar')},if=virtio,format=raw,readonly=on",
            "-no-reboot", "-device", "qemu-xhci,id=xhci", "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=agent,path={agent},server=on,wait=off",
            "-device", "virtserialport,chardev=agent,name=org.tapid.agent", *self.channels]
        open(self.log, "wb").close()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        began = time.monotonic()
        while not os.path.exists(agent):
            if self.process.poll() is not None or time.monotonic() - began > 20:
                return False
            time.sleep(0.05)
        self.agent = socket.socket(socket.AF_UNIX)
        self.agent.connect(agent)
        threading.Thread(target=self.listen, args=(self.agent,), daemon=True).start()
        with self.changed:
            while 0 not in self.answers:
                self.changed.wait(1)
                took = time.monotonic() - began
                if self.process.poll() is not None or took > patience or (took > silence and not self.console()):
                    return False
        return True

    def listen(self, agent):
        with agent.makefile("r", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                try:
                    answer = json.loads(line)
                except ValueError:
                    continue
                with self.changed:
                    self.answers[answer["id"]] = answer
                    self.changed.notify_all()

    def ask(self, within, **request):
        with self.changed:
            number, self.next = self.next, self.next + 1
        self.agent.sendall(json.dumps({"id": number, **request}).encode() + b"\n")
        with self.changed:
            if not self.changed.wait_for(lambda: number in self.answers, within + 30):
                raise RuntimeError(f"{request['argv']}: no answer from the virtual machine")
            return self.answers.pop(number)

    def run(self, *command, check=True, timeout=60):
        """Runs a command in the machine and gives its output."""
        done = self.ask(timeout, argv=command, timeout=timeout)
        if check and done["code"] != 0:
            raise RuntimeError(f"{' '.join(command)}: exit {done['code']}\n{done['out']}{done['err']}")
        return done["out"].strip()

    def start(self, log, *command):
        """Starts a program beside; what it says goes into a file of the machine."""
        return self.ask(30, argv=command, log=log)["pid"]

    def put(self, path, text):
        self.ask(30, argv=["tee", path], input=text)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.answers.clear()
        agent = os.path.join(self.directory, "vm-agent.sock")
        if os.path.exists(agent):
            os.remove(agent)
