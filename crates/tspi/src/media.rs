//! Call audio: what the server and a media provider say to each other (MSPI), and the descriptions of either end of a
//! stream that travel between server and service provider.
//!
//! The server names streams. A stream has a wire (RTP, or 20 ms frames that a service provider carries over its own
//! port), may be joined with another stream, and has operations on it: playbacks, recordings, tones, runs of digits.

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use tapi::{End, MediaStatistics, OperationId, ProgressTone, ToneLevel, open_names};

mod exchange;
mod frame;

pub use exchange::{Ask, Input, MediaProvider, Output, Packet, Told};
pub use frame::{AudioFrame, FRAME_SAMPLES, Frame, Rate, WIDE_SAMPLES};

/// The server's name for a stream: never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StreamId(pub u64);

/// The shell's name for an open file that a client passed or named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DescriptorId(pub u64);

open_names! {
    /// A codec, as SDP names it.
    pub enum Codec {
        /// G.711 µ-law, 8 kHz.
        Pcmu = "PCMU",
        /// G.711 A-law, 8 kHz.
        Pcma = "PCMA",
        /// G.722, 16 kHz of audio under an RTP clock of 8 kHz (RFC 3551 section 4.5.2).
        G722 = "G722",
        /// Opus, RTP clock of 48 kHz (RFC 7587).
        Opus = "opus",
        /// Comfort noise, 8 kHz (RFC 3389).
        ComfortNoise = "CN",
        /// RFC 4733 telephone events, 8 kHz.
        TelephoneEvent = "telephone-event",
        /// RFC 4733 telephone events beside a codec whose clock is 48 kHz.
        TelephoneEvent48 = "telephone-event/48000",
    }
}

/// A codec with its RTP payload type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// The codec.
    pub codec: Codec,
    /// The payload type, 0 to 127.
    pub payload_type: u8,
}

/// Which way audio flows, as seen from our end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// We send only.
    SendOnly,
    /// We receive only.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// Whether we send.
    pub fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// Whether we receive.
    pub fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    /// As SDP names it.
    pub fn name(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }
}

/// What a line's audio runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaWire {
    /// RTP over UDP, sent and received by the media provider.
    Rtp,
    /// [`Frame`]s that the service provider carries over a port of its own.
    Frames,
    /// The line has no audio that we can reach.
    None,
}

/// Our end of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LocalMedia {
    /// RTP at this address, with these formats in order of preference.
    Rtp(LocalRtp),
    /// Frames, under this name.
    Frames {
        /// The stream.
        stream: StreamId,
    },
    /// None.
    None,
}

/// Our end of an RTP stream. Its port is bound already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalRtp {
    /// The stream.
    pub stream: StreamId,
    /// The address we receive at and send from.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// The port its RTCP is received at, bound too; none: RTCP only over the RTP port (RFC 5761), where the far end can.
    pub rtcp_port: Option<u16>,
    /// What we can receive and send, best first; telephone events last.
    pub formats: Vec<Format>,
}

/// Where a stream's RTCP goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rtcp {
    /// Nowhere.
    #[default]
    None,
    /// Over the RTP port, both ways (RFC 5761).
    Mux,
    /// From our RTCP port to this one.
    Apart(SocketAddr),
}

open_names! {
    /// How SRTP protects a stream: the suites of RFC 4568 section 6.2, RFC 6188 and RFC 7714, as SDP names them.
    pub enum SrtpSuite {
        /// AES-CM of 128 bits, tag of 80 bits.
        AesCm128HmacSha1_80 = "AES_CM_128_HMAC_SHA1_80",
        /// AES-CM of 128 bits, tag of 32 bits.
        AesCm128HmacSha1_32 = "AES_CM_128_HMAC_SHA1_32",
        /// AES-CM of 256 bits, tag of 80 bits.
        AesCm256HmacSha1_80 = "AES_256_CM_HMAC_SHA1_80",
        /// AES-GCM of 128 bits.
        AeadAes128Gcm = "AEAD_AES_128_GCM",
        /// AES-GCM of 256 bits.
        AeadAes256Gcm = "AEAD_AES_256_GCM",
    }
}

impl SrtpSuite {
    /// Octets of master key and of master salt; `None` for a suite that is not known.
    pub fn key_and_salt(&self) -> Option<(usize, usize)> {
        match self {
            SrtpSuite::AesCm128HmacSha1_80 | SrtpSuite::AesCm128HmacSha1_32 => Some((16, 14)),
            SrtpSuite::AesCm256HmacSha1_80 => Some((32, 14)),
            SrtpSuite::AeadAes128Gcm => Some((16, 12)),
            SrtpSuite::AeadAes256Gcm => Some((32, 12)),
            _ => None,
        }
    }
}

/// Master key and salt, one after the other. It prints as nothing but its length.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SrtpKey(pub Vec<u8>);

impl std::fmt::Debug for SrtpKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SrtpKey({} octets)", self.0.len())
    }
}

/// How a stream is protected, as agreed (RFC 4568).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Srtp {
    /// The suite.
    pub suite: SrtpSuite,
    /// What we send with.
    pub local: SrtpKey,
    /// What the far end sends with.
    pub remote: SrtpKey,
}

/// The server's name for a mixer, where any number of streams hear one another: never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MixerId(pub u64);

/// The far end of a stream, as agreed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "nearly all are the large one")]
pub enum RemoteMedia {
    /// RTP.
    Rtp(RemoteRtp),
    /// The service provider's own port.
    Frames {
        /// Which way audio flows.
        direction: Direction,
    },
}

impl RemoteMedia {
    /// Which way audio flows.
    pub fn direction(&self) -> Direction {
        match self {
            RemoteMedia::Rtp(remote) => remote.direction,
            RemoteMedia::Frames { direction } => *direction,
        }
    }
}

/// The far end of an RTP stream, as agreed in SDP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteRtp {
    /// Where to send to.
    pub address: SocketAddr,
    /// What to send.
    pub send: Format,
    /// What may be received, with the payload types of our own description.
    pub receive: Vec<Format>,
    /// Payload type of telephone events to send, where agreed.
    pub events: Option<u8>,
    /// Which way audio flows.
    pub direction: Direction,
    /// Packet time to send with, in milliseconds: 10 to 60.
    pub ptime_ms: u32,
    /// Where RTCP goes.
    pub rtcp: Rtcp,
    /// How the stream is protected; none: not at all.
    pub srtp: Option<Srtp>,
    /// Payload type of comfort noise that may be received, where agreed.
    pub comfort_noise: Option<u8>,
}

/// Server to media provider. None of these is answered; what fails is told by [`Ended`](Event::Ended).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// A stream exists; its far end is not known yet.
    Open {
        /// Our end. Never `None`.
        local: LocalMedia,
    },
    /// The far end is known, or changed.
    Connect {
        /// Which stream.
        stream: StreamId,
        /// The far end.
        remote: RemoteMedia,
    },
    /// The stream is over. Its operations end with `call_ended`, its join is parted.
    Close {
        /// Which stream.
        stream: StreamId,
    },
    /// What comes in on one goes out on the other. A stream joined with itself is an echo.
    Join {
        /// One.
        a: StreamId,
        /// The other.
        b: StreamId,
    },
    /// Take the join apart.
    Part {
        /// Either of the two.
        stream: StreamId,
    },
    /// Play a WAV file (8 kHz, 16 kHz or 48 kHz; mono or stereo; 16 bits) into the stream, in place of what is joined.
    Play {
        /// The operation.
        operation: OperationId,
        /// Which stream.
        stream: StreamId,
        /// The file.
        descriptor: DescriptorId,
        /// Again and again until stopped.
        repeat: bool,
    },
    /// Record both directions into a WAV file: received left, sent right.
    Record {
        /// The operation.
        operation: OperationId,
        /// Which stream.
        stream: StreamId,
        /// The file.
        descriptor: DescriptorId,
        /// End after so many milliseconds.
        max_ms: Option<u64>,
    },
    /// Send digits: telephone events where agreed, tones elsewhere.
    Digits {
        /// The operation.
        operation: OperationId,
        /// Which stream.
        stream: StreamId,
        /// `0`-`9`, `A`-`D`, `*`, `#`; a comma is a pause of two seconds.
        digits: String,
        /// Length of a digit in milliseconds. Absent: 100.
        duration_ms: Option<u32>,
    },
    /// Make a tone.
    Tone {
        /// The operation.
        operation: OperationId,
        /// Which stream.
        stream: StreamId,
        /// Its frequencies in hertz.
        hz: Vec<u32>,
        /// Its length in milliseconds.
        duration_ms: u32,
        /// Level of each frequency in dBm0.
        level_dbm0: i32,
    },
    /// Make a call-progress tone with its country's frequencies and cadence.
    Progress {
        /// The operation.
        operation: OperationId,
        /// Which stream.
        stream: StreamId,
        /// Which tone.
        tone: ProgressTone,
        /// The country, two letters of ISO 3166 in lower case.
        country: String,
        /// Its length in milliseconds; none: until stopped.
        duration_ms: Option<u32>,
    },
    /// Audio of an application: frames of 20 ms, signed 16 bits in little endian, cross the descriptor both ways (a Unix
    /// socket that keeps the borders of messages). What the application sends is heard by the far end, in place of what is
    /// joined; what the far end sends goes to the application. It ends with the descriptor.
    Application {
        /// The operation.
        operation: OperationId,
        /// Which stream.
        stream: StreamId,
        /// The socket.
        descriptor: DescriptorId,
        /// Samples a second on the descriptor: 8 000 or 16 000.
        rate: u32,
    },
    /// Let a playback or a recording stand still: silence is played, nothing is recorded.
    Pause {
        /// Which.
        operation: OperationId,
    },
    /// Let it go on.
    Resume {
        /// Which.
        operation: OperationId,
    },
    /// Put the stream into a mixer, which exists while a stream is in it: it hears all others and not itself. A join is
    /// parted first. A stream of frames without a far end speaks for the mixer: what is played on it is heard by all others.
    Mix {
        /// Which stream.
        stream: StreamId,
        /// Which mixer.
        mixer: MixerId,
    },
    /// Take the stream out of its mixer.
    Unmix {
        /// Which stream.
        stream: StreamId,
    },
    /// Choose what is listened for in what is received. Telephone events are always told.
    Detect {
        /// Which stream.
        stream: StreamId,
        /// DTMF in the audio itself.
        digits: bool,
        /// Call-progress tones, fax tones, voice.
        progress: bool,
        /// The country whose tones they are, two letters of ISO 3166 in lower case; none: of any.
        country: Option<String>,
    },
    /// End an operation before its time.
    Stop {
        /// Which.
        operation: OperationId,
    },
    /// Measure these frequencies in what is received, ten times a second; none: no longer.
    MonitorTones {
        /// Which stream.
        stream: StreamId,
        /// The frequencies in hertz, at most eight.
        hz: Vec<u32>,
    },
}

/// Media provider to server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// An operation ended: each does, once.
    Ended {
        /// Which.
        operation: OperationId,
        /// On which stream.
        stream: StreamId,
        /// How.
        end: End,
        /// How much of it there was, in milliseconds.
        millis: u64,
    },
    /// The far end sent a digit.
    Digit {
        /// On which stream.
        stream: StreamId,
        /// `0`-`9`, `A`-`D`, `*`, `#`.
        digit: char,
        /// Its length in milliseconds.
        duration_ms: Option<u32>,
    },
    /// Tones were measured in what was received.
    Tones {
        /// On which stream.
        stream: StreamId,
        /// One entry for each asked frequency.
        tones: Vec<ToneLevel>,
        /// Level of the whole signal in tenths of dBm0.
        level_ddbm0: i32,
    },
    /// A call-progress tone, a fax tone or a voice was recognised in what was received.
    Progress {
        /// On which stream.
        stream: StreamId,
        /// What.
        tone: ProgressTone,
        /// What was measured: frequencies with their levels.
        measured: Vec<ToneLevel>,
    },
    /// How the stream fares: every five seconds, and once more before its end.
    Statistics {
        /// Which stream.
        stream: StreamId,
        /// Since it began.
        statistics: Box<MediaStatistics>,
    },
}
