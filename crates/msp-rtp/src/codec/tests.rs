//! What goes through a codec and comes out, judged by level.

use super::*;
use crate::tone::{Measured, Meter, Tone};
use tspi::media::Frame;

const ALL: [Audio; 3] = [Audio::G711(Law::Mu), Audio::G711(Law::A), Audio::G722];

/// 2 s of a tone through encoder and decoder in packets of `ptime_ms`, measured in the last 100 ms.
fn through(audio: Audio, hz: u32, ptime_ms: u32) -> Measured {
    let mut tone = Tone::new(&[(hz, -13.0)]).unwrap();
    let sent: Vec<i16> = (0..102).flat_map(|_| tone.frame().0).collect();
    let (mut encoder, mut decoder) = (Encoder::new(audio), Decoder::new(audio));
    let mut heard = Vec::new();
    for samples in sent.chunks_exact(ptime_ms as usize * 8) {
        let (mut octets, mut out) = ([0; 512], [0; MAX_SAMPLES]);
        let length = encoder.encode(samples, &mut octets).unwrap();
        assert_eq!(audio.samples(&octets[..length]), Some(samples.len()), "{audio:?}");
        let decoded = decoder.decode(&octets[..length], &mut out).unwrap();
        assert_eq!(decoded, samples.len());
        heard.extend_from_slice(&out[..decoded]);
    }
    let mut meter = Meter::new(&[hz]);
    let last = heard.len() / 160 * 160;
    let frames = heard[last - 800..last].chunks_exact(160).map(|chunk| Frame(chunk.try_into().unwrap()));
    frames.filter_map(|frame| meter.frame(&frame)).last().unwrap()
}

#[test]
fn every_codec_keeps_a_tone_at_every_packet_time() {
    for audio in ALL {
        for ptime_ms in [10, 20, 30, 40, 50, 60] {
            for hz in [300, 1004, 2500] {
                let measured = through(audio, hz, audio.ptime_ms(ptime_ms));
                let error = measured.tones[0].level_ddbm0 + 130;
                assert!(error.abs() <= 10, "{audio:?} {hz} Hz {ptime_ms} ms: {measured:?}");
            }
        }
    }
}

/// The whole decoder of G.722, both bands, hears what our encoder makes of the lower one: no images above 4 kHz.
#[test]
fn g722_of_8_khz_is_sound_to_a_decoder_of_16_khz() {
    let mut tone = Tone::new(&[(1000, -13.0)]).unwrap();
    let (mut encoder, mut whole) = (Encoder::new(Audio::G722), G722Decoder::new());
    let mut heard = Vec::new();
    for _ in 0..50 {
        let (mut octets, mut out) = ([0; 160], [0; 320]);
        assert_eq!(encoder.encode(&tone.frame().0, &mut octets), Some(160));
        assert_eq!(whole.decode_into(&octets, &mut out).unwrap(), 320);
        heard.extend_from_slice(&out);
    }
    // Measured as if it were 8 kHz: half the frequency; the image of 1 kHz is at 7 kHz.
    let mut meter = Meter::new(&[500, 3500]);
    let frames = heard[8000..].chunks_exact(160).map(|chunk| Frame(chunk.try_into().unwrap()));
    let measured = frames.filter_map(|frame| meter.frame(&frame)).last().unwrap();
    assert!((measured.tones[0].level_ddbm0 + 130).abs() <= 10, "{measured:?}");
    assert!(measured.tones[1].level_ddbm0 < -550, "{measured:?}");
}

#[test]
fn what_16_khz_of_g722_carries_below_4_khz_is_heard() {
    let (mut whole, mut decoder) = (G722Encoder::new(), Decoder::new(Audio::G722));
    let mut meter = Meter::new(&[1000, 2000]);
    let peak = crate::tone::PEAK_0_DBM0 * 10f64.powf(-13.0 / 20.0);
    let mut measured = None;
    for block in 0..50 {
        let turn = |n: usize| 2.0 * std::f64::consts::PI * 1000.0 * (block * 320 + n) as f64 / 16_000.0;
        let samples: [i16; 320] = std::array::from_fn(|n| (peak * turn(n).sin()) as i16);
        let (mut octets, mut out) = ([0; 160], [0; 160]);
        assert_eq!(whole.encode_into(&samples, &mut octets).unwrap(), 160);
        assert_eq!(decoder.decode(&octets, &mut out), Some(160));
        measured = meter.frame(&Frame(out)).or(measured);
    }
    let measured = measured.unwrap();
    assert!((measured.tones[0].level_ddbm0 + 130).abs() <= 10, "{measured:?}");
}

#[test]
fn broken_payloads_are_no_samples() {
    for audio in [ALL[0], ALL[2], Audio::Opus] {
        assert_eq!(audio.samples(&[]), None);
        assert_eq!(audio.samples(&[0xff; 1500]), None, "{audio:?}");
        assert_eq!(Decoder::new(audio).decode(&[], &mut [0; MAX_SAMPLES]), None);
    }
    // Code 3 without its count; no frames at all; 48 of 20 ms.
    for payload in [&[0x4b][..], &[0x4b, 0], &[0x4b, 48]] {
        assert_eq!(Audio::Opus.samples(payload), None);
    }
    assert_eq!(Audio::Opus.samples(&[0x08]), Some(160));
    assert_eq!(Encoder::new(ALL[0]).encode(&[0; 160], &mut [0; 100]), None);
    assert_eq!(Encoder::new(ALL[2]).encode(&[0; 160], &mut [0; 100]), None);
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
            let measured = through(Audio::Opus, 1004, Audio::Opus.ptime_ms(ptime_ms));
            assert!((measured.tones[0].level_ddbm0 + 130).abs() <= 20, "{ptime_ms} ms: {measured:?}");
        }
    }

    #[test]
    fn opus_conceals_what_was_lost_and_counts_in_its_own_clock() {
        let mut tone = Tone::new(&[(440, -10.0)]).unwrap();
        let (mut encoder, mut receiver) = (Encoder::new(Audio::Opus), Receiver::default());
        let mut placed: Vec<(u32, Vec<i16>)> = Vec::new();
        for n in 0..20u32 {
            let mut octets = [0; 400];
            let length = encoder.encode(&tone.frame().0, &mut octets).unwrap();
            if n != 15 {
                receiver.packet(Audio::Opus, n * 960, &octets[..length], |at, s| placed.push((at, s.to_vec())));
            }
        }
        let times: Vec<u32> = placed.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, (0..20).map(|n| n * 160).collect::<Vec<_>>());
        let peak = placed[15].1.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
        assert!(peak > 2000, "{peak}");
    }
}
