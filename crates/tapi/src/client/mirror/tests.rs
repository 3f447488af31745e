//! The mirror against the manual's session.

use super::*;
use crate::wire::{ServerLine, decode_server_line};
use crate::{CallState, ConnectedMode, DisconnectMode};

/// What the server says in the manual: its snapshot, and the events.
fn session() -> (Snapshot, Vec<Delivered>) {
    let (mut snapshot, mut events) = (None, Vec::new());
    for line in include_str!("../../../doc/session.txt").lines() {
        let Some(line) = line.strip_prefix("S: ") else { continue };
        match decode_server_line(line.as_bytes()).unwrap() {
            ServerLine::Event(event) => events.push(*event),
            ServerLine::Response { result: Ok(result), .. } if result.get().contains("\"lines\"") => {
                snapshot = Some(serde_json::from_str(result.get()).unwrap());
            }
            _ => {}
        }
    }
    (snapshot.unwrap(), events)
}

#[test]
fn a_call_is_followed_from_its_offer_to_its_end() {
    let (snapshot, events) = session();
    let mut mirror = Mirror::new();
    mirror.restart(snapshot);
    assert_eq!((mirror.lines().count(), mirror.calls().count()), (1, 0));
    let id = CallId(65602);
    let mut states = Vec::new();
    for event in &events {
        assert!(mirror.apply(event));
        states.push(mirror.call(id).unwrap().status.state.clone());
    }
    states.dedup();
    let connected = CallState::Connected(ConnectedMode::Active);
    let offering = CallState::Offering(crate::OfferingMode::Active);
    assert_eq!(states, [offering, connected, CallState::Disconnected(DisconnectMode::Normal), CallState::Idle]);
    let call = mirror.call(id).unwrap();
    assert_eq!((call.status.privilege.as_str(), call.status.features.len()), ("owner", 0));
    assert_eq!(call.status.entered_wall, 1_795_386_553_584_123);
    assert_eq!(call.info.cause.as_ref().unwrap().q850, Some(16));
    assert_eq!(mirror.seq(), 820);
    mirror.forget_call(id);
    assert_eq!(mirror.calls().count(), 0);
}

#[test]
fn what_a_snapshot_contains_is_not_applied_again() {
    let (mut snapshot, events) = session();
    let mut whole = Mirror::new();
    whole.restart(snapshot.clone());
    events.iter().for_each(|event| assert!(whole.apply(event)));
    // A snapshot in the middle, as the server would make it, and all events once more.
    let mut middle = Mirror::new();
    middle.restart(snapshot.clone());
    events.iter().take(3).for_each(|event| assert!(middle.apply(event)));
    (snapshot.seq, snapshot.calls) = (middle.seq(), middle.calls().cloned().collect());
    let mut late = Mirror::new();
    late.restart(snapshot);
    let applied = events.iter().filter(|event| late.apply(event)).count();
    assert_eq!((applied, late), (events.len() - 3, whole));
}

#[test]
fn a_line_takes_its_calls_along() {
    let (snapshot, events) = session();
    let mut mirror = Mirror::new();
    mirror.restart(snapshot);
    mirror.apply(&events[0]);
    let mut gone = events[1].clone();
    gone.event.body = EventBody::LineRemoved { line: LineId(65537), reason: "unplugged".into() };
    assert!(mirror.apply(&gone));
    assert_eq!((mirror.lines().count(), mirror.calls().count()), (0, 0));
    let mut unknown = events[2].clone();
    unknown.event.body = EventBody::Unrecognized;
    assert!(mirror.apply(&unknown));
    assert_eq!(mirror.seq(), unknown.event.seq, "an unknown kind is no gap");
}
