//! What is checked of every profile when it is read, a user's as the crate's own: commands, the holes in them, times.

use super::{Cell, Profile, Recover, Timeouts};

/// The longest command: V.250 5.2.1 has modems take forty characters, all that are known take more.
const LONGEST: usize = 120;

type Fault = Option<(&'static str, String)>;

/// A command, the holes that it must have, and those that it may have.
type Row<'a> = (&'static str, &'a str, &'static [&'static str], &'static [&'static str]);

const NONE: &[&str] = &[];

impl Profile {
    /// The first thing in its commands and times that cannot be: the key, and why.
    pub(super) fn lint(&self) -> Fault {
        let steps = self.init.seq.iter().flat_map(|step| step.split('|')).map(|step| ("init.seq", step, NONE, NONE));
        let voice = self.voice.iter().flat_map(|voice| {
            let own = [
                ("voice.enter", &voice.enter),
                ("voice.leave", &voice.leave),
                ("voice.answer", &voice.answer),
                ("voice.flash", &voice.flash),
                ("voice.blind_on", &voice.blind_on),
                ("voice.blind_off", &voice.blind_off),
            ];
            let setup = voice.setup.iter().map(|command| ("voice.setup", command));
            let hangup = voice.hangup.iter().map(|command| ("voice.hangup", command));
            let plain = own.into_iter().chain(setup).chain(hangup).map(|(key, text)| (key, text.as_str(), NONE, NONE));
            let dial: Row<'_> = ("voice.dial", &voice.dial, &["{n}"], NONE);
            let distinctive = voice.distinctive.split('|').map(|command| ("voice.distinctive", command, NONE, NONE));
            plain.chain(distinctive).chain([dial])
        });
        let audio = self.audio.iter().flat_map(|audio| {
            let own = [
                ("audio.list", &audio.list),
                ("audio.duplex", &audio.duplex),
                ("audio.record", &audio.record),
                ("audio.play", &audio.play),
            ];
            let methods = audio.methods.iter().map(|method| ("audio.methods", &method.vsm));
            own.into_iter().chain(methods).map(|(key, text)| (key, text.as_str(), NONE, NONE))
        });
        let reset = self.recover.reset.iter().map(|command| ("recover.reset", command.as_str(), NONE, NONE));
        let cell = self.cell.iter().flat_map(commands);
        let mut rows = steps.chain(voice).chain(audio).chain(reset).chain(cell);
        rows.find_map(command_fault)
            .or_else(|| required(self))
            .or_else(|| self.labels_fault())
            .or_else(|| times_fault(&self.timeouts_ms))
            .or_else(|| recover_fault(&self.recover))
    }

    /// One number for a way to carry samples means one way.
    fn labels_fault(&self) -> Fault {
        let methods = &self.audio.as_ref()?.methods;
        let label = |vsm: &str| vsm.split(',').next().unwrap_or_default().to_owned();
        let twice = methods.iter().enumerate().find(|(at, one)| {
            methods[..*at].iter().any(|other| label(&other.vsm) == label(&one.vsm) && other.fmt != one.fmt)
        })?;
        Some(("audio.methods", format!("{:?} means two things", label(&twice.1.vsm))))
    }
}

/// Every command of a cellular profile; an empty one is none.
fn commands(cell: &Cell) -> Vec<Row<'_>> {
    let voice_check = cell.voice_check.as_ref().map(|check| check.ask.as_str());
    let mut rows: Vec<Row<'_>> = vec![
        ("cell.dial", &cell.dial, &["{n}"], NONE),
        ("cell.dial_withheld", cell.dial_withheld.as_deref().unwrap_or_default(), &["{n}"], NONE),
        ("cell.answer", &cell.answer, NONE, NONE),
        ("cell.release_one", &cell.release_one, &["{i}"], NONE),
        ("cell.reject", cell.reject.as_deref().unwrap_or_default(), NONE, &["{i}"]),
        ("cell.reject_waiting", &cell.reject_waiting, NONE, NONE),
        ("cell.swap", &cell.swap, NONE, NONE),
        ("cell.conference", cell.conference.as_deref().unwrap_or_default(), NONE, NONE),
        ("cell.split", cell.split.as_deref().unwrap_or_default(), &["{i}"], NONE),
        ("cell.transfer", cell.transfer.as_deref().unwrap_or_default(), NONE, NONE),
        ("cell.deflect", cell.deflect.as_deref().unwrap_or_default(), &["{n}"], &["{t}"]),
        ("cell.forward", cell.forward.as_deref().unwrap_or_default(), NONE, NONE),
        ("cell.dtmf", &cell.dtmf, &["{c}"], &["{i}"]),
        ("cell.dtmf_length", &cell.dtmf_length, &["{d}"], NONE),
        ("cell.cause", &cell.cause, NONE, NONE),
        ("cell.own_number", &cell.own_number, NONE, NONE),
        ("cell.voice_check", voice_check.unwrap_or_default(), NONE, NONE),
    ];
    let setup = cell.sms.as_ref().map_or(&[][..], |sms| &sms.setup);
    for (key, list) in [
        ("cell.hangup", cell.hangup.as_slice()),
        ("cell.iccid", &cell.iccid),
        ("cell.audio_ready", &cell.audio_ready),
        ("cell.audio_start", &cell.audio_start),
        ("cell.audio_stop", &cell.audio_stop),
        ("cell.sms.setup", setup),
    ] {
        rows.extend(list.iter().map(|command| (key, command.as_str(), NONE, NONE)));
    }
    rows
}

fn command_fault((key, text, must, may): Row<'_>) -> Fault {
    if text.is_empty() {
        return None;
    }
    if !text.starts_with("AT") {
        return Some((key, format!("the command {text:?} does not begin with AT")));
    }
    if text.len() > LONGEST || !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Some((key, format!("{text:?}: at most {LONGEST} characters of ASCII")));
    }
    if let Some(hole) = must.iter().find(|hole| !text.contains(**hole)) {
        return Some((key, format!("{text:?} has no {hole}")));
    }
    let plain = must.iter().chain(may).fold(text.to_owned(), |text, hole| text.replace(hole, ""));
    plain.contains(['{', '}']).then(|| {
        let known: Vec<&str> = must.iter().chain(may).copied().collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        (key, format!("{text:?} has a hole that nobody fills: known are {known}"))
    })
}

/// What may not be empty.
fn required(profile: &Profile) -> Fault {
    let cell = profile.cell.as_ref()?;
    let rows = [
        ("cell.dial", &cell.dial),
        ("cell.answer", &cell.answer),
        ("cell.release_one", &cell.release_one),
        ("cell.reject_waiting", &cell.reject_waiting),
        ("cell.swap", &cell.swap),
        ("cell.dtmf", &cell.dtmf),
    ];
    rows.into_iter().find(|(_, text)| text.is_empty()).map(|(key, _)| (key, "must not be empty".to_owned()))
}

fn times_fault(times: &Timeouts) -> Fault {
    [
        ("timeouts_ms.default", times.default, 1_000..=30_000),
        ("timeouts_ms.probe", times.probe, 500..=10_000),
        ("timeouts_ms.dial", times.dial, 10_000..=180_000),
        ("timeouts_ms.answer", times.answer, 3_000..=60_000),
        ("timeouts_ms.hangup", times.hangup, 2_000..=30_000),
        ("timeouts_ms.abort", times.abort, 200..=5_000),
        ("timeouts_ms.inter_cmd", times.inter_cmd, 20..=500),
        ("timeouts_ms.ring_gone", times.ring_gone, 6_500..=20_000),
        ("timeouts_ms.clip", times.clip, 0..=2_000),
    ]
    .into_iter()
    .find_map(out_of_bounds)
}

fn recover_fault(recover: &Recover) -> Fault {
    [
        ("recover.dtr_ms", recover.dtr_ms, 100..=5_000),
        ("recover.reset_after_ms", recover.reset_after_ms, 0..=600_000),
        ("recover.reset_ms", recover.reset_ms, 1_000..=120_000),
        ("recover.reopen_after", recover.reopen_after, 1..=100),
        ("recover.max_wait_ms", recover.max_wait_ms, 1_000..=3_600_000),
    ]
    .into_iter()
    .find_map(out_of_bounds)
}

fn out_of_bounds((key, value, bounds): (&'static str, u32, std::ops::RangeInclusive<u32>)) -> Fault {
    let text = format!("{value}: must be between {} and {}", bounds.start(), bounds.end());
    (!bounds.contains(&value)).then_some((key, text))
}
