use super::*;
use tokio::io::AsyncWriteExt;

/// A connection whose other end and whose core are the test's.
fn served() -> (tokio::net::UnixStream, mpsc::Receiver<Message>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (core, messages) = mpsc::channel(16);
    let peer = Peer { uid: 0, gid: 0, groups: Vec::new(), pid: 1 };
    let directories = Arc::new(Directories::default());
    tokio::spawn(serve(Connection { client: ClientId(1), peer, stream: theirs, core, directories }));
    (ours, messages)
}

/// Asks one thing that the core does not answer.
async fn asked(ours: &mut UnixStream, messages: &mut mpsc::Receiver<Message>) -> Outbox {
    let connected = messages.recv().await;
    let Some(Message::ClientConnected { sink: Sink::Socket(outbox), .. }) = connected else { panic!("no connection") };
    outbox.greeted();
    ours.write_all(b"{\"id\":1,\"method\":\"line.list\"}\n").await.unwrap();
    assert!(matches!(messages.recv().await, Some(Message::Request { .. })));
    outbox
}

#[tokio::test]
async fn a_client_that_died_is_gone_though_an_answer_is_still_to_come() {
    let (mut ours, mut messages) = served();
    let _outbox = asked(&mut ours, &mut messages).await;
    let died = tokio::time::Instant::now();
    drop(ours);
    assert!(matches!(messages.recv().await, Some(Message::ClientGone { overrun: false, .. })));
    assert!(died.elapsed() < LAST_ANSWERS / 3, "{:?}", died.elapsed());
}

#[tokio::test]
async fn a_client_that_said_all_still_gets_its_answer() {
    let (mut ours, mut messages) = served();
    let outbox = asked(&mut ours, &mut messages).await;
    ours.shutdown().await.unwrap();
    let early = tokio::time::timeout(LISTENS_EVERY * 3, messages.recv()).await;
    assert!(early.is_err(), "{early:?}");
    outbox.push(b"the answer\n".to_vec()).unwrap();
    outbox.end_request();
    assert!(matches!(messages.recv().await, Some(Message::ClientGone { overrun: false, .. })));
    drop(outbox);
    let mut all = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut ours, &mut all).await.unwrap();
    assert_eq!(all, b"the answer\n");
}
