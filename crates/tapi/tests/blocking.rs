//! The blocking client against a scripted server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod peer;

use peer::{Peer, Server, opened};
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::time::Duration;
use tapi::client::{ClientError, Resumed, blocking::Client};
use tapi::request::{CallMake, CallPlay, ClientOpen, LineList, StateGet};
use tapi::{CallId, ErrorCode, LineSelector, PlaySource, Reply, Request, reply};

const SOON: Option<Duration> = Some(Duration::from_secs(20));

fn open() -> ClientOpen {
    ClientOpen { app: "test".into(), ..ClientOpen::default() }
}

fn make() -> CallMake {
    let line = LineSelector::Name("sip:trunk".into());
    CallMake { line, to: "100".into(), address: Default::default(), block_id: false, comment: None, bearer: None }
}

fn done() -> Reply {
    Reply::Done(reply::Done {})
}

#[test]
fn events_before_a_reply_wait_and_come_in_order() {
    let server = Server::start(|listener| {
        let mut peer = Peer::accept(&listener, 10);
        peer.opens(10);
        let (id, _) = peer.request().unwrap();
        peer.event(0, 12);
        peer.event(12, 13);
        peer.reply(id, Ok(Reply::Made(reply::Made { call: CallId(7) })));
        peer.event(13, 20);
        assert!(peer.request().is_none());
    });
    let mut client = Client::connect(server.path()).unwrap();
    assert_eq!(client.hello().seq, 10);
    client.call(open()).unwrap();
    assert_eq!(client.call(make()).unwrap().call, CallId(7));
    let seqs: Vec<u64> = (0..3).map(|_| client.next_event(SOON).unwrap().unwrap().event.seq).collect();
    assert_eq!(seqs, [12, 13, 20]);
    assert_eq!(client.seen(), 20);
    assert_eq!(client.next_event(Some(Duration::ZERO)).unwrap(), None);
    drop(client);
    server.finish();
}

#[test]
fn a_refusal_and_answers_out_of_order_reach_their_requests() {
    let server = Server::start(|listener| {
        let mut peer = Peer::accept(&listener, 0);
        peer.opens(0);
        let (first, _) = peer.request().unwrap();
        let (second, _) = peer.request().unwrap();
        peer.reply(second, Ok(Reply::Lines(reply::Lines { lines: Vec::new() })));
        peer.reply(first, Err(ErrorCode::CallUnavail.because("line 3 has no call to spare")));
    });
    let mut client = Client::connect(server.path()).unwrap();
    client.call(open()).unwrap();
    let call = client.submit(make()).unwrap();
    let list = client.submit(LineList {}).unwrap();
    let refused = client.reply(call).unwrap_err();
    assert_eq!(refused.refusal(), Some(ErrorCode::CallUnavail));
    assert_eq!(refused.to_string(), "line 3 has no call to spare (CALLUNAVAIL)");
    assert_eq!(client.reply(list).unwrap().lines, Vec::new());
    server.finish();
}

#[test]
fn a_gap_is_told_once_and_a_snapshot_closes_it() {
    let server = Server::start(|listener| {
        let mut peer = Peer::accept(&listener, 0);
        peer.opens(0);
        peer.event(0, 1);
        peer.event(4, 5);
        let (id, _) = peer.request().unwrap();
        let (generation, lines, calls) = (tapi::Generation(5), Vec::new(), Vec::new());
        peer.reply(id, Ok(Reply::Snapshot(reply::Snapshot { generation, seq: 9, lines, calls })));
        peer.event(9, 10);
    });
    let mut client = Client::connect(server.path()).unwrap();
    client.call(open()).unwrap();
    assert_eq!(client.next_event(SOON).unwrap().unwrap().event.seq, 1);
    assert!(matches!(client.next_event(SOON), Err(ClientError::Gap { seen: 1, prev: 4 })));
    assert_eq!(client.next_event(SOON).unwrap().unwrap().event.seq, 5);
    assert_eq!(client.call(StateGet {}).unwrap().seq, 9);
    assert_eq!(client.next_event(SOON).unwrap().unwrap().event.seq, 10);
    server.finish();
}

#[test]
fn a_descriptor_arrives_with_its_line_and_is_the_file() {
    let server = Server::start(|listener| {
        let mut peer = Peer::accept(&listener, 0);
        peer.opens(0);
        let (id, request) = peer.request().unwrap();
        assert!(tapi::wire::names_descriptor(&request));
        assert_eq!(peer.descriptors.len(), 1);
        let mut text = String::new();
        std::fs::File::from(peer.descriptors.remove(0)).read_to_string(&mut text).unwrap();
        assert_eq!(text, "RIFF");
        peer.reply(id, Ok(Reply::Started(reply::Started { operation: tapi::OperationId(3) })));
    });
    let mut client = Client::connect(server.path()).unwrap();
    client.call(open()).unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"RIFF").unwrap();
    drop(writer);
    let play = CallPlay { call: CallId(1), source: PlaySource::Descriptor, repeat: false };
    let started = client.call_with_descriptor(play, reader.into()).unwrap();
    assert_eq!(started.operation, tapi::OperationId(3));
    server.finish();
}

/// A server that takes the session up again and sends what was missed; `since` is what the client asked from.
fn resumed(listener: &UnixListener, since: u64, missed: &[(u64, u64)]) -> Peer {
    let mut peer = Peer::accept(listener, 30);
    let Some((id, Request::ClientResume(resume))) = peer.request() else { panic!("no client.resume") };
    assert_eq!((resume.token.as_str(), resume.since), ("secret", since));
    for (prev, seq) in missed {
        peer.event(*prev, *seq);
    }
    peer.reply(id, Ok(opened(30)));
    peer
}

#[test]
fn a_session_is_taken_up_where_it_stood() {
    let server = Server::start(|listener| {
        let mut peer = Peer::accept(&listener, 10);
        peer.opens(10);
        peer.event(0, 11);
        peer.event(11, 12);
        drop(peer);
        let mut peer = resumed(&listener, 12, &[(12, 14), (14, 15)]);
        peer.event(15, 31);
        assert!(peer.request().is_none());
    });
    let mut client = Client::connect(server.path()).unwrap();
    client.call(open()).unwrap();
    assert_eq!(client.next_event(SOON).unwrap().unwrap().event.seq, 11);
    assert_eq!(client.next_event(SOON).unwrap().unwrap().event.seq, 12);
    let lost = client.next_event(SOON).unwrap_err();
    assert!(lost.is_disconnect(), "{lost}");
    assert_eq!(client.resume_within(Duration::from_secs(20)).unwrap(), Resumed::Continued);
    let seqs: Vec<u64> = (0..3).map(|_| client.next_event(SOON).unwrap().unwrap().event.seq).collect();
    assert_eq!(seqs, [14, 15, 31]);
    drop(client);
    server.finish();
}

#[test]
fn a_resume_that_found_nobody_leaves_a_client_that_can_try_again() {
    let server = Server::start(|listener| {
        let mut peer = Peer::accept(&listener, 10);
        peer.opens(10);
        drop(peer);
        drop(listener.accept().unwrap());
        resumed(&listener, 10, &[]);
    });
    let mut client = Client::connect(server.path()).unwrap();
    client.call(open()).unwrap();
    assert!(client.next_event(SOON).unwrap_err().is_disconnect());
    assert!(client.resume().unwrap_err().is_disconnect());
    assert_eq!(client.hello().seq, 10);
    assert_eq!(client.resume().unwrap(), Resumed::Continued);
    server.finish();
}

#[test]
fn what_is_too_old_to_replay_calls_for_a_snapshot() {
    let server = Server::start(|listener| {
        let mut peer = Peer::accept(&listener, 10);
        peer.opens(10);
        drop(peer);
        let mut peer = Peer::accept(&listener, 90_000);
        let (id, _) = peer.request().unwrap();
        peer.reply(id, Err(ErrorCode::ResourceUnavail.because("event 11 is no longer kept")));
        let Some((id, Request::ClientResume(resume))) = peer.request() else { panic!("no client.resume") };
        assert_eq!(resume.since, 90_000);
        peer.reply(id, Ok(opened(90_001)));
        peer.event(80_000, 90_001);
    });
    let mut client = Client::connect(server.path()).unwrap();
    client.call(open()).unwrap();
    client.next_event(SOON).unwrap_err();
    assert_eq!(client.resume_within(Duration::from_secs(20)).unwrap(), Resumed::SnapshotNeeded);
    assert_eq!(client.next_event(SOON).unwrap().unwrap().event.seq, 90_001);
    server.finish();
}

#[test]
fn a_session_that_is_gone_is_told_as_such() {
    let server = Server::start(|listener| {
        let mut peer = Peer::accept(&listener, 10);
        peer.opens(10);
        drop(peer);
        let mut peer = Peer::accept(&listener, 0);
        let (id, _) = peer.request().unwrap();
        peer.reply(id, Err(ErrorCode::InvalAppHandle.because("there is no session of this token")));
        peer.opens(0);
    });
    let mut client = Client::connect(server.path()).unwrap();
    assert!(matches!(client.resume(), Err(ClientError::NoSession)));
    client.call(open()).unwrap();
    client.next_event(SOON).unwrap_err();
    let error = client.resume_within(Duration::from_secs(20)).unwrap_err();
    assert!(matches!(error, ClientError::SessionGone(_)), "{error}");
    client.call(open()).unwrap();
    server.finish();
}

#[test]
fn a_daemon_that_is_not_there_is_said_with_path_and_hint() {
    let server = Server::start(drop);
    let path = server.path();
    let refused = loop {
        match Client::connect_within(&path, Duration::from_secs(5)) {
            Err(error @ ClientError::Unreachable { .. }) => break error.to_string(),
            _ => std::thread::yield_now(),
        }
    };
    assert!(refused.contains("api.sock: cannot reach the daemon") && refused.contains("start it"), "{refused}");
    let missing = Client::connect("/nowhere/api.sock").unwrap_err().to_string();
    assert!(missing.starts_with("/nowhere/api.sock: cannot reach the daemon"), "{missing}");
    server.finish();
}

#[test]
fn silence_ends_a_wait_and_a_later_answer_disturbs_nobody() {
    let server = Server::start(|listener| {
        let mut peer = Peer::accept(&listener, 0);
        peer.opens(0);
        let (late, _) = peer.request().unwrap();
        let (id, _) = peer.request().unwrap();
        peer.reply(late, Ok(Reply::Made(reply::Made { call: CallId(1) })));
        peer.reply(id, Ok(Reply::Lines(reply::Lines { lines: Vec::new() })));
    });
    let mut client = Client::connect_within(server.path(), Duration::from_secs(1)).unwrap();
    client.call(open()).unwrap();
    let error = client.call(make()).unwrap_err();
    assert!(matches!(error, ClientError::Timeout { what: "call.make", .. }), "{error}");
    assert!(client.call(LineList {}).unwrap().lines.is_empty());
    server.finish();
}

#[test]
fn a_readable_wake_descriptor_ends_a_wait() {
    let server = Server::start(|listener| {
        let mut peer = Peer::accept(&listener, 0);
        peer.opens(0);
        assert!(peer.request().is_none());
    });
    let mut client = Client::connect(server.path()).unwrap();
    client.call(open()).unwrap();
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    client.wake_on(reader.try_clone().unwrap().into());
    writer.write_all(b"!").unwrap();
    assert!(matches!(client.next_event(None), Err(ClientError::Interrupted)));
    reader.read_exact(&mut [0]).unwrap();
    assert_eq!(client.next_event(Some(Duration::from_millis(1))).unwrap(), None);
    drop(client);
    server.finish();
}

/// Many requests while the server talks all the time: neither side may wait for the other for ever.
#[test]
fn both_sides_may_talk_at_once() {
    const ROUNDS: u64 = 2_000;
    let server = Server::start(|listener| {
        let mut peer = Peer::accept(&listener, 0);
        peer.opens(0);
        for round in 0..ROUNDS {
            let (id, _) = peer.request().unwrap();
            peer.event(round, round + 1);
            peer.reply(id, Ok(done()));
        }
    });
    let mut client = Client::connect(server.path()).unwrap();
    client.call(open()).unwrap();
    let close = || tapi::request::CallHold { call: CallId(1) };
    let pending: Vec<_> = (0..ROUNDS).map(|_| client.submit(close()).unwrap()).collect();
    for pending in pending {
        client.reply(pending).unwrap();
    }
    for round in 0..ROUNDS {
        assert_eq!(client.next_event(SOON).unwrap().unwrap().event.seq, round + 1);
    }
    server.finish();
}
