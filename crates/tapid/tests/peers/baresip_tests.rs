use crate::app::App;
use crate::baresip::Baresip;
use crate::daemon::{Daemon, Directory};
use crate::sound;
use tapi::request::{CallAnswer, CallMake, CallMonitorDigits, CallMonitorTones, CallSendDigits, CallTone};
use tapi::{AddressId, CallId, End, EventBody, LineSelector};

const SENT_DBM0: f64 = -12.0;

pub fn microphone(directory: &Directory) -> std::path::PathBuf {
    let wav = directory.path().join("tone.wav");
    sound::write_tone(&wav, 1000.0, 30.0, SENT_DBM0);
    wav
}

/// Its tone is heard by us at the level at which it was sent, and nothing else is.
pub fn hear_the_microphone(app: &mut App, call: CallId) {
    app.ask(CallMonitorTones { call, hz: vec![1000, 440] });
    let mut good = 0;
    while good < 5 {
        let tones = app.wait("tone", |body| match body {
            EventBody::CallTone { tones, .. } => Some(tones.clone()),
            _ => None,
        });
        let level = |hz| tones.iter().find(|tone| tone.hz == hz).map_or(0.0, |tone| f64::from(tone.level_ddbm0) / 10.0);
        let right = (level(1000) - SENT_DBM0).abs() < 1.0 && level(440) < -35.0;
        good = if right { good + 1 } else { 0 };
    }
    app.ask(CallMonitorTones { call, hz: Vec::new() });
}

/// Our tone arrives at its ear, whole and at its level.
pub fn be_heard(app: &mut App, call: CallId) {
    let operation = app
        .ask(CallTone { call, hz: vec![440], named: None, country: None, duration_ms: 1000, level_dbm0: Some(-10) })
        .operation;
    app.wait("end of the tone", |body| match body {
        EventBody::CallGenerated { operation: ended, end: End::Done, .. } if *ended == operation => Some(()),
        _ => None,
    });
}

pub fn was_heard(baresip: &Baresip) {
    were_heard(baresip, 1);
}

/// So many of our tones arrived, whatever files they are in: it begins a new one after hold.
pub fn were_heard(baresip: &Baresip, tones: usize) {
    let loud = |heard: &Vec<i16>| {
        let levels = sound::levels(heard, 440.0);
        levels.iter().filter(|&&level| (level + 10.0).abs() < 1.0).count()
    };
    let loud: usize = baresip.heard().iter().map(loud).sum();
    let right = 40 * tones..=54 * tones;
    assert!(
        right.contains(&loud),
        "a second of 440 Hz at -10 dBm0 is 50 windows of 20 ms, {loud} were heard of {tones}"
    );
}

fn digit(app: &mut App) -> char {
    app.wait("digit", |body| match body {
        EventBody::CallDigit { digit, .. } => Some(*digit),
        _ => None,
    })
}

#[test]
fn baresip_calls_us_and_each_hears_the_other_and_its_digits() {
    let daemon = Daemon::start(None);
    let mut app = App::new(&daemon.socket());
    let mut baresip = Baresip::start(daemon.directory.path(), &microphone(&daemon.directory));
    baresip.command("dial", &format!("sip:100@127.0.0.1:{}", daemon.sip));
    let call = app.offered();
    app.ask(CallMonitorDigits { call, on: true });
    app.ask(CallAnswer { call });
    assert_eq!(app.states_to(call, "connected"), ["connected (active)"]);
    hear_the_microphone(&mut app, call);
    for key in ['4', '2', '#'] {
        baresip.key(key);
        assert_eq!(digit(&mut app), key);
    }
    be_heard(&mut app, call);
    let operation = app.ask(CallSendDigits { call, digits: "0*7".into(), duration_ms: None }).operation;
    app.wait("end of the digits", |body| match body {
        EventBody::CallGenerated { operation: ended, end: End::Done, .. } if *ended == operation => Some(()),
        _ => None,
    });
    baresip.command("hangup", "");
    assert_eq!(app.wait_for_hang_up(call).last().map(String::as_str), Some("disconnected (normal)"));
    baresip.stop();
    was_heard(&baresip);
    let log = baresip.log();
    for key in ['0', '*', '7'] {
        let count = log.matches(&format!("received event: '{key}' (end=0)")).count();
        assert_eq!(count, 1, "baresip heard {key} {count} times");
    }
}

#[test]
fn we_call_baresip_and_each_hears_the_other() {
    let parent = Directory::new();
    let mut baresip = Baresip::start(parent.path(), &microphone(&parent));
    let daemon = Daemon::start(Some(baresip.sip));
    let mut app = App::new(&daemon.socket());
    let call = app
        .ask(CallMake {
            line: LineSelector::Name("sip:trunk".into()),
            to: "100".into(),
            address: AddressId(0),
            block_id: false,
            comment: None,
            bearer: None,
        })
        .call;
    app.states_to(call, "connected");
    hear_the_microphone(&mut app, call);
    be_heard(&mut app, call);
    app.hang_up(call);
    baresip.stop();
    was_heard(&baresip);
}
