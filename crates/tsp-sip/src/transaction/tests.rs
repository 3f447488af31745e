//! Every state against every event, and the exact times of what is sent again.

use super::*;
use crate::Timers;

fn timing(reliable: bool) -> Timing {
    Timing { reliable, ..Timing::udp(Timers::default()) }
}

const TIMERS: [Timer; 12] = {
    use Timer::*;
    [A, B, D, E, F, G, H, I, J, K, L, M]
};

fn client_events() -> Vec<ClientEvent> {
    let mut events =
        vec![ClientEvent::Provisional, ClientEvent::Success, ClientEvent::Failure, ClientEvent::TransportError];
    events.extend(TIMERS.map(ClientEvent::Timer));
    events
}

fn server_events() -> Vec<ServerEvent> {
    use ServerEvent::*;
    let mut events = vec![Retransmit, Ack, Provisional, Success, Failure, TransportError];
    events.extend(TIMERS.map(ServerEvent::Timer));
    events
}

/// The moments, in milliseconds, at which something is done until the machine rests.
macro_rules! schedule {
    ($machine:expr, $timing:expr, $event:path) => {{
        let mut done = Vec::new();
        while let Some(at) = $machine.deadlines.next() {
            while let Some(timer) = $machine.deadlines.expired(at) {
                for act in $machine.on(at, $event(timer), $timing) {
                    done.push((at.as_millis(), act));
                }
            }
        }
        done
    }};
}

#[test]
fn client_invite_every_state_and_event() {
    use ClientAct as A;
    use ClientEvent as E;
    use client_invite::{ClientInvite, State as S};
    for state in [S::Calling, S::Proceeding, S::Completed, S::Accepted, S::Terminated] {
        for event in client_events() {
            let mut machine = ClientInvite::new(Time::ZERO, &timing(false));
            machine.state = state;
            let acts = machine.on(Time::ZERO, event, &timing(false));
            let (next, wanted) = match (state, event) {
                (S::Calling, E::Timer(Timer::A)) => (S::Calling, vec![A::Resend]),
                (S::Calling, E::Timer(Timer::B)) => (S::Terminated, vec![A::Timeout]),
                (S::Calling | S::Completed, E::TransportError) => (S::Terminated, vec![A::Unsent]),
                (S::Calling | S::Proceeding, E::Provisional) => (S::Proceeding, vec![A::Pass]),
                (S::Calling | S::Proceeding | S::Accepted, E::Success) => (S::Accepted, vec![A::Pass]),
                (S::Calling | S::Proceeding, E::Failure) => (S::Completed, vec![A::Ack, A::Pass]),
                (S::Completed, E::Failure) => (S::Completed, vec![A::Ack]),
                (S::Completed, E::Timer(Timer::D)) | (S::Accepted, E::Timer(Timer::M)) => (S::Terminated, vec![]),
                (state, _) => (state, vec![]),
            };
            assert_eq!((machine.state, acts), (next, wanted), "{state:?} {event:?}");
        }
    }
}

#[test]
fn client_non_invite_every_state_and_event() {
    use ClientAct as A;
    use ClientEvent as E;
    use client_non_invite::{ClientNonInvite, State as S};
    for state in [S::Trying, S::Proceeding, S::Completed, S::Terminated] {
        for event in client_events() {
            let mut machine = ClientNonInvite::new(Time::ZERO, &timing(false));
            machine.state = state;
            let acts = machine.on(Time::ZERO, event, &timing(false));
            let (next, wanted) = match (state, event) {
                (S::Trying | S::Proceeding, E::Timer(Timer::E)) => (state, vec![A::Resend]),
                (S::Trying | S::Proceeding, E::Timer(Timer::F)) => (S::Terminated, vec![A::Timeout]),
                (S::Trying | S::Proceeding, E::TransportError) => (S::Terminated, vec![A::Unsent]),
                (S::Trying | S::Proceeding, E::Provisional) => (S::Proceeding, vec![A::Pass]),
                (S::Trying | S::Proceeding, E::Success | E::Failure) => (S::Completed, vec![A::Pass]),
                (S::Completed, E::Timer(Timer::K)) => (S::Terminated, vec![]),
                (state, _) => (state, vec![]),
            };
            assert_eq!((machine.state, acts), (next, wanted), "{state:?} {event:?}");
        }
    }
}

#[test]
fn server_invite_every_state_and_event() {
    use ServerAct as A;
    use ServerEvent as E;
    use server_invite::{ServerInvite, State as S};
    for state in [S::Proceeding, S::Completed, S::Confirmed, S::Accepted, S::Terminated] {
        for event in server_events() {
            let mut machine = ServerInvite::new(&timing(false));
            machine.state = state;
            let acts = machine.on(Time::ZERO, event, &timing(false));
            let (next, wanted) = match (state, event) {
                (S::Proceeding | S::Completed, E::Retransmit) => (state, vec![A::Resend]),
                (S::Proceeding, E::Provisional) => (S::Proceeding, vec![A::Send]),
                (S::Proceeding | S::Accepted, E::Success) => (S::Accepted, vec![A::Send]),
                (S::Proceeding, E::Failure) => (S::Completed, vec![A::Send]),
                (S::Completed, E::Timer(Timer::G)) => (S::Completed, vec![A::Resend]),
                (S::Completed, E::Timer(Timer::H)) => (S::Terminated, vec![A::NoAck]),
                (S::Completed, E::Ack) => (S::Confirmed, vec![]),
                (S::Proceeding | S::Completed | S::Accepted, E::TransportError) => (state, vec![A::Unsent]),
                (S::Confirmed, E::Timer(Timer::I)) | (S::Accepted, E::Timer(Timer::L)) => (S::Terminated, vec![]),
                (state, _) => (state, vec![]),
            };
            assert_eq!((machine.state, acts), (next, wanted), "{state:?} {event:?}");
        }
    }
}

#[test]
fn server_non_invite_every_state_and_event() {
    use ServerAct as A;
    use ServerEvent as E;
    use server_non_invite::{ServerNonInvite, State as S};
    for state in [S::Trying, S::Proceeding, S::Completed, S::Terminated] {
        for event in server_events() {
            let mut machine = ServerNonInvite::new();
            machine.state = state;
            let acts = machine.on(Time::ZERO, event, &timing(false));
            let (next, wanted) = match (state, event) {
                (S::Proceeding | S::Completed, E::Retransmit) => (state, vec![A::Resend]),
                (S::Trying | S::Proceeding, E::Provisional) => (S::Proceeding, vec![A::Send]),
                (S::Trying | S::Proceeding, E::Success | E::Failure) => (S::Completed, vec![A::Send]),
                (S::Proceeding | S::Completed, E::TransportError) => (S::Terminated, vec![A::Unsent]),
                (S::Completed, E::Timer(Timer::J)) => (S::Terminated, vec![]),
                (state, _) => (state, vec![]),
            };
            assert_eq!((machine.state, acts), (next, wanted), "{state:?} {event:?}");
        }
    }
}

#[test]
fn an_invite_nobody_answers_is_sent_seven_times_over_udp_and_once_over_tcp() {
    let mut machine = client_invite::ClientInvite::new(Time::ZERO, &timing(false));
    let done = schedule!(machine, &timing(false), ClientEvent::Timer);
    let mut wanted: Vec<_> = [500, 1_500, 3_500, 7_500, 15_500, 31_500].map(|at| (at, ClientAct::Resend)).into();
    wanted.push((32_000, ClientAct::Timeout));
    assert_eq!(done, wanted);
    let mut machine = client_invite::ClientInvite::new(Time::ZERO, &timing(true));
    assert_eq!(schedule!(machine, &timing(true), ClientEvent::Timer), [(32_000, ClientAct::Timeout)]);
}

#[test]
fn another_request_is_sent_eleven_times_and_goes_on_after_a_provisional() {
    let mut machine = client_non_invite::ClientNonInvite::new(Time::ZERO, &timing(false));
    let done = schedule!(machine, &timing(false), ClientEvent::Timer);
    let at: Vec<u64> = done.iter().map(|(at, _)| *at).collect();
    assert_eq!(at, [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500, 32_000]);
    let mut machine = client_non_invite::ClientNonInvite::new(Time::ZERO, &timing(false));
    machine.on(Time::from_millis(100), ClientEvent::Provisional, &timing(false));
    let done = schedule!(machine, &timing(false), ClientEvent::Timer);
    let at: Vec<u64> = done.iter().map(|(at, _)| *at).collect();
    assert_eq!(at, [500, 4_500, 8_500, 12_500, 16_500, 20_500, 24_500, 28_500, 32_000]);
}

#[test]
fn a_refusal_is_sent_again_until_ack_and_given_up_without() {
    let mut machine = server_invite::ServerInvite::new(&timing(false));
    machine.on(Time::ZERO, ServerEvent::Failure, &timing(false));
    let done = schedule!(machine, &timing(false), ServerEvent::Timer);
    let at: Vec<u64> = done.iter().map(|(at, _)| *at).collect();
    assert_eq!(at, [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500, 32_000]);
    assert_eq!(done.last().unwrap().1, ServerAct::NoAck);
    let mut machine = server_invite::ServerInvite::new(&timing(false));
    machine.on(Time::ZERO, ServerEvent::Failure, &timing(false));
    machine.on(Time::from_millis(600), ServerEvent::Ack, &timing(false));
    assert_eq!(machine.deadlines.next(), Some(Time::from_millis(5_600)));
    assert_eq!(schedule!(machine, &timing(false), ServerEvent::Timer), []);
    assert_eq!(machine.state, server_invite::State::Terminated);
}

#[test]
fn waits_for_repetitions_are_those_of_the_rfc() {
    let at = Time::from_millis(1_000);
    for (event, udp, tcp) in [(ClientEvent::Failure, 33_000, 1_000), (ClientEvent::Success, 33_000, 33_000)] {
        for (reliable, until) in [(false, udp), (true, tcp)] {
            let mut machine = client_invite::ClientInvite::new(Time::ZERO, &timing(reliable));
            machine.on(at, event, &timing(reliable));
            assert_eq!(machine.deadlines.next(), Some(Time::from_millis(until)), "{event:?} {reliable}");
        }
    }
    for (reliable, k, j) in [(false, 6_000, 33_000), (true, 1_000, 1_000)] {
        let mut client = client_non_invite::ClientNonInvite::new(Time::ZERO, &timing(reliable));
        client.on(at, ClientEvent::Success, &timing(reliable));
        assert_eq!(client.deadlines.next(), Some(Time::from_millis(k)));
        let mut server = server_non_invite::ServerNonInvite::new();
        server.on(at, ServerEvent::Success, &timing(reliable));
        assert_eq!(server.deadlines.next(), Some(Time::from_millis(j)));
    }
}

#[test]
fn a_machine_is_a_plain_value() {
    let machine = client_invite::ClientInvite::new(Time::ZERO, &timing(false));
    let json = serde_json::to_string(&machine).unwrap();
    assert_eq!(serde_json::from_str::<client_invite::ClientInvite>(&json).unwrap(), machine);
}
