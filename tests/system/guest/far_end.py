#!/usr/bin/env python3
"""The far end of a SIP call, in raw text: calls, sends a tone every 20 ms, and notes what comes back and when.

far_end.py LISTEN-PORT TARGET-PORT STOP-FILE: when the file appears it hangs up and prints what it saw as JSON. A line
`mark NAME` on standard input begins a new chapter: gaps are counted for each.
"""
import json
import math
import os
import select
import socket
import struct
import sys
import time

HOST = "127.0.0.1"


def encode(sample):
    """G.711 µ-law."""
    sign, value = (0x80, -sample) if sample < 0 else (0, sample)
    value = min(value, 32_635) + 0x84
    exponent = max(value.bit_length() - 8, 0)
    return ~(sign | exponent << 4 | (value >> (exponent + 3)) & 0x0F) & 0xFF


class FarEnd:
    def __init__(self, port, target):
        self.sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sip.bind((HOST, port))
        self.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.rtp.bind((HOST, 0))
        self.port, self.target = port, (HOST, target)
        self.call_id, self.to, self.cseq, self.remote = f"{os.getpid()}@far", "", 1, None
        self.chapters, self.last, self.ended = [], None, None
        self.mark("answer")
        self.tone = bytes(encode(int(8000 * math.sin(2 * math.pi * 1000 * n / 8000))) for n in range(160))

    def request(self, method, body="", branch=None):
        branch = branch or f"z9hG4bK{time.monotonic_ns()}"
        lines = [f"{method} sip:100@{HOST} SIP/2.0", f"Via: SIP/2.0/UDP {HOST}:{self.port};branch={branch};rport",
                 f"From: <sip:far@{HOST}>;tag=far", f"To: <sip:100@{HOST}>{self.to}", f"Call-ID: {self.call_id}",
                 f"CSeq: {self.cseq} {method}", "Max-Forwards: 70", f"Contact: <sip:far@{HOST}:{self.port}>"]
        if body:
            lines.append("Content-Type: application/sdp")
        lines += [f"Content-Length: {len(body)}", "", body]
        self.sip.sendto("\r\n".join(lines).encode(), self.target)

    def call(self):
        port = self.rtp.getsockname()[1]
        self.request("INVITE", f"v=0\r\no=- 1 1 IN IP4 {HOST}\r\ns=-\r\nc=IN IP4 {HOST}\r\nt=0 0\r\n"
                               f"m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n", f"z9hG4bKfirst{os.getpid()}")

    def on_sip(self, text):
        head, _, body = text.partition("\r\n\r\n")
        first, *rest = head.split("\r\n")
        fields = {}
        for line in rest:
            name, _, value = line.partition(":")
            fields.setdefault(name.strip().lower(), []).append(value.strip())
        if first.startswith("SIP/2.0"):
            status, method = int(first.split()[1]), fields["cseq"][0].split()[1]
            if method == "INVITE" and 200 <= status < 300:
                tag = fields["to"][0].partition(";tag=")[2]
                self.to = f";tag={tag}"
                self.request("ACK")
                lines = body.split("\r\n")
                media = next(line for line in lines if line.startswith("m=audio"))
                self.remote = (HOST, int(media.split()[1]))
                if len(self.chapters) == 1:
                    self.mark("up")
            elif method == "INVITE" and status >= 300:
                raise SystemExit(f"the call was refused: {first}")
            return
        method = first.split()[0]
        if method == "ACK":
            return
        answer = ["SIP/2.0 200 OK"] + [f"Via: {via}" for via in fields["via"]]
        answer += [f"{name}: {fields[name.lower()][0]}" for name in ("From", "To", "Call-ID", "CSeq")]
        self.sip.sendto("\r\n".join(answer + ["Content-Length: 0", "", ""]).encode(), self.target)
        if method == "BYE":
            self.ended = "the far end was hung up on"

    def mark(self, name):
        self.chapters.append({"chapter": name, "packets": 0, "longest_gap_ms": 0.0, "heard": 0})

    def on_rtp(self, packet, now):
        chapter = self.chapters[-1]
        if self.last is not None:
            chapter["longest_gap_ms"] = max(chapter["longest_gap_ms"], round(1000 * (now - self.last), 1))
        self.last = now
        chapter["packets"] += 1
        chapter["heard"] += sum(byte not in (0xFF, 0x7F) for byte in packet[12:])

    def run(self, stop):
        self.call()
        sequence, due, began = 0, time.monotonic(), time.monotonic()
        while not os.path.exists(stop) and self.ended is None:
            now = time.monotonic()
            if self.remote and now >= due:
                header = struct.pack("!BBHII", 0x80, 0, sequence & 0xFFFF, sequence * 160 & 0xFFFFFFFF, 0xFA12E4D0)
                self.rtp.sendto(header + self.tone, self.remote)
                sequence, due = sequence + 1, max(due + 0.02, now - 0.1)
            elif not self.remote and now - began > 10:
                raise SystemExit("the call was not answered within 10 s")
            wait = max(0.0, (due if self.remote else now + 0.5) - time.monotonic())
            for ready in select.select([self.sip, self.rtp, sys.stdin], [], [], min(wait, 0.5))[0]:
                if ready is self.sip:
                    self.on_sip(self.sip.recv(65535).decode())
                elif ready is self.rtp:
                    self.on_rtp(self.rtp.recv(2048), time.monotonic())
                else:
                    word, _, name = sys.stdin.readline().strip().partition(" ")
                    if word == "mark":
                        self.mark(name)
                        print(f"marked {name}", flush=True)
        if self.ended is None:
            self.cseq += 1
            self.request("BYE")
        print(json.dumps({"ended": self.ended, "chapters": self.chapters}), flush=True)


if __name__ == "__main__":
    FarEnd(int(sys.argv[1]), int(sys.argv[2])).run(sys.argv[3])
