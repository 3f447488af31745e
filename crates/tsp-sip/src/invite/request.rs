//! Requests within a dialog: one way to send them, one place where those of the far end part by method.

use super::{Call, State};
use crate::dialog::Dialog;
use crate::endpoint::{Answer, Endpoint, Owner, Purpose};
use crate::message::{ALLOW, Message, Method, Name};
use tapi::Time;

/// A request of ours within a dialog. Its outcome comes to [`Call::on_response`] or [`Call::on_timeout`] with its purpose.
pub(super) struct Request {
    pub method: Method,
    pub purpose: Purpose,
    pub headers: Vec<(&'static str, String)>,
    /// Type and body.
    pub content: Option<(&'static str, Vec<u8>)>,
}

impl Request {
    pub fn new(method: Method, purpose: Purpose) -> Request {
        Request { method, purpose, headers: Vec::new(), content: None }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Request {
        self.headers.push((name, value.into()));
        self
    }

    pub fn sdp(mut self, body: Option<Vec<u8>>) -> Request {
        self.content = body.map(|body| ("application/sdp", body));
        self
    }
}

/// Sends a request within a dialog.
pub(super) fn send(
    ep: &mut Endpoint,
    now: Time,
    (line, call): (u32, u64),
    dialog: &mut Dialog,
    request: Request,
) -> u64 {
    dialog.local_cseq += 1;
    let (via, branch) = ep.via();
    let mut draft = dialog.request(&request.method, dialog.local_cseq, &via);
    // Requests that refresh the target (RFC 3261 section 12.2).
    if matches!(request.method, Method::Invite | Method::Update | Method::Refer | Method::Subscribe | Method::Notify) {
        draft = draft.header("Contact", ep.contact(line)).header("Allow", ALLOW);
    }
    for (name, value) in &request.headers {
        draft.push(name, value);
    }
    let content = request.content.as_ref().map(|(kind, body)| (*kind, body.as_slice()));
    let bytes = ep.finish_with(draft, content);
    let owner = Owner { line, call: Some(call), purpose: request.purpose };
    let to = dialog.next_hop();
    ep.request(now, owner, request.method, &branch, to, bytes)
}

impl Call {
    /// Sends a request within the call's dialog; `None` without one.
    pub(super) fn send(&mut self, ep: &mut Endpoint, now: Time, request: Request) -> Option<u64> {
        let about = (self.line, self.id);
        self.dialog.as_mut().map(|dialog| send(ep, now, about, dialog, request))
    }

    /// The dialog that a request is in: the call's, or an early one of a fork.
    fn dialog_of(&mut self, message: &Message<'_>) -> Option<&mut Dialog> {
        let early = self.early.get_mut(message.from_tag().unwrap_or_default());
        self.dialog.as_mut().or_else(|| early.and_then(|early| early.dialog.as_mut()))
    }

    /// A request within the dialog, already in a transaction.
    pub fn on_request(&mut self, ep: &mut Endpoint, now: Time, tx: u64, message: &Message<'_>) {
        let (Some(dialog), Some(cseq)) = (self.dialog_of(message), message.cseq()) else {
            return ep.respond(now, tx, Answer::new(481));
        };
        if dialog.remote_cseq.is_some_and(|last| cseq.number <= last) {
            let answer = Answer { reason: Some("CSeq Out Of Order".to_owned()), ..Answer::new(500) };
            return ep.respond(now, tx, answer);
        }
        dialog.remote_cseq = Some(cseq.number);
        if self.state == State::Lingering && cseq.method != Method::Notify {
            return ep.respond(now, tx, Answer::new(481));
        }
        if let Err(answer) = super::extensions(&ep.policy(self.line), message) {
            return ep.respond(now, tx, answer);
        }
        match cseq.method {
            Method::Bye if self.dialog.is_none() => ep.respond(now, tx, Answer::new(481)),
            Method::Bye => self.on_bye(ep, now, tx, message),
            Method::Invite => self.on_reinvite(ep, now, tx, message),
            Method::Update => self.on_update(ep, now, tx, message),
            Method::Prack => self.on_prack(ep, now, tx, message),
            Method::Refer => self.on_refer(ep, now, tx, message),
            Method::Notify => self.on_notify(ep, now, tx, message),
            Method::Info => self.on_info(ep, now, tx, message),
            Method::Options => ep.respond(now, tx, Answer::new(200).abilities()),
            _ => ep.respond(now, tx, Answer::new(405).with("Allow", ALLOW)),
        }
    }

    /// A response to a request of this call.
    pub fn on_response(
        &mut self,
        ep: &mut Endpoint,
        now: Time,
        (tx, purpose): (u64, Purpose),
        message: &Message<'_>,
        from: crate::transport::Peer,
    ) {
        let status = message.status().unwrap_or_default();
        // A request may have been sent again with a higher number, for credentials.
        if let (Some(dialog), Some(cseq)) = (&mut self.dialog, message.cseq())
            && message.from_tag() == Some(&dialog.local_tag)
        {
            dialog.local_cseq = dialog.local_cseq.max(cseq.number);
        }
        match purpose {
            Purpose::Invite => self.on_invite_response(ep, now, tx, message, from),
            Purpose::Reinvite | Purpose::Update => self.on_change_response(ep, now, tx, message, from),
            Purpose::Bye if status >= 200 => self.on_bye_over(),
            Purpose::Prack if status >= 300 => self.on_prack_refused(ep, now, status),
            Purpose::Info if status >= 200 => self.on_info_over(ep, now, tx, status < 300),
            Purpose::Refer if status >= 200 => self.on_refer_response(ep, now, tx, message),
            Purpose::Notify if status >= 200 => {
                self.on_notify_over(ep, now, tx, super::referred::ends_subscription(status));
            }
            _ => {}
        }
    }

    /// A request of this call got no answer.
    pub fn on_timeout(&mut self, ep: &mut Endpoint, now: Time, purpose: Purpose) {
        match purpose {
            Purpose::Invite => self.on_invite_timeout(ep),
            Purpose::Reinvite | Purpose::Update => self.on_change_timeout(ep, now),
            Purpose::Bye => self.on_bye_over(),
            Purpose::Prack => self.on_prack_refused(ep, now, 408),
            Purpose::Info => self.on_info_lost(ep),
            Purpose::Refer => self.on_refer_timeout(ep),
            Purpose::Notify => self.on_notify_timeout(ep, now),
            _ => {}
        }
    }

    /// A request of this call could not be sent, or its connection broke before an answer came.
    pub fn on_unsent(&mut self, ep: &mut Endpoint, now: Time, purpose: Purpose, why: &str) {
        match purpose {
            Purpose::Invite => self.on_invite_unsent(ep, why),
            _ => self.on_timeout(ep, now, purpose),
        }
    }

    fn on_bye_over(&mut self) {
        if self.state == State::Ending {
            self.state = State::Ended;
        }
    }

    /// What any message of the far end tells beside its purpose.
    pub(super) fn learn(&mut self, ep: &mut Endpoint, message: &Message<'_>) {
        if message.lines(Name::Allow).next().is_some() {
            self.takes_update = message.has_tag(Name::Allow, "UPDATE");
        }
        self.learn_abilities(message);
        self.learn_identity(ep, message);
    }
}
