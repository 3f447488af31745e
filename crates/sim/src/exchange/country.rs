//! What differs between the telephone networks of countries: tones, ringing, when the caller's identity is sent.

use super::tone::Segment;

/// When a caller's identity is sent to a two-wire line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentitySent {
    /// Between the first two bursts of ringing (FSK, ETSI EN 300 659-1 and GR-30).
    AfterFirstRing,
    /// Before the first one, after a reversal of the line (FSK, British SIN 227).
    BeforeRing,
    /// Before the first one, as DTMF: `A`, the number, `#`; or `D1#` where it is withheld, `D2#` where it is not known. Most
    /// data modems do not understand it.
    AsTones,
    /// Not at all.
    Never,
}

/// How the data of a caller's identity are put (ETSI EN 300 659-3, GR-30).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageFormat {
    /// Parameters, names among them (MDMF).
    Multiple,
    /// Date and number alone (SDMF).
    Single,
}

/// A country's network. Levels are those at the subscriber's end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Country {
    /// Its name (ISO 3166-1).
    pub name: &'static str,
    /// Dial tone.
    pub dial: &'static [Segment],
    /// Ringback tone.
    pub ringback: &'static [Segment],
    /// Busy tone.
    pub busy: &'static [Segment],
    /// Reorder (congestion) tone.
    pub reorder: &'static [Segment],
    /// Ringing: bursts and pauses in milliseconds, by turns.
    pub ringing: &'static [u32],
    /// When the caller's identity is sent.
    pub identity: IdentitySent,
    /// How it is put.
    pub message: MessageFormat,
}

impl Country {
    /// North America (GR-506): the precise tone plan, 2 s of ringing and 4 s of pause.
    pub const US: Country = Country {
        name: "us",
        dial: &[Segment::new(350.0, 440.0, -130, 1_000)],
        ringback: &[Segment::new(440.0, 480.0, -190, 2_000), Segment::silence(4_000)],
        busy: &[Segment::new(480.0, 620.0, -240, 500), Segment::silence(500)],
        reorder: &[Segment::new(480.0, 620.0, -240, 250), Segment::silence(250)],
        ringing: &[2_000, 4_000],
        identity: IdentitySent::AfterFirstRing,
        message: MessageFormat::Multiple,
    };

    /// Germany (ITU-T E.180 supplement 2): 425 Hz for everything.
    pub const DE: Country = Country {
        name: "de",
        dial: &[Segment::new(425.0, 0.0, -130, 1_000)],
        ringback: &[Segment::new(425.0, 0.0, -190, 1_000), Segment::silence(4_000)],
        busy: &[Segment::new(425.0, 0.0, -190, 480), Segment::silence(480)],
        reorder: &[Segment::new(425.0, 0.0, -190, 240), Segment::silence(240)],
        ringing: &[1_000, 4_000],
        identity: IdentitySent::AfterFirstRing,
        message: MessageFormat::Multiple,
    };

    /// Great Britain: two bursts a cycle, the caller's identity before the first.
    pub const GB: Country = Country {
        name: "gb",
        dial: &[Segment::new(350.0, 440.0, -130, 1_000)],
        ringback: &[
            Segment::new(400.0, 450.0, -190, 400),
            Segment::silence(200),
            Segment::new(400.0, 450.0, -190, 400),
            Segment::silence(2_000),
        ],
        busy: &[Segment::new(400.0, 0.0, -190, 380), Segment::silence(380)],
        reorder: &[Segment::new(400.0, 0.0, -190, 220), Segment::silence(520)],
        ringing: &[400, 200, 400, 2_000],
        identity: IdentitySent::BeforeRing,
        message: MessageFormat::Multiple,
    };

    /// Denmark: as Germany, with the caller's identity as tones.
    pub const DK: Country = Country {
        name: "dk",
        ringback: &[Segment::new(425.0, 0.0, -190, 1_000), Segment::silence(4_000)],
        identity: IdentitySent::AsTones,
        ..Country::DE
    };

    /// Every one.
    pub const ALL: [Country; 4] = [Country::US, Country::DE, Country::GB, Country::DK];

    /// The one of this name.
    pub fn named(name: &str) -> Option<Country> {
        Country::ALL.into_iter().find(|country| country.name == name)
    }
}
