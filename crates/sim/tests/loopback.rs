//! The loopback provider: what each end of a call is told, and that it keeps the contract.

#![allow(clippy::unwrap_used, reason = "a test that fails shows why")]

use std::time::Duration;
use tapi::{AnswerEvidence, BusyMode, CallReason, Cause, DisconnectMode, ErrorCode, OperationId};
use tapi_sim::conformance::{Bench, check};
use tsp_loopback::{Config, Loopback};
use tspi::{
    Action, CallParams, CallRef, Direction, Event, Frame, Input, LineRef, LocalMedia, Output, Refusal, ReleasedBy,
    RemoteMedia, Report, StreamId, Taken,
};

fn make() -> Loopback {
    Loopback::new(Config { name: "loopback".into(), lines: 2 })
}

fn media(stream: u64) -> LocalMedia {
    LocalMedia::Frames { stream: StreamId(stream) }
}

fn dial(bench: &mut Bench<Loopback>, to: &str) -> Result<CallRef, Refusal> {
    let (line, params) = (LineRef(0), CallParams::default());
    let id = bench.command(Action::MakeCall { line, to: to.into(), params, media: media(1) });
    match bench.reply(id).expect("the reply comes at once")? {
        Taken::Call(call) => Ok(call),
        Taken::Done => panic!("a call was made without a name"),
    }
}

fn connected(bench: &mut Bench<Loopback>) -> (CallRef, CallRef) {
    let caller = dial(bench, "loopback:1").unwrap();
    let called = bench.found_calls()[0];
    bench.command(Action::Answer { call: called, media: media(2) });
    bench.outputs();
    (caller, called)
}

fn released(by: ReleasedBy, mode: DisconnectMode) -> Report {
    Report::Released { by, cause: Cause::new(mode) }
}

#[test]
fn a_call_is_offered_rings_is_answered_and_ends_for_both() {
    check(make, |bench| {
        let caller = dial(bench, "1").unwrap();
        let called = bench.found_calls()[0];
        assert_eq!(bench.reports(called), [Report::Offered]);
        bench.command(Action::Accept { call: called });
        bench.wait(Duration::from_secs(6));
        let rings = bench.events().iter().filter(|event| matches!(event, Event::Ringing { .. })).count();
        assert_eq!(rings, 2);
        bench.command(Action::Answer { call: called, media: media(2) });
        bench.command(Action::Drop { call: called, reason: None });
        let answered = |evidence| Report::Answered(evidence);
        assert_eq!(
            bench.reports(caller),
            [
                Report::Proceeding,
                Report::PeerRings,
                answered(AnswerEvidence::Signalled),
                released(ReleasedBy::Remote, DisconnectMode::Normal)
            ]
        );
        assert_eq!(
            bench.reports(called),
            [
                Report::Offered,
                Report::Accepted,
                answered(AnswerEvidence::Local),
                released(ReleasedBy::Local, DisconnectMode::Normal)
            ]
        );
        bench.command(Action::CloseCall { call: caller });
        bench.command(Action::CloseCall { call: called });
        let id = bench.command(Action::Hold { call: caller });
        assert_eq!(bench.reply(id).unwrap().unwrap_err().code, ErrorCode::InvalCallHandle);
    });
}

#[test]
fn special_numbers_do_what_they_say() {
    check(make, |bench| {
        let busy = dial(bench, "busy").unwrap();
        assert_eq!(bench.reports(busy), [Report::Proceeding, Report::Busy(BusyMode::Station)]);
        let silent = dial(bench, "noanswer").unwrap();
        assert_eq!(bench.reports(silent), [Report::Proceeding, Report::PeerRings]);
        let refused = dial(bench, "reject").unwrap();
        let nobody = dial(bench, "loopback:9").unwrap();
        assert_eq!(dial(bench, "nonsense").unwrap_err().code, ErrorCode::InvalAddress);
        bench.wait(Duration::from_secs(60));
        for (call, mode) in [
            (busy, DisconnectMode::Busy),
            (silent, DisconnectMode::NoAnswer),
            (refused, DisconnectMode::Reject),
            (nobody, DisconnectMode::BadAddress),
        ] {
            assert_eq!(bench.reports(call).last(), Some(&released(ReleasedBy::Remote, mode)));
        }
    });
}

#[test]
fn a_refused_and_an_abandoned_call_tell_the_other_end_why() {
    check(make, |bench| {
        let caller = dial(bench, "1").unwrap();
        bench.command(Action::Drop { call: bench.found_calls()[0], reason: Some(DisconnectMode::Busy) });
        assert_eq!(bench.reports(caller).last(), Some(&released(ReleasedBy::Remote, DisconnectMode::Busy)));
        let caller = dial(bench, "1").unwrap();
        bench.command(Action::Drop { call: caller, reason: None });
        let called = bench.found_calls()[1];
        assert_eq!(bench.reports(called).last(), Some(&released(ReleasedBy::Remote, DisconnectMode::Cancelled)));
    });
}

#[test]
fn a_call_that_nobody_answers_is_given_up_at_both_ends() {
    check(make, |bench| {
        let caller = dial(bench, "1").unwrap();
        bench.wait(Duration::from_secs(61));
        let called = bench.found_calls()[0];
        assert_eq!(bench.reports(caller).last(), Some(&released(ReleasedBy::Remote, DisconnectMode::NoAnswer)));
        assert_eq!(bench.reports(called).last(), Some(&released(ReleasedBy::Remote, DisconnectMode::Cancelled)));
    });
}

#[test]
fn who_is_held_is_told_and_the_audio_follows_the_direction() {
    check(make, |bench| {
        let (caller, called) = connected(bench);
        let frame = Frame([7; 160]);
        let heard = |bench: &mut Bench<Loopback>, from: u64| {
            bench.outputs();
            bench.input(Input::Frame { stream: StreamId(from), frame: &frame });
            bench.outputs()
        };
        let to = |stream| Output::Frame { stream: StreamId(stream), frame };
        assert_eq!(heard(bench, 1), [to(2)]);
        assert_eq!(heard(bench, 2), [to(1)]);
        bench.command(Action::Hold { call: caller });
        assert_eq!(bench.reports(called).last(), Some(&Report::PeerHeld));
        let direction = |call, direction| Event::Media { call, remote: RemoteMedia::Frames { direction } };
        let events = bench.events();
        assert!(events.contains(&direction(caller, Direction::SendOnly)), "{events:?}");
        assert!(events.contains(&direction(called, Direction::RecvOnly)), "{events:?}");
        assert_eq!(heard(bench, 1), [to(2)]);
        assert_eq!(heard(bench, 2), []);
        bench.command(Action::Unhold { call: caller });
        assert_eq!(bench.reports(called).last(), Some(&Report::PeerRetrieved));
        assert_eq!(heard(bench, 2), [to(1)]);
        let id = bench.command(Action::Unhold { call: caller });
        assert_eq!(bench.reply(id).unwrap().unwrap_err().code, ErrorCode::InvalCallState);
    });
}

#[test]
fn digits_arrive_one_by_one_and_a_second_run_takes_the_place_of_the_first() {
    check(make, |bench| {
        let (caller, called) = connected(bench);
        let send = |bench: &mut Bench<Loopback>, operation, digits: &str| {
            let (operation, digits) = (OperationId(operation), digits.to_owned());
            bench.command(Action::SendDigits { call: caller, operation, digits, duration_ms: None })
        };
        send(bench, 1, "12,#");
        bench.wait(Duration::from_millis(200));
        send(bench, 2, "A");
        bench.wait(Duration::from_secs(5));
        let heard: String = bench
            .events()
            .iter()
            .filter_map(|event| match event {
                Event::Digit { call, digit, .. } if *call == called => Some(digit.to_string()),
                Event::DigitsSent { operation, complete, .. } => Some(format!("[{} {complete}]", operation.0)),
                _ => None,
            })
            .collect();
        assert_eq!(heard, "1[1 false]A[2 true]");
        let id = send(bench, 3, "x");
        assert_eq!(bench.reply(id).unwrap().unwrap_err().code, ErrorCode::InvalDigitList);
    });
}

#[test]
fn a_line_has_room_for_four_calls_and_then_is_busy() {
    check(make, |bench| {
        for _ in 0..4 {
            dial(bench, "1").unwrap();
        }
        assert_eq!(dial(bench, "1").unwrap_err().code, ErrorCode::CallUnavail);
        let (line, params) = (LineRef(1), CallParams::default());
        let id = bench.command(Action::MakeCall { line, to: "1".into(), params, media: media(9) });
        assert_eq!(bench.reply(id).unwrap().unwrap_err().code, ErrorCode::CallUnavail);
    });
}

/// Three lines, and a call from the first to the second that is up.
fn three() -> Loopback {
    Loopback::new(Config { name: "loopback".into(), lines: 3 })
}

#[test]
fn an_offered_call_is_redirected_and_the_caller_goes_on_waiting() {
    check(three, |bench| {
        let caller = dial(bench, "1").unwrap();
        let called = bench.found_calls()[0];
        bench.command(Action::Redirect { call: called, to: "2".into() });
        assert_eq!(bench.reports(called).last(), Some(&released(ReleasedBy::Local, DisconnectMode::Forwarded)));
        let other = bench.found_calls()[1];
        let facts = bench.events().into_iter().rev().find_map(|event| match event {
            Event::NewCall { call, facts, .. } if call == other => Some(facts),
            _ => None,
        });
        let facts = facts.unwrap();
        assert_eq!(facts.redirecting.as_ref().and_then(|by| by.address.as_deref()), Some("loopback:1"));
        assert_eq!(facts.reason, Some(CallReason::Redirect));
        bench.command(Action::Answer { call: other, media: media(3) });
        assert_eq!(bench.reports(caller).last(), Some(&Report::Answered(AnswerEvidence::Signalled)));
        bench.command(Action::Drop { call: caller, reason: None });
        assert_eq!(bench.reports(other).last(), Some(&released(ReleasedBy::Remote, DisconnectMode::Normal)));
    });
}

#[test]
fn a_call_is_transferred_and_goes_on_between_the_others() {
    check(three, |bench| {
        let (caller, called) = connected(bench);
        bench.command(Action::BlindTransfer { call: caller, to: "2".into() });
        let reports = bench.reports(caller);
        assert!(reports.contains(&Report::Transferred), "{reports:?}");
        assert_eq!(reports.last(), Some(&released(ReleasedBy::Local, DisconnectMode::Normal)));
        let target = bench.found_calls()[1];
        bench.command(Action::Answer { call: target, media: media(3) });
        bench.outputs();
        let frame = Frame([9; 160]);
        bench.input(Input::Frame { stream: StreamId(3), frame: &frame });
        let heard = bench.outputs().into_iter().any(|output| output == Output::Frame { stream: StreamId(2), frame });
        assert!(heard, "the transferred end hears the target");
        bench.command(Action::Drop { call: called, reason: None });
        assert_eq!(bench.reports(target).last(), Some(&released(ReleasedBy::Remote, DisconnectMode::Normal)));
    });
}

#[test]
fn a_transfer_to_nobody_changes_nothing_and_one_that_is_not_answered_ends() {
    check(three, |bench| {
        let (caller, called) = connected(bench);
        for (to, mode) in [("busy", DisconnectMode::Busy), ("77", DisconnectMode::BadAddress)] {
            bench.command(Action::BlindTransfer { call: caller, to: to.into() });
            let failed = Report::TransferFailed { cause: Cause::new(mode), unsupported: false };
            assert_eq!(bench.reports(caller).last(), Some(&failed));
        }
        bench.command(Action::BlindTransfer { call: caller, to: "noanswer".into() });
        bench.wait(Duration::from_secs(61));
        assert_eq!(bench.reports(called).last(), Some(&released(ReleasedBy::Remote, DisconnectMode::NoAnswer)));
    });
}

#[test]
fn the_far_ends_of_two_calls_are_joined() {
    check(three, |bench| {
        let (caller, called) = connected(bench);
        bench.command(Action::Hold { call: caller });
        let consultation = {
            let (line, params) = (LineRef(0), CallParams::default());
            let id = bench.command(Action::MakeCall { line, to: "2".into(), params, media: media(4) });
            match bench.reply(id).unwrap().unwrap() {
                Taken::Call(call) => call,
                Taken::Done => panic!("a call was made without a name"),
            }
        };
        let target = bench.found_calls()[1];
        bench.command(Action::Answer { call: target, media: media(3) });
        bench.command(Action::CompleteTransfer { call: caller, consultation });
        for own in [caller, consultation] {
            assert_eq!(bench.reports(own).last(), Some(&released(ReleasedBy::Local, DisconnectMode::Normal)));
        }
        assert_eq!(bench.reports(called).last(), Some(&Report::PeerRetrieved), "who was held is so no longer");
        bench.outputs();
        let frame = Frame([5; 160]);
        bench.input(Input::Frame { stream: StreamId(2), frame: &frame });
        assert!(bench.outputs().into_iter().any(|output| output == Output::Frame { stream: StreamId(3), frame }));
        bench.command(Action::Drop { call: target, reason: None });
        assert_eq!(bench.reports(called).last(), Some(&released(ReleasedBy::Remote, DisconnectMode::Normal)));
    });
}
