#!/usr/bin/env python3
"""A registrar in raw text that challenges (RFC 3261 section 22, RFC 7616 with MD5 and SHA-256) and says who came.

registrar.py PORT USER PASSWORD-FILE: prints `registered` once the answer to its challenge is right, `wrong` when it is not.
"""
import hashlib
import re
import socket
import sys

HOST, REALM, NONCE = "127.0.0.1", "registrar", "5f0a9c"


def reply(request, status, more=()):
    head = request.partition("\r\n\r\n")[0].split("\r\n")[1:]
    kept = [line for line in head if line.split(":")[0].strip().lower() in ("via", "v", "from", "f", "to", "t", "call-id", "i", "cseq", "contact", "m")]
    return "\r\n".join([f"SIP/2.0 {status}", *kept, *more, "Content-Length: 0", "", ""]).encode()


def right(fields, user, password):
    digest = hashlib.sha256 if fields.get("algorithm", "MD5").upper().startswith("SHA-256") else hashlib.md5
    of = lambda text: digest(text.encode()).hexdigest()  # noqa: E731
    secret, what = of(f"{user}:{REALM}:{password}"), of(f"REGISTER:{fields['uri']}")
    between = f"{fields['nonce']}:{fields['nc']}:{fields['cnonce']}:{fields['qop']}" if "qop" in fields else fields["nonce"]
    return fields.get("username") == user and fields.get("response") == of(f"{secret}:{between}:{what}")


def main(port, user, file):
    with open(file, encoding="utf-8") as secret:
        password = secret.readline().rstrip("\n")
    sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sip.bind((HOST, int(port)))
    print("ready", flush=True)
    while True:
        data, peer = sip.recvfrom(65_536)
        request = data.decode(errors="replace")
        if not request.startswith("REGISTER "):
            continue
        answer = re.search(r"(?im)^authorization:\s*digest\s+(.*)$", request)
        if answer is None:
            challenge = f'WWW-Authenticate: Digest realm="{REALM}", nonce="{NONCE}", algorithm=SHA-256, qop="auth"'
            sip.sendto(reply(request, "401 Unauthorized", [challenge]), peer)
            continue
        fields = {name.lower(): value.strip('"') for name, value in re.findall(r'(\w+)\s*=\s*("[^"]*"|[^,\s]+)', answer.group(1))}
        good = right(fields, user, password)
        sip.sendto(reply(request, "200 OK" if good else "403 Forbidden", ["Expires: 600"] if good else []), peer)
        print("registered" if good else "wrong", flush=True)


main(*sys.argv[1:])
