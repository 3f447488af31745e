//! The simulated V.253 modem, byte by byte in virtual time.

mod modem_rig;

use modem_rig::{ANALOGUE, OTHER, Rig, unshield, unsigned_sine};
use tapi_sim::exchange::{Clearing, Config, Direction, Event, Faults, meter};
use tapi_sim::modem::analogue::Persona;

fn voice(rig: &mut Rig) {
    let modem = rig.analogue;
    rig.ask(modem, "ATE0", 50);
    rig.ok(modem, "AT+FCLASS=8");
}

#[test]
fn commands_are_echoed_and_answered_in_the_set_form() {
    let mut rig = Rig::new(&[]);
    let modem = rig.analogue;
    assert_eq!(rig.ask(modem, "AT", 50), "AT\r\r\nOK\r\n");
    assert_eq!(rig.ask(modem, "ATE0", 50), "ATE0\r\r\nOK\r\n");
    assert_eq!(rig.ask(modem, "at+fclass=?", 50), "\r\n0,8\r\n\r\nOK\r\n");
    assert_eq!(rig.ask(modem, "AT+VLS=1", 50), "\r\nERROR\r\n", "voice commands need class 8");
    assert_eq!(rig.ask(modem, "ATS0=2S0?", 50), "\r\n002\r\n\r\nOK\r\n");
    assert_eq!(rig.ask(modem, "AT+FCLASS=8;+VLS?;+FCLASS?", 50), "\r\n0\r\n\r\n8\r\n\r\nOK\r\n");
    assert_eq!(rig.ask(modem, "AT+GMM", 50), "\r\nSimulated V.253 modem\r\n\r\nOK\r\n");
    assert_eq!(rig.ask(modem, "ATV0", 50), "0\r");
    assert_eq!(rig.ask(modem, "AT+VNONSENSE", 50), "4\r");
    assert_eq!(rig.ask(modem, "ATQ1", 50), "");
    assert_eq!(rig.ask(modem, "ATQ0V1", 50), "\r\nOK\r\n");
    let methods = rig.ask(modem, "AT+VSM=?", 50);
    assert!(methods.contains("1,\"UNSIGNED PCM\",8,0,8000,0,0\r\n"), "{methods}");
    assert!(methods.contains("131,\"ULAW\",8,0,8000,0,0\r\n"), "{methods}");
}

#[test]
fn a_cx_controller_glues_its_read_backs() {
    let mut rig = Rig::with(Config::default(), Persona::cx93001(), &[]);
    let modem = rig.analogue;
    assert_eq!(rig.ask(modem, "AT+FCLASS?", 50), "AT+FCLASS?\r\r\n0\r\nOK\r\n");
}

#[test]
fn it_dials_with_tones_and_tells_what_became_of_it() {
    let mut rig = Rig::new(&[(OTHER, "tone:440,answer:7s"), ("4930301", "busy"), ("4930303", "never")]);
    voice(&mut rig);
    let modem = rig.analogue;
    assert_eq!(rig.ask(modem, &format!("ATDT{OTHER}"), 25_000), "\r\nOK\r\n");
    assert!(rig.has(&Event::Called { from: ANALOGUE.into(), to: OTHER.into() }));
    assert!(rig.has(&Event::Answered { subscriber: OTHER.into(), from: ANALOGUE.into() }));
    rig.ok(modem, "ATH");
    assert!(rig.has(&Event::HungUp { subscriber: ANALOGUE.into() }));
    assert!(rig.exchange.is_quiet());
    assert_eq!(rig.ask(modem, "ATDT4930301", 20_000), "\r\nBUSY\r\n");
    assert_eq!(rig.ask(modem, "ATDT4930309", 20_000), "\r\nBUSY\r\n", "reorder tone");
    assert_eq!(rig.ask(modem, "ATS7=30;+VRA=100;DT4930303", 40_000), "\r\nNO ANSWER\r\n");
    assert!(rig.exchange.is_quiet());
}

#[test]
fn a_dead_line_has_no_dial_tone() {
    let config = Config { dial_tone: false, ..Config::default() };
    let mut rig = Rig::with(config, Persona::v253(), &[]);
    voice(&mut rig);
    let modem = rig.analogue;
    assert_eq!(rig.ask(modem, "ATDT4930300", 8_000), "\r\nNO DIALTONE\r\n");
    assert!(rig.exchange.is_quiet());
}

#[test]
fn any_character_ends_a_dial_but_not_the_line_feed_of_its_own_line() {
    let mut rig = Rig::new(&[(OTHER, "never")]);
    voice(&mut rig);
    let modem = rig.analogue;
    rig.write(modem, 0, format!("ATDT{OTHER}\r\n").as_bytes());
    rig.run(6_000);
    assert_eq!(rig.text(modem), "");
    rig.write(modem, 0, b"A");
    rig.run(100);
    assert_eq!(rig.text(modem), "\r\nNO CARRIER\r\n");
    assert!(rig.exchange.is_quiet());
    assert_eq!(rig.ask(modem, "AT", 100), "\r\nOK\r\n");
}

#[test]
fn it_rings_in_cadence_with_the_caller_between_the_first_two() {
    let mut rig = Rig::new(&[(OTHER, "name:SMITH JOHN")]);
    let modem = rig.analogue;
    rig.ask(modem, "ATE0+VCID=1", 50);
    rig.exchange.call(rig.now, OTHER, ANALOGUE).unwrap();
    rig.run(1_000);
    assert_eq!(rig.text(modem), "\r\nRING\r\n");
    rig.run(3_000);
    let identity = "\r\nDATE = 1122\r\nTIME = 0930\r\nNMBR = 4930300\r\nNAME = SMITH JOHN\r\n";
    assert_eq!(rig.text(modem), identity);
    rig.run(6_000);
    assert_eq!(rig.text(modem), "\r\nRING\r\n");
    rig.ok(modem, "AT+FCLASS=8;+VCID=2");
    rig.run(6_000);
    assert_eq!(rig.take(modem, 0), b"\x10R");
    rig.exchange.hang_up(rig.now, OTHER).unwrap();
    rig.run(20_000);
    assert_eq!(rig.text(modem), "");
    assert!(rig.exchange.is_quiet());
}

#[test]
fn a_withheld_number_is_p_and_raw_messages_have_a_checksum() {
    let mut rig = Rig::new(&[(OTHER, "withheld"), ("4930301", "")]);
    let modem = rig.analogue;
    rig.ask(modem, "ATE0+VCID=1", 50);
    rig.exchange.call(rig.now, OTHER, ANALOGUE).unwrap();
    rig.run(3_000);
    assert!(rig.text(modem).ends_with("NMBR = P\r\n"));
    rig.exchange.hang_up(rig.now, OTHER).unwrap();
    rig.ok(modem, "AT+VCID=2");
    rig.exchange.call(rig.now, "4930301", ANALOGUE).unwrap();
    rig.run(3_000);
    let text = rig.text(modem);
    let hex = text.rsplit_once("MESG = ").unwrap().1.trim();
    let bytes: Vec<u8> =
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
    assert_eq!(bytes[0], 0x80);
    assert_eq!(bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)), 0);
    assert!(bytes.windows(9).any(|part| part == b"\x02\x074930301"));
}

#[test]
fn a_duplex_stream_carries_the_tone_that_was_sent_both_ways() {
    let mut rig = Rig::new(&[(OTHER, "tone:1004,answer:1s")]);
    voice(&mut rig);
    let modem = rig.analogue;
    rig.ok(modem, "AT+VSM=1,8000,0,0");
    assert_eq!(rig.ask(modem, &format!("ATDT{OTHER};"), 4_500), "\r\nOK\r\n\x10r\x10v");
    assert_eq!(rig.ask(modem, "AT+VTR", 6), "\r\nCONNECT\r\n");
    let sine = unsigned_sine(700.0, 22_657.0 * 0.1, 8_000 * 4);
    for piece in sine.chunks(160) {
        rig.write(modem, 0, piece);
        rig.run(20);
    }
    let (data, codes) = unshield(&rig.take(modem, 0));
    assert!((31_000..=32_160).contains(&data.len()), "8000 bytes a second, not {} in four", data.len());
    let samples: Vec<i16> = data[16_000..].iter().map(|byte| (i16::from(*byte) - 128) * 256).collect();
    let reading = meter::read(&samples);
    assert_eq!(reading.hz, 1_004);
    assert!((-163..=-157).contains(&reading.level_ddbm0), "{reading:?}");
    let (hz, level) = rig.heard(OTHER).unwrap();
    assert_eq!(hz, 700);
    assert!((-203..=-197).contains(&level), "a peak a tenth of 0 dBm0's is -20 dBm0, not {level}");
    assert_eq!(codes, b"");
    rig.write(modem, 0, b"\x10^");
    rig.run(60);
    assert!(rig.take(modem, 0).ends_with(b"\x10\x03\r\nOK\r\n"));
    rig.ok(modem, "ATH");
}

#[test]
fn a_dry_transmit_buffer_is_told_and_an_unread_receive_buffer_too() {
    let mut rig = Rig::new(&[(OTHER, "tone:300,answer:500ms")]);
    voice(&mut rig);
    let modem = rig.analogue;
    rig.ok(modem, "AT+VSM=131,8000");
    rig.ask(modem, &format!("ATDT{OTHER};"), 4_000);
    assert_eq!(rig.ask(modem, "AT+VTX", 20), "\r\nCONNECT\r\n");
    rig.run(500);
    assert_eq!(rig.take(modem, 0), b"", "nothing was sent yet, so nothing can run dry");
    rig.write(modem, 0, &[0xff; 800]);
    rig.run(200);
    assert_eq!(rig.take(modem, 0), b"\x10u");
    rig.write(modem, 0, &[0xff; 2_048]);
    assert_eq!(rig.exchange.room(modem, 0), 0, "the buffer is full");
    rig.run(20);
    assert_eq!(rig.exchange.room(modem, 0), 160, "20 ms were played");
    rig.write(modem, 0, b"\x10\x03");
    rig.run(200);
    assert_eq!(rig.text(modem), "", "it plays what it has");
    rig.run(100);
    assert_eq!(rig.text(modem), "\r\nOK\r\n");

    assert_eq!(rig.ask(modem, "AT+VRX", 6), "\r\nCONNECT\r\n");
    rig.exchange.host_reads(modem, 0, false);
    rig.run(1_000);
    assert_eq!(rig.take(modem, 0), b"");
    rig.exchange.host_reads(modem, 0, true);
    rig.run(1_000);
    let (_, codes) = unshield(&rig.take(modem, 0));
    assert_eq!(codes, b"o");
    rig.write(modem, 0, b"\x10!");
    rig.run(50);
    assert!(rig.take(modem, 0).ends_with(b"\x10\x03\r\nOK\r\n"));
}

#[test]
fn digits_cross_both_ways_and_tones_take_their_time() {
    let mut rig = Rig::new(&[(OTHER, "answer:500ms")]);
    voice(&mut rig);
    let modem = rig.analogue;
    rig.ask(modem, &format!("ATDT{OTHER};"), 4_000);
    rig.ok(modem, "AT+VTD=10");
    rig.write(modem, 0, b"AT+VTS=1,{#,20},[440,480,50]\r");
    rig.run(850);
    assert_eq!(rig.text(modem), "", "100 + 200 ms of digits, 500 ms of tone, and gaps");
    rig.run(250);
    assert_eq!(rig.text(modem), "\r\nOK\r\n");
    assert_eq!(rig.digits(OTHER), "1#");
    assert_eq!(rig.ask(modem, "AT+VRX", 6), "\r\nCONNECT\r\n");
    rig.exchange.dtmf(rig.now, OTHER, "5").unwrap();
    rig.run(500);
    let (_, codes) = unshield(&rig.take(modem, 0));
    assert_eq!(codes, b"/55~");
}

#[test]
fn silence_is_told_as_set() {
    let mut rig = Rig::new(&[(OTHER, "answer:500ms")]);
    voice(&mut rig);
    let modem = rig.analogue;
    rig.ask(modem, &format!("ATDT{OTHER};"), 6_000);
    rig.ok(modem, "AT+VSD=128,20");
    rig.ask(modem, "AT+VRX", 5);
    rig.run(2_100);
    let (_, codes) = unshield(&rig.take(modem, 0));
    assert_eq!(codes, b"s");
    rig.exchange.tone(rig.now, OTHER, 1_000, std::time::Duration::from_millis(500)).unwrap();
    rig.run(2_700);
    let (_, codes) = unshield(&rig.take(modem, 0));
    assert_eq!(codes, b"vq");
}

#[test]
fn a_far_end_that_hangs_up_is_a_loop_break_or_busy_tone() {
    for (clearing, expected) in [(Clearing::LoopBreak, b"ld"), (Clearing::BusyTone, b"bb")] {
        let config = Config { clearing, ..Config::default() };
        let mut rig = Rig::with(config, Persona::v253(), &[(OTHER, "answer:500ms,hangup:3s")]);
        voice(&mut rig);
        let modem = rig.analogue;
        rig.ask(modem, &format!("ATDT{OTHER};"), 3_000);
        rig.ask(modem, "AT+VSD=0,0;+VRX", 20);
        rig.run(8_500);
        let (_, codes) = unshield(&rig.take(modem, 0));
        let codes: Vec<u8> = codes.into_iter().filter(|code| *code != b'r').collect();
        assert_eq!(codes[..2], expected[..], "{clearing:?}");
    }
}

#[test]
fn an_answered_call_is_a_path_both_ways() {
    let mut rig = Rig::new(&[(OTHER, "tone:600")]);
    voice(&mut rig);
    let modem = rig.analogue;
    rig.exchange.call(rig.now, OTHER, ANALOGUE).unwrap();
    rig.run(300);
    assert_eq!(rig.take(modem, 0), b"\x10R");
    rig.ok(modem, "AT+VLS=1");
    assert!(rig.has(&Event::Answered { subscriber: ANALOGUE.into(), from: OTHER.into() }));
    rig.ask(modem, "AT+VTR", 20);
    rig.run(500);
    let (data, _) = unshield(&rig.take(modem, 0));
    let samples: Vec<i16> = data[800..].iter().map(|byte| (i16::from(*byte) - 128) * 256).collect();
    assert!((598..=602).contains(&meter::read(&samples).hz));
    rig.exchange.unplug(rig.now, modem);
    rig.run(100);
    assert!(rig.exchange.is_quiet());
    rig.exchange.plug(rig.now, modem);
    rig.take(modem, 0);
    assert_eq!(rig.ask(modem, "AT", 50), "AT\r\r\nOK\r\n", "it starts afresh");
}

fn story(seed: u64, faults: &Faults) -> Rig {
    let config = Config { seed, ..Config::default() };
    let mut rig = Rig::with(config, Persona::v253(), &[(OTHER, "echo,answer:700ms")]);
    let modem = rig.analogue;
    rig.exchange.faults(modem, 0, Direction::ToHost, faults.clone());
    for line in ["ATE0", "AT+FCLASS=8", "AT+VSM=131,8000"] {
        rig.ask(modem, line, 400);
    }
    rig.ask(modem, &format!("ATDT{OTHER};"), 5_000);
    rig.ask(modem, "AT+VTR", 400);
    for _ in 0..50 {
        rig.write(modem, 0, &[0x55; 160]);
        rig.run(20);
    }
    rig.write(modem, 0, b"\x10^");
    rig.run(500);
    rig.ask(modem, "ATH", 500);
    rig
}

#[test]
fn the_same_seed_gives_the_same_bytes_at_the_same_times() {
    let delay =
        |permille, millis| tapi_sim::exchange::link::Delay { permille, by: std::time::Duration::from_millis(millis) };
    let faults = Faults { stall: delay(100, 30), late: delay(50, 20), drop_permille: 2, ..Faults::default() };
    let (one, same, other) = (story(7, &faults), story(7, &faults), story(8, &faults));
    assert!(one.log == same.log);
    assert!(one.log != other.log);
    let mut whole = story(7, &Faults::default());
    let mut split = story(7, &Faults { split: true, ..Faults::default() });
    let modem = whole.analogue;
    assert_eq!(whole.take(modem, 0), split.take(modem, 0));
    let bytes = |rig: &Rig| {
        let outputs = rig.log.iter().filter(|(_, output)| matches!(output, tapi_sim::exchange::Output::Bytes { .. }));
        outputs.count()
    };
    assert!(bytes(&split) > 50 * bytes(&whole));
}

#[test]
fn faults_do_what_they_say() {
    let mut rig = Rig::new(&[]);
    let modem = rig.analogue;
    rig.ask(modem, "ATE0", 50);
    let unsolicited = Faults { unsolicited_permille: 1_000, unsolicited: "^RSSI: 20".into(), ..Faults::default() };
    rig.exchange.faults(modem, 0, Direction::ToHost, unsolicited);
    let said = rig.ask(modem, "AT+GMI", 50);
    assert_eq!(said.replace("\n^RSSI: 20\r\n", "\n"), "\r\ntapi-exchange\r\n\r\nOK\r\n", "{said}");
    assert!(said.contains("\n^RSSI: 20\r\n"), "{said}");
    let chatter = std::time::Duration::from_secs(2);
    let chats = Faults { chatter, unsolicited: "one\ntwo".into(), noise_permille: 1_000, ..Faults::default() };
    rig.exchange.faults(modem, 0, Direction::ToHost, chats);
    let said = rig.ask(modem, "AT", 8_000);
    assert!(said.contains("\r\none\r\n") && said.contains("\r\ntwo\r\n"), "{said}");
    assert!(!said.contains("\r\nOK\r\n") && said.contains("OK\r\n"), "{said}");
    let late = tapi_sim::exchange::link::Delay { permille: 1_000, by: std::time::Duration::from_secs(3) };
    rig.exchange.faults(modem, 0, Direction::ToHost, Faults { late, ..Faults::default() });
    assert_eq!(rig.ask(modem, "AT", 2_900), "");
    rig.run(200);
    assert_eq!(rig.text(modem), "\r\nOK\r\n");
    rig.exchange.faults(modem, 0, Direction::ToHost, Faults { stall: late, ..Faults::default() });
    let half = rig.ask(modem, "AT", 2_900);
    assert!(!half.is_empty() && "\r\nOK\r\n".starts_with(&half) && half.len() < 6, "{half:?}");
    rig.run(200);
    rig.text(modem);
    let unplug = Faults { unplug_after: Some(0), ..Faults::default() };
    rig.exchange.faults(modem, 0, Direction::ToModem, unplug);
    rig.ask(modem, "AT", 50);
    assert!(rig.has(&Event::Unplugged { modem: "analogue0".into() }));
}
