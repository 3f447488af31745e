//! Wide band: what is above 4 kHz arrives where a codec carries it, and nowhere else, not as another tone either.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{Far, Node, address, remote};
use msp_rtp::codec::{Audio, Decoder, Encoder};
use std::f64::consts::PI;
use std::sync::Arc;
use tapi::OperationId;
use tspi::media::{
    AudioFrame, Codec, Command, DescriptorId, Event, Input, MediaProvider, MixerId, Output, Rate, StreamId,
};

const SECONDS: usize = 2;

fn wave(hz: &[f64], rate: Rate, from: usize, count: usize) -> Vec<i16> {
    let turn = |hz: f64, n: usize| 2.0 * PI * hz * n as f64 / f64::from(rate.hz());
    (from..from + count).map(|n| hz.iter().map(|hz| 3000.0 * turn(*hz, n).sin()).sum::<f64>() as i16).collect()
}

/// Level of a frequency beside the waves above, in decibels, after the first second.
fn level(samples: &[i16], hz: f64, rate: Rate) -> f64 {
    let samples = &samples[samples.len() / 2..];
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let turn = 2.0 * PI * hz * n as f64 / f64::from(rate.hz());
        re += f64::from(*sample) * turn.cos();
        im += f64::from(*sample) * turn.sin();
    }
    20.0 * (2.0 * re.hypot(im) / samples.len() as f64 / 3000.0).max(1e-9).log10()
}

/// 1 kHz and 6 kHz are there.
fn assert_wide(samples: &[i16]) {
    assert!(samples.len() >= 16_000 * (SECONDS - 1), "{} samples", samples.len());
    for hz in [1000.0, 6000.0] {
        let level = level(samples, hz, Rate::Wide);
        assert!(level.abs() < 1.5, "{hz} Hz: {level} dB");
    }
}

/// 1 kHz is there, 6 kHz is not, nor what it would fold to.
fn assert_narrow(samples: &[i16]) {
    assert!(samples.len() >= 8000 * (SECONDS - 1), "{} samples", samples.len());
    let (kept, folded) = (level(samples, 1000.0, Rate::Narrow), level(samples, 2000.0, Rate::Narrow));
    assert!(kept.abs() < 1.5 && folded < -40.0, "1 kHz {kept} dB, 2 kHz {folded} dB");
}

/// What a far end of this codec got.
fn heard(node: &Node, number: u64, codec: &Codec) -> Vec<i16> {
    let mut decoder = Decoder::new(Audio::of(codec).unwrap());
    let mut all = Vec::new();
    for sent in node.sent.iter().filter(|sent| sent.stream == StreamId(number)) {
        let mut room = [0; 1920];
        let count = decoder.decode(sent.rtp().payload(), &mut room).unwrap();
        all.extend_from_slice(&room[..count]);
    }
    all
}

/// A far end that says something.
struct Speaker {
    far: Far,
    encoder: Encoder,
    rate: Rate,
    at: usize,
}

impl Speaker {
    fn new(codec: &Codec) -> Speaker {
        let audio = Audio::of(codec).unwrap();
        Speaker { far: Far::new(codec), encoder: Encoder::new(audio), rate: audio.rate(), at: 0 }
    }

    fn packet(&mut self, hz: &[f64]) -> Vec<u8> {
        let samples = wave(hz, self.rate, self.at, self.rate.frame_samples());
        self.at += samples.len();
        let mut octets = [0; 400];
        let length = self.encoder.encode(&samples, &mut octets).unwrap();
        self.far.packet(&octets[..length])
    }
}

fn call(codecs: &[Codec]) -> Node {
    let mut node = Node::new(1);
    for (n, codec) in (1..).zip(codecs) {
        node.open(n, remote(10 + n, codec));
    }
    node
}

/// Wide far ends say 1 kHz and 6 kHz, narrow ones 1 kHz; one of them, or all.
fn speak(node: &mut Node, codecs: &[Codec], who: impl Fn(usize) -> bool) {
    let mut speakers: Vec<Speaker> = codecs.iter().map(Speaker::new).collect();
    for _ in 0..50 * SECONDS {
        for (n, speaker) in speakers.iter_mut().enumerate().filter(|(n, _)| who(*n)) {
            let bytes = speaker.packet(if speaker.rate == Rate::Wide { &[1000.0, 6000.0] } else { &[1000.0] });
            node.packet(n as u64 + 1, address(n as u64 + 11), &bytes);
        }
        node.run(20);
    }
}

#[test]
fn what_is_played_keeps_its_upper_band_in_a_wide_call_and_does_not_fold_in_a_narrow_one() {
    for codec in [Codec::G722, Codec::Pcmu, Codec::Pcma] {
        let mut node = call(std::slice::from_ref(&codec));
        let operation = OperationId(1);
        node.command(Command::Play { operation, stream: StreamId(1), descriptor: DescriptorId(1), repeat: false });
        let wanted = format!("rate: {:?}", Audio::of(&codec).unwrap().rate());
        assert!(node.log.iter().any(|line| line.contains("Load ") && line.contains(&wanted)), "{:?}", node.log);
        // Whoever reads it may not know.
        let samples: Arc<[i16]> = wave(&[1000.0, 6000.0], Rate::Wide, 0, 16_000 * SECONDS).into();
        node.feed(Input::Loaded { operation, samples, rate: Rate::Wide });
        node.run(1000 * SECONDS as u64);
        match codec {
            Codec::G722 => assert_wide(&heard(&node, 1, &codec)),
            _ => assert_narrow(&heard(&node, 1, &codec)),
        }
    }
}

#[test]
fn a_bridge_from_wide_to_narrow_folds_nothing_and_back_it_is_heard() {
    let codecs = [Codec::G722, Codec::Pcma];
    let mut node = call(&codecs);
    node.join(1, 2);
    speak(&mut node, &codecs, |_| true);
    assert_narrow(&heard(&node, 2, &Codec::Pcma));
    let back = heard(&node, 1, &Codec::G722);
    assert!(level(&back, 1000.0, Rate::Wide).abs() < 1.5);
    assert!(level(&back, 7000.0, Rate::Wide) < -35.0, "an image");
}

#[cfg(feature = "opus")]
#[test]
fn a_bridge_of_two_wide_codecs_is_wide() {
    let codecs = [Codec::G722, Codec::Opus];
    let mut node = call(&codecs);
    node.join(1, 2);
    speak(&mut node, &codecs, |n| n == 0);
    assert_wide(&heard(&node, 2, &Codec::Opus));
}

#[test]
fn a_mixer_is_as_wide_as_the_widest_in_it() {
    let codecs = [Codec::G722, Codec::G722, Codec::Pcmu];
    let mut node = call(&codecs);
    (1..=3).for_each(|n| node.command(Command::Mix { stream: StreamId(n), mixer: MixerId(1) }));
    speak(&mut node, &codecs, |n| n == 0);
    assert_wide(&heard(&node, 2, &Codec::G722));
    assert_narrow(&heard(&node, 3, &Codec::Pcmu));
    let mut node = call(&codecs);
    (1..=3).for_each(|n| node.command(Command::Mix { stream: StreamId(n), mixer: MixerId(1) }));
    speak(&mut node, &codecs, |n| n == 2);
    let narrow = heard(&node, 1, &Codec::G722);
    assert!(level(&narrow, 1000.0, Rate::Wide).abs() < 1.5);
}

#[test]
fn a_recording_has_the_rate_of_its_call() {
    for (codec, rate) in [(Codec::G722, Rate::Wide), (Codec::Pcma, Rate::Narrow)] {
        let mut node = call(std::slice::from_ref(&codec));
        let operation = OperationId(1);
        let mut samples = Vec::new();
        let record = Command::Record { operation, stream: StreamId(1), descriptor: DescriptorId(1), max_ms: None };
        node.msp.handle(node.now, Input::Command(record));
        let mut speaker = Speaker::new(&codec);
        for _ in 0..50 * SECONDS {
            let bytes = speaker.packet(&[1000.0, if rate == Rate::Wide { 6000.0 } else { 1000.0 }]);
            node.msp.handle(node.now, Input::Packet { stream: StreamId(1), from: address(11), bytes: &bytes });
            node.now = tapi::Time(node.now.0 + 20_000);
            node.msp.handle(node.now, Input::Timeout);
            while let Some(output) = node.msp.poll_output() {
                match output {
                    Output::RecordingBegins { rate: begun, .. } => assert_eq!(begun, rate),
                    Output::Recorded { octets, .. } => samples.extend(common::samples_of(&octets)),
                    _ => {}
                }
            }
        }
        let left: Vec<i16> = samples.iter().step_by(2).copied().collect();
        match rate {
            Rate::Wide => assert_wide(&left),
            Rate::Narrow => assert!(level(&left, 1000.0, rate) > 3.0 && left.len() > 8000),
        }
        assert!(samples.iter().skip(1).step_by(2).all(|sample| *sample == 0));
    }
}

#[test]
fn an_application_hears_and_speaks_at_its_rate() {
    for rate in [Rate::Narrow, Rate::Wide] {
        let mut node = call(&[Codec::G722]);
        let operation = OperationId(1);
        let audio =
            Command::Application { operation, stream: StreamId(1), descriptor: DescriptorId(1), rate: rate.hz() };
        node.command(audio);
        let (mut speaker, mut heard_by_it) = (Speaker::new(&Codec::G722), Vec::new());
        for n in 0..50 * SECONDS {
            let bytes = speaker.packet(&[1000.0, 6000.0]);
            node.packet(1, address(11), &bytes);
            let hz: &[f64] = if rate == Rate::Wide { &[1000.0, 6000.0] } else { &[1000.0] };
            let said = wave(hz, rate, n * rate.frame_samples(), rate.frame_samples());
            let mut frame = AudioFrame::silence(rate);
            frame.samples_mut().copy_from_slice(&said);
            node.feed(Input::ApplicationFrame { operation, frame: &frame });
            node.now = tapi::Time(node.now.0 + 20_000);
            node.msp.handle(node.now, Input::Timeout);
            while let Some(output) = node.msp.poll_output() {
                match output {
                    Output::ApplicationFrame { frame, .. } => heard_by_it.extend_from_slice(frame.samples()),
                    Output::Packet { stream, to, packet } => {
                        node.sent.push(common::Sent { at: node.now, stream, to, bytes: packet.as_slice().to_vec() });
                    }
                    _ => {}
                }
            }
        }
        let heard_by_them = heard(&node, 1, &Codec::G722);
        match rate {
            Rate::Wide => {
                assert_wide(&heard_by_it);
                assert_wide(&heard_by_them);
            }
            Rate::Narrow => {
                assert_narrow(&heard_by_it);
                assert!(level(&heard_by_them, 1000.0, Rate::Wide).abs() < 1.5);
            }
        }
    }
}

#[test]
fn digits_and_tones_in_wide_audio_are_told() {
    let mut node = call(&[Codec::G722]);
    let stream = StreamId(1);
    node.command(Command::Detect { stream, digits: true, progress: false, country: None });
    node.command(Command::MonitorTones { stream, hz: vec![1336] });
    let mut speaker = Speaker::new(&Codec::G722);
    for n in 0..50 {
        // A five.
        let bytes = speaker.packet(if n >= 20 { &[770.0, 1336.0] } else { &[] });
        node.packet(1, address(11), &bytes);
        node.run(20);
    }
    assert_eq!(node.heard_digits(), "5");
    let Some(Event::Tones { tones, .. }) = node.events.iter().rfind(|event| matches!(event, Event::Tones { .. }))
    else {
        panic!("no tones");
    };
    assert!(tones[0].level_ddbm0 > -200, "{tones:?}");
}
