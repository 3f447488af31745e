//! Every transcript, in every way: as it stands, cut at every byte, kept and restored after every step, badly framed, and
//! with news of the modem at every line boundary.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod world;

use proptest::prelude::*;
use tsp_modem::transcript::{Numbers, Recorder};
use world::{Way, World, read, run};

fn names(prefix: &str) -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().unwrap().strip_suffix(".txt").map(str::to_owned))
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort();
    assert!(names.len() > 5, "{names:?}");
    names
}

fn all() -> Vec<String> {
    [names("analogue-"), names("cellular-")].concat()
}

#[test]
fn as_they_stand() {
    let mut failed = Vec::new();
    for name in all() {
        println!("{name}");
        if std::panic::catch_unwind(|| run(&name, Way::Plain)).is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn byte_by_byte() {
    for name in all() {
        run(&name, Way::Bytewise);
    }
}

#[test]
fn kept_and_restored_after_every_step() {
    for name in all() {
        assert_eq!(run(&name, Way::Kept), run(&name, Way::Plain), "{name}");
    }
}

#[test]
fn badly_framed() {
    for name in all() {
        run(&name, Way::BadlyFramed);
    }
}

#[test]
fn news_at_any_line_boundary_loses_no_step() {
    for news in ["^HCSQ: 50", "+CIEV: 2,1", "^BOOT:12345678,0,0,0,6", "+CUSD: 0,\"in between\",15", "*PSUTTZ: 1"] {
        for name in all() {
            run(&name, Way::Interrupted(news));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_byte_split_gives_the_same_events(sizes in prop::collection::vec(1usize..40, 1..12)) {
        for name in all() {
            run(&name, Way::Cut(&sizes));
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        tsp_modem::fuzz::at(&bytes);
        tsp_modem::fuzz::dle(&bytes);
        tsp_modem::fuzz::clcc(&bytes);
        tsp_modem::fuzz::caller_id(&bytes);
        tsp_modem::fuzz::pdu(&bytes);
    }
}

#[test]
fn a_number_that_is_no_marker_of_ours_is_just_a_number() {
    let heard = b"\r\n+CME ERROR: 30\r\n\r\nNO CAR\x10RI\xb8R\nNOVCON\r\nCOMMAND NOT SUPPORT\r\n\r\nCONNECT\r\n255";
    tsp_modem::fuzz::at(heard);
}

/// What is recorded of a run is a transcript that runs, and nobody's number is in it.
#[test]
fn a_recording_replays() {
    for name in [
        "analogue-in-answered",
        "analogue-profile-usr5637",
        "analogue-profile-conexant-cx93001",
        "analogue-supervised",
        "analogue-half-duplex",
        "analogue-recall",
        "analogue-waiting",
        "analogue-parts",
    ] {
        let text = read(name);
        let id = text.lines().find_map(|line| line.strip_prefix("profile ")).unwrap();
        let (id, options) = id.split_once(' ').unwrap_or((id, ""));
        let mut world = World::new(id, options, Way::Plain);
        world.recorder = Some((Recorder::new(Numbers::Hidden), String::new()));
        text.lines().skip_while(|line| line.starts_with("profile ")).for_each(|line| world.step(line));
        world.end();
        let (_, recording) = world.recorder.take().unwrap();
        assert!(!recording.contains("8055554567") && !recording.contains("5559999"), "{recording}");
        let mut again = World::new(id, options, Way::Plain);
        recording.lines().for_each(|line| again.step(line));
        assert_eq!(again.traces.len(), world.traces.len(), "{name}:\n{recording}");
    }
}
