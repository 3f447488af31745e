//! The switch: all streams, what is joined to what, and the 20 ms tick.

use crate::detect::Found;
use crate::generate::{Generate, Pace};
use crate::jitter::Bounds;
use crate::mixer::Mixes;
use crate::rtp::Arrival;
use crate::stats::{Counters, Stats};
use crate::stream::{Joined, Spoken, Stream, Wire};
use crate::tone::Meter;
use crate::wire::{Admitted, Payload, Relayed, RtpWire};
use serde::{Deserialize, Serialize};
use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;
use tapi::{End, OperationId, Time};
use tspi::Random;
use tspi::media::{Command, Event, Frame, Input, LocalMedia, MediaProvider, Output, Packet, RemoteMedia, StreamId};

mod carry;
mod ops;
mod upkeep;

pub use carry::Carried;

/// The tick, in microseconds.
const TICK: u64 = 20_000;
/// The last tick before this moment, or at it.
pub fn last_tick(now: Time) -> Time {
    Time(now.0 / TICK * TICK)
}

/// Ticks that are made up for when the clock comes late; more are left out.
const MAX_CATCH_UP: u32 = 5;

/// The media provider: all streams of a node and what is joined to what.
///
/// A snapshot may be taken whenever all outputs were taken. Ticks are at whole multiples of 20 ms, so that a provider
/// goes on where its snapshot was taken.
#[derive(Debug, Serialize, Deserialize)]
pub struct Msp {
    random: Random,
    streams: BTreeMap<StreamId, Stream>,
    operations: BTreeMap<OperationId, StreamId>,
    counters: Counters,
    tick_at: Option<Time>,
    playout: Bounds,
    /// When which stream is to be looked after.
    timers: BTreeSet<(Time, StreamId)>,
    #[serde(skip)]
    outputs: VecDeque<Output>,
    #[serde(skip)]
    order: Vec<StreamId>,
    /// Where protected packets are opened.
    #[serde(skip)]
    room: Vec<u8>,
    #[serde(skip)]
    mixes: Mixes,
}

impl Msp {
    /// Without streams. `seed` gives SSRCs, first sequence numbers and first timestamps.
    pub fn new(seed: [u8; 32]) -> Msp {
        Msp {
            random: Random::from_seed(seed),
            streams: BTreeMap::new(),
            operations: BTreeMap::new(),
            counters: Counters::default(),
            tick_at: None,
            playout: Bounds::default(),
            timers: BTreeSet::new(),
            outputs: VecDeque::new(),
            order: Vec::new(),
            room: Vec::new(),
            mixes: Mixes::default(),
        }
    }

    /// Sets the least and the most delay of playout buffers, 20 to 200 ms, for streams that are opened from now on.
    pub fn set_playout(&mut self, least_ms: u32, most_ms: u32) {
        self.playout = Bounds::from_millis(least_ms, most_ms);
    }

    /// To be called once after deserialising: playbacks and recordings, whose files are gone, end with `restarted`.
    pub fn restored(&mut self) {
        for (id, stream) in &mut self.streams {
            let play = stream.play.take().map(|play| (play.operation, play.millis()));
            let record = stream.record.take().map(|record| (record.operation, record.millis()));
            let application =
                stream.application.take().map(|application| (application.operation, application.millis()));
            for (operation, millis) in play.into_iter().chain(record).chain(application) {
                self.operations.remove(&operation);
                let ended = Event::Ended { operation, stream: *id, end: End::Restarted, millis };
                self.outputs.push_back(Output::Event(ended));
            }
        }
    }

    /// The streams, with their ports where they are RTP.
    pub fn streams(&self) -> impl Iterator<Item = (StreamId, Option<u16>)> + '_ {
        self.streams.iter().map(|(id, stream)| {
            let port = match &stream.wire {
                Wire::Rtp(wire) => Some(wire.port),
                Wire::Frames(_) => None,
            };
            (*id, port)
        })
    }

    /// What all streams together met.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What one stream met.
    pub fn stats(&self, stream: StreamId) -> Option<Stats> {
        self.streams.get(&stream).map(Stream::stats)
    }

    fn command(&mut self, now: Time, command: Command) {
        match command {
            Command::Open { local } => self.open(local),
            Command::Connect { stream, remote } => self.connect(now, stream, &remote),
            Command::Close { stream } => self.close(now, stream),
            Command::Join { a, b } => self.join(a, b),
            Command::Part { stream } => self.part(stream),
            Command::Play { operation, stream, descriptor, repeat } => {
                self.play(operation, stream, descriptor, repeat);
            }
            Command::Record { operation, stream, descriptor, max_ms } => {
                self.record(operation, stream, descriptor, max_ms);
            }
            Command::Digits { operation, stream, digits, duration_ms } => {
                self.generate(operation, stream, Generate::digits(operation, &digits, duration_ms));
            }
            Command::Tone { operation, stream, hz, duration_ms, level_dbm0 } => {
                self.generate(operation, stream, Generate::tone(operation, &hz, duration_ms, level_dbm0));
            }
            Command::Progress { operation, stream, tone, country, duration_ms } => {
                self.generate(operation, stream, Generate::progress(operation, &country, tone, duration_ms));
            }
            Command::Application { operation, stream, descriptor, rate } => {
                self.application(operation, stream, descriptor, rate);
            }
            Command::Pause { operation } => self.pace(operation, Pace::Stands),
            Command::Resume { operation } => self.pace(operation, Pace::Runs),
            Command::Detect { stream, digits, progress, country } => {
                self.detect(stream, digits, progress, country.as_deref());
            }
            Command::Mix { stream, mixer } => self.mix(stream, Some(mixer)),
            Command::Unmix { stream } => self.mix(stream, None),
            Command::Stop { operation } => self.stop(operation, End::Cancelled),
            Command::MonitorTones { stream, hz } => match self.streams.get_mut(&stream) {
                Some(stream) => stream.meter = if hz.is_empty() { None } else { Some(Meter::new(&hz)) },
                None => self.counters.misdirected += 1,
            },
        }
        self.wake(now);
    }

    fn open(&mut self, local: LocalMedia) {
        let (id, wire) = match local {
            LocalMedia::Rtp(rtp) => {
                let mut wire = Box::new(RtpWire::new(rtp.port, &mut self.random));
                wire.control_port = rtp.rtcp_port;
                (rtp.stream, Wire::Rtp(wire))
            }
            LocalMedia::Frames { stream } => (stream, Wire::Frames(None)),
            LocalMedia::None => {
                self.counters.misdirected += 1;
                return;
            }
        };
        match self.streams.entry(id) {
            Entry::Vacant(vacant) => {
                vacant.insert(Stream::new(wire, self.playout));
            }
            Entry::Occupied(_) => self.counters.misdirected += 1,
        }
    }

    fn connect(&mut self, now: Time, id: StreamId, remote: &RemoteMedia) {
        let mut first = None;
        match (self.streams.get_mut(&id).map(|stream| &mut stream.wire), remote) {
            (Some(Wire::Rtp(wire)), RemoteMedia::Rtp(remote)) => {
                wire.connect(now, remote, &mut self.random, &mut self.counters);
                if !wire.sent_lately(now) {
                    first = wire.silence(now);
                }
            }
            (Some(Wire::Frames(direction)), RemoteMedia::Frames { direction: agreed }) => *direction = Some(*agreed),
            _ => self.counters.misdirected += 1,
        }
        self.send(id, first);
        self.schedule(id);
    }

    fn close(&mut self, now: Time, id: StreamId) {
        self.part(id);
        self.tell_statistics(id);
        let Some(mut stream) = self.streams.remove(&id) else { return };
        self.unschedule(id, &stream);
        if let Wire::Rtp(wire) = &mut stream.wire
            && let Some(bye) = wire.bye(now)
        {
            self.send_datagram(id, bye);
        }
        if let Some(generate) = stream.generate {
            self.ended(generate.operation, id, End::CallEnded, generate.millis());
        }
        if let Some(play) = stream.play {
            self.ended(play.operation, id, End::CallEnded, play.millis());
        }
        if let Some(application) = stream.application {
            self.outputs.push_back(Output::ApplicationEnds { operation: application.operation });
            self.ended(application.operation, id, End::CallEnded, application.millis());
        }
        if let Some(record) = stream.record {
            self.end_recording(id, record, End::CallEnded);
        }
    }

    fn join(&mut self, a: StreamId, b: StreamId) {
        if !self.streams.contains_key(&a) || !self.streams.contains_key(&b) {
            self.counters.misdirected += 1;
            return;
        }
        self.part(a);
        self.part(b);
        for (one, other) in [(a, b), (b, a)] {
            if let Some(stream) = self.streams.get_mut(&one) {
                stream.joined = Some(other);
                stream.mixer = None;
            }
        }
    }

    fn part(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            self.counters.misdirected += 1;
            return;
        };
        let other = stream.joined.take();
        if let Some(stream) = other.and_then(|other| self.streams.get_mut(&other)) {
            stream.joined = None;
        }
    }

    fn send(&mut self, stream: StreamId, packet: Option<(SocketAddr, Packet)>) {
        if let Some((to, packet)) = packet {
            self.counters.sent += 1;
            self.outputs.push_back(Output::Packet { stream, to, packet });
        }
    }

    /// Sends what a tick made beside its first packet.
    fn send_second(&mut self, id: StreamId) {
        while let Some(Wire::Rtp(wire)) = self.streams.get_mut(&id).map(|stream| &mut stream.wire)
            && let Some(packet) = wire.second.pop()
        {
            self.send(id, Some(packet));
        }
    }

    fn packet(&mut self, now: Time, id: StreamId, from: SocketAddr, bytes: &[u8]) {
        let mut room = std::mem::take(&mut self.room);
        self.rtp(now, id, from, bytes, &mut room);
        self.room = room;
    }

    fn control(&mut self, now: Time, id: StreamId, from: SocketAddr, bytes: &[u8]) {
        self.counters.received += 1;
        match self.streams.get_mut(&id).map(|stream| &mut stream.wire) {
            Some(Wire::Rtp(wire)) => wire.control(now, from, (bytes, false), &mut self.room, &mut self.counters),
            _ => self.counters.unknown_stream += 1,
        }
        self.schedule(id);
    }

    fn rtp(&mut self, now: Time, id: StreamId, from: SocketAddr, bytes: &[u8], room: &mut Vec<u8>) {
        self.counters.received += 1;
        let Some(stream) = self.streams.get(&id) else {
            self.counters.unknown_stream += 1;
            return;
        };
        let joined = stream.joined.and_then(|other| Some((other, self.streams.get(&other)?)));
        let listened = stream.is_listened(joined.map(|(_, other)| other));
        let relay_to =
            joined.filter(|(_, other)| stream.relays_to(other)).map(|(number, other)| (number, other.packet_limit()));
        let Some(Wire::Rtp(wire)) = self.streams.get_mut(&id).map(|stream| &mut stream.wire) else {
            self.counters.unknown_stream += 1;
            return;
        };
        let admitted = wire.admit(now, from, bytes, room, &mut self.counters);
        // The first packet that is too long is split already.
        let split = relay_to.is_some_and(|(_, limit)| wire.packet_ms() > limit);
        if wire.is_colliding() {
            self.schedule(id);
        }
        let listened = listened || split;
        let relay_to = relay_to.filter(|_| !split).map(|(other, _)| other);
        let Some(admitted) = admitted else { return };
        let Admitted { run, arrival, digit, payload, marker, sequence, timestamp, bytes } = admitted;
        let relayed = Relayed { from: id.0, run, payload, marker, sequence, timestamp, bytes };
        if let Some(digit) = digit
            && self.tells_digit(now, id, digit)
        {
            self.outputs.push_back(Output::Event(Event::Digit { stream: id, digit, duration_ms: None }));
        }
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if arrival == Arrival::First {
            stream.forget_heard();
        }
        match relayed.payload {
            Payload::Audio(audio) if listened => {
                self.counters.late += stream.decode(now, audio, relayed.timestamp, relayed.bytes);
                self.wake(now);
            }
            Payload::ComfortNoise if listened => {
                stream.comfort(relayed.bytes);
                self.wake(now);
            }
            Payload::Audio(_) | Payload::ComfortNoise => {}
            Payload::Events => self.wake(now),
        }
        if let Some(Wire::Rtp(wire)) = relay_to.and_then(|to| self.streams.get_mut(&to)).map(|stream| &mut stream.wire)
        {
            let packet = wire.relay(now, relayed);
            self.counters.relayed += u64::from(packet.is_some());
            self.send(relay_to.unwrap_or(id), packet);
        }
    }

    fn frame(&mut self, now: Time, id: StreamId, frame: &Frame) {
        let Some(stream) = self.streams.get(&id) else {
            self.counters.unknown_stream += 1;
            return;
        };
        let listened = stream.is_listened(stream.joined.and_then(|other| self.streams.get(&other)));
        if !matches!(stream.wire, Wire::Frames(_)) || !stream.receives() {
            self.counters.muted += 1;
        } else if let Some(stream) = self.streams.get_mut(&id) {
            stream.carried.0 += 1;
            if listened {
                stream.jitter().frame(now, frame);
                self.wake(now);
            }
        }
    }

    /// Asks for a tick.
    fn wake(&mut self, now: Time) {
        if self.tick_at.is_none() {
            self.tick_at = Some(Time((now.0 / TICK + 1) * TICK));
        }
    }

    fn timeout(&mut self, now: Time) {
        for _ in 0..MAX_CATCH_UP {
            match self.tick_at {
                Some(at) if at <= now => self.tick(at),
                _ => break,
            }
        }
        if let Some(at) = self.tick_at.filter(|at| *at <= now) {
            let skipped = (now.0 - at.0) / TICK + 1;
            self.counters.skipped_ticks += skipped;
            self.tick_at = Some(Time(at.0 + skipped * TICK));
        }
        self.look_after(now);
    }

    fn tick(&mut self, at: Time) {
        let mut order = std::mem::take(&mut self.order);
        order.clear();
        order.extend(
            self.streams.iter().filter(|(_, stream)| Self::takes_part(&self.streams, stream)).map(|(id, _)| *id),
        );
        for id in &order {
            let Some(stream) = self.streams.get(id) else { continue };
            let listened = stream.is_listened(stream.joined.and_then(|other| self.streams.get(&other)));
            if let Some(stream) = self.streams.get_mut(id) {
                stream.hear(at, listened);
            }
        }
        self.sum_up(&order);
        for id in &order {
            let Some(stream) = self.streams.get(id) else { continue };
            let other = stream.joined.and_then(|other| self.streams.get(&other));
            let mixed = || Joined { heard: self.mixed(stream), ..Joined::default() };
            let joined = other.map_or_else(mixed, |other| other.offer(stream, at));
            if let Some(stream) = self.streams.get_mut(id) {
                let spoken = stream.speak(at, joined);
                self.spoken(*id, spoken);
            }
        }
        self.order = order;
        let goes_on = self.streams.values().any(Stream::is_active);
        self.tick_at = if goes_on { Some(at + Duration::from_micros(TICK)) } else { None };
    }

    /// Whether a stream, or the one it is joined with, has something to do.
    fn takes_part(streams: &BTreeMap<StreamId, Stream>, stream: &Stream) -> bool {
        stream.is_active()
            || stream.mixer.is_some()
            || stream.joined.and_then(|other| streams.get(&other)).is_some_and(Stream::is_active)
    }

    fn spoken(&mut self, id: StreamId, spoken: Spoken) {
        self.send(id, spoken.packet);
        self.send_second(id);
        if let Some(frame) = spoken.frame {
            self.outputs.push_back(Output::Frame { stream: id, frame });
            self.carried(id);
        }
        if let Some(measured) = spoken.measured {
            let event = Event::Tones { stream: id, tones: measured.tones, level_ddbm0: measured.level_ddbm0 };
            self.outputs.push_back(Output::Event(event));
        }
        if let Some(digit) = spoken.digit {
            self.outputs.push_back(Output::Event(Event::Digit { stream: id, digit, duration_ms: None }));
        }
        if let Some(Found { tone, measured }) = spoken.found {
            self.outputs.push_back(Output::Event(Event::Progress { stream: id, tone, measured }));
        }
        if let Some((operation, frame)) = spoken.application {
            self.outputs.push_back(Output::ApplicationFrame { operation, frame });
            self.tell_application(id);
        }
        for (operation, millis) in spoken.generated.into_iter().chain(spoken.played) {
            self.ended(operation, id, End::Done, millis);
        }
        if let Some((operation, octets)) = spoken.recorded {
            self.outputs.push_back(Output::Recorded { operation, octets });
        }
        if let Some(operation) = spoken.record_full {
            self.stop(operation, End::Done);
        }
    }
}

impl MediaProvider for Msp {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Command(command) => self.command(now, command),
            Input::Packet { stream, from, bytes } => self.packet(now, stream, from, bytes),
            Input::Control { stream, from, bytes } => self.control(now, stream, from, bytes),
            Input::Frame { stream, frame } => self.frame(now, stream, frame),
            Input::ApplicationFrame { operation, frame } => self.application_frame(operation, frame),
            Input::ApplicationAsks { operation, ask } => self.application_asks(operation, ask),
            Input::Loaded { operation, samples, rate } => {
                self.loaded(operation, samples, rate);
                self.wake(now);
            }
            Input::Failed { operation, end } => self.stop(operation, end),
            Input::Timeout => self.timeout(now),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.tick_at.into_iter().chain(self.timers.first().map(|(at, _)| *at)).min()
    }
}
