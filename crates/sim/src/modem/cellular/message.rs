//! Text messages (3GPP TS 27.005, PDU mode).

use super::Cellular;
use super::command::Final;
use super::pdu::{self, Part};
use crate::modem::at::{Ask, fields};
use crate::modem::{Act, Effect};
use std::collections::BTreeMap;
use std::time::Duration;
use tapi::Time;

/// Messages that a store holds.
const STORE: u32 = 20;
/// Characters of a PDU that are taken.
const LONGEST: usize = 400;
const SUB: u8 = 0x1a;
const ESC: u8 = 0x1b;

/// A stored message.
#[derive(Clone, Debug)]
struct Stored {
    /// 0 unread, 1 read.
    status: u8,
    pdu: String,
    length: usize,
}

/// Messages, and how they are told.
#[derive(Clone, Debug, Default)]
pub(super) struct Messages {
    store: BTreeMap<u32, Stored>,
    /// `<mt>` and `<ds>` of `+CNMI`.
    told: (u32, u32),
    /// What is typed behind the prompt of `+CMGS`: the length that was promised, and the text.
    prompt: Option<(usize, Vec<u8>)>,
    reference: u8,
}

impl Messages {
    /// What the card keeps without power.
    pub(super) fn after_reset(self) -> Messages {
        Messages { store: self.store, reference: self.reference, ..Messages::default() }
    }
}

impl Cellular {
    /// Whether the prompt took the byte.
    pub(super) fn prompted(&mut self, now: Time, byte: u8) -> bool {
        let Some((length, text)) = &mut self.messages.prompt else { return false };
        match byte {
            SUB => {
                let (length, text) = (*length, String::from_utf8_lossy(text).into_owned());
                self.messages.prompt = None;
                self.submit(now, &text, length);
            }
            ESC => {
                self.messages.prompt = None;
                self.finish(now, Final::Ok);
            }
            b'\r' | b'\n' => {}
            byte if text.len() < LONGEST => text.push(byte),
            _ => {}
        }
        true
    }

    fn submit(&mut self, now: Time, pdu: &str, length: usize) {
        let Some(message) = pdu::submitted(pdu, length) else { return self.finish(now, Final::Message(304)) };
        if !self.is_registered() {
            return self.finish(now, Final::Message(331));
        }
        self.messages.reference = self.messages.reference.wrapping_add(1);
        let reference = self.messages.reference;
        self.out.push_back(Effect::Act(Act::Message {
            to: message.to.clone(),
            text: message.text,
            part: message.part,
        }));
        self.info.push_str(&format!("\r\n+CMGS: {reference}{}", self.persona.line_end));
        self.finish(now + Duration::from_millis(600), Final::Ok);
        if message.report {
            let (pdu, length) = pdu::report(reference, &message.to, (11, 22, 9, 30));
            self.keep(now + Duration::from_secs(2), pdu, length, "SR");
        }
    }

    /// The network delivers a message.
    pub(super) fn received(&mut self, now: Time, from: &str, text: &str, part: Part, date: (u8, u8, u8, u8)) {
        let (pdu, length) = pdu::deliver(from, text, part, date);
        if self.messages.told.0 >= 2 {
            return self.unsolicited(now, &format!("+CMT: ,{length}\r\n{pdu}"));
        }
        self.keep(now, pdu, length, "SM");
    }

    fn keep(&mut self, now: Time, pdu: String, length: usize, store: &str) {
        if store == "SR" && self.messages.told.1 == 1 {
            return self.unsolicited(now, &format!("+CDS: {length}\r\n{pdu}"));
        }
        let Some(free) = (1..=STORE).find(|at| !self.messages.store.contains_key(at)) else { return };
        self.messages.store.insert(free, Stored { status: 0, pdu, length });
        match (store, self.messages.told) {
            ("SR", (_, 2..)) => self.unsolicited(now, &format!("+CDSI: \"SR\",{free}")),
            ("SM", (1.., _)) => self.unsolicited(now, &format!("+CMTI: \"SM\",{free}")),
            _ => {}
        }
    }

    /// Commands about messages; `None` when it is none.
    pub(super) fn message_command(&mut self, now: Time, name: &str, ask: &Ask) -> Option<Result<(), Final>> {
        let used = self.messages.store.len();
        Some(match (name, ask) {
            ("+CMGF", Ask::Read) => self.tell("+CMGF: 0"),
            ("+CMGF", Ask::Test) => self.tell("+CMGF: (0)"),
            ("+CMGF", Ask::Set(value)) if value == "0" => Ok(()),
            ("+CMGF", _) => Err(Final::Message(302)),
            ("+CSMS", Ask::Set(_) | Ask::Read) => self.tell("+CSMS: 0,1,1,1"),
            ("+CSCA", Ask::Read) => self.tell("+CSCA: \"+491710760500\",145"),
            ("+CPMS", Ask::Set(_)) => self.tell(&format!("+CPMS: {used},{STORE},{used},{STORE},{used},{STORE}")),
            ("+CPMS", Ask::Read) => {
                let one = format!("\"SM\",{used},{STORE}");
                self.tell(&format!("+CPMS: {one},{one},{one}"))
            }
            ("+CPMS", Ask::Test) => self.tell("+CPMS: (\"SM\",\"ME\",\"SR\"),(\"SM\",\"ME\"),(\"SM\",\"ME\",\"SR\")"),
            ("+CNMI", Ask::Set(value)) => {
                let fields: Vec<u32> = fields(value).iter().map(|field| field.parse().unwrap_or(0)).collect();
                self.messages.told = (fields.get(1).copied().unwrap_or(0), fields.get(3).copied().unwrap_or(0));
                Ok(())
            }
            ("+CNMI", Ask::Test) => self.tell("+CNMI: (0-2),(0-3),(0,2),(0-2),(0,1)"),
            ("+CMGL", Ask::Set(value)) => self.list(value),
            ("+CMGL", Ask::Test) => self.tell("+CMGL: (0-4)"),
            ("+CMGR", Ask::Set(value)) => self.read(value),
            ("+CMGD", Ask::Set(value)) => self.delete(value),
            ("+CMGS", Ask::Set(value)) => match value.parse() {
                Ok(length) => {
                    self.messages.prompt = Some((length, Vec::new()));
                    self.write(now + self.persona.latency, b"\r\n> ");
                    Err(Final::Silent)
                }
                Err(_) => Err(Final::Message(304)),
            },
            _ => return None,
        })
    }

    fn list(&mut self, which: &str) -> Result<(), Final> {
        let wanted: Option<u8> = which.parse().ok();
        let listed: Vec<String> = self
            .messages
            .store
            .iter()
            .filter(|(_, stored)| wanted == Some(4) || wanted == Some(stored.status))
            .map(|(at, stored)| format!("+CMGL: {at},{},,{}\r\n{}", stored.status, stored.length, stored.pdu))
            .collect();
        listed.iter().try_for_each(|line| self.tell(line))?;
        self.messages.store.values_mut().for_each(|stored| stored.status = 1);
        Ok(())
    }

    fn read(&mut self, which: &str) -> Result<(), Final> {
        let stored = which.parse().ok().and_then(|at: u32| self.messages.store.get_mut(&at));
        let stored = stored.ok_or(Final::Message(321))?;
        let text = format!("+CMGR: {},,{}\r\n{}", stored.status, stored.length, stored.pdu);
        stored.status = 1;
        self.tell(&text)
    }

    fn delete(&mut self, which: &str) -> Result<(), Final> {
        let fields = fields(which);
        if fields.get(1).is_some_and(|all| all != "0") {
            self.messages.store.clear();
            return Ok(());
        }
        let at = fields.first().and_then(|at| at.parse().ok()).ok_or(Final::Message(321))?;
        self.messages.store.remove(&at).map(|_| ()).ok_or(Final::Message(321))
    }
}
