//! Mixers: each stream hears the sum of all others.

use tspi::media::{AudioFrame, MixerId, Rate, WIDE_SAMPLES};

/// The sums of one tick. Room is kept from tick to tick.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mixes {
    sums: Vec<Mix>,
    used: usize,
}

#[derive(Clone, Debug)]
struct Mix {
    mixer: MixerId,
    rate: Rate,
    voices: u32,
    sum: Box<[i32; WIDE_SAMPLES]>,
}

impl Mixes {
    /// Before a tick.
    pub fn clear(&mut self) {
        self.used = 0;
    }

    /// A stream is in a mixer, which has the highest rate of those in it.
    pub fn enter(&mut self, mixer: MixerId, rate: Rate) {
        if let Some(mix) = self.sums.iter_mut().take(self.used).find(|mix| mix.mixer == mixer) {
            mix.rate = mix.rate.max(rate);
            return;
        }
        match self.sums.get_mut(self.used) {
            Some(mix) => {
                mix.sum.fill(0);
                (mix.mixer, mix.rate, mix.voices) = (mixer, rate, 0);
            }
            None => self.sums.push(Mix { mixer, rate, voices: 0, sum: Box::new([0; WIDE_SAMPLES]) }),
        }
        self.used += 1;
    }

    fn mix(&self, mixer: MixerId) -> Option<&Mix> {
        self.sums.iter().take(self.used).find(|mix| mix.mixer == mixer)
    }

    /// The rate of a mixer that was entered.
    pub fn rate(&self, mixer: MixerId) -> Rate {
        self.mix(mixer).map_or(Rate::Narrow, |mix| mix.rate)
    }

    /// Adds what a stream heard, at the mixer's rate.
    pub fn add(&mut self, mixer: MixerId, frame: &AudioFrame) {
        let Some(mix) = self.sums.iter_mut().take(self.used).find(|mix| mix.mixer == mixer) else { return };
        mix.voices += 1;
        // More than 65,000 voices would overflow.
        for (sum, sample) in mix.sum.iter_mut().zip(frame.samples()) {
            *sum = sum.wrapping_add(i32::from(*sample));
        }
    }

    /// What a stream hears of the others: none where no other was heard. Too much is clipped.
    pub fn without(&self, mixer: MixerId, own: Option<&AudioFrame>) -> Option<AudioFrame> {
        let mix = self.mix(mixer)?;
        if mix.voices <= u32::from(own.is_some()) {
            return None;
        }
        let silence = AudioFrame::silence(mix.rate);
        let own = own.unwrap_or(&silence);
        let mut frame = AudioFrame::silence(mix.rate);
        for ((sample, sum), own) in frame.samples_mut().iter_mut().zip(mix.sum.iter()).zip(own.samples()) {
            *sample = sum.wrapping_sub(i32::from(*own)).clamp(-32_767, 32_767) as i16;
        }
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tspi::media::{FRAME_SAMPLES, Frame};

    #[test]
    fn each_hears_the_others_and_not_itself_and_too_much_is_clipped() {
        let frame = |sample| AudioFrame::Narrow(Frame([sample; FRAME_SAMPLES]));
        let mut mixes = Mixes::default();
        for _ in 0..3 {
            mixes.clear();
            mixes.enter(MixerId(1), Rate::Narrow);
            mixes.enter(MixerId(2), Rate::Narrow);
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
        mixes.enter(MixerId(1), Rate::Narrow);
        (0..4).for_each(|_| mixes.add(MixerId(1), &frame(-30_000)));
        assert_eq!(mixes.without(MixerId(1), Some(&frame(-30_000))), Some(frame(-32_767)));
    }
}
