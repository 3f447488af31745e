//! Operations on streams, what is listened for, and mixers.

use super::Msp;
use crate::application::Application;
use crate::generate::{Generate, Pace, Play};
use crate::listen::Listener;
use crate::record::Record;
use crate::stream::Stream;
use tapi::{End, OperationId, Time};
use tspi::media::{Ask, AudioFrame, DescriptorId, Event, MixerId, Output, Rate, StreamId};

impl Msp {
    /// The stream of a new operation. Where there is none, or the operation exists, nothing begins.
    fn begin(&mut self, operation: OperationId, id: StreamId) -> Option<&mut Stream> {
        if self.operations.contains_key(&operation) {
            self.counters.misdirected += 1;
            return None;
        }
        if !self.streams.contains_key(&id) {
            self.ended(operation, id, End::Failed, 0);
            return None;
        }
        self.operations.insert(operation, id);
        self.streams.get_mut(&id)
    }

    pub(super) fn play(&mut self, operation: OperationId, id: StreamId, descriptor: DescriptorId, repeat: bool) {
        let Some(stream) = self.begin(operation, id) else { return };
        // What the far end takes may not be known yet, nor who will be in a mixer.
        let rate = stream.rate().unwrap_or(Rate::Wide);
        if let Some(before) = stream.play.replace(Play::new(operation, repeat)) {
            self.ended(before.operation, id, End::Cancelled, before.millis());
        }
        self.outputs.push_back(Output::Load { operation, descriptor, rate });
    }

    pub(super) fn record(
        &mut self,
        operation: OperationId,
        id: StreamId,
        descriptor: DescriptorId,
        max_ms: Option<u64>,
    ) {
        let rate = self.recording_rate(id);
        let Some(stream) = self.begin(operation, id) else { return };
        if let Some(before) = stream.record.replace(Record::new(operation, max_ms, rate)) {
            self.end_recording(id, before, End::Cancelled);
        }
        self.outputs.push_back(Output::RecordingBegins { operation, descriptor, rate });
    }

    /// The rate of a recording that begins now: that of the stream, or of its mixer, whichever is higher.
    fn recording_rate(&self, id: StreamId) -> Rate {
        let Some(stream) = self.streams.get(&id) else { return Rate::Narrow };
        let others = self.streams.values().filter(|other| other.mixer.is_some() && other.mixer == stream.mixer);
        others.chain([stream]).filter_map(Stream::rate).max().unwrap_or(Rate::Narrow)
    }

    /// Hands on the rest of a recording, and ends it.
    pub(super) fn end_recording(&mut self, id: StreamId, mut record: Record, end: End) {
        let operation = record.operation;
        let millis = match end {
            End::Failed | End::DiskFull => record.safe_millis(),
            _ => record.millis(),
        };
        self.outputs.extend(record.rest().map(|octets| Output::Recorded { operation, octets }));
        self.outputs.push_back(Output::RecordingEnds { operation });
        self.ended(operation, id, end, millis);
    }

    /// Hands on what was recorded so far: whoever writes it will not ask again.
    pub fn hand_on_recordings(&mut self) {
        for record in self.streams.values_mut().filter_map(|stream| stream.record.as_mut()) {
            let operation = record.operation;
            self.outputs.extend(record.rest().map(|octets| Output::Recorded { operation, octets }));
        }
    }

    pub(super) fn generate(&mut self, operation: OperationId, id: StreamId, generate: Option<Generate>) {
        let Some(stream) = self.begin(operation, id) else { return };
        let Some(generate) = generate else {
            self.ended(operation, id, End::Failed, 0);
            return;
        };
        if let Some(before) = stream.generate.replace(generate) {
            self.ended(before.operation, id, End::Cancelled, before.millis());
        }
    }

    /// Ends an operation that may be running.
    pub(super) fn stop(&mut self, operation: OperationId, end: End) {
        let Some(id) = self.operations.get(&operation).copied() else { return };
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let is_it = |other: OperationId| other == operation;
        let millis = if let Some(generate) = stream.generate.take_if(|generate| is_it(generate.operation)) {
            generate.millis()
        } else if let Some(play) = stream.play.take_if(|play| is_it(play.operation)) {
            play.millis()
        } else if let Some(record) = stream.record.take_if(|record| is_it(record.operation)) {
            return self.end_recording(id, record, end);
        } else if let Some(application) = stream.application.take_if(|application| is_it(application.operation)) {
            self.outputs.push_back(Output::ApplicationEnds { operation });
            application.millis()
        } else {
            return;
        };
        self.ended(operation, id, end, millis);
    }

    pub(super) fn loaded(&mut self, operation: OperationId, samples: std::sync::Arc<[i16]>, rate: Rate) {
        let id = self.operations.get(&operation);
        let stream = id.and_then(|id| self.streams.get_mut(id));
        if let Some(play) = stream.and_then(|stream| stream.play.as_mut()).filter(|play| play.operation == operation) {
            play.load(samples, rate);
        }
    }

    pub(super) fn ended(&mut self, operation: OperationId, stream: StreamId, end: End, millis: u64) {
        self.operations.remove(&operation);
        self.outputs.push_back(Output::Event(Event::Ended { operation, stream, end, millis }));
    }

    pub(super) fn application(&mut self, operation: OperationId, id: StreamId, descriptor: DescriptorId, rate: u32) {
        let Some(stream) = self.begin(operation, id) else { return };
        let Some(rate) = Rate::of_hz(rate) else {
            self.ended(operation, id, End::Failed, 0);
            return;
        };
        if let Some(before) = stream.application.replace(Box::new(Application::new(operation, rate))) {
            self.outputs.push_back(Output::ApplicationEnds { operation: before.operation });
            self.ended(before.operation, id, End::Cancelled, before.millis());
        }
        self.outputs.push_back(Output::ApplicationBegins { operation, descriptor, rate });
    }

    pub(super) fn application_frame(&mut self, operation: OperationId, frame: &AudioFrame) {
        let stream = self.operations.get(&operation).and_then(|id| self.streams.get_mut(id));
        let application = stream.and_then(|stream| stream.application.as_mut());
        if let Some(application) = application.filter(|application| application.operation == operation) {
            let dropped = application.dropped;
            application.push(frame);
            self.counters.late += application.dropped - dropped;
        }
    }

    /// An application asks something about its audio.
    pub(super) fn application_asks(&mut self, operation: OperationId, ask: Ask) {
        let Some(id) = self.operations.get(&operation).copied() else { return };
        if let Some(application) = self.streams.get_mut(&id).and_then(|stream| stream.application.as_mut()) {
            application.ask(ask);
        }
        self.tell_application(id);
    }

    /// Tells a stream's application what there is to tell.
    pub(super) fn tell_application(&mut self, id: StreamId) {
        let Some(application) = self.streams.get_mut(&id).and_then(|stream| stream.application.as_mut()) else {
            return;
        };
        let operation = application.operation;
        while let Some(told) = application.told() {
            self.outputs.push_back(Output::ApplicationTold { operation, told });
        }
    }

    /// Lets a playback or a recording stand still or go on.
    pub(super) fn pace(&mut self, operation: OperationId, pace: Pace) {
        let Some(stream) = self.operations.get(&operation).and_then(|id| self.streams.get_mut(id)) else { return };
        if let Some(play) = stream.play.as_mut().filter(|play| play.operation == operation) {
            play.pace = pace;
        }
        if let Some(record) = stream.record.as_mut().filter(|record| record.operation == operation) {
            record.pace = pace;
        }
    }

    pub(super) fn detect(&mut self, id: StreamId, digits: bool, progress: bool, country: Option<&str>) {
        match self.streams.get_mut(&id) {
            Some(stream) => stream.listener = Listener::choose(stream.listener.take(), digits, progress, country),
            None => self.counters.misdirected += 1,
        }
    }

    /// Whether a digit that came as an event is to be told: in the audio it may have been told already.
    pub(super) fn tells_digit(&mut self, now: Time, id: StreamId, digit: char) -> bool {
        let listener = self.streams.get_mut(&id).and_then(|stream| stream.listener.as_mut());
        listener.is_none_or(|listener| listener.event(now, digit))
    }

    /// Puts a stream into a mixer, or takes it out.
    pub(super) fn mix(&mut self, id: StreamId, mixer: Option<MixerId>) {
        if mixer.is_some() {
            self.part(id);
        }
        match self.streams.get_mut(&id) {
            Some(stream) => stream.mixer = mixer,
            None => self.counters.misdirected += u64::from(mixer.is_none()),
        }
    }

    /// Adds up what the streams in mixers heard in this tick. Who says nothing costs nothing.
    pub(super) fn sum_up(&mut self, order: &[StreamId]) {
        self.mixes.clear();
        for stream in order.iter().filter_map(|id| self.streams.get(id)) {
            if let Some(mixer) = stream.mixer {
                self.mixes.enter(mixer, stream.rate().unwrap_or(Rate::Narrow));
            }
        }
        for id in order {
            let Some(stream) = self.streams.get_mut(id) else { continue };
            let Some(mixer) = stream.mixer else { continue };
            if let Some(frame) = stream.enter_mixer(self.mixes.rate(mixer)) {
                self.mixes.add(mixer, frame);
            }
        }
    }

    /// What a stream hears of its mixer.
    pub(super) fn mixed(&self, stream: &Stream) -> Option<AudioFrame> {
        stream.mixer.and_then(|mixer| self.mixes.without(mixer, stream.heard()))
    }
}
