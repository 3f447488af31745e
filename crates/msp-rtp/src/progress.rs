//! Tones of call progress by country: frequencies, levels and cadences as data.
//!
//! Source: ITU-T E.180/Q.35 and its supplement 2 (various tones used in national networks). A frequency that is
//! modulated by a lower one is written as the two that the product consists of.

use tapi::ProgressTone;

/// One stretch of a cadence: frequencies in hertz, how long they sound and how long it is quiet after, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The frequencies.
    pub hz: &'static [u32],
    /// How long they sound; 0: without end.
    pub on_ms: u32,
    /// How long it is quiet after.
    pub off_ms: u32,
}

/// The tones of a country.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Country {
    /// Two letters of ISO 3166 in lower case; empty for what is used where the country is not known.
    pub name: &'static str,
    dial: &'static [Stretch],
    ringback: &'static [Stretch],
    busy: &'static [Stretch],
    congestion: &'static [Stretch],
    waiting: &'static [Stretch],
}

const fn on(hz: &'static [u32], on_ms: u32, off_ms: u32) -> Stretch {
    Stretch { hz, on_ms, off_ms }
}

const fn steady(hz: &'static [u32]) -> Stretch {
    Stretch { hz, on_ms: 0, off_ms: 0 }
}

/// The special information tone: the same in every country (E.180 section 8).
const SPECIAL_INFO: &[Stretch] = &[on(&[950], 330, 0), on(&[1400], 330, 0), on(&[1800], 330, 1000)];
/// T.30 section 4.2: half a second, then three of silence.
const FAX_CALLING: &[Stretch] = &[on(&[1100], 500, 3000)];
/// V.25: 2.6 to 4 s.
const FAX_ANSWER: &[Stretch] = &[steady(&[2100])];

const HZ_400: &[u32] = &[400];
const HZ_420: &[u32] = &[420];
const HZ_425: &[u32] = &[425];
const HZ_440: &[u32] = &[440];

/// All countries that are known; the first is the default, as E.180 recommends.
pub const COUNTRIES: &[Country] = &[
    Country {
        name: "",
        dial: &[steady(HZ_425)],
        ringback: &[on(HZ_425, 1000, 4000)],
        busy: &[on(HZ_425, 500, 500)],
        congestion: &[on(HZ_425, 250, 250)],
        waiting: &[on(HZ_425, 200, 600), on(HZ_425, 200, 3000)],
    },
    Country {
        name: "at",
        dial: &[steady(HZ_420)],
        ringback: &[on(HZ_420, 1000, 5000)],
        busy: &[on(HZ_420, 400, 400)],
        congestion: &[on(HZ_420, 200, 200)],
        waiting: &[on(HZ_420, 40, 1950)],
    },
    Country {
        name: "au",
        dial: &[steady(&[413, 438])],
        ringback: &[on(&[413, 438], 400, 200), on(&[413, 438], 400, 2000)],
        busy: &[on(HZ_425, 375, 375)],
        congestion: &[on(HZ_425, 375, 375)],
        waiting: &[on(HZ_425, 200, 200), on(HZ_425, 200, 4400)],
    },
    Country {
        name: "br",
        dial: &[steady(HZ_425)],
        ringback: &[on(HZ_425, 1000, 4000)],
        busy: &[on(HZ_425, 250, 250)],
        congestion: &[on(HZ_425, 250, 250), on(HZ_425, 750, 250)],
        waiting: &[on(HZ_425, 50, 1000)],
    },
    Country {
        name: "ch",
        dial: &[steady(HZ_425)],
        ringback: &[on(HZ_425, 1000, 4000)],
        busy: &[on(HZ_425, 500, 500)],
        congestion: &[on(HZ_425, 200, 200)],
        waiting: &[on(HZ_425, 200, 200), on(HZ_425, 200, 4000)],
    },
    Country {
        name: "de",
        dial: &[steady(HZ_425)],
        ringback: &[on(HZ_425, 1000, 4000)],
        busy: &[on(HZ_425, 480, 480)],
        congestion: &[on(HZ_425, 240, 240)],
        waiting: &[on(HZ_425, 200, 200), on(HZ_425, 200, 5000)],
    },
    Country {
        name: "es",
        dial: &[steady(HZ_425)],
        ringback: &[on(HZ_425, 1500, 3000)],
        busy: &[on(HZ_425, 200, 200)],
        congestion: &[on(HZ_425, 200, 200), on(HZ_425, 200, 200), on(HZ_425, 200, 600)],
        waiting: &[on(HZ_425, 600, 10_000)],
    },
    Country {
        name: "fr",
        dial: &[steady(HZ_440)],
        ringback: &[on(HZ_440, 1500, 3500)],
        busy: &[on(HZ_440, 500, 500)],
        congestion: &[on(HZ_440, 250, 250)],
        waiting: &[on(HZ_440, 300, 10_000)],
    },
    Country {
        name: "gb",
        dial: &[steady(&[350, 440])],
        ringback: &[on(&[400, 450], 400, 200), on(&[400, 450], 400, 2000)],
        busy: &[on(HZ_400, 375, 375)],
        congestion: &[on(HZ_400, 400, 350), on(HZ_400, 225, 525)],
        waiting: &[on(HZ_400, 100, 4000)],
    },
    Country {
        name: "in",
        dial: &[steady(&[375, 425])],
        ringback: &[on(&[375, 425], 400, 200), on(&[375, 425], 400, 2000)],
        busy: &[on(HZ_400, 750, 750)],
        congestion: &[on(HZ_400, 250, 250)],
        waiting: &[on(HZ_400, 200, 100), on(HZ_400, 200, 7500)],
    },
    Country {
        name: "it",
        dial: &[on(HZ_425, 200, 200), on(HZ_425, 600, 1000)],
        ringback: &[on(HZ_425, 1000, 4000)],
        busy: &[on(HZ_425, 500, 500)],
        congestion: &[on(HZ_425, 200, 200)],
        waiting: &[on(HZ_425, 400, 100), on(HZ_425, 250, 100), on(HZ_425, 150, 14_000)],
    },
    Country {
        name: "jp",
        dial: &[steady(HZ_400)],
        ringback: &[on(&[384, 416], 1000, 2000)],
        busy: &[on(HZ_400, 500, 500)],
        congestion: &[on(HZ_400, 500, 500)],
        waiting: &[on(HZ_400, 500, 8000)],
    },
    Country {
        name: "nl",
        dial: &[steady(HZ_425)],
        ringback: &[on(HZ_425, 1000, 4000)],
        busy: &[on(HZ_425, 500, 500)],
        congestion: &[on(HZ_425, 250, 250)],
        waiting: &[on(HZ_425, 500, 9500)],
    },
    Country {
        name: "se",
        dial: &[steady(HZ_425)],
        ringback: &[on(HZ_425, 1000, 5000)],
        busy: &[on(HZ_425, 250, 250)],
        congestion: &[on(HZ_425, 250, 750)],
        waiting: &[on(HZ_425, 200, 500), on(HZ_425, 200, 8000)],
    },
    Country {
        name: "us",
        dial: &[steady(&[350, 440])],
        ringback: &[on(&[440, 480], 2000, 4000)],
        busy: &[on(&[480, 620], 500, 500)],
        congestion: &[on(&[480, 620], 250, 250)],
        waiting: &[on(HZ_440, 300, 10_000)],
    },
];

impl Country {
    /// The country of this name, in any case; `uk` is the United Kingdom, Canada and Mexico are like their neighbour, and
    /// the default stands for whatever is not known.
    pub fn named(name: &str) -> &'static Country {
        let name = name.to_ascii_lowercase();
        let name = match name.as_str() {
            "uk" => "gb",
            "ca" | "mx" => "us",
            other => other,
        };
        COUNTRIES.iter().find(|country| country.name == name).unwrap_or(&COUNTRIES[0])
    }

    /// The cadence of a tone; empty for what is no tone.
    pub fn cadence(&self, tone: &ProgressTone) -> &'static [Stretch] {
        match tone {
            ProgressTone::Dial => self.dial,
            ProgressTone::Ringback => self.ringback,
            ProgressTone::Busy => self.busy,
            ProgressTone::Congestion => self.congestion,
            ProgressTone::Waiting => self.waiting,
            ProgressTone::SpecialInfo => SPECIAL_INFO,
            ProgressTone::FaxCalling => FAX_CALLING,
            ProgressTone::FaxAnswer => FAX_ANSWER,
            _ => &[],
        }
    }
}

impl Stretch {
    /// Level of each frequency in dBm0: -10 for the whole (E.180 section 3).
    pub fn level_dbm0(&self) -> f64 {
        if self.hz.len() > 1 { -13.0 } else { -10.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_country_has_every_tone_and_can_make_it() {
        for country in COUNTRIES {
            use ProgressTone::{Busy, Congestion, Dial, Ringback, SpecialInfo, Waiting};
            for tone in [Dial, Ringback, Busy, Congestion, Waiting, SpecialInfo] {
                let cadence = country.cadence(&tone);
                assert!(!cadence.is_empty(), "{} {tone}", country.name);
                for stretch in cadence {
                    let parts: Vec<_> = stretch.hz.iter().map(|hz| (*hz, stretch.level_dbm0())).collect();
                    assert!(crate::tone::Tone::new(&parts).is_some(), "{} {tone}", country.name);
                    assert!(stretch.on_ms % 5 == 0 && stretch.off_ms % 5 == 0);
                }
            }
        }
    }

    #[test]
    fn countries_are_found_by_name_and_unknown_ones_get_the_default() {
        assert_eq!(Country::named("DE").name, "de");
        assert_eq!(Country::named("uk").name, "gb");
        assert_eq!(Country::named("ca").name, "us");
        assert_eq!(Country::named("zz").name, "");
    }
}
