//! A small public exchange, pure and deterministic: time goes in, audio is made of integers and a seed.
//!
//! It has subscribers by number. A subscriber is a simulated modem (any [`Device`]) or a [`Behaviour`]: a telephone that
//! answers after a while and plays a tone, echoes, is engaged, never answers, hangs up. It rings in cadence, tells
//! who calls, plays dial tone, ringback, busy and reorder tone as audio, understands DTMF and pulses, joins two
//! parties and carries their audio each 20 ms, and clears with a loop break.
//!
//! ```
//! use tapi::Time;
//! use tapi_sim::exchange::{Behaviour, Config, Exchange, Output};
//! use tapi_sim::modem::analogue::{Analogue, Persona};
//!
//! let mut exchange = Exchange::new(Config::default());
//! let modem = exchange.attach("modem0", "4930100", Box::new(Analogue::new(Persona::v253())));
//! exchange.subscribe("4930300", "tone:440,answer:500ms".parse::<Behaviour>().unwrap());
//! exchange.bytes(Time::ZERO, modem, 0, b"AT\r");
//! let mut heard = Vec::new();
//! for millis in 0..100 {
//!     exchange.timeout(Time::from_millis(millis));
//!     while let Some(output) = exchange.poll_output() {
//!         if let Output::Bytes { bytes, .. } = output {
//!             heard.extend(bytes);
//!         }
//!     }
//! }
//! assert_eq!(heard, b"AT\r\r\nOK\r\n");
//! ```
//!
//! The three methods that drive it: an input ([`Exchange::bytes`], [`Exchange::timeout`], [`Exchange::call`], …) with
//! `now`; then [`Exchange::poll_output`] until there is none; then wait until [`Exchange::poll_timeout`]. Times must not
//! go back. Two runs with the same seed and the same inputs give the same outputs, byte for byte.
//!
//! Levels are in tenths of dBm0, where 0 dBm0 is the sine whose level lies 3.17 dB below the µ-law overload point
//! (3.14 dB below the A-law one, ITU-T G.711): 16-bit samples with a peak of 22 657.

mod audio;
mod call;
pub mod country;
pub mod deed;
pub mod fault;
mod feature;
mod identity;
pub mod link;
pub mod meter;
mod plant;
mod recall;
mod robot;
mod script;
mod switch;
pub mod tone;
pub mod trouble;

pub use country::{Country, IdentitySent, MessageFormat};
pub use deed::Deed;
pub use fault::{AudioFault, Echo, Mask, Spoil};
pub use link::{Delay, Direction, Faults};
pub use plant::Exchange;
pub use recall::Recall;
pub use robot::{Answering, Behaviour, ParseBehaviourError, Says};
pub use trouble::{TROUBLES, Trouble};

use crate::modem::Device;
use serde::Serialize;
use tapi::Time;

/// The exchange's name for an attached modem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ModemId(pub u32);

/// How an exchange clears a two-wire line whose far end hung up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clearing {
    /// The loop current is interrupted for half a second, then there is dial tone (North America).
    #[default]
    LoopBreak,
    /// Busy tone until the line is on hook (much of Europe).
    BusyTone,
}

/// What an exchange is like.
#[derive(Clone, Debug)]
pub struct Config {
    /// Tones, ringing, caller identities.
    pub country: Country,
    /// Chance of faults on links.
    pub seed: u64,
    /// How it clears.
    pub clearing: Clearing,
    /// What a register recall does where there are two calls.
    pub recall: Recall,
    /// Whether two-wire lines get dial tone (none: a dead line).
    pub dial_tone: bool,
    /// Month, day, hour, minute at [`Time::ZERO`], for caller identities.
    pub date: (u8, u8, u8, u8),
}

impl Default for Config {
    fn default() -> Config {
        Config {
            country: Country::US,
            seed: 1,
            clearing: Clearing::LoopBreak,
            recall: Recall::Swaps,
            dial_tone: true,
            date: (11, 22, 9, 30),
        }
    }
}

/// What comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Bytes of a modem for the host.
    Bytes {
        /// Which modem.
        modem: ModemId,
        /// From which port.
        port: u32,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A modem was unplugged: its ports are gone.
    Unplugged(ModemId),
    /// A modem was plugged in: its ports are back.
    Plugged(ModemId),
    /// Something happened in the exchange.
    Event {
        /// When.
        at: Time,
        /// What.
        event: Event,
    },
}

/// What happened in the exchange: the truth, for a test to compare with what an application was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A subscriber's line was seized by its owner.
    OffHook {
        /// Which subscriber.
        subscriber: String,
    },
    /// A call was placed.
    Called {
        /// By whom.
        from: String,
        /// To which number.
        to: String,
    },
    /// A subscriber is being called: one event a call.
    Rings {
        /// Who rings.
        subscriber: String,
        /// Who calls.
        from: String,
    },
    /// A call was answered: both hear each other.
    Answered {
        /// Who answered.
        subscriber: String,
        /// Who called.
        from: String,
    },
    /// A call did not come about.
    Failed {
        /// Who called.
        from: String,
        /// Which number.
        to: String,
        /// Q.850 cause value: 1 unallocated, 17 busy, 19 no answer, 21 rejected.
        cause: u8,
    },
    /// A subscriber ended its call, or gave up placing one.
    HungUp {
        /// Which subscriber.
        subscriber: String,
    },
    /// A subscriber that is not a modem heard a DTMF digit.
    Digit {
        /// Which subscriber.
        subscriber: String,
        /// The digit.
        digit: char,
        /// Its length, in steps of 20 ms.
        duration_ms: u32,
    },
    /// What a subscriber that is not a modem heard in the last second of a call.
    Heard {
        /// Which subscriber.
        subscriber: String,
        /// The frequency, from zero crossings: that of the tone when it is a tone; 0 when it is silent.
        hz: u32,
        /// The level in tenths of dBm0; -900 is silence.
        level_ddbm0: i32,
    },
    /// A tone that a subscriber said on order came back.
    Echoed {
        /// Which subscriber.
        subscriber: String,
        /// The tone.
        hz: u32,
        /// How long after it began to be said, in steps of 20 ms.
        after_ms: u32,
    },
    /// A call was sent elsewhere: deflected, or forwarded.
    Diverted {
        /// By which subscriber's rule or order.
        subscriber: String,
        /// To which number.
        to: String,
    },
    /// Two calls were left to each other by the subscriber between them.
    Transferred {
        /// Which subscriber.
        subscriber: String,
    },
    /// A text message was sent.
    Message {
        /// By whom.
        from: String,
        /// To which number.
        to: String,
        /// What it says.
        text: String,
    },
    /// A modem was unplugged.
    Unplugged {
        /// Its name.
        modem: String,
    },
    /// A modem was plugged in.
    Plugged {
        /// Its name.
        modem: String,
    },
}

/// Why a scripted order was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderError {
    /// No such number or modem.
    Unknown(String),
    /// The number is a modem's: its host alone decides what it does.
    NotScriptable(String),
    /// The subscriber has a call already.
    Engaged(String),
    /// The subscriber has no call.
    Idle(String),
    /// Not a DTMF digit.
    BadDigit(char),
}

impl std::fmt::Display for OrderError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            OrderError::Unknown(name) => write!(f, "`{name}`: no such subscriber or modem"),
            OrderError::NotScriptable(number) => write!(f, "`{number}` is a modem's number: only its host can do that"),
            OrderError::Engaged(number) => write!(f, "`{number}` has a call already"),
            OrderError::Idle(number) => write!(f, "`{number}` has no call"),
            OrderError::BadDigit(digit) => write!(f, "`{digit}` is not a DTMF digit"),
        }
    }
}

impl std::error::Error for OrderError {}

/// A device that the exchange can own.
pub type BoxedDevice = Box<dyn Device + Send>;
