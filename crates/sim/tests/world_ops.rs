//! Random operations over all kinds of line. `TAPI_SEEDS=N` runs N seeds in place of 200; `TAPI_SEED=N` runs one.

use tapi_sim::world::ops::check;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}

#[test]
fn whatever_is_done_the_invariants_hold_and_nothing_is_left() {
    if let Some(seed) = number("TAPI_SEED") {
        check(seed, 60);
        return;
    }
    let seeds = number("TAPI_SEEDS").unwrap_or(200);
    // The two cores of a small machine share the seeds.
    std::thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || (half..seeds).step_by(2).for_each(|seed| check(seed, 60)));
        }
    });
}
