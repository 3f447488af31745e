//! The engine on loopback sockets, in real time, waiting for what must come and for nothing else.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{Bench, Far, HOST, PATIENCE, memory_file, prompt, spec};
use msp_engine::{Stopped, bind_pairs};
use msp_rtp::tone::{Meter, Tone};
use rtp_rs::RtpReader;
use std::fs::File;
use std::io::{Read, Seek};
use std::net::UdpSocket;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use tapi::{End, OperationId};
use tspi::media::{
    Codec, Command, DescriptorId, Direction, Event, Format, Frame, LocalMedia, LocalRtp, RemoteMedia, RemoteRtp,
    StreamId,
};

#[test]
fn a_tone_crosses_a_bridge_with_and_without_transcoding() {
    for other in [Codec::Pcma, Codec::Pcmu] {
        let bench = Bench::with_ports(2);
        let (mut a, b) = (Far::new(Codec::Pcma), Far::new(other.clone()));
        bench.open(0, &Codec::Pcma, &a);
        bench.open(1, &other, &b);
        bench.engine.command(Command::Join { a: StreamId(0), b: StreamId(1) });
        let to = bench.address(0);
        let (stop, stopped) = channel::<()>();
        let sender = std::thread::spawn(move || {
            let mut tone = Tone::new(&[(1004, -13.0)]).unwrap();
            while stopped
                .recv_timeout(Duration::from_millis(20))
                .is_err_and(|e| e == std::sync::mpsc::RecvTimeoutError::Timeout)
            {
                a.send(to, &tone.frame());
            }
        });
        b.hear(1004, -130);
        drop(stop);
        sender.join().unwrap();
        let counters = bench.engine.counters();
        assert_eq!(counters.relayed > 0, other == Codec::Pcma, "{counters:?}");
    }
}

#[test]
fn a_file_is_played_and_a_missing_one_fails() {
    let bench = Bench::with_ports(1);
    let far = Far::new(Codec::Pcmu);
    bench.open(0, &Codec::Pcmu, &far);
    let play = |number: u64| Command::Play {
        operation: OperationId(number),
        stream: StreamId(0),
        descriptor: DescriptorId(number),
        repeat: false,
    };
    bench.engine.command(play(1));
    assert_eq!(bench.ended(), (1, End::Failed, 0));
    bench.engine.give(DescriptorId(2), prompt(850, 600));
    bench.engine.command(play(2));
    far.hear(850, -100);
    assert_eq!(bench.ended(), (2, End::Done, 600));
}

#[test]
fn both_directions_are_recorded_and_the_file_is_complete_when_the_end_is_told() {
    let bench = Bench::with_ports(1);
    let mut far = Far::new(Codec::Pcma);
    bench.open(0, &Codec::Pcma, &far);
    let mut file = memory_file();
    bench.engine.give(DescriptorId(1), file.try_clone().unwrap().into());
    bench.engine.command(Command::Record {
        operation: OperationId(1),
        stream: StreamId(0),
        descriptor: DescriptorId(1),
        max_ms: Some(1500),
    });
    bench.engine.command(Command::Tone {
        operation: OperationId(2),
        stream: StreamId(0),
        hz: vec![600],
        duration_ms: 5_000,
        level_dbm0: -10,
    });
    let mut tone = Tone::new(&[(1400, -20.0)]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let ended = loop {
        assert!(Instant::now() < deadline, "the recording did not end");
        match bench.events.recv_timeout(Duration::from_millis(20)) {
            Ok(Event::Ended { operation, end, millis, .. }) => break (operation.0, end, millis),
            _ => far.send(bench.address(0), &tone.frame()),
        }
    };
    assert_eq!(ended, (1, End::Done, 1500));
    file.rewind().unwrap();
    let mut reader = hound::WavReader::new(&file).unwrap();
    assert_eq!(reader.spec(), spec(2, 8000));
    let samples: Vec<i16> = reader.samples().map(Result::unwrap).collect();
    assert_eq!(samples.len(), 2 * 8 * 1500);
    for (side, hz, level) in [(0, 1400, -200), (1, 600, -100)] {
        let one: Vec<i16> = samples.iter().copied().skip(side).step_by(2).collect();
        let mut meter = Meter::new(&[hz]);
        let frames = one.as_chunks::<160>().0.iter().map(|chunk| Frame(*chunk));
        let best = frames.filter_map(|frame| meter.frame(&frame)).map(|m| m.tones[0].level_ddbm0).max().unwrap();
        assert!((best - level).abs() <= 10, "side {side}: {best}");
    }
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_stream() {
    let bench = Bench::with_ports(1);
    let far = Far::new(Codec::Pcma);
    bench.open(0, &Codec::Pcma, &far);
    let full = File::options().write(true).open("/dev/full").unwrap();
    bench.engine.give(DescriptorId(1), full.into());
    let (operation, stream, descriptor) = (OperationId(1), StreamId(0), DescriptorId(1));
    bench.engine.command(Command::Record { operation, stream, descriptor, max_ms: None });
    let (operation, end, _) = bench.ended();
    assert_eq!((operation, end), (1, End::DiskFull));
    let (operation, duration_ms, level_dbm0) = (OperationId(2), 400, -10);
    bench.engine.command(Command::Tone { operation, stream, hz: vec![500], duration_ms, level_dbm0 });
    far.hear(500, -100);
    assert_eq!(bench.ended(), (2, End::Done, 400));
}

#[test]
fn a_recording_is_readable_before_it_ends() {
    let bench = Bench::with_ports(1);
    let far = Far::new(Codec::Pcma);
    bench.open(0, &Codec::Pcma, &far);
    let file = memory_file();
    bench.engine.give(DescriptorId(1), file.try_clone().unwrap().into());
    let (operation, stream, descriptor) = (OperationId(1), StreamId(0), DescriptorId(1));
    bench.engine.command(Command::Record { operation, stream, descriptor, max_ms: None });
    let deadline = Instant::now() + PATIENCE;
    let mut seen = 0;
    while seen < 8000 {
        assert!(Instant::now() < deadline, "only {seen} samples can be read");
        std::thread::sleep(Duration::from_millis(50));
        let mut bytes = Vec::new();
        let mut copy = File::open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file))).unwrap();
        copy.read_to_end(&mut bytes).unwrap();
        seen = hound::WavReader::new(bytes.as_slice()).map_or(0, |reader| reader.duration());
    }
}

#[test]
fn a_restart_goes_on_with_the_same_source_and_ends_what_it_cannot_keep() {
    let bench = Bench::with_ports(2);
    let far = Far::new(Codec::Pcma);
    bench.open(0, &Codec::Pcma, &far);
    let tone = |number: u64| Command::Tone {
        operation: OperationId(number),
        stream: StreamId(0),
        hz: vec![700],
        duration_ms: 60_000,
        level_dbm0: -10,
    };
    bench.engine.command(tone(1));
    bench.engine.give(DescriptorId(2), memory_file().into());
    let (operation, stream, descriptor) = (OperationId(2), StreamId(0), DescriptorId(2));
    bench.engine.command(Command::Record { operation, stream, descriptor, max_ms: None });
    far.hear(700, -100);
    let Stopped { state, sockets } = bench.engine.stop();
    far.socket.set_nonblocking(true).unwrap();
    let mut before = None;
    let mut room = [0; 2048];
    while let Ok((length, _)) = far.socket.recv_from(&mut room) {
        let packet = RtpReader::new(&room[..length]).unwrap();
        before = Some((packet.ssrc(), u16::from(packet.sequence_number()), packet.timestamp()));
    }
    far.socket.set_nonblocking(false).unwrap();
    let again = Bench::new(sockets, Some(state));
    assert_eq!(again.ports, bench.ports);
    let (operation, end, _) = again.ended();
    assert_eq!((operation, end), (2, End::Restarted));
    let after = far.receive();
    if let Some((ssrc, sequence, timestamp)) = before {
        assert_eq!((after.0, after.1), (ssrc, sequence.wrapping_add(1)));
        assert!((1..80_000).contains(&after.2.wrapping_sub(timestamp)));
    }
    far.hear(700, -100);
    again.engine.command(Command::Close { stream: StreamId(0) });
    let (operation, end, _) = again.ended();
    assert_eq!((operation, end), (1, End::CallEnded));
}

#[test]
fn frames_of_a_provider_are_bridged_with_rtp() {
    let bench = Bench::with_ports(1);
    let mut far = Far::new(Codec::Pcma);
    bench.open(0, &Codec::Pcma, &far);
    let (notify, notified) = channel();
    let mut port = bench.engine.frames(
        StreamId(9),
        Box::new(move || {
            let _ = notify.send(());
        }),
    );
    bench.engine.command(Command::Open { local: LocalMedia::Frames { stream: StreamId(9) } });
    let remote = RemoteMedia::Frames { direction: Direction::SendRecv };
    bench.engine.command(Command::Connect { stream: StreamId(9), remote });
    bench.engine.command(Command::Join { a: StreamId(0), b: StreamId(9) });
    let (mut up, mut down) = (Tone::new(&[(440, -12.0)]).unwrap(), Tone::new(&[(2000, -12.0)]).unwrap());
    let (mut meter, mut heard) = (Meter::new(&[2000]), false);
    let deadline = Instant::now() + PATIENCE;
    // One frame each way for each that is asked for: the engine's clock is the provider's.
    while !heard {
        assert!(Instant::now() < deadline, "the provider heard nothing");
        notified.recv_timeout(PATIENCE).unwrap();
        let _ = port.heard.push(up.frame());
        far.send(bench.address(0), &down.frame());
        while let Ok(frame) = port.to_send.pop() {
            heard |= meter.frame(&frame).is_some_and(|m| (m.tones[0].level_ddbm0 + 120).abs() <= 5);
        }
    }
    let (stop, stopped) = channel::<()>();
    let provider = std::thread::spawn(move || {
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) && notified.recv_timeout(PATIENCE).is_ok()
        {
            let _ = port.heard.push(up.frame());
            while port.to_send.pop().is_ok() {}
        }
    });
    far.hear(440, -120);
    drop(stop);
    provider.join().unwrap();
}

#[test]
fn packets_that_come_at_once_are_relayed_in_their_order() {
    let bench = Bench::with_ports(2);
    let (mut one, two) = (Far::new(Codec::Pcma), Far::new(Codec::Pcma));
    bench.open(0, &Codec::Pcma, &one);
    bench.open(1, &Codec::Pcma, &two);
    bench.engine.command(Command::Join { a: StreamId(0), b: StreamId(1) });
    // Until the commands are obeyed.
    let tone = |n: i16| Frame([500 + 8 * n; 160]);
    loop {
        one.send(bench.address(0), &tone(0));
        two.socket.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
        if two.socket.recv(&mut [0; 500]).is_ok() && bench.engine.counters().relayed > 0 {
            break;
        }
    }
    two.socket.set_read_timeout(Some(common::PATIENCE)).unwrap();
    (1..=60).for_each(|n| one.send(bench.address(0), &tone(n)));
    let numbers: Vec<u16> = (1..=60).map(|_| two.receive().1).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)), "{numbers:?}");
}

#[test]
fn datagrams_for_no_stream_are_drained_and_counted() {
    let bench = Bench::with_ports(1);
    let mut far = Far::new(Codec::Pcma);
    far.send(bench.address(0), &Frame::SILENCE);
    let deadline = Instant::now() + PATIENCE;
    while bench.engine.counters().unclaimed != 1 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(bench.engine.counters().received, 1);
}

#[test]
fn reports_leave_from_their_own_port_and_come_back_with_a_round_trip() {
    let sockets = bind_pairs(HOST, std::iter::once(0)).unwrap();
    let bench = Bench::new(sockets, None);
    assert_eq!((bench.ports[0] % 2, bench.ports[1]), (0, bench.ports[0] + 1));
    let (mut far, control) = (Far::new(Codec::Pcma), UdpSocket::bind((HOST, 0)).unwrap());
    control.set_read_timeout(Some(PATIENCE)).unwrap();
    let stream = StreamId(0);
    let rtcp_port = Some(bench.ports[1]);
    let local = LocalRtp { stream, address: HOST, port: bench.ports[0], rtcp_port, formats: Vec::new() };
    bench.engine.command(Command::Open { local: LocalMedia::Rtp(local) });
    let format = Format { codec: Codec::Pcma, payload_type: 8 };
    let remote = RemoteRtp {
        address: far.socket.local_addr().unwrap(),
        send: format.clone(),
        receive: vec![format],
        events: None,
        direction: Direction::SendRecv,
        ptime_ms: 20,
        rtcp: tspi::Rtcp::Apart(control.local_addr().unwrap()),
        srtp: None,
        comfort_noise: None,
    };
    bench.engine.command(Command::Connect { stream, remote: RemoteMedia::Rtp(remote) });
    far.send(bench.address(0), &Frame::SILENCE);
    let mut room = [0; 2048];
    let (length, from) = control.recv_from(&mut room).expect("a report comes");
    assert_eq!(from.port(), bench.ports[1]);
    assert_eq!(room[1], 200, "a sender report");
    assert!(length >= 28 + 12);
    // A receiver report about its SSRC, with the middle of its NTP time.
    let mut report = vec![0x81, 201, 0, 7, 0, 0, 0, 99];
    report.extend(&room[4..8]);
    report.extend([0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 8]);
    report.extend(&room[10..14]);
    report.extend([0; 4]);
    control.send_to(&report, from).unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let event = bench.events.recv_timeout(deadline - Instant::now()).expect("statistics come");
        if let Event::Statistics { statistics, .. } = event
            && statistics.far_lost == Some(5)
        {
            assert!(statistics.round_trip_us.is_some_and(|us| us < 5_000_000), "{statistics:?}");
            break;
        }
    }
    bench.engine.command(Command::Close { stream });
    loop {
        let (length, _) = control.recv_from(&mut room).expect("a good-bye comes");
        if room[..length].windows(2).any(|pair| pair == [0x81, 203]) {
            break;
        }
    }
}

#[test]
fn an_application_talks_with_the_far_end_until_its_socket_is_closed() {
    use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
    let bench = Bench::with_ports(1);
    let mut far = Far::new(Codec::Pcma);
    bench.open(0, &Codec::Pcma, &far);
    let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
    let (ours, theirs) = pair.unwrap();
    bench.engine.give(DescriptorId(1), ours);
    let (operation, stream, descriptor) = (OperationId(1), StreamId(0), DescriptorId(1));
    bench.engine.command(Command::Application { operation, stream, descriptor, rate: 16_000 });
    let (mut to_far, mut from_far) = (Tone::new(&[(1000, -10.0)]).unwrap(), Tone::new(&[(500, -10.0)]).unwrap());
    let (mut up, mut down) = (msp_rtp::resample::Up::default(), msp_rtp::resample::Down::default());
    let (mut heard_here, mut heard_there) = (Meter::new(&[500]), Meter::new(&[1000]));
    let (mut here, mut there): (i32, i32) = (-990, -990);
    let deadline = Instant::now() + PATIENCE;
    while (here + 100).abs() > 10 || (there + 100).abs() > 10 {
        assert!(Instant::now() < deadline, "the application hears {here}, the far end {there}");
        // The engine's clock: a message from it is answered with one.
        let mut room = [0u8; 1000];
        let (_, length) = recv(&theirs, &mut room[..], RecvFlags::empty()).unwrap();
        assert_eq!(length, 640);
        let wide: Vec<i16> =
            room[..length].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        let mut narrow = Frame::SILENCE;
        down.process(&wide, &mut narrow.0);
        here = heard_here.frame(&narrow).map_or(here, |measured| measured.tones[0].level_ddbm0);
        let mut wide = [0i16; 320];
        up.process(&to_far.frame().0, &mut wide);
        let octets: Vec<u8> = wide.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        send(&theirs, &octets, SendFlags::empty()).unwrap();
        far.send(bench.address(0), &from_far.frame());
        let (.., frame) = far.receive();
        there = heard_there.frame(&frame).map_or(there, |measured| measured.tones[0].level_ddbm0);
    }
    drop(theirs);
    let (number, end, millis) = bench.ended();
    assert_eq!((number, end), (1, End::Done));
    assert!(millis >= 100, "{millis}");
}
