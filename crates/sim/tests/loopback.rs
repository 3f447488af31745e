//! The loopback provider: what each end of a call is told, and that it keeps the contract.

#![allow(clippy::unwrap_used, reason = "a test that fails shows why")]

use std::time::Duration;
use tapi::{AnswerEvidence, BusyMode, Cause, DisconnectMode, ErrorCode, OperationId};
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
