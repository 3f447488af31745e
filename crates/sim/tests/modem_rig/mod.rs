//! An exchange in virtual time, and hosts that talk to its modems.
#![allow(dead_code, reason = "each test uses a part")]

use std::collections::BTreeMap;
use std::time::Duration;
use tapi::Time;
use tapi_sim::exchange::{Behaviour, Config, Event, Exchange, ModemId, Output};
use tapi_sim::modem::analogue::{Analogue, Persona};
use tapi_sim::modem::cellular::{self, Cellular};

/// The analogue modem's number.
pub const ANALOGUE: &str = "4930100";
/// The GSM modem's number.
pub const CELLULAR: &str = "4930200";
/// The first subscriber's number.
pub const OTHER: &str = "4930300";

pub struct Rig {
    pub exchange: Exchange,
    pub now: Time,
    pub analogue: ModemId,
    pub cellular: ModemId,
    seen: BTreeMap<(ModemId, u32), Vec<u8>>,
    pub events: Vec<(Time, Event)>,
    /// Everything that came out, with its time.
    pub log: Vec<(Time, Output)>,
}

impl Rig {
    pub fn new(subscribers: &[(&str, &str)]) -> Rig {
        Rig::with(Config::default(), Persona::v253(), subscribers)
    }

    pub fn with(config: Config, persona: Persona, subscribers: &[(&str, &str)]) -> Rig {
        let mut exchange = Exchange::new(config);
        let analogue = exchange.attach("analogue0", ANALOGUE, Box::new(Analogue::new(persona)));
        let gsm = Cellular::new(cellular::Persona::generic());
        let cellular = exchange.attach("cellular0", CELLULAR, Box::new(gsm));
        for (number, words) in subscribers {
            exchange.subscribe(number, words.parse::<Behaviour>().expect("a behaviour"));
        }
        let (seen, events, log) = (BTreeMap::new(), Vec::new(), Vec::new());
        Rig { exchange, now: Time::ZERO, analogue, cellular, seen, events, log }
    }

    pub fn collect(&mut self) {
        while let Some(output) = self.exchange.poll_output() {
            match &output {
                Output::Bytes { modem, port, bytes } => self.seen.entry((*modem, *port)).or_default().extend(bytes),
                Output::Event { at, event } => self.events.push((*at, event.clone())),
                _ => {}
            }
            self.log.push((self.now, output));
        }
    }

    /// Time goes on by `millis`, deadline by deadline.
    pub fn run(&mut self, millis: u64) {
        self.collect();
        let end = self.now + Duration::from_millis(millis);
        while let Some(due) = self.exchange.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.exchange.timeout(self.now);
            self.collect();
        }
        self.now = end;
    }

    pub fn write(&mut self, modem: ModemId, port: u32, bytes: &[u8]) {
        self.exchange.bytes(self.now, modem, port, bytes);
        self.collect();
    }

    /// What came since the last time.
    pub fn take(&mut self, modem: ModemId, port: u32) -> Vec<u8> {
        self.seen.insert((modem, port), Vec::new()).unwrap_or_default()
    }

    pub fn text(&mut self, modem: ModemId) -> String {
        String::from_utf8_lossy(&self.take(modem, 0)).into_owned()
    }

    /// Writes a command line, waits, gives what came.
    pub fn ask(&mut self, modem: ModemId, line: &str, millis: u64) -> String {
        self.write(modem, 0, format!("{line}\r").as_bytes());
        self.run(millis);
        self.text(modem)
    }

    /// A command line that must be answered `OK` and nothing else, echo being off.
    pub fn ok(&mut self, modem: ModemId, line: &str) {
        let answer = self.ask(modem, line, 50);
        assert_eq!(answer, "\r\nOK\r\n", "{line}");
    }

    pub fn has(&self, wanted: &Event) -> bool {
        self.events.iter().any(|(_, event)| event == wanted)
    }

    pub fn when(&self, wanted: &Event) -> Option<Time> {
        self.events.iter().find(|(_, event)| event == wanted).map(|(at, _)| *at)
    }

    /// Digits that a subscriber heard.
    pub fn digits(&self, number: &str) -> String {
        let digit = |event: &Event| match event {
            Event::Digit { subscriber, digit, .. } if subscriber == number => Some(*digit),
            _ => None,
        };
        self.events.iter().filter_map(|(_, event)| digit(event)).collect()
    }

    /// The last frequency and level that a subscriber heard.
    pub fn heard(&self, number: &str) -> Option<(u32, i32)> {
        self.events.iter().rev().find_map(|(_, event)| match event {
            Event::Heard { subscriber, hz, level_ddbm0 } if subscriber == number => Some((*hz, *level_ddbm0)),
            _ => None,
        })
    }
}

/// What a host's decoder makes of a receive stream: samples and event codes.
pub fn unshield(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut data, mut codes) = (Vec::new(), Vec::new());
    let mut at = bytes.iter().copied();
    while let Some(byte) = at.next() {
        match byte {
            0x10 => match at.next() {
                Some(0x10) => data.push(0x10),
                Some(code) => codes.push(code),
                None => {}
            },
            byte => data.push(byte),
        }
    }
    (data, codes)
}

/// A sine as unsigned 8-bit samples, shielded.
pub fn unsigned_sine(hz: f64, peak: f64, samples: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for n in 0..samples {
        let value = peak * (std::f64::consts::TAU * hz * n as f64 / 8_000.0).sin();
        let byte = ((value / 256.0).round() + 128.0) as u8;
        bytes.push(byte);
        if byte == 0x10 {
            bytes.push(0x10);
        }
    }
    bytes
}
