//! A binding at a registrar that is never given up (RFC 3261 section 10, RFC 3327, RFC 3608, RFC 5626, RFC 6140).
//!
//! ```text
//!  Idle ─► Asking ─2xx─► Bound ─refresh─► Asking …        Leaving ─► Gone
//!            ▲ └─ anything else ─► Waiting ─┘
//! ```

use crate::account::Register;
use crate::endpoint::{Endpoint, Owner, Purpose};
use crate::locate::Destination;
use crate::message::{Draft, Message, Method, Name, NameAddr, Params, Uri};
use crate::transport::{Peer, Transport};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tapi::Time;
use tspi::{PortId, Random};

/// The longest wait after a failure that nobody asked for, in seconds (RFC 5626 section 4.5).
const LONGEST_WAIT_S: u64 = 1_800;
/// The longest wait that a peer can ask for, in seconds.
const LONGEST_RETRY_AFTER_S: u64 = 86_400;
/// Redirections and new addresses that are followed in a row.
const MAX_TURNS: u8 = 4;
/// A connection to the registrar that does not hold for so long is not made anew at once.
const SHORT: Duration = Duration::from_secs(60);
/// Routes of the registrar's that are kept.
const MAX_ROUTES: usize = 16;

/// Where the binding is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    /// Nothing was sent yet.
    Idle,
    /// REGISTER is on its way; `out`: why the line is out of service meanwhile.
    Asking { tx: u64, out: Option<String> },
    /// It holds; it is renewed at this time.
    Bound { refresh: Time },
    /// It failed; it is tried again at this time.
    Waiting { until: Time, reason: String },
    /// It is being removed.
    Leaving { tx: u64 },
    /// It is removed, or there is nobody to remove it.
    Gone,
}

/// A line's binding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Registration {
    state: State,
    line: u32,
    call_id: String,
    tag: String,
    cseq: u32,
    expires_s: u32,
    failures: u32,
    turns: u8,
    /// Whether flows of RFC 5626 are asked for: not any more once a hop said that it cannot.
    flows: bool,
    /// Where a redirection sent us: the Request-URI and the next hop.
    redirected: Option<(String, String)>,
    /// A Contact that is to be removed with the next request.
    former: Option<String>,
    /// Who bound it last, and when.
    registrar: Option<(Peer, Time)>,
}

impl Registration {
    pub fn new(random: &mut Random, line: u32, config: &Register) -> Registration {
        Registration {
            state: State::Idle,
            line,
            call_id: random.token(24),
            tag: random.token(12),
            cseq: 0,
            expires_s: config.expires_s,
            failures: 0,
            turns: 0,
            flows: config.instance.is_some(),
            redirected: None,
            former: None,
            registrar: None,
        }
    }

    /// Why the line cannot be used; none: it can.
    pub fn out(&self) -> Option<String> {
        match &self.state {
            State::Idle => Some("not registered yet".to_owned()),
            State::Asking { out, .. } => out.clone(),
            State::Bound { .. } => None,
            State::Waiting { reason, .. } => Some(reason.clone()),
            State::Leaving { .. } | State::Gone => Some("unregistered".to_owned()),
        }
    }

    pub fn deadline(&self) -> Option<Time> {
        match &self.state {
            State::Bound { refresh } => Some(*refresh),
            State::Waiting { until, .. } => Some(*until),
            State::Idle | State::Asking { .. } | State::Leaving { .. } | State::Gone => None,
        }
    }

    /// Whether its last word is said.
    pub fn is_gone(&self) -> bool {
        !matches!(self.state, State::Leaving { .. })
    }

    /// The way to the network is there, or there again.
    pub fn on_open(&mut self, ep: &mut Endpoint, now: Time) {
        match self.state {
            State::Idle | State::Waiting { .. } => self.seek(ep, now),
            State::Asking { .. } | State::Bound { .. } => {}
            State::Leaving { .. } | State::Gone => {}
        }
    }

    /// The registrar was gone and is back: whether it still knows the binding nobody can tell.
    pub fn on_return(&mut self, ep: &mut Endpoint, now: Time) {
        if matches!(self.state, State::Bound { .. }) {
            self.turns = 0;
            self.ask(ep, now, Some("the registrar is back, and asked for the binding".to_owned()));
        }
    }

    pub fn on_wake(&mut self, ep: &mut Endpoint, now: Time) {
        match self.state {
            State::Bound { refresh } if refresh <= now => {
                self.turns = 0;
                self.seek(ep, now);
            }
            State::Waiting { until, .. } if until <= now => self.seek(ep, now),
            _ => {}
        }
    }

    fn config<'a>(&self, ep: &'a Endpoint) -> Option<(&'a crate::LineConfig, &'a Register)> {
        let config = &ep.lines.get(self.line as usize)?.config;
        Some((config, config.account.register.as_ref()?))
    }

    /// Asks, after the registrar was located anew.
    fn seek(&mut self, ep: &mut Endpoint, now: Time) {
        let out = match &self.state {
            State::Bound { .. } => None,
            _ => self.out(),
        };
        self.ask(ep, now, out);
    }

    /// Where requests go: a redirection, the proxy, the registrar.
    fn next_hop(&self, ep: &Endpoint) -> Option<Destination> {
        let (line, register) = self.config(ep)?;
        let registrar = register.registrar.as_deref().unwrap_or(&line.domain);
        let redirected = self.redirected.as_ref().map(|(_, hop)| hop.as_str());
        Destination::parse(redirected.or(line.proxy.as_deref()).unwrap_or(registrar))
    }

    fn ask(&mut self, ep: &mut Endpoint, now: Time, out: Option<String>) {
        match self.send(ep, now, self.expires_s) {
            Some(tx) => self.state = State::Asking { tx, out },
            None => self.fail(ep, now, "the registrar's address cannot be read".to_owned(), Retry::Late),
        }
    }

    fn send(&mut self, ep: &mut Endpoint, now: Time, expires_s: u32) -> Option<u64> {
        let to = self.next_hop(ep)?;
        self.cseq = self.cseq.saturating_add(1);
        let (via, branch) = ep.via();
        let contact = self.own_contact(ep);
        let (line, register) = self.config(ep)?;
        let uri = self.redirected.as_ref().map_or_else(|| format!("sip:{}", line.domain), |(uri, _)| uri.clone());
        let aor = format!("<sip:{}@{}>", line.user, line.domain);
        let mut draft = Draft::request(&Method::Register, &uri)
            .header("Via", via)
            .header("Max-Forwards", "70")
            .header("From", format!("{aor};tag={}", self.tag))
            .header("To", aor)
            .header("Call-ID", &self.call_id)
            .header("CSeq", format!("{} REGISTER", self.cseq))
            .header("Contact", format!("{}{};expires={expires_s}", contact, self.parameters(register)));
        if let Some(former) = &self.former {
            draft.push("Contact", format!("{former};expires=0"));
        }
        draft.push("Expires", expires_s.to_string());
        draft.push("Supported", if self.flows { "path, outbound" } else { "path" });
        if register.bulk {
            draft = draft.header("Require", "gin").header("Proxy-Require", "gin");
        }
        let bytes = ep.finish(draft, None);
        let owner = Owner { line: self.line, call: None, purpose: Purpose::Register };
        Some(ep.request(now, owner, Method::Register, &branch, to, bytes))
    }

    fn own_contact(&self, ep: &Endpoint) -> String {
        let bulk = self.config(ep).is_some_and(|(_, register)| register.bulk);
        let uri = ep.contact_uri(self.line);
        match uri.split_once('@') {
            // All numbers of the domain: the URI has no user (RFC 6140 section 5.2).
            Some((_, host)) if bulk => format!("<sip:{host};bnc>"),
            _ => format!("<{uri}>"),
        }
    }

    fn parameters(&self, register: &Register) -> String {
        match &register.instance {
            Some(instance) if self.flows => format!(";reg-id=1;+sip.instance=\"<{instance}>\""),
            _ => String::new(),
        }
    }

    /// The number of the request that is sent again with credentials.
    pub fn next_cseq(&mut self) -> Option<u32> {
        self.cseq = self.cseq.saturating_add(1);
        Some(self.cseq)
    }

    pub fn on_response(&mut self, ep: &mut Endpoint, now: Time, tx: u64, message: &Message<'_>, from: Peer) {
        let status = message.status().unwrap_or_default();
        let out = match &self.state {
            State::Asking { tx: ours, out } if *ours == tx && status >= 200 => out.clone(),
            State::Leaving { tx: ours } if *ours == tx && status >= 200 => {
                self.state = State::Gone;
                return;
            }
            _ => return,
        };
        let turn = self.turns < MAX_TURNS;
        match status {
            200..=299 => self.on_success(ep, now, out, (message, from)),
            301 | 302 | 305 if turn && self.redirect(message) => {
                self.turns += 1;
                self.seek(ep, now);
            }
            423 if turn && self.lengthen(message) => {
                self.turns += 1;
                self.ask(ep, now, out);
            }
            439 if self.flows => {
                self.flows = false;
                self.ask(ep, now, out);
            }
            401 | 407 => {
                let words = if self.has_credentials(ep) {
                    "the registrar refuses our password"
                } else {
                    "the registrar wants a password"
                };
                self.fail(ep, now, format!("{words}: {}", message.summary()), Retry::Late);
            }
            403 => self.fail(ep, now, format!("the registrar forbids it: {}", message.summary()), Retry::Late),
            _ => {
                let retry = retry_after(message).map_or(Retry::Soon, Retry::At);
                self.fail(ep, now, format!("the registrar refuses: {}", message.summary()), retry);
            }
        }
    }

    fn has_credentials(&self, ep: &Endpoint) -> bool {
        self.config(ep).is_some_and(|(line, _)| !line.account.credentials.is_empty())
    }

    /// No answer came, or the request could not be sent for this reason.
    pub fn on_no_response(&mut self, ep: &mut Endpoint, now: Time, tx: u64, why: Option<&str>) {
        match &self.state {
            State::Asking { tx: ours, .. } if *ours == tx => {
                let host = self.next_hop(ep).map_or_else(String::new, |to| to.host);
                let reason = match why {
                    Some(why) => format!("the registrar {host} is not reached: {why}"),
                    None => format!("no answer from the registrar {host}"),
                };
                self.fail(ep, now, reason, Retry::Soon);
            }
            State::Leaving { tx: ours } if *ours == tx => self.state = State::Gone,
            _ => {}
        }
    }

    fn on_success(&mut self, ep: &mut Endpoint, now: Time, out: Option<String>, (message, from): (&Message<'_>, Peer)) {
        self.registrar = Some((from, now));
        let Some(granted) = self.granted(ep, message).filter(|seconds| *seconds > 0) else {
            let reason = "the registrar accepted, but does not list our Contact".to_owned();
            return self.fail(ep, now, reason, Retry::Soon);
        };
        self.former = None;
        if let Some(line) = ep.lines.get_mut(self.line as usize) {
            let routes = message.values(Name::Other("Service-Route")).take(MAX_ROUTES);
            let readable = routes.filter(|route| NameAddr::parse(route).is_some());
            line.reach.service_route = readable.map(|route| String::from_utf8_lossy(route).into_owned()).collect();
        }
        self.see(ep, message, from);
        if self.turns < MAX_TURNS && self.moved(ep) {
            self.turns += 1;
            return self.ask(ep, now, out);
        }
        self.failures = 0;
        // A tenth, and a minute where there is one.
        let margin = (granted / 10).max(60.min(granted / 2));
        self.state = State::Bound { refresh: now + Duration::from_secs(u64::from(granted - margin)) };
    }

    /// For how many seconds our own Contact is bound: its parameter goes before the header. A registrar that lists no
    /// Contact at all is believed.
    fn granted(&self, ep: &Endpoint, message: &Message<'_>) -> Option<u32> {
        let header = message.text(Name::Other("Expires")).and_then(|text| text.trim().parse().ok());
        let instance = self.config(ep).and_then(|(_, register)| register.instance.as_deref());
        let mut listed = false;
        for value in message.values(Name::Contact) {
            listed = true;
            let Some(contact) = NameAddr::parse(value) else {
                continue;
            };
            let by_instance = instance.is_some_and(|own| {
                contact.params.text("+sip.instance").is_some_and(|text| text.trim_matches(['"', '<', '>']) == own)
            });
            if by_instance || same_contact(ep, self.line, contact.uri) {
                let own: Option<u32> = contact.params.text("expires").and_then(|text| text.parse().ok());
                return own.or(header).or(Some(self.expires_s));
            }
        }
        if listed { None } else { header.or(Some(self.expires_s)) }
    }

    /// Takes the address at which the registrar sees us, unless our address from outside is known by other means.
    fn see(&self, ep: &mut Endpoint, message: &Message<'_>, from: Peer) {
        let listen = ep.config.listen;
        let rewrite = self.config(ep).is_some_and(|(_, register)| register.rewrite_contact);
        let via = message.via().filter(|via| via.transport.eq_ignore_ascii_case("UDP"));
        let seen = via.and_then(|via| seen_at(&via.params, listen));
        let outside = ep.external_to(from.ip()).is_some();
        if let Some(line) = ep.lines.get_mut(self.line as usize)
            && (outside || rewrite && seen.is_some())
        {
            line.reach.public = seen.filter(|seen| !outside && *seen != listen);
        }
    }

    /// Whether the registrar was told another Contact than it would be told now; that one is to go.
    fn moved(&mut self, ep: &Endpoint) -> bool {
        let told = ep.lines.get(self.line as usize).and_then(|line| line.reach.told.as_deref());
        let (Some(told), Some((registrar, _))) = (told, self.registrar) else { return false };
        let transport = registrar.transport;
        let now = ep.contact_of(self.line, transport, registrar.ip());
        let uri = NameAddr::parse(told.as_bytes()).and_then(|told| Uri::parse(told.uri).ok());
        let same = |uri: &Uri<'_>| {
            uri.address() == Some(now.ip()) && uri.port.unwrap_or(transport.default_port()) == now.port()
        };
        if uri.as_ref().is_none_or(same) {
            return false;
        }
        self.former = Some(told.to_owned());
        true
    }

    /// A connection is gone. Where it was the registrar's way to us, no call can come any more: the binding is made anew over
    /// another (RFC 5626 section 4.5), at once unless it was short.
    pub fn on_cut(&mut self, ep: &mut Endpoint, now: Time, port: PortId) {
        let State::Bound { .. } = self.state else { return };
        let Some((registrar, since)) = self.registrar.filter(|(it, _)| it.connection == Some(port)) else { return };
        let transports = &ep.config.transports;
        let listens = match registrar.transport {
            Transport::Udp => true,
            Transport::Tcp => transports.tcp.is_some(),
            Transport::Tls => transports.tls.is_some(),
        };
        if listens && !self.flows {
            return;
        }
        self.registrar = None;
        if now.since(since) < SHORT {
            return self.fail(ep, now, "the connection to the registrar is gone".to_owned(), Retry::Soon);
        }
        self.turns = 0;
        self.ask(ep, now, None);
    }

    /// Our address from outside is another: the registrar is told, and the old Contact goes.
    pub fn on_moved(&mut self, ep: &mut Endpoint, now: Time) {
        if matches!(self.state, State::Bound { .. }) && self.moved(ep) {
            self.turns = 0;
            self.ask(ep, now, None);
        }
    }

    fn redirect(&mut self, message: &Message<'_>) -> bool {
        let Some(contact) = message.contact() else {
            return false;
        };
        let Some(uri) = contact.parsed().filter(|uri| !uri.host.is_empty()) else {
            return false;
        };
        let host = if uri.host.contains(':') { format!("[{}]", uri.host) } else { uri.host.to_owned() };
        let hop = format!("{host}:{}", uri.port.unwrap_or(5060));
        self.redirected = Some((format!("sip:{host}"), hop));
        true
    }

    fn lengthen(&mut self, message: &Message<'_>) -> bool {
        let least: Option<u32> = message.text(Name::Other("Min-Expires")).and_then(|text| text.trim().parse().ok());
        match least.filter(|least| *least > self.expires_s) {
            Some(least) => {
                self.expires_s = least;
                true
            }
            None => false,
        }
    }

    fn fail(&mut self, ep: &mut Endpoint, now: Time, reason: String, retry: Retry) {
        let base = self.config(ep).map_or(30, |(_, register)| u64::from(register.retry_s));
        self.failures = self.failures.saturating_add(1);
        self.redirected = None;
        self.turns = 0;
        let wait = match retry {
            Retry::At(seconds) => Duration::from_secs(seconds),
            Retry::Soon => back_off(&mut ep.random, base, self.failures - 1),
            // What only a person can mend is not asked for again and again.
            Retry::Late => back_off(&mut ep.random, base, self.failures.max(4) - 1),
        };
        self.state = State::Waiting { until: now + wait, reason };
    }

    /// Removes the binding, where there may be one.
    pub fn leave(&mut self, ep: &mut Endpoint, now: Time) {
        let bound = matches!(self.state, State::Bound { .. } | State::Asking { .. });
        let sent = if bound { self.send(ep, now, 0) } else { None };
        self.state = sent.map_or(State::Gone, |tx| State::Leaving { tx });
    }
}

/// When to try again.
enum Retry {
    Soon,
    Late,
    /// After so many seconds, as the far end asked.
    At(u64),
}

/// `min(1800, base * 2^failures)` seconds, of which a random half is left out (RFC 5626 section 4.5).
pub(crate) fn back_off(random: &mut Random, base_s: u64, failures: u32) -> Duration {
    let most = base_s.saturating_mul(1 << failures.min(16)).min(LONGEST_WAIT_S) * 1_000;
    Duration::from_millis(most / 2 + random.below(most / 2 + 1))
}

/// The seconds that a response asks to wait.
pub(crate) fn retry_after(message: &Message<'_>) -> Option<u64> {
    let text = message.text(Name::RetryAfter)?;
    let digits = text.trim().split(|character: char| !character.is_ascii_digit()).next()?;
    digits.parse::<u64>().ok().map(|seconds| seconds.clamp(1, LONGEST_RETRY_AFTER_S))
}

/// Where the far end saw our request come from (RFC 3581).
fn seen_at(params: &Params<'_>, listen: SocketAddr) -> Option<SocketAddr> {
    let received: Option<IpAddr> = params.text("received").and_then(|text| text.trim_matches(['[', ']']).parse().ok());
    let port: Option<u16> = params.text("rport").and_then(|text| text.parse().ok()).filter(|port| *port != 0);
    if received.is_none() && port.is_none() {
        return None;
    }
    let address = SocketAddr::new(received.unwrap_or(listen.ip()), port.unwrap_or(listen.port()));
    if address.ip().is_unspecified() { None } else { Some(address) }
}

/// Whether a listed URI is our Contact: as it went out, or with another address of ours.
fn same_contact(ep: &Endpoint, line: u32, listed: &str) -> bool {
    let told = ep.lines.get(line as usize).and_then(|line| line.reach.told.as_deref());
    let own = told.and_then(|told| NameAddr::parse(told.as_bytes())).map(|told| told.uri);
    match (own.map(Uri::parse), Uri::parse(listed)) {
        (Some(Ok(a)), Ok(b)) => {
            let same_host = a.host.eq_ignore_ascii_case(b.host) || a.address().is_some() && a.address() == b.address();
            let same = same_host && a.port.unwrap_or(5060) == b.port.unwrap_or(5060);
            a.user == b.user && (same || b.address().is_some_and(|ip| ep.is_contact(line, ip, b.port)))
        }
        _ => false,
    }
}
