//! Digits as Q.24 wants them, and what is none.

use super::*;
use crate::g711::Law;

const ALL: &str = "1234567890*#ABCD";

struct Noise(u64);

impl Noise {
    /// Even between -1 and 1.
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

/// How digits are made.
#[derive(Clone, Copy)]
struct Made {
    on_ms: f64,
    off_ms: f64,
    low_dbm0: f64,
    high_dbm0: f64,
    deviation: f64,
    noise_dbm0: f64,
    /// Where the first begins, in samples: no detector is told where digits begin.
    offset: usize,
}

const PLAIN: Made =
    Made { on_ms: 70.0, off_ms: 70.0, low_dbm0: -8.0, high_dbm0: -6.0, deviation: 0.0, noise_dbm0: -90.0, offset: 0 };

impl Made {
    fn sound(&self, digits: &str) -> Vec<i16> {
        let mut noise = Noise(88_172_645_463_325_252);
        // Even noise between -p and p has the power of a sine of peak p * sqrt(2/3).
        let noise_peak = level(self.noise_dbm0) * 1.5f64.sqrt();
        let mut sound: Vec<f64> = vec![0.0; 800 + self.offset];
        for digit in digits.chars() {
            let row = KEYS.iter().position(|row| row.contains(&digit)).unwrap();
            let column = KEYS[row].iter().position(|key| *key == digit).unwrap();
            let (low, high) = (LOW[row] * (1.0 + self.deviation), HIGH[column] * (1.0 + self.deviation));
            let (a, b) = (level(self.low_dbm0), level(self.high_dbm0));
            sound.extend((0..(self.on_ms * 8.0) as usize).map(|n| {
                let turn = 2.0 * PI * n as f64 / 8000.0;
                a * (turn * low).sin() + b * (turn * high + 1.0).sin()
            }));
            sound.resize(sound.len() + (self.off_ms * 8.0) as usize, 0.0);
        }
        sound.resize(sound.len() + 800, 0.0);
        sound.iter().map(|sample| (sample + noise_peak * noise.next()).clamp(-32_767.0, 32_767.0) as i16).collect()
    }

    /// What is heard at every place where the digits may begin within a frame.
    fn heard(&self, digits: &str) -> Vec<String> {
        (0..160).step_by(20).map(|offset| hear(&Made { offset, ..*self }.sound(digits))).collect()
    }

    fn is_taken(&self, what: &str) {
        for (n, heard) in self.heard(ALL).into_iter().enumerate() {
            assert_eq!(heard, ALL, "{what}, {} samples into a frame", 20 * n);
        }
    }

    fn is_not_taken(&self, what: &str) {
        for (n, heard) in self.heard(ALL).into_iter().enumerate() {
            assert_eq!(heard, "", "{what}, {} samples into a frame", 20 * n);
        }
    }
}

fn hear(sound: &[i16]) -> String {
    let mut dtmf = Dtmf::new();
    let frames =
        sound.chunks_exact(160).map(|chunk| Frame(std::array::from_fn(|n| Law::A.decode(Law::A.encode(chunk[n])))));
    frames.filter_map(|frame| dtmf.frame(&frame)).collect()
}

#[test]
fn all_digits_are_told_once_each() {
    PLAIN.is_taken("70 ms");
    Made { on_ms: 40.0, off_ms: 40.0, ..PLAIN }.is_taken("40 ms and 40 ms");
    Made { on_ms: 2000.0, ..PLAIN }.is_taken("two seconds");
    Made { on_ms: 50.0, off_ms: 50.0, ..PLAIN }.is_taken("50 ms");
    assert_eq!(PLAIN.heard("1122333"), ["1122333"; 8], "the same digit again");
}

#[test]
fn levels_and_twist_within_the_limits_are_taken_and_beyond_are_not() {
    for dbm0 in [0.0, -3.0, -10.0, -20.0, -27.0] {
        Made { low_dbm0: dbm0, high_dbm0: dbm0, ..PLAIN }.is_taken("level");
    }
    for dbm0 in [-34.0, -45.0] {
        Made { low_dbm0: dbm0, high_dbm0: dbm0, ..PLAIN }.is_not_taken("level");
    }
    for (low_dbm0, high_dbm0) in [(-6.0, -14.0), (-10.0, -6.0), (-18.0, -26.0), (-20.0, -16.0)] {
        Made { low_dbm0, high_dbm0, ..PLAIN }.is_taken("twist");
    }
    for (low_dbm0, high_dbm0) in [(-6.0, -18.0), (-16.0, -8.0)] {
        Made { low_dbm0, high_dbm0, ..PLAIN }.is_not_taken("twist");
    }
}

#[test]
fn frequencies_off_by_a_little_are_taken_and_by_much_are_not() {
    for deviation in [0.015, -0.015, 0.01, -0.01] {
        Made { deviation, ..PLAIN }.is_taken("deviation");
    }
    for deviation in [0.035, -0.035] {
        Made { deviation, ..PLAIN }.is_not_taken("deviation");
    }
}

#[test]
fn short_tones_are_none_and_a_short_gap_does_not_part_a_digit() {
    Made { on_ms: 20.0, ..PLAIN }.is_not_taken("20 ms");
    Made { on_ms: 23.0, ..PLAIN }.is_not_taken("23 ms");
    // 10 ms lost in the midst of a digit.
    for offset in (0..160).step_by(20) {
        let mut sound = Made { on_ms: 110.0, offset, ..PLAIN }.sound("5");
        sound[800 + offset + 400..][..80].fill(0);
        assert_eq!(hear(&sound), "5", "{offset}");
    }
}

#[test]
fn noise_hides_no_digit_at_15_db() {
    Made { low_dbm0: -10.0, high_dbm0: -10.0, noise_dbm0: -22.0, on_ms: 60.0, ..PLAIN }.is_taken("15 dB");
}

/// Ten minutes of something like speech: a gliding pulse train with wandering resonances, pauses and hiss.
fn speech(seed: u64, seconds: usize) -> Vec<i16> {
    let mut noise = Noise(seed);
    let (mut phase, mut pitch, mut past) = (0.0f64, 120.0, [[0.0f64; 2]; 3]);
    let (mut formants, mut voiced, mut gain) = ([500.0, 1500.0, 2500.0], true, 1.0);
    (0..seconds * 8000)
        .map(|n| {
            if n % 640 == 0 {
                pitch = 90.0 + 180.0 * (noise.next() + 1.0) / 2.0;
                formants = [550.0 + 350.0 * noise.next(), 1500.0 + 700.0 * noise.next(), 2600.0 + 500.0 * noise.next()];
                voiced = noise.next() > -0.6;
                gain = if noise.next() > -0.7 { 0.3 + 0.7 * (noise.next() + 1.0) / 2.0 } else { 0.0 };
            }
            phase += pitch / 8000.0;
            let mut sample = if !voiced {
                500.0 * noise.next()
            } else if phase >= 1.0 {
                4000.0
            } else {
                0.0
            };
            phase = phase.fract();
            for (hz, past) in formants.iter().zip(&mut past) {
                let radius = 0.985;
                let next =
                    sample + 2.0 * radius * (2.0 * PI * hz / 8000.0f64).cos() * past[0] - radius * radius * past[1];
                *past = [next, past[0]];
                sample = next * 0.3;
            }
            (sample * gain).clamp(-32_000.0, 32_000.0) as i16
        })
        .collect()
}

#[test]
fn speech_and_noise_are_no_digits() {
    for seed in 1..=5 {
        assert_eq!(hear(&speech(seed * 7919, 120)), "", "speech {seed}");
    }
    let mut noise = Noise(4);
    let hiss: Vec<i16> = (0..8000 * 60).map(|_| (8000.0 * noise.next()) as i16).collect();
    assert_eq!(hear(&hiss), "");
}

#[test]
fn two_sines_that_belong_to_no_digit_are_none() {
    for (a, b) in [(350.0, 440.0), (440.0, 480.0), (480.0, 620.0), (697.0, 852.0), (1209.0, 1477.0), (425.0, 1336.0)] {
        let turn = |n: usize, hz: f64| (2.0 * PI * hz * n as f64 / 8000.0).sin();
        let sound: Vec<i16> = (0..8000).map(|n| (6000.0 * (turn(n, a) + turn(n, b))) as i16).collect();
        assert_eq!(hear(&sound), "", "{a} {b}");
    }
}

#[test]
fn a_snapshot_between_frames_changes_nothing() {
    let sound = PLAIN.sound(ALL);
    let mut dtmf = Dtmf::new();
    let mut heard = String::new();
    for chunk in sound.chunks_exact(160) {
        dtmf = serde_json::from_str(&serde_json::to_string(&dtmf).unwrap()).unwrap();
        heard.extend(dtmf.frame(&Frame(chunk.try_into().unwrap())));
    }
    assert_eq!(heard, ALL);
}
