//! Offer and answer (RFC 3264) for one audio stream, as one user agent keeps them.

use super::{Connection, Media, Sdp, SdpError};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use tspi::media::Codec;
use tspi::{Direction, Format, LocalRtp, RemoteRtp};

/// The packet time that the media provider sends with. A peer's wish is no more than one (RFC 4566 section 6).
const PTIME_MS: u32 = 20;

/// Our side of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    id: u64,
    version: u64,
    local: LocalRtp,
    /// Our wish: `SendOnly` while we hold.
    wish: Direction,
    /// Sections in their order, once there was an offer.
    sections: Vec<Section>,
    /// What was described last, without the `o=` line.
    described: String,
    agreed: Option<Agreed>,
}

/// A section of the session: its place in the order never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Section {
    /// Our audio.
    Audio { protocol: String },
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
}

/// An audio section that fits, before directions are weighed.
struct Fit {
    at: usize,
    formats: Vec<Format>,
    address: SocketAddr,
    direction: Direction,
}

impl Session {
    /// A session that nothing was said about yet. `id` is chance.
    pub fn new(id: u64, local: LocalRtp) -> Session {
        let id = id & 0x7fff_ffff;
        let wish = Direction::SendRecv;
        Session { id, version: id, local, wish, sections: Vec::new(), described: String::new(), agreed: None }
    }

    /// Whether a description would find a codec and an address, before our end of the audio is known.
    pub fn fits(description: &[u8]) -> Result<(), Misfit> {
        let any = [(Codec::Pcmu, 0), (Codec::Pcma, 8)].map(|(codec, payload_type)| Format { codec, payload_type });
        fit(&Sdp::parse(description)?, &any).map(|_| ())
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

    /// An offer of all that we can (RFC 3264 section 5; section 8 when something is agreed already).
    pub fn offer(&mut self) -> Vec<u8> {
        if self.sections.is_empty() {
            self.sections.push(Section::Audio { protocol: "RTP/AVP".to_owned() });
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
    pub fn answer(&mut self, offer: &[u8]) -> Result<(Vec<u8>, Agreed), Misfit> {
        let sdp = Sdp::parse(offer)?;
        let fit = fit(&sdp, &self.local.formats)?;
        self.sections = sdp.media.iter().enumerate().map(|(at, media)| section(media, at == fit.at)).collect();
        self.keep_numbers(&fit.formats);
        let agreed = self.agree(&fit, &fit.formats);
        let direction = agreed.remote.direction;
        let answer = self.describe(&fit.formats, direction);
        self.agreed = Some(agreed.clone());
        Ok((answer, agreed))
    }

    /// Takes the answer to our offer.
    pub fn accept(&mut self, answer: &[u8]) -> Result<Agreed, Misfit> {
        let fit = fit(&Sdp::parse(answer)?, &self.local.formats)?;
        let receive = self.local.formats.clone();
        let agreed = self.agree(&fit, &receive);
        self.agreed = Some(agreed.clone());
        Ok(agreed)
    }

    fn agree(&self, fit: &Fit, receive: &[Format]) -> Agreed {
        let wanted = |format: &&Format| format.codec != Codec::TelephoneEvent;
        let send = fit.formats.iter().find(wanted).cloned();
        let events = fit.formats.iter().find(|format| format.codec == Codec::TelephoneEvent);
        let theirs = fit.direction;
        let direction = match (self.wish.sends() && theirs.receives(), self.wish.receives() && theirs.sends()) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        };
        let remote = RemoteRtp {
            address: fit.address,
            send: send.unwrap_or(Format { codec: Codec::Pcmu, payload_type: 0 }),
            receive: receive.to_vec(),
            events: events.map(|format| format.payload_type),
            direction,
            ptime_ms: PTIME_MS,
            rtcp: tspi::Rtcp::None,
            srtp: None,
            comfort_noise: None,
        };
        Agreed { remote, held_by_peer: !theirs.receives() }
    }

    /// A payload type that was given to a codec stays with it (RFC 3264 section 8.3.2).
    fn keep_numbers(&mut self, agreed: &[Format]) {
        for ours in &mut self.local.formats {
            if let Some(theirs) = agreed.iter().find(|format| format.codec == ours.codec) {
                ours.payload_type = theirs.payload_type;
            }
        }
    }

    /// Writes a description; its version rises when it differs from the one before.
    fn describe(&mut self, formats: &[Format], direction: Direction) -> Vec<u8> {
        let family = if self.local.address.is_ipv4() { "IP4" } else { "IP6" };
        let mut text = format!("s=-\r\nc=IN {family} {}\r\nt=0 0\r\n", self.local.address);
        for section in &self.sections {
            match section {
                Section::Audio { protocol } => audio(&mut text, self.local.port, protocol, formats, direction),
                Section::Refused { kind, protocol, format } => {
                    let _ = write!(text, "m={kind} 0 {protocol} {format}\r\n");
                }
            }
        }
        if !self.described.is_empty() && self.described != text {
            self.version += 1;
        }
        self.described = text;
        let Session { id, version, described, .. } = self;
        format!("v=0\r\no=- {id} {version} IN {family} {}\r\n{described}", self.local.address).into_bytes()
    }
}

fn audio(text: &mut String, port: u16, protocol: &str, formats: &[Format], direction: Direction) {
    let _ = write!(text, "m=audio {port} {protocol}");
    for format in formats {
        let _ = write!(text, " {}", format.payload_type);
    }
    text.push_str("\r\n");
    for Format { codec, payload_type } in formats {
        let _ = write!(text, "a=rtpmap:{payload_type} {codec}/8000\r\n");
        if *codec == Codec::TelephoneEvent {
            let _ = write!(text, "a=fmtp:{payload_type} 0-15\r\n");
        }
    }
    let _ = write!(text, "a=ptime:{PTIME_MS}\r\na={}\r\n", direction.name());
}

fn section(media: &Media<'_>, chosen: bool) -> Section {
    if chosen {
        return Section::Audio { protocol: media.protocol.to_owned() };
    }
    Section::Refused {
        kind: media.kind.to_owned(),
        protocol: media.protocol.to_owned(),
        format: media.formats.first().copied().unwrap_or("0").to_owned(),
    }
}

/// The first audio section that we can use.
fn fit(sdp: &Sdp<'_>, ours: &[Format]) -> Result<Fit, Misfit> {
    let mut misfit = Misfit::NoAudio;
    for (at, media) in sdp.media.iter().enumerate() {
        let profile = ["RTP/AVP", "RTP/AVPF"].iter().any(|known| media.protocol.eq_ignore_ascii_case(known));
        if !media.kind.eq_ignore_ascii_case("audio") || media.port == 0 || !profile {
            continue;
        }
        let formats = common(media, ours);
        if !formats.iter().any(|format| format.codec != Codec::TelephoneEvent) {
            misfit = Misfit::NoCodec;
            continue;
        }
        let Some(Connection::Address(address)) = sdp.connection_of(media) else {
            misfit = Misfit::NoAddress;
            continue;
        };
        let mut direction = sdp.direction_of(media);
        if address.is_unspecified() {
            // The hold of RFC 2543: "send to nobody".
            direction = if direction.sends() { Direction::SendOnly } else { Direction::Inactive };
        } else if cannot_be_sent_to(address) {
            misfit = Misfit::NoAddress;
            continue;
        }
        let address = SocketAddr::new(*address, media.port);
        return Ok(Fit { at, formats, address, direction });
    }
    Err(misfit)
}

fn cannot_be_sent_to(address: &IpAddr) -> bool {
    address.is_multicast() || matches!(address, IpAddr::V4(address) if address.is_broadcast())
}

/// Formats of the section that we have too, in its order and with its numbers; one for each codec.
fn common(media: &Media<'_>, ours: &[Format]) -> Vec<Format> {
    let mut formats: Vec<Format> = Vec::new();
    for text in &media.formats {
        let Some(payload_type) = text.parse::<u8>().ok().filter(|number| *number < 128) else {
            continue;
        };
        let Some((name, 8_000)) = media.encoding(payload_type) else {
            continue;
        };
        let Some(mine) = ours.iter().find(|format| format.codec.as_str().eq_ignore_ascii_case(name)) else {
            continue;
        };
        if !formats.iter().any(|format| format.codec == mine.codec) {
            formats.push(Format { codec: mine.codec.clone(), payload_type });
        }
    }
    formats
}
