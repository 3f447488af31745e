//! What the machines of a modem share: the way out, the AT engine, and the rules of replies.

use crate::chat::{Ask, Chat};
use crate::config::RefusedPin;
use crate::profile::Profile;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};
use tapi::{ErrorCode, LineFeature, Names, Service, Time};
use tspi::{CallFacts, CallRef, CommandId, Event, LineChange, LineRef, Output, PortId, Refusal, Report, Taken, Traced};

/// The one line of a modem.
pub(crate) const LINE: LineRef = LineRef(0);

/// What a command of the AT engine is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// What is it?
    Identify,
    /// A step of the first commands.
    Init,
    /// One of them that had to wait for the SIM card.
    Late,
    /// Into voice mode.
    Enter,
    /// Ask the exchange for a service.
    Recall,
    /// Further digits of a number.
    More,
    /// Dial the analogue line's call.
    Dial,
    /// Answer it.
    Answer,
    /// Begin the stream.
    StreamStart,
    /// End the stream.
    StreamEnd,
    /// The modem ended the stream: what does it say?
    StreamOver,
    /// A stream to the line runs: when it ends by itself.
    PlayOver,
    /// On hook.
    HangUp,
    /// Out of voice mode.
    Leave,
    /// Nobody waits for it.
    Aside,
    /// Read the call list.
    CallList,
    /// Dial a call.
    CellDial(CallRef),
    /// Answer a call.
    CellAnswer(CallRef),
    /// End a call.
    CellRelease(CallRef),
    /// Hold or retrieve a call.
    CellSwap(CallRef),
    /// Why it ended.
    CellCause(CallRef),
    /// Join calls, or take one out of a conference.
    CellConference,
    /// Join the far ends of two calls: the one that is transferred, and the other.
    CellTransfer(CallRef),
    /// Send a ringing call elsewhere.
    CellDeflect(CallRef),
    /// Begin the audio of the calls.
    AudioStart,
    /// Set forwarding.
    Forward,
    /// Read forwarding.
    ForwardRead,
    /// Give a part of a text message to the network.
    SmsSend,
    /// Read text messages.
    SmsRead,
    /// A supplementary service code.
    Ussd,
    /// Enter the PIN.
    PinEnter,
    /// The number of the SIM card.
    Iccid,
    /// Our own number.
    Number,
    /// Whether the device carries voice.
    Voice,
    /// Whether the radio is on.
    Radio,
    /// A digit of a run.
    Digit,
    /// The state of the SIM.
    Pin,
    /// Registration.
    Registration,
    /// Signal.
    Signal,
    /// Operator.
    Operator,
}

impl Purpose {
    /// The call it is for, where it names one.
    pub(crate) fn call(&self) -> Option<CallRef> {
        match self {
            Purpose::CellDial(call)
            | Purpose::CellAnswer(call)
            | Purpose::CellRelease(call)
            | Purpose::CellSwap(call)
            | Purpose::CellCause(call)
            | Purpose::CellTransfer(call)
            | Purpose::CellDeflect(call) => Some(*call),
            _ => None,
        }
    }
}

/// The way out. Keeps the promises that every command is answered once and that the service of the line is told when it
/// changes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Out {
    /// Empty between inputs, so it is no part of the state.
    #[serde(skip)]
    outputs: VecDeque<Output>,
    open: BTreeSet<CommandId>,
    service: Option<Service>,
    /// Whether the line was told to take no call for a while.
    unable: bool,
    /// Whether XON and XOFF pass as data of the AT port.
    #[serde(default)]
    raw: bool,
    next_call: u64,
    /// What the shell is to keep for good.
    #[serde(default)]
    pin_refused: VecDeque<RefusedPin>,
}

impl Out {
    pub(crate) fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.push(Output::Event(event));
    }

    pub(crate) fn write(&mut self, port: PortId, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.push(Output::Write { port, bytes });
        }
    }

    /// A command arrived: it is owed a reply.
    pub(crate) fn owe(&mut self, id: CommandId) {
        self.open.insert(id);
    }

    /// Answers a command, unless it was answered.
    pub(crate) fn reply(&mut self, id: CommandId, result: Result<Taken, Refusal>) {
        if self.open.remove(&id) {
            self.event(Event::Reply { id, result });
        }
    }

    pub(crate) fn done(&mut self, id: CommandId) {
        self.reply(id, Ok(Taken::Done));
    }

    pub(crate) fn refuse(&mut self, id: CommandId, code: ErrorCode, text: impl std::fmt::Display) {
        self.reply(id, Err(Refusal::new(code, text)));
    }

    /// Answers all that is owed, but for `except`.
    pub(crate) fn refuse_all(&mut self, except: Option<CommandId>, text: &str) {
        for id in std::mem::take(&mut self.open) {
            if Some(id) == except {
                self.open.insert(id);
            } else {
                let result = Err(Refusal::new(ErrorCode::InvalLineState, text));
                self.event(Event::Reply { id, result });
            }
        }
    }

    pub(crate) fn report(&mut self, call: CallRef, report: Report) {
        self.event(Event::Call { call, report });
    }

    pub(crate) fn facts(&mut self, call: CallRef, facts: CallFacts) {
        self.event(Event::CallInfo { call, facts: Box::new(facts) });
    }

    /// The line's service as it was last told.
    pub(crate) fn service(&self) -> Option<&Service> {
        self.service.as_ref()
    }

    /// Tells the line's service, where it is news. The line's description tells the first one.
    pub(crate) fn set_service(&mut self, service: Service) {
        let before = self.service.replace(service.clone());
        if before.is_some_and(|before| before != service) {
            self.event(Event::LineChanged { line: LINE, change: LineChange::Service(service) });
        }
    }

    /// Tells whether a call can be placed, where it is news.
    pub(crate) fn set_able(&mut self, able: bool) {
        if std::mem::replace(&mut self.unable, !able) == able {
            let features: Names<LineFeature> = able.then_some(LineFeature::MakeCall).into_iter().collect();
            self.event(Event::LineChanged { line: LINE, change: LineChange::Features(features) });
        }
    }

    /// XON and XOFF of the AT port are data, or flow control again.
    pub(crate) fn set_raw(&mut self, raw: bool) {
        if std::mem::replace(&mut self.raw, raw) != raw {
            self.push(Output::SoftFlow { port: crate::AT_PORT, on: !raw });
        }
    }

    /// A name for a call: never used again.
    pub(crate) fn new_call(&mut self) -> CallRef {
        self.next_call += 1;
        CallRef(self.next_call)
    }

    /// A card refused the configured PIN: the shell is told, so that no later process tries it either.
    pub(crate) fn pin_refused(&mut self, refused: RefusedPin) {
        self.pin_refused.push_back(refused);
    }

    pub(crate) fn poll_pin_refused(&mut self) -> Option<RefusedPin> {
        self.pin_refused.pop_front()
    }

    pub(crate) fn trace(&mut self, call: Option<CallRef>, sent: bool, peer: &str, summary: &str) {
        let entry = Traced { sent, peer: peer.to_owned(), summary: redact(summary), text: None };
        self.event(Event::Trace { line: LINE, call, entry: Box::new(entry) });
    }
}

/// Cuts what is nobody's business out of a command line: PINs and passwords.
pub(crate) fn redact(line: &str) -> String {
    const SECRET: [&str; 3] = ["+CPIN=", "+CPWD=", "+CLCK="];
    // A text message: who wrote what to whom.
    if line.len() >= 24 && line.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return format!("a PDU of {} octets", line.len() / 2);
    }
    let upper = line.to_ascii_uppercase();
    let end = SECRET.iter().filter_map(|secret| upper.find(secret).map(|at| at + secret.len())).min();
    match end.and_then(|end| line.get(..end)) {
        Some(start) => format!("{start}…"),
        None => line.to_owned(),
    }
}

/// What a machine works with while it handles one input.
pub(crate) struct Context<'a> {
    pub(crate) now: Time,
    pub(crate) profile: &'a Profile,
    /// Name of the modem.
    pub(crate) name: &'a str,
    /// Whether the audio port is configured.
    pub(crate) audio: bool,
    /// Whether our own number is not configured.
    pub(crate) unnumbered: bool,
    /// The services of an analogue line.
    pub(crate) office: &'a crate::Office,
    /// What a cellular line is configured with.
    pub(crate) cellular: &'a crate::config::Cellular,
    pub(crate) chat: &'a mut Chat<Purpose>,
    pub(crate) out: &'a mut Out,
    /// Why the modem must be recovered, once a machine finds that it must.
    pub(crate) fault: &'a mut Option<String>,
}

impl Context<'_> {
    pub(crate) fn ask(&mut self, ask: Ask<Purpose>) -> bool {
        self.chat.ask(self.now, ask)
    }

    /// A command with the ordinary time.
    pub(crate) fn plain(&mut self, text: &str, purpose: Purpose) -> bool {
        self.ask(Ask::new(text, purpose, self.profile.timeouts_ms.default))
    }

    pub(crate) fn fail(&mut self, reason: impl Into<String>) {
        self.fault.get_or_insert(reason.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_cut() {
        for (line, shown) in [
            ("AT+CPIN=\"1234\"", "AT+CPIN=…"),
            ("at+cpin=\"1234\"", "at+cpin=…"),
            ("AT+CPIN?", "AT+CPIN?"),
            ("AT+CLCK=\"SC\",2,\"1234\"", "AT+CLCK=…"),
            ("AT+CMEE=1;+CPIN=1234", "AT+CMEE=1;+CPIN=…"),
            ("ATDT5551234", "ATDT5551234"),
        ] {
            assert_eq!(redact(line), shown);
        }
    }
}
