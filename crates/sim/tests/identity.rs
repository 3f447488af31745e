//! Who calls, in every way in which an exchange tells it: as data of both forms, as tones, or not at all.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails shows why")]

mod modem_rig;

use modem_rig::{ANALOGUE, Rig};
use std::time::Duration;
use tapi_sim::exchange::{Config, Country, IdentitySent, MessageFormat};
use tapi_sim::modem::analogue::{Analogue, Persona};
use tapi_sim::world::{Setup, World};
use tsp_modem::Office;

const NAMED: (&str, &str) = ("4930304", "silence,name:Ada");
const WITHHELD: (&str, &str) = ("4930303", "silence,withheld");

/// What a modem tells of a caller.
fn told(country: Country, persona: Persona, setting: &str, caller: (&str, &str)) -> String {
    let config = Config { country, ..Config::default() };
    let mut rig = Rig::with(config, persona, &[caller]);
    let modem = rig.analogue;
    rig.ask(modem, setting, 50);
    let now = rig.now;
    rig.exchange.call(now, caller.0, ANALOGUE).unwrap();
    rig.run(6_000);
    rig.text(modem)
}

fn bytes(text: &str) -> Vec<u8> {
    let hex = text.split("MESG = ").nth(1).expect("a message").split_whitespace().next().unwrap();
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

#[test]
fn a_single_data_message_has_date_and_number_and_its_sum() {
    let country = Country { message: MessageFormat::Single, ..Country::US };
    for (caller, number) in [(NAMED, "4930304"), (WITHHELD, "P")] {
        let message = bytes(&told(country, Persona::v253(), "AT+VCID=2", caller));
        let body = [b"11220930", number.as_bytes()].concat();
        assert_eq!(message[..2], [0x04, body.len() as u8]);
        assert_eq!(message[2..message.len() - 1], body);
        assert_eq!(message.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)), 0);
        let text = told(country, Persona::v253(), "AT+VCID=1", caller);
        assert!(text.contains(&format!("NMBR = {number}\r\n")) && !text.contains("NAME"), "{text}");
    }
    let message = bytes(&told(Country::US, Persona::v253(), "AT+VCID=2", NAMED));
    assert_eq!(message[0], 0x80);
    assert!(message.windows(3).any(|word| word == b"Ada"));
}

#[test]
fn an_identity_in_tones_is_heard_by_a_modem_that_understands_it() {
    let hears = || Persona { tone_identity: true, ..Persona::v253() };
    for (caller, number) in [(NAMED, "4930304"), (WITHHELD, "P")] {
        let text = told(Country::DK, hears(), "AT+VCID=1", caller);
        let words: Vec<&str> = text.split_whitespace().filter(|word| !["=", "OK"].contains(word)).collect();
        assert_eq!(words, ["NMBR", number, "RING"], "{text}");
        assert!(!text.contains("DATE"), "{text}");
    }
    // Any other hears the ring alone.
    assert!(!told(Country::DK, Persona::v253(), "AT+VCID=1", NAMED).contains("NMBR"));
    let never = Country { identity: IdentitySent::Never, ..Country::US };
    assert!(!told(never, hears(), "AT+VCID=1", NAMED).contains("NMBR"));
}

/// The driver, with a modem that hears tones: the number comes before the ring, and is told with the call.
#[test]
fn the_driver_is_told_who_calls_in_every_way() {
    let single = Country { message: MessageFormat::Single, ..Country::US };
    let never = Country { identity: IdentitySent::Never, ..Country::US };
    for (country, known) in
        [(Country::US, true), (single, true), (Country::GB, true), (Country::DK, true), (never, false)]
    {
        let mut world = World::new(Setup { snapshots: false, ..Setup::default() });
        world.in_exchange(|_, exchange| {
            exchange.country(country);
            exchange.subscribe("4930304", "silence".parse().unwrap());
        });
        let device = Box::new(Analogue::new(Persona { tone_identity: true, ..Persona::v253() }));
        world.start_modem_at("one", ANALOGUE, "v253", device, Office::default());
        let app = world.open_app("app", 0);
        world.open_line(app, "modem:one");
        world.in_exchange(|now, exchange| exchange.call(now, "4930304", ANALOGUE).unwrap());
        let call = world.await_offer(app);
        world.run_for(Duration::from_secs(3));
        let calls = world.snapshot(app).calls;
        let caller = calls.into_iter().find(|one| one.info.call == call).unwrap().info.caller;
        assert_eq!(caller.address.as_deref(), known.then_some("4930304"), "{country:?}");
        world.in_exchange(|now, exchange| exchange.hang_up(now, "4930304").unwrap());
        world.await_state(app, call, "disconnected");
    }
}
