//! Entry points for tests with arbitrary bytes: none of them may panic, whatever it is given.

use crate::voice::{Decoder, Heard, encode};
use crate::{AT_PORT, AUDIO_PORT, Config, Modem, Profile, caller_id, cause, clcc};
use tapi::{Cause, DisconnectMode, OperationId, Time};
use tspi::{
    Action, CallParams, CallRef, Command, CommandId, Frame, Input, LineRef, LocalMedia, Output, Provider, StreamId,
};

/// Profiles whose modems are fed.
const PROFILES: [&str; 8] = [
    "v253",
    "27007",
    "usr5637",
    "huawei-e1550",
    "quectel-ec2x",
    "rockwell-hashv",
    "simcom-sim7600",
    "conexant-cx93001",
];

/// Feeds the bytes to a modem, as what its AT and audio ports say, with time going by.
///
/// The first four octets say how: the length of the pieces, after which of eight the modem's commands are answered, after
/// which of them the server wants something and what, and of the last one bits 0 to 2 the profile and bit 7 whether the line
/// is in service before. What follows is what the modem says. Fewer than five octets are said as they are.
pub fn at(bytes: &[u8]) {
    let (how, said) = match bytes {
        [length, answers, wishes, place, said @ ..] if !said.is_empty() => ([*length, *answers, *wishes, *place], said),
        said => ([16, 0xFF, 0, 0], said),
    };
    let [length, answers, wishes, place] = how;
    let Some(profile) = PROFILES.get(usize::from(place & 7)).and_then(|id| Profile::builtin(id)) else { return };
    let mut fed = Fed::new(profile);
    if place & 0x80 != 0 {
        (0..60).for_each(|_| fed.obliges());
    }
    for (piece, turn) in said.chunks(usize::from(length).max(1)).zip(0u32..) {
        fed.give(Input::Bytes { port: AT_PORT, bytes: piece });
        fed.give(Input::Bytes { port: AUDIO_PORT, bytes: piece });
        if answers >> (turn % 8) & 1 == 1 {
            fed.obliges();
        } else {
            fed.waits();
        }
        if wishes >> (turn % 8) & 1 == 1 {
            fed.wish(turn + u32::from(wishes));
        }
    }
}

/// A modem that is fed, and what it wrote and was not answered.
struct Fed {
    modem: Modem,
    now: Time,
    wrote: Vec<u8>,
    wishes: u64,
}

impl Fed {
    fn new(profile: Profile) -> Fed {
        let config =
            Config { name: "modem".to_owned(), line_name: "modem:fuzz".to_owned(), audio: true, ..Config::default() };
        let mut fed = Fed { modem: Modem::new(config, profile), now: Time::ZERO, wrote: Vec::new(), wishes: 0 };
        fed.give(Input::Timeout);
        fed.give(Input::Opened { port: AT_PORT });
        fed.give(Input::Opened { port: AUDIO_PORT });
        fed
    }

    fn give(&mut self, input: Input<'_>) {
        self.modem.handle(self.now, input);
        while let Some(output) = self.modem.poll_output() {
            if let Output::Write { port: AT_PORT, bytes } = output {
                self.wrote.extend(bytes);
            }
        }
    }

    fn waits(&mut self) {
        if let Some(at) = self.modem.poll_timeout() {
            self.now = self.now.max(at);
            self.give(Input::Timeout);
        }
    }

    /// Time goes on to the next deadline, and the commands that were written are taken.
    fn obliges(&mut self) {
        self.waits();
        let wrote = std::mem::take(&mut self.wrote);
        for line in wrote.split(|byte| *byte == b'\r') {
            let line = String::from_utf8_lossy(line);
            let told = match line.trim() {
                "AT+CPIN?" => "+CPIN: READY\r\n",
                "AT+CREG?" => "+CREG: 0,1\r\n",
                "AT+CSQ" => "+CSQ: 20,99\r\n",
                "AT+VTR" | "AT+VRX" | "AT#VRX" => "CONNECT\r\n",
                _ => "",
            };
            let mark = line.strip_prefix("ATS10=").and_then(|rest| rest.strip_suffix("S10?"));
            let mark = mark.map(|number| format!("{number}\r\n")).unwrap_or_default();
            let last = if told.starts_with("CONNECT") { "" } else { "OK\r\n" };
            if !line.trim().is_empty() {
                self.give(Input::Bytes { port: AT_PORT, bytes: format!("\r\n{told}{mark}{last}").as_bytes() });
            }
        }
    }

    /// The server wants something.
    fn wish(&mut self, which: u32) {
        self.wishes += 1;
        let (call, media) = (CallRef(1), LocalMedia::Frames { stream: StreamId(7) });
        let action = match which % 8 {
            0 | 1 => {
                let (to, params) = ("5551234".to_owned(), CallParams::default());
                Action::MakeCall { line: LineRef(0), to, params, media }
            }
            2 | 3 => Action::Answer { call, media },
            4 => Action::Hold { call },
            5 => Action::Unhold { call },
            6 => {
                let (operation, digits) = (OperationId(self.wishes), "12#".to_owned());
                Action::SendDigits { call, operation, digits, duration_ms: None }
            }
            _ => Action::Drop { call, reason: None },
        };
        self.give(Input::Command(Command { id: CommandId(self.wishes), action }));
        self.give(Input::Frame { stream: StreamId(7), frame: &Frame([8_000; tspi::media::FRAME_SAMPLES]) });
    }
}

/// Decodes the bytes as a voice stream, and what is data of it again after encoding: it must be the same.
pub fn dle(bytes: &[u8]) {
    let data = |bytes: &[u8]| {
        let mut decoder = Decoder::new();
        let mut data = Vec::new();
        for byte in bytes {
            match decoder.push(*byte) {
                Some(Heard::Data(byte)) => data.push(byte),
                Some(Heard::TwoEscapes) => data.extend([0x10, 0x10]),
                _ => {}
            }
        }
        data
    };
    let once = data(bytes);
    let mut stream = Vec::new();
    encode(&once, &mut stream);
    assert_eq!(data(&stream), once, "what is encoded is decoded");
}

/// Parses the bytes as lines of caller ids of all kinds, of rings and of their cadences.
pub fn caller_id(bytes: &[u8]) {
    let text: String = bytes.iter().copied().map(char::from).collect();
    let mut caller = caller_id::CallerId::default();
    let mut cadence = caller_id::Cadence::default();
    let words = ["P".to_owned(), "O".to_owned()];
    for line in text.split(['\r', '\n']) {
        let words = caller_id::Words { private: &words[..1], outside: &words[1..] };
        if let Some(ring) = caller_id::ring(line) {
            caller.on_ring(&ring, words);
            let _ = cadence.take();
        }
        let _ = caller.line(line, words) || caller.bare(line) || cadence.line(line) || caller_id::clip(line).is_some();
        caller.line(&format!("MESG={line}"), words);
        let party = caller.party();
        let bounded = |text: &Option<String>| text.as_ref().is_none_or(|text| text.chars().count() <= 80);
        assert!(
            party.is_none_or(|party| bounded(&party.address) && bounded(&party.name)),
            "names and numbers are bounded"
        );
    }
}

/// Reads the bytes as a text message, both as they are and as the hexadecimal they may hold; what is read can be sent.
pub fn pdu(bytes: &[u8]) {
    let hex = crate::alphabet::to_hex(bytes);
    let text: String = bytes.iter().copied().map(char::from).collect();
    for pdu in [hex, text.clone()] {
        if let Some(crate::pdu::Incoming::Message { text, .. }) = crate::pdu::parse(&pdu) {
            let _ = crate::pdu::submit("+491701234567", &text, 1, false);
        }
    }
    let _ = crate::pdu::submit("1", &text, 1, true);
}

/// Parses the bytes as lines of a call list, of caller ids and of causes.
pub fn clcc(bytes: &[u8]) {
    let text: String = bytes.iter().copied().map(char::from).collect();
    let mut table = clcc::Table::default();
    let mut list = Vec::new();
    let mut caller = caller_id::CallerId::default();
    for line in text.split(['\r', '\n']) {
        list.extend(clcc::parse(line));
        let _ = caller_id::clip(line);
        let _ = caller_id::ring(line);
        caller.line(line, caller_id::Words { private: &[], outside: &[] });
        let _ = cause::with_ceer(Cause::new(DisconnectMode::Unknown), line);
        if list.len() >= 8 {
            table.update(std::mem::take(&mut list), false);
        }
    }
    table.update(list, true);
    let _ = caller.party();
}
