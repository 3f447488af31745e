//! Offer and answer (RFC 3264) for one audio stream, as one user agent keeps them.

use super::codec::{encoding, is_voice, parameters};
use super::crypto::Crypto;
use super::fit::{Fit, Wanted, fit};
use super::{Media, Sdp, SdpError};
use crate::policy::{CallPolicy, Protection};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tspi::media::{Codec, Rtcp, Srtp};
use tspi::{Direction, Format, LocalRtp, Random, RemoteRtp, StreamId};

/// Our side of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    id: u64,
    version: u64,
    /// The highest version that was ever shown, refused offers included.
    highest: u64,
    local: LocalRtp,
    protection: Protection,
    ptime_ms: u32,
    /// Our wish: `SendOnly` while we hold.
    wish: Direction,
    /// Sections in their order, once there was an offer.
    sections: Vec<Section>,
    /// Payload types that were ever given out: they stay with their codec.
    bound: Vec<Format>,
    /// Our keys, as described.
    keys: Vec<Crypto>,
    /// What was described last, without the `o=` line.
    described: String,
    agreed: Option<Agreed>,
}

/// A section of the session: its place in the order never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Section {
    /// Our audio.
    Audio { protocol: String, mux: bool },
    /// One that is refused with port 0.
    Refused { kind: String, protocol: String, format: String },
}

/// What both sides agreed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreed {
    /// The far end, for the media provider.
    pub remote: RemoteRtp,
    /// Whether the far end does not want to hear us: it holds.
    pub held_by_peer: bool,
}

/// Why two sides do not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] SdpError),
    /// No audio section over RTP that is in use.
    #[error("no audio over RTP is offered")]
    NoAudio,
    /// No codec that we have.
    #[error("no common codec")]
    NoCodec,
    /// An address that cannot be sent to.
    #[error("no usable address in the session description")]
    NoAddress,
    /// Only protected audio, and the line has none.
    #[error("protected audio is offered, and this line has none")]
    Protected,
    /// Audio without protection that can be used.
    #[error("the audio is not protected in a way that we have")]
    NotProtected,
}

impl Session {
    /// A session of our own; nothing is described yet.
    pub fn new(id: u64, mut local: LocalRtp, policy: &CallPolicy) -> Session {
        local.formats = chosen(local.formats, &policy.codecs);
        Session {
            // Some readers take both for signed numbers.
            id: id >> 1,
            version: 1,
            highest: 1,
            local,
            protection: policy.srtp,
            ptime_ms: policy.ptime_ms.clamp(10, 60) / 10 * 10,
            wish: Direction::SendRecv,
            sections: Vec::new(),
            bound: Vec::new(),
            keys: Vec::new(),
            described: String::new(),
            agreed: None,
        }
    }

    /// Whether a line could take this offer, whatever its media will be.
    pub fn fits(description: &[u8], policy: &CallPolicy, v4: bool) -> Result<(), Misfit> {
        let all = [(Codec::Pcmu, 0), (Codec::Pcma, 8), (Codec::G722, 9), (Codec::Opus, 96)];
        let formats = chosen(all.map(|(codec, payload_type)| Format { codec, payload_type }).into(), &policy.codecs);
        let address = if v4 { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { IpAddr::V6(Ipv6Addr::LOCALHOST) };
        let local = LocalRtp { stream: StreamId(0), address, port: 1, rtcp_port: None, formats };
        let wanted = Wanted { local: &local, protection: policy.srtp, ptime_ms: 20, at: None, only: false };
        fit(&Sdp::parse(description)?, &wanted).map(|_| ())
    }

    /// What is agreed now.
    pub fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }

    /// Whether we hold.
    pub fn holds(&self) -> bool {
        self.wish == Direction::SendOnly
    }

    /// Hold, or no longer: takes effect with the next description.
    pub fn set_hold(&mut self, hold: bool) {
        self.wish = if hold { Direction::SendOnly } else { Direction::SendRecv };
    }

    /// A proposal was refused: its version is not used again for something else.
    pub fn burn(&mut self, refused: &Session) {
        self.highest = self.highest.max(refused.highest);
    }

    /// What was described last, once more and with the same version: no change (RFC 4028 section 7.4).
    pub fn again(&self) -> Vec<u8> {
        self.text()
    }

    /// The next description has another version, whatever it says: our address from outside is put in on its way.
    pub fn moved(&mut self) {
        self.highest += 1;
        self.version = self.highest;
    }

    /// An offer of all that we can (RFC 3264 section 5; section 8 when something is agreed already).
    pub fn offer(&mut self, random: &mut Random) -> Vec<u8> {
        if self.sections.is_empty() {
            let protocol = if self.protection == Protection::Required { "RTP/SAVP" } else { "RTP/AVP" };
            self.sections.push(Section::Audio { protocol: protocol.to_owned(), mux: true });
        }
        for section in &mut self.sections {
            if let Section::Audio { mux, .. } = section {
                *mux = true;
            }
        }
        if self.protection != Protection::Off && self.keys.is_empty() {
            self.keys = Crypto::all(random);
        }
        // What the far end already holds, we hold wholly (section 8.4).
        let direction = match &self.agreed {
            Some(agreed) if self.holds() && agreed.held_by_peer => Direction::Inactive,
            _ => self.wish,
        };
        let formats = self.local.formats.clone();
        self.describe(&formats, direction)
    }

    /// An answer (RFC 3264 section 6). Nothing changes when there is none.
    pub fn answer(&mut self, offer: &[u8], random: &mut Random) -> Result<(Vec<u8>, Agreed), Misfit> {
        let sdp = Sdp::parse(offer)?;
        let fit = fit(&sdp, &self.wanted(false))?;
        self.sections = sdp.media.iter().enumerate().map(|(at, media)| section(media, at == fit.at)).collect();
        self.keep_numbers(&fit.formats);
        let srtp = self.protect(&fit, random);
        let agreed = self.agree(&fit, &fit.formats, srtp);
        let direction = agreed.remote.direction;
        let answer = self.describe(&fit.formats, direction);
        self.agreed = Some(agreed.clone());
        Ok((answer, agreed))
    }

    /// Takes the answer to our offer.
    pub fn accept(&mut self, answer: &[u8]) -> Result<Agreed, Misfit> {
        let fit = fit(&Sdp::parse(answer)?, &self.wanted(true))?;
        let srtp = self.protected(&fit)?;
        let receive = self.local.formats.clone();
        let agreed = self.agree(&fit, &receive, srtp);
        self.agreed = Some(agreed.clone());
        Ok(agreed)
    }

    fn wanted(&self, only: bool) -> Wanted<'_> {
        let at = self.sections.iter().position(|section| matches!(section, Section::Audio { .. }));
        Wanted { local: &self.local, protection: self.protection, ptime_ms: self.ptime_ms, at, only }
    }

    /// Our key for an answer: the same while theirs is the same, else a new one.
    fn protect(&mut self, fit: &Fit, random: &mut Random) -> Option<Srtp> {
        let Some(theirs) = fit.crypto.first() else {
            self.keys.clear();
            return None;
        };
        let before = self.agreed.as_ref().and_then(|agreed| agreed.remote.srtp.clone());
        let srtp = match before.filter(|before| before.suite == theirs.suite && before.remote == theirs.key) {
            Some(same) => same,
            None => Srtp {
                suite: theirs.suite.clone(),
                local: Crypto::fresh(theirs.tag, theirs.suite.clone(), random).key,
                remote: theirs.key.clone(),
            },
        };
        self.keys = vec![Crypto { tag: theirs.tag, suite: srtp.suite.clone(), key: srtp.local.clone() }];
        Some(srtp)
    }

    /// The key out of an answer: of a tag and suite that we offered.
    fn protected(&mut self, fit: &Fit) -> Result<Option<Srtp>, Misfit> {
        let Some(theirs) = fit.crypto.first() else {
            self.keys.clear();
            return Ok(None);
        };
        let ours = self.keys.iter().find(|ours| ours.tag == theirs.tag && ours.suite == theirs.suite).cloned();
        let ours = ours.ok_or(Misfit::NotProtected)?;
        self.keys = vec![ours.clone()];
        Ok(Some(Srtp { suite: ours.suite, local: ours.key, remote: theirs.key.clone() }))
    }

    fn agree(&self, fit: &Fit, receive: &[Format], srtp: Option<Srtp>) -> Agreed {
        let number = |codec: &Codec| fit.formats.iter().find(|format| format.codec == *codec).map(|f| f.payload_type);
        let send = fit.formats.iter().find(|format| is_voice(&format.codec)).cloned();
        let send = send.unwrap_or(Format { codec: Codec::Pcmu, payload_type: 0 });
        let events = match send.codec {
            Codec::Opus => number(&Codec::TelephoneEvent48).or_else(|| number(&Codec::TelephoneEvent)),
            _ => number(&Codec::TelephoneEvent),
        };
        let theirs = fit.direction;
        let direction = match (self.wish.sends() && theirs.receives(), self.wish.receives() && theirs.sends()) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        };
        let rtcp = match (fit.mux, self.local.rtcp_port, fit.rtcp) {
            (true, ..) => Rtcp::Mux,
            (false, Some(_), Some(theirs)) => Rtcp::Apart(theirs),
            (false, ..) => Rtcp::None,
        };
        let noise = receive.iter().find(|format| format.codec == Codec::ComfortNoise);
        let remote = RemoteRtp {
            address: fit.address,
            send,
            receive: receive.to_vec(),
            events,
            direction,
            ptime_ms: fit.ptime_ms,
            rtcp,
            srtp,
            comfort_noise: number(&Codec::ComfortNoise).and(noise).map(|format| format.payload_type),
        };
        Agreed { remote, held_by_peer: !theirs.receives() }
    }

    /// A payload type that was given to a codec stays with it (RFC 3264 section 8.3.2): what the far end numbered we number
    /// alike, and what stood there before moves to a number that nobody had.
    fn keep_numbers(&mut self, agreed: &[Format]) {
        for format in agreed {
            if !self.bound.contains(format) && self.bound.len() < 128 {
                self.bound.push(format.clone());
            }
        }
        for at in 0..self.local.formats.len() {
            let Some(ours) = self.local.formats.get(at).cloned() else { continue };
            let theirs = agreed.iter().find(|format| format.codec == ours.codec).map(|format| format.payload_type);
            let taken = |number: u8| {
                agreed.iter().chain(&self.bound).any(|other| other.payload_type == number && other.codec != ours.codec)
            };
            let number = theirs.or_else(|| {
                if !taken(ours.payload_type) {
                    return Some(ours.payload_type);
                }
                let in_use = |number: u8| self.local.formats.iter().any(|other| other.payload_type == number);
                (96..=127).find(|number| !taken(*number) && !in_use(*number))
            });
            if let (Some(number), Some(format)) = (number, self.local.formats.get_mut(at)) {
                format.payload_type = number;
            }
        }
    }

    /// Writes a description; its version rises when it differs from the one before.
    fn describe(&mut self, formats: &[Format], direction: Direction) -> Vec<u8> {
        let family = if self.local.address.is_ipv4() { "IP4" } else { "IP6" };
        let mut text = format!("s=-\r\nc=IN {family} {}\r\nt=0 0\r\n", self.local.address);
        for section in &self.sections {
            match section {
                Section::Audio { protocol, mux } => self.audio(&mut text, protocol, *mux, formats, direction),
                Section::Refused { kind, protocol, format } => {
                    let _ = write!(text, "m={kind} 0 {protocol} {format}\r\n");
                }
            }
        }
        for format in formats {
            if !self.bound.contains(format) && self.bound.len() < 128 {
                self.bound.push(format.clone());
            }
        }
        if !self.described.is_empty() && self.described != text {
            self.highest += 1;
            self.version = self.highest;
        }
        self.described = text;
        self.text()
    }

    fn text(&self) -> Vec<u8> {
        let family = if self.local.address.is_ipv4() { "IP4" } else { "IP6" };
        let Session { id, version, described, .. } = self;
        format!("v=0\r\no=- {id} {version} IN {family} {}\r\n{described}", self.local.address).into_bytes()
    }

    fn audio(&self, text: &mut String, protocol: &str, mux: bool, formats: &[Format], direction: Direction) {
        let _ = write!(text, "m=audio {} {protocol}", self.local.port);
        for format in formats {
            let _ = write!(text, " {}", format.payload_type);
        }
        text.push_str("\r\n");
        for Format { codec, payload_type } in formats {
            let (name, clock, channels) = encoding(codec);
            let _ = write!(text, "a=rtpmap:{payload_type} {name}/{clock}");
            text.push_str(if channels == 2 { "/2\r\n" } else { "\r\n" });
            if let Some(parameters) = parameters(codec) {
                let _ = write!(text, "a=fmtp:{payload_type} {parameters}\r\n");
            }
        }
        match self.local.rtcp_port {
            Some(port) if self.local.port.checked_add(1) != Some(port) => {
                let _ = write!(text, "a=rtcp:{port}\r\n");
            }
            _ => {}
        }
        if mux {
            text.push_str("a=rtcp-mux\r\n");
        }
        for key in &self.keys {
            key.write(text);
        }
        let _ = write!(text, "a=ptime:{}\r\na={}\r\n", self.ptime_ms, direction.name());
    }
}

/// What may be used of what we have, in the line's order; what is not audio stands last.
fn chosen(formats: Vec<Format>, codecs: &[Codec]) -> Vec<Format> {
    if codecs.is_empty() {
        return formats;
    }
    let named = codecs.iter().filter_map(|codec| formats.iter().find(|format| format.codec == *codec));
    let mut chosen: Vec<Format> = named.filter(|format| is_voice(&format.codec)).cloned().collect();
    chosen.extend(formats.iter().filter(|format| !is_voice(&format.codec)).cloned());
    chosen
}

fn section(media: &Media<'_>, chosen: bool) -> Section {
    if chosen {
        return Section::Audio { protocol: media.protocol.to_owned(), mux: media.rtcp_mux };
    }
    Section::Refused {
        kind: media.kind.to_owned(),
        protocol: media.protocol.to_owned(),
        format: media.formats.first().copied().unwrap_or("0").to_owned(),
    }
}
