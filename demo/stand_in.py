"""A stand-in for the service manager: readiness, the descriptor store, and a restart that gives the descriptors back."""
import array
import os
import signal
import socket
import subprocess
import threading


class ServiceManager:
    """Runs one daemon as systemd would with Type=notify, FileDescriptorStoreMax= and RestartKillSignal=SIGUSR2."""

    def __init__(self, command, directory, log):
        self.command, self.log, self.store, self.process = command, log, [], None
        self.ready = threading.Event()
        self.address = os.path.join(directory, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.address)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            text, ancillary, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(4 * 253))
            descriptors = array.array("i")
            for _, kind, data in ancillary:
                if kind == socket.SCM_RIGHTS:
                    descriptors.frombytes(data[:len(data) - len(data) % 4])
            fields = dict(line.split("=", 1) for line in text.decode().splitlines() if "=" in line)
            if "FDSTORE" in fields:
                self.store += [(fields.get("FDNAME", "stored"), number) for number in descriptors]
            elif "FDSTOREREMOVE" in fields:
                for name, number in [entry for entry in self.store if entry[0] == fields.get("FDNAME")]:
                    os.close(number)
                    self.store.remove((name, number))
            if fields.get("READY") == "1":
                self.ready.set()

    def start(self):
        self.ready.clear()
        kept = list(self.store)
        numbers = [number for _, number in kept]
        environment = dict(os.environ, NOTIFY_SOCKET=self.address)
        if kept:
            environment.update(LISTEN_FDS=str(len(kept)), LISTEN_FDNAMES=":".join(name for name, _ in kept))

        def place():
            # First out of the way, then to 3, 4, 5… as the protocol has it.
            moved = [os.dup2(number, 1000 + index) for index, number in enumerate(numbers)]
            for index, number in enumerate(moved):
                os.dup2(number, 3 + index, inheritable=True)
            os.closerange(3 + len(numbers), 3000)

        # The shell knows its own process id, which LISTEN_PID must be.
        line = ["sh", "-c", 'LISTEN_PID=$$ exec "$@"' if kept else 'exec "$@"', "sh", *self.command]
        self.process = subprocess.Popen(line, env=environment, stdout=self.log, stderr=self.log,
                                        close_fds=False, preexec_fn=place)
        if not self.ready.wait(15):
            raise SystemExit(f"the daemon did not become ready; see its log {self.log.name}")

    def restart(self):
        self.process.send_signal(signal.SIGUSR2)
        self.process.wait(15)
        self.start()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                return self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.returncode if self.process else None
