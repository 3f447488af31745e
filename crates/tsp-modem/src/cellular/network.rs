//! SIM, registration, signal, operator: whether the line is in service.

use super::*;
use crate::response::fields;
use tapi::Service;
use tspi::LineChange;

/// While the line is not in service, it is asked after so often.
const SEARCHING: Duration = Duration::from_secs(5);
/// `+CPIN?` may take long while the SIM wakes up.
const PIN_WAIT_MS: u32 = 15_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Sim {
    Ready,
    /// Not usable, and why.
    Out(String),
}

/// What is known of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Network {
    sim: Option<Sim>,
    /// `<stat>` of 27.007 7.2; `None`: the modem does not tell.
    registration: Option<u8>,
    /// Whether registration was asked for.
    asked: bool,
    signal: Option<u8>,
    operator: Option<String>,
    next: Option<Time>,
}

impl Network {
    pub(super) fn begin(&mut self, context: &mut Context<'_>) {
        *self = Network::default();
        self.ask(context);
    }

    fn ask(&mut self, context: &mut Context<'_>) {
        let wait = context.profile.timeouts_ms.default;
        if self.sim != Some(Sim::Ready) {
            context.ask(Ask::new("AT+CPIN?", Purpose::Pin, PIN_WAIT_MS).expects("+CPIN:").informing());
        }
        context.ask(Ask::new("AT+CREG?", Purpose::Registration, wait).expects("+CREG:").informing());
        context.ask(Ask::new("AT+CSQ", Purpose::Signal, wait).expects("+CSQ:").informing());
        context.ask(Ask::new("AT+COPS?", Purpose::Operator, wait.max(10_000)).expects("+COPS:"));
        self.next = None;
    }

    /// An answer to one of ours.
    pub(super) fn done(&mut self, context: &mut Context<'_>, purpose: &Purpose, lines: &[String], outcome: &Outcome) {
        let value = |prefix: &str| lines.iter().find_map(|line| after(line, prefix)).map(fields);
        match purpose {
            Purpose::Pin => self.sim = Some(sim(lines, outcome)),
            Purpose::Registration => {
                self.asked = true;
                // `+CREG: <n>,<stat>[,…]`; some modems leave out the first.
                let fields = value("+CREG:").unwrap_or_default();
                let stat = fields.get(1).or(fields.first()).and_then(|stat| stat.parse().ok());
                self.registration = stat.or(self.registration);
            }
            Purpose::Signal => {
                let level = value("+CSQ:").and_then(|fields| fields.first()?.parse::<u8>().ok());
                // 0 to 31 is −113 dBm to −51 dBm; 99: not known.
                if let Some(level) = level.filter(|level| *level <= 31) {
                    let percent = (u32::from(level) * 100 / 31) as u8;
                    if self.signal.replace(percent) != Some(percent) {
                        tell(context, LineChange::Signal(percent));
                    }
                }
            }
            Purpose::Operator => {
                let name = value("+COPS:").and_then(|fields| fields.get(2).cloned()).filter(|name| !name.is_empty());
                if let Some(name) = name
                    && self.operator.as_ref() != Some(&name)
                {
                    self.operator = Some(name.clone());
                    tell(context, LineChange::Operator(name));
                }
                self.schedule(context);
            }
            _ => {}
        }
        self.judge(context);
    }

    fn schedule(&mut self, context: &Context<'_>) {
        let wait = if self.is_in() { millis(cell_of(context).poll_ms.status) } else { SEARCHING };
        self.next = Some(context.now + wait);
    }

    /// News of the registration; whether the line was that.
    pub(super) fn unsolicited(&mut self, context: &mut Context<'_>, line: &str) -> bool {
        let Some(rest) = after(line, "+CREG:") else { return false };
        if let Some(stat) = fields(rest).first().and_then(|stat| stat.parse().ok()) {
            self.registration = Some(stat);
            self.asked = true;
            self.judge(context);
        }
        true
    }

    fn is_in(&self) -> bool {
        self.reason().is_none()
    }

    /// Why the line is out of service.
    fn reason(&self) -> Option<String> {
        match (&self.sim, self.asked, self.registration) {
            (None, _, _) | (_, false, _) => Some("starting".to_owned()),
            (Some(Sim::Out(reason)), _, _) => Some(reason.clone()),
            (_, _, None | Some(1 | 5 | 9 | 10)) => None,
            (_, _, Some(2)) => Some("not registered: searching for a network".to_owned()),
            (_, _, Some(3)) => Some("registration denied by the network".to_owned()),
            (_, _, Some(8)) => Some("registered for emergency calls only".to_owned()),
            (_, _, Some(6 | 7)) => Some("registered for short messages only".to_owned()),
            (_, _, Some(_)) => Some("not registered with a network".to_owned()),
        }
    }

    fn judge(&mut self, context: &mut Context<'_>) {
        let service = self.reason().map_or(Service::In, |reason| Service::Out { reason });
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

fn tell(context: &mut Context<'_>, change: LineChange) {
    context.out.event(Event::LineChanged { line: LINE, change });
}

/// Some modems answer `READY` and no `OK`, some know no SIM. A PIN is never entered.
fn sim(lines: &[String], outcome: &Outcome) -> Sim {
    match (lines.iter().find_map(|line| after(line, "+CPIN:")), outcome) {
        (Some("READY"), _) => Sim::Ready,
        (Some(wanted), _) => Sim::Out(format!("the SIM wants {wanted}")),
        (None, Outcome::Final(FinalResult::Error(text))) if after(text, "+CME ERROR:").is_some() => {
            Sim::Out(format!("no usable SIM: {text}"))
        }
        (None, Outcome::Final(_)) => Sim::Ready,
        (None, Outcome::TimedOut) => Sim::Out("no answer to AT+CPIN?".to_owned()),
    }
}
