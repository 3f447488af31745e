//! Calls that we place (RFC 3261 section 13.2).

use super::{Call, Role, State, Timer, timer};
use crate::LineConfig;
use crate::cause;
use crate::dialog::Dialog;
use crate::endpoint::{Endpoint, Purpose};
use crate::locate::Destination;
use crate::message::{ALLOW, Draft, Message, Method, Name, NameAddr, Scheme, Uri, description};
use crate::policy::{CallPolicy, OfferWhen, Redirects, Reliable};
use crate::sdp::{Agreed, Misfit, Session};
use crate::transport::Peer;
use serde::{Deserialize, Serialize};
use tapi::{AnswerEvidence, Cause, DisconnectMode, ErrorCode, Time};
use tspi::{CallFacts, CallRef, CommandId, LocalRtp, Refusal, Report, Taken};

/// Longest destination, in bytes.
const MAX_DESTINATION: usize = 256;

/// How often a call is sent elsewhere.
const MAX_REDIRECTS: usize = 5;
/// Most targets of a 3xx that are looked at.
const MAX_TARGETS: usize = 16;

/// What a call of ours began with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outgoing {
    command: CommandId,
    uri: String,
    from: String,
    call_id: String,
    pub(super) tag: String,
    private: bool,
    /// Who was called first: To stays when the call is sent elsewhere.
    to: String,
    /// Number of the last INVITE.
    pub cseq: u32,
    /// Where it was sent to.
    hop: Option<Destination>,
    /// How often its session timer was too short.
    too_short: u32,
    /// Where it was sent before it was sent elsewhere.
    tried: Vec<String>,
}

/// The Request-URI for what an application wrote, and where to send it.
pub(crate) fn destination(line: &LineConfig, to: &str) -> Result<(String, Destination), Refusal> {
    let refuse = |why: &str| Refusal::new(ErrorCode::InvalAddress, format!("destination {why}"));
    let to = to.trim();
    if to.is_empty() || to.len() > MAX_DESTINATION {
        return Err(refuse("is empty or too long"));
    }
    if to.chars().any(|character| character.is_control() || character == ' ' || "<>\"".contains(character)) {
        return Err(refuse("has characters that no address has"));
    }
    let uri = match to.split_once(':') {
        Some(_) => to.to_owned(),
        None => {
            // Visual separators of a dialled number are not part of it.
            let dialled = to.chars().all(|character| character.is_ascii_digit() || "+*#-.()".contains(character));
            let user: String =
                if dialled { to.chars().filter(|character| !"-.()".contains(*character)).collect() } else { to.into() };
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+*-_.!~'()&=$,".contains(&byte);
            if user.is_empty() || !user.bytes().all(|byte| plain(byte) || byte == b'#' || byte == b'@') {
                return Err(refuse("is neither a number nor a URI"));
            }
            let user = user.replace('#', "%23");
            if user.contains('@') { format!("sip:{user}") } else { format!("sip:{user}@{}", line.domain) }
        }
    };
    let parsed = Uri::parse(&uri).map_err(|error| refuse(&format!("is not an address: {error}")))?;
    if !matches!(parsed.scheme, Scheme::Sip | Scheme::Sips | Scheme::Tel) || !parsed.headers.is_empty() {
        return Err(refuse("is not a sip or tel URI"));
    }
    crate::admission::allows(line, &parsed)?;
    let next = match (line.outbound(), parsed.scheme) {
        (Some(proxy), Scheme::Sips) => Destination::parse(proxy).map(|next| Destination { secure: true, ..next }),
        (Some(proxy), _) => Destination::parse(proxy),
        (None, Scheme::Tel) => Destination::parse(&line.domain),
        (None, _) => Destination::of_uri(&parsed),
    };
    let next = next.ok_or_else(|| refuse("has no host to be sent to"))?;
    Ok((uri, next))
}

impl Call {
    /// A call to place: nothing is sent yet.
    pub fn to_place(
        ep: &mut Endpoint,
        id: u64,
        line: u32,
        command: CommandId,
        (uri, private): (String, bool),
        local: LocalRtp,
    ) -> Call {
        let config = ep.lines.get(line as usize).map(|line| line.config.clone());
        let tag = ep.random.token(12);
        let call_id = format!("{}@{}", ep.random.token(24), ep.config.listen.ip());
        let from = match config {
            Some(_) if private => format!("\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag={tag}"),
            Some(config) => format!("<sip:{}@{}>;tag={tag}", config.user, config.domain),
            None => format!("<sip:anonymous@anonymous.invalid>;tag={tag}"),
        };
        let to = uri.clone();
        let (cseq, hop, too_short, tried) = (0, None, 0, Vec::new());
        let outgoing = Outgoing { command, uri, from, call_id, tag, private, to, cseq, hop, too_short, tried };
        let mut call = Call::new(id, line, State::Resolving, Role::Caller(outgoing));
        call.session = Some(Session::new(ep.random.next_u64(), local, &ep.policy(line)));
        call
    }

    /// What another call's far end wants it to be: its headers go with the INVITE, and its progress is told there.
    pub fn at_the_wish_of(&mut self, call: u64, order: &super::Order) {
        self.transfer.placed(call, order.lines().into());
    }

    /// A name could not be resolved: the command is refused, and the call was never there.
    pub fn on_unresolved(&mut self, ep: &mut Endpoint, why: &str) {
        let Role::Caller(outgoing) = &self.role else {
            return;
        };
        if self.state == State::Resolving {
            let text = format!("the next hop of the call is not known: {why}");
            let command = outgoing.command;
            self.forget_unplaced(ep);
            ep.reply(command, Err(Refusal::new(ErrorCode::OperationFailed, text)));
        }
    }

    fn forget_unplaced(&mut self, ep: &mut Endpoint) {
        self.relay_unplaced(ep);
        ep.open.remove(&self.id);
        if let Some(tx) = self.invite.take() {
            ep.withdraw(tx);
        }
        self.state = State::Ended;
        self.standing = super::Standing::Closed;
        if let Some(line) = ep.lines.get_mut(self.line as usize) {
            line.live = line.live.saturating_sub(1);
        }
    }

    /// The command is refused if its name is still looked up.
    pub fn stop_resolving(&mut self, ep: &mut Endpoint, code: ErrorCode, why: &str) {
        if let (State::Resolving, Role::Caller(outgoing)) = (&self.state, &self.role) {
            let command = outgoing.command;
            self.forget_unplaced(ep);
            ep.reply(command, Err(Refusal::new(code, why)));
        }
    }

    /// Sends the INVITE as soon as its way is known.
    pub fn place(&mut self, ep: &mut Endpoint, now: Time, to: Destination) {
        if self.state == State::Resolving {
            ep.open.insert(self.id);
            self.send_invite(ep, now, to);
        }
    }

    /// The INVITE is on its way: the call is taken.
    pub fn on_sent(&mut self, ep: &mut Endpoint) {
        let (State::Resolving, Role::Caller(outgoing)) = (&self.state, &self.role) else {
            return;
        };
        let Outgoing { command, call_id, tag, .. } = outgoing.clone();
        self.state = State::Calling;
        self.list(ep, &call_id, &tag);
        ep.reply(command, Ok(Taken::Call(CallRef(self.id))));
        self.report(ep, Report::Dialing);
    }

    /// Sends the INVITE, the first one or one more with the next number.
    fn send_invite(&mut self, ep: &mut Endpoint, now: Time, to: Destination) {
        let policy = ep.policy(self.line);
        let timer = self.timer_headers(&policy);
        let (Role::Caller(outgoing), Some(session)) = (&mut self.role, &mut self.session) else {
            return;
        };
        outgoing.hop = Some(to.clone());
        outgoing.cseq += 1;
        let (via, branch) = ep.via();
        let mut draft = Draft::request(&Method::Invite, &outgoing.uri)
            .header("Via", via)
            .header("Max-Forwards", "70")
            .header("From", &outgoing.from)
            .header("To", format!("<{}>", outgoing.to))
            .header("Call-ID", &outgoing.call_id)
            .header("CSeq", format!("{} INVITE", outgoing.cseq))
            .header("Contact", ep.contact(self.line))
            .header("Allow", ALLOW)
            .header("Supported", super::supported(&policy));
        if policy.reliable == Reliable::Required {
            draft.push("Require", "100rel");
        }
        if outgoing.private {
            draft.push("Privacy", "id");
        }
        let who = ep.lines.get(self.line as usize);
        let who = who.and_then(|line| super::identity::ours(&line.config, outgoing.private, true));
        for (name, value) in timer.into_iter().chain(who) {
            draft.push(name, value);
        }
        for route in ep.lines.get(self.line as usize).map_or(&[][..], |line| &line.reach.service_route) {
            draft.push("Route", route);
        }
        if let Some(lines) = self.transfer.lines() {
            draft = draft.raw(lines);
        }
        let offer = match policy.offer {
            OfferWhen::Early if session.agreed().is_none() => Some(session.offer(&mut ep.random)),
            OfferWhen::Early => Some(session.again()),
            OfferWhen::Late => None,
        };
        let bytes = ep.finish(draft, offer.as_deref());
        let owner = self.owner(Purpose::Invite);
        self.invite = Some(ep.request(now, owner, Method::Invite, &branch, to, bytes));
    }

    /// A response to the first INVITE.
    pub(super) fn on_invite_response(
        &mut self,
        ep: &mut Endpoint,
        now: Time,
        tx: u64,
        message: &Message<'_>,
        from: Peer,
    ) {
        let status = message.status().unwrap_or_default();
        match (&self.state, status) {
            (State::Calling | State::Proceeding | State::Ringing, 100..=199) => {
                self.on_progress(ep, now, message, from);
            }
            (State::CancelHeld, 100..=199) => self.send_cancel(ep, now, None),
            (State::Calling | State::Proceeding | State::Ringing, 200..=299) => {
                self.on_success(ep, now, tx, message, from);
            }
            // CANCEL and 200 crossed: what nobody wants any more is taken and ended.
            (State::CancelHeld | State::Cancelled, 200..=299) => {
                ep.refuse_success(now, tx, message, from);
                self.state = State::Ended;
            }
            // Another branch of a fork answered too.
            (_, 200..=299) => ep.refuse_success(now, tx, message, from),
            (State::Calling | State::Proceeding | State::Ringing, 300..=699) => self.on_failure(ep, now, tx, message),
            (State::CancelHeld | State::Cancelled, 300..=699) => self.state = State::Ended,
            _ => {}
        }
    }

    /// A final response other than 2xx: some are tried again in another way.
    fn on_failure(&mut self, ep: &mut Endpoint, now: Time, tx: u64, message: &Message<'_>) {
        if self.invite != Some(tx) {
            return;
        }
        let status = message.status().unwrap_or_default();
        let policy = ep.policy(self.line);
        self.early.clear();
        if let Role::Caller(outgoing) = &mut self.role {
            // Credentials may have cost a number.
            outgoing.cseq = outgoing.cseq.max(message.cseq().map_or(0, |cseq| cseq.number));
            if let (422, Some(least), Some(to), true) =
                (status, timer::min_se(message), outgoing.hop.clone(), outgoing.too_short < timer::MAX_TOO_SHORT)
            {
                outgoing.too_short += 1;
                self.min_se_s = self.min_se_s.max(least);
                return self.send_invite(ep, now, to);
            }
        }
        if (300..400).contains(&status) && self.follow(ep, now, &policy, message) {
            return;
        }
        let rang = self.state == State::Ringing;
        self.end(ep, cause::of(message, rang));
    }

    /// A 3xx: tells where the call is sent, and goes there where the line follows. Whether it went.
    fn follow(&mut self, ep: &mut Endpoint, now: Time, policy: &CallPolicy, message: &Message<'_>) -> bool {
        let mut targets: Vec<(u32, NameAddr<'_>)> = message
            .values(Name::Contact)
            .take(MAX_TARGETS)
            .filter_map(NameAddr::parse)
            .map(|contact| (weight(&contact), contact))
            .collect();
        targets.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        let first = targets.first().and_then(|(_, contact)| super::identity::party(contact.uri, contact.name()));
        if first.is_some() {
            self.tell(ep, CallFacts { redirection: first, ..CallFacts::default() });
        }
        let line = ep.lines.get(self.line as usize).map(|line| line.config.clone());
        let (Role::Caller(outgoing), Some(line)) = (&mut self.role, line) else {
            return false;
        };
        if policy.redirects == Redirects::Relay || outgoing.tried.len() >= MAX_REDIRECTS {
            return false;
        }
        let usable = targets.iter().find_map(|(_, contact)| {
            let uri = Uri::parse(contact.uri).ok().filter(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Tel))?;
            let text = contact.uri.split('?').next()?.to_owned();
            if text.len() > MAX_DESTINATION || text == outgoing.uri || outgoing.tried.contains(&text) {
                return None;
            }
            let same = line.proxy.is_some() || uri.scheme == Scheme::Tel;
            let hop = if same { outgoing.hop.clone() } else { Destination::of_uri(&uri) };
            Some((text, hop?))
        });
        let Some((uri, hop)) = usable else {
            return false;
        };
        outgoing.tried.push(std::mem::replace(&mut outgoing.uri, uri));
        self.state = State::Proceeding;
        self.send_invite(ep, now, hop);
        true
    }

    fn on_success(&mut self, ep: &mut Endpoint, now: Time, tx: u64, message: &Message<'_>, from: Peer) {
        let Role::Caller(outgoing) = &self.role else {
            return;
        };
        let Some(mut dialog) = Dialog::of_response(message, &outgoing.tag, from) else {
            // Without Contact there is no way to acknowledge it.
            let text = "the 2xx names no Contact";
            return self.end(ep, Cause::new(DisconnectMode::Incompatible).with_text(text));
        };
        let policy = ep.policy(self.line);
        let early = self.early.remove(message.to_tag().unwrap_or_default());
        self.early.clear();
        if let Some(before) = early.as_ref().and_then(|early| early.dialog.as_ref()) {
            dialog.local_cseq = dialog.local_cseq.max(before.local_cseq);
            dialog.remote_cseq = before.remote_cseq;
        }
        let (session, sealed) = early.map_or((self.session.take(), false), |early| (Some(early.session), early.sealed));
        self.session = session;
        let (body, agreed) = self.final_session(ep, &policy, sealed, message);
        self.dialog = Some(dialog);
        self.send_ack(ep, tx, message, body);
        self.state = State::Confirmed;
        self.learn(ep, message);
        self.timer_agreed(&policy, now, message);
        match agreed {
            Ok(agreed) => {
                self.report_media(ep, &agreed);
                self.report(ep, Report::Answered(AnswerEvidence::Signalled));
                if agreed.held_by_peer {
                    self.report(ep, Report::PeerHeld);
                }
                self.start_queued(ep, now);
            }
            Err(misfit) => {
                let cause = Cause::new(DisconnectMode::Incompatible).with_text(misfit.to_string());
                self.break_off(ep, now, cause);
            }
        }
    }

    /// What a 2xx settles: the answer that the ACK carries, where the far end offered, and what is agreed.
    fn final_session(
        &mut self,
        ep: &mut Endpoint,
        policy: &CallPolicy,
        sealed: bool,
        message: &Message<'_>,
    ) -> (Option<Vec<u8>>, Result<Agreed, Misfit>) {
        let Some(session) = &mut self.session else {
            return (None, Err(Misfit::NoAudio));
        };
        match (description(message).filter(|_| !sealed), policy.offer) {
            (None, _) => (None, session.agreed().cloned().ok_or(Misfit::NoAudio)),
            (Some(answer), OfferWhen::Early) => (None, session.accept(answer)),
            (Some(offer), OfferWhen::Late) => match session.answer(offer, &mut ep.random) {
                Ok((body, agreed)) => (Some(body), Ok(agreed)),
                Err(misfit) => (None, Err(misfit)),
            },
        }
    }

    /// ACK to a 2xx: a new branch, the number of its INVITE (RFC 3261 section 13.2.2.4).
    pub(super) fn send_ack(&self, ep: &mut Endpoint, tx: u64, response: &Message<'_>, body: Option<Vec<u8>>) {
        let (Some(dialog), Some(cseq)) = (&self.dialog, response.cseq()) else {
            return;
        };
        acknowledge(ep, tx, dialog, cseq.number, body);
    }

    pub(super) fn send_cancel(&mut self, ep: &mut Endpoint, now: Time, why: Option<&DisconnectMode>) {
        if let Some(tx) = self.invite {
            let reason = why.and_then(cause::reason_of);
            ep.withdraw(tx);
            ep.cancel(now, tx, self.owner(Purpose::Cancel), reason);
        }
        self.state = State::Cancelled;
        self.deadlines.set(Timer::GiveUp, now + ep.timing().life());
    }

    pub(super) fn on_invite_timeout(&mut self, ep: &mut Endpoint) {
        let cause = Cause::new(DisconnectMode::Unreachable).with_text("no response to the INVITE");
        self.end(ep, cause);
    }

    /// The INVITE could not be sent, or its connection broke before an answer came.
    pub(super) fn on_invite_unsent(&mut self, ep: &mut Endpoint, why: &str) {
        match self.state {
            State::Resolving => self.on_unresolved(ep, why),
            State::Calling | State::Proceeding | State::Ringing => {
                self.end(ep, Cause::new(DisconnectMode::Unreachable).with_text(why));
            }
            State::CancelHeld | State::Cancelled => self.state = State::Ended,
            _ => {}
        }
    }
}

/// Sends the ACK to a 2xx.
pub(super) fn acknowledge(ep: &mut Endpoint, tx: u64, dialog: &Dialog, cseq: u32, body: Option<Vec<u8>>) {
    let (via, _) = ep.via();
    // It proves who we are as its INVITE did (RFC 3261 section 22.1).
    let ack = ep.finish(dialog.request(&Method::Ack, cseq, &via).raw(ep.proofs(tx)), body.as_deref());
    ep.acknowledge(tx, dialog.remote_tag.as_deref().unwrap_or_default(), dialog.next_hop(), ack);
}

/// The preference of a Contact in thousandths; without one it is as good as any (RFC 3261 section 20.10).
fn weight(contact: &NameAddr<'_>) -> u32 {
    let Some(text) = contact.params.text("q") else { return 1_000 };
    let (whole, part) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let digits: u32 = format!("{part:0<3}").get(..3).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    if whole == "1" { 1_000 } else { digits }
}
