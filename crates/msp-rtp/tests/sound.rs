//! What streams hear of detectors, mixers, applications, progress tones and pauses.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{Far, Node, address, ms, peak, remote};
use msp_rtp::g711::Law;
use msp_rtp::tone::{Meter, Tone};
use std::sync::Arc;
use tapi::{End, OperationId, ProgressTone};
use tspi::media::{Ask, Codec, Command, DescriptorId, Event, Frame, Input, MediaProvider, MixerId, Rate, StreamId};

/// Levels in the last 100 ms of frames, in tenths of dBm0.
fn levels(frames: &[Frame], hz: &[u32]) -> Vec<i32> {
    let mut meter = Meter::new(hz);
    let last = &frames[frames.len() - 5..];
    let measured = last.iter().filter_map(|frame| meter.frame(frame)).next().unwrap();
    measured.tones.iter().map(|tone| tone.level_ddbm0).collect()
}

fn frames_of(node: &Node, number: u64) -> Vec<Frame> {
    node.frames.iter().filter(|(_, stream, _)| *stream == StreamId(number)).map(|(.., frame)| *frame).collect()
}

#[test]
fn each_in_a_mixer_hears_the_others_whatever_their_wires() {
    let mut node = Node::new(1);
    node.open(1, remote(11, &Codec::Pcma));
    node.open_frames(2);
    node.open_frames(3);
    for n in 1..=3 {
        node.command(Command::Mix { stream: StreamId(n), mixer: MixerId(1) });
    }
    let mut far = Far::new(&Codec::Pcma);
    let mut tones: Vec<Tone> = [500, 1000, 2000].iter().map(|hz| Tone::new(&[(*hz, -20.0)]).unwrap()).collect();
    for _ in 0..50 {
        node.packet(1, address(11), &far.packet(&Law::A.encode_frame(&tones[0].frame())));
        for n in [2, 3u64] {
            let frame = tones[n as usize - 1].frame();
            node.feed(Input::Frame { stream: StreamId(n), frame: &frame });
        }
        node.run(20);
    }
    let sent: Vec<Frame> = node
        .sent_by(1)
        .iter()
        .map(|sent| Frame(std::array::from_fn(|n| Law::A.decode(sent.rtp().payload()[n]))))
        .collect();
    for (own, frames) in [(0, sent), (1, frames_of(&node, 2)), (2, frames_of(&node, 3))] {
        for (n, level) in levels(&frames, &[500, 1000, 2000]).into_iter().enumerate() {
            let fits = if n == own { level < -450 } else { (level + 200).abs() <= 8 };
            assert!(fits, "stream {} hears tone {n} at {level}", own + 1);
        }
    }
    node.command(Command::Unmix { stream: StreamId(3) });
    node.run(400);
    assert_eq!(peak(frames_of(&node, 3).last().unwrap()), 0);
}

#[test]
fn digits_in_the_audio_of_a_dongle_are_told_where_they_are_asked_for() {
    let mut node = Node::new(1);
    node.open_frames(1);
    for (asked, heard) in [(false, ""), (true, "42#")] {
        node.command(Command::Detect { stream: StreamId(1), digits: asked, progress: false, country: None });
        for digit in "42#".chars() {
            let mut tone = Tone::of_digit(digit).unwrap();
            for n in 0..10 {
                let frame = if n < 4 { tone.frame() } else { Frame::SILENCE };
                node.feed(Input::Frame { stream: StreamId(1), frame: &frame });
                node.run(20);
            }
        }
        node.run(200);
        assert_eq!(node.heard_digits(), heard);
    }
}

#[test]
fn a_digit_that_comes_as_event_and_as_tone_is_told_once() {
    let mut node = Node::new(1);
    node.open(1, remote(11, &Codec::Pcma));
    node.command(Command::Detect { stream: StreamId(1), digits: true, progress: false, country: None });
    let mut tone = Tone::of_digit('7').unwrap();
    let (mut sequence, mut timestamp) = (1u16, 0u32);
    for press in 0..2 {
        let began = timestamp;
        for n in 0..20u16 {
            if n < 6 {
                let duration = ((n + 1) * 160).to_be_bytes();
                let payload = [7, if n == 5 { 0x8a } else { 10 }, duration[0], duration[1]];
                let event = common::raw(5, sequence, began, common::EVENT_TYPE, n == 0, &payload);
                node.packet(1, address(11), &event);
                sequence += 1;
            }
            let frame = if n < 6 { tone.frame() } else { Frame::SILENCE };
            node.packet(1, address(11), &common::raw(5, sequence, timestamp, 8, false, &Law::A.encode_frame(&frame)));
            (sequence, timestamp) = (sequence + 1, timestamp + 160);
            node.run(20);
        }
        assert_eq!(node.heard_digits().len(), press + 1);
    }
}

#[test]
fn a_busy_tone_that_one_node_makes_is_recognised_by_another() {
    let (mut one, mut other) = (Node::new(1), Node::new(2));
    one.open_frames(1);
    other.open_frames(1);
    let (operation, stream) = (OperationId(1), StreamId(1));
    other.command(Command::Detect { stream, digits: true, progress: true, country: None });
    let country = "de".to_owned();
    one.command(Command::Progress { operation, stream, tone: ProgressTone::Busy, country, duration_ms: Some(5000) });
    for _ in 0..300 {
        one.run(20);
        if let Some(frame) = frames_of(&one, 1).last() {
            other.feed(Input::Frame { stream, frame });
        }
        other.run(20);
    }
    assert_eq!(one.ended(), [(1, End::Done, 5000)]);
    let found: Vec<_> = other.events.iter().filter(|event| matches!(event, Event::Progress { .. })).collect();
    let [Event::Progress { tone, measured, .. }] = found[..] else { panic!("{found:?}") };
    assert_eq!(*tone, ProgressTone::Busy);
    assert!(measured.iter().any(|level| level.hz.abs_diff(425) <= 35 && (level.level_ddbm0 + 100).abs() < 20));
    // Voice is no tone that could be made.
    let (operation, country) = (OperationId(2), String::new());
    one.command(Command::Progress { operation, stream, tone: ProgressTone::Voice, country, duration_ms: None });
    assert_eq!(one.ended()[1], (2, End::Failed, 0));
}

#[test]
fn a_pause_gives_silence_and_records_nothing() {
    let mut node = Node::new(1);
    node.open_frames(1);
    let (play, record, stream, descriptor) = (OperationId(1), OperationId(2), StreamId(1), DescriptorId(1));
    node.command(Command::Play { operation: play, stream, descriptor, repeat: false });
    node.command(Command::Record { operation: record, stream, descriptor: DescriptorId(2), max_ms: None });
    let samples: Arc<[i16]> = vec![1000; 8000].into();
    node.feed(Input::Loaded { operation: play, samples, rate: Rate::Narrow });
    node.run(200);
    let recorded = node.recorded();
    node.command(Command::Pause { operation: play });
    node.run(500);
    assert_eq!(peak(frames_of(&node, 1).last().unwrap()), 0);
    assert_eq!(node.recorded() - recorded, 25);
    node.command(Command::Pause { operation: record });
    node.run(500);
    assert_eq!(node.recorded() - recorded, 25);
    node.command(Command::Resume { operation: play });
    node.run(2000);
    assert_eq!(node.ended(), [(1, End::Done, 1000)]);
    assert_eq!(frames_of(&node, 1).iter().filter(|frame| peak(frame) == 1000).count(), 50);
}

#[test]
fn an_application_hears_and_speaks_at_the_pace_of_the_tick_and_bursts_leave_no_delay() {
    let mut node = Node::new(1);
    node.open_frames(1);
    let (operation, stream) = (OperationId(1), StreamId(1));
    node.command(Command::Application { operation, stream, descriptor: DescriptorId(1), rate: 8000 });
    assert!(node.log.iter().any(|line| line.contains("ApplicationBegins")));
    // Two seconds at once: the newest half second is kept.
    for n in 1..=100 {
        node.feed(Input::ApplicationFrame { operation, frame: &Frame([n; 160]).into() });
    }
    node.run(2000);
    let spoken: Vec<i16> = frames_of(&node, 1).iter().map(|frame| frame.0[0]).filter(|sample| *sample != 0).collect();
    assert_eq!(spoken, (76..=100).collect::<Vec<i16>>());
    let heard = node.log.iter().filter(|line| line.contains("ApplicationFrame")).count();
    assert!((99..=101).contains(&heard), "{heard}");
    node.command(Command::Close { stream });
    assert_eq!(node.ended()[0].1, End::CallEnded);
    assert!(node.log.iter().any(|line| line.contains("ApplicationEnds")));
    // An odd rate is refused.
    node.open_frames(2);
    let command = Command::Application {
        operation: OperationId(2),
        stream: StreamId(2),
        descriptor: DescriptorId(2),
        rate: 44_100,
    };
    node.command(command);
    assert_eq!(node.ended()[1], (2, End::Failed, 0));
}

#[test]
fn g722_is_relayed_to_g722_as_it_is_and_transcoded_elsewhere() {
    let wide = |number| {
        let mut remote = remote(number, &Codec::Pcma);
        remote.send.codec = Codec::G722;
        remote.send.payload_type = 9;
        remote.receive[0] = remote.send.clone();
        remote
    };
    let mut node = Node::new(1);
    node.open(1, wide(11));
    node.open(2, wide(12));
    node.join(1, 2);
    let mut far = Far { payload_type: 9, ..Far::new(&Codec::Pcma) };
    for n in 0..20u8 {
        let payload = [n; 160];
        node.packet(1, address(11), &far.packet(&payload));
        assert_eq!(node.sent_by(2).last().unwrap().rtp().payload(), payload);
        node.run(20);
    }
    assert_eq!(node.msp.counters().relayed, 20);
    node.open(3, remote(13, &Codec::Pcmu));
    node.join(1, 3);
    let mut encoder = msp_rtp::codec::Encoder::new(msp_rtp::codec::Audio::G722);
    let (mut tone, mut up) = (Tone::new(&[(1000, -15.0)]).unwrap(), msp_rtp::resample::Converter::default());
    for _ in 0..60 {
        let mut payload = [0; 160];
        encoder.encode(up.convert(&tone.frame().into(), Rate::Wide).samples(), &mut payload).unwrap();
        node.packet(1, address(11), &far.packet(&payload));
        node.run(20);
    }
    let frames: Vec<Frame> = node
        .sent_by(3)
        .iter()
        .map(|sent| Frame(std::array::from_fn(|n| Law::Mu.decode(sent.rtp().payload()[n]))))
        .collect();
    assert!((levels(&frames, &[1000])[0] + 150).abs() <= 10);
}

#[test]
fn comfort_noise_is_heard_until_audio_comes() {
    let mut node = Node::new(1);
    node.open(1, tspi::media::RemoteRtp { comfort_noise: Some(13), ..remote(11, &Codec::Pcma) });
    node.open_frames(2);
    node.join(1, 2);
    node.packet(1, address(11), &common::raw(5, 1, 1000, 13, false, &[40]));
    node.run(1000);
    let noise = frames_of(&node, 2);
    assert!(noise[5..].iter().all(|frame| (200..2000).contains(&peak(frame))), "{noise:?}");
}

#[test]
fn a_frame_of_a_modem_leaves_with_the_tick_after_the_one_that_found_it() {
    let mut node = Node::new(1);
    node.open_frames(1);
    node.open(2, remote(12, &Codec::Pcma));
    node.join(1, 2);
    for n in 0..50u64 {
        // Whoever drives it wakes a little after the tick.
        node.now = tapi::Time(ms(1000 + 20 * n).0 + 400);
        let frame = if n == 10 { Frame([8000; 160]) } else { Frame::SILENCE };
        node.msp.handle(msp_rtp::last_tick(node.now), Input::Frame { stream: StreamId(1), frame: &frame });
        node.feed(Input::Timeout);
    }
    let loud = |sent: &&&common::Sent| Law::A.decode(sent.rtp().payload()[80]) > 4000;
    let sent = node.sent_by(2);
    let at: Vec<_> = sent.iter().filter(loud).map(|sent| sent.at).collect();
    assert_eq!(at, [tapi::Time(ms(1220).0 + 400)]);
    assert_eq!(node.msp.stats(StreamId(1)).unwrap().concealed, 0);
}

#[test]
fn an_application_is_told_what_was_played_and_drops_what_was_not() {
    let mut node = Node::new(1);
    node.open_frames(1);
    let (operation, stream, descriptor) = (OperationId(1), StreamId(1), DescriptorId(1));
    node.command(Command::Application { operation, stream, descriptor, rate: 8000 });
    let ask = |node: &mut Node, ask: Ask| node.feed(Input::ApplicationAsks { operation, ask });
    let told = |node: &Node| -> Vec<String> {
        let tail = |line: &String| Some(line.split_once("told: ")?.1.trim_end_matches(" }").to_owned());
        node.log.iter().filter_map(tail).collect()
    };
    ask(&mut node, Ask::Limit(4000));
    for n in 1..=100 {
        node.feed(Input::ApplicationFrame { operation, frame: &Frame([100 * n; 160]).into() });
        match n {
            50 => ask(&mut node, Ask::Mark(1)),
            100 => ask(&mut node, Ask::Mark(2)),
            _ => {}
        }
    }
    ask(&mut node, Ask::Depth);
    node.run(900);
    assert_eq!(told(&node), ["Depth(2000)"]);
    node.run(200);
    assert_eq!(told(&node), ["Depth(2000)", "Played(1)"]);
    // It is interrupted.
    ask(&mut node, Ask::Clear);
    ask(&mut node, Ask::Depth);
    assert_eq!(told(&node)[2..], ["Cleared(2)", "Depth(0)"]);
    node.run(100);
    assert_eq!(peak(frames_of(&node, 1).last().unwrap()), 0);
    // A mark with nothing before it, and more marks than are kept.
    (10..80).for_each(|n| ask(&mut node, Ask::Mark(n)));
    node.run(40);
    let told = told(&node);
    assert_eq!(told.iter().filter(|told| told.starts_with("Played")).count(), 1 + 64);
    assert_eq!(told.iter().filter(|told| told.starts_with("Cleared")).count(), 1 + 6);
}
