//! baresip as a trunk: audio judged by its content under TLS and SRTP, in other codecs, over hold.

use crate::app::App;
use crate::baresip::Baresip;
use crate::baresip_tests::{be_heard, hear_the_microphone, microphone, was_heard, were_heard};
use crate::daemon::{Daemon, Directory, free_port};
use crate::sipp::Sipp;
use crate::sound;
use crate::transport_tests::{certificates, texts};
use tapi::request::{
    CallAcceptTransfer, CallAnswer, CallBlindTransfer, CallGet, CallHold, CallMonitorTones, CallTone, CallUnhold,
};
use tapi::{CallId, CallState, EventBody, TransferWay};

/// A daemon whose line speaks TLS with baresip, with these further keys, and a baresip with these parameters of its account.
fn under_tls(keys: &str, parameters: &str) -> (Daemon, Baresip, u16) {
    let directory = Directory::new();
    certificates(&directory);
    let at = directory.path().to_path_buf();
    let wav = microphone(&directory);
    let further = format!(
        "module srtp.so\nsip_certificate {0}/both.pem\nsip_cafile {0}/ca.pem\nsip_verify_server yes\n",
        at.display()
    );
    let account = format!("<sip:100@127.0.0.1;transport=tls>;regint=0;answermode=auto{parameters}");
    let baresip = Baresip::start_as(&at, &wav, &further, &account);
    let port = free_port();
    let tls = format!(
        "listen_tls = \"127.0.0.1:{port}\"\ntls = {{ certificate = \"cert.pem\", key = \"key.pem\", ca = \"ca.pem\" }}\n"
    );
    let line = format!("proxy = \"127.0.0.1:{};transport=tls\"\n{keys}", baresip.sip + 1);
    let daemon = Daemon::start_at(directory, "127.0.0.1", free_port(), [&tls, &line]);
    (daemon, baresip, port)
}

/// A far end that says what it hears: our tone goes there and comes back, at its level.
fn hear_the_echo(app: &mut App, call: CallId) {
    let tone = CallTone { call, hz: vec![440], named: None, country: None, duration_ms: 2_000, level_dbm0: Some(-10) };
    let operation = app.ask(tone).operation;
    app.ask(CallMonitorTones { call, hz: vec![440] });
    let mut good = 0;
    let mut ended = false;
    while good < 8 && !ended {
        let level = app.wait("tone", |body| match body {
            EventBody::CallTone { tones, .. } => {
                Some(tones.first().map_or(-100.0, |tone| f64::from(tone.level_ddbm0) / 10.0))
            }
            EventBody::CallGenerated { operation: over, .. } if *over == operation => Some(f64::NAN),
            _ => None,
        });
        ended = level.is_nan();
        good += usize::from((level + 10.0).abs() < 1.0);
    }
    assert!(good >= 8, "the tone came back in {good} windows only");
    app.ask(CallMonitorTones { call, hz: Vec::new() });
    if !ended {
        app.wait("end of the tone", |body| match body {
            EventBody::CallGenerated { operation: over, .. } if *over == operation => Some(()),
            _ => None,
        });
    }
}

/// It holds and retrieves, and is heard before and after. What it hears after that cannot be judged by it: version 1.0 restarts
/// its player for hold, and neither bridges nor records what that plays.
fn held_and_retrieved(app: &mut App, call: CallId, baresip: &mut Baresip) {
    hear_the_microphone(app, call);
    baresip.command("hold", "");
    assert_eq!(app.state(call).to_string(), "connected (active_held)");
    baresip.command("resume", "");
    assert_eq!(app.state(call).to_string(), "connected (active)");
    hear_the_microphone(app, call);
}

fn security(app: &mut App, call: CallId) -> String {
    format!("{:?}", app.ask(CallGet { call }).info.media)
}

#[test]
fn calls_under_tls_with_srtp_are_heard_both_ways_whoever_calls() {
    let (daemon, mut baresip, port) = under_tls("srtp = \"required\"\n", ";mediaenc=srtp-mand");
    let mut app = App::new(&daemon.socket());
    baresip.command("dial", &format!("sip:100@127.0.0.1:{port};transport=tls"));
    let call = app.offered();
    app.ask(CallAnswer { call });
    app.states_to(call, "connected");
    hear_the_microphone(&mut app, call);
    be_heard(&mut app, call);
    let media = security(&mut app, call);
    assert!(media.contains("AES_CM_128_HMAC_SHA1"), "{media}");
    app.hang_up(call);

    let call = app.make("sip:trunk", "100");
    app.states_to(call, "connected");
    hear_the_microphone(&mut app, call);
    be_heard(&mut app, call);
    baresip.command("hangup", "");
    app.wait_for_hang_up(call);
    baresip.stop();
    were_heard(&baresip, 2);
}

#[test]
fn required_protection_stays_required_over_hold_and_is_not_given_up_for_a_caller_without_it() {
    let (daemon, mut baresip, port) = under_tls("srtp = \"required\"\n", ";mediaenc=srtp-mand");
    let mut app = App::new(&daemon.socket());
    baresip.command("dial", &format!("sip:100@127.0.0.1:{port};transport=tls"));
    let call = app.offered();
    app.ask(CallAnswer { call });
    app.states_to(call, "connected");
    held_and_retrieved(&mut app, call, &mut baresip);
    let media = security(&mut app, call);
    assert!(media.contains("AES_CM_128_HMAC_SHA1"), "{media}");
    app.hang_up(call);
    drop(baresip);

    let plain = Directory::new();
    let mut baresip = Baresip::start(plain.path(), &microphone(&plain));
    baresip.command("dial", &format!("sip:100@127.0.0.1:{}", daemon.sip));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !baresip.log().contains("488") {
        assert!(std::time::Instant::now() < deadline, "a call without protection is refused: {}", baresip.log());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// A tone for a codec of 16 kHz.
fn wide_microphone(directory: &Directory) -> std::path::PathBuf {
    let wav = directory.path().join("wide.wav");
    sound::write_tone_at(&wav, 16_000, (1000.0, 30.0, -12.0));
    wav
}

/// A call of baresip's in one codec, held and retrieved by it; heard before and after.
fn heard_in(codec: &str, module: &str, theirs: &str) {
    let parent = Directory::new();
    let account = format!("<sip:100@127.0.0.1>;regint=0;answermode=auto;audio_codecs={theirs}");
    let wav = if codec == "G722" { wide_microphone(&parent) } else { microphone(&parent) };
    let mut baresip = Baresip::start_as(parent.path(), &wav, module, &account);
    let daemon = Daemon::start_with(Some(baresip.sip), &format!("codecs = [\"{codec}\"]\n"));
    let mut app = App::new(&daemon.socket());
    baresip.command("dial", &format!("sip:100@127.0.0.1:{}", daemon.sip));
    let call = app.offered();
    app.ask(CallAnswer { call });
    app.states_to(call, "connected");
    held_and_retrieved(&mut app, call, &mut baresip);
    let media = security(&mut app, call).to_uppercase();
    assert!(media.contains(codec), "{media}");
    app.hang_up(call);
}

#[test]
fn a_call_in_pcma_is_heard_before_and_after_hold() {
    heard_in("PCMA", "", "PCMA/8000/1");
}

#[test]
fn a_call_in_g722_is_heard_before_and_after_hold() {
    heard_in("G722", "module g722.so\n", "G722/16000/1");
}

#[test]
fn a_call_in_g722_that_we_make_is_heard_both_ways() {
    let parent = Directory::new();
    let account = "<sip:100@127.0.0.1>;regint=0;answermode=auto;audio_codecs=G722/16000/1";
    let mut baresip = Baresip::start_as(parent.path(), &wide_microphone(&parent), "module g722.so\n", account);
    let daemon = Daemon::start_with(Some(baresip.sip), "codecs = [\"PCMA\", \"G722\"]\n");
    let mut app = App::new(&daemon.socket());
    let call = app.make("sip:trunk", "100");
    app.states_to(call, "connected");
    hear_the_microphone(&mut app, call);
    be_heard(&mut app, call);
    app.hang_up(call);
    baresip.stop();
    was_heard(&baresip);
}

#[test]
fn we_hold_and_retrieve_and_our_tone_comes_back_before_and_after() {
    let port = free_port();
    let daemon = Daemon::start(Some(port));
    let mut app = App::new(&daemon.socket());
    let arguments = ["-rtp_echo", "-mp", &free_port().to_string()];
    let sipp = Sipp::callee_by(daemon.directory.path(), "callee_is_held", port, &arguments);
    let call = app.make("sip:trunk", "200");
    app.states_to(call, "connected");
    hear_the_echo(&mut app, call);
    app.ask(CallHold { call });
    assert_eq!(app.state(call), CallState::OnHold);
    app.ask(CallUnhold { call });
    assert_eq!(app.state(call).name(), "connected");
    hear_the_echo(&mut app, call);
    app.hang_up(call);
    sipp.finish();
}

#[test]
fn baresip_transfers_us_and_we_talk_to_whom_it_named() {
    let parent = Directory::new();
    let mut baresip = Baresip::start(parent.path(), &microphone(&parent));
    let daemon = Daemon::start(None);
    let mut app = App::new(&daemon.socket());
    let target = free_port();
    let sipp = Sipp::callee(daemon.directory.path(), "callee_answers", target);
    baresip.command("dial", &format!("sip:100@127.0.0.1:{}", daemon.sip));
    let call = app.offered();
    app.ask(CallAnswer { call });
    app.states_to(call, "connected");
    baresip.command("transfer", &format!("sip:fork@127.0.0.1:{target}"));
    let to = app.wait("wish to be transferred", |body| match body {
        EventBody::CallTransferRequested { call: about, to, attended: false, .. } if *about == call => Some(to.clone()),
        _ => None,
    });
    assert!(to.contains(&format!("fork@127.0.0.1:{target}")), "{to}");
    app.ask(CallAcceptTransfer { call });
    let new = app.wait("new call that is answered", |body| match body {
        EventBody::CallState { call: other, state: CallState::Connected(_), .. } if *other != call => Some(*other),
        _ => None,
    });
    app.hang_up(new);
    sipp.finish();
    let texts = texts(&mut app, call);
    assert!(texts.contains("REFER sip:") && texts.contains("NOTIFY sip:") && texts.contains("SIP/2.0 200"), "{texts}");
}

#[test]
fn we_transfer_baresip_and_it_calls_whom_we_named() {
    let parent = Directory::new();
    let mut baresip = Baresip::start(parent.path(), &microphone(&parent));
    let daemon = Daemon::start(None);
    let mut app = App::new(&daemon.socket());
    let target = free_port();
    let sipp = Sipp::callee(daemon.directory.path(), "callee_answers", target);
    baresip.command("dial", &format!("sip:100@127.0.0.1:{}", daemon.sip));
    let call = app.offered();
    app.ask(CallAnswer { call });
    app.states_to(call, "connected");
    let to = format!("sip:fork@127.0.0.1:{target}");
    app.ask(CallBlindTransfer { call, to, how: Some(TransferWay::Network) });
    app.wait("end of the transferred call", |body| match body {
        EventBody::CallState { call: about, state: CallState::Disconnected(_) | CallState::Idle, .. }
            if *about == call =>
        {
            Some(())
        }
        _ => None,
    });
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while baresip.log().matches("Call established").count() < 2 {
        assert!(std::time::Instant::now() < deadline, "baresip does not reach the target: {}", baresip.log());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    baresip.command("hangup", "");
    sipp.finish();
}
