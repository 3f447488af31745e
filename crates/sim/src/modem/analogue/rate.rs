//! Samples at another rate, by straight lines between neighbours: enough for a voice below 3.4 kHz on a test line.

/// From one rate to another, sample by sample, without end.
#[derive(Clone, Debug)]
pub(super) struct Converter {
    from: u32,
    to: u32,
    /// Place between `last` and `next`, in parts of `to`.
    place: u32,
    last: i16,
    next: Option<i16>,
}

impl Converter {
    pub(super) fn new(from: u32, to: u32) -> Converter {
        Converter { from, to, place: 0, last: 0, next: None }
    }

    /// The next sample; `None` when the source has none now: it goes on from there later.
    pub(super) fn next(&mut self, mut source: impl FnMut() -> Option<i16>) -> Option<i16> {
        if self.from == self.to {
            return source();
        }
        if self.next.is_none() {
            self.next = Some(source()?);
        }
        while self.place >= self.to {
            let fresh = source()?;
            self.place -= self.to;
            self.last = self.next.replace(fresh)?;
        }
        let (last, next) = (i64::from(self.last), i64::from(self.next?));
        let value = last + (next - last) * i64::from(self.place) / i64::from(self.to);
        self.place += self.from;
        i16::try_from(value).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_keeps_its_frequency_there_and_back() {
        let wave = |n: usize| ((std::f64::consts::TAU * 700.0 * n as f64 / 8_000.0).sin() * 10_000.0) as i16;
        let mut source = (0..8_000).map(wave);
        let mut down = Converter::new(8_000, 7_200);
        let mut slow = std::iter::from_fn(|| down.next(|| source.next())).collect::<Vec<_>>().into_iter();
        assert!(slow.len().abs_diff(7_200) < 3);
        let mut up = Converter::new(7_200, 8_000);
        let back: Vec<i16> = std::iter::from_fn(|| up.next(|| slow.next())).collect();
        let reading = crate::exchange::meter::read(&back);
        assert_eq!(reading.hz, 700);
    }
}
