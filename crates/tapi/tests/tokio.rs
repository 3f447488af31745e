//! The tokio client against a scripted server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod peer;

use peer::{Peer, Server, opened};
use std::io::{Read, Write};
use std::time::Duration;
use tapi::client::{ClientError, Resumed, tokio::Client};
use tapi::request::{CallHold, CallPlay, ClientOpen};
use tapi::{CallId, ErrorCode, PlaySource, Reply, Request, reply};

fn open() -> ClientOpen {
    ClientOpen { app: "test".into(), ..ClientOpen::default() }
}

fn done() -> Reply {
    Reply::Done(reply::Done {})
}

async fn seq(client: &mut Client) -> u64 {
    let event = tokio::time::timeout(Duration::from_secs(20), client.next_event()).await;
    event.expect("an event in time").unwrap().event.seq
}

#[tokio::test]
async fn replies_and_events_come_in_order_and_a_gap_is_told() {
    let server = Server::start(|listener| {
        let mut peer = Peer::accept(&listener, 10);
        peer.opens(10);
        let (id, _) = peer.request().unwrap();
        peer.event(0, 11);
        peer.reply(id, Ok(done()));
        peer.event(11, 12);
        peer.event(14, 15);
        let (id, _) = peer.request().unwrap();
        peer.reply(id, Err(ErrorCode::InvalCallState.because("call 1 is on hold")));
        assert!(peer.request().is_none());
    });
    let mut client = Client::connect(server.path()).await.unwrap();
    client.call(open()).await.unwrap();
    client.call(CallHold { call: CallId(1) }).await.unwrap();
    assert_eq!((seq(&mut client).await, seq(&mut client).await), (11, 12));
    assert!(matches!(client.next_event().await, Err(ClientError::Gap { seen: 12, prev: 14 })));
    assert_eq!(seq(&mut client).await, 15);
    let refused = client.call(CallHold { call: CallId(1) }).await.unwrap_err();
    assert_eq!(refused.refusal(), Some(ErrorCode::InvalCallState));
    drop(client);
    server.finish();
}

#[tokio::test]
async fn a_wait_that_is_dropped_loses_nothing() {
    let server = Server::start(|listener| {
        let mut peer = Peer::accept(&listener, 0);
        peer.opens(0);
        for round in 0..500 {
            let (id, _) = peer.request().unwrap();
            peer.event(round, round + 1);
            peer.reply(id, Ok(done()));
        }
    });
    let mut client = Client::connect(server.path()).await.unwrap();
    client.call(open()).await.unwrap();
    let pending: Vec<_> = (0..500).map(|_| client.submit(CallHold { call: CallId(1) })).collect();
    let mut seen = Vec::new();
    for _ in 0..50 {
        tokio::select! {
            biased;
            event = client.next_event() => seen.push(event.unwrap().event.seq),
            () = tokio::task::yield_now() => {}
        }
    }
    for pending in pending {
        client.reply(pending).await.unwrap();
    }
    while seen.len() < 500 {
        seen.push(seq(&mut client).await);
    }
    assert!(seen.iter().copied().eq(1..=500), "{seen:?}");
    server.finish();
}

#[tokio::test]
async fn a_descriptor_arrives_with_its_line() {
    let server = Server::start(|listener| {
        let mut peer = Peer::accept(&listener, 0);
        peer.opens(0);
        let (id, _) = peer.request().unwrap();
        let mut text = String::new();
        std::fs::File::from(peer.descriptors.remove(0)).read_to_string(&mut text).unwrap();
        assert_eq!(text, "RIFF");
        peer.reply(id, Ok(Reply::Started(reply::Started { operation: tapi::OperationId(3) })));
    });
    let mut client = Client::connect(server.path()).await.unwrap();
    client.call(open()).await.unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"RIFF").unwrap();
    drop(writer);
    let play = CallPlay { call: CallId(1), source: PlaySource::Descriptor, repeat: false };
    client.call_with_descriptor(play, reader.into()).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_session_is_taken_up_after_a_restart() {
    let server = Server::start(|listener| {
        let mut peer = Peer::accept(&listener, 10);
        peer.opens(10);
        peer.event(0, 11);
        drop(peer);
        // A daemon that is still starting: it takes the connection and closes it.
        drop(listener.accept().unwrap());
        let mut peer = Peer::accept(&listener, 30);
        let Some((id, Request::ClientResume(resume))) = peer.request() else { panic!("no client.resume") };
        assert_eq!(resume.since, 11);
        peer.reply(id, Ok(opened(30)));
        peer.event(11, 12);
        assert!(peer.request().is_none());
    });
    let mut client = Client::connect(server.path()).await.unwrap();
    client.call(open()).await.unwrap();
    assert_eq!(seq(&mut client).await, 11);
    assert!(client.next_event().await.unwrap_err().is_disconnect());
    assert_eq!(client.resume_within(Duration::from_secs(20)).await.unwrap(), Resumed::Continued);
    assert_eq!(seq(&mut client).await, 12);
    drop(client);
    server.finish();
}
