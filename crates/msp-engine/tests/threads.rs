//! Streams on several media threads, mixers, and recordings of a process that is killed; on loopback, in real time.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{Bench, Far, PATIENCE, memory_file, prompt};
use msp_engine::Stopped;
use msp_rtp::tone::{Meter, Tone};
use std::io::Read;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::process::{Command as Process, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tapi::{End, OperationId};
use tspi::media::{Codec, Command, DescriptorId, Event, Frame, LocalMedia, MixerId, StreamId};

/// Far ends that each send a tone of their own every 20 ms, while `hear` is awaited.
fn talking(bench: &Bench, far: &[(Far, u32)], until: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    let addresses: Vec<SocketAddr> = (0..far.len()).map(|number| bench.address(number)).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut tones: Vec<Tone> = far.iter().map(|(_, hz)| Tone::new(&[(*hz, -20.0)]).unwrap()).collect();
            let mut sent = 0u16;
            while !stop.load(Ordering::Relaxed) {
                for (((far, _), tone), to) in far.iter().zip(&mut tones).zip(&addresses) {
                    far.send_as(sent, *to, &tone.frame());
                }
                sent += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        // Also where it panics.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _stop = Stop(&stop);
        until();
    });
}

/// Receives until just these of the tones have -20 dBm0.
fn hears(far: &Far, tones: &[(u32, bool)]) {
    let hz: Vec<u32> = tones.iter().map(|(hz, _)| *hz).collect();
    let (mut meter, deadline, mut last) = (Meter::new(&hz), Instant::now() + PATIENCE, None);
    while Instant::now() < deadline {
        let Some(measured) = meter.frame(&far.receive().3) else { continue };
        let fits =
            |(level, (_, wanted)): (i32, &(u32, bool))| if *wanted { (level + 200).abs() <= 8 } else { level < -450 };
        if measured.tones.iter().map(|tone| tone.level_ddbm0).zip(tones).all(fits) {
            return;
        }
        last = Some(measured);
    }
    panic!("{tones:?} wanted, but {last:?}");
}

#[test]
fn streams_of_two_threads_are_mixed_joined_and_mixed_again() {
    let bench = Bench::with_ports(4);
    let far: Vec<(Far, u32)> = [500, 900, 1300, 2000].map(|hz| (Far::new(Codec::Pcma), hz)).into();
    for (number, (far, _)) in far.iter().enumerate() {
        bench.open(number, &Codec::Pcma, far);
    }
    // The mixer begins on the thread of the higher number, and all come to the other.
    for number in [1, 3, 0, 2] {
        bench.engine.command(Command::Mix { stream: StreamId(number), mixer: MixerId(77) });
    }
    talking(&bench, &far, || {
        for (own, (one, _)) in far.iter().enumerate() {
            let tones: Vec<(u32, bool)> = far.iter().enumerate().map(|(n, (_, hz))| (*hz, n != own)).collect();
            hears(one, &tones);
        }
        for stream in 0..4 {
            bench.engine.command(Command::Unmix { stream: StreamId(stream) });
        }
        bench.engine.command(Command::Join { a: StreamId(0), b: StreamId(3) });
        hears(&far[0].0, &[(500, false), (900, false), (2000, true)]);
        hears(&far[3].0, &[(500, true), (900, false), (2000, false)]);
    });
    let counters = bench.engine.counters();
    assert!(counters.relayed > 0 && counters.lost_frames == 0, "{counters:?}");
}

#[test]
fn what_goes_on_in_a_stream_goes_with_it_to_another_thread() {
    let bench = Bench::with_ports(2);
    let far: Vec<(Far, u32)> = [500, 900].map(|hz| (Far::new(Codec::Pcma), hz)).into();
    bench.open(0, &Codec::Pcma, &far[0].0);
    bench.open(1, &Codec::Pcma, &far[1].0);
    let (mut file, stream) = (memory_file(), StreamId(1));
    bench.engine.give(DescriptorId(1), file.try_clone().unwrap().into());
    bench.engine.command(Command::Record {
        operation: OperationId(1),
        stream,
        descriptor: DescriptorId(1),
        max_ms: Some(2000),
    });
    bench.engine.give(DescriptorId(2), prompt(1700, 60_000));
    let (operation, descriptor) = (OperationId(2), DescriptorId(2));
    bench.engine.command(Command::Play { operation, stream, descriptor, repeat: false });
    talking(&bench, &far, || {
        far[1].0.hear(1700, -100);
        bench.engine.command(Command::Join { a: StreamId(0), b: stream });
        hears(&far[0].0, &[(900, true), (500, false)]);
        // Still its playback, in place of the other.
        far[1].0.hear(1700, -100);
        assert_eq!(bench.ended(), (1, End::Done, 2000));
        bench.engine.command(Command::Stop { operation: OperationId(2) });
        assert_eq!(bench.ended().1, End::Cancelled);
        hears(&far[1].0, &[(500, true), (900, false)]);
    });
    std::io::Seek::rewind(&mut file).unwrap();
    assert_eq!(hound::WavReader::new(file).unwrap().duration(), 16_000);
}

#[test]
fn a_restart_keeps_joins_and_mixers_whatever_threads_they_were_on() {
    let bench = Bench::with_ports(5);
    let far: Vec<(Far, u32)> = [500, 900, 1300, 2000, 2500].map(|hz| (Far::new(Codec::Pcma), hz)).into();
    for (number, (far, _)) in far.iter().enumerate() {
        bench.open(number, &Codec::Pcma, far);
    }
    bench.engine.command(Command::Join { a: StreamId(0), b: StreamId(1) });
    for stream in 2..5 {
        bench.engine.command(Command::Mix { stream: StreamId(stream), mixer: MixerId(5) });
    }
    let Stopped { state, sockets } = bench.engine.stop();
    let again = Bench::new(sockets, Some(state));
    assert_eq!(again.ports, bench.ports);
    talking(&again, &far, || {
        hears(&far[0].0, &[(900, true), (1300, false)]);
        hears(&far[2].0, &[(2000, true), (2500, true), (500, false)]);
    });
    for stream in 0..5 {
        again.engine.command(Command::Close { stream: StreamId(stream) });
    }
    // A port is somebody else's then.
    let other = Far::new(Codec::Pcma);
    again.open_as(9, 4, &Codec::Pcma, &other);
    let (operation, hz) = (OperationId(3), vec![700]);
    again.engine.command(Command::Tone { operation, stream: StreamId(9), hz, duration_ms: 60_000, level_dbm0: -10 });
    other.hear(700, -100);
}

#[test]
fn a_conference_speaks_to_its_members_and_records_them() {
    let bench = Bench::with_ports(2);
    let far: Vec<(Far, u32)> = [500, 900].map(|hz| (Far::new(Codec::Pcma), hz)).into();
    // As the server opens it: frames without a provider, and no far end.
    let own = StreamId(20);
    bench.engine.command(Command::Open { local: LocalMedia::Frames { stream: own } });
    bench.engine.command(Command::Mix { stream: own, mixer: MixerId(1) });
    for (number, (far, _)) in far.iter().enumerate() {
        bench.open(number, &Codec::Pcma, far);
        bench.engine.command(Command::Mix { stream: StreamId(number as u64), mixer: MixerId(1) });
    }
    talking(&bench, &far, || {
        hears(&far[0].0, &[(900, true), (500, false)]);
        bench.engine.give(DescriptorId(2), prompt(1700, 1000));
        let (operation, descriptor) = (OperationId(2), DescriptorId(2));
        bench.engine.command(Command::Play { operation, stream: own, descriptor, repeat: false });
        far[0].0.hear(1700, -100);
        assert_eq!(bench.ended(), (2, End::Done, 1000));
        let mut file = memory_file();
        bench.engine.give(DescriptorId(1), file.try_clone().unwrap().into());
        let (operation, descriptor) = (OperationId(1), DescriptorId(1));
        bench.engine.command(Command::Record { operation, stream: own, descriptor, max_ms: Some(1000) });
        assert_eq!(bench.ended(), (1, End::Done, 1000));
        std::io::Seek::rewind(&mut file).unwrap();
        let mut reader = hound::WavReader::new(&file).unwrap();
        let left: Vec<i16> = reader.samples::<i16>().map(Result::unwrap).step_by(2).collect();
        let mut meter = Meter::new(&[500, 900]);
        let frames = left.as_chunks::<160>().0.iter().map(|chunk| Frame(*chunk));
        let error = |tone: &tapi::ToneLevel| (tone.level_ddbm0 + 200).abs();
        let worst = |measured: &msp_rtp::tone::Measured| measured.tones.iter().map(error).max();
        let best = frames.filter_map(|frame| meter.frame(&frame)).min_by_key(worst).unwrap();
        assert!(worst(&best) <= Some(8), "{best:?}");
    });
}

#[test]
fn frames_of_a_provider_have_statistics_at_their_end() {
    let bench = Bench::with_ports(0);
    let (notify, notified) = std::sync::mpsc::channel();
    let mut port = bench.engine.frames(
        StreamId(1),
        Box::new(move || {
            let _ = notify.send(());
        }),
    );
    bench.engine.command(Command::Open { local: LocalMedia::Frames { stream: StreamId(1) } });
    let remote = tspi::media::RemoteMedia::Frames { direction: tspi::media::Direction::SendRecv };
    bench.engine.command(Command::Connect { stream: StreamId(1), remote });
    for _ in 0..10 {
        notified.recv_timeout(PATIENCE).unwrap();
        let _ = port.heard.push(Frame::SILENCE);
    }
    notified.recv_timeout(PATIENCE).unwrap();
    bench.engine.command(Command::Close { stream: StreamId(1) });
    let event = bench.events.recv_timeout(PATIENCE).unwrap();
    let Event::Statistics { statistics, .. } = event else { panic!("{event:?}") };
    assert!(statistics.received >= 9 && statistics.sent >= 11, "{statistics:?}");
}

const VICTIM: &str = "MEDIA_ENGINE_RECORDS_INTO";

/// Not a test by itself: the process that the next one kills.
#[test]
fn records_until_it_is_killed() {
    let Ok(path) = std::env::var(VICTIM) else { return };
    let bench = Bench::with_ports(1);
    let far = Far::new(Codec::Pcma);
    bench.open(0, &Codec::Pcma, &far);
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    bench.engine.give(DescriptorId(1), file.into());
    let (operation, stream, descriptor) = (OperationId(1), StreamId(0), DescriptorId(1));
    bench.engine.command(Command::Record { operation, stream, descriptor, max_ms: None });
    let (operation, hz) = (OperationId(2), vec![600]);
    bench.engine.command(Command::Tone { operation, stream, hz, duration_ms: 600_000, level_dbm0: -10 });
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_killed_process_leaves_a_recording_that_can_be_heard() {
    let file = memory_file();
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let mut victim = Process::new(std::env::current_exe().unwrap())
        .args(["--exact", "records_until_it_is_killed"])
        .env(VICTIM, &path)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    // A header and more than two seconds.
    while file.metadata().unwrap().len() < 44 + 2 * 32_000 {
        assert!(Instant::now() < deadline, "{:?}", file.metadata());
        std::thread::sleep(Duration::from_millis(20));
    }
    victim.kill().unwrap();
    victim.wait().unwrap();
    let mut bytes = Vec::new();
    std::fs::File::open(&path).unwrap().read_to_end(&mut bytes).unwrap();
    let mut reader = hound::WavReader::new(bytes.as_slice()).unwrap();
    assert!(reader.duration() >= 16_000, "{}", reader.duration());
    // What is written but not in the header yet is a second at most.
    assert!(bytes.len() as u32 - 44 - reader.duration() * 4 <= 32_000 + 65_536);
    let right: Vec<i16> = reader.samples::<i16>().map(Result::unwrap).skip(1).step_by(2).collect();
    let mut meter = Meter::new(&[600]);
    let frames = right.as_chunks::<160>().0.iter().map(|chunk| Frame(*chunk));
    let last = frames.filter_map(|frame| meter.frame(&frame)).last().unwrap();
    assert!((last.tones[0].level_ddbm0 + 100).abs() <= 5, "{last:?}");
}
