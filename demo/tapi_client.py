"""A client of tapid in one small file: JSON lines over a Unix socket, nothing but the standard library."""
import collections
import json
import os
import select
import socket
import time


class Refused(Exception):
    """The server refused a request: `code` is TAPI's name for the reason."""

    def __init__(self, method, error):
        self.code = (error.get("data") or {}).get("lineerr", error["code"])
        super().__init__(f"{method}: {error['message']} ({self.code})")


class Client:
    """One session. Requests are answered in `call`; what arrives besides is queued for `event`."""

    def __init__(self, path, app):
        self.path, self.number, self.seen, self.queue, self.rest = path, 0, 0, collections.deque(), b""
        self._connect()
        opened = self.call("client.open", app=app, linger_ms=10_000)
        self.token, self.seen = opened["token"], opened["seq"]

    def _connect(self):
        self.socket, self.rest = socket.socket(socket.AF_UNIX), b""
        self.socket.connect(self.path)
        self.hello = self._line(time.monotonic() + 5)["params"]

    def resume(self, within):
        """Takes the session up again after the connection was lost: every event that was missed comes after all."""
        deadline = time.monotonic() + within
        while True:
            try:
                self._connect()
                self.call("client.resume", token=self.token, since=self.seen)
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def call(self, method, descriptor=None, **params):
        """Sends one request, with a file where one is wanted, and waits for its one reply."""
        self.number += 1
        line = json.dumps({"jsonrpc": "2.0", "id": self.number, "method": method, "params": params}).encode() + b"\n"
        if descriptor is None:
            self.socket.sendall(line)
        else:
            sent = socket.send_fds(self.socket, [line], [descriptor])
            self.socket.sendall(line[sent:])
        while True:
            answer = self._line(time.monotonic() + 30)
            if answer.get("id") != self.number:
                self._keep(answer)
            elif "error" in answer:
                raise Refused(method, answer["error"])
            else:
                return answer["result"]

    def event(self, timeout):
        """The next event, or None after so many seconds. A lost connection is a ConnectionError."""
        deadline = time.monotonic() + timeout
        while not self.queue:
            line = self._line(deadline)
            if line is None:
                return None
            self._keep(line)
        event = self.queue.popleft()
        self.seen = event["seq"]
        return event

    def _keep(self, line):
        if line.get("method") == "event":
            self.queue.append(line["params"])

    def _line(self, deadline):
        while b"\n" not in self.rest:
            if not select.select([self.socket], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return None
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionResetError("the server closed the connection")
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)


def open_file(path):
    """A file of ours for the server to play: it never opens a path of our choosing with its own rights."""
    return os.open(path, os.O_RDONLY)
