//! Subscribers that are not modems: what they do is written down beforehand.

use super::meter::{DtmfDetector, Key, Reading, mean_square, power_at, read};
use super::tone::{Player, Steady, mix};
use std::collections::VecDeque;
use std::str::FromStr;
use std::time::Duration;
use tspi::Frame;
use tspi::media::FRAME_SAMPLES;

/// When a subscriber answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answering {
    /// After it rang for so long.
    After(Duration),
    /// It rings, and never answers.
    Never,
    /// It is always engaged.
    Busy,
    /// It refuses each call after so long.
    Rejects(Duration),
}

/// What a subscriber says in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// Nothing.
    Silence,
    /// A tone.
    Tone {
        /// Frequency.
        hz: u32,
        /// Level in tenths of dBm0.
        level_ddbm0: i32,
    },
    /// What it hears, so much later.
    Echo(Duration),
}

/// What a subscriber that is not a modem does.
///
/// As text, a list of words: `tone:HZ[@DDBM0]`, `echo[:TIME]`, `silence`, `answer:TIME`, `never`, `busy`, `reject[:TIME]`,
/// `hangup:TIME`, `withheld`, `name:TEXT`; a TIME is `500ms` or `2s`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// When it answers.
    pub answering: Answering,
    /// What it says.
    pub says: Says,
    /// When it hangs up, counted from the answer.
    pub hang_up: Option<Duration>,
    /// Its name, sent with its number when it calls.
    pub name: Option<String>,
    /// Whether it withholds its number when it calls.
    pub withheld: bool,
}

impl Default for Behaviour {
    fn default() -> Behaviour {
        let answering = Answering::After(Duration::from_millis(500));
        Behaviour { answering, says: Says::Silence, hang_up: None, name: None, withheld: false }
    }
}

/// A behaviour that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseBehaviourError(String);

impl std::fmt::Display for ParseBehaviourError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "`{}`: expected tone:HZ[@DDBM0], echo[:TIME], silence, answer:TIME, never, busy, reject[:TIME], \
             hangup:TIME, withheld or name:TEXT, with a TIME like 500ms or 2s",
            self.0
        )
    }
}

impl std::error::Error for ParseBehaviourError {}

fn time(text: &str) -> Option<Duration> {
    if let Some(millis) = text.strip_suffix("ms") {
        return millis.parse().ok().map(Duration::from_millis);
    }
    let seconds: u32 = text.strip_suffix('s')?.parse().ok()?;
    Some(Duration::from_secs(u64::from(seconds)))
}

fn tone(text: &str) -> Option<Says> {
    let (hz, level) = text.split_once('@').unwrap_or((text, "-160"));
    let (hz, level_ddbm0) = (hz.parse().ok()?, level.parse().ok()?);
    ((20..4_000).contains(&hz) && (-700..=30).contains(&level_ddbm0)).then_some(Says::Tone { hz, level_ddbm0 })
}

impl FromStr for Behaviour {
    type Err = ParseBehaviourError;

    fn from_str(text: &str) -> Result<Behaviour, ParseBehaviourError> {
        let mut behaviour = Behaviour::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let bad = || ParseBehaviourError(word.to_string());
            let (verb, value) = word.split_once(':').unwrap_or((word, ""));
            match verb {
                "tone" => behaviour.says = tone(value).ok_or_else(bad)?,
                "echo" if value.is_empty() => behaviour.says = Says::Echo(Duration::ZERO),
                "echo" => behaviour.says = Says::Echo(time(value).ok_or_else(bad)?),
                "silence" => behaviour.says = Says::Silence,
                "answer" => behaviour.answering = Answering::After(time(value).ok_or_else(bad)?),
                "never" => behaviour.answering = Answering::Never,
                "busy" => behaviour.answering = Answering::Busy,
                "reject" if value.is_empty() => behaviour.answering = Answering::Rejects(Duration::ZERO),
                "reject" => behaviour.answering = Answering::Rejects(time(value).ok_or_else(bad)?),
                "hangup" => behaviour.hang_up = Some(time(value).ok_or_else(bad)?),
                "withheld" => behaviour.withheld = true,
                "name" if !value.is_empty() => behaviour.name = Some(value.to_string()),
                _ => return Err(bad()),
            }
        }
        Ok(behaviour)
    }
}

/// What a robot noticed in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noticed {
    Digit(char, u32),
    Heard(Reading),
    Echoed(u32, u32),
}

/// A tone that was said on order: how long until it is heard again.
#[derive(Clone, Copy, Debug)]
struct Stopwatch {
    hz: u32,
    frames: u32,
}

/// After so many frames a tone does not come back any more: 5 s.
const NO_ECHO: u32 = 250;

/// A subscriber's voice and ear.
#[derive(Debug)]
pub(super) struct Robot {
    pub(super) behaviour: Behaviour,
    pub(super) extra: Player,
    tone: Option<Steady>,
    echo: VecDeque<Frame>,
    detector: DtmfDetector,
    second: Vec<i16>,
    stopwatch: Option<Stopwatch>,
    overheard: Option<Vec<Frame>>,
}

/// So much of what it hears is kept: 20 minutes.
const KEPT: usize = 60_000;

const SECOND: usize = 8_000;

impl Robot {
    pub(super) fn new(behaviour: Behaviour) -> Robot {
        let mut robot = Robot {
            behaviour,
            extra: Player::default(),
            tone: None,
            echo: VecDeque::new(),
            detector: DtmfDetector::default(),
            second: Vec::new(),
            stopwatch: None,
            overheard: None,
        };
        robot.begin();
        robot
    }

    /// A call begins: voice and ear start afresh.
    pub(super) fn begin(&mut self) {
        self.extra.clear();
        self.detector = DtmfDetector::default();
        self.second.clear();
        self.echo.clear();
        self.tone = None;
        match self.behaviour.says {
            Says::Silence => {}
            Says::Tone { hz, level_ddbm0 } => self.tone = Some(Steady::new(f64::from(hz), level_ddbm0)),
            Says::Echo(delay) => {
                let frames = (delay.as_millis() / 20).min(250) as usize;
                self.echo.extend(std::iter::repeat_n(Frame::SILENCE, frames));
            }
        }
    }

    /// From now on, whether this frequency comes back is listened for.
    pub(super) fn listen_for(&mut self, hz: u32) {
        self.stopwatch = Some(Stopwatch { hz, frames: 0 });
    }

    /// What it heard since the last time; it is kept from now on.
    pub(super) fn overhear(&mut self) -> Vec<Frame> {
        self.overheard.replace(Vec::new()).unwrap_or_default()
    }

    fn echoed(&mut self, heard: &Frame) -> Option<Noticed> {
        let Stopwatch { hz, frames } = self.stopwatch?;
        // A fifth of the power and above -40 dBm0 (rms 160): it is there, whatever else is.
        let power = power_at(&heard.0, f64::from(hz));
        if power > mean_square(&heard.0) / 5.0 && power > 160.0 * 160.0 {
            self.stopwatch = None;
            return Some(Noticed::Echoed(hz, frames * 20));
        }
        self.stopwatch = (frames < NO_ECHO).then_some(Stopwatch { hz, frames: frames + 1 });
        None
    }

    /// Hears 20 ms and says 20 ms.
    pub(super) fn frame(&mut self, heard: &Frame) -> (Frame, Vec<Noticed>) {
        let mut noticed = Vec::new();
        if let Some(Key::Up(digit, millis)) = self.detector.hear(heard) {
            noticed.push(Noticed::Digit(digit, millis));
        }
        noticed.extend(self.echoed(heard));
        if let Some(kept) = self.overheard.as_mut().filter(|kept| kept.len() < KEPT) {
            kept.push(*heard);
        }
        self.second.extend_from_slice(&heard.0);
        if self.second.len() + FRAME_SAMPLES > SECOND {
            noticed.push(Noticed::Heard(read(&self.second)));
            self.second.clear();
        }
        let mut said = Frame::SILENCE;
        if let Says::Echo(_) = self.behaviour.says {
            self.echo.push_back(*heard);
            said = self.echo.pop_front().unwrap_or(Frame::SILENCE);
        }
        match (self.extra.frame(), &mut self.tone) {
            (Some(extra), _) => said = extra,
            (None, Some(tone)) => mix(&mut said, &tone.frame()),
            (None, None) => {}
        }
        (said, noticed)
    }
}
