//! One media thread and what it owns.

use crate::counters::{Counters, Shared};
use crate::{EngineConfig, EngineError, Stopped, application, load, record};
use msp_rtp::Msp;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::sys::timer::{Expiration, TimerSetTimeFlags};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use tapi::{End, OperationId, Time};
use tspi::media::{Command, DescriptorId, Event, Frame, Input, LocalMedia, MediaProvider, Output, Packet, StreamId};

mod applications;

mod mark;
mod recordings;

const WAKE: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;
/// Added to the number of an operation: its application's socket.
const APPLICATION: u64 = 1 << 62;
/// Longest datagram that is looked at; a longer one cannot be valid.
const DATAGRAM: usize = 2048;
/// Things to do that wait for the thread that writes recordings.
const RECORD_QUEUE: usize = 2048;
/// The nice value that is asked for.
const NICE: i32 = -11;

/// What the media thread is told.
pub(crate) enum Message {
    Command(Command),
    Give(DescriptorId, OwnedFd),
    Discard(DescriptorId),
    Frames(StreamId, Rings),
    /// A file was read, or could not be.
    Loaded(OperationId, Option<Arc<[i16]>>),
    /// A recording cannot go on.
    WriteFailed(OperationId, End),
    /// A recording's file is complete, or failed before it was.
    Written(OperationId, Option<End>),
    Stop,
}

/// The engine's ends of a [`FramePort`](crate::FramePort).
pub(crate) struct Rings {
    pub from_provider: rtrb::Consumer<Frame>,
    pub to_provider: rtrb::Producer<Frame>,
    pub notify: Box<dyn Fn() + Send>,
}

/// Wakes the media thread.
#[derive(Clone, Debug)]
pub(crate) struct Waker(Arc<EventFd>);

impl Waker {
    pub(crate) fn new() -> io::Result<Waker> {
        Ok(Waker(Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?)))
    }

    pub(crate) fn wake(&self) {
        // It fails only when it is about to overflow: then the thread is being woken anyhow.
        let _ = self.0.write(1);
    }
}

struct Socket {
    port: u16,
    udp: UdpSocket,
    stream: Option<StreamId>,
    carries: Carries,
}

/// What a socket is bound for.
#[derive(Clone, Copy, PartialEq)]
enum Carries {
    Rtp,
    Rtcp,
}

/// The threads that touch files.
struct Files {
    load: Sender<load::Job>,
    record: SyncSender<record::Job>,
    threads: [JoinHandle<()>; 2],
}

/// What one media thread owns.
pub(crate) struct Shard {
    msp: Msp,
    on_event: Box<dyn Fn(Event) + Send>,
    inbox: Receiver<Message>,
    files: Files,
    epoll: Epoll,
    waker: Waker,
    timer: TimerFd,
    armed: Option<Time>,
    sockets: Vec<Socket>,
    ports: BTreeMap<u16, usize>,
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

impl Shard {
    pub(crate) fn new(
        config: EngineConfig,
        on_event: Box<dyn Fn(Event) + Send>,
        (messages, inbox): (Sender<Message>, Receiver<Message>),
        waker: Waker,
        shared: Arc<Shared>,
    ) -> Result<Shard, EngineError> {
        let mut msp = match &config.state {
            Some(state) => serde_json::from_slice(state).map_err(|error| EngineError::State(error.to_string()))?,
            None => Msp::new(config.seed),
        };
        if config.state.is_some() {
            msp.restored();
        }
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(io::Error::from)?;
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).map_err(io::Error::from)?;
        watch(&epoll, &*waker.0, WAKE)?;
        watch(&epoll, &timer, TIMER)?;
        let mut shard = Shard {
            msp,
            on_event,
            inbox,
            files: Files::start(&messages, &waker)?,
            epoll,
            waker,
            timer,
            armed: None,
            sockets: Vec::with_capacity(config.sockets.len()),
            ports: BTreeMap::new(),
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
        for (port, udp) in config.sockets {
            udp.set_nonblocking(true)?;
            mark::mark(&udp, config.dscp);
            let number = shard.sockets.len();
            watch(&shard.epoll, &udp, number as u64)?;
            shard.ports.insert(port, number);
            shard.sockets.push(Socket { port, udp, stream: None, carries: Carries::Rtp });
        }
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
    pub(crate) fn run(mut self) -> Stopped {
        // Without the right to it the thread goes on as it is.
        let _ = rustix::process::setpriority_process(None, NICE);
        let mut events = [EpollEvent::empty(); 256];
        let mut room = [0u8; DATAGRAM];
        self.drain(now());
        loop {
            self.arm();
            let ready = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(ready) => ready,
                Err(Errno::EINTR) => 0,
                Err(error) => {
                    tracing::error!(%error, "media thread cannot wait");
                    return self.leave();
                }
            };
            let at = now();
            for event in events.iter().take(ready) {
                match event.data() {
                    WAKE => {
                        if let Next::Stop = self.take_messages(at) {
                            return self.leave();
                        }
                    }
                    TIMER => self.expired(),
                    number if number & APPLICATION != 0 => {
                        self.read_application(at, OperationId(number & !APPLICATION));
                    }
                    socket => self.receive(at, socket as usize, &mut room),
                }
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
        // Read first: what is sent after this wakes again.
        let _ = self.waker.0.read();
        while let Ok(message) = self.inbox.try_recv() {
            if let Message::Stop = message {
                return Next::Stop;
            }
            self.take(now, message);
            self.drain(now);
        }
        Next::Wait
    }

    fn take(&mut self, now: Time, message: Message) {
        match message {
            Message::Command(command) => self.command(now, command),
            Message::Give(descriptor, file) => {
                self.descriptors.insert(descriptor, file);
            }
            Message::Discard(descriptor) => {
                self.descriptors.remove(&descriptor);
            }
            Message::Frames(stream, rings) => {
                self.rings.insert(stream, rings);
            }
            Message::Loaded(operation, Some(samples)) => self.msp.handle(now, Input::Loaded { operation, samples }),
            Message::Loaded(operation, None) => self.msp.handle(now, Input::Failed { operation, end: End::Failed }),
            Message::WriteFailed(operation, end) => self.msp.handle(now, Input::Failed { operation, end }),
            Message::Written(operation, failed) => self.written(operation, failed),
            Message::Stop => {}
        }
    }

    fn command(&mut self, now: Time, command: Command) {
        let closed = match &command {
            Command::Open { local: LocalMedia::Rtp(local) } => {
                self.claim(local.stream, local.port);
                if let Some(port) = local.rtcp_port {
                    self.claim_control(local.stream, port);
                }
                None
            }
            Command::Close { stream } => Some(*stream),
            _ => None,
        };
        self.msp.handle(now, Input::Command(command));
        if let Some(stream) = closed {
            self.drain(now);
            self.rings.remove(&stream);
            for number in self.streams.remove(&stream).into_iter().chain(self.controls.remove(&stream)) {
                if let Some(socket) = self.sockets.get_mut(number) {
                    socket.stream = socket.stream.filter(|other| *other != stream);
                }
            }
        }
    }

    fn claim(&mut self, stream: StreamId, port: u16) {
        match self.ports.get(&port).and_then(|number| Some((*number, self.sockets.get_mut(*number)?))) {
            Some((number, socket)) => {
                socket.stream = Some(stream);
                socket.carries = Carries::Rtp;
                self.streams.insert(stream, number);
            }
            None => tracing::error!(stream = stream.0, port, "stream on a port that is not bound"),
        }
    }

    /// Takes the port of a stream's RTCP; one that is not bound is done without.
    fn claim_control(&mut self, stream: StreamId, port: u16) {
        let Some(number) = self.ports.get(&port).copied() else { return };
        if let Some(socket) = self.sockets.get_mut(number) {
            socket.stream = Some(stream);
            socket.carries = Carries::Rtcp;
            self.controls.insert(stream, number);
        }
    }

    /// Takes one datagram of a socket that is readable. `epoll` tells again of one that still is: so no call is spent on
    /// finding a socket empty, and one with a backlog takes turns with the others.
    fn receive(&mut self, now: Time, number: usize, room: &mut [u8; DATAGRAM]) {
        let Some(socket) = self.sockets.get(number) else { return };
        let Ok((length, from)) = socket.udp.recv_from(room) else { return };
        self.counters.received += 1;
        let Some(stream) = socket.stream else {
            self.counters.unclaimed += 1;
            return;
        };
        let bytes = room.get(..length).unwrap_or_default();
        let input = match socket.carries {
            Carries::Rtp => Input::Packet { stream, from, bytes },
            Carries::Rtcp => Input::Control { stream, from, bytes },
        };
        self.msp.handle(now, input);
        self.drain(now);
    }

    fn tick(&mut self, now: Time) {
        self.retry();
        if self.msp.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        for (stream, rings) in &mut self.rings {
            while let Ok(frame) = rings.from_provider.pop() {
                self.msp.handle(now, Input::Frame { stream: *stream, frame: &frame });
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
                // Closed, it is out of epoll too.
                Output::ApplicationEnds { operation } => drop(self.applications.remove(&operation)),
                Output::Load { operation, descriptor } => {
                    let file = self.descriptors.remove(&descriptor);
                    let sent = file.is_some_and(|file| self.files.load.send(load::Job { operation, file }).is_ok());
                    if !sent {
                        self.msp.handle(now, Input::Failed { operation, end: End::Failed });
                    }
                }
                Output::RecordingBegins { operation, descriptor } => match self.descriptors.remove(&descriptor) {
                    Some(file) => self.write(record::Job::Begin { operation, file }),
                    None => self.msp.handle(now, Input::Failed { operation, end: End::Failed }),
                },
                Output::Recorded { operation, received, sent } => {
                    self.write(record::Job::Frame { operation, received, sent });
                }
                Output::RecordingEnds { operation } => {
                    self.finishing.insert(operation, None);
                    self.write(record::Job::Finish { operation });
                }
            }
        }
    }

    fn send(&mut self, number: Option<usize>, to: SocketAddr, packet: &Packet) {
        let socket = number.and_then(|number| self.sockets.get(number));
        match socket.map(|socket| socket.udp.send_to(packet.as_slice(), to)) {
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

    /// Completes the recordings, tells what is left to tell, and leaves streams and sockets.
    fn leave(mut self) -> Stopped {
        for job in self.unwritten.drain(..) {
            let _ = self.files.record.send(job);
        }
        let Files { load, record, threads } = self.files;
        drop((load, record));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread that reads or writes audio files had died");
            }
        }
        while let Ok(message) = self.inbox.try_recv() {
            if let Message::Written(operation, failed) = message
                && let Some(Some(Event::Ended { operation, stream, end, millis })) = self.finishing.remove(&operation)
            {
                (self.on_event)(Event::Ended { operation, stream, end: failed.unwrap_or(end), millis });
            }
        }
        let state = serde_json::to_vec(&self.msp).unwrap_or_else(|error| {
            tracing::error!(%error, "media state cannot be kept");
            Vec::new()
        });
        let sockets = self.sockets.into_iter().map(|socket| (socket.port, socket.udp)).collect();
        Stopped { state, sockets }
    }
}

impl Files {
    fn start(messages: &Sender<Message>, waker: &Waker) -> io::Result<Files> {
        let (load, to_load) = channel();
        let (record, to_record) = sync_channel(RECORD_QUEUE);
        let (results, wake) = (messages.clone(), waker.clone());
        let loader = std::thread::Builder::new()
            .name("media-load".into())
            .spawn(move || load::run(&to_load, &results, &wake))?;
        let (results, wake) = (messages.clone(), waker.clone());
        let writer = std::thread::Builder::new()
            .name("media-record".into())
            .spawn(move || record::run(&to_record, &results, &wake))?;
        Ok(Files { load, record, threads: [loader, writer] })
    }
}

fn watch(epoll: &Epoll, fd: impl std::os::fd::AsFd, token: u64) -> io::Result<()> {
    Ok(epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token))?)
}

/// The node's monotonic clock, the one that the timer runs on.
fn now() -> Time {
    let time = nix::time::ClockId::CLOCK_MONOTONIC.now().expect("Linux has a monotonic clock");
    Time(u64::try_from(time.num_microseconds()).unwrap_or(0))
}
