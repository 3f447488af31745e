//! One stream: its wire, what it is joined with, and the operations on it.

use crate::application::Application;
use crate::codec::{Audio, Noise};
use crate::detect::Found;
use crate::event::{EventSender, code_of};
use crate::generate::{Generate, Play, Sound};
use crate::jitter::{Bounds, Jitter};
use crate::listen::Listener;
use crate::record::Record;
use crate::resample::Converter;
use crate::stats::Stats;
use crate::tone::{Measured, Meter, Tone};
use crate::wire::RtpWire;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use tapi::{MediaStatistics, OperationId, Time};
use tspi::media::{AudioFrame, Direction, Frame, MixerId, Packet, Rate, StreamId};

/// What a stream's audio runs over.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Wire {
    Rtp(Box<RtpWire>),
    /// A service provider's port; `None` until the far end is known.
    Frames(Option<Direction>),
}

/// A digit of the stream that this one is joined with, made anew for a far end that cannot have it as it came.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Passing {
    Event { began: Time, sender: EventSender },
    Tone { began: Time, tone: Tone },
}

/// A stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stream {
    pub wire: Wire,
    pub joined: Option<StreamId>,
    pub mixer: Option<MixerId>,
    pub application: Option<Box<Application>>,
    pub listener: Option<Box<Listener>>,
    pub play: Option<Play>,
    pub record: Option<Record>,
    pub generate: Option<Generate>,
    pub meter: Option<Meter>,
    /// When it is put down to be looked after.
    pub timer: Option<Time>,
    passing: Option<Passing>,
    /// Frames that a service provider gave and got.
    pub carried: (u64, u64),
    playout: Bounds,
    jitter: Option<Box<Jitter>>,
    /// Comfort noise, from when it was told until audio comes.
    noise: Option<Noise>,
    /// To the rate of what is sent, of the mixer, and of who listens to tones and digits.
    outward: Converter,
    into_mixer: Converter,
    to_ear: Converter,
    /// What a mixer's own voice said in the last tick.
    #[serde(skip)]
    voice: Option<AudioFrame>,
    /// Within a tick: what was heard.
    #[serde(skip)]
    heard: Option<AudioFrame>,
}

/// What the joined stream gives to one that does not get its packets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Joined {
    /// What it heard.
    pub heard: Option<AudioFrame>,
    /// The digit that its far end sends now, and since when.
    pub digit: Option<(char, Time)>,
    /// Whether its packets are relayed: then what it heard was sent already.
    pub relayed: bool,
}

/// What came of 20 ms.
#[allow(clippy::large_enum_variant, reason = "moved once and never allocated")]
#[derive(Debug, Default)]
pub(crate) struct Spoken {
    pub packet: Option<(SocketAddr, Packet)>,
    pub frame: Option<Frame>,
    pub generated: Option<(OperationId, u64)>,
    pub played: Option<(OperationId, u64)>,
    pub recorded: Option<(OperationId, Vec<u8>)>,
    pub record_full: Option<OperationId>,
    pub measured: Option<Measured>,
    pub digit: Option<char>,
    pub found: Option<Found>,
    /// What an application gets.
    pub application: Option<(OperationId, AudioFrame)>,
}

impl Stream {
    pub fn new(wire: Wire, playout: Bounds) -> Stream {
        let playout = match wire {
            Wire::Rtp(_) => playout,
            Wire::Frames(_) => playout.at_hand(),
        };
        Stream {
            wire,
            joined: None,
            mixer: None,
            application: None,
            listener: None,
            play: None,
            record: None,
            generate: None,
            meter: None,
            timer: None,
            passing: None,
            carried: (0, 0),
            playout,
            jitter: None,
            noise: None,
            outward: Converter::default(),
            into_mixer: Converter::default(),
            to_ear: Converter::default(),
            voice: None,
            heard: None,
        }
    }

    /// Frames that lead to nobody, in a mixer: what is played here is heard by all in it, and what they say is heard here.
    fn is_voice_of_mixer(&self) -> bool {
        matches!(self.wire, Wire::Frames(None)) && self.mixer.is_some()
    }

    fn rtp(&self) -> Option<&RtpWire> {
        match &self.wire {
            Wire::Rtp(wire) => Some(wire),
            Wire::Frames(_) => None,
        }
    }

    /// What goes on in it.
    pub fn operations(&self) -> impl Iterator<Item = OperationId> {
        let play = self.play.as_ref().map(|play| play.operation);
        let record = self.record.as_ref().map(|record| record.operation);
        let generate = self.generate.as_ref().map(|generate| generate.operation);
        let application = self.application.as_ref().map(|application| application.operation);
        [play, record, generate, application].into_iter().flatten()
    }

    fn is_connected(&self) -> bool {
        match &self.wire {
            Wire::Rtp(wire) => wire.remote.is_some(),
            Wire::Frames(direction) => direction.is_some(),
        }
    }

    pub fn receives(&self) -> bool {
        match &self.wire {
            Wire::Rtp(wire) => wire.receives(),
            Wire::Frames(direction) => direction.is_some_and(Direction::receives),
        }
    }

    /// Whether it makes what it sends itself, whatever it is joined with.
    fn has_own_sound(&self) -> bool {
        let own = self.generate.is_some() || self.passing.is_some() || self.application.is_some();
        own || self.play.as_ref().is_some_and(Play::is_playing)
    }

    /// The rate of what is sent; none where nothing is agreed yet, or it leads nowhere.
    pub fn rate(&self) -> Option<Rate> {
        match &self.wire {
            Wire::Rtp(wire) => wire.rate(),
            Wire::Frames(direction) => direction.map(|_| Rate::Narrow),
        }
    }

    /// The longest packets that are relayed to the far end, in milliseconds.
    pub fn packet_limit(&self) -> u32 {
        self.rtp().map_or(0, |wire| wire.pace.ptime_ms())
    }

    /// Whether packets that come here can go out on `other` without being decoded.
    pub fn relays_to(&self, other: &Stream) -> bool {
        match (self.rtp(), other.rtp()) {
            (Some(from), Some(to)) => !other.has_own_sound() && from.agrees_with(to),
            _ => false,
        }
    }

    /// Whether anyone wants what is heard here as audio.
    pub fn is_listened(&self, joined: Option<&Stream>) -> bool {
        self.meter.is_some()
            || self.record.is_some()
            || self.listener.is_some()
            || self.application.is_some()
            || self.mixer.is_some()
            || joined.is_some_and(|other| other.record.is_some() || !self.relays_to(other))
    }

    /// Whether the next tick can bring anything about.
    pub fn is_active(&self) -> bool {
        let digits = self.rtp().is_some_and(|wire| wire.digits.is_open());
        let frames = matches!(self.wire, Wire::Frames(Some(_)));
        let heard = self.jitter.as_ref().is_some_and(|jitter| !jitter.is_idle()) || self.noise.is_some();
        let held = self.rtp().is_some_and(|wire| !wire.pace.is_empty());
        let leads_on = self.is_connected() || self.is_voice_of_mixer();
        let own = held || self.voice.is_some() || leads_on && self.has_own_sound();
        digits || frames || heard || own || self.record.is_some() || self.meter.is_some() || self.listener.is_some()
    }

    /// The playout buffer of a service provider's frames, made when it is first needed.
    pub fn jitter(&mut self) -> &mut Jitter {
        self.jitter.get_or_insert_with(|| Box::new(Jitter::new(self.playout, Rate::Narrow)))
    }

    /// Decodes a packet into the playout buffer; gives how many came too late.
    pub fn decode(&mut self, now: Time, audio: Audio, timestamp: u32, payload: &[u8]) -> u64 {
        self.noise = None;
        let Wire::Rtp(wire) = &mut self.wire else { return 0 };
        let rate = audio.rate();
        let kept = self.jitter.take().filter(|jitter| jitter.rate() == rate);
        let jitter = self.jitter.insert(kept.unwrap_or_else(|| Box::new(Jitter::new(self.playout, rate))));
        let late = jitter.counts().late;
        wire.receiver.packet(audio, timestamp, payload, |at, samples| jitter.packet(now, at, samples));
        jitter.counts().late - late
    }

    /// Takes a packet of comfort noise.
    pub fn comfort(&mut self, payload: &[u8]) {
        self.noise = Noise::of(payload);
    }

    /// What the playout buffer gives, with comfort noise in place of what it would make up.
    fn play_out(&mut self, at: Time) -> Option<AudioFrame> {
        let made_up = self.jitter.as_ref().map(|jitter| jitter.counts().concealed);
        let heard = self.jitter.as_mut().and_then(|jitter| jitter.pop(at));
        let real = heard.is_some() && self.jitter.as_ref().map(|jitter| jitter.counts().concealed) == made_up;
        match &mut self.noise {
            Some(noise) if !real => Some(noise.frame().into()),
            _ => heard,
        }
    }

    /// Forgets audio that waits to be played.
    pub fn forget_heard(&mut self) {
        if let Some(jitter) = &mut self.jitter {
            jitter.reset();
        }
    }

    pub fn stats(&self) -> Stats {
        let playout = self.jitter.as_ref().map(|jitter| jitter.counts()).unwrap_or_default();
        let wire =
            self.rtp().map(|wire| Stats { lost: wire.source.lost(), jitter_us: wire.source.jitter_us(), ..wire.stats });
        Stats { late: playout.late, concealed: playout.concealed, ..wire.unwrap_or_default() }
    }

    /// How the stream fares.
    pub fn statistics(&self) -> Option<MediaStatistics> {
        let playout = self.jitter.as_ref().map(|jitter| jitter.counts()).unwrap_or_default();
        let buffer_ms = self.jitter.as_ref().map_or(0, |jitter| jitter.target_ms());
        match &self.wire {
            Wire::Rtp(wire) => Some(wire.statistics(playout.late, playout.concealed, buffer_ms)),
            // What leads nowhere has nothing to tell.
            Wire::Frames(None) => None,
            Wire::Frames(Some(_)) => Some(MediaStatistics {
                received: self.carried.0,
                sent: self.carried.1,
                late: playout.late,
                concealed_ms: playout.concealed * 20,
                buffer_ms,
                ..MediaStatistics::default()
            }),
        }
    }

    /// The first half of a tick: what is heard.
    pub fn hear(&mut self, at: Time, listened: bool) {
        self.heard = self.voice.take();
        if listened && !self.is_voice_of_mixer() {
            self.heard = self.play_out(at);
        } else {
            self.forget_heard();
            self.noise = None;
        }
        if let Wire::Rtp(wire) = &mut self.wire {
            wire.digits.timeout(at);
        }
    }

    /// What a joined stream takes from here.
    pub fn offer(&self, to: &Stream, at: Time) -> Joined {
        let digit = self.rtp().and_then(|wire| wire.digits.sounding(at));
        Joined { heard: self.heard, digit, relayed: self.relays_to(to) }
    }

    /// The second half of a tick: what is sent.
    pub fn speak(&mut self, at: Time, joined: Joined) -> Spoken {
        let mut spoken = Spoken::default();
        if self.is_voice_of_mixer() {
            if let Some(Sound::Audio(frame)) = self.sound(at, &Joined::default(), &mut spoken) {
                self.voice = Some(frame);
            }
            let (received, sent) = (joined.heard, self.voice);
            self.note(at, received.as_ref(), sent.as_ref(), &mut spoken);
            return spoken;
        }
        let sound = if self.is_connected() { self.sound(at, &joined, &mut spoken) } else { None };
        let sound = match (sound, self.rate()) {
            (Some(Sound::Audio(frame)), Some(rate)) => Some(Sound::Audio(self.outward.convert(&frame, rate))),
            (sound, _) => sound,
        };
        let mut sent = match &sound {
            Some(Sound::Audio(frame)) => Some(*frame),
            Some(Sound::Event(_)) | None => None,
        };
        match &mut self.wire {
            Wire::Rtp(wire) => {
                spoken.packet = match &sound {
                    Some(sound) => wire.sound(at, sound),
                    None => wire.flush(at),
                };
                if joined.relayed {
                    sent = joined.heard.or(sent);
                } else if spoken.packet.is_none() {
                    sent = None;
                }
            }
            Wire::Frames(Some(direction)) if direction.sends() => {
                spoken.frame = Some(self.outward.narrow(sent.as_ref().unwrap_or(&AudioFrame::SILENCE)));
            }
            Wire::Frames(_) => sent = None,
        }
        let heard = self.heard;
        self.note(at, heard.as_ref(), sent.as_ref(), &mut spoken);
        spoken
    }

    /// The first source that has something: digits or tone, playback, the joined stream.
    fn sound(&mut self, at: Time, joined: &Joined, spoken: &mut Spoken) -> Option<Sound> {
        let (timestamp, events) = match &mut self.wire {
            Wire::Rtp(wire) => {
                let events = wire.events();
                (wire.timestamp(at), events)
            }
            Wire::Frames(_) => (0, None),
        };
        if let Some(generate) = &mut self.generate {
            if let Some(sound) = generate.step(timestamp, events) {
                return Some(sound);
            }
            spoken.generated = Some((generate.operation, generate.millis()));
            self.generate = None;
        }
        if let Some(play) = self.play.as_mut().filter(|play| play.is_playing()) {
            if let Some(frame) = play.step() {
                return Some(Sound::Audio(frame));
            }
            spoken.played = Some((play.operation, play.millis()));
            self.play = None;
        }
        if let Some(application) = &mut self.application {
            return application.step().map(Sound::Audio);
        }
        if joined.relayed {
            return None;
        }
        self.pass(joined.digit, timestamp, events).or(joined.heard.map(Sound::Audio))
    }

    /// Passes the joined stream's digit on, as an event or as a tone.
    fn pass(&mut self, digit: Option<(char, Time)>, timestamp: u32, events: Option<u32>) -> Option<Sound> {
        match &mut self.passing {
            Some(Passing::Event { began, sender }) => {
                if digit.is_none_or(|(_, since)| since != *began) {
                    sender.finish();
                }
                if let Some(packet) = sender.step() {
                    return Some(Sound::Event(packet));
                }
                self.passing = None;
            }
            Some(Passing::Tone { began, tone }) => {
                if digit.is_some_and(|(_, since)| since == *began) {
                    return Some(Sound::Audio(tone.frame().into()));
                }
                self.passing = None;
            }
            None => {}
        }
        let (digit, began) = digit?;
        let (passing, sound) = if let Some(scale) = events {
            let mut sender = EventSender::new(code_of(digit)?, timestamp, None).with_clock(scale);
            let sound = Sound::Event(sender.step()?);
            (Passing::Event { began, sender }, sound)
        } else {
            let mut tone = Tone::of_digit(digit)?;
            let sound = Sound::Audio(tone.frame().into());
            (Passing::Tone { began, tone }, sound)
        };
        self.passing = Some(passing);
        Some(sound)
    }

    /// What it heard in this tick.
    pub fn heard(&self) -> Option<&AudioFrame> {
        self.heard.as_ref()
    }

    /// Brings what it heard in this tick to the rate of its mixer.
    pub fn enter_mixer(&mut self, rate: Rate) -> Option<&AudioFrame> {
        let frame = self.heard.as_mut()?;
        if frame.rate() != rate || self.into_mixer != Converter::Plain {
            *frame = self.into_mixer.convert(frame, rate);
        }
        Some(frame)
    }

    fn note(&mut self, at: Time, received: Option<&AudioFrame>, sent: Option<&AudioFrame>, spoken: &mut Spoken) {
        let (received, sent) = (received.unwrap_or(&AudioFrame::SILENCE), sent.unwrap_or(&AudioFrame::SILENCE));
        if self.listener.is_some() || self.meter.is_some() {
            let narrow = self.to_ear.narrow(received);
            if let Some(listener) = &mut self.listener {
                (spoken.digit, spoken.found) = listener.frame(at, &narrow);
            }
            if let Some(meter) = &mut self.meter {
                spoken.measured = meter.frame(&narrow);
            }
        }
        if let Some(application) = &mut self.application {
            spoken.application = Some((application.operation, application.heard(received)));
        }
        if let Some(record) = self.record.as_mut() {
            spoken.recorded = record.take(received, sent).map(|octets| (record.operation, octets));
            spoken.record_full = record.is_full().then_some(record.operation);
        }
    }
}
