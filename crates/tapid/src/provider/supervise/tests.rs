use super::*;
use tspi::{Action, CommandId, Event};

const PATIENCE: Duration = Duration::from_secs(20);

/// A SIP provider on a port that the system chooses.
fn config() -> ProviderConfig {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let line = tsp_sip::LineConfig {
        name: "sip:test".to_string(),
        description: String::new(),
        user: "100".to_string(),
        domain: "127.0.0.1".to_string(),
        peers: vec!["127.0.0.1".to_string()],
        proxy: None,
        max_calls: 1,
        ..tsp_sip::LineConfig::default()
    };
    let name = "test".to_string();
    let (user_agent, timers, lines) = (String::new(), tsp_sip::Timers::default(), vec![line]);
    ProviderConfig {
        network: Default::default(),
        name: name.clone(),
        kind: Kind::Sip(Box::new(tsp_sip::Config {
            name,
            listen,
            user_agent,
            timers,
            transports: tsp_sip::Transports::default(),
            lines,
        })),
    }
}

fn start(first: First) -> (tokio::task::JoinHandle<Option<Parked>>, mpsc::Receiver<Message>) {
    let (core, messages) = mpsc::channel(64);
    let (settled, _) = oneshot::channel();
    let supervised = Supervised {
        id: ProviderId(7),
        config: config(),
        first,
        core,
        settled,
        plug: None,
        line_name: None,
        reset: None,
    };
    (tokio::spawn(supervise(supervised)), messages)
}

fn broken() -> First {
    let parked = Parked {
        connections: Vec::new(),
        id: ProviderId(7),
        config: config(),
        provider: AnyProvider::Broken,
        ports: Vec::new(),
        opening: Vec::new(),
        resolving: Vec::new(),
        through: false,
        commands: Vec::new(),
        descriptors: Vec::new(),
    };
    First::Parked(Box::new(parked), BTreeMap::new())
}

async fn next(messages: &mut mpsc::Receiver<Message>) -> Message {
    tokio::time::timeout(PATIENCE, messages.recv()).await.unwrap().unwrap()
}

/// The inbox of the next run, and which it is.
async fn started(messages: &mut mpsc::Receiver<Message>) -> (mpsc::Sender<ToProvider>, u64) {
    loop {
        if let Message::ProviderStarted { inbox, run, .. } = next(messages).await {
            return (inbox, run);
        }
    }
}

async fn stopped(messages: &mut mpsc::Receiver<Message>) -> (u64, String) {
    loop {
        if let Message::ProviderStopped { run, reason, .. } = next(messages).await {
            return (run, reason);
        }
    }
}

/// Waits for the first event that `pick` takes.
async fn said<T>(messages: &mut mpsc::Receiver<Message>, pick: impl Fn(Event) -> Option<T>) -> T {
    loop {
        if let Message::Provider { events, .. } = next(messages).await
            && let Some(picked) = events.into_iter().find_map(&pick)
        {
            return picked;
        }
    }
}

async fn line_is_told(messages: &mut mpsc::Receiver<Message>) {
    let description = said(messages, |event| match event {
        Event::LineAdded { description, .. } => Some(description.name),
        _ => None,
    });
    assert_eq!(description.await, "sip:test");
}

#[tokio::test]
async fn a_panic_ends_that_run_only_and_a_new_one_begins() {
    let (_task, mut messages) = start(broken());
    let (run, reason) = stopped(&mut messages).await;
    assert_eq!((run, reason.as_str()), (1, "it panicked: broken on purpose"));
    let (_inbox, run) = started(&mut messages).await;
    assert_eq!(run, 2);
    line_is_told(&mut messages).await;
}

#[tokio::test]
async fn one_that_the_core_gave_up_begins_anew() {
    let (_task, mut messages) = start(First::Fresh(None));
    let (inbox, _) = started(&mut messages).await;
    line_is_told(&mut messages).await;
    drop(inbox);
    let (run, reason) = stopped(&mut messages).await;
    assert_eq!((run, reason.as_str()), (1, "it did not take its commands"));
    let (_inbox, run) = started(&mut messages).await;
    assert_eq!(run, 2);
}

#[tokio::test]
async fn what_is_put_down_has_its_socket_and_what_was_not_yet_seen() {
    let (task, mut messages) = start(First::Fresh(None));
    let (inbox, _) = started(&mut messages).await;
    line_is_told(&mut messages).await;
    let command = Command { id: CommandId(3), action: Action::Shutdown };
    inbox.try_send(ToProvider::Park).unwrap();
    inbox.try_send(ToProvider::Command(command.clone())).unwrap();
    let parked = tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap().unwrap();
    assert_eq!(parked.commands, [command]);
    let [port] = &parked.ports[..] else { panic!("one port") };
    assert_eq!(parked.descriptors[0].0, port.descriptor);
    // The same value goes on in another process: as JSON, with the descriptor beside it.
    let json = serde_json::to_string(&parked).unwrap();
    let descriptors: BTreeMap<String, OwnedFd> = parked.descriptors.into_iter().collect();
    let kept: Parked = serde_json::from_str(&json).unwrap();
    let (_task, mut messages) = start(First::Parked(Box::new(kept), descriptors));
    let id = said(&mut messages, |event| match event {
        Event::Reply { id, .. } => Some(id),
        _ => None,
    });
    assert_eq!(id.await, CommandId(3));
}
