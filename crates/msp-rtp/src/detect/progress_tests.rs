//! Tones as the countries make them, and what is heard of them.

use super::*;
use crate::g711::Law;
use crate::tone::Tone;

/// A tone of a country for so many milliseconds.
fn made(country: &str, tone: &ProgressTone, ms: u32) -> Vec<i16> {
    let mut samples = Vec::new();
    let cadence = Country::named(country).cadence(tone);
    while samples.len() < ms as usize * 8 {
        for stretch in cadence {
            let parts: Vec<_> = stretch.hz.iter().map(|hz| (*hz, stretch.level_dbm0() - 8.0)).collect();
            let mut source = Tone::new(&parts).unwrap();
            let on = if stretch.on_ms == 0 { ms } else { stretch.on_ms } as usize * 8;
            let sound: Vec<i16> = (0..on.div_ceil(160)).flat_map(|_| source.frame().0).take(on).collect();
            samples.extend(sound);
            samples.resize(samples.len() + stretch.off_ms as usize * 8, 0);
        }
    }
    samples.truncate(ms as usize * 8);
    samples
}

/// What is told of it, beginning anywhere in a frame.
fn heard(country: Option<&str>, samples: &[i16], offset: usize) -> Vec<Found> {
    let mut progress = Progress::new(country);
    let mut all = vec![0; 1600 + offset];
    all.extend_from_slice(samples);
    let frames =
        all.chunks_exact(160).map(|chunk| Frame(std::array::from_fn(|n| Law::Mu.decode(Law::Mu.encode(chunk[n])))));
    frames.filter_map(|frame| progress.frame(&frame)).collect()
}

fn tones(found: &[Found]) -> Vec<ProgressTone> {
    found.iter().map(|found| found.tone.clone()).collect()
}

#[test]
fn every_countrys_tones_are_recognised_where_the_country_is_known() {
    for country in COUNTRIES {
        for tone in CADENCED {
            // Two tones of a country may be the same; then either name will do.
            let wanted: Vec<_> =
                CADENCED.into_iter().filter(|other| country.cadence(other) == country.cadence(&tone)).collect();
            for offset in [0, 50, 110] {
                let found = heard(Some(country.name), &made(country.name, &tone, 9000), offset);
                let told = tones(&found);
                assert!(told.len() == 1 && wanted.contains(&told[0]), "{} {tone}: {told:?}", country.name);
            }
        }
    }
}

#[test]
fn the_commonest_tones_are_recognised_though_the_country_is_not_known() {
    let cases = [
        ("us", ProgressTone::Ringback),
        ("us", ProgressTone::Busy),
        ("us", ProgressTone::Congestion),
        ("de", ProgressTone::Ringback),
        ("de", ProgressTone::Busy),
        ("de", ProgressTone::Congestion),
        ("gb", ProgressTone::Ringback),
        ("gb", ProgressTone::Busy),
        ("gb", ProgressTone::Dial),
        ("fr", ProgressTone::Ringback),
        ("fr", ProgressTone::Busy),
        ("jp", ProgressTone::Ringback),
        ("se", ProgressTone::Ringback),
        ("es", ProgressTone::Ringback),
        ("us", ProgressTone::Dial),
        ("de", ProgressTone::Dial),
        ("in", ProgressTone::Ringback),
        ("au", ProgressTone::Ringback),
    ];
    for (country, tone) in cases {
        assert_eq!(
            tones(&heard(None, &made(country, &tone, 9000), 70)),
            std::slice::from_ref(&tone),
            "{country} {tone}"
        );
    }
}

#[test]
fn it_says_what_it_measured() {
    let found = heard(None, &made("us", &ProgressTone::Busy, 4000), 0);
    assert_eq!(found.len(), 1);
    for (level, hz) in found[0].measured.iter().zip([480, 620]) {
        assert_eq!(level.hz, hz);
        assert!((level.level_ddbm0 + 210).abs() < 20, "{found:?}");
    }
}

#[test]
fn fax_and_special_information_tones_are_told_soon() {
    for (tone, ms) in
        [(ProgressTone::FaxCalling, 460), (ProgressTone::FaxAnswer, 560), (ProgressTone::SpecialInfo, 900)]
    {
        assert_eq!(tones(&heard(None, &made("de", &tone, ms), 30)), [tone]);
    }
}

/// A pulse train through a resonance.
fn voice(ms: usize) -> Vec<i16> {
    let mut past = [0.0f64; 2];
    let pulse = |n: usize| if n.is_multiple_of(70 + n / 500 % 9) { 6000.0 } else { 0.0 };
    (0..ms * 8)
        .map(|n| {
            let next = pulse(n) + 1.9 * 0.85 * past[0] - 0.9 * past[1];
            past = [next, past[0]];
            next.clamp(-30_000.0, 30_000.0) as i16
        })
        .collect()
}

#[test]
fn a_voice_after_ringing_is_told_and_so_is_the_silence_after_it() {
    let mut sound = made("de", &ProgressTone::Ringback, 6200);
    sound.extend(voice(1500));
    sound.resize(sound.len() + 12_000, 0);
    sound.extend(voice(500));
    let told = tones(&heard(Some("de"), &sound, 0));
    assert_eq!(told, [ProgressTone::Ringback, ProgressTone::Voice, ProgressTone::Silence, ProgressTone::Voice]);
}

#[test]
fn silence_after_ringing_is_told_when_it_is_longer_than_the_pause() {
    for country in ["de", "us"] {
        let mut sound = made(country, &ProgressTone::Ringback, 8200);
        sound.resize(sound.len() + 8 * 9_000, 0);
        let told = tones(&heard(Some(country), &sound, 0));
        assert_eq!(told, [ProgressTone::Ringback, ProgressTone::Silence], "{country}");
    }
}

#[test]
fn hiss_below_speech_is_nothing_and_silence_is_told_once() {
    let mut state = 1u32;
    let hiss: Vec<i16> = (0..8000 * 20)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 16) as i16) / 1600
        })
        .collect();
    assert_eq!(tones(&heard(None, &hiss, 0)), [ProgressTone::Silence]);
}

#[test]
fn a_voice_is_no_tone() {
    let told = tones(&heard(None, &voice(20_000), 0));
    assert_eq!(told, [ProgressTone::Voice]);
}
