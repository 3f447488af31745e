//! Text messages (3GPP TS 27.005, PDU mode): sent part by part, read where the modem keeps them, told whole, then deleted.

use super::*;
use crate::pdu::{self, Incoming, Part, Submit};
use crate::response::fields;
use std::collections::{BTreeMap, VecDeque};
use tapi::{DeviceEvent, ErrorCode};

/// Lines that may come between the head of a message that is handed on and its PDU.
const BETWEEN: u8 = 4;
/// Messages that may wait to be sent.
const LONGEST_QUEUE: usize = 16;
/// Messages whose parts are awaited at one time.
const MOST_ASSEMBLIES: usize = 32;
/// Places of the store that wait to be read.
const MOST_PLACES: usize = 64;
/// Reports that are awaited.
const MOST_REPORTS: usize = 32;
/// The network takes a part within this time (TS 27.005 leaves it open; modems give up after a minute).
const SEND_WAIT_MS: u32 = 60_000;
/// Parts of a message that never gets whole are told after this time as they are.
const PATIENCE: Duration = Duration::from_secs(24 * 3_600);

/// A message that goes out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Outgoing {
    to: String,
    parts: VecDeque<Submit>,
}

/// A message that came in parts.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Assembly {
    from: String,
    reference: u16,
    total: u8,
    parts: BTreeMap<u8, String>,
    sent: Option<String>,
    /// Where its parts are kept in the modem.
    places: Vec<u16>,
    until: Time,
}

impl std::fmt::Debug for Assembly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Assembly({} of {})", self.parts.len(), self.total)
    }
}

/// What the store is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Reading {
    Idle,
    /// One place.
    One(u16),
    /// All of it.
    All,
}

/// The text messages of a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sms {
    outgoing: VecDeque<Outgoing>,
    /// A part is on its way.
    sending: bool,
    next_reference: u8,
    reading: Reading,
    places: VecDeque<u16>,
    everything: bool,
    assemblies: Vec<Assembly>,
    /// The next line is the PDU that was announced.
    announced: u8,
    /// Reports to come: the modem's number of the part, and to whom it went.
    reports: VecDeque<(u8, String)>,
    /// PDUs that were not understood.
    unread: u64,
}

impl Default for Sms {
    fn default() -> Sms {
        Sms {
            outgoing: VecDeque::new(),
            sending: false,
            next_reference: 1,
            reading: Reading::Idle,
            places: VecDeque::new(),
            everything: false,
            assemblies: Vec::new(),
            announced: 0,
            reports: VecDeque::new(),
            unread: 0,
        }
    }
}

impl Sms {
    /// The SIM is ready: sets the modem up, and reads what came while nobody listened.
    pub(super) fn begin(&mut self, context: &mut Context<'_>) {
        let Some(sms) = &cell_of(context).sms else { return };
        for command in &sms.setup {
            context.plain(command, Purpose::Aside);
        }
        self.everything = true;
        self.read_next(context);
    }

    /// Takes a message to be sent.
    pub(super) fn send(&mut self, context: &mut Context<'_>, id: CommandId, to: &str, text: &str) {
        let Some(sms) = &cell_of(context).sms else {
            return context.out.refuse(id, ErrorCode::OperationUnavail, "this line sends no text messages");
        };
        if self.outgoing.len() >= LONGEST_QUEUE {
            return context.out.refuse(id, ErrorCode::ResourceUnavail, "too many text messages wait");
        }
        let reference = self.next_reference;
        match pdu::submit(to, text, reference, sms.reports) {
            Ok(parts) => {
                self.next_reference = reference.checked_add(1).unwrap_or(1);
                self.outgoing.push_back(Outgoing { to: to.to_owned(), parts: parts.into() });
                context.out.done(id);
                self.send_next(context);
            }
            Err(reason) => context.out.refuse(id, ErrorCode::InvalParam, reason),
        }
    }

    fn send_next(&mut self, context: &mut Context<'_>) {
        if self.sending {
            return;
        }
        while let Some(first) = self.outgoing.front_mut() {
            if let Some(part) = first.parts.pop_front() {
                let text = format!("AT+CMGS={}", part.length);
                let ask = Ask::new(text, Purpose::SmsSend, SEND_WAIT_MS).expects("+CMGS:").with_body(part.hex);
                if context.ask(ask) {
                    self.sending = true;
                    return;
                }
                self.sent(context, Some("the modem is busy".to_owned()));
            } else {
                self.sent(context, None);
            }
        }
    }

    /// The first of the queue is done with.
    fn sent(&mut self, context: &mut Context<'_>, error: Option<String>) {
        if let Some(message) = self.outgoing.pop_front() {
            tell(context, DeviceEvent::MessageSent { to: message.to, error });
        }
    }

    /// A command of ours ended.
    pub(super) fn done(&mut self, context: &mut Context<'_>, purpose: &Purpose, lines: &[String], outcome: &Outcome) {
        let good = matches!(outcome, Outcome::Final(result) if result.is_ok());
        match purpose {
            Purpose::SmsSend => {
                self.sending = false;
                if good {
                    self.await_report(context, lines);
                } else {
                    let reason = error(outcome);
                    self.sent(context, Some(reason));
                }
                self.send_next(context);
            }
            Purpose::SmsRead => {
                self.take_stored(context, lines);
                self.reading = Reading::Idle;
                self.read_next(context);
            }
            _ => {}
        }
    }

    fn await_report(&mut self, context: &Context<'_>, lines: &[String]) {
        let number =
            lines.iter().find_map(|line| after(line, "+CMGS:")).and_then(|text| fields(text).first()?.parse().ok());
        let wanted = cell_of(context).sms.as_ref().is_some_and(|sms| sms.reports);
        if let (true, Some(number), Some(message)) = (wanted, number, self.outgoing.front())
            && message.parts.is_empty()
        {
            self.reports.push_back((number, message.to.clone()));
            if self.reports.len() > MOST_REPORTS {
                self.reports.pop_front();
            }
        }
    }

    /// A line of no command; whether it was about messages.
    pub(super) fn unsolicited(&mut self, context: &mut Context<'_>, line: &str) -> bool {
        let Some(sms) = &cell_of(context).sms else { return false };
        // News may come between the head and its PDU.
        if self.announced > 0 {
            self.announced -= 1;
            if is_pdu(line) {
                self.announced = 0;
                self.take(context, line, None);
                return true;
            }
        }
        if let Some(rest) = after(line, "+CMTI:").or_else(|| after(line, "+CDSI:")) {
            match fields(rest).get(1).and_then(|place| place.parse().ok()) {
                Some(place) if self.places.len() < MOST_PLACES && !self.places.contains(&place) => {
                    self.places.push_back(place);
                }
                Some(_) => {}
                None => self.everything = true,
            }
        } else if after(line, "+CMT:").is_some() || after(line, "+CDS:").is_some() {
            self.announced = BETWEEN;
        } else if sms.full.iter().any(|prefix| after(line, prefix).is_some()) {
            context.out.trace(None, false, context.name, "the store of text messages is full");
            self.give_up(context, |_| true);
            self.everything = true;
        } else {
            return false;
        }
        self.read_next(context);
        true
    }

    fn read_next(&mut self, context: &mut Context<'_>) {
        if self.reading != Reading::Idle {
            return;
        }
        let wait = context.profile.timeouts_ms.default.max(10_000);
        // A PDU begins with the length of the service centre's number, which is below 16.
        let ask = |text: String, prefix| Ask::new(text, Purpose::SmsRead, wait).expects(prefix).expects("0");
        if std::mem::take(&mut self.everything) {
            if context.ask(ask("AT+CMGL=4".to_owned(), "+CMGL:")) {
                self.places.clear();
                self.reading = Reading::All;
            }
        } else if let Some(place) = self.places.pop_front()
            && context.ask(ask(format!("AT+CMGR={place}"), "+CMGR:"))
        {
            self.reading = Reading::One(place);
        }
    }

    /// Lines of the store: a head with the place (or none, where one place was asked for), then the PDU.
    fn take_stored(&mut self, context: &mut Context<'_>, lines: &[String]) {
        let mut place = None;
        for line in lines {
            if let Some(rest) = after(line, "+CMGL:") {
                let fields = fields(rest);
                let received = fields.get(1).is_some_and(|status| matches!(status.as_str(), "0" | "1"));
                place = fields.first().and_then(|place| place.parse().ok()).filter(|_| received);
            } else if after(line, "+CMGR:").is_some() {
                place = match self.reading {
                    Reading::One(place) => Some(place),
                    Reading::Idle | Reading::All => None,
                };
            } else if let Some(place) = place.take() {
                self.take(context, line, Some(place));
            }
        }
    }

    fn take(&mut self, context: &mut Context<'_>, hex: &str, place: Option<u16>) {
        match pdu::parse(hex) {
            Some(Incoming::Message { from, text, sent, part: None }) => {
                tell(context, DeviceEvent::MessageReceived { from, text, sent });
                delete(context, place);
            }
            Some(Incoming::Message { from, text, sent, part: Some(part) }) => {
                self.assemble(context, from, text, sent, part, place);
            }
            Some(Incoming::Report { reference, status, .. }) => {
                self.reported(context, reference, status);
                delete(context, place);
            }
            // It stays in the store: somebody may yet read it.
            None => {
                self.unread += 1;
                context.out.trace(None, false, context.name, "a text message that is not understood");
            }
        }
    }

    /// TP-Status (TS 23.040 9.2.3.15).
    fn reported(&mut self, context: &mut Context<'_>, reference: u8, status: u8) {
        if (0x20..0x40).contains(&status) {
            return;
        }
        let Some(at) = self.reports.iter().position(|(number, _)| *number == reference) else { return };
        if let Some((_, to)) = self.reports.remove(at) {
            let error = (status >= 0x20).then(|| format!("not delivered: status {status:#04x} of TS 23.040"));
            tell(context, DeviceEvent::MessageDelivered { to, error });
        }
    }

    fn assemble(
        &mut self,
        context: &mut Context<'_>,
        from: String,
        text: String,
        sent: Option<String>,
        part: Part,
        place: Option<u16>,
    ) {
        let same =
            |known: &Assembly| known.from == from && known.reference == part.reference && known.total == part.total;
        let at = self.assemblies.iter().position(same).unwrap_or_else(|| {
            let until = context.now + PATIENCE;
            let (reference, total) = (part.reference, part.total);
            let (parts, places) = (BTreeMap::new(), Vec::new());
            self.assemblies.push(Assembly { from, reference, total, parts, sent, places, until });
            self.assemblies.len() - 1
        });
        let Some(assembly) = self.assemblies.get_mut(at) else { return };
        // A part may be read twice: after a start, and when it is announced.
        assembly.parts.insert(part.number, text);
        if let Some(place) = place
            && !assembly.places.contains(&place)
        {
            assembly.places.push(place);
        }
        if assembly.parts.len() == usize::from(assembly.total) {
            let assembly = self.assemblies.remove(at);
            whole(context, assembly);
        } else if self.assemblies.len() > MOST_ASSEMBLIES {
            let assembly = self.assemblies.remove(0);
            whole(context, assembly);
        }
    }

    /// Tells messages as far as they came.
    fn give_up(&mut self, context: &mut Context<'_>, which: impl Fn(&Assembly) -> bool) {
        let (over, rest) = std::mem::take(&mut self.assemblies).into_iter().partition(which);
        self.assemblies = rest;
        let over: Vec<Assembly> = over;
        for assembly in over {
            whole(context, assembly);
        }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.assemblies.iter().map(|assembly| assembly.until).min()
    }

    pub(super) fn timeout(&mut self, context: &mut Context<'_>) {
        let now = context.now;
        if self.deadline().is_some_and(|until| now >= until) {
            self.give_up(context, |assembly| now >= assembly.until);
        }
    }

    /// The modem is gone: what waited was not sent. Parts that are not kept in the modem stay.
    pub(super) fn fail(&mut self, out: &mut crate::context::Out, reason: &str) {
        for message in self.outgoing.drain(..) {
            let event = DeviceEvent::MessageSent { to: message.to, error: Some(reason.to_owned()) };
            out.event(Event::Device { line: LINE, event: Box::new(event) });
        }
        let assemblies = std::mem::take(&mut self.assemblies);
        *self = Sms { next_reference: self.next_reference, assemblies, ..Sms::default() };
    }
}

/// Tells a message of parts; a part that is missing shows as `…`.
fn whole(context: &mut Context<'_>, assembly: Assembly) {
    let mut text = String::new();
    for number in 1..=assembly.total {
        text.push_str(assembly.parts.get(&number).map_or("…", String::as_str));
    }
    tell(context, DeviceEvent::MessageReceived { from: assembly.from, text, sent: assembly.sent });
    for place in assembly.places {
        delete(context, Some(place));
    }
}

fn delete(context: &mut Context<'_>, place: Option<u16>) {
    if let Some(place) = place {
        context.plain(&format!("AT+CMGD={place}"), Purpose::Aside);
    }
}

pub(super) fn tell(context: &mut Context<'_>, event: DeviceEvent) {
    context.out.event(Event::Device { line: LINE, event: Box::new(event) });
}

fn is_pdu(line: &str) -> bool {
    line.len() >= 16 && line.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Why the network or the modem did not take it (TS 27.005 3.2.5, TS 24.011 annex E).
fn error(outcome: &Outcome) -> String {
    let Outcome::Final(FinalResult::Error(text)) = outcome else {
        return "the modem did not answer".to_owned();
    };
    let code = after(text, "+CMS ERROR:").and_then(|code| code.trim().parse::<u16>().ok());
    let words = match code {
        Some(1) => "the number does not exist",
        Some(8 | 10 | 50) => "the network bars it",
        Some(21) => "rejected",
        Some(27) => "the destination is out of order",
        Some(28) => "the subscriber is not known",
        Some(38) => "the network is out of order",
        Some(41 | 42 | 47) => "the network is congested",
        Some(310..=318) => "no usable SIM",
        Some(330) => "the service centre is not known",
        Some(331) => "no network service",
        Some(332) => "the network did not answer",
        _ => return text.clone(),
    };
    format!("{words} ({text})")
}
