"""A SIP telephone of the suite's own: one call at a time over UDP, RTP that is stamped with the machine's monotonic clock when
it leaves and when it arrives. It plays samples exactly when it says, which is what delays are measured with."""
import collections
import random
import re
import select
import socket
import struct
import threading
import time

import signals

FRAME = 160


class CallFailed(Exception):
    """The call did not come about; the text is the status line."""


def header(text, name):
    found = re.search(rf"^{name}\s*:\s*(.*?)\s*$", text, re.M | re.I)
    return found[1] if found else None


class Media:
    """RTP both ways. `sent` and `got` remember when each packet crossed the socket."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.lock = threading.Lock()
        self.queue, self.far, self.kind = collections.deque(), None, 0
        self.got, self.lost_to_send = [], 0
        self.open = True
        self.threads = [threading.Thread(target=target, daemon=True) for target in (self._send, self._receive)]
        for thread in self.threads:
            thread.start()

    def close(self):
        self.open = False
        for thread in self.threads:
            thread.join(2)
        self.socket.close()

    def play(self, samples):
        """Queues samples, whole frames; returns a list that will hold the moment at which the first one left."""
        mark = []
        whole = list(samples) + [0] * (-len(samples) % FRAME)
        with self.lock:
            for at in range(0, len(whole), FRAME):
                self.queue.append((whole[at:at + FRAME], mark if at == 0 else None))
        return mark

    def quiet(self):
        with self.lock:
            self.queue.clear()

    def _send(self):
        sequence, stamp, source = random.randrange(30000), random.randrange(1 << 30), random.randrange(1 << 32)
        silent = {kind: signals.encode([0] * FRAME, kind) for kind in signals.ENCODE}
        due = time.monotonic()
        while self.open:
            due += 0.02
            time.sleep(max(0.0, due - time.monotonic()))
            if self.far is None:
                continue
            with self.lock:
                frame, mark = self.queue.popleft() if self.queue else (None, None)
            payload = signals.encode(frame, self.kind) if frame else silent[self.kind]
            sequence, stamp = (sequence + 1) & 0xFFFF, (stamp + FRAME) & 0xFFFFFFFF
            packet = struct.pack("!BBHII", 0x80, self.kind, sequence, stamp, source) + payload
            if mark is not None:
                mark.append(time.monotonic())
            try:
                self.socket.sendto(packet, self.far)
            except OSError:
                self.lost_to_send += 1

    def _receive(self):
        while self.open:
            if not select.select([self.socket], [], [], 0.1)[0]:
                continue
            packet = self.socket.recv(2048)
            now = time.monotonic()
            if len(packet) < 12:
                continue
            first, kind, sequence, stamp = struct.unpack("!BBHI", packet[:8])
            at = 12 + 4 * (first & 15)
            if kind & 127 in signals.DECODE:
                self.got.append((now, sequence, stamp, kind & 127, packet[at:]))

    def heard(self, since):
        """What arrived since a moment: (samples, places), where a place is (index of a packet's first sample, arrival). Packets
        that are missing are silence; `lost` counts them."""
        packets = [packet for packet in list(self.got) if packet[0] >= since]
        samples, places, lost = [], [], 0
        base = None
        for now, sequence, stamp, kind, payload in packets:
            if base is None:
                base, last = stamp, sequence
            place = (stamp - base) & 0xFFFFFFFF
            if place > 8000 * 600:
                continue
            step = (sequence - last) & 0xFFFF
            lost += step - 1 if 1 < step < 1000 else 0
            last = sequence
            if place > len(samples):
                samples.extend([0] * (place - len(samples)))
            decoded = signals.decode(payload, kind)
            samples[place:place + len(decoded)] = decoded
            places.append((place, now))
        return samples, places, lost


def arrival(places, index):
    """When the sample of that index arrived, as if the samples of a packet came one after the other behind its first."""
    best = None
    for place, now in places:
        if place > index:
            break
        best = now + (index - place) / signals.RATE
    return best


class Phone:
    """Calls and is called by one SIP line."""

    def __init__(self, user="suite"):
        self.user = user
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.media, self.dialog, self.final, self.offer = None, None, None, None
        self.events = collections.deque()
        self.open = True
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def close(self):
        self.hang_up()
        self.open = False
        self.thread.join(2)
        self.socket.close()

    def _run(self):
        while self.open:
            if select.select([self.socket], [], [], 0.1)[0]:
                data, far = self.socket.recvfrom(65535)
                text = data.decode(errors="replace")
                if text.strip():
                    (self._response if text.startswith("SIP/2.0") else self._request)(text, far)

    def _description(self):
        kinds = f"{self.media.kind} {8 - self.media.kind}"
        return ("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                f"m=audio {self.media.port} RTP/AVP {kinds}\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=sendrecv\r\n")

    def _media(self, text):
        """Takes the far end's description, if there is one."""
        where, how = re.search(r"^c=IN IP4 (\S+)", text, re.M), re.search(r"^m=audio (\d+) \S+ ([\d ]+)", text, re.M)
        if not how:
            return
        if self.media is None:
            self.media = Media()
        self.media.kind = next((int(kind) for kind in how[2].split() if kind in ("0", "8")), 0)
        self.media.far = (where[1] if where else "127.0.0.1", int(how[1]))

    def _reply(self, request, far, status, body=""):
        lines = [f"SIP/2.0 {status}"]
        for name in ("Via", "From", "To", "Call-ID", "CSeq", "Record-Route"):
            for value in re.findall(rf"^{name}\s*:\s*(.*?)\s*$", request, re.M | re.I):
                tag = f";tag={self.user}" if name == "To" and "tag=" not in value and not status.startswith("100") else ""
                lines.append(f"{name}: {value}{tag}")
        lines.append(f"Contact: <sip:{self.user}@127.0.0.1:{self.port}>")
        self._send(lines, body, far)

    def _send(self, lines, body, far):
        if body:
            lines.append("Content-Type: application/sdp")
        lines.append(f"Content-Length: {len(body)}")
        self.socket.sendto(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), far)

    def _request(self, text, far):
        method = text.split(" ", 1)[0]
        if method == "INVITE":
            again = self.dialog is not None and header(text, "Call-ID") == self.dialog["id"]
            if self.dialog is not None and not again:
                return self._reply(text, far, "486 Busy Here")
            self._media(text)
            if again:
                return self._reply(text, far, "200 OK", self._description())
            contact = re.search(r"<([^>]+)>", header(text, "Contact") or "")
            self.dialog = {"id": header(text, "Call-ID"), "local": header(text, "To") + f";tag={self.user}",
                           "remote": header(text, "From"), "target": contact[1] if contact else "", "far": far, "cseq": 1}
            self.offer = (text, far)
            self._reply(text, far, "180 Ringing")
            self.events.append("rings")
        elif method in ("BYE", "CANCEL"):
            self._reply(text, far, "200 OK")
            if method == "CANCEL" and self.offer:
                self._reply(self.offer[0], self.offer[1], "487 Request Terminated")
            self._over()
        elif method in ("OPTIONS", "INFO", "UPDATE", "NOTIFY", "MESSAGE"):
            self._reply(text, far, "200 OK")
        elif method != "ACK":
            self._reply(text, far, "501 Not Implemented")

    def _over(self):
        self.dialog, self.offer = None, None
        media, self.media = self.media, None
        if media:
            media.open = False
            threading.Thread(target=media.close, daemon=True).start()
        self.events.append("over")

    def _response(self, text, far):
        status, cseq = int(text.split(" ", 2)[1]), header(text, "CSeq") or ""
        if not cseq.endswith("INVITE") or self.dialog is None or status < 200:
            return
        if status < 300:
            contact = re.search(r"<([^>]+)>", header(text, "Contact") or "")
            self.dialog.update(remote=header(text, "To"), target=contact[1] if contact else self.dialog["target"])
        self._say("ACK", int(cseq.split()[0]))
        if status < 300:
            self._media(text)
        self.final = text.splitlines()[0]

    def _say(self, method, cseq, body=""):
        dialog = self.dialog
        branch = f"z9hG4bK{random.randrange(1 << 48):012x}"
        self._send([f"{method} {dialog['target']} SIP/2.0", f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch={branch}",
                    "Max-Forwards: 70", f"From: {dialog['local']}", f"To: {dialog['remote']}", f"Call-ID: {dialog['id']}",
                    f"CSeq: {cseq} {method}", f"Contact: <sip:{self.user}@127.0.0.1:{self.port}>"], body, dialog["far"])

    def call(self, to, port):
        """Calls `to` at a port of this machine; `answered` tells when it is up."""
        self.media, self.final = Media(), None
        self.dialog = {"id": f"{random.randrange(1 << 64):016x}@suite", "cseq": 1, "far": ("127.0.0.1", port),
                       "local": f"<sip:{self.user}@127.0.0.1>;tag={random.randrange(1 << 32):x}",
                       "remote": f"<sip:{to}@127.0.0.1:{port}>", "target": f"sip:{to}@127.0.0.1:{port}"}
        self._say("INVITE", 1, self._description())

    def answered(self, seconds):
        deadline = time.monotonic() + seconds
        while self.final is None:
            if time.monotonic() > deadline:
                raise CallFailed(f"the SIP call was not answered within {seconds} s")
            time.sleep(0.01)
        if " 200 " not in self.final:
            raise CallFailed(self.final)

    def wait(self, event, seconds):
        """Waits for `rings` or `over`."""
        deadline = time.monotonic() + seconds
        while True:
            if self.events:
                if self.events.popleft() == event:
                    return
            elif time.monotonic() > deadline:
                raise CallFailed(f"the suite's SIP telephone: no '{event}' within {seconds} s")
            else:
                time.sleep(0.005)

    def answer(self):
        self._reply(self.offer[0], self.offer[1], "200 OK", self._description())

    def hang_up(self):
        if self.dialog is not None:
            self.dialog["cseq"] += 1
            self._say("BYE", self.dialog["cseq"])
            self._over()
