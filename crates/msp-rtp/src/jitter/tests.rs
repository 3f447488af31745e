use super::*;
use crate::g711::Law;

fn ms(millis: u64) -> Time {
    Time::from_millis(millis)
}

/// Samples that tell their place: a code of A-law for each timestamp, never the zero code twice in a row.
fn payload(timestamp: u32, samples: u32) -> Vec<i16> {
    (0..samples).map(|n| Law::A.decode(((timestamp + n) % 251) as u8)).collect()
}

fn narrow(timestamp: u32) -> Frame {
    let mut frame = Frame::SILENCE;
    for (sample, own) in frame.0.iter_mut().zip(payload(timestamp, FRAME)) {
        *sample = own;
    }
    frame
}

fn expected(timestamp: u32) -> AudioFrame {
    narrow(timestamp).into()
}

#[test]
fn any_packet_time_comes_out_in_frames_after_40_ms() {
    for packet_ms in [10, 20, 30, 40, 60u32] {
        let samples = packet_ms * 8;
        let mut jitter = Jitter::default();
        let mut played = 0;
        // After two calm seconds the delay falls.
        for now in (0..2000u32).step_by(10) {
            if now % packet_ms == 0 {
                jitter.packet(ms(now.into()), now * 8, &payload(now * 8, samples));
            }
            // The last packet that is 60 ms long began 60 ms before it is whole.
            if now % 20 == 0
                && let Some(frame) = jitter.pop(ms(now.into()))
            {
                if played == 0 {
                    assert_eq!(now, 40, "{packet_ms} ms");
                }
                let counts = jitter.counts();
                if counts.concealed == 0 {
                    assert_eq!(frame, expected(played * FRAME), "{packet_ms} ms, frame {played}");
                }
                played += 1;
            }
        }
        let counts = jitter.counts();
        assert!(counts.concealed <= 1 && counts.late == 0, "{packet_ms} ms: {counts:?}");
    }
}

#[test]
fn where_the_network_keeps_time_the_delay_falls_to_its_least_without_a_click() {
    // A steady tone, so that nothing quiet is there to be left out.
    let tone = |n: u32| (8000.0 * (2.0 * std::f64::consts::PI * f64::from(n % 8000) * 440.0 / 8000.0).sin()) as i16;
    for phase in [1, 10, 19] {
        for (bounds, most) in [(Bounds::default(), 40), (Bounds::from_millis(40, 200), 60)] {
            let mut jitter = Jitter::new(bounds, Rate::Narrow);
            let (mut heard, mut delay) = (Vec::new(), 0);
            for n in 0..500u32 {
                let samples: Vec<i16> = (0..FRAME).map(|at| tone(n * FRAME + at)).collect();
                jitter.packet(ms(u64::from(n) * 20), n * FRAME, &samples);
                if let Some(frame) = jitter.pop(ms(u64::from(n) * 20 + phase)) {
                    heard.extend(frame.samples().to_vec());
                }
                // The first sample of the packet that came now is played with the next tick, or one after it.
                delay = phase + u64::from(jitter.level() / FRAME) * 20;
            }
            assert!(delay <= most, "after {phase} ms: {delay} ms");
            assert_eq!(jitter.counts(), Playout::default());
            let step = heard.windows(2).map(|pair| (pair[1] - pair[0]).abs()).max().unwrap();
            assert!(step <= 2800, "after {phase} ms: a step of {step}");
        }
    }
}

#[test]
fn a_modem_that_keeps_time_is_heard_after_20_ms() {
    let mut jitter = Jitter::new(Bounds::default().at_hand(), Rate::Narrow);
    for now in (0..3_000).step_by(20) {
        jitter.frame(ms(now), &narrow(0));
        // We look some milliseconds beside its clock.
        let heard = jitter.pop(ms(now + 7));
        assert_eq!(heard.is_some(), now >= 20, "at {now} ms");
    }
    assert_eq!(jitter.counts(), Playout::default());
}

#[test]
fn reordered_and_repeated_packets_are_played_in_order() {
    let mut jitter = Jitter::default();
    for (now, n) in [(0, 0), (20, 2), (30, 1), (31, 1), (60, 4), (70, 3), (100, 5)] {
        jitter.packet(ms(now), n * FRAME, &payload(n * FRAME, FRAME));
        if now == 30 {
            assert_eq!(jitter.pop(ms(40)), Some(expected(0)));
        }
    }
    for n in 1..=5 {
        assert_eq!(jitter.pop(ms(40 + 20 * u64::from(n))), Some(expected(n * FRAME)));
    }
    assert_eq!(jitter.counts(), Playout::default());
}

#[test]
fn a_lost_packet_is_covered_by_what_was_heard_last_and_fades() {
    let mut jitter = Jitter::default();
    for n in [0, 1, 2, 6, 7, 8] {
        jitter.packet(ms(0), n * FRAME, &[Law::A.decode(Law::A.encode(8000)); 160]);
    }
    let peaks: Vec<i16> = (0..8).map(|n| jitter.pop(ms(40 + 20 * n)).unwrap().samples()[159]).collect();
    let full = Law::A.decode(Law::A.encode(8000));
    assert_eq!(peaks[..3], [full; 3]);
    assert!(full > peaks[3] && peaks[3] > peaks[4] && peaks[4] > peaks[5] && peaks[5] >= 0, "{peaks:?}");
    assert_eq!(peaks[6..], [full; 2]);
    assert_eq!(jitter.counts().concealed, 3);
}

#[test]
fn the_delay_grows_with_the_need_and_falls_back() {
    let mut jitter = Jitter::default();
    // Every tenth packet comes 90 ms late.
    let mut pending: Vec<(u64, u32)> = Vec::new();
    let mut run = |from: u32, to: u32, late: u64| {
        let before = jitter.counts();
        for n in from..to {
            pending.push((u64::from(n) * 20 + if n % 10 == 5 { late } else { 0 }, n));
            let now = u64::from(n) * 20;
            pending.retain(|(at, n)| {
                if *at <= now {
                    jitter.packet(ms(*at), n * FRAME, &payload(n * FRAME, FRAME));
                }
                *at > now
            });
            jitter.pop(ms(now));
        }
        (jitter.counts().late - before.late, jitter.counts().concealed - before.concealed, jitter.level())
    };
    run(0, 500, 90);
    let (late, concealed, level) = run(500, 1000, 90);
    assert!(late <= 2 && concealed <= 5, "late {late}, concealed {concealed}");
    assert!(level <= TARGET_MAX, "{level}");
    run(1000, 8000, 0);
    let (late, concealed, level) = run(8000, 8500, 0);
    assert_eq!((late, concealed), (0, 0));
    assert!(level <= 4 * FRAME, "{level}");
}

#[test]
fn a_source_whose_clock_is_off_neither_piles_up_nor_starves() {
    for period_us in [19_900u64, 20_100] {
        let mut jitter = Jitter::default();
        let (mut next, mut n, mut made_up_late) = (0u64, 0u32, 0);
        for tick in 0..15_000u64 {
            let now = tick * 20_000;
            while next <= now {
                jitter.packet(Time(next), n * FRAME, &payload(n * FRAME, FRAME));
                n += 1;
                next += period_us;
            }
            jitter.pop(Time(now));
            assert!(jitter.level() <= TARGET_MAX + 3 * FRAME);
            made_up_late = jitter.counts().concealed + jitter.counts().late;
        }
        // One frame in two hundred is too many or too few.
        assert!(made_up_late <= 200, "{period_us}: {made_up_late}");
    }
}

#[test]
fn a_source_that_stops_ends_and_begins_anew_wherever_its_timestamps_are() {
    let mut jitter = Jitter::default();
    jitter.packet(ms(0), u32::MAX - 80, &payload(0, FRAME));
    let frames = (0..40).filter(|n| jitter.pop(ms(40 + 20 * n)).is_some()).count();
    assert!((1..=12).contains(&frames), "{frames}");
    assert!(jitter.is_idle());
    for start in [9_000_000, 5, 3_000_000_000u32] {
        jitter.packet(ms(5000), start, &payload(0, FRAME));
        assert_eq!(jitter.pop(ms(5020)), None);
        assert_eq!(jitter.pop(ms(5040)), Some(expected(0)), "{start}");
    }
}

#[test]
fn frames_without_timestamps_are_evened_out() {
    let mut jitter = Jitter::default();
    let mut popped = 0;
    for n in 0..500u64 {
        // In pairs, every 40 ms.
        if n % 2 == 0 {
            jitter.frame(ms(n * 20), &narrow(0));
            jitter.frame(ms(n * 20), &narrow(0));
        }
        popped += usize::from(jitter.pop(ms(n * 20)) == Some(expected(0)));
    }
    assert_eq!(popped, 498);
    for _ in 0..100 {
        jitter.frame(ms(10_000), &narrow(0));
    }
    assert!(jitter.level() <= TARGET_MAX + FRAME);
}

#[test]
fn a_snapshot_goes_on_where_it_was_taken() {
    let mut jitter = Jitter::default();
    for n in 0..50u32 {
        jitter.packet(ms(u64::from(n) * 20), n * FRAME + 17, &payload(n * 7, FRAME));
        let json = serde_json::to_string(&jitter).unwrap();
        let mut copy: Jitter = serde_json::from_str(&json).unwrap();
        assert_eq!(copy.pop(ms(u64::from(n) * 20)), jitter.pop(ms(u64::from(n) * 20)));
        jitter = serde_json::from_str(&serde_json::to_string(&jitter).unwrap()).unwrap();
    }
}

/// Packets each 20 ms, of which those of the given times come together at the end of each, while nothing is played either:
/// the network or we stood still. Gives the delay of what is played a while after the last.
fn stalls(target: impl Fn(&Jitter) -> u32, stalls: &[(u64, u64)], playing: bool, seconds: u64) -> (u32, u64) {
    let mut jitter = Jitter::default();
    let mut waiting = Vec::new();
    for n in 0..seconds as u32 * 50 {
        let now = u64::from(n) * 20;
        waiting.push(n);
        let still = stalls.iter().any(|(from, to)| (*from..*to).contains(&now));
        if !still {
            for n in waiting.drain(..) {
                jitter.packet(ms(now), n * FRAME, &payload(n * FRAME, FRAME));
            }
        }
        if playing || !still {
            jitter.pop(ms(now));
        }
    }
    (target(&jitter), jitter.counts().concealed)
}

#[test]
fn what_a_stall_added_to_the_delay_is_gone_some_seconds_after() {
    // Three stalls of 180 ms of the network.
    let (level, _) = stalls(Jitter::level, &[(1000, 1180), (2000, 2180), (3000, 3180)], true, 4);
    assert!(level >= 8 * FRAME, "{level}: nothing to recover from");
    for seconds in [12, 60] {
        let (level, _) = stalls(Jitter::level, &[(1000, 1180), (2000, 2180), (3000, 3180)], true, seconds);
        assert!(level <= 3 * FRAME, "{seconds} s: {level}");
    }
    // We stood still: all that came meanwhile comes at once.
    let (level, _) = stalls(Jitter::level, &[(1000, 1180), (2000, 2180)], false, 8);
    assert!(level <= 3 * FRAME, "{level}");
}

#[test]
fn stalls_that_come_again_and_again_are_not_forgotten_between() {
    let every_six_seconds: Vec<(u64, u64)> = (1..100).map(|n| (n * 6000, n * 6000 + 120)).collect();
    let (_, concealed) = stalls(Jitter::level, &every_six_seconds, true, 300);
    let (_, more) = stalls(Jitter::level, &every_six_seconds, true, 600);
    // Without a memory each of the fifty would be heard: 300 frames.
    assert!(more - concealed <= 40, "{concealed}, {more}");
}

#[test]
fn wide_audio_is_played_and_concealed_at_its_rate() {
    let mut jitter = Jitter::new(Bounds::default(), Rate::Wide);
    let sample = |n: u32| (8000.0 * (2.0 * std::f64::consts::PI * f64::from(n % 80) / 80.0).sin()) as i16;
    let mut heard = Vec::new();
    for n in 0..60u32 {
        let samples: Vec<i16> = (0..320).map(|at| sample(n * 320 + at)).collect();
        if n != 40 {
            jitter.packet(ms(u64::from(n) * 20), n * FRAME + 77, &samples);
        }
        heard.extend(jitter.pop(ms(u64::from(n) * 20)).iter().flat_map(|frame| frame.samples().to_vec()));
    }
    assert_eq!((heard.len(), jitter.counts().concealed), (58 * 320, 1));
    // A tone of 200 Hz goes on through the loss, fading from its second half on.
    let error = |range: std::ops::Range<u32>| range.map(|n| (heard[n as usize] - sample(n)).abs()).max().unwrap();
    assert_eq!(error(0..40 * 320), 0);
    assert!(error(40 * 320..40 * 320 + 160) < 500, "{}", error(40 * 320..40 * 320 + 160));
    assert_eq!(error(42 * 320..58 * 320), 0);
}
