//! Calls in the networks of four countries, through the driver: with a modem that tells what it hears, and with one that tells nothing, so
//! that answers, busy and ends are heard in its audio.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails shows why")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use tapi::{AnswerEvidence, CallId, CallState, DisconnectMode, LineId};
use tapi_sim::exchange::{Clearing, Country, Event, IdentitySent};
use tapi_sim::modem::analogue::{Analogue, Persona};
use tapi_sim::world::{AppId, Setup, World};

const NUMBER: &str = "4930100";

/// Tones, voice, the loop and polarity: whatever a modem may tell of what it hears.
const DEAF: &[u8] = b"vdKbrliJ";

struct Place {
    name: String,
    country: Country,
    world: World,
    app: AppId,
    line: LineId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ears {
    /// The modem tells what it hears.
    Modem,
    /// It tells nothing, and is listened to.
    Audio,
}

impl Place {
    fn new(country: Country, ears: Ears, clearing: Clearing) -> Place {
        let mut world = World::new(Setup { snapshots: false, country, ..Setup::default() });
        world.in_exchange(|_, exchange| {
            exchange.clearing(clearing);
            for (number, words) in [
                ("4930300", "tone:800,answer:9s"),
                ("4930301", "busy"),
                ("4930302", "never"),
                ("4930303", "silence,withheld"),
                ("4930304", "silence,answer:9s"),
                ("4930305", "tone:800,answer:300ms"),
                ("4930306", "echo"),
            ] {
                exchange.subscribe(number, words.parse().unwrap());
            }
        });
        let (persona, profile) = match ears {
            Ears::Modem => (Persona::v253(), "v253"),
            Ears::Audio => (Persona { never: DEAF, ..Persona::usr5637() }, "usr5637"),
        };
        world.start_modem("one", NUMBER, profile, Box::new(Analogue::new(persona)));
        let app = world.open_app("app", 0);
        let line = world.open_line(app, "modem:one");
        Place { name: format!("{}, {ears:?}, {clearing:?}", country.name), country, world, app, line }
    }

    fn out(&mut self, to: &str) -> CallId {
        self.world.exchange_log.clear();
        self.world.make_call(self.app, self.line, to).unwrap()
    }

    fn states(&self, call: CallId) -> String {
        self.world.app(self.app).states(call).iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    /// Waits for the answer, which is no earlier than the far end's and not much later; how it was concluded.
    fn answered(&mut self, call: CallId, within: Duration) -> AnswerEvidence {
        let done = |world: &World, app| {
            world.app(app).state(call).is_some_and(|state| is(state, "connected") || state.is_over())
        };
        let app = self.app;
        assert!(
            self.world.run_to(Duration::from_secs(60), |world| done(world, app)),
            "{}: {}",
            self.name,
            self.states(call)
        );
        let state = self.world.app(app).state(call).unwrap();
        assert!(is(state, "connected"), "{}: {}", self.name, self.states(call));
        let answer = self.world.exchange_log.iter().find(|(_, event)| matches!(event, Event::Answered { .. }));
        let answer = answer.unwrap_or_else(|| panic!("{}: connected, and nobody answered", self.name)).0;
        let after = self.world.now().since(answer);
        assert!(after <= within, "{}: connected {after:?} after the answer", self.name);
        let calls = self.world.snapshot(app).calls;
        calls.into_iter().find(|known| known.info.call == call).unwrap().info.answered_by.unwrap()
    }

    fn ended(&mut self, call: CallId, mode: DisconnectMode, within: Duration) {
        let app = self.app;
        let over = |world: &World| world.app(app).state(call).is_some_and(CallState::is_over);
        assert!(self.world.run_to(within, over), "{}: {}", self.name, self.states(call));
        let state = self.world.app(app).state(call).cloned().unwrap();
        assert_eq!(state, CallState::Disconnected(mode), "{}: {}", self.name, self.states(call));
        self.drop_it(call);
    }

    fn drop_it(&mut self, call: CallId) {
        self.world.drop_call(self.app, call);
        self.world.run_for(Duration::from_secs(10));
        self.world.assert_nothing_left();
        assert!(self.world.in_exchange(|_, exchange| exchange.is_quiet()), "{}: a line is off hook", self.name);
    }
}

fn is(state: &CallState, name: &str) -> bool {
    state.name() == name
}

fn hangs_up(place: &mut Place, number: &str) {
    place.world.in_exchange(|now, exchange| exchange.hang_up(now, number)).unwrap();
}

fn an_answer_that_speaks(place: &mut Place) {
    for number in ["4930300", "4930305"] {
        let call = place.out(number);
        place.answered(call, Duration::from_millis(2_500));
        place.world.run_for(Duration::from_secs(3));
        hangs_up(place, number);
        place.ended(call, DisconnectMode::Normal, Duration::from_secs(12));
    }
}

fn an_answer_that_is_silent(place: &mut Place) {
    let call = place.out("4930304");
    let evidence = place.answered(call, Duration::from_secs(12));
    assert_eq!(evidence, AnswerEvidence::RingbackGone, "{}", place.name);
    assert!(place.world.app(place.app).states(call).contains(&CallState::Ringback), "{}", place.name);
    place.world.run_for(Duration::from_secs(3));
    hangs_up(place, "4930304");
    place.ended(call, DisconnectMode::Normal, Duration::from_secs(12));
}

fn an_answer_that_echoes(place: &mut Place) {
    let call = place.out("4930306");
    place.answered(call, Duration::from_secs(12));
    place.world.run_for(Duration::from_secs(5));
    assert!(place.world.app(place.app).state(call).is_some_and(|state| is(state, "connected")), "{}", place.name);
    hangs_up(place, "4930306");
    place.ended(call, DisconnectMode::Normal, Duration::from_secs(12));
}

fn engaged(place: &mut Place) {
    let call = place.out("4930301");
    place.ended(call, DisconnectMode::Busy, Duration::from_secs(20));
}

fn nobody_answers(place: &mut Place) {
    let call = place.out("4930302");
    place.world.run_for(Duration::from_secs(40));
    let state = place.world.app(place.app).state(call).cloned().unwrap();
    assert_eq!(state, CallState::Ringback, "{}: {}", place.name, place.states(call));
    place.drop_it(call);
}

fn incoming(place: &mut Place, from: &str) -> CallId {
    place.world.in_exchange(|now, exchange| exchange.call(now, from, NUMBER)).unwrap();
    place.world.await_offer(place.app)
}

fn somebody_calls(place: &mut Place) {
    let call = incoming(place, "4930304");
    place.world.run_for(Duration::from_secs(4));
    let calls = place.world.snapshot(place.app).calls;
    let caller = calls.into_iter().find(|known| known.info.call == call).unwrap().info.caller;
    // Data modems do not understand digits on a line that is on hook.
    let told = matches!(place.country.identity, IdentitySent::AfterFirstRing | IdentitySent::BeforeRing);
    assert_eq!(caller.address.as_deref(), told.then_some("4930304"), "{}", place.name);
    place.world.answer(place.app, call);
    place.world.await_state(place.app, call, "connected");
    place.world.run_for(Duration::from_secs(3));
    hangs_up(place, "4930304");
    place.ended(call, DisconnectMode::Normal, Duration::from_secs(12));
}

/// Bursts and pauses differ: the call lasts while it rings, is one, and is over soon after the last burst.
fn the_caller_gives_up(place: &mut Place) {
    let call = incoming(place, "4930304");
    place.world.run_for(Duration::from_secs(25));
    let state = place.world.app(place.app).state(call).cloned().unwrap();
    assert!(is(&state, "offering"), "{}: {}", place.name, place.states(call));
    hangs_up(place, "4930304");
    let (app, limit) = (place.app, Duration::from_secs(12));
    let over = |world: &World| world.app(app).state(call).is_some_and(CallState::is_over);
    assert!(place.world.run_to(limit, over), "{}: {}", place.name, place.states(call));
    place.drop_it(call);
    assert_eq!(place.world.snapshot(app).calls.len(), 0, "{}: it was more than one call", place.name);
}

type Story = (&'static str, fn(&mut Place));

const STORIES: [Story; 7] = [
    ("an answer that speaks", an_answer_that_speaks),
    ("an answer that is silent", an_answer_that_is_silent),
    ("an answer that echoes", an_answer_that_echoes),
    ("engaged", engaged),
    ("nobody answers", nobody_answers),
    ("somebody calls", somebody_calls),
    ("the caller gives up", the_caller_gives_up),
];

fn everywhere(ears: Ears) {
    let mut failed = Vec::new();
    for country in Country::ALL {
        // A line is cleared as its country does, and as others do.
        for clearing in [Clearing::LoopBreak, Clearing::BusyTone] {
            for (story, run) in STORIES {
                let tried = catch_unwind(AssertUnwindSafe(|| run(&mut Place::new(country, ears, clearing))));
                if tried.is_err() {
                    failed.push(format!("{}, {clearing:?}: {story}", country.name));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{ears:?}: {} failed:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn a_modem_that_tells_what_it_hears_works_in_every_country() {
    everywhere(Ears::Modem);
}

#[test]
fn a_modem_that_is_listened_to_works_in_every_country() {
    everywhere(Ears::Audio);
}
