//! What of a far end's description we can use.

use super::codec::{encoding, has_digits, is_voice};
use super::crypto::{Crypto, usable};
use super::{Connection, Media, Misfit, Sdp};
use crate::policy::Protection;
use std::net::{IpAddr, SocketAddr};
use tspi::media::Codec;
use tspi::{Direction, Format, LocalRtp};

/// An audio section that fits, before directions are weighed.
pub(super) struct Fit {
    pub at: usize,
    pub formats: Vec<Format>,
    pub address: SocketAddr,
    pub direction: Direction,
    pub ptime_ms: u32,
    pub mux: bool,
    /// Where its RTCP goes when it is not over the RTP port.
    pub rtcp: Option<SocketAddr>,
    /// The keys that can be used; none: it is not protected.
    pub crypto: Vec<Crypto>,
}

/// What a section must fit to.
pub(super) struct Wanted<'a> {
    pub local: &'a LocalRtp,
    pub protection: Protection,
    pub ptime_ms: u32,
    /// The place of our audio, once it has one.
    pub at: Option<usize>,
    /// Whether it must be in that place.
    pub only: bool,
}

/// The audio section that we can use: a protected one before one that is not, where we may protect; the one that is in
/// use before others; else the first.
pub(super) fn fit(sdp: &Sdp<'_>, wanted: &Wanted<'_>) -> Result<Fit, Misfit> {
    let mut misfit = Misfit::NoAudio;
    let mut best: Option<Fit> = None;
    for (at, media) in sdp.media.iter().enumerate() {
        if !media.kind.eq_ignore_ascii_case("audio") || media.port == 0 || (wanted.only && wanted.at != Some(at)) {
            continue;
        }
        match section(sdp, at, media, wanted) {
            Ok(fit) => {
                let rank = |fit: &Fit| (!fit.crypto.is_empty(), wanted.at == Some(fit.at));
                if best.as_ref().is_none_or(|best| rank(&fit) > rank(best)) {
                    best = Some(fit);
                }
            }
            Err(Misfit::NoAudio) => {}
            Err(other) => misfit = other,
        }
    }
    best.ok_or(misfit)
}

fn section(sdp: &Sdp<'_>, at: usize, media: &Media<'_>, wanted: &Wanted<'_>) -> Result<Fit, Misfit> {
    let crypto = protection(media, wanted.protection)?;
    let formats = common(media, &wanted.local.formats, media.rtcp_mux);
    if !formats.iter().any(|format| is_voice(&format.codec)) {
        return Err(Misfit::NoCodec);
    }
    let Some(Connection::Address(address)) = sdp.connection_of(media) else {
        return Err(Misfit::NoAddress);
    };
    let mut direction = sdp.direction_of(media);
    if address.is_unspecified() {
        // The hold of RFC 2543: "send to nobody".
        direction = if direction.sends() { Direction::SendOnly } else { Direction::Inactive };
    } else if cannot_be_sent_to(address) || address.to_canonical().is_ipv4() != wanted.local.address.is_ipv4() {
        return Err(Misfit::NoAddress);
    }
    let rtcp = match media.rtcp {
        Some((port, other)) => Some(SocketAddr::new(
            other.filter(|other| other.is_ipv4() == address.is_ipv4() && !cannot_be_sent_to(other)).unwrap_or(*address),
            port,
        )),
        None => media.port.checked_add(1).map(|port| SocketAddr::new(*address, port)),
    };
    Ok(Fit {
        at,
        formats,
        address: SocketAddr::new(*address, media.port),
        direction,
        ptime_ms: packet_time(media, wanted.ptime_ms),
        mux: media.rtcp_mux,
        rtcp: rtcp.filter(|rtcp| !rtcp.ip().is_unspecified()),
        crypto,
    })
}

/// The keys of a section, as far as the line's policy lets them be used.
fn protection(media: &Media<'_>, policy: Protection) -> Result<Vec<Crypto>, Misfit> {
    let is = |known: [&str; 2]| known.iter().any(|known| media.protocol.eq_ignore_ascii_case(known));
    let secure = is(["RTP/SAVP", "RTP/SAVPF"]);
    if !secure && !is(["RTP/AVP", "RTP/AVPF"]) {
        return Err(Misfit::NoAudio);
    }
    let crypto = if policy == Protection::Off { Vec::new() } else { usable(&media.crypto) };
    match (policy, secure, crypto.is_empty()) {
        (Protection::Off, true, _) => Err(Misfit::Protected),
        (Protection::Required, _, true) | (_, true, true) => Err(Misfit::NotProtected),
        _ => Ok(crypto),
    }
}

/// What the far end wants to receive, as far as we send it: whole tens of milliseconds from 10 to 60.
fn packet_time(media: &Media<'_>, ours: u32) -> u32 {
    let asked = media.ptime.filter(|ptime| *ptime > 0).unwrap_or(ours);
    let most = media.maxptime.filter(|most| *most >= 10).unwrap_or(60);
    (asked.min(most).clamp(10, 60)) / 10 * 10
}

fn cannot_be_sent_to(address: &IpAddr) -> bool {
    address.is_multicast() || matches!(address, IpAddr::V4(address) if address.is_broadcast())
}

/// Formats of the section that we have too, in its order and with its numbers; one for each codec.
fn common(media: &Media<'_>, ours: &[Format], mux: bool) -> Vec<Format> {
    let mut formats: Vec<Format> = Vec::new();
    for text in &media.formats {
        let Some(payload_type) = text.parse::<u8>().ok().filter(|number| *number < 128) else {
            continue;
        };
        // With RTCP on the same port these numbers would be taken for reports (RFC 5761 section 4).
        if mux && (64..=95).contains(&payload_type) {
            continue;
        }
        let Some((name, clock, channels)) = media.encoding(payload_type) else {
            continue;
        };
        let same = |format: &&Format| {
            let (known, its_clock, its_channels) = encoding(&format.codec);
            known.eq_ignore_ascii_case(name) && its_clock == clock && its_channels == channels
        };
        let Some(mine) = ours.iter().find(same) else {
            continue;
        };
        let events = matches!(mine.codec, Codec::TelephoneEvent | Codec::TelephoneEvent48);
        if events && !has_digits(media.parameters_of(payload_type)) {
            continue;
        }
        if !formats.iter().any(|format| format.codec == mine.codec || format.payload_type == payload_type) {
            formats.push(Format { codec: mine.codec.clone(), payload_type });
        }
    }
    formats
}
