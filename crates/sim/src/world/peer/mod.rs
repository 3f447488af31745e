//! A SIP user agent that none of the project's SIP code helps to write: text in, text out, as a telephone at the other
//! end of a trunk. It repeats what gets no answer, so it also works over a net that loses datagrams.

mod audio;
mod refer;
mod text;

pub use audio::Audio;
pub use refer::OnRefer;

use crate::net::Datagram;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;
use tapi::Time;
use text::{branch, describe, description, finish, header, method, response, status, uri};

/// T1 of RFC 3261.
const T1: Duration = Duration::from_millis(500);
/// Payload type of telephone events in our descriptions.
const EVENTS: u8 = 101;

/// What a peer does with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// It rings, and answers after so long.
    Answer(Duration),
    /// It rings and rings.
    Ring,
    /// It refuses at once: `486 Busy Here`.
    Refuse(String),
}

/// A call of a peer.
#[derive(Debug)]
pub struct Dialog {
    /// How far it is.
    pub state: DialogState,
    /// What the other end wants: `sendrecv`, or `sendonly` while it holds us.
    pub their_direction: String,
    /// Its audio.
    pub audio: Audio,
    /// Where the other end sent us.
    pub referred_to: Option<String>,
    /// What the other end told of where we sent it: `100 Trying`, `200 OK`.
    pub news: Vec<String>,
    local: String,
    remote: String,
    target: String,
    rtp: SocketAddr,
    remote_rtp: Option<SocketAddr>,
    sequence: u32,
    /// The INVITE that made it: ours or theirs.
    invite: String,
    our_direction: String,
    version: u32,
}

/// How far a call of a peer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialogState {
    /// Our INVITE is out; the highest status that came.
    Calling(u16),
    /// Their INVITE is in; when it is answered.
    Ringing(Option<Time>),
    /// Answered.
    Up,
    /// Over, with the final status or `BYE`.
    Over(String),
}

/// Something that is repeated until it is answered.
#[derive(Debug)]
struct Repeat {
    /// Call-ID and CSeq.
    key: (String, String),
    text: String,
    at: Time,
    wait: Duration,
    until: Time,
}

/// The user agent.
#[derive(Debug)]
pub struct Peer {
    address: SocketAddr,
    server: SocketAddr,
    /// What it does with the calls it gets.
    pub policy: Policy,
    /// What it does when it is sent on.
    pub on_refer: OnRefer,
    dialogs: BTreeMap<String, Dialog>,
    repeats: Vec<Repeat>,
    /// Final answers to requests, by branch and method.
    answers: BTreeMap<(String, String), String>,
    out: VecDeque<Datagram>,
    next: u32,
    /// The first lines of all messages: `true` for those that were sent.
    pub ladder: Vec<(Time, bool, String)>,
}

impl Peer {
    /// A user agent at an address, whose trunk leads to `server`.
    pub fn new(address: SocketAddr, server: SocketAddr, policy: Policy) -> Peer {
        Peer {
            address,
            server,
            policy,
            on_refer: OnRefer::Refuse("405 Method Not Allowed".into()),
            dialogs: BTreeMap::new(),
            repeats: Vec::new(),
            answers: BTreeMap::new(),
            out: VecDeque::new(),
            next: 1,
            ladder: Vec::new(),
        }
    }

    /// Whether this is one of its addresses.
    pub fn has(&self, address: SocketAddr) -> bool {
        self.address == address || self.dialogs.values().any(|dialog| dialog.rtp == address)
    }

    /// A call, by its Call-ID.
    pub fn dialog(&self, call: &str) -> Option<&Dialog> {
        self.dialogs.get(call)
    }

    /// The audio of a call.
    pub fn audio(&mut self, call: &str) -> Option<&mut Audio> {
        self.dialogs.get_mut(call).map(|dialog| &mut dialog.audio)
    }

    /// The calls that are not over.
    pub fn live(&self) -> Vec<String> {
        let live = |(_, dialog): &(&String, &Dialog)| !matches!(dialog.state, DialogState::Over(_));
        self.dialogs.iter().filter(live).map(|(call, _)| call.clone()).collect()
    }

    fn rtp_address(&self, number: u32) -> SocketAddr {
        SocketAddr::new(self.address.ip(), 30_000 + u16::try_from(number * 2 % 20_000).unwrap_or(0))
    }

    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn new_dialog(&mut self, state: DialogState, local: String, remote: String, invite: String) -> Dialog {
        let number = self.number();
        Dialog {
            state,
            their_direction: "sendrecv".into(),
            audio: Audio::new(number, EVENTS),
            referred_to: None,
            news: Vec::new(),
            local,
            remote,
            target: String::new(),
            rtp: self.rtp_address(number),
            remote_rtp: None,
            sequence: 1,
            invite,
            our_direction: "sendrecv".into(),
            version: 1,
        }
    }

    fn contact(&self) -> String {
        format!("sip:peer@{}", self.address)
    }

    fn request(&mut self, what: &str, dialog: &Dialog, call: &str, sequence: u32, branch: &str, body: &str) -> String {
        let Dialog { local, remote, target, .. } = dialog;
        finish(
            format!(
                "{what} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch={branch};rport\r\nMax-Forwards: 70\r\n\
                 From: {local}\r\nTo: {remote}\r\nCall-ID: {call}\r\nCSeq: {sequence} {what}\r\nContact: <{}>\r\n",
                self.address,
                self.contact()
            ),
            body,
        )
    }

    /// Calls a user of the server, and returns the Call-ID.
    pub fn invite(&mut self, now: Time, user: &str) -> String {
        let number = self.number();
        let call = format!("peer-{number}@{}", self.address.ip());
        let local = format!("\"Alice\" <sip:alice@{}>;tag=p{number}", self.address.ip());
        let target = format!("sip:{user}@{}", self.server);
        let mut dialog = self.new_dialog(DialogState::Calling(0), local, format!("<{target}>"), String::new());
        dialog.target = target;
        let body = describe(dialog.rtp, EVENTS, 1, "sendrecv");
        let branch = format!("z9hG4bKp{number}");
        dialog.invite = self.request("INVITE", &dialog, &call, 1, &branch, &body);
        self.repeat(now, &call, "1 INVITE", dialog.invite.clone());
        self.dialogs.insert(call.clone(), dialog);
        call
    }

    /// Answers a call that rings.
    pub fn answer(&mut self, now: Time, call: &str) {
        let Some(mut dialog) = self.dialogs.remove(call) else { return };
        if matches!(dialog.state, DialogState::Ringing(_)) {
            dialog.state = DialogState::Up;
            dialog.audio.start(now);
            let body = describe(dialog.rtp, dialog.audio.events.unwrap_or(EVENTS), 1, "sendrecv");
            self.final_answer(now, &dialog.invite, "200 OK", &body);
        }
        self.dialogs.insert(call.into(), dialog);
    }

    /// Ends a call, whatever its state.
    pub fn hang_up(&mut self, now: Time, call: &str) {
        let Some(mut dialog) = self.dialogs.remove(call) else { return };
        match dialog.state.clone() {
            DialogState::Up => self.bye(now, call, &mut dialog),
            DialogState::Ringing(_) => {
                self.final_answer(now, &dialog.invite, "603 Decline", "");
                dialog.state = DialogState::Over("603".into());
            }
            DialogState::Calling(0) => (),
            DialogState::Calling(_) => {
                let branch = branch(&dialog.invite).to_owned();
                let first = Dialog { remote: format!("<{}>", dialog.target), ..self.placeholder(&dialog) };
                let cancel = self.request("CANCEL", &first, call, 1, &branch, "");
                self.repeat(now, call, "1 CANCEL", cancel);
            }
            DialogState::Over(_) => (),
        }
        self.dialogs.insert(call.into(), dialog);
    }

    fn placeholder(&mut self, dialog: &Dialog) -> Dialog {
        let mut copy =
            self.new_dialog(dialog.state.clone(), dialog.local.clone(), dialog.remote.clone(), String::new());
        copy.target = dialog.target.clone();
        copy
    }

    fn bye(&mut self, now: Time, call: &str, dialog: &mut Dialog) {
        self.in_dialog(now, "BYE", call, dialog, "");
        dialog.state = DialogState::Over("BYE".into());
        dialog.audio.stop();
    }

    fn in_dialog(&mut self, now: Time, what: &str, call: &str, dialog: &mut Dialog, body: &str) {
        dialog.sequence += 1;
        let branch = format!("z9hG4bKp{}", self.number());
        let text = self.request(what, dialog, call, dialog.sequence, &branch, body);
        let key = format!("{} {what}", dialog.sequence);
        self.repeat(now, call, &key, text);
    }

    /// Holds or retrieves a call, by a new INVITE.
    pub fn hold(&mut self, now: Time, call: &str, hold: bool) {
        let Some(mut dialog) = self.dialogs.remove(call) else { return };
        if dialog.state == DialogState::Up {
            dialog.our_direction = if hold { "sendonly" } else { "sendrecv" }.into();
            dialog.version += 1;
            let events = dialog.audio.events.unwrap_or(EVENTS);
            let body = describe(dialog.rtp, events, dialog.version, &dialog.our_direction);
            self.in_dialog(now, "INVITE", call, &mut dialog, &body);
        }
        self.dialogs.insert(call.into(), dialog);
    }

    fn send(&mut self, now: Time, text: &str) {
        self.ladder.push((now, true, text.lines().next().unwrap_or_default().to_owned()));
        let bytes = text.as_bytes().to_vec();
        self.out.push_back(Datagram { from: self.address, to: self.server, bytes });
    }

    fn repeat(&mut self, now: Time, call: &str, key: &str, text: String) {
        self.send(now, &text);
        let key = (call.to_owned(), key.to_owned());
        self.repeats.push(Repeat { key, text, at: now + T1, wait: T1, until: now + T1 * 64 });
    }

    fn heard_of(&mut self, call: &str, key: &str) {
        self.repeats.retain(|repeat| repeat.key.0 != call || repeat.key.1 != key);
    }

    /// A final answer: kept for repeated requests, and repeated itself until its ACK where the request is an INVITE.
    fn final_answer(&mut self, now: Time, request: &str, status: &str, body: &str) {
        let tag = format!("q{}", self.address.port());
        let text = response(request, status, &tag, &self.contact(), body);
        self.answers.insert((branch(request).to_owned(), method(request).to_owned()), text.clone());
        if method(request) == "INVITE" {
            let call = header(request, "Call-ID").unwrap_or("").to_owned();
            let sequence = header(request, "CSeq").unwrap_or("").split(' ').next().unwrap_or("").to_owned();
            self.repeat(now, &call, &format!("{sequence} ACK"), text);
        } else {
            self.send(now, &text);
        }
    }

    /// The next datagram to send.
    pub fn transmit(&mut self) -> Option<Datagram> {
        self.out.pop_front()
    }

    /// When it wants [`Peer::timeout`].
    pub fn poll_timeout(&self) -> Option<Time> {
        let repeats = self.repeats.iter().map(|repeat| repeat.at);
        let dialogs = self.dialogs.values().flat_map(|dialog| {
            let answer = if let DialogState::Ringing(at) = dialog.state { at } else { None };
            [answer, dialog.audio.poll_timeout()]
        });
        repeats.chain(dialogs.flatten()).min()
    }

    /// The deadline passed.
    pub fn timeout(&mut self, now: Time) {
        self.repeats.retain(|repeat| repeat.until > now);
        let mut due = Vec::new();
        for repeat in self.repeats.iter_mut().filter(|repeat| repeat.at <= now) {
            repeat.wait = (repeat.wait * 2).min(T1 * 8);
            repeat.at = now + repeat.wait;
            due.push(repeat.text.clone());
        }
        due.iter().for_each(|text| self.send(now, text));
        let ringing: Vec<String> = self
            .dialogs
            .iter()
            .filter(|(_, dialog)| matches!(dialog.state, DialogState::Ringing(Some(at)) if at <= now))
            .map(|(call, _)| call.clone())
            .collect();
        ringing.iter().for_each(|call| self.answer(now, call));
        for dialog in self.dialogs.values_mut() {
            while let Some(bytes) = dialog.audio.packet(now) {
                if let Some(to) = dialog.remote_rtp.filter(|_| dialog.their_direction != "sendonly") {
                    self.out.push_back(Datagram { from: dialog.rtp, to, bytes });
                }
            }
        }
    }

    /// A datagram arrived at one of its addresses.
    pub fn datagram(&mut self, now: Time, _from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        if to != self.address {
            if let Some(dialog) = self.dialogs.values_mut().find(|dialog| dialog.rtp == to) {
                dialog.audio.hear(now, bytes);
            }
            return;
        }
        let message = String::from_utf8_lossy(bytes).into_owned();
        self.ladder.push((now, false, message.lines().next().unwrap_or_default().to_owned()));
        match status(&message) {
            Some(status) => self.take_response(now, &message, status),
            None => self.take_request(now, &message),
        }
    }

    fn take_response(&mut self, now: Time, message: &str, status: u16) {
        let call = header(message, "Call-ID").unwrap_or("").to_owned();
        let sequence = header(message, "CSeq").unwrap_or("").to_owned();
        self.heard_of(&call, &sequence);
        if method(message) != "INVITE" {
            return;
        }
        let Some(mut dialog) = self.dialogs.remove(&call) else { return };
        if status >= 200 {
            self.acknowledge(now, &call, &mut dialog, message, status);
        } else if let DialogState::Calling(highest) = &mut dialog.state {
            *highest = status.max(*highest);
        }
        if let Some(theirs) = description(message) {
            dialog.remote_rtp = Some(theirs.address);
            dialog.audio.events = theirs.events;
        }
        self.dialogs.insert(call, dialog);
    }

    fn acknowledge(&mut self, now: Time, call: &str, dialog: &mut Dialog, message: &str, status: u16) {
        let sequence = header(message, "CSeq").and_then(|cseq| cseq.split(' ').next()?.parse().ok()).unwrap_or(1);
        let first = dialog.state.clone();
        if status < 300 {
            dialog.remote = header(message, "To").unwrap_or("").to_owned();
            dialog.target = header(message, "Contact").map_or(dialog.target.as_str(), uri).to_owned();
            let branch = format!("z9hG4bKp{}", self.number());
            let ack = self.request("ACK", dialog, call, sequence, &branch, "");
            self.send(now, &ack);
            if matches!(first, DialogState::Calling(_)) {
                dialog.state = DialogState::Up;
                dialog.audio.start(now);
            }
        } else {
            let mut to = self.placeholder(dialog);
            to.remote = header(message, "To").unwrap_or("").to_owned();
            let branch = branch(message).to_owned();
            let ack = self.request("ACK", &to, call, sequence, &branch, "");
            self.send(now, &ack);
            if matches!(first, DialogState::Calling(_)) {
                dialog.state = DialogState::Over(status.to_string());
            }
        }
    }

    fn take_request(&mut self, now: Time, message: &str) {
        let call = header(message, "Call-ID").unwrap_or("").to_owned();
        let what = message.split(' ').next().unwrap_or("").to_owned();
        if what == "ACK" {
            let sequence = header(message, "CSeq").and_then(|cseq| cseq.split(' ').next()).unwrap_or("").to_owned();
            self.heard_of(&call, &format!("{sequence} ACK"));
            return;
        }
        if let Some(text) = self.answers.get(&(branch(message).to_owned(), what.clone())).cloned() {
            self.send(now, &text);
            return;
        }
        match (what.as_str(), self.dialogs.remove(&call)) {
            ("INVITE", None) => self.called(now, call, message),
            ("INVITE", Some(dialog)) if dialog.state == DialogState::Up => self.changed(now, call, dialog, message),
            ("BYE", Some(mut dialog)) => {
                dialog.state = DialogState::Over("BYE".into());
                dialog.audio.stop();
                self.final_answer(now, message, "200 OK", "");
                self.dialogs.insert(call, dialog);
            }
            ("CANCEL", Some(mut dialog)) => {
                self.final_answer(now, message, "200 OK", "");
                if matches!(dialog.state, DialogState::Ringing(_)) {
                    dialog.state = DialogState::Over("487".into());
                    self.final_answer(now, &dialog.invite, "487 Request Terminated", "");
                }
                self.dialogs.insert(call, dialog);
            }
            ("REFER", Some(dialog)) if dialog.state == DialogState::Up => self.referred(now, call, dialog, message),
            ("NOTIFY", Some(dialog)) => self.notified(now, call, dialog, message),
            ("OPTIONS", dialog) => {
                self.final_answer(now, message, "200 OK", "");
                self.dialogs.extend(dialog.map(|dialog| (call, dialog)));
            }
            ("INVITE", Some(dialog)) => {
                // Its INVITE again: it rings already.
                self.dialogs.insert(call, dialog);
            }
            (_, dialog) => {
                self.final_answer(now, message, "481 Call/Transaction Does Not Exist", "");
                self.dialogs.extend(dialog.map(|dialog| (call, dialog)));
            }
        }
    }

    fn called(&mut self, now: Time, call: String, message: &str) {
        let tag = format!(";tag=q{}", self.address.port());
        let local = header(message, "To").unwrap_or("").to_owned() + &tag;
        let remote = header(message, "From").unwrap_or("").to_owned();
        let answer_at = match &self.policy {
            Policy::Answer(after) => Some(now + *after),
            Policy::Ring => None,
            Policy::Refuse(status) => {
                let status = status.clone();
                self.final_answer(now, message, &status, "");
                return;
            }
        };
        let mut dialog = self.new_dialog(DialogState::Ringing(answer_at), local, remote, message.to_owned());
        dialog.target = header(message, "Contact").map(uri).unwrap_or_default().to_owned();
        if let Some(theirs) = description(message) {
            dialog.remote_rtp = Some(theirs.address);
            dialog.audio.events = theirs.events;
        }
        let ringing = response(message, "180 Ringing", &tag[5..], &self.contact(), "");
        self.send(now, &ringing);
        self.dialogs.insert(call, dialog);
    }

    /// A new INVITE in the call: hold, retrieve.
    fn changed(&mut self, now: Time, call: String, mut dialog: Dialog, message: &str) {
        if let Some(theirs) = description(message) {
            dialog.remote_rtp = Some(theirs.address);
            dialog.their_direction = theirs.direction;
        }
        let ours = match dialog.their_direction.as_str() {
            "sendonly" => "recvonly",
            "recvonly" => "sendonly",
            "inactive" => "inactive",
            _ => "sendrecv",
        };
        dialog.version += 1;
        let body = describe(dialog.rtp, dialog.audio.events.unwrap_or(EVENTS), dialog.version, ours);
        self.final_answer(now, message, "200 OK", &body);
        self.dialogs.insert(call, dialog);
    }
}
