//! The calls of a cellular line: two at most, by the call list of 27.007.
//!
//! The final result of `ATD` is no progress: what a call does is read from `+CLCC`, often while it is set up and rarely
//! while it stands. What the modem tells by itself (`RING`, `NO CARRIER`, a vendor's news) only makes us read sooner.
//!
//! ```text
//!  Ordered ─ ATD written ─► Dialled ─ stat 2 ─► Proceeding ─ stat 3 ─► Alerting ─ stat 0 ─┐
//!  Offered ─ Answer ─► Answering ─ OK ────────────────────────────────────────────────────┴► Active ◄─ stat ─► Held
//!  any ─ not in the list ─► Ending ─ +CEER ─► released         any ─ Drop ─► Releasing ─ not in the list ─► forgotten
//! ```

use crate::caller_id::{clip, ring};
use crate::chat::{Ask, Outcome};
use crate::clcc::{self, Table};
use crate::context::{Context, LINE, Purpose};
use crate::init::Refused;
use crate::profile::{Cell, Profile};
use crate::response::{FinalResult, after};
use audio::AudioPort;
use digits::Digits;
use forward::Forwarding;
use late::{Late, Woken};
use network::Network;
use news::Hint;
use serde::{Deserialize, Serialize};
use services::{Joining, Transfer};
use sms::Sms;
use std::time::Duration;
use tapi::{CallReason, Cause, DisconnectMode, Party, Time};
use tspi::{CallRef, CommandId, Event, Frame, ReleasedBy, Report, StreamId};
use ussd::Ussd;

mod audio;
mod commands;
mod digits;
mod facts;
mod forward;
mod late;
mod network;
mod news;
mod pin;
mod registration;
mod services;
mod sms;
mod supplementary;
mod ussd;

/// Errors of the call list that are borne before other evidence counts alone.
const LIST_ERRORS: u32 = 3;
/// After an action of ours the list is read often for so long.
const ACTION: Duration = Duration::from_secs(2);
/// A call that was dialled and is in no list for so long has failed.
const UNLISTED: Duration = Duration::from_secs(8);
/// A call that may be released alone only once it alerts is released after so long all the same.
const ALERTING: Duration = Duration::from_secs(60);
/// A hold that the list does not show for so long did not happen.
const WISH: Duration = Duration::from_secs(6);

/// What a call does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// `ATD` waits for its turn.
    Ordered { id: CommandId },
    /// `ATD` is written.
    Dialled,
    /// The network works on it.
    Proceeding,
    /// The far end alerts.
    Alerting,
    /// It rings here.
    Offered,
    /// `ATA` is on its way.
    Answering { id: CommandId },
    /// In conversation.
    Active,
    /// Held by us.
    Held,
    /// Over; the network is asked why.
    Ending { cause: Cause },
    /// Over for the server; the network must still let go of it.
    Releasing { since: Time, tries: usize },
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CellCall {
    call: CallRef,
    stage: Stage,
    /// Its number in the modem, once it was in the list.
    index: Option<u8>,
    stream: Option<StreamId>,
    caller: Option<Party>,
    /// The number that was called, where it was told.
    called: Option<Party>,
    /// What explains its end, where the network gives no reason.
    why: Option<Cause>,
    since: Time,
    last_ring: Time,
    /// It was dropped before the far end alerted, and must not be released alone until it does, or until then.
    not_before: Option<Time>,
    /// What hold or retrieve was asked for, and until when it must show.
    wish: Option<(bool, Time)>,
    /// In the network's conference.
    multiparty: bool,
    /// The far end holds us.
    far_held: bool,
    /// Which way its audio flows, as it was told.
    told: Option<tspi::Direction>,
}

/// A call to be dialled once the last one is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Order {
    id: CommandId,
    /// The dial command.
    command: String,
    stream: Option<StreamId>,
    until: Time,
}

/// A ring whose call is not in the list yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Announced {
    caller: Option<Party>,
    called: Option<Party>,
    reason: Option<CallReason>,
    last: Time,
}

/// When the list is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Poll {
    /// Not at all: there is no call.
    Off,
    /// Then.
    At(Time),
    /// It was asked for.
    Asked,
}

/// A cellular line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cellular {
    calls: Vec<CellCall>,
    next: Option<Order>,
    table: Table,
    poll: Poll,
    /// The list is read often until then.
    action_until: Time,
    errors: u32,
    announced: Option<Announced>,
    rings: u32,
    /// The modem said that a call ended, and how.
    hint: Option<Hint>,
    joining: Option<Joining>,
    transfer: Option<Transfer>,
    digits: Digits,
    sms: Sms,
    ussd: Ussd,
    forwarding: Forwarding,
    network: Network,
    late: Late,
    audio: AudioPort,
    leaving: Leaving,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Leaving {
    No,
    Yes,
}

impl Cellular {
    pub(crate) fn new(profile: &Profile) -> Cellular {
        Cellular {
            calls: Vec::new(),
            next: None,
            table: Table::default(),
            poll: Poll::Off,
            action_until: Time::ZERO,
            errors: 0,
            announced: None,
            rings: 0,
            hint: None,
            joining: None,
            transfer: None,
            digits: Digits::default(),
            sms: Sms::default(),
            ussd: Ussd::default(),
            forwarding: Forwarding::default(),
            network: Network::default(),
            late: Late::default(),
            audio: AudioPort::new(profile),
            leaving: Leaving::No,
        }
    }

    /// The first commands were taken, but for these: SIM and registration decide whether the line is in service.
    pub(crate) fn ready(&mut self, context: &mut Context<'_>, refused: Vec<Refused>) {
        self.late = Late::new(refused);
        self.network.begin(context);
        self.audio.want(context);
        // A call may stand since before: it is none of ours, and is ended.
        self.poll = Poll::At(context.now);
    }

    /// The one call, where there is one only.
    pub(crate) fn only_call(&self) -> Option<CallRef> {
        let mut told =
            self.calls.iter().filter(|call| !matches!(call.stage, Stage::Ordered { .. } | Stage::Releasing { .. }));
        match (told.next(), told.next()) {
            (Some(call), None) => Some(call.call),
            _ => None,
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.calls.is_empty()
    }

    /// Forwards calls by the network.
    pub(crate) fn forward(&mut self, context: &mut Context<'_>, id: CommandId, rules: &[tapi::ForwardRule]) {
        if self.is_idle() {
            self.forwarding.set(context, id, rules);
        } else {
            context.out.refuse(id, tapi::ErrorCode::InvalCallState, "forwarding is set while there is no call");
        }
    }

    /// What only such devices have.
    pub(crate) fn device(&mut self, context: &mut Context<'_>, id: CommandId, request: &tapi::DeviceRequest) {
        match request {
            tapi::DeviceRequest::SendMessage { to, text } => self.sms.send(context, id, to, text),
            tapi::DeviceRequest::Ussd { text } => self.ussd.ask(context, id, text),
            tapi::DeviceRequest::UssdCancel => self.ussd.cancel(context, id),
            tapi::DeviceRequest::EnterPin { pin } => self.network.enter_pin(context, id, pin),
        }
    }

    /// The port or the modem is gone: all calls are over.
    pub(crate) fn fail(&mut self, context: &mut Context<'_>, reason: &str) {
        self.digits.fail_all(context.out);
        self.sms.fail(context.out, reason);
        self.ussd.fail(context.out, reason);
        self.forwarding.fail();
        for call in std::mem::take(&mut self.calls) {
            if !matches!(call.stage, Stage::Ordered { .. } | Stage::Releasing { .. }) {
                let cause = Cause::new(DisconnectMode::Unavail).with_text(reason);
                context.out.report(call.call, Report::Released { by: ReleasedBy::Remote, cause });
            }
        }
        let audio = std::mem::replace(&mut self.audio, AudioPort::new(context.profile));
        let network = self.network.after_failure();
        let sms = std::mem::take(&mut self.sms);
        *self = Cellular { audio, network, sms, leaving: self.leaving, ..Cellular::new(context.profile) };
        self.audio.reset();
    }

    fn find(&mut self, call: CallRef) -> Option<&mut CellCall> {
        self.calls.iter_mut().find(|known| known.call == call)
    }

    /// Reads the list soon, and often for a while.
    fn soon(&mut self, context: &Context<'_>) {
        self.action_until = context.now + ACTION;
        let at = context.now + millis(cell_of(context).poll_ms.action);
        self.poll_by(at);
    }

    fn poll_by(&mut self, at: Time) {
        self.poll = match self.poll {
            Poll::Asked => Poll::Asked,
            Poll::At(sooner) if sooner <= at => Poll::At(sooner),
            Poll::Off | Poll::At(_) => Poll::At(at),
        };
    }

    /// When the list is read next, after it was read.
    fn schedule(&mut self, context: &Context<'_>) {
        let times = &cell_of(context).poll_ms;
        let of = |call: &CellCall| match call.stage {
            Stage::Ordered { .. } | Stage::Dialled | Stage::Proceeding | Stage::Alerting | Stage::Answering { .. } => {
                times.setup
            }
            Stage::Releasing { .. } if call.not_before.is_some() => times.setup,
            Stage::Releasing { .. } => times.action,
            Stage::Offered => times.ringing,
            Stage::Active | Stage::Held | Stage::Ending { .. } => times.active,
        };
        let mut wait = self.calls.iter().map(of).min();
        if self.announced.is_some() {
            wait = Some(wait.map_or(times.setup, |wait| wait.min(times.setup)));
        }
        if context.now < self.action_until {
            wait = wait.map(|wait| wait.min(times.action));
        }
        self.poll = wait.map_or(Poll::Off, |wait| Poll::At(context.now + millis(wait)));
    }

    /// A line that belongs to no command.
    pub(crate) fn unsolicited(&mut self, context: &mut Context<'_>, line: &str) {
        if let Some(ring) = ring(line) {
            return self.rung(context, ring.pattern);
        }
        if let Some(party) = clip(line) {
            return self.clipped(context, party);
        }
        if let Some(woken) = self.network.unsolicited(context, line) {
            return self.sim_ready(context, woken);
        }
        if self.ussd.unsolicited(context, line)
            || self.sms.unsolicited(context, line)
            || self.digit_heard(context, line)
        {
            return;
        }
        self.told_beside(context, line);
        let ended = match FinalResult::parse(line) {
            Some(FinalResult::Busy) => Some(DisconnectMode::Busy),
            Some(FinalResult::NoAnswer) => Some(DisconnectMode::NoAnswer),
            Some(FinalResult::NoCarrier) => Some(DisconnectMode::Unknown),
            _ => None,
        };
        if let Some(mode) = ended.clone() {
            self.hint = Some(Hint::of(mode.clone()));
            self.ended_without_list(context, mode);
        }
        const NEWS: [&str; 4] = ["+CCWA", "+CSSU", "+CSSI", "+CLCC"];
        let told = self.call_news(context, line);
        let news = ended.is_some() || told || NEWS.iter().any(|news| after(line, news).is_some());
        if news && (!self.calls.is_empty() || after(line, "+CCWA").is_some()) {
            self.action_until = context.now + ACTION;
            self.poll_by(context.now);
            self.read_list_when_due(context);
        }
    }

    /// The SIM card became ready: what hangs on it is asked for.
    fn sim_ready(&mut self, context: &mut Context<'_>, woken: Woken) {
        if woken == Woken::No {
            return;
        }
        self.late.begin(context, woken);
        let question = &cell_of(context).own_number;
        if context.unnumbered && !question.is_empty() {
            let wait = context.profile.timeouts_ms.default.max(10_000);
            context.ask(Ask::new(question, Purpose::Number, wait).expects("+CNUM:"));
        }
        self.sms.begin(context);
    }

    /// Where the list cannot be read the news itself must do.
    fn ended_without_list(&mut self, context: &mut Context<'_>, mode: DisconnectMode) {
        if self.errors <= LIST_ERRORS {
            return;
        }
        match self.calls.as_slice() {
            [call] if matches!(call.stage, Stage::Releasing { .. }) => self.calls.clear(),
            [call] => self.ending(context, call.call, mode),
            _ => {}
        }
    }

    fn rung(&mut self, context: &mut Context<'_>, pattern: u32) {
        let now = context.now;
        // A call that we refused may still ring.
        if self.calls.iter().any(|call| matches!(call.stage, Stage::Releasing { .. } | Stage::Answering { .. })) {
            return;
        }
        if let Some(call) = self.calls.iter_mut().find(|call| call.stage == Stage::Offered) {
            call.last_ring = now;
        } else if let Some(announced) = &mut self.announced {
            announced.last = now;
        } else {
            self.rings = 0;
            self.announced = Some(Announced { last: now, ..Announced::default() });
            self.poll_by(now + millis(context.profile.timeouts_ms.clip));
        }
        context.out.event(Event::Ringing { line: LINE, count: self.rings, pattern });
        self.rings = self.rings.saturating_add(1);
    }

    fn clipped(&mut self, context: &mut Context<'_>, party: Party) {
        if let Some(call) = self.calls.iter_mut().find(|call| call.stage == Stage::Offered) {
            return facts::name(context, call, party);
        }
        if self.calls.iter().any(|call| matches!(call.stage, Stage::Releasing { .. } | Stage::Answering { .. })) {
            return;
        }
        if self.announced.is_none() {
            self.rings = 0;
        }
        let before = self.announced.take().unwrap_or_default();
        let caller = Some(facts::named_as(party, before.caller.as_ref()));
        self.announced = Some(Announced { caller, last: context.now, ..before });
        self.poll_by(context.now);
        self.read_list_when_due(context);
    }

    fn read_list_when_due(&mut self, context: &mut Context<'_>) {
        if matches!(self.poll, Poll::At(at) if context.now >= at) {
            let ask = Ask::new("AT+CLCC", Purpose::CallList, context.profile.timeouts_ms.default).expects("+CLCC:");
            if context.ask(ask) {
                self.poll = Poll::Asked;
            } else {
                self.poll = Poll::At(context.now + millis(cell_of(context).poll_ms.setup));
            }
        }
    }

    /// When it wants [`Cellular::timeout`].
    pub(crate) fn deadline(&self) -> Option<Time> {
        let poll = match self.poll {
            Poll::At(at) => Some(at),
            Poll::Off | Poll::Asked => None,
        };
        let next = self.next.as_ref().map(|order| order.until);
        let wishes = self.calls.iter().filter_map(|call| call.wish.map(|(_, until)| until)).min();
        let joining = self.joining.as_ref().map(|joining| joining.until);
        let own = [
            self.digits.deadline(),
            self.network.deadline(),
            self.audio.deadline(),
            self.late.deadline(),
            self.sms.deadline(),
            self.ussd.deadline(),
        ];
        [poll, next, wishes, joining].into_iter().chain(own).flatten().min()
    }

    /// A deadline may have passed.
    pub(crate) fn timeout(&mut self, context: &mut Context<'_>) {
        self.read_list_when_due(context);
        self.digits.timeout(context);
        self.network.timeout(context);
        if self.audio.timeout(context) {
            self.tell_media(context);
        }
        self.late.timeout(context);
        self.sms.timeout(context);
        self.ussd.timeout(context);
        self.wishes(context);
        if self.joining.as_ref().is_some_and(|joining| context.now >= joining.until) {
            self.not_joined(context, "the call list does not show it");
        }
        if let Some(order) = self.next.take_if(|order| context.now >= order.until) {
            let text = "the call before does not end";
            context.out.refuse(order.id, tapi::ErrorCode::ResourceUnavail, text);
        }
    }

    pub(crate) fn audio_opened(&mut self, context: &mut Context<'_>) {
        self.audio.opened();
        self.tell_media(context);
    }

    pub(crate) fn audio_closed(&mut self, context: &mut Context<'_>, reason: &str) {
        self.audio.closed(context, reason);
        self.tell_media(context);
    }

    /// Bytes of the audio port.
    pub(crate) fn audio_bytes(&mut self, context: &mut Context<'_>, bytes: &[u8]) {
        self.audio.hear(context.now, context.out, bytes);
    }

    /// 20 ms to be sent.
    pub(crate) fn frame(&mut self, context: &mut Context<'_>, stream: StreamId, frame: &Frame) {
        self.audio.send(context.out, stream, frame);
    }
}

/// The profile's commands: a cellular profile is checked to have them.
fn cell_of<'a>(context: &Context<'a>) -> &'a Cell {
    context.profile.cell.as_ref().expect("a cellular profile has [cell]")
}

fn millis(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}
