//! Transfers as a telephone sees them: it is sent on, or sends us on (RFC 3515, RFC 3891).

use super::text::{header, uri};
use super::{Dialog, DialogState, Peer};
use tapi::Time;

/// What a peer does when it is asked to talk to somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnRefer {
    /// It refuses: `405 Method Not Allowed`.
    Refuse(String),
    /// It goes there, and this is what it is told: `200 OK`, `486 Busy Here`.
    Go(String),
}

impl Peer {
    /// A request within a call whose body is a fragment of a message, or nothing.
    fn request_with(
        &mut self,
        now: Time,
        what: &str,
        (call, dialog): (&str, &mut Dialog),
        headers: &str,
        fragment: &str,
    ) {
        dialog.sequence += 1;
        let branch = format!("z9hG4bKp{}", self.number());
        let bare = self.request(what, dialog, call, dialog.sequence, &branch, "");
        let (head, _) = bare.rsplit_once("Content-Length:").unwrap_or((&bare, ""));
        let kind = if fragment.is_empty() { "" } else { "Content-Type: message/sipfrag;version=2.0\r\n" };
        let text = format!("{head}{headers}{kind}Content-Length: {}\r\n\r\n{fragment}", fragment.len());
        let key = format!("{} {what}", dialog.sequence);
        self.repeat(now, call, &key, text);
    }

    /// Sends the other end of a call to somebody else.
    pub fn refer(&mut self, now: Time, call: &str, to: &str) {
        let Some(mut dialog) = self.dialogs.remove(call) else { return };
        if dialog.state == DialogState::Up {
            let headers = format!("Refer-To: <{to}>\r\nReferred-By: <{}>\r\n", self.contact());
            self.request_with(now, "REFER", (call, &mut dialog), &headers, "");
        }
        self.dialogs.insert(call.into(), dialog);
    }

    /// The other end of a call sends us on.
    pub(super) fn referred(&mut self, now: Time, call: String, mut dialog: Dialog, message: &str) {
        let outcome = match self.on_refer.clone() {
            OnRefer::Refuse(status) => {
                self.final_answer(now, message, &status, "");
                self.dialogs.insert(call, dialog);
                return;
            }
            OnRefer::Go(outcome) => outcome,
        };
        let to = header(message, "Refer-To").unwrap_or_default().to_owned();
        dialog.referred_to = Some(uri(&to).to_owned());
        self.final_answer(now, message, "202 Accepted", "");
        let mut tell = |peer: &mut Peer, state: &str, line: &str| {
            let headers = format!("Event: refer\r\nSubscription-State: {state}\r\n");
            let fragment = format!("SIP/2.0 {line}\r\n");
            peer.request_with(now, "NOTIFY", (&call, &mut dialog), &headers, &fragment);
        };
        tell(self, "active;expires=60", "100 Trying");
        tell(self, "terminated;reason=noresource", &outcome);
        self.dialogs.insert(call, dialog);
        if outcome.starts_with('2') {
            self.replaced(now, &to);
        }
    }

    /// Somebody takes the place of the other end in a call of ours: the call with that one is over.
    fn replaced(&mut self, now: Time, refer_to: &str) {
        let Some((_, replaces)) = refer_to.split_once("Replaces=") else { return };
        let name = replaces.split(['%', '>', '&']).next().unwrap_or_default();
        let known = |call: &&String| call.split('@').next() == Some(name) || call.as_str() == name;
        let Some(call) = self.dialogs.keys().find(known).cloned() else { return };
        if let Some(mut dialog) = self.dialogs.remove(&call) {
            if dialog.state == DialogState::Up {
                self.bye(now, &call, &mut dialog);
            }
            self.dialogs.insert(call, dialog);
        }
    }

    /// News of where we sent the other end; once it is there, our call with it is over.
    pub(super) fn notified(&mut self, now: Time, call: String, mut dialog: Dialog, message: &str) {
        self.final_answer(now, message, "200 OK", "");
        let fragment = message.split("\r\n\r\n").nth(1).unwrap_or_default().lines().next().unwrap_or_default();
        dialog.news.push(fragment.trim_start_matches("SIP/2.0 ").to_owned());
        if fragment.starts_with("SIP/2.0 2") && dialog.state == DialogState::Up {
            self.bye(now, &call, &mut dialog);
        }
        self.dialogs.insert(call, dialog);
    }
}
