//! Troubles by name: what can be wrong with a modem, its port and its network, for people who try it and for tests.

use super::deed::Deed;
use super::fault::{AudioFault, Echo, Mask, Spoil};
use super::link::{Delay, Direction, Faults};
use super::plant::Exchange;
use super::{ModemId, OrderError};
use std::time::Duration;

/// Every trouble by its name, and what it is.
pub const TROUBLES: [(&str, &str); 49] = [
    ("clean", "nothing is wrong any more"),
    ("dead", "nothing arrives from the modem"),
    ("echo", "command lines come back"),
    ("half-echo", "their first halves come back"),
    ("bad-echo", "they come back with a wrong character"),
    ("lossy", "a byte in 500 is lost"),
    ("flipped", "a byte in 500 has a wrong bit"),
    ("inserted", "a byte in 500 has another before it that nobody sent"),
    ("noisy", "bits turned over, and bytes that nobody sent"),
    ("seven-bits", "the eighth bit is lost"),
    ("parity", "the eighth bit is even parity"),
    ("split", "each byte arrives alone"),
    ("coalesced", "what 50 ms brought arrives together"),
    ("slow", "300 ms in the middle of lines, now and then"),
    ("stall", "5 s in the middle of lines, now and then"),
    ("crawl", "10 ms for each character"),
    ("late", "1.5 s late, now and then"),
    ("later", "4 s late, now and then"),
    ("latest", "10 s late, now and then"),
    ("hush", "nothing for 4 s at each step of a call, then all at once"),
    ("lost", "what it says in the 2 s after a dial or an answer is lost"),
    ("framing", "CR LF missing or doubled"),
    ("twice", "an OK in five comes twice"),
    ("no-ok", "an OK in twenty does not come"),
    ("errors", "an OK in twenty is an ERROR"),
    ("unsupported", "an OK in twenty is COMMAND NOT SUPPORT"),
    ("busy-sim", "an OK in twenty is +CME ERROR: 515"),
    ("storm", "lines that nobody asked for inside of answers"),
    ("inside", "RING in the middle of a line, now and then"),
    ("xoff", "XOFF and XON among the text"),
    ("cts", "the modem takes nothing for 3 s at a dial or an answer"),
    ("shared", "another process writes to the port and reads from it"),
    ("ghost", "no line that tells the end of a call arrives"),
    ("suspend", "the bus sleeps for 5 s in a call"),
    ("restart", "it starts anew while it dials or answers"),
    ("unplug-dialling", "pulled out while it dials or answers"),
    ("unplug-alerting", "pulled out 5 s after a dial or an answer"),
    ("unplug-playing", "pulled out when it begins to play"),
    ("unplug-recording", "pulled out while it records"),
    ("unplug-code", "pulled out between a DLE and its code"),
    ("gone", "the far end hangs up while the answer is on its way"),
    ("silent", "its audio stops for 2 s"),
    ("direct", "its audio is a direct current"),
    ("clipped", "its audio is clipped"),
    ("garbage", "its audio is noise"),
    ("escapes", "its audio is nothing but the byte 0x10"),
    ("skew", "its audio clock is 300 ppm fast"),
    ("sim", "its SIM card is pulled out in a call"),
    ("network", "its network is lost in a call"),
];

/// Commands that dial, and that answer.
const SETS_UP: &[&str] = &["ATD", "ATA", "+VLS=1"];
/// Commands that begin a stream.
const RECORDS: &[&str] = &["+VTR", "+VRX", "#VRX"];
const PLAYS: &[&str] = &["+VTX", "#VTX"];
/// Lines that tell the end of a call.
const ENDS: [&str; 6] = ["NO CARRIER", "BUSY", "^CEND", ",-1,", "VOICE CALL: END", "+WIND: 6"];

/// A deed, what brings it about, and how long after that.
#[derive(Clone, Debug)]
pub struct Order {
    /// Parts of command lines, each of them.
    pub at: &'static [&'static str],
    /// How long after.
    pub after: Duration,
    /// What.
    pub deed: Deed,
}

/// All that is wrong with a modem.
#[derive(Clone, Debug, Default)]
pub struct Trouble {
    /// Of what its command port says.
    pub to_host: Faults,
    /// Of what the host writes to it.
    pub to_modem: Faults,
    /// What happens once.
    pub deeds: Vec<Order>,
    /// How fast its audio clock is, in parts per million.
    pub skew: i32,
}

impl Trouble {
    /// The one of this name; those of networks do nothing to a modem on two wires.
    pub fn named(name: &str) -> Option<Trouble> {
        let known = TROUBLES.iter().any(|(known, _)| *known == name);
        let spoilt = |spoil| Some(Faults { spoil, ..Faults::default() });
        let to_host = bytes(name).and_then(spoilt).or_else(|| words(name).and_then(spoilt)).or_else(|| pace(name));
        let mut trouble = Trouble { to_host: to_host.unwrap_or_default(), deeds: deeds(name), ..Trouble::default() };
        trouble.to_host.spoil.audio = audio(name);
        if matches!(name, "flipped" | "lossy" | "inserted") {
            trouble.to_modem = trouble.to_host.clone();
        }
        if name == "skew" {
            trouble.skew = 300;
        }
        known.then_some(trouble)
    }
}

/// What is done to bytes.
fn bytes(name: &str) -> Option<Spoil> {
    let clean = Spoil::default();
    Some(match name {
        "flipped" => Spoil { flip_permille: 2, ..clean },
        "inserted" => Spoil { insert_permille: 2, ..clean },
        "noisy" => Spoil { flip_permille: 1, insert_permille: 2, ..clean },
        "seven-bits" => Spoil { mask: Mask::SevenBits, ..clean },
        "parity" => Spoil { mask: Mask::Parity, ..clean },
        _ => return None,
    })
}

/// What is done to lines.
fn words(name: &str) -> Option<Spoil> {
    let clean = Spoil::default();
    let refuses = |refusal: &str| Spoil { refuses_permille: 50, refusal: refusal.into(), ..Spoil::default() };
    Some(match name {
        "echo" => Spoil { echo: Echo::Whole, ..clean },
        "half-echo" => Spoil { echo: Echo::Half, ..clean },
        "bad-echo" => Spoil { echo: Echo::Mangled, ..clean },
        "framing" => Spoil { doubled_cr_permille: 300, bare_permille: 200, ..clean },
        "twice" => Spoil { twice_permille: 200, ..clean },
        "no-ok" => Spoil { lost_ok_permille: 50, ..clean },
        "errors" => refuses("ERROR"),
        "unsupported" => refuses("COMMAND NOT SUPPORT"),
        "busy-sim" => refuses("+CME ERROR: 515"),
        "inside" => Spoil { inside_permille: 50, inside: "RING".into(), ..clean },
        "xoff" => Spoil { xoff_permille: 300, ..clean },
        "shared" => Spoil { stolen_permille: 50, ..clean },
        "ghost" => Spoil { lost_lines: ENDS.iter().map(ToString::to_string).collect(), ..clean },
        _ => return None,
    })
}

/// When it arrives, and whether.
fn pace(name: &str) -> Option<Faults> {
    let clean = Faults::default();
    let millis = Duration::from_millis;
    Some(match name {
        "dead" => Faults { drop_permille: 1_000, ..clean },
        "lossy" => Faults { drop_permille: 2, ..clean },
        "split" => Faults { split: true, ..clean },
        "coalesced" => Faults { coalesce: millis(50), ..clean },
        "slow" => Faults { stall: Delay { permille: 300, by: millis(300) }, ..clean },
        "stall" => Faults { stall: Delay { permille: 20, by: millis(5_000) }, ..clean },
        "crawl" => Faults { pace: millis(10), ..clean },
        "late" => Faults { late: Delay { permille: 100, by: millis(1_500) }, ..clean },
        "later" => Faults { late: Delay { permille: 20, by: millis(4_000) }, ..clean },
        "latest" => Faults { late: Delay { permille: 10, by: millis(10_000) }, ..clean },
        "storm" => Faults { unsolicited_permille: 700, unsolicited: "+CREG: 1".into(), ..clean },
        _ => return None,
    })
}

fn audio(name: &str) -> AudioFault {
    match name {
        "direct" => AudioFault::Always(0xc0),
        "clipped" => AudioFault::Clipped,
        "garbage" => AudioFault::Noise,
        "escapes" => AudioFault::Always(0x10),
        _ => AudioFault::None,
    }
}

fn deeds(name: &str) -> Vec<Order> {
    let seconds = Duration::from_secs;
    let one = |at, after, deed| vec![Order { at, after: Duration::from_millis(after), deed }];
    match name {
        "hush" => [SETS_UP, RECORDS, &["+CHUP", "ATH"]]
            .into_iter()
            .map(|at| Order { at, after: Duration::ZERO, deed: Deed::Hush(seconds(4)) })
            .collect(),
        "lost" => one(SETS_UP, 0, Deed::Mute(seconds(2))),
        "cts" => one(SETS_UP, 0, Deed::Deaf(seconds(3))),
        "shared" => one(SETS_UP, 100, Deed::Types("AT+CSQ\r")),
        "suspend" => one(SETS_UP, 6_000, Deed::Suspend(seconds(5))),
        "restart" => one(SETS_UP, 0, Deed::Restart),
        "unplug-dialling" => one(SETS_UP, 0, Deed::Unplug),
        "unplug-alerting" => one(SETS_UP, 5_000, Deed::Unplug),
        "unplug-playing" => one(PLAYS, 0, Deed::Unplug),
        "unplug-recording" => one(RECORDS, 700, Deed::Unplug),
        "unplug-code" => one(SETS_UP, 0, Deed::UnplugInCode),
        "gone" => one(&["ATA", "+VLS=1"], 0, Deed::HangUp),
        "silent" => one(SETS_UP, 7_000, Deed::Silent(seconds(2))),
        "sim" => one(SETS_UP, 7_000, Deed::SimOut),
        "network" => one(SETS_UP, 7_000, Deed::Network(2)),
        _ => Vec::new(),
    }
}

impl Exchange {
    /// Lets a modem have this trouble, in place of any that it has.
    ///
    /// # Errors
    /// No such modem.
    pub fn trouble(&mut self, modem: ModemId, trouble: &Trouble) -> Result<(), OrderError> {
        let at = self.modems.get(modem.0 as usize).ok_or_else(|| OrderError::Unknown(modem.0.to_string()))?;
        let number = self.lines[at.line].number.clone();
        self.disarm(modem);
        self.faults(modem, 0, Direction::ToHost, trouble.to_host.clone());
        self.faults(modem, 0, Direction::ToModem, trouble.to_modem.clone());
        // A port of raw audio has what is wrong with audio alone.
        let spoil = Spoil { audio: trouble.to_host.spoil.audio, ..Spoil::default() };
        self.faults(modem, 1, Direction::ToHost, Faults { spoil, ..Faults::default() });
        for order in &trouble.deeds {
            for needle in order.at {
                self.after_command(modem, needle, order.after, order.deed)?;
            }
        }
        self.skew(&number, trouble.skew)
    }

    /// The name of a trouble that chance picks.
    pub fn any_trouble(&mut self) -> &'static str {
        TROUBLES[1 + self.random.below(TROUBLES.len() as u64 - 1) as usize].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_is_one() {
        let clean = format!("{:?}", Trouble::default());
        for (name, _) in TROUBLES {
            let trouble = Trouble::named(name).unwrap();
            assert_eq!(format!("{trouble:?}") == clean, name == "clean", "{name}");
        }
        assert!(Trouble::named("no such thing").is_none());
    }
}
