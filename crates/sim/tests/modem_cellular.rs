//! The simulated GSM modem, byte by byte in virtual time.

mod modem_rig;

use modem_rig::{ANALOGUE, CELLULAR, OTHER, Rig};
use tapi_sim::exchange::{Event, meter};
use tapi_sim::modem::AUDIO_PORT;
use tspi::Frame;

fn rig(subscribers: &[(&str, &str)]) -> Rig {
    let mut rig = Rig::new(subscribers);
    let modem = rig.cellular;
    rig.ask(modem, "ATE0", 50);
    rig.ok(modem, "AT+CMEE=1;+CLIP=1;+CRC=1");
    rig
}

#[test]
fn it_tells_what_it_is_and_where() {
    let mut rig = rig(&[]);
    let modem = rig.cellular;
    assert_eq!(rig.ask(modem, "AT+CGMI", 50), "\r\ntapi-exchange\r\n\r\nOK\r\n");
    assert_eq!(rig.ask(modem, "AT+CGSN", 50), "\r\n490154203237518\r\n\r\nOK\r\n");
    assert_eq!(rig.ask(modem, "AT+CPIN?", 50), "\r\n+CPIN: READY\r\n\r\nOK\r\n");
    assert_eq!(rig.ask(modem, "AT+CREG?", 50), "\r\n+CREG: 0,1\r\n\r\nOK\r\n");
    rig.ok(modem, "AT+CREG=2");
    assert_eq!(rig.ask(modem, "AT+CREG?", 50), "\r\n+CREG: 2,1,\"00C3\",\"0000A1B2\"\r\n\r\nOK\r\n");
    assert_eq!(rig.ask(modem, "AT+COPS?;+CSQ", 50), "\r\n+COPS: 0,0,\"Simnet\"\r\n\r\n+CSQ: 20,99\r\n\r\nOK\r\n");
    rig.ok(modem, "AT+CLCC=?");
    rig.ok(modem, "AT+CLCC");
    assert_eq!(rig.ask(modem, "AT^UNKNOWN", 50), "\r\n+CME ERROR: 4\r\n");
    assert_eq!(rig.ask(modem, "AT+CMEE=0;^UNKNOWN", 50), "\r\nERROR\r\n");
    assert_eq!(rig.ask(modem, "ATA", 50), "\r\nNO CARRIER\r\n");
}

#[test]
fn a_call_goes_through_its_states_and_back_to_none() {
    let mut rig = rig(&[(OTHER, "tone:440,answer:3s,hangup:4s")]);
    let modem = rig.cellular;
    assert_eq!(rig.ask(modem, "ATD4930300;", 50), "\r\nOK\r\n");
    assert_eq!(rig.ask(modem, "AT+CLCC", 50), "\r\n+CLCC: 1,0,2,0,0,\"4930300\",129\r\n\r\nOK\r\n");
    rig.run(1_500);
    assert_eq!(rig.ask(modem, "AT+CLCC", 50), "\r\n+CLCC: 1,0,3,0,0,\"4930300\",129\r\n\r\nOK\r\n");
    rig.run(3_000);
    assert_eq!(rig.ask(modem, "AT+CLCC", 50), "\r\n+CLCC: 1,0,0,0,0,\"4930300\",129\r\n\r\nOK\r\n");
    rig.ok(modem, "AT+VTS=5");
    rig.ok(modem, "AT+VTS=\"#\"");
    rig.run(1_000);
    assert_eq!(rig.digits(OTHER), "5#");
    assert_eq!(rig.text(modem), "");
    rig.run(3_000);
    assert_eq!(rig.text(modem), "\r\nNO CARRIER\r\n");
    rig.ok(modem, "AT+CLCC");
    assert_eq!(rig.ask(modem, "AT+CEER", 50), "\r\n+CEER: 16,\"Normal call clearing\"\r\n\r\nOK\r\n");
    assert!(rig.exchange.is_quiet());
}

#[test]
fn failures_have_their_words() {
    let mut rig = rig(&[("4930301", "busy"), ("4930302", "reject:1s"), ("4930303", "never")]);
    let modem = rig.cellular;
    assert_eq!(rig.ask(modem, "ATD4930301;", 5_000), "\r\nOK\r\n\r\nBUSY\r\n");
    assert_eq!(rig.ask(modem, "ATD4930302;", 5_000), "\r\nOK\r\n\r\nNO CARRIER\r\n");
    assert_eq!(rig.ask(modem, "ATD999;", 5_000), "\r\nOK\r\n\r\nNO CARRIER\r\n");
    assert_eq!(rig.ask(modem, "ATD4930303;", 190_000), "\r\nOK\r\n\r\nNO ANSWER\r\n");
    assert_eq!(rig.ask(modem, "ATDxyz;", 50), "\r\n+CME ERROR: 27\r\n");
    assert_eq!(rig.ask(modem, "AT+VTS=1", 50), "\r\n+CME ERROR: 3\r\n");
    rig.ask(modem, "ATD4930303;", 2_000);
    assert_eq!(rig.ask(modem, "AT+CHUP", 2_000), "\r\nOK\r\n");
    assert!(rig.exchange.is_quiet());
}

#[test]
fn it_rings_and_says_who_until_it_is_answered() {
    let mut rig = rig(&[(OTHER, "tone:800")]);
    let modem = rig.cellular;
    rig.exchange.call(rig.now, OTHER, CELLULAR).unwrap();
    rig.run(1_000);
    let ring = "\r\n+CRING: VOICE\r\n\r\n+CLIP: \"4930300\",129,,,,0\r\n";
    assert_eq!(rig.text(modem), ring);
    assert_eq!(rig.ask(modem, "AT+CLCC", 50), "\r\n+CLCC: 1,1,4,0,0,\"4930300\",129\r\n\r\nOK\r\n");
    rig.run(3_000);
    assert_eq!(rig.text(modem), ring);
    rig.ok(modem, "ATA");
    assert!(rig.has(&Event::Answered { subscriber: CELLULAR.into(), from: OTHER.into() }));
    rig.run(4_000);
    assert_eq!(rig.text(modem), "");
    rig.exchange.hang_up(rig.now, OTHER).unwrap();
    rig.run(50);
    assert_eq!(rig.text(modem), "\r\nNO CARRIER\r\n");
}

#[test]
fn audio_runs_at_its_own_port_both_ways() {
    let mut rig = rig(&[(OTHER, "tone:1004,answer:100ms")]);
    let modem = rig.cellular;
    rig.ask(modem, "ATD4930300;", 2_000);
    rig.take(modem, AUDIO_PORT);
    for n in 0..200 {
        let sample = |at: usize| (std::f64::consts::TAU * 700.0 * at as f64 / 8_000.0).sin() * 22_657.0 * 0.316_23;
        let bytes: Vec<u8> = (n * 160..(n + 1) * 160).flat_map(|at| (sample(at) as i16).to_le_bytes()).collect();
        rig.write(modem, AUDIO_PORT, &bytes);
        rig.run(20);
    }
    let bytes = rig.take(modem, AUDIO_PORT);
    assert_eq!(bytes.len(), 200 * 320);
    let samples: Vec<i16> = bytes.chunks(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let reading = meter::read(&samples);
    assert_eq!(reading.hz, 1_004);
    assert!((-161..=-159).contains(&reading.level_ddbm0), "{reading:?}");
    let (hz, level) = rig.heard(OTHER).unwrap();
    assert_eq!(hz, 700);
    assert!((-101..=-99).contains(&level), "{level}");
    rig.ok(modem, "ATH");
    rig.run(1_000);
    assert!(rig.take(modem, AUDIO_PORT).is_empty(), "no audio without a call");
}

#[test]
fn two_calls_are_held_swapped_joined_and_ended() {
    let mut rig = rig(&[(OTHER, "tone:500,answer:100ms"), ("4930301", "tone:900")]);
    let modem = rig.cellular;
    rig.ok(modem, "AT+CCWA=1,1;+CSSN=1,1");
    rig.ask(modem, "ATD4930300;", 2_000);
    rig.exchange.call(rig.now, "4930301", CELLULAR).unwrap();
    rig.run(1_000);
    assert_eq!(rig.text(modem), "\r\n+CCWA: \"4930301\",129,1,,0\r\n");
    rig.ok(modem, "AT+CHLD=2");
    let list = rig.ask(modem, "AT+CLCC", 50);
    assert!(list.contains("+CLCC: 1,0,1,0,0,\"4930300\"") && list.contains("+CLCC: 2,1,0,0,0,\"4930301\""), "{list}");
    rig.take(modem, AUDIO_PORT);
    rig.run(1_000);
    let hear = |rig: &mut Rig| {
        let bytes = rig.take(modem, AUDIO_PORT);
        let samples: Vec<i16> = bytes.chunks(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        [500.0, 900.0].map(|hz| meter::power_at(&samples[1_600..], hz) > 1e5)
    };
    assert_eq!(hear(&mut rig), [false, true]);
    rig.ok(modem, "AT+CHLD=2");
    rig.run(1_000);
    assert_eq!(hear(&mut rig), [true, false]);
    rig.ok(modem, "AT+CHLD=3");
    rig.run(1_000);
    assert_eq!(hear(&mut rig), [true, true]);
    assert!(rig.ask(modem, "AT+CLCC", 50).contains("+CLCC: 2,1,0,0,1,"));
    rig.ok(modem, "AT+CHLD=11");
    rig.ok(modem, "AT+CHUP");
    rig.run(100);
    assert!(rig.exchange.is_quiet());
}

#[test]
fn the_two_modems_talk_to_each_other() {
    let mut rig = rig(&[]);
    let (gsm, modem) = (rig.cellular, rig.analogue);
    rig.ask(modem, "ATE0", 50);
    rig.ok(modem, "AT+FCLASS=8");
    rig.ask(gsm, "ATD4930100;", 2_000);
    assert_eq!(rig.take(modem, 0), b"\x10R");
    rig.ok(modem, "ATA");
    rig.run(500);
    assert!(rig.has(&Event::Answered { subscriber: ANALOGUE.into(), from: CELLULAR.into() }));
    assert!(rig.ask(gsm, "AT+CLCC", 50).contains("+CLCC: 1,0,0,0,0,"));
    rig.ask(modem, "AT+VSD=0,0;+VRX", 20);
    rig.ok(gsm, "AT+VTS=7");
    rig.run(500);
    let (_, codes) = modem_rig::unshield(&rig.take(modem, 0));
    assert_eq!(codes.iter().filter(|code| **code == b'7').count(), 2);
    rig.write(modem, 0, b"\x10!");
    rig.run(50);
    rig.take(modem, 0);
    rig.ok(modem, "ATH");
    rig.run(50);
    assert_eq!(rig.text(gsm), "\r\nNO CARRIER\r\n");
    assert!(rig.exchange.is_quiet());
}

#[test]
fn clocks_that_differ_slip_a_frame_and_no_more() {
    // 100 parts in a million of ten minutes are three frames of 20 ms. One more may wait before the first is left out.
    for (ppm, holes, slips) in [(0, 0, 0), (100, 0, 2), (-100, 3, 3), (500, 0, 14), (-500, 15, 15)] {
        let mut rig = rig(&[(OTHER, "tone:1012,answer:100ms")]);
        let modem = rig.cellular;
        rig.exchange.skew(OTHER, ppm).unwrap();
        rig.ask(modem, "ATD4930300;", 2_000);
        rig.take(modem, AUDIO_PORT);
        rig.run(600_000);
        let bytes = rig.take(modem, AUDIO_PORT);
        assert_eq!(bytes.len(), 30_000 * 320, "{ppm}: the modem's own clock");
        let samples: Vec<i16> = bytes.chunks(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        let frames: Vec<Frame> = samples.chunks_exact(160).map(|frame| Frame(frame.try_into().unwrap())).collect();
        let steady = meter::steadiness(&frames, 1_012.0);
        println!("{ppm}: {steady:?}");
        assert!(steady.holes.abs_diff(holes) <= 1 && steady.slips.abs_diff(slips) <= 1, "{ppm}: {steady:?}");
        assert_eq!(steady.held + steady.holes, 30_000, "{ppm}: {steady:?}");
        rig.ok(modem, "AT+CHUP");
        assert!(rig.exchange.is_quiet());
    }
}
