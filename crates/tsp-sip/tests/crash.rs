//! A user agent whose process died, and the one that goes on with what it wrote down.
#![allow(clippy::unwrap_used, reason = "tests")]

mod net;

use net::*;
use std::collections::{BTreeMap, BTreeSet};
use tapi::DisconnectMode;
use tsp_sip::{PORT, Sip};
use tspi::*;

/// What is written down, kept over crashes.
#[derive(Default)]
struct Kept(BTreeMap<u64, Vec<u8>>);

impl Kept {
    fn write(&mut self, sip: &mut Sip) -> usize {
        let mut entries = 0;
        sip.checkpoint(|call, value| {
            entries += 1;
            match value {
                Some(value) => drop(self.0.insert(call, value.to_vec())),
                None => drop(self.0.remove(&call)),
            }
        });
        entries
    }

    /// Alice's process dies; the server knows these calls.
    fn crash(&mut self, net: &mut Net, known: &[CallRef]) -> Vec<CallRef> {
        let known: BTreeSet<CallRef> = known.iter().copied().collect();
        // Chance is new with every process, or the other end takes our requests for old ones.
        let seed = [net.now.0 as u8 | 1; 32];
        let config = config(ALICE, "192.0.2.2", Some(BOB));
        let (sip, calls) = Sip::recover(config, seed, net.now, self.0.clone(), &known);
        net.agents[0].sip = sip;
        // Its journal is a new one.
        self.0.clear();
        self.write(&mut net.agents[0].sip);
        net.feed(0, Input::Timeout);
        net.feed(0, Input::Opened { port: PORT });
        calls
    }
}

fn up() -> (Net, CallRef, CallRef, Kept) {
    let mut net = Net::new(1);
    net.restarts = false;
    let mut kept = Kept::default();
    net.agents[0].sip.begin_checkpoints();
    let alice = net.call(0, "200");
    assert_eq!(kept.write(&mut net.agents[0].sip), 0, "a call that is set up is not worth it");
    net.run(1_000);
    let bob = net.offered(1);
    net.command(1, Action::Answer { call: bob, media: rtp(2) }).unwrap();
    net.run(2_000);
    assert_eq!(kept.write(&mut net.agents[0].sip), 1);
    assert_eq!(kept.write(&mut net.agents[0].sip), 0, "nothing changed");
    (net, alice, bob, kept)
}

#[test]
fn a_call_is_held_retrieved_and_hung_up_after_a_crash() {
    let (mut net, alice, bob, mut kept) = up();
    assert_eq!(kept.crash(&mut net, &[alice]), [alice]);
    net.command(0, Action::Hold { call: alice }).unwrap();
    net.run(1_000);
    assert_eq!(net.reports(1, bob).last(), Some(&Report::PeerHeld));
    kept.write(&mut net.agents[0].sip);
    assert_eq!(kept.crash(&mut net, &[alice]), [alice], "and once more");
    net.command(0, Action::Unhold { call: alice }).unwrap();
    net.run(1_000);
    assert_eq!(net.reports(0, alice).last(), Some(&Report::Retrieved));
    net.command(0, Action::Drop { call: alice, reason: None }).unwrap();
    net.run(1_000);
    assert_eq!(net.mode(1, bob), Some((ReleasedBy::Remote, DisconnectMode::Normal)));
    kept.write(&mut net.agents[0].sip);
    assert!(kept.0.is_empty(), "nothing is kept of a call that is over");
    net.assert_nothing_left();
}

#[test]
fn the_far_end_hangs_up_after_a_crash() {
    let (mut net, alice, bob, mut kept) = up();
    kept.crash(&mut net, &[alice]);
    net.command(1, Action::Drop { call: bob, reason: None }).unwrap();
    net.run(1_000);
    assert_eq!(net.mode(0, alice), Some((ReleasedBy::Remote, DisconnectMode::Normal)));
    net.assert_nothing_left();
}

#[test]
fn a_call_that_the_server_does_not_know_is_hung_up() {
    let (mut net, alice, bob, mut kept) = up();
    assert_eq!(kept.crash(&mut net, &[]), []);
    net.run(1_000);
    assert_eq!(net.mode(1, bob), Some((ReleasedBy::Remote, DisconnectMode::Normal)));
    assert!(net.reports(0, alice).iter().all(|report| !matches!(report, Report::Released { .. })));
    net.run(60_000);
    assert!(net.agents[0].sip.is_idle());
}

#[test]
fn new_calls_have_new_names_and_what_cannot_be_read_is_passed_over() {
    let (mut net, alice, _, mut kept) = up();
    kept.0.insert(77, b"{\"id\":77}".to_vec());
    kept.0.insert(78, kept.0[&alice.0].clone());
    assert_eq!(kept.crash(&mut net, &[alice, CallRef(77), CallRef(78)]), [alice]);
    assert_eq!(net.agents[0].sip.counters().unrecovered, 2);
    let next = net.call(0, "201");
    assert!(next > CallRef(78), "{next:?}");
}

#[test]
fn another_configuration_keeps_calls_and_brings_lines() {
    let (mut net, alice, bob, _) = up();
    let mut changed = config(ALICE, "192.0.2.2", Some(BOB));
    changed.lines[0].description = "another".into();
    changed.lines[0].max_calls = 1;
    changed.lines.push(tsp_sip::LineConfig { name: "sip:second".into(), ..changed.lines[0].clone() });
    let now = net.now;
    net.agents[0].events.clear();
    assert!(net.agents[0].sip.reconfigure(now, changed.clone()));
    net.feed(0, Input::Timeout);
    let told: Vec<String> = net.agents[0]
        .events
        .iter()
        .filter_map(|event| match event {
            Event::LineAdded { description, .. } => Some(format!("{} {}", description.name, description.description)),
            _ => None,
        })
        .collect();
    assert_eq!(told, ["sip:trunk another", "sip:second another"]);
    changed.lines.remove(0);
    assert!(!net.agents[0].sip.reconfigure(now, changed), "a line is missing");
    net.command(1, Action::Drop { call: bob, reason: None }).unwrap();
    net.run(1_000);
    assert_eq!(net.mode(0, alice), Some((ReleasedBy::Remote, DisconnectMode::Normal)));
}
