//! Which thread has which stream. Commands go by it; packets never do.
//!
//! A new stream goes to the thread that has the fewest. Streams that are to hear one another are brought together on the
//! thread of the lower number, and stay there until they are closed.

use crate::shard::{FileResult, Message, Rings, Sockets, Waker};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tspi::media::{Command, DescriptorId, LocalMedia, MixerId, StreamId};

/// A way to a media thread.
#[derive(Debug)]
pub(crate) struct Way {
    pub messages: Sender<Message>,
    pub waker: Waker,
}

/// The index, for whoever commands and for the threads that touch files.
#[derive(Debug)]
pub(crate) struct Index(Mutex<Places>);

#[derive(Debug)]
struct Places {
    ways: Vec<Way>,
    sockets: Arc<Sockets>,
    /// Of each thread, how many streams it has.
    load: Vec<usize>,
    streams: BTreeMap<StreamId, Place>,
    mixers: BTreeMap<MixerId, BTreeSet<StreamId>>,
    /// Open files that no command has named yet.
    descriptors: BTreeMap<DescriptorId, OwnedFd>,
}

#[derive(Debug, Default)]
struct Place {
    thread: usize,
    mixer: Option<MixerId>,
    ports: [Option<u16>; 2],
}

/// A stream that exists already.
#[derive(Debug)]
pub(crate) struct Known {
    pub stream: StreamId,
    pub mixer: Option<MixerId>,
    pub thread: usize,
    pub ports: [Option<u16>; 2],
}

impl Index {
    pub(crate) fn new(ways: Vec<Way>, sockets: Arc<Sockets>, known: Vec<Known>) -> Index {
        let mut places = Places {
            load: vec![0; ways.len()],
            ways,
            sockets,
            streams: BTreeMap::new(),
            mixers: BTreeMap::new(),
            descriptors: BTreeMap::new(),
        };
        for Known { stream, mixer, thread, ports } in known {
            places.enter(stream, thread);
            if let Some(place) = places.streams.get_mut(&stream) {
                place.ports = ports;
            }
            places.set_mixer(stream, mixer);
        }
        places.watch_idle();
        Index(Mutex::new(places))
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn command(&self, command: Command) {
        self.places().command(command);
    }

    pub(crate) fn give(&self, descriptor: DescriptorId, file: OwnedFd) {
        self.places().descriptors.insert(descriptor, file);
    }

    pub(crate) fn discard(&self, descriptor: DescriptorId) {
        self.places().descriptors.remove(&descriptor);
    }

    pub(crate) fn frames(&self, stream: StreamId, rings: Rings) {
        let mut places = self.places();
        let thread = places.place(stream);
        places.tell(thread, Message::Frames(stream, rings));
    }

    /// What became of a file, to all: under the lock, so that a stream on its way is told once.
    pub(crate) fn tell_all(&self, result: &FileResult) {
        let places = self.places();
        (0..places.ways.len()).for_each(|thread| places.tell(thread, Message::File(result.clone())));
    }

    /// Tells all threads to stop, and holds the sockets no longer.
    pub(crate) fn stop(&self) {
        let mut places = self.places();
        places.sockets = Arc::default();
        (0..places.ways.len()).for_each(|thread| places.tell(thread, Message::Stop));
    }
}

impl Places {
    fn tell(&self, thread: usize, message: Message) {
        // A thread that has died is told of at the end.
        if let Some(way) = self.ways.get(thread)
            && way.messages.send(message).is_ok()
        {
            way.waker.wake();
        }
    }

    fn command(&mut self, command: Command) {
        let thread = match &command {
            Command::Open { local } => self.open(local),
            Command::Close { stream } => self.close(*stream),
            Command::Join { a, b } => self.join(*a, *b),
            Command::Mix { stream, mixer } => self.mix(*stream, *mixer),
            Command::Unmix { stream } => {
                self.set_mixer(*stream, None);
                self.thread_of(*stream)
            }
            Command::Pause { .. } | Command::Resume { .. } | Command::Stop { .. } => {
                // The one that has the operation heeds it.
                (0..self.ways.len()).for_each(|thread| self.tell(thread, Message::Command(command.clone())));
                return;
            }
            Command::Play { stream, descriptor, .. }
            | Command::Record { stream, descriptor, .. }
            | Command::Application { stream, descriptor, .. } => {
                let thread = self.thread_of(*stream);
                if let Some(file) = self.descriptors.remove(descriptor) {
                    self.tell(thread, Message::Give(*descriptor, file));
                }
                thread
            }
            Command::Connect { stream, .. }
            | Command::Part { stream }
            | Command::Digits { stream, .. }
            | Command::Tone { stream, .. }
            | Command::Progress { stream, .. }
            | Command::Detect { stream, .. }
            | Command::MonitorTones { stream, .. } => self.thread_of(*stream),
        };
        self.tell(thread, Message::Command(command));
    }

    /// The thread of a stream; the first for one that does not exist, which counts it.
    fn thread_of(&self, stream: StreamId) -> usize {
        self.streams.get(&stream).map_or(0, |place| place.thread)
    }

    /// The thread of a stream that begins.
    fn place(&mut self, stream: StreamId) -> usize {
        if let Some(place) = self.streams.get(&stream) {
            return place.thread;
        }
        let least = self.load.iter().enumerate().min_by_key(|(_, load)| **load).map_or(0, |(thread, _)| thread);
        self.enter(stream, least);
        least
    }

    fn enter(&mut self, stream: StreamId, thread: usize) {
        self.streams.insert(stream, Place { thread, ..Place::default() });
        self.load.get_mut(thread).into_iter().for_each(|load| *load += 1);
    }

    fn open(&mut self, local: &LocalMedia) -> usize {
        let (stream, ports) = match local {
            LocalMedia::Rtp(local) => (local.stream, [Some(local.port), local.rtcp_port]),
            LocalMedia::Frames { stream } => (*stream, [None, None]),
            LocalMedia::None => return 0,
        };
        let thread = self.place(stream);
        if let Some(place) = self.streams.get_mut(&stream) {
            place.ports = ports;
        }
        for port in ports.into_iter().flatten() {
            let home = self.sockets.home(port, self.ways.len());
            if home != thread {
                self.tell(home, Message::Unwatch(port));
            }
        }
        thread
    }

    fn close(&mut self, stream: StreamId) -> usize {
        self.set_mixer(stream, None);
        let Some(Place { thread, ports, .. }) = self.streams.remove(&stream) else { return 0 };
        self.load.get_mut(thread).into_iter().for_each(|load| *load = load.saturating_sub(1));
        for port in ports.into_iter().flatten() {
            let home = self.sockets.home(port, self.ways.len());
            if home != thread {
                self.tell(home, Message::Watch(port));
            }
        }
        thread
    }

    fn join(&mut self, a: StreamId, b: StreamId) -> usize {
        let (Some(one), Some(other)) = (self.streams.get(&a), self.streams.get(&b)) else { return self.thread_of(a) };
        let thread = one.thread.min(other.thread);
        for stream in [a, b] {
            self.set_mixer(stream, None);
            self.carry(stream, thread);
        }
        thread
    }

    fn mix(&mut self, stream: StreamId, mixer: MixerId) -> usize {
        let Some(place) = self.streams.get(&stream) else { return 0 };
        let others: Vec<StreamId> = self.mixers.get(&mixer).into_iter().flatten().copied().collect();
        let theirs = others.first().map_or(place.thread, |other| self.thread_of(*other));
        let thread = place.thread.min(theirs);
        others.into_iter().chain([stream]).for_each(|stream| self.carry(stream, thread));
        self.set_mixer(stream, Some(mixer));
        thread
    }

    fn set_mixer(&mut self, stream: StreamId, mixer: Option<MixerId>) {
        let Some(place) = self.streams.get_mut(&stream) else { return };
        let before = std::mem::replace(&mut place.mixer, mixer);
        if let Some(before) = before
            && let Some(members) = self.mixers.get_mut(&before)
        {
            members.remove(&stream);
            if members.is_empty() {
                self.mixers.remove(&before);
            }
        }
        if let Some(mixer) = mixer {
            self.mixers.entry(mixer).or_default().insert(stream);
        }
    }

    /// Brings a stream to a thread of a lower number.
    fn carry(&mut self, stream: StreamId, thread: usize) {
        let Some(place) = self.streams.get_mut(&stream).filter(|place| place.thread > thread) else { return };
        let from = std::mem::replace(&mut place.thread, thread);
        let ports = place.ports;
        for (load, change) in [(from, -1), (thread, 1)] {
            self.load.get_mut(load).into_iter().for_each(|load| *load = load.saturating_add_signed(change));
        }
        // Its own thread, if that is to drain its ports, leaves them to the other now.
        for port in ports.into_iter().flatten().filter(|port| self.sockets.home(*port, self.ways.len()) == thread) {
            self.tell(thread, Message::Unwatch(port));
        }
        let (to, arrives) = channel();
        let Some(waker) = self.ways.get(thread).map(|way| way.waker.clone()) else { return };
        self.tell(thread, Message::Expect(arrives));
        self.tell(from, Message::Move { stream, to, waker });
    }

    /// The ports that no stream has are drained.
    fn watch_idle(&self) {
        let taken: BTreeSet<u16> = self.streams.values().flat_map(|place| place.ports).flatten().collect();
        for port in self.sockets.ports().filter(|port| !taken.contains(port)) {
            self.tell(self.sockets.home(port, self.ways.len()), Message::Watch(port));
        }
    }
}
