//! What goes through a codec and comes out, judged by level.

use super::*;
use std::f64::consts::PI;

const ALL: [Audio; 3] = [Audio::G711(Law::Mu), Audio::G711(Law::A), Audio::G722];

/// A tone of -13 dBm0 at a codec's rate.
fn tone(audio: Audio, hz: u32, count: usize) -> Vec<i16> {
    let peak = crate::tone::PEAK_0_DBM0 * 10f64.powf(-13.0 / 20.0);
    let turn = |n: usize| 2.0 * PI * f64::from(hz) * n as f64 / f64::from(audio.rate().hz());
    (0..count).map(|n| (peak * turn(n).sin()) as i16).collect()
}

/// Level of a frequency in dBm0.
fn level(audio: Audio, samples: &[i16], hz: u32) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let turn = 2.0 * PI * f64::from(hz) * n as f64 / f64::from(audio.rate().hz());
        re += f64::from(*sample) * turn.cos();
        im += f64::from(*sample) * turn.sin();
    }
    20.0 * (2.0 * re.hypot(im) / samples.len() as f64 / crate::tone::PEAK_0_DBM0).max(1e-6).log10()
}

/// Two seconds of a tone through encoder and decoder in packets of `ptime_ms`: what is heard in the last half second.
fn through(audio: Audio, hz: u32, ptime_ms: u32) -> Vec<i16> {
    let samples = audio.rate().hz() as usize;
    let (mut encoder, mut decoder) = (Encoder::new(audio), Decoder::new(audio));
    let mut heard = Vec::new();
    for samples in tone(audio, hz, 2 * samples).chunks_exact(ptime_ms as usize * samples / 1000) {
        let (mut octets, mut out) = ([0; 512], [0; MAX_WIDE_SAMPLES]);
        let length = encoder.encode(samples, &mut octets).unwrap();
        let ticks = samples.len() / audio.rate().factor();
        assert_eq!(audio.samples(&octets[..length]), Some(ticks), "{audio:?}");
        let decoded = decoder.decode(&octets[..length], &mut out).unwrap();
        assert_eq!(decoded, samples.len());
        heard.extend_from_slice(&out[..decoded]);
    }
    heard.split_off(heard.len() - samples / 2)
}

#[test]
fn every_codec_keeps_a_tone_at_every_packet_time() {
    for audio in ALL {
        for ptime_ms in [10, 20, 30, 40, 50, 60] {
            let wide: &[u32] = if audio.rate() == Rate::Wide { &[5000, 6400] } else { &[] };
            for hz in [300, 1004, 2500].iter().chain(wide) {
                let level = level(audio, &through(audio, *hz, audio.ptime_ms(ptime_ms)), *hz);
                assert!((level + 13.0).abs() <= 1.0, "{audio:?} {hz} Hz {ptime_ms} ms: {level}");
            }
        }
    }
}

#[test]
fn broken_payloads_are_no_samples() {
    for audio in [ALL[0], ALL[2], Audio::Opus] {
        assert_eq!(audio.samples(&[]), None);
        assert_eq!(audio.samples(&[0xff; 1500]), None, "{audio:?}");
        assert_eq!(Decoder::new(audio).decode(&[], &mut [0; MAX_WIDE_SAMPLES]), None);
    }
    // Code 3 without its count; no frames at all; 48 of 20 ms.
    for payload in [&[0x4b][..], &[0x4b, 0], &[0x4b, 48]] {
        assert_eq!(Audio::Opus.samples(payload), None);
    }
    assert_eq!(Audio::Opus.samples(&[0x08]), Some(160));
    assert_eq!(Encoder::new(ALL[0]).encode(&[0; 160], &mut [0; 100]), None);
    assert_eq!(Encoder::new(ALL[2]).encode(&[0; 320], &mut [0; 100]), None);
}

#[test]
fn a_codec_is_written_as_its_name_and_read_as_a_new_one() {
    let written = serde_json::to_string(&Decoder::new(Audio::G722)).unwrap();
    assert_eq!(written, "\"g722\"");
    assert_eq!(serde_json::from_str::<Decoder>(&written).unwrap().audio(), Audio::G722);
}

#[test]
fn comfort_noise_has_the_level_that_was_told() {
    for level in [30u8, 50, 78] {
        let mut noise = Noise::of(&[level]).unwrap();
        let energy: f64 = (0..50).flat_map(|_| noise.frame().0).map(|sample| f64::from(sample).powi(2)).sum();
        let dbov = 10.0 * (energy / 8000.0 / 32_767f64.powi(2)).log10();
        assert!((dbov + f64::from(level)).abs() < 1.5, "{level}: {dbov}");
    }
    assert_eq!(Noise::of(&[]), None);
}

#[test]
fn packets_in_any_order_are_put_where_their_timestamps_say() {
    let mut receiver = Receiver::default();
    let mut placed = Vec::new();
    for (timestamp, octet) in [(u32::MAX - 79, 0x55), (400, 0x55), (80, 0xd5)] {
        receiver.packet(Audio::G711(Law::A), timestamp, &[octet; 160], |at, samples| placed.push((at, samples.len())));
    }
    assert_eq!(placed, [(u32::MAX - 79, 160), (400, 160), (80, 160)]);
}

#[cfg(feature = "opus")]
mod with_opus {
    use super::*;

    #[test]
    fn opus_keeps_a_tone() {
        for ptime_ms in [10, 20, 30, 40, 50, 60] {
            for hz in [1004, 5000] {
                let level = level(Audio::Opus, &through(Audio::Opus, hz, Audio::Opus.ptime_ms(ptime_ms)), hz);
                assert!((level + 13.0).abs() <= 2.0, "{hz} Hz, {ptime_ms} ms: {level}");
            }
        }
    }

    #[test]
    fn opus_conceals_what_was_lost_and_counts_in_its_own_clock() {
        let tone = tone(Audio::Opus, 440, 20 * 320);
        let (mut encoder, mut receiver) = (Encoder::new(Audio::Opus), Receiver::default());
        let mut placed: Vec<(u32, Vec<i16>)> = Vec::new();
        for (n, samples) in (0..20u32).zip(tone.chunks_exact(320)) {
            let mut octets = [0; 400];
            let length = encoder.encode(samples, &mut octets).unwrap();
            if n != 15 {
                receiver.packet(Audio::Opus, n * 960, &octets[..length], |at, s| placed.push((at, s.to_vec())));
            }
        }
        let times: Vec<u32> = placed.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, (0..20).map(|n| n * 160).collect::<Vec<_>>());
        assert!(placed.iter().all(|(_, samples)| samples.len() == 320));
        let peak = placed[15].1.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
        assert!(peak > 2000, "{peak}");
    }
}
