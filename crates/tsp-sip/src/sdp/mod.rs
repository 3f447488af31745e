//! Session descriptions (RFC 8866): a tolerant, bounded reader. [`Session`] is offer and answer (RFC 3264).

mod codec;
mod crypto;
mod fit;
mod session;

pub use session::{Agreed, Misfit, Session};

use memchr::memchr;
use std::net::IpAddr;
use tspi::Direction;

/// Longest description that is read, in bytes.
pub const MAX_BYTES: usize = 16_384;
/// Most media sections.
pub const MAX_MEDIA: usize = 32;
/// Most formats in a section.
pub const MAX_FORMATS: usize = 64;
/// Most attributes in a section.
pub const MAX_ATTRIBUTES: usize = 256;

/// Why a text is no description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// Longer than [`MAX_BYTES`], or more of something than is read.
    #[error("the session description is too large")]
    TooLarge,
    /// It does not begin with `v=0`.
    #[error("the session description does not begin with v=0")]
    NoVersion,
    /// A line that cannot be read.
    #[error("unreadable {0}= line in the session description")]
    Line(char),
}

/// A description, as far as it is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sdp<'a> {
    /// Session id and version of the `o=` line, as written.
    pub origin: (&'a str, &'a str),
    /// Address of the session.
    pub connection: Option<Connection<'a>>,
    /// Direction of the session.
    pub direction: Option<Direction>,
    /// Its media sections, in order.
    pub media: Vec<Media<'a>>,
}

/// An address to send to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection<'a> {
    /// An address.
    Address(IpAddr),
    /// A name, which is not looked up.
    Name(&'a str),
}

/// A media section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media<'a> {
    /// `audio`, `video`, …
    pub kind: &'a str,
    /// Its port; 0 is a section that is not used.
    pub port: u16,
    /// `RTP/AVP`, …
    pub protocol: &'a str,
    /// Its formats, as written.
    pub formats: Vec<&'a str>,
    /// Its own address.
    pub connection: Option<Connection<'a>>,
    /// Payload types with encoding name, clock rate and channels.
    pub maps: Vec<(u8, &'a str, u32, u8)>,
    /// Its own direction.
    pub direction: Option<Direction>,
    /// Payload types with their format parameters.
    pub parameters: Vec<(u8, &'a str)>,
    /// Packet time that its author wants to receive, in milliseconds.
    pub ptime: Option<u32>,
    /// Longest packet that its author can receive, in milliseconds.
    pub maxptime: Option<u32>,
    /// Where its RTCP goes (RFC 3605): a port, and perhaps an address.
    pub rtcp: Option<(u16, Option<IpAddr>)>,
    /// Whether RTCP may come over the RTP port (RFC 5761).
    pub rtcp_mux: bool,
    /// Its keys (RFC 4568), as written.
    pub crypto: Vec<&'a str>,
}

impl<'a> Sdp<'a> {
    /// Reads a description. Of a line that is not UTF-8 only the part before is read.
    pub fn parse(bytes: &'a [u8]) -> Result<Sdp<'a>, SdpError> {
        if bytes.len() > MAX_BYTES {
            return Err(SdpError::TooLarge);
        }
        let mut lines = lines(bytes);
        if lines.next().is_none_or(|line| line.split_once('=').is_none_or(|(key, v)| key != "v" || v.trim() != "0")) {
            return Err(SdpError::NoVersion);
        }
        let mut sdp = Sdp::default();
        let mut attributes = 0;
        for line in lines {
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            let value = value.trim();
            match key {
                "o" => sdp.origin = origin(value).ok_or(SdpError::Line('o'))?,
                "c" => {
                    let connection = Some(connection(value).ok_or(SdpError::Line('c'))?);
                    match sdp.media.last_mut() {
                        Some(media) => media.connection = connection,
                        None => sdp.connection = connection,
                    }
                }
                "m" => {
                    if sdp.media.len() >= MAX_MEDIA {
                        return Err(SdpError::TooLarge);
                    }
                    attributes = 0;
                    sdp.media.push(media(value)?);
                }
                "a" => {
                    attributes += 1;
                    if attributes > MAX_ATTRIBUTES {
                        return Err(SdpError::TooLarge);
                    }
                    sdp.attribute(value);
                }
                _ => {}
            }
        }
        Ok(sdp)
    }

    fn attribute(&mut self, value: &'a str) {
        let (name, value) = value.split_once(':').unwrap_or((value, ""));
        let direction = [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive]
            .into_iter()
            .find(|direction| name.eq_ignore_ascii_case(direction.name()));
        match (direction, self.media.last_mut()) {
            (Some(_), Some(media)) => media.direction = direction,
            (Some(_), None) => self.direction = direction,
            (None, Some(media)) => media.attribute(name, value),
            (None, None) => {}
        }
    }

    /// The address of a section.
    pub fn connection_of<'s>(&'s self, media: &'s Media<'a>) -> Option<&'s Connection<'a>> {
        media.connection.as_ref().or(self.connection.as_ref())
    }

    /// The direction of a section, as its author sees it.
    pub fn direction_of(&self, media: &Media<'_>) -> Direction {
        media.direction.or(self.direction).unwrap_or_default()
    }
}

impl<'a> Media<'a> {
    fn attribute(&mut self, name: &str, value: &'a str) {
        let value = value.trim();
        match name {
            "rtpmap" => self.maps.extend(rtpmap(value)),
            "fmtp" => self.parameters.extend(fmtp(value)),
            "ptime" => self.ptime = value.parse().ok(),
            "maxptime" => self.maxptime = value.parse().ok(),
            "rtcp" => self.rtcp = rtcp(value),
            "rtcp-mux" => self.rtcp_mux = true,
            "crypto" if self.crypto.len() < crypto::MAX_CRYPTO => self.crypto.push(value),
            _ => {}
        }
    }

    /// Encoding name, clock rate and channels of a payload type: its own map, else the static table (RFC 3551 section 6).
    pub fn encoding(&self, payload_type: u8) -> Option<(&str, u32, u8)> {
        let mapped = self.maps.iter().find(|(known, ..)| *known == payload_type);
        match (mapped, payload_type) {
            (Some((_, name, clock, channels)), _) => Some((name, *clock, *channels)),
            (None, 0) => Some(("PCMU", 8_000, 1)),
            (None, 8) => Some(("PCMA", 8_000, 1)),
            (None, 9) => Some(("G722", 8_000, 1)),
            (None, 13) => Some(("CN", 8_000, 1)),
            _ => None,
        }
    }

    /// Format parameters of a payload type.
    pub fn parameters_of(&self, payload_type: u8) -> Option<&'a str> {
        self.parameters.iter().find(|(known, _)| *known == payload_type).map(|(_, text)| *text)
    }
}

/// Lines that say something, without what ends them.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &str> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest.get(..end).unwrap_or_default();
        rest = rest.get(end + 1..).unwrap_or_default();
        let readable = line.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        Some(std::str::from_utf8(line).unwrap_or(readable).trim_end())
    })
    .filter(|line| !line.is_empty())
}

fn origin(value: &str) -> Option<(&str, &str)> {
    let mut parts = value.split_whitespace().skip(1);
    Some((parts.next()?, parts.next()?))
}

fn connection(value: &str) -> Option<Connection<'_>> {
    let address = value.split_whitespace().nth(2)?;
    // Behind a slash stand the time to live and the number of a multicast address.
    let address = address.split('/').next()?;
    Some(match address.parse() {
        Ok(address) => Connection::Address(address),
        Err(_) => Connection::Name(address),
    })
}

fn media(value: &str) -> Result<Media<'_>, SdpError> {
    let mut parts = value.split_whitespace();
    let mut next = || parts.next().ok_or(SdpError::Line('m'));
    let kind = next()?;
    let port = next()?.split('/').next().and_then(|port| port.parse().ok()).ok_or(SdpError::Line('m'))?;
    let protocol = next()?;
    let formats: Vec<&str> = parts.take(MAX_FORMATS + 1).collect();
    if formats.len() > MAX_FORMATS {
        return Err(SdpError::TooLarge);
    }
    Ok(Media { kind, port, protocol, formats, ..Media::default() })
}

fn rtpmap(value: &str) -> Option<(u8, &str, u32, u8)> {
    let (number, encoding) = value.split_once([' ', '\t'])?;
    let number: u8 = number.parse().ok().filter(|number| *number < 128)?;
    let mut parts = encoding.trim().split('/');
    let name = parts.next()?;
    let clock = parts.next()?.parse().ok()?;
    let channels = parts.next().map_or(Some(1), |text| text.parse().ok())?;
    Some((number, name, clock, channels))
}

fn fmtp(value: &str) -> Option<(u8, &str)> {
    let (number, parameters) = value.split_once([' ', '\t'])?;
    Some((number.parse().ok().filter(|number| *number < 128)?, parameters.trim()))
}

fn rtcp(value: &str) -> Option<(u16, Option<IpAddr>)> {
    let mut words = value.split_whitespace();
    let port = words.next()?.parse().ok().filter(|port| *port != 0)?;
    Some((port, words.nth(2).and_then(|address| address.parse().ok())))
}

#[cfg(test)]
mod tests;
