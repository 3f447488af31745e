//! The built program against a scripted daemon: what an operator sees, and the exit code that a script sees.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod fake;

use fake::{Answer, Daemon, call, line, state_event, states};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Output, Stdio};
use tapi::*;

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn objects(output: &Output) -> Vec<Value> {
    stdout(output).lines().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
}

fn quiet() -> Daemon {
    Daemon::start(|_| None)
}

fn connected() -> CallState {
    CallState::Connected(ConnectedMode::Active)
}

#[test]
fn lists_are_tables_for_people_and_objects_for_programs() {
    let daemon = quiet();
    let lines = daemon.run("lines");
    assert_eq!(code(&lines), 0, "{}", stderr(&lines));
    assert!(
        stdout(&lines).starts_with("LINE  NAME       PROVIDER  STATE       CALLS  ADDRESSES"),
        "{}",
        stdout(&lines)
    );
    assert!(!stdout(&lines).contains('\u{1b}'), "no colour into a pipe");
    assert_eq!(serde_json::from_value::<Line>(objects(&daemon.run("lines --json")).remove(0)).unwrap(), line());
    let calls = stdout(&daemon.run("calls"));
    assert!(calls.contains("1017") && calls.contains("offering (active)"), "{calls}");
    assert!(calls.contains("Ann\\u{1b}[2J <+49301234>"), "{calls}");
    assert_eq!(serde_json::from_value::<Call>(objects(&daemon.run("calls --json")).remove(0)).unwrap(), call());
    let status = stdout(&daemon.run("status"));
    assert!(status.contains("tapid 0.1.0") && status.contains("1 of 1 lines in service, 1 calls"), "{status}");
    assert_eq!(objects(&daemon.run("status --json"))[0]["lines_in_service"], 1);
    assert!(daemon.asked().iter().all(|method| *method != "call.set_privilege"), "looking takes no ownership");
}

#[test]
fn a_call_is_named_by_any_part_that_fits_it_alone() {
    let daemon = quiet();
    for name in ["1017", "10", "17", "node-1-1017"] {
        let output = daemon.run(&format!("call {name}"));
        assert_eq!(code(&output), 0, "{name}: {}", stderr(&output));
        assert!(stdout(&output).contains("network id   a84b4c76e66710"), "{}", stdout(&output));
    }
    let missing = daemon.run("call 99");
    assert_eq!(code(&missing), 3);
    assert_eq!(stderr(&missing), "tapictl: there is no call \"99\"\n  try: tapictl calls\n");
    let json = daemon.run("call 99 --json");
    let error: Value = serde_json::from_str(&stderr(&json)).unwrap();
    assert_eq!((code(&json), &error["error"]["exit"]), (3, &Value::from(3)));
}

#[test]
fn an_answered_call_is_left_alive() {
    let daemon = Daemon::start(|request| match request {
        Request::CallAnswer(_) => Some((Ok(Reply::Done(reply::Done {})), states([connected()]))),
        _ => None,
    });
    let output = daemon.run("answer 1017");
    assert_eq!(
        (code(&output), stdout(&output).as_str()),
        (0, "call 1017: connected (active)\n"),
        "{}",
        stderr(&output)
    );
    let own = ["call.set_privilege", "call.answer", "call.deallocate", "client.close"];
    assert!(daemon.asked().ends_with(&own), "{:?}", daemon.asked());
    let privileges: Vec<_> = daemon
        .requests()
        .into_iter()
        .filter_map(|request| if let Request::LineOpen(open) = request { Some(open.privileges) } else { None })
        .collect();
    assert_eq!(privileges, [Names::from([Privilege::Monitor])], "no new call may be offered to us");
}

#[test]
fn a_caller_who_gave_up_is_a_failure() {
    let gone = CallState::Disconnected(DisconnectMode::Cancelled);
    let daemon = Daemon::start(move |request| match request {
        Request::CallAnswer(_) => Some((Ok(Reply::Done(reply::Done {})), states([gone.clone()]))),
        _ => None,
    });
    let output = daemon.run("answer 1017");
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("call 1017 ended before that: disconnected (cancelled)"), "{}", stderr(&output));
}

#[test]
fn refusals_have_their_exit_codes() {
    for (error, expected) in [
        (ErrorCode::NotOwner, 4),
        (ErrorCode::NotRegistered, 4),
        (ErrorCode::InvalCallHandle, 3),
        (ErrorCode::InvalCallState, 1),
        (ErrorCode::ServiceNotRunning, 5),
    ] {
        let daemon = Daemon::start(move |request| match request {
            Request::CallHold(_) => Some((Err(error.because("no")), Vec::new())),
            _ => None,
        });
        let output = daemon.run("hold 1017");
        assert_eq!(code(&output), expected, "{error:?}: {}", stderr(&output));
        assert!(daemon.asked().contains(&"call.deallocate"), "the handle is given back");
    }
}

#[test]
fn a_daemon_that_is_not_there_is_code_5_and_a_wrong_command_line_code_2() {
    let nowhere = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_tapictl")).args(arguments).env("TAPID_SOCKET", "/nowhere/s").output().unwrap()
    };
    let output = nowhere(&["lines"]);
    assert_eq!(code(&output), 5);
    assert!(stderr(&output).starts_with("tapictl: /nowhere/s: cannot reach the daemon"), "{}", stderr(&output));
    assert!(stderr(&output).contains("\n  try: "));
    assert_eq!(code(&nowhere(&["hangup"])), 2);
    assert_eq!(code(&nowhere(&["hangup", "7", "--reason", "bussy"])), 2);
    assert_eq!(code(&nowhere(&["--help"])), 0);
}

#[test]
fn dialling_shows_the_states_and_a_busy_number_is_code_7() {
    let cause = Cause { sip: Some(486), ..Cause::new(DisconnectMode::Busy) }.with_text("Busy Here");
    let busy = CallState::Disconnected(DisconnectMode::Busy);
    let daemon = Daemon::start(move |request| match request {
        Request::CallMake(make) => {
            assert_eq!((make.to.as_str(), &make.line), ("100", &LineSelector::Id(LineId(3))));
            let mut events = states([CallState::Dialing, CallState::Proceeding, CallState::Ringback]);
            events.push(state_event(busy.clone(), Some(cause.clone())));
            Some((Ok(Reply::Made(reply::Made { call: CallId(1017) })), events))
        }
        _ => None,
    });
    let output = daemon.run("dial trunk 100");
    assert_eq!(code(&output), 7, "{}", stderr(&output));
    let shown = stdout(&output);
    let order: Vec<_> = ["dialing", "proceeding", "ringback", "disconnected (busy): SIP 486, Busy Here"]
        .map(|state| shown.find(state).unwrap_or_else(|| panic!("no {state} in {shown}")))
        .into();
    assert!(order.is_sorted(), "{shown}");
    assert!(daemon.asked().ends_with(&["call.drop", "call.deallocate", "client.close"]), "{:?}", daemon.asked());
    assert!(stderr(&output).contains("not answered: busy\n  try: once more with --trace"), "{}", stderr(&output));
    let json = daemon.run("dial sip:tr 100 --json");
    let last = objects(&json).pop().unwrap();
    assert_eq!((&last["answered"], &last["mode"], &last["exit"]), (&false.into(), &"busy".into(), &7.into()));
}

#[test]
fn a_call_can_be_made_played_into_and_hung_up_in_one_command() {
    let daemon = Daemon::start(|request| match request {
        Request::CallMake(_) => {
            Some((Ok(Reply::Made(reply::Made { call: CallId(1017) })), states([CallState::Dialing, connected()])))
        }
        Request::CallPlay(play) => {
            assert_eq!(play.source, PlaySource::Descriptor);
            let (call, operation, end) = (CallId(1017), OperationId(9), End::Done);
            let played = EventBody::CallPlayed { call, operation, end, played_ms: 1_500 };
            Some((Ok(Reply::Started(reply::Started { operation })), vec![played]))
        }
        Request::CallDrop(_) => Some((Ok(Reply::Done(reply::Done {})), states([CallState::Idle]))),
        _ => None,
    });
    std::fs::write(daemon.file("prompt.wav"), b"RIFF").unwrap();
    let output = daemon.run("dial 3 100 --play prompt.wav --hangup-after-answer");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("playback done"), "{}", stdout(&output));
    let output = daemon.run("dial 3 100 --play missing.wav");
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("missing.wav: No such file"), "{}", stderr(&output));
}

#[test]
fn a_detached_call_runs_on() {
    let daemon = Daemon::start(|request| match request {
        Request::CallMake(_) => Some((Ok(Reply::Made(reply::Made { call: CallId(1017) })), states([connected()]))),
        _ => None,
    });
    let output = daemon.run("dial trunk 100 --detach");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(daemon.asked().ends_with(&["call.make", "call.deallocate", "client.close"]), "{:?}", daemon.asked());
}

#[test]
fn a_call_that_nobody_would_keep_is_not_detached() {
    let daemon = Daemon::start(|request| match request {
        Request::LineList(_) => {
            let mut lonely = line();
            lonely.status.opens = 0;
            Some((Ok(Reply::Lines(reply::Lines { lines: vec![lonely] })), Vec::new()))
        }
        _ => None,
    });
    let output = daemon.run("dial trunk 100 --detach");
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("nobody else has sip:trunk open"), "{}", stderr(&output));
    assert!(!daemon.asked().contains(&"call.make"), "{:?}", daemon.asked());
}

#[test]
fn no_answer_in_time_is_code_6_and_the_call_is_given_up() {
    let daemon = Daemon::start(|request| match request {
        Request::CallMake(_) => {
            Some((Ok(Reply::Made(reply::Made { call: CallId(1017) })), states([CallState::Ringback])))
        }
        Request::CallDrop(_) => Some((Ok(Reply::Done(reply::Done {})), states([CallState::Idle]))),
        _ => None,
    });
    let output = daemon.run("dial trunk 100 --timeout 0.3");
    assert_eq!(code(&output), 6, "{}", stderr(&output));
    assert!(daemon.asked().contains(&"call.drop"));
}

/// Starts a command, waits for a line of its output that contains `mark`, and presses Ctrl-C.
fn interrupted(mut command: Command, mark: &str) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut stdout = String::new();
    while !stdout.contains(mark) {
        assert_ne!(reader.read_line(&mut stdout).unwrap(), 0, "it ended before {mark}: {stdout}");
    }
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id().cast_signed()), nix::sys::signal::SIGINT).unwrap();
    reader.read_to_string(&mut stdout).unwrap();
    let mut output = child.wait_with_output().unwrap();
    output.stdout = stdout.into_bytes();
    output
}

#[test]
fn ctrl_c_hangs_up() {
    let daemon = Daemon::start(|request| match request {
        Request::CallMake(_) => Some((Ok(Reply::Made(reply::Made { call: CallId(1017) })), states([connected()]))),
        Request::CallDrop(_) => Some((Ok(Reply::Done(reply::Done {})), states([CallState::Idle]))),
        _ => None,
    });
    let output = interrupted(daemon.command("dial trunk 100"), "connected");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("hanging up") && stdout(&output).contains("idle"), "{}", stdout(&output));
    assert!(daemon.asked().contains(&"call.drop"));
}

#[test]
fn ctrl_c_stops_a_recording_and_leaves_the_call() {
    let daemon = Daemon::start(|request| match request {
        Request::CallStop(_) => {
            let (call, operation, end) = (CallId(1017), OperationId(9), End::Cancelled);
            let recorded = EventBody::CallRecorded { call, operation, end, recorded_ms: 2_500 };
            Some((Ok(Reply::Done(reply::Done {})), vec![recorded]))
        }
        _ => None,
    });
    let output = interrupted(daemon.command("record 1017 out.wav"), "Ctrl-C");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).ends_with("call 1017: record cancelled after 2.5 s\n"), "{}", stdout(&output));
    assert!(daemon.asked().ends_with(&["call.stop", "call.deallocate", "client.close"]), "{:?}", daemon.asked());
    assert!(daemon.file("out.wav").exists());
    let again = daemon.run("record 1017 out.wav");
    assert_eq!(code(&again), 1);
    assert!(stderr(&again).contains("--force"), "{}", stderr(&again));
}

#[test]
fn a_refused_recording_leaves_no_file_behind() {
    let daemon = Daemon::start(|request| match request {
        Request::CallRecord(_) => Some((Err(ErrorCode::InvalCallState.because("call 1017 is idle")), Vec::new())),
        _ => None,
    });
    assert_eq!(code(&daemon.run("record 1017 out.wav")), 1);
    assert!(!daemon.file("out.wav").exists());
    assert_eq!(code(&daemon.run("record 1017 out.wav --force")), 1);
    assert!(!daemon.file("out.wav").exists());
    std::fs::write(daemon.file("out.wav"), "an earlier recording").unwrap();
    assert_eq!(code(&daemon.run("record 1017 out.wav --force")), 1);
    assert_eq!(std::fs::read_to_string(daemon.file("out.wav")).unwrap(), "an earlier recording");
}

#[test]
fn every_failure_ends_with_a_next_step() {
    let daemon = Daemon::start(|request| match request {
        Request::CallPlay(_) => {
            let (call, operation, end) = (CallId(1017), OperationId(9), End::Failed);
            let played = EventBody::CallPlayed { call, operation, end, played_ms: 0 };
            Some((Ok(Reply::Started(reply::Started { operation })), vec![played]))
        }
        Request::CallRecord(_) => {
            let (call, operation, end) = (CallId(1017), OperationId(9), End::DiskFull);
            let recorded = EventBody::CallRecorded { call, operation, end, recorded_ms: 3_000 };
            Some((Ok(Reply::Started(reply::Started { operation })), vec![recorded]))
        }
        Request::CallHold(_) => Some((Err(ErrorCode::OperationFailed.because("the device said ERROR")), Vec::new())),
        _ => None,
    });
    std::fs::write(daemon.file("in.wav"), "RIFF").unwrap();
    for (command, hint) in [
        ("play 1017 in.wav", "one or two channels"),
        ("play 1017 none.wav", "a WAV file that exists"),
        ("record 1017 out.wav", "another file system"),
        ("hold 1017", "journalctl"),
        ("call 4711", "tapictl calls"),
        ("dial nowhere 1", "tapictl lines"),
    ] {
        let output = daemon.run(command);
        assert_ne!(code(&output), 0, "{command}");
        let last = stderr(&output).lines().last().unwrap_or_default().to_owned();
        assert!(last.starts_with("  try: ") && last.contains(hint), "{command}: {}", stderr(&output));
    }
}

#[test]
fn digits_are_waited_for_and_a_trace_is_a_ladder() {
    let entry = |sent: bool, summary: &str| TraceEntry {
        time: Time::ZERO,
        wall: 0,
        sent,
        peer: "192.0.2.7:5060".into(),
        summary: summary.into(),
        text: None,
    };
    let entries = vec![entry(false, "INVITE sip:100@example.org"), entry(true, "180 Ringing")];
    let daemon = Daemon::start(move |request| match request {
        Request::CallSendDigits(_) => {
            let (call, operation, end) = (CallId(1017), OperationId(9), End::Done);
            let sent = EventBody::CallGenerated { call, operation, end };
            Some((Ok(Reply::Started(reply::Started { operation })), vec![sent]))
        }
        Request::CallTrace(_) => {
            Some((Ok(Reply::Trace(reply::Trace { entries: entries.clone(), forgotten: 0 })), vec![]))
        }
        _ => None,
    });
    let output = daemon.run("digits 1017 12#");
    assert_eq!((code(&output), stdout(&output).as_str()), (0, "call 1017: digits done\n"), "{}", stderr(&output));
    let ladder = stdout(&daemon.run("trace 1017"));
    assert!(ladder.contains("│←─ INVITE sip:100@example.org") && ladder.contains("│── 180 Ringing"), "{ladder}");
    assert_eq!(objects(&daemon.run("trace 1017 --json")).len(), 2);
}

#[test]
fn a_failed_call_can_show_its_ladder_before_it_is_gone() {
    let entries = vec![TraceEntry {
        time: Time::ZERO,
        wall: 0,
        sent: false,
        peer: "192.0.2.7:5060".into(),
        summary: "404 Not Found".into(),
        text: None,
    }];
    let daemon = Daemon::start(move |request| match request {
        Request::CallMake(_) => {
            let made = Reply::Made(reply::Made { call: CallId(1017) });
            Some((Ok(made), states([CallState::Disconnected(DisconnectMode::BadAddress)])))
        }
        Request::CallTrace(_) => {
            Some((Ok(Reply::Trace(reply::Trace { entries: entries.clone(), forgotten: 0 })), vec![]))
        }
        _ => None,
    });
    let output = daemon.run("dial trunk 999 --trace");
    assert_eq!(code(&output), 1);
    assert!(stdout(&output).contains("│←─ 404 Not Found"), "{}", stdout(&output));
    assert!(daemon.asked().ends_with(&["call.trace", "call.deallocate", "client.close"]), "{:?}", daemon.asked());
}

#[test]
fn events_are_told_as_they_happen() {
    let daemon = Daemon::start(|request| match request {
        Request::LineSetStatusMessages(_) => {
            let new = EventBody::CallNew { call: Box::new(call()) };
            let digit = EventBody::CallDigit { call: CallId(1017), digit: '5', duration_ms: Some(80) };
            Some((Ok(Reply::Done(reply::Done {})), vec![new, digit]))
        }
        _ => None,
    });
    let output = interrupted(daemon.command("events"), "digit");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("22:29:09.344Z     42  call 1017 digit 5"), "{}", stdout(&output));
    let output = interrupted(daemon.command("events --json"), "call.digit");
    let kinds: Vec<_> = objects(&output).iter().map(|event| event["kind"].clone()).collect();
    assert_eq!(kinds, ["call.new", "call.digit"]);
}

/// Dials; the daemon is restarted once the call is connected, and answers `client.resume` as it is told to.
fn restarted(mut resumed: impl FnMut() -> Answer + Send + 'static) -> Daemon {
    let over = CallState::Disconnected(DisconnectMode::Normal);
    Daemon::start(move |request| match request {
        Request::CallMake(_) => {
            let events = vec![state_event(connected(), None), EventBody::Unrecognized];
            Some((Ok(Reply::Made(reply::Made { call: CallId(1017) })), events))
        }
        Request::ClientResume(_) => Some(resumed()),
        Request::CallGet(_) => {
            let mut ended = call();
            ended.status.state = over.clone();
            Some((Ok(Reply::Call(Box::new(ended))), Vec::new()))
        }
        _ => None,
    })
}

fn taken_up() -> Result<Reply, Error> {
    let (session, token, generation) = (SessionId(2), "secret".into(), Generation(1));
    Ok(Reply::Opened(reply::Opened { session, token, generation, seq: 40 }))
}

#[test]
fn a_call_outlives_a_restart_of_the_daemon() {
    let daemon = restarted(|| (taken_up(), states([CallState::Disconnected(DisconnectMode::Normal)])));
    let output = daemon.run("dial trunk 100");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("disconnected (normal)"), "{}", stdout(&output));
    assert!(!daemon.asked().contains(&"call.get"), "nothing was missed");
}

#[test]
fn what_cannot_be_replayed_is_asked_for() {
    let mut tries = 0;
    let daemon = restarted(move || {
        tries += 1;
        let refused = ErrorCode::ResourceUnavail.because("event 42 is no longer kept");
        (if tries == 1 { Err(refused) } else { taken_up() }, Vec::new())
    });
    let output = daemon.run("dial trunk 100");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(daemon.asked().contains(&"call.get"));
}

#[test]
fn a_session_that_did_not_outlive_the_restart_is_a_failure() {
    let daemon =
        restarted(|| (Err(ErrorCode::InvalAppHandle.because("there is no session of this token")), Vec::new()));
    let output = daemon.run("dial trunk 100");
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("the session is gone"), "{}", stderr(&output));
}

#[test]
fn ctrl_c_while_an_answer_is_awaited_leaves_the_call() {
    let daemon = Daemon::start(|_| None);
    let mut child = daemon.command("answer 1017").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !daemon.asked().contains(&"call.answer") {
        assert_eq!(child.try_wait().unwrap(), None);
        std::thread::yield_now();
    }
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id().cast_signed()), nix::sys::signal::SIGINT).unwrap();
    assert_eq!(code(&child.wait_with_output().unwrap()), 1);
    assert!(daemon.asked().contains(&"call.deallocate"), "{:?}", daemon.asked());
}

#[test]
fn people_are_spared_who_looks_at_what() {
    let mut company = call().info;
    company.monitors = 2;
    let daemon = Daemon::start(move |request| match request {
        Request::LineSetStatusMessages(_) => {
            let (changed, info) = (Names::from([InfoKind::Monitors]), Box::new(company.clone()));
            let (line, change, status) = (LineId(3), LineStateKind::Open, line().status);
            let opened = EventBody::LineState { line, change, ring: None, status };
            let digit = EventBody::CallDigit { call: CallId(1017), digit: '5', duration_ms: None };
            let events = vec![EventBody::CallInfo { changed, info }, opened, digit];
            Some((Ok(Reply::Done(reply::Done {})), events))
        }
        _ => None,
    });
    for (command, lines) in [("events", 1), ("events --all", 3), ("events --json", 3)] {
        let output = interrupted(daemon.command(command), "digit");
        assert_eq!(stdout(&output).lines().count(), lines, "{command}: {}", stdout(&output));
    }
}
