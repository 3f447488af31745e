//! Transfers with SIPp on the other side: it sends us on, it is sent on by us, and it cannot be.

use crate::app::App;
use crate::daemon::{Daemon, free_port};
use crate::sipp::Sipp;
use crate::sipp_tests::make;
use tapi::request::{
    CallAcceptTransfer, CallAnswer, CallBlindTransfer, CallCompleteTransfer, CallGet, CallRejectTransfer,
    CallSetupTransfer,
};
use tapi::{AddressId, CallId, CallState, EventBody, TransferMode, TransferPhase, TransferWay};

/// SIPp calls us in one of its scenarios, and sends us to `target`.
fn referred(app: &mut App, daemon: &Daemon, scenario: &str, target: u16) -> (Sipp, CallId) {
    let arguments = ["-m", "1", "-key", "target", &target.to_string()];
    let sipp = Sipp::caller(daemon.directory.path(), scenario, daemon.sip, &arguments);
    let call = app.offered();
    app.ask(CallAnswer { call });
    assert_eq!(app.states_to(call, "connected"), ["connected (active)"]);
    (sipp, call)
}

fn asked(app: &mut App, call: CallId) -> (String, Option<String>) {
    app.wait("wish to be transferred", |body| match body {
        EventBody::CallTransferRequested { call: about, to, by, attended: false, .. } if *about == call => {
            Some((to.clone(), by.as_ref().and_then(|by| by.address.clone())))
        }
        _ => None,
    })
}

/// What is told of a transfer until it is over: phase, way and text of each.
fn told(app: &mut App, call: CallId) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let (phase, line) = app.wait("news of the transfer", |body| match body {
            EventBody::CallTransfer { call: about, phase, how, text, cause, .. } if *about == call => {
                let status = cause.as_ref().and_then(|cause| cause.sip).map(|status| format!(" {status}"));
                let text = text.as_ref().map(|text| format!(" {text}"));
                let line = format!("{phase} {how}{}{}", text.unwrap_or_default(), status.unwrap_or_default());
                Some((phase.clone(), line))
            }
            _ => None,
        });
        all.push(line);
        if phase != TransferPhase::Progress {
            return all;
        }
    }
}

#[test]
fn sipp_sends_us_on_and_hears_what_became_of_it() {
    let daemon = Daemon::start(None);
    let mut app = App::new(&daemon.socket());
    let target = free_port();
    let callee = Sipp::callee(daemon.directory.path(), "callee_answers", target);
    let (caller, call) = referred(&mut app, &daemon, "caller_refers", target);
    let (to, by) = asked(&mut app, call);
    assert!(to.contains(&format!("fork@127.0.0.1:{target}")), "{to}");
    assert!(by.is_some_and(|by| by.contains("sipp")), "who asks is told");
    app.ask(CallAcceptTransfer { call });
    let (mut new, mut over) = (None, false);
    while new.is_none() || !over {
        app.wait("new call that is answered, and the end of the first", |body| match body {
            EventBody::CallState { call: about, state, .. } => match state {
                CallState::Connected(_) if *about != call => {
                    new = Some(*about);
                    Some(())
                }
                CallState::Disconnected(_) | CallState::Idle if *about == call => {
                    over = true;
                    Some(())
                }
                _ => None,
            },
            _ => None,
        });
    }
    let new = new.unwrap();
    let reason = app.ask(CallGet { call: new }).info.reason.to_string();
    assert_eq!(reason, "transfer");
    app.hang_up(new);
    caller.finish();
    callee.finish();
}

#[test]
fn a_wish_of_sipps_is_declined_and_the_call_goes_on() {
    let daemon = Daemon::start(None);
    let mut app = App::new(&daemon.socket());
    let (caller, call) = referred(&mut app, &daemon, "caller_refers_in_vain", 5_999);
    asked(&mut app, call);
    app.ask(CallRejectTransfer { call });
    assert_eq!(app.wait_for_hang_up(call), ["disconnected (normal)"], "the call went on until it was hung up");
    caller.finish();
}

#[test]
fn a_line_that_takes_no_transfers_refuses_at_once() {
    let daemon = Daemon::start_with(None, "refer = \"refuse\"\n");
    let mut app = App::new(&daemon.socket());
    let (caller, call) = referred(&mut app, &daemon, "caller_refers_and_is_refused", 5_999);
    assert_eq!(app.wait_for_hang_up(call), ["disconnected (normal)"]);
    caller.finish();
}

#[test]
fn sipp_is_sent_on_and_the_call_ends_when_it_is_there() {
    let port = free_port();
    let daemon = Daemon::start(Some(port));
    let mut app = App::new(&daemon.socket());
    let sipp = Sipp::callee(daemon.directory.path(), "callee_is_sent_on", port);
    let call = make(&mut app, "200");
    app.states_to(call, "connected");
    app.ask(CallBlindTransfer { call, to: "sip:400@127.0.0.1:5999".into(), how: None });
    let news = told(&mut app, call);
    assert_eq!(news, ["progress network 100 Trying", "progress network 180 Ringing", "done network"]);
    assert_eq!(app.states_to(call, "idle").last().map(String::as_str), Some("idle"));
    sipp.finish();
}

#[test]
fn sipp_takes_the_place_of_our_consultation_call() {
    let port = free_port();
    let daemon = Daemon::start(None);
    let mut app = App::new(&daemon.socket());
    let first = Sipp::callee(daemon.directory.path(), "callee_is_joined", port);
    let call = make(&mut app, &format!("sip:200@127.0.0.1:{port}"));
    app.states_to(call, "connected");
    let other = free_port();
    let second = Sipp::callee(daemon.directory.path(), "callee_is_consulted", other);
    let to = format!("sip:300@127.0.0.1:{other}");
    let setup = CallSetupTransfer { call, to, line: None, address: AddressId(0), comment: None };
    let consultation = app.ask(setup).call;
    app.states_to(consultation, "connected");
    app.ask(CallCompleteTransfer { call, consultation, mode: TransferMode::Transfer, how: Some(TransferWay::Network) });
    let news = told(&mut app, call);
    assert_eq!(news, ["progress network 100 Trying", "progress network 180 Ringing", "done network"]);
    first.finish();
    // Who keeps the consultation although it was taken over is hung up on.
    second.finish();
}

/// A far end that knows no REFER: the server stays between, and says so.
fn bridged_after(status: &str) {
    let (port, target) = (free_port(), free_port());
    let daemon = Daemon::start(None);
    let mut app = App::new(&daemon.socket());
    let directory = daemon.directory.path();
    let sipp = Sipp::callee(directory, &format!("callee_answers_{status}_to_refer"), port);
    let call = make(&mut app, &format!("sip:200@127.0.0.1:{port}"));
    app.states_to(call, "connected");
    let callee = Sipp::callee(directory, "callee_answers", target);
    app.ask(CallBlindTransfer { call, to: format!("sip:400@127.0.0.1:{target}"), how: None });
    let news = told(&mut app, call);
    assert_eq!(news.last().map(String::as_str), Some("done bridge"), "{news:?}");
    let info = app.ask(CallGet { call }).info;
    let leg = info.bridged.expect("they are joined");
    let state = app.ask(CallGet { call: leg }).status.state;
    assert!(matches!(state, CallState::Connected(_)), "{state}");
    // The far end of one hangs up, or we do: the other ends with it.
    app.ask(tapi::request::CallDrop { call: leg, reason: None });
    let ended = |body: &EventBody| match body {
        EventBody::CallState { call: about, state: CallState::Idle, .. } if *about == call => Some(()),
        _ => None,
    };
    app.wait("end of the other half", ended);
    sipp.finish();
    callee.finish();
}

#[test]
fn a_far_end_that_answers_405_to_refer_is_bridged() {
    bridged_after("405");
}

#[test]
fn a_far_end_that_answers_501_to_refer_is_bridged() {
    bridged_after("501");
}

#[test]
fn a_transfer_that_may_only_be_the_networks_fails_where_the_network_cannot() {
    let port = free_port();
    let daemon = Daemon::start(Some(port));
    let mut app = App::new(&daemon.socket());
    let sipp = Sipp::callee(daemon.directory.path(), "callee_answers_405_to_refer", port);
    let call = make(&mut app, "200");
    app.states_to(call, "connected");
    app.ask(CallBlindTransfer { call, to: "sip:400@127.0.0.1:5999".into(), how: Some(TransferWay::Network) });
    assert_eq!(told(&mut app, call), ["failed network 405"]);
    let state = app.ask(CallGet { call }).status.state;
    assert!(matches!(state, CallState::Connected(_)), "the call is as it was: {state}");
    app.hang_up(call);
    sipp.finish();
}
