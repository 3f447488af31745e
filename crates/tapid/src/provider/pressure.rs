//! How much waits for the core, as providers are told it.

/// What a provider was told last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pressure(Option<bool>);

impl Pressure {
    /// Whether the core is busy, where that is news: with half of its queue taken it is, until three quarters are free.
    pub fn news(&mut self, free: usize, all: usize) -> Option<bool> {
        let least = if self.0 == Some(true) { all - all / 4 } else { all / 2 };
        let busy = free < least;
        (self.0.replace(busy) != Some(busy)).then_some(busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_is_busy_from_half_a_queue_to_a_quarter_of_it() {
        let mut pressure = Pressure::default();
        let told: Vec<Option<bool>> =
            [100, 60, 50, 49, 20, 60, 74, 75, 60, 0].map(|free| pressure.news(free, 100)).into();
        let [none, yes, no] = [None, Some(true), Some(false)];
        assert_eq!(told, [no, none, none, yes, none, none, none, no, none, yes], "each change is told once");
    }
}
