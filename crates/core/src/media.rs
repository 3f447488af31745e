//! Streams of calls and what runs on them.

use crate::call::Call;
use crate::pressed::Listener;
use crate::{Output, ProviderId, Server};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};
use tapi::{
    CallId, End, Error, ErrorCode, EventBody, GatherEnd, InfoKind, MediaInfo, Names, OperationId, SessionId, Time,
    ToneLevel,
};
use tspi::media::{self, Codec};
use tspi::{Format, LocalMedia, LocalRtp, MediaWire, RemoteMedia, StreamId};

/// RTP ports that are bound: a freed one waits longest before it is used again.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ports {
    pub(crate) free: VecDeque<u16>,
    pub(crate) total: usize,
    /// Even ports whose successor is not among them: that one is bound for RTCP (RFC 3550 section 11).
    #[serde(default)]
    pub(crate) paired: BTreeSet<u16>,
}

impl Ports {
    pub(crate) fn new(ports: &[u16]) -> Ports {
        let distinct: BTreeSet<u16> = ports.iter().copied().collect();
        let paired =
            distinct.iter().filter(|port| *port % 2 == 0 && !distinct.contains(&(*port + 1))).copied().collect();
        Ports { total: distinct.len(), free: distinct.into_iter().collect(), paired }
    }
}

/// A call's stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stream {
    pub(crate) id: StreamId,
    pub(crate) local: LocalMedia,
    pub(crate) remote: Option<RemoteMedia>,
    /// What is listened for: digits in the audio, progress.
    pub(crate) detect: (bool, bool),
}

impl Stream {
    pub(crate) fn port(&self) -> Option<u16> {
        match &self.local {
            LocalMedia::Rtp(rtp) => Some(rtp.port),
            LocalMedia::Frames { .. } | LocalMedia::None => None,
        }
    }
}

/// Something that runs on a call's audio, and ends with an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Operation {
    pub(crate) kind: Kind,
    pub(crate) call: CallId,
    pub(crate) session: SessionId,
}

/// Which kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// A playback.
    Play,
    /// A recording.
    Record,
    /// A tone, or digits that the media provider sends.
    Generate,
    /// Digits that the line's provider sends.
    ProviderDigits,
    /// An application's audio.
    Application,
    /// The gathering of digits, which the server does.
    Gather,
}

impl Kind {
    fn ended(self, call: CallId, operation: OperationId, end: End, millis: u64) -> EventBody {
        match self {
            Kind::Play => EventBody::CallPlayed { call, operation, end, played_ms: millis },
            Kind::Record => EventBody::CallRecorded { call, operation, end, recorded_ms: millis },
            Kind::Application => EventBody::CallAudioEnded { call, operation, end, audio_ms: millis },
            Kind::Gather => {
                let end = if end == End::CallEnded { GatherEnd::CallEnded } else { GatherEnd::Cancelled };
                EventBody::CallGathered { call, operation, digits: String::new(), end }
            }
            Kind::Generate | Kind::ProviderDigits => EventBody::CallGenerated { call, operation, end },
        }
    }
}

impl Server {
    /// Makes a stream for `call`, and tells the media provider before anybody else hears of it.
    pub(crate) fn open_stream(
        &mut self,
        provider: ProviderId,
        wire: MediaWire,
        call: CallId,
    ) -> Result<Option<Stream>, Error> {
        let id = StreamId(self.next_id);
        let local = match wire {
            MediaWire::None => return Ok(None),
            MediaWire::Frames => LocalMedia::Frames { stream: id },
            MediaWire::Rtp => {
                let port = self.ports.free.pop_front().ok_or_else(|| {
                    ErrorCode::ResourceUnavail.because(format!("all {} RTP ports are in use", self.ports.total))
                })?;
                LocalMedia::Rtp(LocalRtp {
                    stream: id,
                    address: self.config.rtp_address,
                    port,
                    rtcp_port: self.ports.paired.contains(&port).then_some(port | 1),
                    formats: formats(self.config.options.opus),
                })
            }
        };
        self.fresh_id();
        self.streams.insert(id, call);
        self.media(provider, media::Command::Open { local: local.clone() });
        Ok(Some(Stream { id, local, remote: None, detect: (false, false) }))
    }

    pub(crate) fn media(&mut self, provider: ProviderId, command: media::Command) {
        self.output(Output::Media { provider, command });
    }

    /// Closes a stream and gives its port back.
    pub(crate) fn release_stream(&mut self, provider: ProviderId, stream: &Stream) {
        self.streams.remove(&stream.id);
        self.ports.free.extend(stream.port());
        self.media(provider, media::Command::Close { stream: stream.id });
    }

    /// Takes a call's audio down: its bridge, its stream, its port. What ran on it is ended by the media provider.
    pub(crate) fn close_media(&mut self, now: Time, id: CallId) {
        self.unbridge(now, id);
        let Some(call) = self.calls.get_mut(&id) else { return };
        // What is known of the audio stays, with its last figures.
        let (provider, stream) = (call.provider, call.stream.take());
        if let Some(stream) = stream {
            call.ledger.stream = Some(stream.id);
            self.ended_streams.insert(stream.id, id);
            self.release_stream(provider, &stream);
        }
    }

    /// A bridge is no more: tells those who see either call.
    pub(crate) fn unbridge(&mut self, now: Time, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(other) = call.info.bridged.take() else { return };
        if let Some(partner) = self.calls.get_mut(&other) {
            partner.info.bridged = None;
        }
        self.emit_info(now, id, Names::from([InfoKind::Bridge]), None);
        if other != id {
            self.emit_info(now, other, Names::from([InfoKind::Bridge]), None);
        }
    }

    /// The far end's side of a call's audio became known, or changed.
    pub(crate) fn remote_media(&mut self, now: Time, id: CallId, remote: RemoteMedia) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| !call.state.is_over()) else { return };
        let provider = call.provider;
        let statistics = call.info.media.as_ref().and_then(|media| media.statistics.clone());
        let info = Some(MediaInfo { statistics, ..describe(&remote) });
        let changed = std::mem::replace(&mut call.info.media, info.clone()) != info;
        let stream = call.stream.as_mut().map(|stream| {
            stream.remote = Some(remote.clone());
            stream.id
        });
        let tones = call.monitored_tones();
        if let Some(stream) = stream {
            self.media(provider, media::Command::Connect { stream, remote });
            if !tones.is_empty() {
                self.media(provider, media::Command::MonitorTones { stream, hz: tones });
            }
            self.detect(id);
        }
        if changed {
            self.emit_info(now, id, Names::from([InfoKind::Media]), None);
        }
    }

    /// The media provider said something.
    pub(crate) fn media_event(&mut self, now: Time, event: media::Event) {
        match event {
            media::Event::Ended { operation, end, millis, .. } => self.operation_ended(now, operation, end, millis),
            media::Event::Digit { stream, digit, duration_ms } => {
                if let Some(call) = self.streams.get(&stream).copied() {
                    self.digit_heard(now, call, Listener::Media, digit, duration_ms);
                }
            }
            media::Event::Tones { stream, tones, level_ddbm0 } => {
                if let Some(call) = self.streams.get(&stream).copied() {
                    self.tones(now, call, &tones, level_ddbm0);
                }
            }
            media::Event::Progress { stream, tone, measured } => {
                if let Some(call) = self.streams.get(&stream).and_then(|call| self.calls.get(call)) {
                    let heard = call.handles.iter().filter(|(_, handle)| handle.progress);
                    let audience: Vec<SessionId> = heard.map(|(session, _)| *session).collect();
                    if call.control.listens {
                        let (provider, call) = (call.provider, call.reference);
                        self.notify(provider, tspi::Action::Heard { call, tone: tone.clone() });
                    }
                    let Some(call) = self.streams.get(&stream).and_then(|call| self.calls.get(call)) else { return };
                    let body = EventBody::CallProgress { call: call.info.call, tone, measured };
                    self.emit(now, body, audience);
                }
            }
            media::Event::Statistics { stream, statistics } => {
                let ended = self.ended_streams.remove(&stream);
                let id = self.streams.get(&stream).copied().or(ended);
                let Some(call) = id.and_then(|id| self.calls.get_mut(&id)) else { return };
                if let Some(media) = call.info.media.as_mut() {
                    media.statistics = Some(*statistics);
                }
                if let Some(id) = ended {
                    call.ledger.stream = None;
                    self.write_record(id);
                }
            }
        }
    }

    /// An operation ended: tells who began it.
    pub(crate) fn operation_ended(&mut self, now: Time, id: OperationId, end: End, millis: u64) {
        if let Some(operation) = self.forget_operation(id) {
            self.played_to_unclaimed(now, operation.call, id);
            let body = operation.kind.ended(operation.call, id, end, millis);
            self.emit(now, body, [operation.session]);
        }
    }

    pub(crate) fn forget_operation(&mut self, id: OperationId) -> Option<Operation> {
        let operation = self.operations.remove(&id)?;
        self.forget_gather(id);
        if let Some(session) = self.sessions.get_mut(&operation.session) {
            session.operations.remove(&id);
        }
        if let Some(call) = self.calls.get_mut(&operation.call) {
            call.operations.remove(&id);
        }
        Some(operation)
    }

    /// Ends those operations of `call` that `which` picks. The media provider's word ends them for who began them.
    pub(crate) fn stop_operations(&mut self, call: CallId, which: impl Fn(&Operation) -> bool) -> Vec<OperationId> {
        let Some(call) = self.calls.get(&call) else { return Vec::new() };
        let provider = call.provider;
        let picked = |id: &&OperationId| self.operations.get(id).is_some_and(&which);
        let stopped: Vec<OperationId> = call.operations.iter().filter(picked).copied().collect();
        for operation in &stopped {
            if !self.is_provider_digits(*operation) && !self.gathers.contains_key(operation) {
                self.media(provider, media::Command::Stop { operation: *operation });
            }
        }
        stopped
    }

    /// A digit of the far end, as one of those who listen heard it.
    pub(crate) fn digit_heard(&mut self, now: Time, id: CallId, by: Listener, digit: char, duration_ms: Option<u32>) {
        let digit = digit.to_ascii_uppercase();
        let Some(call) = self.calls.get_mut(&id).filter(|_| is_digit(digit)) else { return };
        if call.pressed.is_new(now, by, digit) {
            self.digit(now, id, digit, duration_ms);
        }
    }

    /// A digit of the far end, to those who asked.
    pub(crate) fn digit(&mut self, now: Time, id: CallId, digit: char, duration_ms: Option<u32>) {
        let digit = digit.to_ascii_uppercase();
        let Some(call) = self.calls.get(&id).filter(|_| is_digit(digit)) else { return };
        let audience: Vec<SessionId> =
            call.handles.iter().filter(|(_, handle)| handle.digits).map(|(session, _)| *session).collect();
        let conference = call.info.conference;
        self.emit(now, EventBody::CallDigit { call: id, digit, duration_ms }, audience);
        self.gather_digit(now, id, digit);
        // What a member sends, its conference hears.
        if let Some(conference) = conference {
            self.digit(now, conference, digit, duration_ms);
        }
    }

    /// Tells the media provider what is listened for on a call, where it listens at all.
    pub(crate) fn detect(&mut self, id: CallId) {
        let gathers = self.gathering(id).is_some();
        let Some(call) = self.calls.get_mut(&id) else { return };
        let digits = gathers || call.handles.values().any(|handle| handle.digits);
        let progress = call.control.listens || call.handles.values().any(|handle| handle.progress);
        let provider = call.provider;
        let Some(stream) = call.stream.as_mut().filter(|stream| stream.detect != (digits, progress)) else { return };
        stream.detect = (digits, progress);
        let stream = stream.id;
        let country = Some(self.config.options.country.clone()).filter(|country| !country.is_empty());
        self.media(provider, media::Command::Detect { stream, digits, progress, country });
    }

    /// Levels of tones, to each who asked, those that it asked for.
    fn tones(&mut self, now: Time, id: CallId, tones: &[ToneLevel], level_ddbm0: i32) {
        let Some(call) = self.calls.get(&id) else { return };
        let asked: Vec<(SessionId, Vec<u32>)> = call
            .handles
            .iter()
            .filter(|(_, handle)| !handle.tones.is_empty())
            .map(|(session, handle)| (*session, handle.tones.clone()))
            .collect();
        for (session, hz) in asked {
            let own = tones.iter().filter(|tone| hz.contains(&tone.hz)).copied().collect();
            self.emit(now, EventBody::CallTone { call: id, tones: own, level_ddbm0 }, [session]);
        }
    }

    /// Tells the media provider what is listened for on a call, now that somebody asked or went.
    pub(crate) fn retune(&mut self, id: CallId, before: &[u32]) {
        let Some(call) = self.calls.get(&id) else { return };
        let (provider, hz) = (call.provider, call.monitored_tones());
        if let Some(stream) = call.stream.as_ref().map(|stream| stream.id).filter(|_| hz != before) {
            self.media(provider, media::Command::MonitorTones { stream, hz });
        }
    }
}

impl Call {
    /// All frequencies that any session listens for, without repetition, in rising order.
    pub(crate) fn monitored_tones(&self) -> Vec<u32> {
        let all: BTreeSet<u32> = self.handles.values().flat_map(|handle| handle.tones.iter().copied()).collect();
        all.into_iter().collect()
    }
}

/// Whether it is one of the sixteen digits of DTMF.
pub(crate) fn is_digit(digit: char) -> bool {
    matches!(digit, '0'..='9' | 'A'..='D' | '*' | '#')
}

/// What the media provider receives and sends, plain ones first (RFC 3551 section 6); comfort noise (RFC 3389) and telephone
/// events (RFC 4733), with Opus at its clock too.
fn formats(opus: bool) -> Vec<Format> {
    let all = [
        (Codec::Pcmu, 0),
        (Codec::Pcma, 8),
        (Codec::G722, 9),
        (Codec::Opus, 96),
        (Codec::ComfortNoise, 13),
        (Codec::TelephoneEvent, 101),
        (Codec::TelephoneEvent48, 102),
    ];
    all.into_iter()
        .filter(|(codec, _)| opus || !matches!(codec, Codec::Opus | Codec::TelephoneEvent48))
        .map(|(codec, payload_type)| Format { codec, payload_type })
        .collect()
}

fn describe(remote: &RemoteMedia) -> MediaInfo {
    let direction = remote.direction().name().to_owned();
    match remote {
        RemoteMedia::Rtp(rtp) => MediaInfo {
            wire: "rtp".into(),
            codec: rtp.send.codec.as_str().into(),
            remote: Some(rtp.address.to_string()),
            direction,
            security: rtp.srtp.as_ref().map(|srtp| srtp.suite.to_string()),
            statistics: None,
        },
        RemoteMedia::Frames { .. } => MediaInfo {
            wire: "frames".into(),
            codec: "L16".into(),
            remote: None,
            direction,
            security: None,
            statistics: None,
        },
    }
}
