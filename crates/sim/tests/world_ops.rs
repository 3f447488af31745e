//! Random operations over all kinds of line. `TAPI_SEEDS=N` runs N seeds in place of 200; `TAPI_SEED=N` runs one.

use tapi_sim::world::ops::{Coverage, LINES, check};

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}

#[test]
fn whatever_is_done_the_invariants_hold_and_nothing_is_left() {
    if let Some(seed) = number("TAPI_SEED") {
        println!("{:#?}", check(seed, 60));
        return;
    }
    let seeds = number("TAPI_SEEDS").unwrap_or(200);
    // The two cores of a small machine share the seeds.
    let share = |half: u64| (half..seeds).step_by(2).flat_map(|seed| check(seed, 60)).collect::<Vec<_>>();
    let halves = std::thread::scope(|scope| {
        let halves = [0, 1].map(|half| scope.spawn(move || share(half)));
        halves.map(|half| half.join().unwrap_or_else(|_| panic!("a seed broke; its operations are above")))
    });
    let mut coverage = Coverage::new();
    for (what, count) in halves.into_iter().flatten() {
        *coverage.entry(what).or_default() += count;
    }
    // Operations that do nothing prove nothing.
    for line in LINES {
        for state in ["offering", "connected", "disconnected", "idle"] {
            let seen = coverage.get(&(line, state)).copied().unwrap_or(0);
            assert!(seen > 0 || seeds < 200, "no call of {line} was {state} in {seeds} seeds: {coverage:#?}");
        }
    }
    println!("{coverage:#?}");
}
