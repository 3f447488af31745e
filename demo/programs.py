"""Programs of the demonstration, started, watched and stopped."""
import json
import os
import queue
import re
import socket
import subprocess
import threading
import time

import audio

START = time.monotonic()


def say(text):
    print(f"\n=== {time.monotonic() - START:6.2f} {text}", flush=True)


def free_port():
    """A port that is free for UDP and TCP, with its neighbour."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        try:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                for number in (port, port + 1):
                    with socket.socket(socket.AF_INET, kind) as probe:
                        probe.bind(("127.0.0.1", number))
            return port
        except OSError:
            continue


class Watched:
    """A program whose output is shown and can be waited for."""

    def __init__(self, name, command, show=True, **options):
        self.name, self.show, self.lines, self.kept = name, show, queue.Queue(), []
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True, bufsize=1, errors="replace", **options)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            line = line.rstrip()
            if self.show:
                print(line if line.startswith("[") else f"[{self.name}] {line}", flush=True)
            self.kept.append(line)
            self.lines.put(line)

    def wait(self, pattern, seconds=20):
        """The match in the next line that has one."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                line = self.lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise SystemExit(f"demo: {self.name} did not say '{pattern}' within {seconds} s") from None
            found = re.search(pattern, line)
            if found:
                return found

    def send(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()


class Baresip:
    """The SIP caller: its microphone is a file, what it hears is written to one, its keys come over UDP."""

    def __init__(self, directory, microphone, account="<sip:alice@127.0.0.1>;regint=0", further=""):
        self.directory = os.path.join(directory, "baresip")
        os.makedirs(os.path.join(self.directory, "heard"))
        self.sip, self.control, self.keys = free_port(), free_port(), free_port()
        modules = "".join(f"module {name}.so\n" for name in ("g711", "uuid", "aufile", "aubridge", "sndfile", "cons"))
        modules += "".join(f"module_app {name}.so\n" for name in ("account", "ctrl_tcp", "menu"))
        with open(os.path.join(self.directory, "config"), "w", encoding="utf-8") as file:
            file.write(f"sip_listen 127.0.0.1:{self.sip}\naudio_player aubridge,nil\naudio_alert aubridge,nil\n"
                       f"audio_source aufile,{microphone}\nmodule_path /usr/lib/baresip/modules\n{modules}"
                       f"cons_listen 127.0.0.1:{self.keys}\nctrl_tcp_listen 127.0.0.1:{self.control}\n"
                       f"snd_path {self.directory}/heard\n{further}")
        with open(os.path.join(self.directory, "accounts"), "w", encoding="utf-8") as file:
            file.write(account + "\n")
        self.program = Watched("baresip", ["baresip", "-f", self.directory, "-v"], show=False)
        self.program.wait("baresip is ready")
        self.connection = socket.create_connection(("127.0.0.1", self.control))

    def command(self, name, parameters=""):
        text = json.dumps({"command": name, "params": parameters, "token": "demo"})
        self.connection.sendall(f"{len(text)}:{text},".encode())

    def key(self, key):
        """Presses a key for 120 ms: the byte 4 is its release."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(key.encode(), ("127.0.0.1", self.keys))
            time.sleep(0.12)
            sender.sendto(b"\x04", ("127.0.0.1", self.keys))

    def heard(self):
        directory = os.path.join(self.directory, "heard")
        for name in sorted(os.listdir(directory)):
            if name.endswith("-dec.wav"):
                return audio.read_wav(os.path.join(directory, name))
        return []
