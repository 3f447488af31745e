//! Accounts at a registrar and proxy that none of us wrote.

use crate::app::App;
use crate::baresip::Baresip;
use crate::baresip_tests::{be_heard, hear_the_microphone, microphone, were_heard};
use crate::daemon::{Daemon, Directory, free_port};
use crate::kamailio::{Kamailio, Options};
use crate::sipp::Sipp;
use crate::transport_tests::certificates;
use std::time::{Duration, Instant};
use tapi::request::{CallAnswer, CallGet, CallTrace, LineList, LineTrace};
use tapi::{CallId, CallState, EventBody, LineSelector};

/// Long enough for a loaded machine.
const SOON: Duration = Duration::from_secs(20);

/// A line that is an account at Kamailio.
fn account(user: &str, password: &str, kamailio: &Kamailio, keys: &str) -> String {
    format!(
        "\n[[sip.lines]]\nname = \"sip:{user}\"\nuser = \"{user}\"\ndomain = \"127.0.0.1\"\npeers = [\"127.0.0.1\"]\n\
         proxy = \"127.0.0.1:{0}\"\nregister = {{ registrar = \"127.0.0.1:{0}\", expires_s = 60, retry_s = 1 }}\n\
         auth = {{ user = \"{user}\", password = \"{password}\" }}\n{keys}",
        kamailio.port
    )
}

/// A user agent with these lines, whose transactions fail after 3.2 s.
fn agent(sip: u16, lines: &[String]) -> String {
    format!(
        "[[sip]]\nname = \"pbx\"\nlisten = \"127.0.0.1:{sip}\"\ntimers = {{ t1_ms = 50, t2_ms = 400, t4_ms = 500 }}\n{}",
        lines.concat()
    )
}

fn statuses(app: &mut App, call: CallId) -> Vec<String> {
    let entries = app.ask(CallTrace { call, full: false }).entries;
    let word = |summary: &str| summary.split(' ').next().unwrap_or_default().to_owned();
    entries.iter().map(|entry| format!("{}{}", if entry.sent { ">" } else { "<" }, word(&entry.summary))).collect()
}

#[test]
fn lines_register_with_digest_and_call_one_another_through_the_proxy() {
    let directory = Directory::new();
    let kamailio = Kamailio::start(directory.path(), Options::default());
    let sip = free_port();
    let lines = ["line1", "line2"].map(|user| account(user, &format!("of-{user}"), &kamailio, ""));
    let daemon = Daemon::start_lines(directory, sip, &agent(sip, &lines));
    let mut app = App::of(&daemon.socket(), &["sip:line1", "sip:line2"]);
    for line in ["sip:line1", "sip:line2"] {
        app.wait_for_service(line, true, SOON);
    }
    let trace = app.ask(LineTrace { line: LineSelector::Name("sip:line1".into()), full: true });
    let ladder: Vec<&str> = trace.entries.iter().map(|entry| entry.summary.split(' ').next().unwrap()).collect();
    assert_eq!(ladder, ["REGISTER", "401", "REGISTER", "200"], "a line has a ladder of its own");
    let text = trace.entries[2].text.clone().unwrap_or_default();
    assert!(text.contains("Authorization") && !text.contains("response=\""), "without credentials: {text}");
    let ours = app.make("sip:line1", "line2");
    let theirs = app.wait("offered call", |body| match body {
        EventBody::CallState { call, state: CallState::Offering(_), .. } if *call != ours => Some(*call),
        _ => None,
    });
    let info = app.ask(CallGet { call: theirs }).info;
    assert!(info.caller.address.as_deref().unwrap_or_default().starts_with("sip:line1@127.0.0.1"), "{:?}", info.caller);
    app.ask(CallAnswer { call: theirs });
    app.wait("connected", |body| match body {
        EventBody::CallState { call, state: CallState::Connected(_), .. } if *call == ours => Some(()),
        _ => None,
    });
    let ladder = statuses(&mut app, ours);
    let begin: Vec<&str> = ladder.iter().map(String::as_str).filter(|word| *word != "<100").take(4).collect();
    assert_eq!(begin, [">INVITE", "<407", ">ACK", ">INVITE"], "the call was challenged once: {ladder:?}");
    app.hang_up(ours);
    assert_eq!(app.wait_for_hang_up(theirs).last().map(String::as_str), Some("disconnected (normal)"));
    assert_eq!(kamailio.saw("saw BYE of line1"), 1, "the proxy stays in the way");
    let deadline = Instant::now() + SOON;
    let over = [">BYE".to_owned(), "<200".to_owned()];
    while !statuses(&mut app, ours).ends_with(&over) {
        assert!(Instant::now() < deadline, "it is over and can still be looked at: {:?}", statuses(&mut app, ours));
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_subscriber_of_the_registrar_calls_a_line_and_is_called() {
    let directory = Directory::new();
    let kamailio = Kamailio::start(directory.path(), Options::default());
    let port = kamailio.port;
    let sip = free_port();
    let at = directory.path().to_path_buf();
    let wav = microphone(&directory);
    let daemon = Daemon::start_lines(directory, sip, &agent(sip, &[account("line1", "of-line1", &kamailio, "")]));
    let mut app = App::of(&daemon.socket(), &["sip:line1"]);
    app.wait_for_service("sip:line1", true, SOON);
    let account = format!("<sip:carol@127.0.0.1:{port}>;auth_user=carol;auth_pass=of-carol;regint=60;answermode=auto");
    let mut baresip = Baresip::start_as(&at, &wav, "", &account);
    let deadline = Instant::now() + SOON;
    while kamailio.saw("saw REGISTER of carol") < 2 {
        assert!(Instant::now() < deadline, "carol does not register");
        std::thread::sleep(Duration::from_millis(20));
    }
    baresip.command("dial", &format!("sip:line1@127.0.0.1:{port}"));
    let call = app.offered();
    app.ask(CallAnswer { call });
    app.states_to(call, "connected");
    hear_the_microphone(&mut app, call);
    be_heard(&mut app, call);
    app.hang_up(call);

    let call = app.make("sip:line1", "carol");
    app.states_to(call, "connected");
    hear_the_microphone(&mut app, call);
    be_heard(&mut app, call);
    app.hang_up(call);
    baresip.stop();
    were_heard(&baresip, 2);
}

#[test]
fn a_wrong_password_takes_the_line_out_of_service_and_is_not_hammered() {
    let directory = Directory::new();
    let kamailio = Kamailio::start(directory.path(), Options::default());
    let sip = free_port();
    let lines = [account("line1", "wrong", &kamailio, ""), account("line2", "of-line2", &kamailio, "")];
    let daemon = Daemon::start_lines(directory, sip, &agent(sip, &lines));
    let mut app = App::of(&daemon.socket(), &["sip:line1", "sip:line2"]);
    app.wait_for_service("sip:line2", true, SOON);
    let deadline = Instant::now() + SOON;
    let reason = loop {
        let reason = app.wait_for_service("sip:line1", false, SOON);
        if reason.contains("401") || reason.contains("password") || Instant::now() > deadline {
            break reason;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(reason.contains("401") || reason.contains("password"), "{reason}");
    let before = kamailio.saw("saw REGISTER of line1");
    std::thread::sleep(Duration::from_secs(5));
    let after = kamailio.saw("saw REGISTER of line1");
    assert!((2..=6).contains(&before) && after - before <= 6, "{before}, five seconds later {after}");
    assert!(app.service("sip:line2").is_in(), "the other line is not touched");
    assert!(!daemon.log().contains("wrong") && !daemon.log().contains("of-line2"), "no password in the log");
}

#[test]
fn a_registrar_that_dies_takes_the_line_out_and_heals_it_when_it_is_back() {
    let directory = Directory::new();
    let mut kamailio = Kamailio::start(directory.path(), Options::default());
    let sip = free_port();
    let lines = ["line1", "line2"].map(|user| {
        account(user, &format!("of-{user}"), &kamailio, "qualify_s = 5\n").replace("expires_s = 60", "expires_s = 3600")
    });
    let daemon = Daemon::start_lines(directory, sip, &agent(sip, &lines));
    let mut app = App::of(&daemon.socket(), &["sip:line1", "sip:line2"]);
    for line in ["sip:line1", "sip:line2"] {
        app.wait_for_service(line, true, SOON);
    }
    kamailio.kill();
    let reason = app.wait_for_service("sip:line1", false, SOON);
    assert!(!reason.is_empty());
    app.wait_for_service("sip:line2", false, SOON);
    let refusal = app.refused("sip:line1", "line2");
    assert!(refusal.contains("out of service"), "{refusal}");

    kamailio.start_again();
    for line in ["sip:line1", "sip:line2"] {
        app.wait_for_service(line, true, Duration::from_secs(40));
    }
    // It forgot its bindings: a call arrives since they were made anew.
    let ours = app.make("sip:line1", "line2");
    let theirs = app.offered();
    app.ask(CallAnswer { call: theirs });
    app.wait("connected", |body| match body {
        EventBody::CallState { call, state: CallState::Connected(_), .. } if *call == ours => Some(()),
        _ => None,
    });
    app.hang_up(ours);
    app.wait_for_hang_up(theirs);
}

#[test]
fn a_call_that_the_proxy_forks_is_one_call() {
    let directory = Directory::new();
    let (first, second) = (free_port(), free_port());
    let contacts = [first, second].map(|port| format!("sip:fork@127.0.0.1:{port}"));
    let kamailio = Kamailio::start(directory.path(), Options { forks: &[("fork", &contacts)], ..Options::default() });
    let sip = free_port();
    let at = directory.path().to_path_buf();
    let daemon = Daemon::start_lines(directory, sip, &agent(sip, &[account("line1", "of-line1", &kamailio, "")]));
    let mut app = App::of(&daemon.socket(), &["sip:line1"]);
    app.wait_for_service("sip:line1", true, SOON);
    let answers = Sipp::callee(&at, "callee_answers", first);
    let cancelled = Sipp::callee(&at, "callee_is_cancelled", second);
    let call = app.make("sip:line1", "fork");
    let states = app.states_to(call, "connected");
    assert_eq!(states.iter().filter(|state| *state == "ringback").count(), 1, "{states:?}");
    let ladder = statuses(&mut app, call);
    assert_eq!(ladder.iter().filter(|word| *word == "<180").count(), 2, "both ring: {ladder:?}");
    cancelled.finish();
    let line = app.ask(LineList {}).lines.remove(0);
    assert_eq!(line.status.active_calls, 1);
    app.hang_up(call);
    answers.finish();
}

#[test]
fn a_line_registers_and_calls_over_tls() {
    let directory = Directory::new();
    certificates(&directory);
    let kamailio = Kamailio::start(directory.path(), Options { tls: true, ..Options::default() });
    let (sip, tls) = (free_port(), free_port());
    let secure = format!("127.0.0.1:{};transport=tls", kamailio.port + 1);
    let line = |user: &str| {
        format!(
            "\n[[sip.lines]]\nname = \"sip:{user}\"\nuser = \"{user}\"\ndomain = \"127.0.0.1\"\npeers = [\"127.0.0.1\"]\n\
             proxy = \"{secure}\"\nregister = {{ registrar = \"{secure}\", expires_s = 60 }}\n\
             auth = {{ user = \"{user}\", password = \"of-{user}\" }}\n"
        )
    };
    let sections = format!(
        "[[sip]]\nname = \"pbx\"\nlisten = \"127.0.0.1:{sip}\"\nlisten_tls = \"127.0.0.1:{tls}\"\n\
         tls = {{ certificate = \"cert.pem\", key = \"key.pem\", ca = \"ca.pem\" }}\n{}{}",
        line("line1"),
        line("line2")
    );
    let daemon = Daemon::start_lines(directory, sip, &sections);
    let mut app = App::of(&daemon.socket(), &["sip:line1", "sip:line2"]);
    for line in ["sip:line1", "sip:line2"] {
        app.wait_for_service(line, true, SOON);
    }
    let ours = app.make("sip:line1", "line2");
    let theirs = app.wait("offered call", |body| match body {
        EventBody::CallState { call, state: CallState::Offering(_), .. } if *call != ours => Some(*call),
        _ => None,
    });
    app.ask(CallAnswer { call: theirs });
    app.wait("connected", |body| match body {
        EventBody::CallState { call, state: CallState::Connected(_), .. } if *call == ours => Some(()),
        _ => None,
    });
    app.hang_up(ours);
    app.wait_for_hang_up(theirs);
    assert_eq!(kamailio.saw("by udp"), 0, "nothing went in the clear");
    assert!(kamailio.saw("saw INVITE of line1 by tls") >= 2);
}
