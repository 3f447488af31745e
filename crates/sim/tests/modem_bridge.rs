//! Audio of modem calls through the driver: every family with audio is heard, decoded, in a bridge to SIP, both ways, whole, at its level and
//! in time; and two modems whose clocks differ, joined for ten minutes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails shows why")]

mod desk;

use desk::{FAMILIES, NUMBER, device};
use std::net::SocketAddr;
use std::time::Duration;
use tapi::request::{CallBridge, CallMonitorDigits};
use tapi::{CallId, Request, Time};
use tapi_sim::exchange::{BoxedDevice, Event, meter};
use tapi_sim::modem::{analogue, cellular};
use tapi_sim::world::{AppId, Peer, Policy, SERVER, Setup, World};
use tspi::Frame;

const FAR: &str = "4930304";
/// 20 ms are no whole number of its periods: a frame that is lost or told twice is a jump of its phase.
const STEADY_HZ: u32 = 1_012;

struct Bridge {
    world: World,
    app: AppId,
    calls: [CallId; 2],
    peer: usize,
    dialog: String,
}

/// A SIP call and a modem call to a number, joined.
fn bridge(family: &'static str, number: &str) -> Bridge {
    bridge_with(family, number, device(family))
}

fn bridge_with(family: &'static str, number: &str, device: BoxedDevice) -> Bridge {
    let mut world = World::new(Setup { snapshots: false, ..Setup::default() });
    for (number, words) in [("4930300", "echo,answer:1s"), (FAR, "silence,answer:1s")] {
        world.in_exchange(|_, exchange| exchange.subscribe(number, words.parse().unwrap()));
    }
    let profile = FAMILIES.iter().find(|(name, _)| *name == family).unwrap().1;
    world.start_modem("one", NUMBER, profile, device);
    let app = world.open_app("app", 0);
    let line = world.open_line(app, "modem:one");
    let address = SocketAddr::from(([192, 0, 2, 9], 5060));
    world.start_sip(5060, "sip:trunk", address);
    let peer = world.add_peer(Peer::new(address, SocketAddr::new(SERVER, 5060), Policy::Ring));
    world.open_line(app, "sip:trunk");
    let dialog = world.with_peer(peer, |now, peer| peer.invite(now, "office"));
    let incoming = world.await_offer(app);
    world.answer(app, incoming);
    world.await_state(app, incoming, "connected");
    let outgoing = world.make_call(app, line, number).unwrap();
    world.await_state(app, outgoing, "connected");
    world.run_for(Duration::from_secs(2));
    world.expect(app, Request::CallBridge(CallBridge { call: incoming, with: outgoing }));
    world.run_for(Duration::from_secs(2));
    Bridge { world, app, calls: [incoming, outgoing], peer, dialog }
}

impl Bridge {
    /// What the SIP end heard since a moment.
    fn peer_heard(&self, since: Time) -> Vec<(Time, Frame)> {
        let heard = &self.world.peer(self.peer).dialog(&self.dialog).unwrap().audio.heard;
        heard.iter().filter(|(at, _)| *at >= since).copied().collect()
    }

    fn overhear(&mut self) -> Vec<Frame> {
        self.world.in_exchange(|_, exchange| exchange.overhear(FAR)).unwrap()
    }

    fn network_says(&mut self, hz: u32, seconds: u64) {
        let length = Duration::from_secs(seconds);
        self.world.in_exchange(|now, exchange| exchange.tone(now, FAR, hz, length)).unwrap();
    }

    fn peer_says(&mut self, hz: u32, level_ddbm0: i32, seconds: u64) {
        let (dialog, length) = (self.dialog.clone(), Duration::from_secs(seconds));
        self.world.with_peer(self.peer, |now, peer| {
            peer.audio(&dialog).unwrap().play(now, f64::from(hz), level_ddbm0, length);
        });
    }

    fn ends(mut self) {
        self.calls.iter().for_each(|call| self.world.drop_call(self.app, *call));
        self.world.run_for(Duration::from_secs(5));
        self.world.assert_nothing_left();
    }
}

/// A tone of three seconds in what was heard: whole, at its frequency and level.
fn whole(what: &str, frames: &[Frame], hz: u32, level_ddbm0: i32) {
    let steady = meter::steadiness(frames, f64::from(hz));
    assert!((147..=152).contains(&steady.held), "{what}: of 150 frames {steady:?}");
    assert!(steady.holes == 0 && steady.slips <= 1, "{what}: {steady:?}");
    let loud = |frame: &&Frame| meter::power_at(&frame.0, f64::from(hz)) > 1e5;
    let samples: Vec<i16> = frames.iter().filter(loud).skip(10).take(100).flat_map(|frame| frame.0).collect();
    let reading = meter::read(&samples);
    assert!(reading.hz.abs_diff(hz) <= 3, "{what}: {hz} Hz were sent and {reading:?} heard");
    assert!((reading.level_ddbm0 - level_ddbm0).abs() <= 10, "{what}: {level_ddbm0} was sent and {reading:?} heard");
    // Where clocks are followed the tone is a little off its frequency: in a quarter of a second it is sought there.
    let block = &samples[8_000..10_000];
    let tone = (-40..=40).map(|off| meter::power_at(block, f64::from(hz) + f64::from(off) / 40.0)).fold(0.0, f64::max);
    let noise = 10.0 * (tone / (meter::mean_square(block) - tone).max(1.0)).log10();
    println!("{what}: {steady:?}, {reading:?}, {noise:.1} dB above the noise");
    // 8-bit samples of a tone at -16 dBm0 allow some 30 dB.
    assert!(noise > 26.0, "{what}: {noise:.1} dB above the noise");
}

fn with_audio() -> impl Iterator<Item = &'static str> {
    let heard =
        |family: &&'static str| cellular::Persona::named(family).is_none_or(|it| it.audio != cellular::Audio::None);
    FAMILIES.iter().map(|(family, _)| *family).filter(heard)
}

fn carries_both(family: &str) -> bool {
    analogue::Persona::named(family).is_none_or(|persona| persona.duplex)
}

#[test]
fn every_family_with_audio_carries_a_tone_each_way_at_its_level_and_in_time() {
    assert_eq!(with_audio().count(), 10);
    for family in with_audio() {
        let mut bridge = bridge(family, FAR);
        for round in 0..2 {
            let begin = bridge.world.now();
            bridge.network_says(STEADY_HZ, 3);
            bridge.world.run_for(Duration::from_secs(4));
            let heard = bridge.peer_heard(begin);
            let frames: Vec<Frame> = heard.iter().map(|(_, frame)| *frame).collect();
            whole(&format!("{family}, network to sip, {round}"), &frames, STEADY_HZ, -160);
            let first = heard.iter().find(|(_, frame)| meter::mean_square(&frame.0) > 1e5).unwrap().0;
            let delay = first - begin;
            assert!(delay < Duration::from_millis(200), "{family}: {delay:?} from the network to sip");
            // And back: a modem that carries one direction turns round for it, and loses nothing of it.
            bridge.overhear();
            bridge.peer_says(STEADY_HZ, -120, 3);
            bridge.world.run_for(Duration::from_secs(5));
            let frames = bridge.overhear();
            whole(&format!("{family}, sip to network, {round}"), &frames, STEADY_HZ, -120);
        }
        bridge.ends();
    }
}

#[test]
fn families_that_carry_both_directions_at_once_do() {
    let both: Vec<&str> = with_audio().filter(|family| carries_both(family)).collect();
    assert_eq!(both, ["v253", "generic", "e1550", "ec25", "sim7600"]);
    for family in both {
        let mut bridge = bridge(family, FAR);
        let begin = bridge.world.now();
        bridge.overhear();
        bridge.network_says(STEADY_HZ, 3);
        bridge.peer_says(712, -140, 3);
        bridge.world.run_for(Duration::from_secs(4));
        let frames: Vec<Frame> = bridge.peer_heard(begin).iter().map(|(_, frame)| *frame).collect();
        whole(&format!("{family}, both, network to sip"), &frames, STEADY_HZ, -160);
        let frames = bridge.overhear();
        whole(&format!("{family}, both, sip to network"), &frames, 712, -140);
        bridge.ends();
    }
}

#[test]
fn an_echo_in_the_network_comes_back_over_the_bridge_within_twice_the_delay() {
    for family in with_audio().filter(|family| carries_both(family)) {
        let mut bridge = bridge(family, "4930300");
        let begin = bridge.world.now();
        bridge.peer_says(900, -100, 3);
        bridge.world.run_for(Duration::from_secs(3));
        let heard = bridge.peer_heard(begin);
        let around = heard.iter().find(|(_, frame)| meter::mean_square(&frame.0) > 1e5).unwrap().0 - begin;
        assert!(around < Duration::from_millis(400), "{family}: {around:?} there and back");
        println!("{family}: there and back {around:?}");
        bridge.ends();
    }
}

/// A modem that carries one direction turns round for each word and listens again in the pauses: no word is cut, however long they are.
#[test]
fn words_with_pauses_cross_a_modem_that_turns_round_for_each() {
    for family in with_audio().filter(|family| !carries_both(family)) {
        let mut bridge = bridge(family, FAR);
        for pause_ms in [300, 700, 800, 850, 900, 950, 1_000, 1_100, 1_300] {
            bridge.overhear();
            for _ in 0..5 {
                let dialog = bridge.dialog.clone();
                bridge.world.with_peer(bridge.peer, |now, peer| {
                    let word = Duration::from_millis(200);
                    peer.audio(&dialog).unwrap().play(now, f64::from(STEADY_HZ), -120, word);
                });
                bridge.world.run_for(Duration::from_millis(200 + pause_ms));
            }
            bridge.world.run_for(Duration::from_secs(3));
            let frames = bridge.overhear();
            let loud: Vec<bool> =
                frames.iter().map(|frame| meter::power_at(&frame.0, f64::from(STEADY_HZ)) > 1e6).collect();
            let words = loud.windows(2).filter(|pair| !pair[0] && pair[1]).count();
            let held = loud.iter().filter(|loud| **loud).count();
            println!("{family}, pauses of {pause_ms} ms: {words} words, {held} frames");
            assert!(
                words == 5 && (50..=60).contains(&held),
                "{family}, pauses of {pause_ms} ms: {words} words, {held} frames"
            );
        }
        bridge.ends();
    }
}

/// A call that ends while its modem plays: the line takes the next one at once, whatever the firmware makes of `<DLE><CAN>`.
#[test]
fn a_call_is_dropped_while_its_modem_plays() {
    for family in with_audio().filter(|family| analogue::Persona::named(family).is_some()) {
        for cancel in [analogue::Cancel::Clears, analogue::Cancel::Ends] {
            let persona = analogue::Persona { cancel, ..analogue::Persona::named(family).unwrap() };
            let mut bridge = bridge_with(family, FAR, Box::new(analogue::Analogue::new(persona)));
            bridge.peer_says(STEADY_HZ, -120, 10);
            bridge.world.run_for(Duration::from_secs(2));
            bridge.world.drop_call(bridge.app, bridge.calls[1]);
            bridge.world.run_for(Duration::from_secs(3));
            assert!(bridge.world.in_exchange(|_, exchange| exchange.is_quiet()), "{family}, {cancel:?}: off hook");
            let line = bridge.world.line_named("modem:one").unwrap();
            let call = bridge.world.make_call(bridge.app, line, FAR);
            let call = call.unwrap_or_else(|error| panic!("{family}, {cancel:?}: {error}"));
            bridge.world.await_state(bridge.app, call, "connected");
            bridge.calls[1] = call;
            bridge.ends();
        }
    }
}

/// Digits of the far end are told by every family, by the modem or from its audio.
#[test]
fn every_family_with_audio_tells_digits_that_it_hears() {
    for family in with_audio() {
        let mut bridge = bridge(family, FAR);
        let call = bridge.calls[1];
        bridge.world.expect(bridge.app, Request::CallMonitorDigits(CallMonitorDigits { call, on: true }));
        bridge.world.run_for(Duration::from_secs(1));
        bridge.world.in_exchange(|now, exchange| exchange.dtmf(now, FAR, "159D*0#")).unwrap();
        bridge.world.run_for(Duration::from_secs(5));
        assert_eq!(bridge.world.digits(bridge.app, call), "159D*0#", "{family}");
        bridge.ends();
    }
}

const BEHIND: &str = "4930305";

/// A voice modem and a dongle, each at a network with the modem's own clock, a daemon whose clock is between them, and a call through both.
fn between_clocks(ppm: i32) -> (World, AppId, [CallId; 2]) {
    let mut world = World::new(Setup { snapshots: false, ..Setup::default() });
    world.in_exchange(|_, exchange| {
        exchange.subscribe(FAR, "silence".parse().unwrap());
        exchange.subscribe(BEHIND, "echo,answer:500ms".parse().unwrap());
    });
    world.start_modem("desk", "4930100", "v253", device("v253"));
    world.start_modem("dongle", "4930200", "27007", device("generic"));
    for (number, ppm) in [("4930100", -ppm), (FAR, -ppm), ("4930200", ppm), (BEHIND, ppm)] {
        world.in_exchange(|_, exchange| exchange.skew(number, ppm)).unwrap();
    }
    let app = world.open_app("app", 0);
    world.open_line(app, "modem:desk");
    let dongle = world.open_line(app, "modem:dongle");
    world.in_exchange(|now, exchange| exchange.call(now, FAR, "4930100")).unwrap();
    let desk = world.await_offer(app);
    world.answer(app, desk);
    world.await_state(app, desk, "connected");
    let dongle = world.make_call(app, dongle, BEHIND).unwrap();
    world.await_state(app, dongle, "connected");
    world.expect(app, Request::CallBridge(CallBridge { call: desk, with: dongle }));
    world.run_for(Duration::from_secs(5));
    (world, app, [desk, dongle])
}

/// How long a tone takes there and back, in ms: the median of five.
fn there_and_back(world: &mut World) -> u32 {
    let mut found: Vec<u32> = Vec::new();
    for _ in 0..5 {
        world.exchange_log.clear();
        world.in_exchange(|now, exchange| exchange.tone(now, FAR, 1_000, Duration::from_millis(300))).unwrap();
        world.run_for(Duration::from_millis(1_507));
        let echoed = |(_, event): &(Time, Event)| match event {
            Event::Echoed { after_ms, .. } => Some(*after_ms),
            _ => None,
        };
        found.push(world.exchange_log.iter().find_map(echoed).unwrap());
    }
    found.sort_unstable();
    found[2]
}

#[test]
fn ten_minutes_between_clocks_that_differ_add_no_delay() {
    for ppm in [100, -100] {
        let (mut world, app, calls) = between_clocks(ppm);
        let begin = world.now();
        let mut delays = vec![there_and_back(&mut world)];
        let (mut there, mut back) = (meter::Steadiness::default(), meter::Steadiness::default());
        for _ in 0..10 {
            world.in_exchange(|_, exchange| exchange.overhear(FAR).and_then(|_| exchange.overhear(BEHIND))).unwrap();
            world.in_exchange(|now, exchange| exchange.tone(now, FAR, STEADY_HZ, Duration::from_secs(50))).unwrap();
            world.run_for(Duration::from_secs(52));
            for (number, sum) in [(BEHIND, &mut there), (FAR, &mut back)] {
                let frames = world.in_exchange(|_, exchange| exchange.overhear(number)).unwrap();
                let steady = meter::steadiness(&frames, f64::from(STEADY_HZ));
                sum.held += steady.held;
                sum.holes += steady.holes;
                sum.slips += steady.slips;
            }
            delays.push(there_and_back(&mut world));
        }
        assert!(world.now() - begin >= Duration::from_secs(590));
        println!("{ppm}: delays {delays:?} ms; one way {there:?}, and back {back:?}");
        assert!(delays.iter().all(|delay| delay.abs_diff(delays[0]) <= 20), "{ppm}: there and back {delays:?} ms");
        // 200 parts in a million of 500 s are 100 ms: five frames, if nothing stretches what is heard.
        for (way, steady, passes) in [("there", there, 1), ("there and back", back, 2)] {
            assert!(steady.slips <= 6 * passes && steady.holes <= 6 * passes, "{ppm}, {way}: {steady:?}");
            assert!(steady.held.abs_diff(10 * 2_500) <= 20 * passes, "{ppm}, {way}: {steady:?}");
        }
        calls.iter().for_each(|call| world.drop_call(app, *call));
        world.run_for(Duration::from_secs(5));
        world.assert_nothing_left();
    }
}
