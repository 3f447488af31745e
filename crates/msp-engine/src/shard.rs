//! One media thread and what it owns.

use crate::counters::{Counters, Shared};
use crate::files::Files;
use crate::record::Failure;
use crate::{EngineError, OnEvent, application, load, priority, record};
use msp_rtp::Msp;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::sys::timer::{Expiration, TimerSetTimeFlags};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::Duration;
use tapi::{End, OperationId, Time};
use tspi::media::{Command, DescriptorId, Event, Frame, Input, LocalMedia, MediaProvider, Output, Packet, StreamId};

mod applications;
mod moving;
mod receiving;
mod recordings;
mod sockets;
mod waker;

pub(crate) use moving::Luggage;
use receiving::Room;
use sockets::Claim;
pub(crate) use sockets::Sockets;
pub(crate) use waker::Waker;

const WAKE: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;
/// Added to the number of an operation: its application's socket.
const APPLICATION: u64 = 1 << 62;
/// A tick that comes so much too late waits for packets that came before it, for so many rounds at most.
const LATE: Duration = Duration::from_millis(15);
const MAX_ROUNDS: u32 = 8;
/// How long it waits at most for a stream that comes from another thread, before it looks whether that is alive.
const PATIENCE_MS: u16 = 100;

/// What a media thread is told.
pub(crate) enum Message {
    Command(Command),
    Give(DescriptorId, OwnedFd),
    Frames(StreamId, Rings),
    /// A stream comes from another thread: what is told after this waits for it.
    Expect(Receiver<Box<Luggage>>),
    /// A stream goes to another thread.
    Move {
        stream: StreamId,
        to: Sender<Box<Luggage>>,
        waker: Waker,
    },
    /// This port of ours has no stream: whatever comes is drained.
    Watch(u16),
    /// A stream elsewhere has this port of ours.
    Unwatch(u16),
    File(FileResult),
    Stop,
}

/// What a thread that touches files tells all media threads: the one that has the operation heeds it.
#[derive(Clone, Debug)]
pub(crate) enum FileResult {
    /// A file was read, or could not be.
    Loaded(OperationId, Option<load::Loaded>),
    /// A recording cannot go on.
    WriteFailed(OperationId, End),
    /// A recording's file is complete, or failed before it was.
    Written(OperationId, Option<Failure>),
}

/// The engine's ends of a [`FramePort`](crate::FramePort).
pub(crate) struct Rings {
    pub from_provider: rtrb::Consumer<Frame>,
    pub to_provider: rtrb::Producer<Frame>,
    pub notify: Box<dyn Fn() + Send>,
}

/// What a media thread begins with.
pub(crate) struct Begin {
    /// Its number, and how many there are.
    pub number: usize,
    pub count: usize,
    pub msp: Msp,
    pub sockets: Arc<Sockets>,
    pub on_event: OnEvent,
    pub inbox: Receiver<Message>,
    pub waker: Waker,
    pub files: Files,
    pub shared: Arc<Shared>,
    pub realtime: bool,
}

/// What one media thread owns.
pub(crate) struct Shard {
    number: usize,
    count: usize,
    realtime: bool,
    msp: Msp,
    on_event: OnEvent,
    inbox: Receiver<Message>,
    /// The stream that comes.
    expected: Option<Receiver<Box<Luggage>>>,
    files: Files,
    epoll: Epoll,
    waker: Waker,
    timer: TimerFd,
    armed: Option<Time>,
    sockets: Arc<Sockets>,
    /// Of each socket, who has it, and when it was read last.
    claims: Vec<Claim>,
    read_at: Vec<Time>,
    /// Of each RTP stream, its socket.
    streams: BTreeMap<StreamId, usize>,
    /// Of each that has a port for RTCP, that socket.
    controls: BTreeMap<StreamId, usize>,
    rings: BTreeMap<StreamId, Rings>,
    descriptors: BTreeMap<DescriptorId, OwnedFd>,
    applications: BTreeMap<OperationId, application::Socket>,
    /// Beginnings and ends of recordings that found the queue full.
    unwritten: VecDeque<record::Job>,
    /// Recordings whose files are being completed, each with the event that waits for it.
    finishing: BTreeMap<OperationId, Option<Event>>,
    /// Recordings whose writer has died.
    dead_recordings: Vec<OperationId>,
    counters: Counters,
    shared: Arc<Shared>,
}

enum Next {
    Wait,
    Stop,
}

/// What a media thread leaves: files may be being written still.
pub(crate) struct Left {
    pub msp: Msp,
    on_event: OnEvent,
    inbox: Receiver<Message>,
    finishing: BTreeMap<OperationId, Option<Event>>,
}

impl Left {
    /// Tells what is left to tell, once the recordings are complete.
    pub(crate) fn finish(mut self) -> Msp {
        while let Ok(message) = self.inbox.try_recv() {
            if let Message::File(FileResult::Written(operation, failed)) = message
                && let Some(Some(ended)) = self.finishing.remove(&operation)
            {
                (self.on_event)(recordings::judged(ended, failed));
            }
        }
        self.msp
    }
}

impl Shard {
    pub(crate) fn new(begin: Begin) -> Result<Shard, EngineError> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(io::Error::from)?;
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).map_err(io::Error::from)?;
        let Begin { number, count, msp, sockets, on_event, inbox, waker, files, shared, realtime } = begin;
        watch(&epoll, waker.event(), WAKE)?;
        watch(&epoll, &timer, TIMER)?;
        let claims = vec![Claim::Elsewhere; sockets.len()];
        let mut shard = Shard {
            number,
            count,
            realtime,
            msp,
            on_event,
            inbox,
            expected: None,
            files,
            epoll,
            waker,
            timer,
            armed: None,
            sockets,
            read_at: vec![Time::ZERO; claims.len()],
            claims,
            streams: BTreeMap::new(),
            controls: BTreeMap::new(),
            rings: BTreeMap::new(),
            descriptors: BTreeMap::new(),
            applications: BTreeMap::new(),
            unwritten: VecDeque::new(),
            finishing: BTreeMap::new(),
            dead_recordings: Vec::new(),
            counters: Counters::default(),
            shared,
        };
        let known: Vec<_> = shard.msp.streams().collect();
        for (stream, port) in known {
            if let Some(port) = port {
                shard.claim(stream, port);
            }
        }
        let known: Vec<_> = shard.msp.control_ports().collect();
        known.into_iter().for_each(|(stream, port)| shard.claim_control(stream, port));
        Ok(shard)
    }

    /// Runs until it is told to stop.
    pub(crate) fn run(mut self) -> Left {
        priority::raise(self.number, self.realtime);
        let mut events = [EpollEvent::empty(); 256];
        let mut room = Room::new();
        let mut rounds = 0;
        self.drain(now());
        loop {
            self.arm();
            let patience = self.expected.as_ref().map_or(EpollTimeout::NONE, |_| EpollTimeout::from(PATIENCE_MS));
            let ready = match self.epoll.wait(&mut events, patience) {
                Ok(ready) => ready,
                Err(Errno::EINTR) => 0,
                Err(error) => {
                    tracing::error!(%error, "media thread cannot wait");
                    return self.leave();
                }
            };
            let at = now();
            let mut woken = self.expected.is_some();
            for event in events.iter().take(ready) {
                match event.data() {
                    WAKE => woken = self.waker.heard(),
                    TIMER => self.expired(),
                    number if number & APPLICATION != 0 => {
                        self.read_application(at, OperationId(number & !APPLICATION));
                    }
                    socket => self.receive(at, socket as usize, &mut room),
                }
            }
            if woken && let Next::Stop = self.take_messages(at) {
                return self.leave();
            }
            // Late: what came meanwhile is heard first, lest it be too late for the ticks that are made up for.
            rounds = if self.is_late(now()) && ready > 1 && rounds < MAX_ROUNDS { rounds + 1 } else { 0 };
            if rounds > 0 {
                continue;
            }
            self.tick(now());
            if !self.dead_recordings.is_empty() {
                self.end_dead_recordings(now());
                self.drain(now());
            }
            self.publish();
        }
    }

    fn expired(&mut self) {
        self.armed = None;
        // Not blocking: it clears the timer's readiness.
        let _ = self.timer.wait();
    }

    /// Sets the timer to the provider's deadline.
    fn arm(&mut self) {
        let deadline = self.msp.poll_timeout();
        if deadline == self.armed {
            return;
        }
        let set = match deadline {
            // A time of zero would disarm it.
            Some(at) => {
                let at = TimeSpec::microseconds(i64::try_from(at.0.max(1)).unwrap_or(i64::MAX / 1_000));
                self.timer.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)
            }
            None => self.timer.unset(),
        };
        match set {
            Ok(()) => self.armed = deadline,
            Err(error) => tracing::error!(%error, "media timer cannot be set"),
        }
    }

    fn take_messages(&mut self, now: Time) -> Next {
        loop {
            if let Some(expected) = &self.expected {
                match expected.try_recv() {
                    Ok(luggage) => self.unpack(now, *luggage),
                    Err(TryRecvError::Empty) => return Next::Wait,
                    // It had ended there already.
                    Err(TryRecvError::Disconnected) => {}
                }
                self.expected = None;
            }
            match self.inbox.try_recv() {
                Ok(Message::Stop) => return Next::Stop,
                Ok(Message::Expect(stream)) => self.expected = Some(stream),
                Ok(message) => self.take(now, message),
                Err(_) => return Next::Wait,
            }
            self.drain(now);
        }
    }

    fn take(&mut self, now: Time, message: Message) {
        match message {
            Message::Command(command) => self.command(now, command),
            Message::Give(descriptor, file) => {
                self.descriptors.insert(descriptor, file);
            }
            Message::Frames(stream, rings) => {
                self.rings.insert(stream, rings);
            }
            Message::Move { stream, to, waker } => {
                let luggage = self.pack(stream);
                // Where that thread has died, the stream has died too.
                let _ = to.send(Box::new(luggage));
                waker.wake();
            }
            Message::Watch(port) => self.watch_idle(port),
            Message::Unwatch(port) => self.unwatch_idle(port),
            Message::File(FileResult::Loaded(operation, Some((samples, rate)))) => {
                self.msp.handle(now, Input::Loaded { operation, samples, rate });
            }
            Message::File(FileResult::Loaded(operation, None)) => {
                self.msp.handle(now, Input::Failed { operation, end: End::Failed });
            }
            Message::File(FileResult::WriteFailed(operation, end)) => {
                self.msp.handle(now, Input::Failed { operation, end });
            }
            Message::File(FileResult::Written(operation, failed)) => self.written(operation, failed),
            Message::Expect(_) | Message::Stop => {}
        }
    }

    fn command(&mut self, now: Time, command: Command) {
        let (mut closed, mut named) = (None, None);
        match &command {
            Command::Open { local: LocalMedia::Rtp(local) } => {
                self.claim(local.stream, local.port);
                if let Some(port) = local.rtcp_port {
                    self.claim_control(local.stream, port);
                }
            }
            Command::Close { stream } => closed = Some(*stream),
            Command::Play { descriptor, .. }
            | Command::Record { descriptor, .. }
            | Command::Application { descriptor, .. } => named = Some(*descriptor),
            _ => {}
        }
        self.msp.handle(now, Input::Command(command));
        if closed.is_some() || named.is_some() {
            self.drain(now);
        }
        // What the command did not use is closed.
        named.and_then(|descriptor| self.descriptors.remove(&descriptor));
        if let Some(stream) = closed {
            self.rings.remove(&stream);
            self.release(stream);
        }
    }

    /// Whether this thread was kept from running when a tick was due.
    fn is_late(&self, now: Time) -> bool {
        self.msp.poll_timeout().is_some_and(|due| now > due + LATE)
    }

    fn tick(&mut self, now: Time) {
        self.retry();
        if self.msp.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        // They came before this tick: dated a moment after it they would wait for one tick more.
        let came = msp_rtp::last_tick(now);
        for (stream, rings) in &mut self.rings {
            while let Ok(frame) = rings.from_provider.pop() {
                self.msp.handle(came, Input::Frame { stream: *stream, frame: &frame });
            }
        }
        self.msp.handle(now, Input::Timeout);
        self.drain(now);
    }

    fn drain(&mut self, now: Time) {
        while let Some(output) = self.msp.poll_output() {
            match output {
                Output::Packet { stream, to, packet } => self.send(self.streams.get(&stream).copied(), to, &packet),
                Output::Control { stream, to, packet } => {
                    let number = self.controls.get(&stream).or_else(|| self.streams.get(&stream)).copied();
                    self.send(number, to, &packet);
                }
                Output::Event(event) => self.tell(event),
                Output::Frame { stream, frame } => self.push(stream, frame),
                Output::ApplicationBegins { operation, descriptor, rate } => {
                    self.begin_application(now, operation, descriptor, rate);
                }
                Output::ApplicationFrame { operation, frame } => self.write_application(now, operation, &frame),
                Output::ApplicationTold { operation, told } => self.tell_application(now, operation, told),
                // Closed, it is out of epoll too.
                Output::ApplicationEnds { operation } => drop(self.applications.remove(&operation)),
                Output::Load { operation, descriptor, rate } => {
                    let file = self.descriptors.remove(&descriptor);
                    let load = |file| self.files.load.send(load::Job { operation, file, rate }).is_ok();
                    let sent = file.is_some_and(load);
                    if !sent {
                        self.msp.handle(now, Input::Failed { operation, end: End::Failed });
                    }
                }
                Output::RecordingBegins { operation, descriptor, rate } => match self.descriptors.remove(&descriptor) {
                    Some(file) => self.write(record::Job::Begin { operation, file, rate }),
                    None => self.msp.handle(now, Input::Failed { operation, end: End::Failed }),
                },
                Output::Recorded { operation, octets } => self.write(record::Job::Audio { operation, octets }),
                Output::RecordingEnds { operation } => {
                    self.finishing.insert(operation, None);
                    self.write(record::Job::Finish { operation });
                }
            }
        }
    }

    fn send(&mut self, number: Option<usize>, to: SocketAddr, packet: &Packet) {
        let udp = number.and_then(|number| self.sockets.udp(number));
        match udp.map(|udp| udp.send_to(packet.as_slice(), to)) {
            Some(Ok(_)) => self.counters.sent += 1,
            Some(Err(_)) | None => self.counters.unsent += 1,
        }
    }

    fn push(&mut self, stream: StreamId, frame: Frame) {
        let Some(rings) = self.rings.get_mut(&stream) else { return };
        if rings.to_provider.push(frame).is_err() {
            self.counters.lost_frames += 1;
        }
        (rings.notify)();
    }

    /// Tells an event; that a recording ended only once its file is complete.
    fn tell(&mut self, event: Event) {
        if let Event::Ended { operation, .. } = &event
            && let Some(waiting) = self.finishing.get_mut(operation)
        {
            *waiting = Some(event);
            return;
        }
        (self.on_event)(event);
    }

    fn publish(&self) {
        let counted = self.msp.counters();
        let counters = Counters {
            relayed: counted.relayed,
            dropped: counted.dropped() + self.counters.unclaimed,
            wrong_source: counted.wrong_source,
            late: counted.late,
            skipped_ticks: counted.skipped_ticks,
            ..self.counters
        };
        self.shared.publish(counters);
    }

    /// Hands on what is to be written, and leaves the streams.
    fn leave(mut self) -> Left {
        self.msp.hand_on_recordings();
        self.drain(now());
        for job in self.unwritten.drain(..) {
            let _ = self.files.record.send(job);
        }
        self.publish();
        Left { msp: self.msp, on_event: self.on_event, inbox: self.inbox, finishing: self.finishing }
    }
}

fn watch(epoll: &Epoll, fd: impl std::os::fd::AsFd, token: u64) -> io::Result<()> {
    Ok(epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token))?)
}

/// The node's monotonic clock, the one that the timer runs on.
pub(crate) fn now() -> Time {
    let time = nix::time::ClockId::CLOCK_MONOTONIC.now().expect("Linux has a monotonic clock");
    Time(u64::try_from(time.num_microseconds()).unwrap_or(0))
}
