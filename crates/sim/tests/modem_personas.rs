//! Families of simulated modems, and the services of the exchange, byte by byte in virtual time.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails shows why")]

use tapi::Time;
use tapi_sim::exchange::{Config, Country, Event, Exchange, ModemId, Output};
use tapi_sim::modem::analogue::{self, Analogue};
use tapi_sim::modem::cellular::{self, Cellular};

struct Desk {
    exchange: Exchange,
    now: u64,
    modem: ModemId,
    text: Vec<u8>,
    events: Vec<Event>,
}

const NUMBER: &str = "4930100";

impl Desk {
    fn new(config: Config, device: tapi_sim::exchange::BoxedDevice) -> Desk {
        let mut exchange = Exchange::new(config);
        let modem = exchange.attach("modem0", NUMBER, device);
        for (number, words) in
            [("4930300", "tone:800,answer:1s"), ("4930301", "busy"), ("4930302", "never"), ("4930303", "echo")]
        {
            exchange.subscribe(number, words.parse().unwrap());
        }
        Desk { exchange, now: 0, modem, text: Vec::new(), events: Vec::new() }
    }

    fn analogue(country: Country, persona: analogue::Persona) -> Desk {
        let mut desk = Desk::new(Config { country, ..Config::default() }, Box::new(Analogue::new(persona)));
        desk.ask("ATE0", 100);
        desk
    }

    fn cellular(persona: cellular::Persona) -> Desk {
        let mut desk = Desk::new(Config::default(), Box::new(Cellular::new(persona)));
        desk.ask("ATE0;+CMEE=1", 200);
        desk
    }

    fn time(&self) -> Time {
        Time::from_millis(self.now)
    }

    fn run(&mut self, millis: u64) {
        for _ in 0..millis / 10 {
            self.now += 10;
            self.exchange.timeout(self.time());
            while let Some(output) = self.exchange.poll_output() {
                match output {
                    Output::Bytes { port: 0, bytes, .. } => self.text.extend(bytes),
                    Output::Event { event, .. } => self.events.push(event),
                    _ => {}
                }
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.exchange.bytes(self.time(), self.modem, 0, bytes);
    }

    fn ask(&mut self, line: &str, millis: u64) -> String {
        self.write(format!("{line}\r").as_bytes());
        self.run(millis);
        self.take()
    }

    fn take(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.text)).into_owned()
    }

    fn saw(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(wanted)
    }
}

#[test]
fn each_family_says_what_it_is() {
    for (name, question, answer) in [
        ("v253", "AT+FCLASS=?", "0,8"),
        ("cx93001", "ATI3", "CX93001-EIS_V0.2002-V92"),
        ("cx93001", "AT+FCLASS=?", "0,1,1.0,2,8"),
        ("usr5637", "ATI3", "U.S. Robotics 56K"),
        ("agere", "AT+GMI", "LUCENT"),
        ("smartlink", "AT+GMI", "Smart Link Ltd.\r\nOK\r\n"),
        ("rockwell", "AT#CLS=?", "0,1,2,8"),
        ("rockwell", "AT+FCLASS=8", "ERROR"),
    ] {
        let mut desk = Desk::analogue(Country::US, analogue::Persona::named(name).unwrap());
        let told = desk.ask(question, 100);
        assert!(told.contains(answer), "{name}: {question}: {told:?}");
    }
    for (name, question, answer) in [
        ("generic", "AT+CGMI", "tapi-exchange"),
        ("e1550", "AT+CGMI", "huawei\r\r\n"),
        ("e1550", "AT^NONSENSE", "COMMAND NOT SUPPORT"),
        ("ec25", "AT+QCCID", "+QCCID: 8949"),
        ("sim7600", "AT+CGMM", "SIM7600"),
        ("sara", "AT+CGMI", "u-blox"),
        ("wavecom", "AT+CPIN?", "+CPIN: READY\r\n"),
    ] {
        let mut desk = Desk::cellular(cellular::Persona::named(name).unwrap());
        let told = desk.ask(question, 200);
        assert!(told.contains(answer), "{name}: {question}: {told:?}");
        if name == "wavecom" {
            assert!(!told.contains("OK"), "{told:?}");
        }
    }
}

#[test]
fn rockwell_samples_run_at_their_rate_and_a_bare_character_ends_them() {
    let mut desk = Desk::analogue(Country::US, analogue::Persona::rockwell());
    assert_eq!(desk.ask("AT#CLS=8", 100), "\r\nOK\r\n");
    assert_eq!(desk.ask("AT#VBS=8;#VSR=7200;#VRN=0", 100), "\r\nOK\r\n");
    assert!(desk.ask("ATDT4930300", 9_000).starts_with("\r\nVCON\r\n"));
    assert!(desk.ask("AT#VRX", 40).contains("CONNECT"));
    desk.run(1_000);
    let count = std::mem::take(&mut desk.text).len();
    assert!((7_000..7_500).contains(&count), "{count} bytes a second");
    desk.write(b"!");
    desk.run(100);
    assert!(desk.take().ends_with("\u{10}\u{3}\r\nVCON\r\n"));
}

#[test]
fn every_country_is_dialled_through_and_busy_there_is_busy() {
    for country in Country::ALL {
        let mut desk = Desk::analogue(country, analogue::Persona::v253());
        desk.ask("AT+FCLASS=8", 100);
        assert_eq!(desk.ask("ATDT4930301", 15_000), "\r\nBUSY\r\n", "{}", country.name);
        // A number that nobody has: congestion tone.
        assert_eq!(desk.ask("ATDT4930999", 20_000), "\r\nBUSY\r\n", "{}", country.name);
        desk.write(b"AT+VRN=60;DT4930302\r");
        desk.run(12_000);
        assert!(desk.take().is_empty(), "{}: it rings there", country.name);
    }
}

#[test]
fn who_calls_is_told_before_or_after_the_first_ring_or_never() {
    for (country, expected) in
        [(Country::US, "RING NMBR"), (Country::DE, "RING NMBR"), (Country::GB, "NMBR RING RING"), (Country::DK, "RING")]
    {
        let mut desk = Desk::analogue(country, analogue::Persona::v253());
        desk.ask("AT+VCID=1", 100);
        desk.exchange.call(desk.time(), "4930300", NUMBER).unwrap();
        desk.run(3_000);
        let told = desk.take();
        let lines: Vec<&str> = told.split_whitespace().filter(|word| matches!(*word, "RING" | "NMBR")).collect();
        assert_eq!(lines.join(" "), expected, "{}", country.name);
    }
}

#[test]
fn a_number_is_withheld_by_a_code() {
    let mut desk = Desk::analogue(Country::US, analogue::Persona::v253());
    let other = desk.exchange.attach("other", "4930400", Box::new(Cellular::new(cellular::Persona::generic())));
    desk.exchange.bytes(desk.time(), other, 0, b"AT+CLIP=1\r");
    desk.run(100);
    desk.ask("AT+FCLASS=8", 100);
    desk.write(b"ATDT*67,,4930400\r");
    let mut told = Vec::new();
    for _ in 0..1_200 {
        desk.now += 10;
        desk.exchange.timeout(desk.time());
        while let Some(output) = desk.exchange.poll_output() {
            if let Output::Bytes { modem, bytes, .. } = output
                && modem == other
            {
                told.extend(bytes);
            }
        }
    }
    assert!(String::from_utf8_lossy(&told).contains("+CLIP: \"\",128,,,,1"), "{told:?}");
}

#[test]
fn a_flash_holds_a_second_one_swaps_and_hanging_up_joins_the_others() {
    let mut desk = Desk::analogue(Country::US, analogue::Persona::v253());
    desk.ask("AT+FCLASS=8;+VRN=0", 100);
    desk.ask("ATDT4930300", 10_000);
    assert!(desk.saw(|event| matches!(event, Event::Answered { subscriber, .. } if subscriber == "4930300")));
    desk.ask("AT+VTS=!", 2_000);
    desk.ask("ATDT4930303;", 8_000);
    assert!(desk.saw(|event| matches!(event, Event::Answered { subscriber, .. } if subscriber == "4930303")));
    desk.events.clear();
    desk.ask("ATH", 3_000);
    assert!(desk.saw(|event| matches!(event, Event::Transferred { .. })));
    // The tone of the one now comes back from the echo of the other.
    assert!(desk.saw(|event| matches!(event, Event::Heard { subscriber, hz: 800, .. } if subscriber == "4930303")));
    assert_eq!(desk.exchange.calls(), 1);
    desk.exchange.hang_up(desk.time(), "4930300").unwrap();
    desk.run(100);
    assert!(desk.exchange.is_quiet());
}

#[test]
fn a_call_that_knocks_at_two_wires_is_answered_by_a_flash() {
    let mut desk = Desk::analogue(Country::US, analogue::Persona::v253());
    desk.exchange.waiting(NUMBER, true).unwrap();
    desk.ask("AT+FCLASS=8;+VRN=0", 100);
    desk.ask("ATDT4930300", 10_000);
    desk.take();
    desk.exchange.call(desk.time(), "4930302", NUMBER).unwrap();
    desk.run(1_000);
    assert!(desk.take().contains("\u{10}w"));
    desk.ask("AT+VTS=!", 2_000);
    assert!(desk.saw(|event| matches!(event, Event::Answered { from, .. } if from == "4930302")));
    desk.exchange.hang_up(desk.time(), "4930302").unwrap();
    desk.run(3_000);
    desk.ask("AT+VTS=!", 2_000);
    assert_eq!(desk.exchange.calls(), 1, "the first one is back");
    desk.ask("ATH", 100);
    assert!(desk.exchange.is_quiet());
}

#[test]
fn cellular_families_tell_calls_in_their_own_words() {
    for (name, setup, wanted) in [
        ("e1550", "AT", &["^ORIG:1,0", "^CONF:1", "^CONN:1,0", "^CEND:1,"][..]),
        ("ec25", "AT+QINDCFG=\"ccinfo\",1,0", &["\"ccinfo\",1,0,2,", "\"ccinfo\",1,0,3,", "\"ccinfo\",1,0,0,", ",-1,"]),
        ("sim7600", "AT", &["VOICE CALL: BEGIN", "VOICE CALL: END: 000003"]),
        ("sara", "AT+UCALLSTAT=1", &["+UCALLSTAT: 1,2", "+UCALLSTAT: 1,3", "+UCALLSTAT: 1,0", "+UCALLSTAT: 1,6"]),
        ("wavecom", "AT+WIND=255", &["+WIND: 5,1", "+WIND: 2", "OK", "+WIND: 6,1"]),
    ] {
        let mut desk = Desk::cellular(cellular::Persona::named(name).unwrap());
        desk.ask(setup, 100);
        let mut told = desk.ask("ATD4930300;", 5_500);
        told += &desk.ask("AT+CHUP", 500);
        let mut at = 0;
        for line in wanted {
            let found = told[at..].find(line).unwrap_or_else(|| panic!("{name}: no {line} in {told:?}"));
            at += found + line.len();
        }
    }
}

#[test]
fn audio_is_ordered_as_the_family_wants_it() {
    let audio = |desk: &mut Desk| {
        let mut bytes = 0;
        for _ in 0..50 {
            desk.now += 10;
            desk.exchange.timeout(desk.time());
            while let Some(output) = desk.exchange.poll_output() {
                if let Output::Bytes { port: 1, bytes: more, .. } = output {
                    bytes += more.len();
                }
            }
        }
        bytes
    };
    for (name, order) in [("e1550", "AT^DDSETEX=2"), ("ec25", "AT+QPCMV=1,0"), ("sim7600", "AT+CPCMREG=1")] {
        let mut desk = Desk::cellular(cellular::Persona::named(name).unwrap());
        desk.ask("ATD4930300;", 4_000);
        assert_eq!(audio(&mut desk), 0, "{name}");
        let late = name == "ec25";
        assert_eq!(desk.ask(order, 100).contains("OK"), !late, "{name}");
        if late {
            // It wants the order before the call is active.
            desk.ask("AT+CHUP", 1_000);
            assert!(desk.ask(order, 100).contains("OK"), "{name}");
            desk.ask("ATD4930300;", 4_000);
        }
        assert_eq!(audio(&mut desk), 8_000, "{name}");
        desk.ask("AT+CHUP", 1_000);
        assert_eq!(audio(&mut desk), 0, "{name}: no call, no audio");
        desk.ask("ATD4930300;", 4_000);
        let lasting = name == "ec25";
        assert_eq!(audio(&mut desk) > 0, lasting, "{name}");
        assert_eq!(
            desk.ask(order, 100).contains("OK"),
            name == "e1550",
            "{name}: refused at first in its second call, or too late"
        );
    }
}

#[test]
fn a_card_is_opened_with_its_pin_or_its_puk() {
    let locked = cellular::Persona { sim: "SIM PIN", ..cellular::Persona::generic() };
    let mut desk = Desk::cellular(locked);
    desk.ask("AT+CREG=1", 100);
    assert!(desk.ask("AT+CPIN?", 100).contains("SIM PIN"));
    assert!(desk.ask("ATD4930300;", 100).contains("+CME ERROR: 30"));
    for _ in 0..3 {
        assert!(desk.ask("AT+CPIN=\"0000\"", 100).contains("+CME ERROR: 16"));
    }
    assert!(desk.ask("AT+CPIN?", 100).contains("SIM PUK"));
    let told = desk.ask("AT+CPIN=\"12345678\",\"1234\"", 2_000);
    assert!(told.contains("OK") && told.contains("+CREG: 1"), "{told:?}");
    desk.exchange.registration(desk.time(), NUMBER, 2).unwrap();
    desk.exchange.level(desk.time(), NUMBER, 9).unwrap();
    assert!(desk.ask("AT+CSQ", 100).contains("+CREG: 2"));
    desk.exchange.remove_sim(desk.time(), NUMBER).unwrap();
    assert!(desk.ask("AT+CPIN?", 100).contains("+CPIN: NOT INSERTED"));
}

#[test]
fn messages_are_stored_listed_sent_and_codes_answered() {
    let mut desk = Desk::cellular(cellular::Persona::e1550());
    desk.ask("AT+CMGF=0;+CNMI=2,1,0,2,0", 200);
    desk.exchange.message(desk.time(), "4930300", NUMBER, "hello").unwrap();
    desk.run(100);
    assert_eq!(desk.take(), "\r\n+CMTI: \"SM\",1\r\n");
    assert!(desk.ask("AT+CMGR=1", 100).contains("05E8329BFD06"));
    assert!(desk.ask("AT+CMGD=1", 100).contains("OK"));
    assert!(desk.ask("AT+CMGR=1", 100).contains("+CMS ERROR: 321"));
    let pdu = "0011000B916407281553F80000AA0AE8329BFD4697D9EC37";
    assert!(desk.ask("AT+CMGS=23", 100).ends_with("\r\n> "));
    desk.write(format!("{pdu}\u{1a}").as_bytes());
    desk.run(1_000);
    assert!(desk.take().contains("+CMGS: 1"));
    assert!(
        desk.saw(
            |event| matches!(event, Event::Message { to, text, .. } if to == "46708251358" && text == "hellohello")
        )
    );
    let told = desk.ask("AT+CUSD=1,\"AA180C3602\",15", 1_000);
    assert!(told.contains("+CUSD: 0,\"C2303B"), "{told:?}");
}

#[test]
fn calls_are_forwarded_and_deflected() {
    let mut desk = Desk::cellular(cellular::Persona::generic());
    assert!(desk.ask("AT+CCFC=0,3,\"4930303\",129", 100).contains("OK"));
    assert!(desk.ask("AT+CCFC=0,2", 100).contains("+CCFC: 1,1,\"4930303\",129"));
    desk.exchange.call(desk.time(), "4930300", NUMBER).unwrap();
    desk.run(2_000);
    assert!(desk.saw(|event| matches!(event, Event::Answered { subscriber, .. } if subscriber == "4930303")));
    assert!(!desk.take().contains("RING"));
    desk.exchange.hang_up(desk.time(), "4930300").unwrap();
    assert!(desk.ask("AT+CCFC=4,4", 100).contains("OK"));
    desk.exchange.call(desk.time(), "4930300", NUMBER).unwrap();
    desk.run(500);
    assert!(desk.take().contains("RING"));
    assert!(desk.ask("AT+CTFR=\"4930303\",129", 2_000).contains("OK"));
    assert!(desk.saw(|event| matches!(event, Event::Diverted { to, .. } if to == "4930303")));
    assert!(!desk.ask("AT+CLCC", 100).contains("+CLCC"));
}

#[test]
fn a_modem_that_is_told_to_starts_anew() {
    let mut desk = Desk::cellular(cellular::Persona::ec25());
    desk.ask("AT+CFUN=1,1", 2_000);
    assert!(desk.saw(|event| matches!(event, Event::Unplugged { .. })));
    desk.run(5_000);
    assert!(desk.saw(|event| matches!(event, Event::Plugged { .. })));
    assert!(desk.take().contains("RDY"));
}

#[test]
fn cards_firmware_and_audio_fail_as_they_do_in_the_field() {
    use std::time::Duration;
    let slow = cellular::Persona { card_after: Duration::from_secs(5), ..cellular::Persona::generic() };
    let mut desk = Desk::cellular(slow);
    assert_eq!(desk.ask("AT+CLIP=1", 100), "\r\n+CME ERROR: 14\r\n");
    assert_eq!(desk.ask("AT+CPIN?", 100), "\r\n+CME ERROR: 14\r\n");
    desk.run(5_000);
    assert_eq!(desk.ask("AT+CLIP=1", 100), "\r\nOK\r\n");
    let locked = cellular::Persona { sim: "SIM PIN", ..cellular::Persona::generic() };
    assert_eq!(Desk::cellular(locked).ask("AT+CCWA=1", 100), "\r\n+CME ERROR: 11\r\n");
    // One of two calls is released before it alerts.
    let mut desk = Desk::cellular(cellular::Persona::e1550());
    desk.ask("ATD4930300;", 4_000);
    assert!(desk.ask("AT+CHLD=2", 200).contains("OK"));
    assert!(desk.ask("ATD4930302;", 100).contains("OK"));
    assert_eq!(desk.ask("AT+CHLD=12", 3_000).matches("OK").count(), 0);
    assert_eq!(desk.ask("AT", 1_000), "", "it answers nothing any more");
    // A call is refused with a cause.
    let mut desk = Desk::cellular(cellular::Persona::ec25());
    desk.exchange.call(desk.time(), "4930303", NUMBER).unwrap();
    desk.run(1_000);
    assert!(desk.ask("AT+QHUP=17,1", 500).contains("OK"));
    assert!(desk.saw(|event| matches!(event, Event::Failed { cause: 17, .. })), "{:?}", desk.events);
}
