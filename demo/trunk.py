"""The second act: a trunk as carriers have them.

A line registers at Kamailio with digest. baresip calls another line under TLS with its audio in SRTP; both hear each other. Then
the application transfers the call by REFER to the registered account: baresip is told, calls it through Kamailio, and is
heard there.
"""
import os
import subprocess
import time

import audio
from programs import Baresip, Watched, free_port, say
from tapi_client import Client

THEIRS_HZ, THEIRS_DBM0 = 1000, -12.0
OURS_HZ, OURS_DBM0 = 440, -10

CERTIFICATES = """set -e
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=demo-ca \
  -addext basicConstraints=critical,CA:TRUE
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out req.pem -subj /CN=127.0.0.1
printf 'subjectAltName=IP:127.0.0.1\\nbasicConstraints=CA:FALSE\\n' > ext
openssl x509 -req -in req.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out cert.pem
cat cert.pem key.pem > both.pem
"""

KAMAILIO = """#!KAMAILIO
debug=1
log_stderror=yes
children=1
auto_aliases=no
disable_tcp=yes
listen=udp:127.0.0.1:{port}
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "auth.so"
loadmodule "xlog.so"
modparam("usrloc", "db_mode", 0)
event_route[core:worker-one-init] {{ xlog("L_ERR", "worker is ready\\n"); }}
request_route {{
  if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
  if (has_totag()) {{
    if (loose_route()) {{ t_relay(); exit; }}
    if (is_method("ACK") && t_check_trans()) t_relay();
    exit;
  }}
  if (is_method("REGISTER")) {{
    if (!pv_www_authenticate("$fd", "demo", "0")) {{
      xlog("L_ERR", "REGISTER of $fU: challenged\\n");
      www_challenge("$fd", "1");
      exit;
    }}
    save("location");
    xlog("L_ERR", "REGISTER of $fU: bound to $ct\\n");
    exit;
  }}
  record_route();
  if (!lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}
  xlog("L_ERR", "$rm of $fU goes to $ru\\n");
  t_relay();
}}
"""

CONFIG = """
[daemon]
socket = "{socket}"

[rtp]
address = "127.0.0.1"
ports = "{rtp}-{rtp_end}"

[[sip]]
name = "pbx"
listen = "127.0.0.1:{sip}"
listen_tls = "127.0.0.1:{tls}"
tls = {{ certificate = "cert.pem", key = "key.pem", ca = "ca.pem" }}

[[sip.lines]]
name = "sip:desk"
user = "desk"
domain = "127.0.0.1"
peers = ["127.0.0.1"]
proxy = "127.0.0.1:{kamailio}"
register = {{ registrar = "127.0.0.1:{kamailio}", expires_s = 600 }}
auth = {{ user = "desk", password = "demo" }}
srtp = "optional"

[[sip.lines]]
name = "sip:secure"
user = "secure"
domain = "127.0.0.1"
peers = ["127.0.0.1"]
srtp = "required"
"""


class TrunkAct:
    """What the act needs, and what was seen."""

    def __init__(self, bin_directory, directory):
        self.bin = bin_directory
        self.directory = os.path.join(directory, "trunk")
        os.makedirs(self.directory)
        self.socket = os.path.join(self.directory, "api.sock")
        self.sip, self.tls, self.kamailio = free_port(), free_port(), free_port()
        self.running, self.results, self.phases, self.levels = [], [], [], {}

    def path(self, name):
        return os.path.join(self.directory, name)

    def run(self):
        try:
            self.prepare()
            self.register()
            call = self.protected_call()
            self.transfer(call)
        finally:
            for program in reversed(self.running):
                program.stop()
        say("what was seen of the trunk")
        for right, name, text in self.results:
            print(f"  {'ok ' if right else 'BAD'}  {name:<12} {text}")
        return all(right for right, _, _ in self.results)

    def check(self, name, right, text):
        self.results.append((right, name, text))

    def tapictl(self, *arguments, show=True):
        done = subprocess.run([os.path.join(self.bin, "tapictl"), "--socket", self.socket, *arguments],
                              capture_output=True, text=True, timeout=20, check=False)
        if show:
            print(f"$ tapictl {' '.join(arguments)}\n{(done.stdout + done.stderr).rstrip()}", flush=True)
        return done.stdout

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def prepare(self):
        subprocess.run(["sh", "-c", CERTIFICATES], cwd=self.directory, check=True, capture_output=True, timeout=30)
        audio.write_wav(self.path("microphone.wav"), audio.tone(THEIRS_HZ, 60, THEIRS_DBM0))
        self.write("kamailio.cfg", KAMAILIO.format(port=self.kamailio))
        rtp = 26000 + os.getpid() % 40 * 100
        self.write("tapid.toml", CONFIG.format(socket=self.socket, rtp=rtp, rtp_end=rtp + 40, sip=self.sip, tls=self.tls,
                                               kamailio=self.kamailio))

    def register(self):
        say("Kamailio as a registrar with digest, and a line that registers")
        environment = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin")
        proxy = Watched("kamailio", ["kamailio", "-m", "64", "-M", "8", "-DD", "-E", "-Y", self.directory, "-f",
                                     self.path("kamailio.cfg")], show=False, env=environment)
        self.running.append(proxy)
        proxy.wait("worker is ready")
        self.proxy = proxy
        daemon = Watched("tapid", [os.path.join(self.bin, "tapid"), "--config", self.path("tapid.toml")], show=False)
        self.running.append(daemon)
        challenged = proxy.wait("REGISTER of desk: challenged")
        bound = proxy.wait("REGISTER of desk: bound.*")
        print(f"[kamailio] {challenged[0]}\n[kamailio] {bound[0]}", flush=True)
        deadline = time.monotonic() + 20
        while '"out"' in (lines := self.tapictl("lines", "--json", show=False)) or '"in"' not in lines:
            if time.monotonic() > deadline:
                self.tapictl("lines")
                raise SystemExit("demo: the account did not come into service")
            time.sleep(0.1)
        self.tapictl("lines")
        self.check("registration", True, "Kamailio challenged the account, and bound it")
        self.client = Client(self.socket, "trunk")
        for line in ("sip:desk", "sip:secure"):
            self.client.call("line.open", line=line, privileges=["owner"])

    def wait(self, what, wanted, seconds=20):
        """The first event that is wanted; levels of tones are noted on the way."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            event = self.client.event(0.2)
            if event is None:
                continue
            if event["kind"] == "call.tone":
                for tone in event["tones"]:
                    self.levels.setdefault((event["call"], tone["hz"]), []).append(tone["level_ddbm0"] / 10)
            if event["kind"] == "call.transfer":
                self.phases.append(event["phase"])
            if wanted(event):
                return event
        raise SystemExit(f"demo: no {what} within {seconds} s")

    def state(self, call, state):
        return self.wait(state, lambda event: event["kind"] == "call.state" and event["state"] == state
                         and (call is None or event["call"] == call))

    def listen(self, call, seconds):
        """The median level at which the far end's tone is heard."""
        self.client.call("call.monitor_tones", call=call, hz=[THEIRS_HZ])
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.wait("tone", lambda event: event["kind"] == "call.tone" and event["call"] == call)
        levels = sorted(self.levels.get((call, THEIRS_HZ), [-100.0]))
        return levels[len(levels) // 2]

    def protected_call(self):
        say("baresip calls a line that takes TLS and SRTP only")
        further = (f"module srtp.so\nsip_certificate {self.path('both.pem')}\nsip_cafile {self.path('ca.pem')}\n"
                   "sip_verify_server yes\n")
        account = "<sip:alice@127.0.0.1>;regint=0;mediaenc=srtp-mand"
        self.baresip = Baresip(self.directory, self.path("microphone.wav"), account, further)
        self.running.append(self.baresip.program)
        self.baresip.command("dial", f"sip:secure@127.0.0.1:{self.tls};transport=tls")
        call = self.state(None, "offering")["call"]
        self.client.call("call.answer", call=call)
        self.state(call, "connected")
        self.client.call("call.tone", call=call, hz=[OURS_HZ], duration_ms=1500, level_dbm0=OURS_DBM0)
        level = self.listen(call, 2.0)
        self.check("SRTP → us", abs(level - THEIRS_DBM0) < 1.5,
                   f"{THEIRS_HZ} Hz sent at {THEIRS_DBM0:.1f} dBm0, heard at {level:.1f}")
        media = self.client.call("call.get", call=call)["info"]["media"]
        self.check("protection", "AES" in (media.get("security") or ""), f"the audio is in {media.get('security')}")
        return call

    def transfer(self, call):
        say("the application transfers the call by REFER to the registered account")
        self.client.call("call.blind_transfer", call=call, to=f"sip:desk@127.0.0.1:{self.kamailio}", how="network")
        second = self.state(None, "offering")["call"]
        time.sleep(0.5)
        first = self.tapictl("trace", str(call))
        self.client.call("call.answer", call=second)
        self.state(second, "connected")
        level = self.listen(second, 1.5)
        self.check("transfer", abs(level - THEIRS_DBM0) < 1.5,
                   f"the caller is heard at the registered account, {THEIRS_HZ} Hz at {level:.1f} dBm0")
        again = self.tapictl("trace", str(second))
        self.check("ladder", "REFER" in first and "NOTIFY" in first and "INVITE" in again,
                   "REFER, its NOTIFY and the transferred call are in the ladders")
        self.check("told", "done" in self.phases, f"what became of the transfer was told: {', '.join(self.phases)}")
        self.client.call("call.drop", call=second)
        self.state(second, "idle")
        self.baresip.command("quit")
        time.sleep(0.5)
        heard = audio.heard(self.baresip.heard(), OURS_HZ, OURS_DBM0 - 6)
        text = "nothing" if heard is None else f"{heard[0]:.1f} dBm0 for {heard[1]:.1f} s"
        self.check("us → SRTP", heard is not None and abs(heard[0] - OURS_DBM0) < 1.5 and heard[1] > 1.2,
                   f"{OURS_HZ} Hz sent at {OURS_DBM0:.1f} dBm0 for 1.5 s, heard: {text}")
