//! A SIP caller of raw text, with one call and its RTP.

use crate::daemon::{PATIENCE, Wire};
use serde_json::json;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// A caller that has not called yet.
pub struct Caller {
    sip: UdpSocket,
    rtp: UdpSocket,
    server: SocketAddr,
}

/// A call that is up.
pub struct Call {
    caller: Caller,
    /// The server's id of it.
    pub id: u64,
    /// The event that said it is connected.
    pub seen: u64,
    /// The tag that the server gave it.
    tag: String,
    /// Where the server receives RTP.
    rtp: SocketAddr,
    sequence: u16,
}

impl Caller {
    pub fn new(server: u16) -> Caller {
        let socket = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        };
        Caller { sip: socket(), rtp: socket(), server: SocketAddr::from(([127, 0, 0, 1], server)) }
    }

    fn request(&self, method: &str, sequence: u32, tag: &str, body: &str) -> String {
        let port = self.sip.local_addr().unwrap().port();
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "{method} sip:100@{server} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};rport;branch=z9hG4bK{port}{method}{sequence}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:caller@127.0.0.1>;tag=t{port}\r\nTo: <sip:100@127.0.0.1>{tag}\r\n\
             Call-ID: call-{port}@127.0.0.1\r\nCSeq: {sequence} {method}\r\nContact: <sip:caller@127.0.0.1:{port}>\r\n\
             {kind}Content-Length: {length}\r\n\r\n{body}",
            server = self.server,
            length = body.len()
        )
    }

    fn send(&self, text: &str) {
        self.sip.send_to(text.as_bytes(), self.server).unwrap();
    }

    fn receive(&self) -> String {
        let mut buffer = [0; 8_192];
        let (length, _) = self.sip.recv_from(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    pub fn options(&self) -> String {
        self.send(&self.request("OPTIONS", 1, "", ""));
        self.receive()
    }

    /// Calls `sip:trunk`; the application on `wire` opens the line and answers.
    pub fn answered(self, wire: &mut Wire) -> Call {
        let open = json!({"id": 5, "method": "line.open", "params": {"line": "sip:trunk", "privileges": ["owner"]}});
        wire.say(&open.to_string());
        assert!(wire.answer(5)["result"]["line"].is_u64());
        let port = self.rtp.local_addr().unwrap().port();
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
        );
        self.send(&self.request("INVITE", 1, "", &sdp));
        let id = loop {
            let line = wire.line();
            if line["params"]["kind"] == "call.state" && line["params"]["state"] == "offering" {
                break line["params"]["call"].as_u64().unwrap();
            }
        };
        wire.say(&json!({"id": 6, "method": "call.answer", "params": {"call": id}}).to_string());
        let ok = loop {
            let answer = self.receive();
            if answer.starts_with("SIP/2.0 200 ") {
                break answer;
            }
            assert!(answer.starts_with("SIP/2.0 1"), "{answer}");
        };
        let line =
            |name: &str| ok.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {ok}"));
        let tag = line("To:").split("tag=").nth(1).unwrap().trim().to_string();
        let rtp = line("m=audio").split(' ').nth(1).unwrap().parse().unwrap();
        self.send(&self.request("ACK", 1, &format!(";tag={tag}"), ""));
        let seen = loop {
            let line = wire.line();
            if line["params"]["kind"] == "call.state" && line["params"]["state"] == "connected" {
                break line["params"]["seq"].as_u64().unwrap();
            }
        };
        let rtp = SocketAddr::from(([127, 0, 0, 1], rtp));
        Call { caller: self, id, seen, tag, rtp, sequence: 0 }
    }
}

impl Call {
    /// Sends RTP every 20 ms, and returns when a packet with that very audio comes back.
    pub fn is_echoed(&mut self, audio: u8) {
        let socket = &self.caller.rtp;
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            self.sequence = self.sequence.wrapping_add(1);
            let mut packet = vec![0x80, 0];
            packet.extend_from_slice(&self.sequence.to_be_bytes());
            packet.extend_from_slice(&(u32::from(self.sequence) * 160).to_be_bytes());
            packet.extend_from_slice(&0x5eed_u32.to_be_bytes());
            packet.extend_from_slice(&[audio; 160]);
            socket.send_to(&packet, self.rtp).unwrap();
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                assert_eq!(from, self.rtp, "RTP comes from where it was sent to");
                if buffer[12..length].iter().all(|sample| *sample == audio) && length == 172 {
                    return;
                }
            }
        }
        panic!("no echo of {audio:#x} within {PATIENCE:?}");
    }

    /// Ends the call, and is answered.
    pub fn hang_up(&mut self) {
        let caller = &self.caller;
        caller.send(&caller.request("BYE", 2, &format!(";tag={}", self.tag), ""));
        let answer = caller.receive();
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    }

    /// Waits for the server's BYE, and answers it.
    pub fn is_hung_up(&mut self) {
        loop {
            let request = self.caller.receive();
            if request.starts_with("BYE ") {
                let kept: Vec<&str> = request
                    .lines()
                    .filter(|line| {
                        ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name))
                    })
                    .collect();
                self.caller.send(&format!("SIP/2.0 200 OK\r\n{}\r\nContent-Length: 0\r\n\r\n", kept.join("\r\n")));
                return;
            }
        }
    }
}
