//! The engine against a modem that answers late, or never, or does not hear.

use super::*;
use proptest::prelude::*;

const DEFAULT: u32 = 3_000;
const PROBE: u32 = 1_500;

/// What becomes of one command line.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// Answered so many milliseconds after it was taken up.
    Answered(u64),
    /// Taken up, and never answered.
    Forgotten,
    /// Not even heard.
    Lost,
}

/// Whether the register of the marker exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Register {
    Kept,
    /// Shows the same number always.
    Fixed,
    /// Is written and read without a word.
    Mute,
    /// `ERROR`.
    Missing,
}

/// A modem that takes its commands in order. Every line that it says remembers whose answer it is.
struct Device {
    register: Register,
    fates: Vec<Fate>,
    heard: usize,
    free: u64,
    says: VecDeque<(u64, String, Option<u32>)>,
}

impl Device {
    fn hear(&mut self, now: u64, text: &str, owner: Option<u32>) {
        let fate = self.fates.get(self.heard).copied().unwrap_or(Fate::Answered(1));
        self.heard += 1;
        let wait = match fate {
            Fate::Answered(wait) => wait,
            Fate::Forgotten | Fate::Lost => return,
        };
        self.free = self.free.max(now) + wait;
        let shown = match (text.strip_prefix("ATS10="), self.register) {
            (Some(rest), Register::Kept) => rest.split('S').next().map(|number| format!("{number:0>3}")),
            (Some(_), Register::Fixed) => Some("000".to_owned()),
            (Some(_), Register::Mute | Register::Missing) => None,
            (None, _) => text.contains('?').then(|| format!("+X: {text}")),
        };
        let missing = text.starts_with("ATS10=") && self.register == Register::Missing;
        let result = if missing || text.ends_with('!') { "ERROR" } else { "OK" };
        for line in shown.into_iter().chain([result.to_owned()]) {
            self.says.push_back((self.free, line, owner));
        }
    }
}

/// Runs so many commands through the engine; gives how many were answered in time. Whatever an engine concludes, the
/// answer that it gives to a command must be the one that the modem gave to it.
fn run(register: Register, fates: &[Fate]) -> usize {
    let mut device = Device { register, fates: fates.to_vec(), heard: 0, free: 0, says: VecDeque::new() };
    let mut chat: Chat<u32> = Chat::new(20, PROBE, 500);
    chat.start(Time::from_millis(100));
    let ask = |chat: &mut Chat<u32>, now: Time, number: u32| {
        let text = ["AT+A=1", "AT+B?", "AT+C!", "ATH"][number as usize % 4];
        assert!(chat.ask(now, Ask::new(text, number, DEFAULT).expects("+X:")));
    };
    (0..12).for_each(|number| ask(&mut chat, Time::ZERO, number));
    let (mut open, mut answered, mut now) = (12, 0, 0u64);
    for _ in 0..2_000 {
        let line = device.says.front().map(|(at, ..)| (*at).max(now));
        let wake = chat.deadline().map(|at| at.as_millis().max(now));
        let mut owner = None;
        match (line, wake) {
            (Some(line), wake) if wake.is_none_or(|wake| line <= wake) => {
                now = line;
                let (_, text, whose) = device.says.pop_front().unwrap();
                owner = whose;
                format!("\r\n{text}\r\n").bytes().for_each(|byte| chat.byte(Time::from_millis(now), byte));
            }
            (_, Some(wake)) => {
                now = wake;
                chat.timeout(Time::from_millis(now));
            }
            _ => break,
        }
        while let Some(said) = chat.poll() {
            match said {
                Said::Sent { text, purpose } => device.hear(now, &text, purpose),
                Said::Done { purpose, outcome: Outcome::Final(result), lines, text } => {
                    assert_eq!(owner, Some(purpose), "{text} got {result:?} {lines:?}: another's answer");
                    assert!(lines.iter().all(|line| *line == format!("+X: {text}")), "{text} got {lines:?}");
                    assert_eq!(result.is_ok(), !text.ends_with('!'));
                    answered += 1;
                    open -= 1;
                }
                Said::Done { outcome: Outcome::TimedOut, .. } => open -= 1,
                Said::Dead if matches!(register, Register::Mute | Register::Missing) => return answered,
                Said::Dead => {
                    // The modem is brought back: what it owed may still come.
                    chat.start(Time::from_millis(now + 1_600));
                    (0..open).for_each(|number| ask(&mut chat, Time::from_millis(now), 100 + number));
                }
                Said::Write(_) | Said::Line(_) | Said::Unsolicited(_) => {}
            }
        }
    }
    assert!(open == 0 || device.heard < 2_000, "the engine is stuck with {open} commands");
    answered
}

#[test]
fn answers_at_once_twice_and_three_times_their_time_are_nobody_elses() {
    for register in [Register::Kept, Register::Fixed, Register::Missing] {
        // The first two lines are those of the opening.
        for late in [3_001, 4_400, 4_600, 6_001, 9_001, 20_000] {
            for at in 2..8 {
                let mut fates = vec![Fate::Answered(5); 40];
                fates[at] = Fate::Answered(late);
                let answered = run(register, &fates);
                assert!(answered >= 5 || register == Register::Missing, "{register:?} {late} {at}: {answered}");
            }
        }
    }
}

#[test]
fn every_modem_is_understood_where_all_answers_come_in_time() {
    for register in [Register::Kept, Register::Fixed, Register::Mute, Register::Missing] {
        assert_eq!(run(register, &[Fate::Answered(900); 60]), 12);
    }
}

/// An answer that nobody waits for shows that the one before may have been another's: the place is found again, and a
/// modem that says everything twice is still spoken to.
#[test]
fn a_modem_that_answers_twice_is_not_asked_for_ever() {
    let mut chat: Chat<u32> = Chat::new(20, PROBE, 500);
    chat.start(Time::ZERO);
    (0..5).for_each(|number| assert!(chat.ask(Time::ZERO, Ask::new("AT+A", number, DEFAULT))));
    let (mut now, mut sent, mut done) = (0, 0, 0);
    for _ in 0..400 {
        let Some(at) = chat.deadline() else { break };
        now = at.as_millis().max(now);
        chat.timeout(at);
        while let Some(said) = chat.poll() {
            match said {
                Said::Sent { text, .. } => {
                    sent += 1;
                    let number = text.strip_prefix("ATS10=").and_then(|rest| rest.split('S').next());
                    let shown = number.map_or(String::new(), |number| format!("\r\n{number}\r\n"));
                    let answer = format!("{shown}\r\nOK\r\n\r\nOK\r\n");
                    answer.bytes().for_each(|byte| chat.byte(Time::from_millis(now), byte));
                }
                Said::Done { .. } => done += 1,
                _ => {}
            }
        }
    }
    assert_eq!(done, 5);
    assert!(sent < 40, "{sent} command lines for 5 commands");
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => (1u64..200).prop_map(Fate::Answered),
        3 => (1u64..14_000).prop_map(Fate::Answered),
        1 => Just(Fate::Forgotten),
        1 => Just(Fate::Lost),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn no_answer_is_ever_taken_for_anothers(fates in prop::collection::vec(fate(), 0..60)) {
        // It opened well once: from then on nothing but the number will do.
        run(Register::Kept, &[vec![Fate::Answered(1); 2], fates].concat());
    }

    #[test]
    fn nor_where_the_register_cannot_be_written(
        waits in prop::collection::vec(1u64..300, 40),
        late in prop::collection::vec((2usize..40, 3_000u64..7_000), 0..2),
    ) {
        let mut fates: Vec<Fate> = waits.into_iter().map(Fate::Answered).collect();
        late.into_iter().for_each(|(at, wait)| fates[at] = Fate::Answered(wait));
        run(Register::Missing, &fates);
        run(Register::Fixed, &fates);
    }
}

#[test]
fn between_a_result_and_the_next_command_there_is_the_dead_time() {
    for dead_time in [20, 100] {
        let mut chat: Chat<u32> = Chat::new(dead_time, PROBE, 500);
        chat.start(Time::ZERO);
        (0..5).for_each(|number| assert!(chat.ask(Time::ZERO, Ask::new("AT+A", number, DEFAULT))));
        let (mut now, mut waits, mut heard) = (0, Vec::new(), None);
        while let Some(at) = chat.deadline() {
            now = at.as_millis().max(now);
            chat.timeout(at);
            while let Some(said) = chat.poll() {
                match said {
                    Said::Sent { text, purpose } => {
                        waits.extend(heard.zip(purpose).map(|(heard, _)| now - heard));
                        let number = text.strip_prefix("ATS10=").and_then(|rest| rest.split('S').next());
                        let shown = number.map_or(String::new(), |number| format!("\r\n{number}\r\n"));
                        now += 1;
                        format!("{shown}\r\nOK\r\n").bytes().for_each(|byte| chat.byte(Time::from_millis(now), byte));
                        heard = Some(now);
                    }
                    Said::Unsolicited(line) => panic!("{line}"),
                    _ => {}
                }
            }
        }
        assert_eq!(waits, [u64::from(dead_time); 5]);
    }
}

#[test]
fn one_command_is_in_flight() {
    let mut chat: Chat<u32> = Chat::new(20, PROBE, 500);
    chat.state = State::Idle;
    assert!(chat.ask(Time::ZERO, Ask::new("AT+A", 1, DEFAULT)));
    assert!(chat.ask(Time::ZERO, Ask::new("AT+B", 2, DEFAULT)));
    chat.timeout(Time::from_millis(2_999));
    let sent = |said: &Said<u32>| matches!(said, Said::Sent { .. });
    assert_eq!(std::iter::from_fn(|| chat.poll()).filter(sent).count(), 1);
    for number in 0..100 {
        chat.ask(Time::ZERO, Ask::new("AT+B", number, DEFAULT));
    }
    assert!(!chat.ask(Time::ZERO, Ask::new("AT+B", 0, DEFAULT)), "the queue is bounded");
}
