//! A SIP telephone that answers every call and talks PCMU with each: what is needed for a measurement, and no more.

use crate::tap::{Marks, is_marked, mark, note};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tspi::Frame;

const FRAME: Duration = Duration::from_millis(20);

/// One call's far end of the audio.
struct Talk {
    far: SocketAddr,
    sequence: u16,
    stamp: u32,
}

/// What crosses it.
#[derive(Default)]
pub struct Audio {
    talks: Mutex<Vec<Talk>>,
    /// Packets that came in.
    pub received: AtomicU64,
    /// Marks sent and found, of the one call that is measured: `spoken` were sent, `written` arrived.
    pub marks: Mutex<Marks>,
    ended: AtomicBool,
}

/// The telephone; it ends when it is dropped.
pub struct Phone {
    /// Its SIP port on 127.0.0.1.
    pub port: u16,
    /// Its audio.
    pub audio: Arc<Audio>,
}

impl Phone {
    /// Starts its threads.
    pub fn start() -> io::Result<Phone> {
        let signalling = UdpSocket::bind("127.0.0.1:0")?;
        let media = UdpSocket::bind("127.0.0.1:0")?;
        let port = signalling.local_addr()?.port();
        let audio = Arc::new(Audio::default());
        for socket in [&signalling, &media] {
            socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        }
        let (speaks, hears, answers) = (Arc::clone(&audio), Arc::clone(&audio), Arc::clone(&audio));
        let (out, rtp) = (media.try_clone()?, media.local_addr()?.port());
        std::thread::spawn(move || speak(&out, &speaks));
        std::thread::spawn(move || hear(&media, &hears));
        std::thread::spawn(move || answer(&signalling, rtp, &answers));
        Ok(Phone { port, audio })
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.audio.ended.store(true, Ordering::Relaxed);
    }
}

fn speak(socket: &UdpSocket, audio: &Audio) {
    let silence = packet_of(&Frame::SILENCE);
    let (mut due, mut frames) = (Instant::now(), 0u32);
    while !audio.ended.load(Ordering::Relaxed) {
        due += FRAME;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        frames += 1;
        let marked = audio.marks.lock().is_ok_and(|mut marks| {
            let marked = marks.armed && marks.wanted.0 > 0 && frames.is_multiple_of(marks.wanted.1.max(1));
            if marked {
                marks.wanted.0 -= 1;
                marks.spoken.push(Instant::now());
            }
            marked
        });
        let payload = if marked { packet_of(&mark()) } else { silence.clone() };
        let Ok(mut talks) = audio.talks.lock() else { return };
        for talk in talks.iter_mut() {
            talk.sequence = talk.sequence.wrapping_add(1);
            talk.stamp = talk.stamp.wrapping_add(160);
            let mut packet = vec![0x80, 0];
            packet.extend(talk.sequence.to_be_bytes());
            packet.extend(talk.stamp.to_be_bytes());
            packet.extend(u32::from(talk.far.port()).to_be_bytes());
            packet.extend(&payload);
            // A call that has just ended has no port any more.
            drop(socket.send_to(&packet, talk.far));
        }
    }
}

fn hear(socket: &UdpSocket, audio: &Audio) {
    let mut packet = [0; 2_048];
    while !audio.ended.load(Ordering::Relaxed) {
        let Ok(count) = socket.recv(&mut packet) else { continue };
        let now = Instant::now();
        audio.received.fetch_add(1, Ordering::Relaxed);
        let payload = packet.get(12..count).unwrap_or_default();
        if packet[1] & 0x7f == 0
            && is_marked(payload.iter().map(|byte| linear(*byte)))
            && let Ok(mut marks) = audio.marks.lock()
            && marks.armed
        {
            note(&mut marks.written, now);
        }
    }
}

/// A sample of µ-law (G.711).
pub fn linear(byte: u8) -> i16 {
    let byte = !byte;
    let value = ((i16::from(byte & 0x0f) << 3) + 0x84) << ((byte >> 4) & 7);
    if byte & 0x80 == 0 { value - 0x84 } else { 0x84 - value }
}

fn packet_of(frame: &Frame) -> Vec<u8> {
    let nearest = |sample: i16| {
        let far = |byte: &u8| linear(*byte).abs_diff(sample);
        (0..=255u8).min_by_key(far).unwrap_or(0xff)
    };
    frame.0.iter().map(|sample| nearest(*sample)).collect()
}

fn header<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let is = |line: &&str| line.split(':').next().is_some_and(|have| have.trim().eq_ignore_ascii_case(name));
    text.lines().take_while(|line| !line.is_empty()).filter(is).collect()
}

fn answer(socket: &UdpSocket, rtp: u16, audio: &Audio) {
    let mut datagram = vec![0; 65_536];
    while !audio.ended.load(Ordering::Relaxed) {
        let Ok((count, from)) = socket.recv_from(&mut datagram) else { continue };
        let text = String::from_utf8_lossy(datagram.get(..count).unwrap_or_default()).into_owned();
        let method = text.split(' ').next().unwrap_or_default();
        if method == "ACK" || text.starts_with("SIP/") || text.trim().is_empty() {
            continue;
        }
        let mut reply = String::from("SIP/2.0 200 OK\r\n");
        for name in ["Via", "From", "To", "Call-ID", "CSeq", "Record-Route"] {
            for line in header(&text, name) {
                reply += line;
                reply += if name == "To" && !line.contains("tag=") { ";tag=bench\r\n" } else { "\r\n" };
            }
        }
        let port = socket.local_addr().map_or(0, |address| address.port());
        reply += &format!("Contact: <sip:bench@127.0.0.1:{port}>\r\n");
        let mut body = String::new();
        if method == "INVITE" {
            talk(&text, audio);
            body = format!(
                "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {rtp} RTP/AVP 0\r\n\
                 a=rtpmap:0 PCMU/8000\r\n"
            );
            reply += "Content-Type: application/sdp\r\n";
        }
        reply += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        drop(socket.send_to(reply.as_bytes(), from));
    }
}

/// Takes the far end of a call's audio from its description.
fn talk(text: &str, audio: &Audio) {
    let port = text.lines().find_map(|line| line.strip_prefix("m=audio ")?.split(' ').next()?.parse().ok());
    let Some(port) = port else { return };
    let far = SocketAddr::from(([127, 0, 0, 1], port));
    if let Ok(mut talks) = audio.talks.lock()
        && !talks.iter().any(|talk| talk.far == far)
    {
        talks.push(Talk { far, sequence: 0, stamp: 0 });
    }
}
