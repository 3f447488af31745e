//! Session descriptions (RFC 8866): a tolerant, bounded reader. [`Session`] is offer and answer (RFC 3264).

mod session;

pub use session::{Agreed, Misfit, Session};

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
pub struct Sdp {
    /// Session id and version of the `o=` line, as written.
    pub origin: (String, String),
    /// Address of the session.
    pub connection: Option<Connection>,
    /// Direction of the session.
    pub direction: Option<Direction>,
    /// Its media sections, in order.
    pub media: Vec<Media>,
}

/// An address to send to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// An address.
    Address(IpAddr),
    /// A name, which is not looked up.
    Name(String),
}

/// A media section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// `audio`, `video`, …
    pub kind: String,
    /// Its port; 0 is a section that is not used.
    pub port: u16,
    /// `RTP/AVP`, …
    pub protocol: String,
    /// Its formats, as written.
    pub formats: Vec<String>,
    /// Its own address.
    pub connection: Option<Connection>,
    /// Payload types with encoding name and clock rate.
    pub maps: Vec<(u8, String, u32)>,
    /// Packet time in milliseconds.
    pub ptime: Option<u32>,
    /// Its own direction.
    pub direction: Option<Direction>,
}

impl Sdp {
    /// Reads a description. Bytes that are not UTF-8 are read as the replacement character.
    pub fn parse(bytes: &[u8]) -> Result<Sdp, SdpError> {
        if bytes.len() > MAX_BYTES {
            return Err(SdpError::TooLarge);
        }
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
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

    fn attribute(&mut self, value: &str) {
        let (name, value) = value.split_once(':').unwrap_or((value, ""));
        let direction = match name.to_ascii_lowercase().as_str() {
            "sendrecv" => Some(Direction::SendRecv),
            "sendonly" => Some(Direction::SendOnly),
            "recvonly" => Some(Direction::RecvOnly),
            "inactive" => Some(Direction::Inactive),
            _ => None,
        };
        match (direction, self.media.last_mut()) {
            (Some(_), Some(media)) => media.direction = direction,
            (Some(_), None) => self.direction = direction,
            (None, Some(media)) => media.attribute(name, value),
            (None, None) => {}
        }
    }

    /// The address of a section.
    pub fn connection_of<'a>(&'a self, media: &'a Media) -> Option<&'a Connection> {
        media.connection.as_ref().or(self.connection.as_ref())
    }

    /// The direction of a section, as its author sees it.
    pub fn direction_of(&self, media: &Media) -> Direction {
        media.direction.or(self.direction).unwrap_or_default()
    }
}

impl Media {
    fn attribute(&mut self, name: &str, value: &str) {
        match name {
            "rtpmap" => {
                if let Some(map) = rtpmap(value.trim()) {
                    self.maps.push(map);
                }
            }
            "ptime" => self.ptime = value.trim().parse().ok().filter(|ptime| (1..=1_000).contains(ptime)),
            _ => {}
        }
    }

    /// Encoding name and clock rate of a payload type: its own map, else the static table (RFC 3551 section 6).
    pub fn encoding(&self, payload_type: u8) -> Option<(&str, u32)> {
        let mapped = self.maps.iter().find(|(known, ..)| *known == payload_type);
        match (mapped, payload_type) {
            (Some((_, name, clock)), _) => Some((name, *clock)),
            (None, 0) => Some(("PCMU", 8_000)),
            (None, 8) => Some(("PCMA", 8_000)),
            _ => None,
        }
    }
}

fn origin(value: &str) -> Option<(String, String)> {
    let mut parts = value.split_whitespace().skip(1);
    Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
}

fn connection(value: &str) -> Option<Connection> {
    let address = value.split_whitespace().nth(2)?;
    // Behind a slash stand the time to live and the number of a multicast address.
    let address = address.split('/').next()?;
    Some(match address.parse() {
        Ok(address) => Connection::Address(address),
        Err(_) => Connection::Name(address.to_owned()),
    })
}

fn media(value: &str) -> Result<Media, SdpError> {
    let mut parts = value.split_whitespace();
    let mut next = || parts.next().ok_or(SdpError::Line('m'));
    let kind = next()?.to_owned();
    let port = next()?.split('/').next().and_then(|port| port.parse().ok()).ok_or(SdpError::Line('m'))?;
    let protocol = next()?.to_owned();
    let formats: Vec<String> = parts.take(MAX_FORMATS + 1).map(str::to_owned).collect();
    if formats.len() > MAX_FORMATS {
        return Err(SdpError::TooLarge);
    }
    Ok(Media { kind, port, protocol, formats, ..Media::default() })
}

fn rtpmap(value: &str) -> Option<(u8, String, u32)> {
    let (number, encoding) = value.split_once([' ', '\t'])?;
    let number: u8 = number.parse().ok().filter(|number| *number < 128)?;
    let mut parts = encoding.trim().split('/');
    let name = parts.next()?.to_owned();
    let clock = parts.next()?.parse().ok()?;
    // More than one channel is another encoding.
    match parts.next() {
        None | Some("1") => Some((number, name, clock)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests;
