//! Calls that we place (RFC 3261 section 13.2).

use super::{Call, Role, State, Timer};
use crate::LineConfig;
use crate::cause;
use crate::dialog::Dialog;
use crate::endpoint::{Endpoint, Purpose};
use crate::locate::Destination;
use crate::message::{ALLOW, Draft, Message, Method, Scheme, Uri, description};
use crate::sdp::{Misfit, Session};
use crate::transport::Peer;
use serde::{Deserialize, Serialize};
use tapi::{AnswerEvidence, Cause, DisconnectMode, ErrorCode, Time};
use tspi::{CallRef, CommandId, LocalRtp, Refusal, Report, Taken};

/// Longest destination, in bytes.
const MAX_DESTINATION: usize = 256;

/// What a call of ours began with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outgoing {
    command: CommandId,
    uri: String,
    from: String,
    call_id: String,
    tag: String,
    private: bool,
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
    let next = match (&line.proxy, parsed.scheme) {
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
        let outgoing = Outgoing { command, uri, from, call_id, tag, private };
        let mut call = Call::new(id, line, State::Resolving, Role::Caller(outgoing));
        call.session = Some(Session::new(ep.random.next_u64(), local, &ep.policy(line)));
        call
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
        let (State::Resolving, Role::Caller(outgoing), Some(session)) = (&self.state, &self.role, &mut self.session)
        else {
            return;
        };
        let Outgoing { uri, from, call_id, private, .. } = outgoing.clone();
        let offer = session.offer(&mut ep.random);
        let (via, branch) = ep.via();
        let mut draft = Draft::request(&Method::Invite, &uri)
            .header("Via", via)
            .header("Max-Forwards", "70")
            .header("From", from)
            .header("To", format!("<{uri}>"))
            .header("Call-ID", &call_id)
            .header("CSeq", "1 INVITE")
            .header("Contact", ep.contact(self.line))
            .header("Allow", ALLOW);
        if private {
            draft.push("Privacy", "id");
        }
        let bytes = ep.finish(draft, Some(&offer));
        let owner = self.owner(Purpose::Invite);
        ep.open.insert(self.id);
        self.invite = Some(ep.request(now, owner, Method::Invite, &branch, to, bytes));
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
            (State::Calling | State::Proceeding | State::Ringing, 100..=199) => self.on_progress(ep, message, status),
            (State::CancelHeld, 100..=199) => self.send_cancel(ep, now),
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
            (State::Calling | State::Proceeding, 300..=699) => self.end(ep, cause::of(message, false)),
            (State::Ringing, 300..=699) => self.end(ep, cause::of(message, true)),
            (State::CancelHeld | State::Cancelled, 300..=699) => self.state = State::Ended,
            _ => {}
        }
    }

    fn on_progress(&mut self, ep: &mut Endpoint, message: &Message<'_>, status: u16) {
        // A description in an unreliable 18x is a preview of the answer (RFC 6337 section 2.2).
        let early = match &mut self.session {
            Some(session) if description(message).is_some() && status > 100 => {
                session.accept(description(message).unwrap_or_default()).ok()
            }
            _ => None,
        };
        let rings = status == 180 || (status == 183 && early.is_some());
        if self.state == State::Calling {
            self.state = State::Proceeding;
            self.report(ep, Report::Proceeding);
        }
        if let Some(agreed) = &early {
            self.report_media(ep, agreed);
        }
        if rings && self.state == State::Proceeding {
            self.state = State::Ringing;
            self.report(ep, Report::PeerRings);
        }
    }

    fn on_success(&mut self, ep: &mut Endpoint, now: Time, tx: u64, message: &Message<'_>, from: Peer) {
        let Role::Caller(outgoing) = &self.role else {
            return;
        };
        let Some(dialog) = Dialog::of_response(message, &outgoing.tag, from) else {
            // Without Contact there is no way to acknowledge it.
            let text = "the 2xx names no Contact";
            return self.end(ep, Cause::new(DisconnectMode::Incompatible).with_text(text));
        };
        self.send_ack(ep, tx, &dialog);
        self.dialog = Some(dialog);
        self.state = State::Confirmed;
        let agreed = match &mut self.session {
            Some(session) if description(message).is_none() => session.agreed().cloned().ok_or(Misfit::NoAudio),
            Some(session) => session.accept(description(message).unwrap_or_default()),
            None => Err(Misfit::NoAudio),
        };
        match agreed {
            Ok(agreed) => {
                self.report_media(ep, &agreed);
                self.report(ep, Report::Answered(AnswerEvidence::Signalled));
                if agreed.held_by_peer {
                    self.report(ep, Report::PeerHeld);
                }
            }
            Err(misfit) => {
                let cause = Cause::new(DisconnectMode::Incompatible).with_text(misfit.to_string());
                self.break_off(ep, now, cause);
            }
        }
    }

    /// ACK to a 2xx: a new branch, the number of its INVITE (RFC 3261 section 13.2.2.4).
    pub(super) fn send_ack(&self, ep: &mut Endpoint, tx: u64, dialog: &Dialog) {
        let (via, _) = ep.via();
        let ack = ep.finish(dialog.request(&Method::Ack, dialog.local_cseq, &via), None);
        ep.acknowledge(tx, dialog.remote_tag.as_deref().unwrap_or_default(), dialog.next_hop(), ack);
    }

    pub(super) fn send_cancel(&mut self, ep: &mut Endpoint, now: Time) {
        if let Some(tx) = self.invite {
            ep.withdraw(tx);
            ep.cancel(now, tx, self.owner(Purpose::Cancel));
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
