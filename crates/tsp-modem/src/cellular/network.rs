//! SIM, registration, signal, operator, own number: whether the line is in service, and the PIN that is entered once.

use super::pin::PinEntry;
use super::registration::{self, Sim};
use super::sms::tell as tell_device;
use super::*;
use crate::response::fields;
use std::collections::BTreeMap;
use tapi::{DeviceEvent, Service};
use tspi::LineChange;

/// While the line is not in service, it is asked after so often.
const SEARCHING: Duration = Duration::from_secs(5);
/// A SIM card that is not awake yet is asked again so soon.
const WAKING: Duration = Duration::from_secs(1);
/// … and so often, before it counts as failed.
const WAKES: u32 = 30;
/// `+CPIN?` may take long while the SIM wakes up.
pub(super) const PIN_WAIT_MS: u32 = 15_000;

/// Whether the device carries voice at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Voice {
    /// It is to be asked.
    Unknown,
    /// It does, as far as anybody knows.
    Able,
    Unable,
}

/// What is known of the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Network {
    sim: Option<Sim>,
    wakes: u32,
    /// `<stat>` of each registration that the modem tells of.
    registrations: BTreeMap<String, u8>,
    /// Whether registration was asked for.
    asked: bool,
    /// The radio is off (`+CFUN: 0` or `4`).
    radio_off: bool,
    signal: Option<u8>,
    operator: Option<String>,
    /// `<AcT>` of `+COPS`: 7 is LTE.
    access: Option<u8>,
    voice: Voice,
    iccid: Option<String>,
    pin: PinEntry,
    next: Option<Time>,
}

impl Default for Network {
    fn default() -> Network {
        Network {
            sim: None,
            wakes: 0,
            registrations: BTreeMap::new(),
            asked: false,
            radio_off: false,
            signal: None,
            operator: None,
            access: None,
            voice: Voice::Unknown,
            iccid: None,
            pin: PinEntry::default(),
            next: None,
        }
    }
}

impl Network {
    /// After a failure: everything is asked anew, but no PIN is tried twice.
    pub(super) fn after_failure(&mut self) -> Network {
        Network { pin: std::mem::take(&mut self.pin).after_failure(), ..Network::default() }
    }

    pub(super) fn begin(&mut self, context: &mut Context<'_>) {
        *self = self.after_failure();
        self.ask(context);
    }

    fn ask(&mut self, context: &mut Context<'_>) {
        let wait = context.profile.timeouts_ms.default;
        self.next = None;
        if let Some(check) = cell_of(context).voice_check.as_ref().filter(|_| self.voice == Voice::Unknown) {
            context.ask(Ask::new(&check.ask, Purpose::Voice, wait).expects(&check.prefix));
        }
        if self.sim != Some(Sim::Ready) {
            context.ask(Ask::new("AT+CPIN?", Purpose::Pin, PIN_WAIT_MS).expects("+CPIN:").informing());
        }
        for registration in &cell_of(context).registration {
            let ask = Ask::new(format!("AT{registration}?"), Purpose::Registration, wait);
            context.ask(ask.expects(&format!("{registration}:")).informing());
        }
        if self.radio_off
            || (self.asked && self.registrations.values().all(|stat| *stat == 0) && !self.registrations.is_empty())
        {
            context.ask(Ask::new("AT+CFUN?", Purpose::Radio, wait).expects("+CFUN:"));
        }
        context.ask(Ask::new("AT+CSQ", Purpose::Signal, wait).expects("+CSQ:").informing());
        context.ask(Ask::new("AT+COPS?", Purpose::Operator, wait.max(10_000)).expects("+COPS:"));
    }

    /// An answer to one of ours, and how the card became ready with it.
    pub(super) fn done(
        &mut self,
        context: &mut Context<'_>,
        purpose: &Purpose,
        lines: &[String],
        outcome: &Outcome,
    ) -> Woken {
        let before = (self.sim.clone(), self.wakes);
        let rest = |prefix: &str| lines.iter().find_map(|line| after(line, prefix));
        match purpose {
            Purpose::Pin => self.pin_read(context, lines, outcome),
            Purpose::PinEnter => {
                self.pin.entered(context, outcome, self.iccid.as_deref().unwrap_or_default());
                // What the card wants now: it may be ready, or blocked.
                context.ask(Ask::new("AT+CPIN?", Purpose::Pin, PIN_WAIT_MS).expects("+CPIN:").informing());
            }
            Purpose::Iccid => {
                self.iccid = lines.iter().find_map(|line| registration::iccid(line)).or(self.iccid.take());
                self.enter_configured(context);
            }
            Purpose::Registration => {
                self.asked = true;
                // What comes late is nobody's, news of the same name too: it is asked for again before long.
                if *outcome == Outcome::TimedOut {
                    self.next = Some(context.now + SEARCHING);
                }
                for name in &cell_of(context).registration {
                    if let Some(stat) = rest(&format!("{name}:")).and_then(registration::answered) {
                        self.registrations.insert(name.clone(), stat);
                    }
                }
            }
            Purpose::Radio => {
                let off = rest("+CFUN:").is_some_and(|rest| matches!(rest.split(',').next(), Some("0" | "4")));
                if off && !self.radio_off {
                    // It was off when we came: some modems are after a reset. Once is enough; who turns it off later means it.
                    context.ask(Ask::new("AT+CFUN=1", Purpose::Aside, PIN_WAIT_MS));
                }
                self.radio_off = off;
            }
            Purpose::Voice => self.voice = carries_voice(context, lines, outcome),
            Purpose::Signal => self.signal_is(context, rest("+CSQ:")),
            Purpose::Operator => {
                let told = rest("+COPS:").map(fields).unwrap_or_default();
                self.access = told.get(3).and_then(|access| access.parse().ok());
                let name = told.get(2).cloned().filter(|name| !name.is_empty());
                if let Some(name) = name
                    && self.operator.as_ref() != Some(&name)
                {
                    self.operator = Some(name.clone());
                    tell(context, LineChange::Operator(name));
                }
                self.schedule(context);
            }
            Purpose::Number => {
                if let Some(number) = lines.iter().find_map(|line| registration::own_number(line)) {
                    tell(context, LineChange::Addresses(vec![number]));
                }
            }
            _ => {}
        }
        self.judge(context);
        self.sim_changed(context, before)
    }

    /// Tells what became of the card, of which this was known before, and how often it was busy.
    fn sim_changed(&mut self, context: &mut Context<'_>, (before, wakes): (Option<Sim>, u32)) -> Woken {
        let Some(sim) = self.sim.as_ref().filter(|sim| Some(*sim) != before.as_ref()) else { return Woken::No };
        // That a card is ready from the beginning is no news.
        if !(before.is_none() && *sim == Sim::Ready) {
            tell_device(context, DeviceEvent::Sim { state: sim.name().to_owned() });
        }
        match (sim, before) {
            (Sim::Ready, None) if wakes == 0 => Woken::AtOnce,
            (Sim::Ready, _) => Woken::Later,
            _ => Woken::No,
        }
    }

    fn pin_read(&mut self, context: &mut Context<'_>, lines: &[String], outcome: &Outcome) {
        match Sim::of_answer(lines, outcome) {
            Some(sim) => {
                self.wakes = 0;
                self.pin.settle(context, self.iccid.as_deref().unwrap_or_default(), sim == Sim::Ready);
                self.sim = Some(sim);
            }
            None if self.wakes >= WAKES => self.sim = Some(Sim::Failure("the SIM is busy for 30 s".to_owned())),
            None => {
                self.wakes += 1;
                self.next = Some(context.now + WAKING);
            }
        }
        if self.sim == Some(Sim::Pin) && self.pin.is_idle() {
            self.enter_configured(context);
        }
    }

    /// Enters the configured PIN, once a card: its number is read first.
    fn enter_configured(&mut self, context: &mut Context<'_>) {
        let Some(pin) = context.cellular.pin.clone().filter(|_| self.sim == Some(Sim::Pin)) else { return };
        let questions = &cell_of(context).iccid;
        if self.iccid.is_none() && !questions.is_empty() && self.pin.wants_name(&pin) {
            // Asked for once; where no answer tells it, the card goes without a name.
            self.iccid = Some(String::new());
            for question in questions {
                let wait = context.profile.timeouts_ms.default;
                context.ask(Ask::new(question, Purpose::Iccid, wait).expects("+").expects("^").expects("89"));
            }
            return;
        }
        self.pin.enter_configured(context, &pin, self.iccid.as_deref().unwrap_or_default());
    }

    /// An application enters a PIN.
    pub(super) fn enter_pin(&mut self, context: &mut Context<'_>, id: CommandId, digits: &str) {
        self.pin.enter_asked(context, id, digits, self.sim == Some(Sim::Pin));
    }

    fn signal_is(&mut self, context: &mut Context<'_>, rest: Option<&str>) {
        if let Some(percent) = rest.and_then(registration::percent)
            && self.signal.replace(percent) != Some(percent)
        {
            tell(context, LineChange::Signal(percent));
        }
    }

    fn schedule(&mut self, context: &Context<'_>) {
        let wait = if self.is_in(context) { millis(cell_of(context).poll_ms.status) } else { SEARCHING };
        let at = context.now + wait;
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// News of SIM, registration or signal, if the line was that, and how the card became ready with it.
    pub(super) fn unsolicited(&mut self, context: &mut Context<'_>, line: &str) -> Option<Woken> {
        let before = (self.sim.clone(), self.wakes);
        let cell = cell_of(context);
        if let Some(rest) = after(line, "+CPIN:") {
            self.sim = Some(Sim::of_words(rest));
            if self.sim == Some(Sim::Pin) && self.pin.is_idle() {
                self.enter_configured(context);
            }
        } else if let Some(rest) = after(line, "+CFUN:") {
            self.radio_off = matches!(rest, "0" | "4");
        } else if let Some(rest) = cell.signal_news.iter().find_map(|prefix| after(line, prefix)) {
            self.signal_is(context, Some(rest));
        } else {
            let news = cell.registration.iter().find_map(|name| Some((name, after(line, &format!("{name}:"))?)));
            let (name, rest) = news?;
            if let Some(stat) = registration::told(rest) {
                self.registrations.insert(name.clone(), stat);
                self.asked = true;
            }
        }
        self.judge(context);
        Some(self.sim_changed(context, before))
    }

    fn is_in(&self, context: &Context<'_>) -> bool {
        self.reason(context).is_none()
    }

    /// Why the line is out of service.
    fn reason(&self, context: &Context<'_>) -> Option<String> {
        if self.voice == Voice::Unable {
            return Some("the device carries no voice calls".to_owned());
        }
        let Some(sim) = self.sim.as_ref().filter(|_| self.asked) else { return Some("starting".to_owned()) };
        if let Some(reason) = sim.reason() {
            let card = self.iccid.as_deref().unwrap_or_default();
            let more = self.pin.reason(context.cellular, card).filter(|_| *sim == Sim::Pin);
            return Some(more.map_or(reason.clone(), |more| format!("{reason}: {more}")));
        }
        if self.radio_off {
            return Some("the radio is off (airplane mode)".to_owned());
        }
        // A modem that does not tell is believed to be registered.
        let reasons: Vec<Option<&str>> = self.registrations.values().map(|stat| registration::reason(*stat)).collect();
        if reasons.is_empty() || reasons.contains(&None) {
            return None;
        }
        let most = self.registrations.values().max_by_key(|stat| (**stat != 0, **stat))?;
        registration::reason(*most).map(str::to_owned)
    }

    /// Why a call ended at once for which no reason is given.
    pub(super) fn refusal(&self) -> &'static str {
        match self.access {
            Some(7 | 9..) => {
                "ended at once on LTE: voice over LTE is not ready and nothing older is there, or the network does not admit \
                 the device"
            }
            _ => "ended at once: the network admits no calls of this device or card",
        }
    }

    fn judge(&mut self, context: &mut Context<'_>) {
        let service = self.reason(context).map_or(Service::In, |reason| Service::Out { reason });
        context.out.set_service(service);
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.next
    }

    pub(super) fn timeout(&mut self, context: &mut Context<'_>) {
        if self.next.is_some_and(|next| context.now >= next) {
            self.ask(context);
        }
    }
}

/// A device without voice refuses the question, or says so; what answers nothing is believed to have it.
fn carries_voice(context: &Context<'_>, lines: &[String], outcome: &Outcome) -> Voice {
    let Some(check) = &cell_of(context).voice_check else { return Voice::Able };
    let told = lines.iter().find_map(|line| after(line, &check.prefix)).map(fields);
    match (outcome, told.as_ref().and_then(|fields| fields.first())) {
        (Outcome::Final(result), Some(first)) if result.is_ok() && !check.able.contains(first) => Voice::Unable,
        (Outcome::Final(FinalResult::Error(text)), _) if crate::init::sim_is_busy(text) => Voice::Unknown,
        (Outcome::Final(FinalResult::Error(_)), _) => Voice::Unable,
        _ => Voice::Able,
    }
}

fn tell(context: &mut Context<'_>, change: LineChange) {
    context.out.event(Event::LineChanged { line: LINE, change });
}
