//! How figures are told: each with what is aimed at beside it.

use std::time::Duration;

/// What is aimed at.
#[derive(Clone, Copy, Debug)]
pub enum Aim {
    /// It is not to be more.
    AtMost(f64),
    /// It is not to be less.
    AtLeast(f64),
}

/// The figures of a run.
#[derive(Debug, Default)]
pub struct Figures {
    missed: Vec<String>,
}

impl Figures {
    /// Tells a figure.
    pub fn tell(&mut self, what: &str, value: f64, unit: &str, aim: Option<Aim>, beside: &str) {
        let number = format!("{} {unit}", written(value));
        let verdict = match aim {
            None => String::new(),
            Some(Aim::AtMost(most)) if value <= most => format!("aim {}: reached", written(most)),
            Some(Aim::AtLeast(least)) if value >= least => format!("aim {}: reached", written(least)),
            Some(Aim::AtMost(most)) => self.miss(what, most, value / most),
            Some(Aim::AtLeast(least)) => self.miss(what, least, value / least),
        };
        let line = format!("  {what:<46} {number:>14}  {verdict:<32} {beside}");
        println!("{}", line.trim_end());
    }

    fn miss(&mut self, what: &str, aim: f64, share: f64) -> String {
        self.missed.push(what.to_string());
        format!("aim {}: NOT reached, {share:.2} × it", written(aim))
    }

    /// Median and 99 % of times, in milliseconds.
    pub fn tell_times(&mut self, what: &str, mut times: Vec<Duration>, aims: Option<(f64, f64)>) {
        times.sort_unstable();
        let share = |share: f64| {
            let index = (times.len().saturating_sub(1) as f64 * share).round() as usize;
            times.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
        };
        let beside = format!("{} times", times.len());
        self.tell(&format!("{what}: median"), share(0.5), "ms", aims.map(|aims| Aim::AtMost(aims.0)), &beside);
        self.tell(&format!("{what}: 99 %"), share(0.99), "ms", aims.map(|aims| Aim::AtMost(aims.1)), &beside);
    }

    /// Tells what was not reached.
    pub fn end(&self) {
        match self.missed.as_slice() {
            [] => println!("every aim is reached"),
            missed => println!("not reached (docs/testing.md, figures, says why): {}", missed.join("; ")),
        }
    }
}

/// With three digits that count.
fn written(value: f64) -> String {
    let decimals = match value.abs() {
        large if large >= 100.0 => 0,
        large if large >= 10.0 => 1,
        large if large >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}
