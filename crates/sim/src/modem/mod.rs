//! Simulated modems: devices with serial ports on one side and a telephone line on the other.
//!
//! A [`Device`] is pure: bytes, line signals and audio go in with their time, bytes and line actions come out. It never
//! sees a clock. Two kinds exist:
//!
//! - [`analogue::Analogue`]: a V.253 voice modem on a two-wire line. Port 0 carries commands and, after `CONNECT`, audio.
//! - [`cellular::Cellular`]: a 3GPP TS 27.007 voice modem. Port 0 ([`AT_PORT`]) carries commands, port 1
//!   ([`AUDIO_PORT`]) raw signed 16-bit little-endian audio at 8 kHz, 320 bytes each 20 ms while a call is up.
//!
//! Whoever tests does not call devices directly but hands them to an [`crate::exchange::Exchange`], which owns them,
//! gives them a line, and carries bytes between them and the host over links that can be made faulty.
//!
//! Nothing here is shared with, or written from, the modem driver of this project: these devices are its judge.

pub mod analogue;
pub(crate) mod at;
pub mod cellular;

use crate::exchange::MessageFormat;
use tapi::Time;
use tspi::Frame;

/// The port with commands, of every device.
pub const AT_PORT: u32 = 0;
/// The port with raw audio, of a cellular modem.
pub const AUDIO_PORT: u32 = 1;

/// The name of a call between a device and the network (a call reference, ITU-T Q.931): the device names the calls that
/// it makes with the top bit set, the network those that it offers with the top bit clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallRef(pub u32);

impl CallRef {
    /// The `n`th call that a device makes.
    pub fn of_device(n: u32) -> CallRef {
        CallRef(n | 0x8000_0000)
    }
}

/// Who calls, as the network tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// This number, and perhaps a name.
    Known {
        /// The number.
        number: String,
        /// The name.
        name: Option<String>,
    },
    /// The caller withheld it (`P`).
    Private,
    /// The network does not know it (`O`).
    OutOfArea,
}

/// What a line carries to a device, beside audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Two-wire: a burst of ringing begins.
    RingBegins,
    /// Two-wire: the burst is over.
    RingEnds,
    /// Two-wire: the caller's identity was sent as data, between two bursts or before the first.
    CallerId {
        /// How it is put.
        message: MessageFormat,
        /// Month, day, hour, minute.
        date: (u8, u8, u8, u8),
        /// Who calls.
        identity: Identity,
    },
    /// Two-wire: the loop current was interrupted: the far end hung up (calling party control).
    LoopBreak,
    /// Two-wire: another call knocks while the line is in use.
    Knock,
    /// Two-wire: who that is was sent.
    WaitingId {
        /// Month, day, hour, minute.
        date: (u8, u8, u8, u8),
        /// Who calls.
        identity: Identity,
    },
    /// Cellular: the network works on our call.
    Proceeding(CallRef),
    /// Cellular: the far end of our call alerts.
    Alerting(CallRef),
    /// Cellular: our call was answered, or our answer was taken.
    Connected(CallRef),
    /// Cellular: a call arrives.
    Incoming {
        /// The network's name for it.
        call: CallRef,
        /// Who calls.
        from: Identity,
    },
    /// Cellular: a call is over.
    Released {
        /// Which.
        call: CallRef,
        /// Why: ITU-T Q.850 cause value.
        cause: u8,
    },
    /// Cellular: the far end held us, or took us back.
    RemoteHold {
        /// Which call.
        call: CallRef,
        /// Held, or active again.
        hold: Hold,
    },
    /// Cellular: the network's relation to it changed (`<stat>` of `+CREG`).
    Registration(u8),
    /// Cellular: how strong the network is heard (`<rssi>` of `+CSQ`).
    Level(u8),
    /// Cellular: the card was pulled out.
    SimRemoved,
    /// Cellular: the card was put back.
    SimInserted,
    /// Cellular: a text message arrives.
    Message {
        /// From which number.
        from: String,
        /// What it says.
        text: String,
        /// Which part of a longer one it is.
        part: cellular::Part,
        /// Month, day, hour, minute.
        date: (u8, u8, u8, u8),
    },
}

/// Whether one side of a call holds the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It listens.
    Active,
    /// It holds.
    Held,
}

/// What a device does to its line, beside audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Two-wire: the loop is closed.
    OffHook,
    /// Two-wire: the loop is opened.
    OnHook,
    /// Two-wire: the loop is opened for a moment (register recall).
    Flash,
    /// Two-wire: one digit by loop pulses.
    Pulse(char),
    /// Cellular: a call is made.
    Setup {
        /// The device's name for it.
        call: CallRef,
        /// To which number.
        to: String,
        /// Whether the caller's number is withheld.
        withheld: bool,
    },
    /// Cellular: an offered call is answered.
    Answer(CallRef),
    /// Cellular: a call is ended, or refused.
    Release {
        /// Which.
        call: CallRef,
        /// Q.850 cause value.
        cause: u8,
    },
    /// Cellular: a call is held or retrieved.
    Hold {
        /// Which.
        call: CallRef,
        /// Which way.
        hold: Hold,
    },
    /// Cellular: two calls are left to each other, and the device is out of both (explicit call transfer).
    Transfer(CallRef, CallRef),
    /// Cellular: the network sends a DTMF digit for the device.
    Digit {
        /// In which call.
        call: CallRef,
        /// Which digit.
        digit: char,
        /// For how many milliseconds.
        duration_ms: u32,
    },
    /// Cellular: a second call may be offered while one is up, or may not.
    CallWaiting(bool),
    /// Cellular: a text message is sent.
    Message {
        /// To which number.
        to: String,
        /// What it says.
        text: String,
        /// Which part of a longer one it is.
        part: cellular::Part,
    },
    /// Cellular: an offered call goes elsewhere.
    Deflect {
        /// Which.
        call: CallRef,
        /// To which number.
        to: String,
    },
    /// Cellular: the network forwards calls, or no longer.
    Forward {
        /// 0 always, 1 when busy, 2 when nobody answers, 3 when not reachable (27.007 7.11).
        reason: u8,
        /// To which number.
        to: Option<String>,
        /// After how many seconds without an answer.
        after_s: u32,
    },
    /// It starts anew: its ports are gone for some seconds.
    Restart,
}

/// What kind of bytes a device sends: faults that speak of lines of text apply to text alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Echo, responses, unsolicited lines.
    Text,
    /// Audio with what is shielded in it.
    Stream,
}

/// What a device puts out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Bytes for the host.
    Bytes {
        /// From which port.
        port: u32,
        /// What kind.
        kind: Kind,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Something done to the line.
    Act(Act),
}

/// Which line a device needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A two-wire line.
    TwoWire,
    /// A radio channel: up to two calls, signalled by name.
    Cellular,
}

/// A simulated modem, pure.
///
/// After each call of a method that takes `now`, drain [`Device::poll_output`]. A device wants [`Device::timeout`] at
/// [`Device::poll_timeout`] at the latest. While its line is in use the exchange calls [`Device::frame`] each 20 ms.
pub trait Device {
    /// Which line it needs.
    fn access(&self) -> Access;
    /// How many serial ports it has.
    fn ports(&self) -> u32;
    /// Bytes of the host arrived at a port, cut anywhere; at most [`Device::room`] of them.
    fn bytes(&mut self, now: Time, port: u32, bytes: &[u8]);
    /// How many bytes a port takes now: what its flow control (RTS/CTS, a USB endpoint's NAK) would let pass.
    fn room(&self, port: u32) -> usize;
    /// Whether the host takes bytes from a port now (the other direction's flow control).
    fn host_reads(&mut self, port: u32, reads: bool);
    /// The line carries a signal.
    fn signal(&mut self, now: Time, signal: Signal);
    /// The line carries 20 ms of audio, and takes 20 ms.
    fn frame(&mut self, now: Time, heard: &Frame) -> Frame;
    /// The deadline passed.
    fn timeout(&mut self, now: Time);
    /// Power was lost: every state is as after a start, nothing is pending.
    fn reset(&mut self);
    /// Power came back, or came for the first time.
    fn powered(&mut self, now: Time) {
        let _ = now;
    }
    /// Gives the next output, until there is none.
    fn poll_output(&mut self) -> Option<Effect>;
    /// When it wants [`Device::timeout`] at the latest.
    fn poll_timeout(&self) -> Option<Time>;
}
