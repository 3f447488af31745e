//! Entry points for tests with arbitrary bytes: none of them may panic, whatever it is given.

use crate::voice::{Decoder, Heard, encode};
use crate::{AT_PORT, AUDIO_PORT, Config, Modem, Profile, caller_id, cause, clcc};
use tapi::{Cause, DisconnectMode, Time};
use tspi::{Input, Provider};

/// Feeds the bytes to a modem of either kind, as what its AT and audio ports say, with time going by.
pub fn at(bytes: &[u8]) {
    for id in ["v253", "27007"] {
        let Some(profile) = Profile::builtin(id) else { continue };
        let config =
            Config { name: "modem".to_owned(), line_name: "modem:fuzz".to_owned(), audio: true, ..Config::default() };
        let mut modem = Modem::new(config, profile);
        let mut now = Time::ZERO;
        modem.handle(now, Input::Timeout);
        modem.handle(now, Input::Opened { port: AT_PORT });
        modem.handle(now, Input::Opened { port: AUDIO_PORT });
        for chunk in bytes.chunks(16) {
            modem.handle(now, Input::Bytes { port: AT_PORT, bytes: chunk });
            modem.handle(now, Input::Bytes { port: AUDIO_PORT, bytes: chunk });
            if let Some(at) = modem.poll_timeout() {
                now = now.max(at);
                modem.handle(now, Input::Timeout);
            }
            // Answers to whatever was asked let the bytes reach every state.
            modem.handle(now, Input::Bytes { port: AT_PORT, bytes: b"\r\nOK\r\n" });
            while modem.poll_output().is_some() {}
        }
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
