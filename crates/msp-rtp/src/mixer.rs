//! Mixers: each stream hears the sum of all others.

use tspi::media::{FRAME_SAMPLES, Frame, MixerId};

/// The sums of one tick. Room is kept from tick to tick.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mixes {
    sums: Vec<Mix>,
    used: usize,
}

#[derive(Clone, Debug)]
struct Mix {
    mixer: MixerId,
    voices: u32,
    sum: Box<[i32; FRAME_SAMPLES]>,
}

impl Mixes {
    /// Before a tick.
    pub fn clear(&mut self) {
        self.used = 0;
    }

    /// Adds what a stream heard.
    pub fn add(&mut self, mixer: MixerId, frame: &Frame) {
        let known = self.sums.iter().take(self.used).position(|mix| mix.mixer == mixer);
        let number = known.unwrap_or(self.used);
        if known.is_none() {
            self.used += 1;
            match self.sums.get_mut(number) {
                Some(mix) => {
                    mix.sum.fill(0);
                    (mix.mixer, mix.voices) = (mixer, 0);
                }
                None => self.sums.push(Mix { mixer, voices: 0, sum: Box::new([0; FRAME_SAMPLES]) }),
            }
        }
        let Some(mix) = self.sums.get_mut(number) else { return };
        mix.voices += 1;
        for (sum, sample) in mix.sum.iter_mut().zip(frame.0) {
            *sum = sum.saturating_add(i32::from(sample));
        }
    }

    /// What a stream hears of the others: none where no other was heard. Too much is clipped.
    pub fn without(&self, mixer: MixerId, own: Option<&Frame>) -> Option<Frame> {
        let mix = self.sums.iter().take(self.used).find(|mix| mix.mixer == mixer)?;
        if mix.voices <= u32::from(own.is_some()) {
            return None;
        }
        let own = own.unwrap_or(&Frame::SILENCE);
        let mut frame = Frame::SILENCE;
        for ((sample, sum), own) in frame.0.iter_mut().zip(mix.sum.iter()).zip(own.0) {
            *sample = sum.saturating_sub(i32::from(own)).clamp(-32_767, 32_767) as i16;
        }
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hears_the_others_and_not_itself_and_too_much_is_clipped() {
        let frame = |sample| Frame([sample; FRAME_SAMPLES]);
        let mut mixes = Mixes::default();
        for _ in 0..3 {
            mixes.clear();
            mixes.add(MixerId(1), &frame(100));
            mixes.add(MixerId(2), &frame(7));
            mixes.add(MixerId(1), &frame(20));
            mixes.add(MixerId(1), &frame(3));
            assert_eq!(mixes.without(MixerId(1), Some(&frame(100))), Some(frame(23)));
            assert_eq!(mixes.without(MixerId(1), None), Some(frame(123)));
            assert_eq!(mixes.without(MixerId(2), Some(&frame(7))), None);
            assert_eq!(mixes.without(MixerId(3), None), None);
        }
        mixes.clear();
        (0..4).for_each(|_| mixes.add(MixerId(1), &frame(-30_000)));
        assert_eq!(mixes.without(MixerId(1), Some(&frame(-30_000))), Some(frame(-32_767)));
    }
}
