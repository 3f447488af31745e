//! Audio between modems whose clocks run faster and slower than the machine's.

use crate::daemon::{Daemon, Directory, PATIENCE, Wire};
use crate::modem::{Exchange, ask, until_in_service};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How much faster or slower, in parts in a million: more than twice what modems' quartzes do.
const SKEW: i32 = 500;

/// How long it goes on, unless `TAPI_DRIFT_S` says otherwise, and how often it is measured.
const LENGTH: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_secs(3);

/// How long buffers take to find the levels at which the clocks' difference is taken up: some 60 ms in all, seen once.
const SETTLING: Duration = Duration::from_secs(30);

/// What the delay may grow by after that, in ms: two frames. Left to themselves the clocks would go on to
/// add 60 ms a minute.
const GROWTH: i64 = 40;

fn until(wire: &mut Wire, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let line = wire.line();
        if is(&line["params"]) {
            return line["params"].clone();
        }
        assert!(Instant::now() < deadline, "no {what}");
    }
}

#[test]
fn clocks_that_differ_make_no_delay_that_grows() {
    let directory = Directory::new();
    let words = ["--analogue", "4930100", "--cellular", "4930200", "--subscriber", "4930300=silence"];
    let mut words: Vec<String> = words.map(str::to_owned).to_vec();
    words.extend(["--subscriber".into(), "4930301=echo,answer:300ms".into()]);
    // Each modem's network has the modem's clock, so that all of the difference is the daemon's.
    for (number, skew) in [("4930100", -SKEW), ("4930300", -SKEW), ("4930200", SKEW), ("4930301", SKEW)] {
        words.extend(["--skew".to_owned(), format!("{number}={skew}")]);
    }
    let mut exchange = Exchange::with(&directory, &words);
    let config = format!(
        "[daemon]\nsocket = {:?}\n[modems]\ndiscover = false\nprofiles = []\n[[modem]]\nname = \"slow\"\ndevice = {:?}\n\
         profile = \"v253\"\n[[modem]]\nname = \"fast\"\ndevice = {:?}\naudio_device = {:?}\nprofile = \"27007\"\n",
        directory.path("api.sock"),
        directory.path("analogue0"),
        directory.path("cellular0"),
        directory.path("cellular0-audio"),
    );
    let file = directory.path("tapid.toml");
    std::fs::write(&file, config).unwrap();
    let daemon = Daemon::start(directory, &file);
    let mut wire = Wire::open(&daemon.socket());
    for (id, line) in [(11, "modem:slow"), (12, "modem:fast")] {
        until_in_service(&mut wire, line);
        ask(&mut wire, id, "line.open", json!({"line": line, "privileges": ["owner"]}));
    }
    exchange.order("call 4930300 4930100");
    let slow = until(&mut wire, "offer", |event| event["state"] == "offering")["call"].clone();
    ask(&mut wire, 13, "call.answer", json!({"call": slow}));
    until(&mut wire, "answer", |event| event["call"] == slow && event["state"] == "connected");
    let fast = ask(&mut wire, 14, "call.make", json!({"line": "modem:fast", "to": "4930301"}))["call"].clone();
    until(&mut wire, "answer", |event| event["call"] == fast && event["state"] == "connected");
    ask(&mut wire, 15, "call.bridge", json!({"call": slow, "with": fast}));
    std::thread::sleep(SETTLING);

    let length = std::env::var("TAPI_DRIFT_S").ok().and_then(|text| text.parse().ok()).map(Duration::from_secs);
    // What other work on the machine adds does not come back each time; drift does.
    let mut found = Vec::new();
    for _ in 0..3 {
        match grown(&measured(&mut exchange, length.unwrap_or(LENGTH))) {
            Ok(()) => return,
            Err(growth) => found.push(growth),
        }
    }
    panic!("{}", found.join("\n"));
}

/// How long a tone takes there and back, every few seconds.
fn measured(exchange: &mut Exchange, length: Duration) -> Vec<i64> {
    let (end, mut delays) = (Instant::now() + length, Vec::new());
    while Instant::now() < end {
        let next = Instant::now() + EVERY;
        exchange.order("tone 4930300 1000 300");
        delays.push(exchange.told("echoed")["after_ms"].as_i64().unwrap());
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    println!("delays in ms: {delays:?}");
    delays
}

/// Whether the delay at the end is that of the beginning, each the median of five. One jump may be between them: a process that did not run
/// for a while on a loaded machine leaves one. Several are drift that is taken up in jumps.
fn grown(delays: &[i64]) -> Result<(), String> {
    let median = |part: &[i64]| {
        let mut part = part.to_vec();
        part.sort_unstable();
        part[part.len() / 2]
    };
    let smooth: Vec<i64> = delays.windows(3).map(median).collect();
    let jumps: Vec<i64> = smooth.windows(2).map(|pair| pair[1] - pair[0]).filter(|step| step.abs() > GROWTH).collect();
    let part = delays.len().min(5);
    let growth = median(&delays[delays.len() - part..]) - median(&delays[..part]);
    let excused: i64 = if jumps.len() == 1 { jumps[0] } else { 0 };
    if (growth - excused).abs() > GROWTH {
        return Err(format!("{growth} ms from the beginning to the end, with jumps of {jumps:?}: {delays:?}"));
    }
    Ok(())
}

#[test]
fn drift_in_small_steps_and_in_jumps_is_seen() {
    let series = |value: fn(i64) -> i64| (0..20).map(value).collect::<Vec<i64>>();
    for good in [series(|_| 180), series(|at| 180 + at % 2 * 20), series(|at| if at == 7 { 300 } else { 180 })] {
        grown(&good).unwrap();
    }
    // A stall leaves its delay behind, once.
    grown(&series(|at| if at < 8 { 180 } else { 260 })).unwrap();
    let small_steps = series(|at| 180 + at * 3);
    let jumps = series(|at| 180 + at / 6 * 60);
    let a_jump_and_small_steps = series(|at| 180 + at * 4 + at / 10 * 80);
    let shrinking = series(|at| 300 - at * 4);
    for bad in [small_steps, jumps, a_jump_and_small_steps, shrinking] {
        grown(&bad).unwrap_err();
    }
}
