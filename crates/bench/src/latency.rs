//! How long it takes from a request to the INVITE on the wire, and from the packet of a digit to the event.

use crate::Outcome;
use crate::answerer::{self, LINE};
use crate::daemon::{Daemon, Setup};
use crate::figures::Figures;
use std::net::UdpSocket;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use tapi::client::blocking::Client;
use tapi::request::{CallAnswer, CallDeallocate, CallDrop, CallMake, CallMonitorDigits};
use tapi::{AddressId, CallId, CallState, EventBody, LineSelector};

/// What is not counted at first.
const WARM: usize = 50;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// From `call.make` to the INVITE.
pub fn to_the_wire(figures: &mut Figures, count: usize, setup: &Setup<'_>) -> Outcome {
    let wire = UdpSocket::bind("127.0.0.1:0")?;
    wire.set_read_timeout(Some(PATIENCE))?;
    let setup = Setup { proxy: Some(wire.local_addr()?.port()), ..setup.clone() };
    let daemon = Daemon::start(&setup)?;
    let mut client = answerer::owner(daemon.socket())?;
    let (sender, invites) = channel();
    std::thread::spawn(move || refuse(&wire, &sender));
    let mut times = Vec::new();
    for number in 0..count + WARM {
        let began = Instant::now();
        let call = client.call(CallMake {
            line: LineSelector::Name(LINE.into()),
            to: "200".into(),
            address: AddressId(0),
            block_id: false,
            comment: None,
            bearer: None,
        })?;
        let sent = invites.recv_timeout(PATIENCE)?;
        if number >= WARM {
            times.push(sent.saturating_duration_since(began));
        }
        over(&mut client, call.call)?;
    }
    figures.tell_times("request to the INVITE on the wire", times, Some((0.2, 0.5)));
    Ok(())
}

/// Refuses every call, and tells when it came.
fn refuse(wire: &UdpSocket, invites: &Sender<Instant>) {
    let mut datagram = vec![0; 65_536];
    while let Ok((length, from)) = wire.recv_from(&mut datagram) {
        let at = Instant::now();
        let text = String::from_utf8_lossy(datagram.get(..length).unwrap_or_default()).into_owned();
        if text.starts_with("INVITE ") {
            drop(wire.send_to(answer(&text, "486 Busy Here", None).as_bytes(), from));
            if invites.send(at).is_err() {
                return;
            }
        }
    }
}

/// An answer to a request.
fn answer(request: &str, status: &str, body: Option<&str>) -> String {
    let mut answer = format!("SIP/2.0 {status}\r\n");
    let kept = |line: &&str| ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name));
    for line in request.lines().take_while(|line| !line.is_empty()).filter(kept) {
        answer += line;
        answer += if line.starts_with("To:") && !line.contains("tag=") { ";tag=bench\r\n" } else { "\r\n" };
    }
    let body = body.unwrap_or_default();
    answer + &format!("Content-Length: {}\r\n\r\n{body}", body.len())
}

/// Waits until the far end has ended a call, and lets go of it.
fn over(client: &mut Client, of: CallId) -> Outcome {
    let state = |client: &mut Client, last: fn(&CallState) -> bool| {
        wait(client, |body| matches!(body, EventBody::CallState { call, state, .. } if *call == of && last(state)))
    };
    state(client, |state| matches!(state, CallState::Disconnected(_)))?;
    client.call(CallDrop { call: of, reason: None })?;
    state(client, |state| matches!(state, CallState::Idle))?;
    client.call(CallDeallocate { call: of })?;
    Ok(())
}

/// Waits for an event; when it came.
fn wait(client: &mut Client, is: impl Fn(&EventBody) -> bool) -> Result<Instant, Box<dyn std::error::Error>> {
    let deadline = Instant::now() + PATIENCE;
    while let Some(delivered) = client.next_event(Some(deadline.saturating_duration_since(Instant::now())))? {
        if is(&delivered.event.body) {
            return Ok(Instant::now());
        }
    }
    Err("an event did not come".into())
}

/// From the first packet of an RFC 4733 event to the client's event.
pub fn from_a_digit(figures: &mut Figures, count: usize, setup: &Setup<'_>) -> Outcome {
    let daemon = Daemon::start(setup)?;
    let mut client = answerer::owner(daemon.socket())?;
    let (signalling, audio) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    signalling.set_read_timeout(Some(PATIENCE))?;
    signalling.connect(("127.0.0.1", daemon.sip_port()))?;
    let rtp = call(&signalling, audio.local_addr()?.port(), &mut client)?;
    audio.connect(("127.0.0.1", rtp))?;
    let (digits, sent) = channel();
    let presses = std::thread::spawn(move || press(&audio, count + WARM, &digits));
    let mut times = Vec::new();
    for number in 0..count + WARM {
        let at = wait(&mut client, |body| matches!(body, EventBody::CallDigit { .. }))?;
        let began = next(&sent)?;
        if number >= WARM {
            times.push(at.saturating_duration_since(began));
        }
    }
    drop(presses.join());
    figures.tell_times("RFC 4733 packet to the client's event", times, Some((0.1, 0.3)));
    Ok(())
}

fn next(sent: &Receiver<Instant>) -> Result<Instant, Box<dyn std::error::Error>> {
    Ok(sent.recv_timeout(PATIENCE)?)
}

/// Calls the daemon and has the client answer; the daemon's port for audio.
fn call(wire: &UdpSocket, audio: u16, client: &mut Client) -> Result<u16, Box<dyn std::error::Error>> {
    let own = wire.local_addr()?.port();
    let body = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {audio} RTP/AVP 0 101\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
    );
    let head = |method: &str, to: &str| {
        format!(
            "{method} sip:100@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{own};branch=z9hG4bK{method}\r\n\
             From: <sip:bench@127.0.0.1>;tag=1\r\nTo: {to}\r\nCall-ID: bench\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:bench@127.0.0.1:{own}>\r\nMax-Forwards: 70\r\n"
        )
    };
    let invite = head("INVITE", "<sip:100@127.0.0.1>");
    let length = body.len();
    wire.send(format!("{invite}Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes())?;
    let offered = |body: &EventBody| match body {
        EventBody::CallState { call, state: CallState::Offering(_), .. } => Some(*call),
        _ => None,
    };
    let call = loop {
        let Some(delivered) = client.next_event(Some(PATIENCE))? else { return Err("no call was offered".into()) };
        if let Some(call) = offered(&delivered.event.body) {
            break call;
        }
    };
    client.call(CallAnswer { call })?;
    let mut datagram = vec![0; 65_536];
    let (to, port) = loop {
        let length = wire.recv(&mut datagram)?;
        let text = String::from_utf8_lossy(datagram.get(..length).unwrap_or_default()).into_owned();
        if text.starts_with("SIP/2.0 200") {
            let to = text.lines().find_map(|line| line.strip_prefix("To: ")).unwrap_or_default().to_string();
            let port = text.lines().find_map(|line| line.strip_prefix("m=audio ")?.split(' ').next()?.parse().ok());
            break (to, port.ok_or("the answer has no audio")?);
        }
    };
    wire.send(format!("{}Content-Length: 0\r\n\r\n", head("ACK", &to)).as_bytes())?;
    wait(client, |body| matches!(body, EventBody::CallState { state: CallState::Connected(_), .. }))?;
    client.call(CallMonitorDigits { call, on: true })?;
    Ok(port)
}

/// Presses digits, 40 ms each and 40 ms apart, and tells when each one's first packet was sent.
fn press(audio: &UdpSocket, count: usize, digits: &Sender<Instant>) {
    let (mut sequence, mut stamp) = (0u16, 0u32);
    let mut packet = |marker: u8, stamp: u32, digit: u8, flags: u8, duration: u16| {
        let mut packet = vec![0x80, 101 | marker];
        sequence = sequence.wrapping_add(1);
        packet.extend(sequence.to_be_bytes());
        packet.extend(stamp.to_be_bytes());
        packet.extend([0, 0, 0, 7, digit, flags | 10]);
        packet.extend(duration.to_be_bytes());
        packet
    };
    for number in 0..count {
        stamp = stamp.wrapping_add(640);
        let digit = (number % 10) as u8;
        let first = packet(0x80, stamp, digit, 0, 160);
        if digits.send(Instant::now()).is_err() {
            return;
        }
        drop(audio.send(&first));
        std::thread::sleep(Duration::from_millis(20));
        for _ in 0..3 {
            drop(audio.send(&packet(0, stamp, digit, 0x80, 320)));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
