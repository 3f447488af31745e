//! The voice stream of the call: begun, turned round, ended.

use super::*;
use crate::SampleFormat;

/// A stream to the line has no time of its own: it lasts as long as something is played.
const PLAY_MS: u32 = 3_600_000;

impl Analogue {
    /// Begins the stream that the call needs now.
    pub(super) fn start_stream(&mut self, context: &mut Context<'_>) {
        if self.method.is_none() {
            return self.without_stream(context);
        }
        let audio = audio_of(context);
        if audio.duplex.is_empty() && self.way == Way::Both {
            self.way = Way::Listen;
        }
        let command = match self.way {
            Way::Both => &audio.duplex,
            Way::Listen => &audio.record,
            Way::Play => &audio.play,
        };
        self.duplex = Duplex::Starting;
        let ask = Ask::new(command, Purpose::StreamStart, context.profile.timeouts_ms.default);
        context.ask(ask.accepts(Accepts::Stream));
    }

    /// The modem took no way to carry samples: the call goes on without audio.
    fn without_stream(&mut self, context: &mut Context<'_>) {
        self.duplex = Duplex::Closed;
        if let Some(call) = self.call().filter(|call| self.told_media != Some(*call)) {
            self.told_media = Some(call);
            context.out.trace(Some(call), false, context.name, "no audio: no way to carry samples was taken");
            self.tell_media(context, call, Direction::Inactive);
        }
    }

    pub(super) fn stream_started(&mut self, context: &mut Context<'_>, text: &str, outcome: &Outcome) {
        let begun = *outcome == Outcome::Final(FinalResult::Connect);
        let talk = match &self.phase {
            Phase::Connected { talk } | Phase::Supervising { talk } if self.errands.is_empty() => talk.clone(),
            _ if begun => {
                // The call ended meanwhile.
                let flow = self.new_flow(context, None, CallRef(0));
                self.duplex = Duplex::Ending { flow, tries: 0 };
                return self.end_stream(context);
            }
            Phase::Connected { .. } | Phase::Supervising { .. } | Phase::Parked => {
                self.duplex = Duplex::Closed;
                return self.go_on(context);
            }
            _ => return self.on_hook(context),
        };
        if begun {
            return self.stream_begun(context, &talk);
        }
        if *outcome == Outcome::TimedOut {
            return self.late_stream(context, text);
        }
        self.duplex = Duplex::Closed;
        match (outcome, self.way) {
            (Outcome::Final(result @ FinalResult::NoCarrier), _) => {
                self.all_gone(context, Cause::new(DisconnectMode::Normal).with_text(result.text()));
            }
            (outcome, Way::Both) if !audio_of(context).record.is_empty() => {
                let summary = format!("{text}: {}: one direction at a time", words(outcome));
                context.out.trace(Some(talk.call), false, context.name, &summary);
                self.way = Way::Listen;
                self.start_stream(context);
            }
            (outcome, Way::Play) => {
                // What was to be played is lost; what is said can still be heard.
                let summary = format!("nothing can be played: {text}: {}", words(outcome));
                context.out.trace(Some(talk.call), false, context.name, &summary);
                self.waiting = Waiting::default();
                self.deaf_to_play = true;
                self.way = Way::Listen;
                self.start_stream(context);
            }
            (outcome, _) => {
                // The call goes on without audio: that is what the modem can do. Both ways are asked for in the next call.
                self.way = Way::Both;
                let summary = format!("no audio: {text}: {}", words(outcome));
                context.out.trace(Some(talk.call), false, context.name, &summary);
                self.tell_media(context, talk.call, Direction::Inactive);
                self.set_sound(context, Sound::None);
            }
        }
    }

    /// `CONNECT` did not come in time. It may still come, and then bytes are samples and no command is heard any more: the
    /// stream is ended before anything else is asked, whether it began or not.
    fn late_stream(&mut self, context: &mut Context<'_>, text: &str) {
        context.out.trace(self.call(), false, context.name, &format!("{text}: no answer in time"));
        if let Phase::Connected { talk } | Phase::Supervising { talk } = &mut self.phase {
            talk.restarts += 1;
            if talk.restarts > RESTARTS {
                return context.fail(format!("no answer to {text}, again and again"));
            }
        }
        let flow = self.new_flow(context, None, self.call().unwrap_or(CallRef(0)));
        self.duplex = Duplex::Ending { flow, tries: 0 };
        self.end_stream(context);
    }

    fn stream_begun(&mut self, context: &mut Context<'_>, talk: &Talk) {
        let mut flow = self.new_flow(context, talk.stream, talk.call);
        if self.way == Way::Play {
            flow.play_waiting(context.out, &mut self.waiting);
            context.chat.raw(context.now, "", &[], Purpose::PlayOver, PLAY_MS);
        }
        self.duplex = Duplex::Open(flow);
        if let Phase::Connected { talk } = &mut self.phase {
            talk.loud = context.now;
        }
        self.set_sound(context, Sound::Duplex);
        // Something was said while it turned round to listen.
        if self.way == Way::Listen && !self.waiting.is_empty() && !self.deaf_to_play {
            self.turn(context);
        }
        if self.way == Way::Both || self.told_media != Some(talk.call) {
            self.told_media = Some(talk.call);
            self.tell_media(context, talk.call, Direction::SendRecv);
        }
    }

    fn new_flow(&self, context: &mut Context<'_>, stream: Option<StreamId>, call: CallRef) -> Flow {
        let method = self.method.clone().or_else(|| audio_of(context).methods.first().cloned());
        let mut method = method.expect("an analogue profile has a method");
        method.fmt = self.suspect.in_call(call, method.fmt);
        Flow::begin(context, stream, &method, self.way, call)
    }

    /// The line's silence told that samples are of another format than was said.
    pub(super) fn format_found(&mut self, context: &mut Context<'_>, found: Option<SampleFormat>) {
        let call = self.call();
        let (Some(format), Some(call), Some(method)) = (found, call, &mut self.method) else { return };
        method.fmt = self.suspect.found(call, format, method.fmt);
        let summary = format!("samples of {} are {format:?}: the line's silence says so", method.vsm);
        context.out.trace(None, false, context.name, &summary);
    }

    pub(super) fn tell_media(&self, context: &mut Context<'_>, call: CallRef, direction: Direction) {
        context.out.event(Event::Media { call, remote: RemoteMedia::Frames { direction } });
    }

    /// Asks for the end of the stream. What is still to be played is, unless the call is over.
    pub(super) fn end_stream(&mut self, context: &mut Context<'_>) {
        let talking = matches!(self.phase, Phase::Connected { .. } | Phase::Supervising { .. });
        let Duplex::Ending { flow, tries } = &mut self.duplex else { return };
        *tries += 1;
        let audio = audio_of(context);
        let (bytes, drain) = match flow.way() {
            Way::Both => (&audio.end_duplex, 0),
            Way::Listen => (&audio.end_record, 0),
            // Where one modem ends its stream another only clears what it has: the second time it is asked in the standard's way.
            Way::Play if talking || *tries > 1 || audio.abort_play.0.is_empty() => {
                (&audio.end_play, 2 * audio.max_queue_ms + 1_000)
            }
            Way::Play => (&audio.abort_play, 0),
        };
        let shown = bytes.0.iter().map(|byte| shown(*byte)).collect::<String>();
        let wait = context.profile.timeouts_ms.abort + drain;
        context.chat.raw(context.now, &shown, &bytes.0, Purpose::StreamEnd, wait);
    }

    pub(super) fn stream_end_done(&mut self, context: &mut Context<'_>, outcome: &Outcome) {
        match (&self.duplex, outcome) {
            (Duplex::Ending { tries, .. }, Outcome::TimedOut) if *tries < END_TRIES => self.end_stream(context),
            // It began late, and ends now.
            (Duplex::Ending { .. }, Outcome::Final(FinalResult::Connect)) => {
                let wait = context.profile.timeouts_ms.abort;
                context.chat.raw(context.now, "", &[], Purpose::StreamEnd, wait);
            }
            (Duplex::Ending { .. }, Outcome::TimedOut) => context.fail("the modem does not end its voice stream"),
            _ => {
                if let Duplex::Ending { flow, .. } = std::mem::replace(&mut self.duplex, Duplex::Closed) {
                    flow.end(context, self.call());
                }
                context.chat.release(context.now, outcome);
                match (&self.phase, outcome) {
                    (
                        Phase::Connected { .. } | Phase::Supervising { .. } | Phase::Parked,
                        Outcome::Final(result @ (FinalResult::NoCarrier | FinalResult::Busy)),
                    ) => {
                        self.all_gone(context, Cause::new(DisconnectMode::Normal).with_text(result.text()));
                    }
                    (Phase::Connected { .. } | Phase::Supervising { .. } | Phase::Parked, _)
                        if !self.errands.is_empty() =>
                    {
                        self.go_on(context);
                    }
                    (Phase::Connected { .. } | Phase::Supervising { .. }, _) => self.turned(context),
                    (Phase::Parked, _) => {}
                    _ => self.on_hook(context),
                }
            }
        }
    }

    /// The stream of one way ended: the other way begins, or what else the line waits for.
    fn turned(&mut self, context: &mut Context<'_>) {
        self.way = match self.way {
            Way::Listen => Way::Play,
            way @ Way::Both => way,
            // Something was said meanwhile: it goes on playing.
            Way::Play if !self.waiting.is_empty() => Way::Play,
            Way::Play => Way::Listen,
        };
        self.start_stream(context);
    }

    /// Ends the stream, to begin one the other way.
    fn turn(&mut self, context: &mut Context<'_>) {
        match std::mem::replace(&mut self.duplex, Duplex::Closed) {
            Duplex::Open(flow) => {
                self.duplex = Duplex::Ending { flow, tries: 0 };
                self.end_stream(context);
            }
            duplex => self.duplex = duplex,
        }
    }

    /// 20 ms to be sent. Until the call is answered the line carries silence of ours, since the modem listens for the far
    /// end's voice.
    pub(crate) fn frame(&mut self, context: &mut Context<'_>, stream: StreamId, frame: &Frame) {
        if matches!(self.phase, Phase::Supervising { .. }) {
            return;
        }
        let Some(audio) = &context.profile.audio else { return };
        // What is to be sent in the held call is not heard.
        if matches!(&self.phase, Phase::Connected { talk } if talk.stream != Some(stream)) {
            return;
        }
        match &mut self.duplex {
            Duplex::Open(flow) if flow.way() == Way::Listen => {
                let turns = audio.loud(frame) && !audio.play.is_empty() && !self.deaf_to_play;
                if turns {
                    self.waiting.push(frame);
                    self.turn(context);
                }
            }
            Duplex::Open(flow) => flow.send(context.now, context.out, audio, stream, frame),
            Duplex::Ending { .. } | Duplex::Starting | Duplex::Closing if self.way != Way::Both => {
                let plays = matches!((&self.duplex, self.way), (Duplex::Starting, Way::Play));
                let said = audio.loud(frame) && self.errands.is_empty() && !audio.play.is_empty() && !self.deaf_to_play;
                let wanted = plays || said || !self.waiting.is_empty();
                if wanted && matches!(self.phase, Phase::Connected { .. }) {
                    self.waiting.push(frame);
                }
            }
            _ => {}
        }
    }

    /// Nothing loud was to be played for long enough.
    pub(super) fn quiet(&mut self, context: &mut Context<'_>) {
        let until = match (&self.duplex, &context.profile.audio) {
            (Duplex::Open(flow), Some(audio)) => flow.quiet_at(audio),
            _ => None,
        };
        if until.is_some_and(|until| context.now >= until) {
            self.turn(context);
        }
    }

    /// The modem ended the stream to the line by itself.
    pub(super) fn play_over(&mut self, context: &mut Context<'_>, outcome: &Outcome) {
        if *outcome == Outcome::TimedOut {
            return context.chat.raw(context.now, "", &[], Purpose::PlayOver, PLAY_MS);
        }
        if let Duplex::Open(flow) = std::mem::replace(&mut self.duplex, Duplex::Closed) {
            flow.end(context, self.call());
        }
        self.way = Way::Listen;
        self.stream_over(context, outcome);
    }

    /// The modem ended the stream, and what it said then.
    pub(super) fn stream_over(&mut self, context: &mut Context<'_>, outcome: &Outcome) {
        context.chat.release(context.now, outcome);
        self.duplex = Duplex::Closed;
        match (&mut self.phase, outcome) {
            (Phase::Connected { .. } | Phase::Supervising { .. } | Phase::Parked, Outcome::Final(result))
                if !result.is_ok() =>
            {
                self.all_gone(context, Cause::new(DisconnectMode::Normal).with_text(result.text()));
            }
            (Phase::Connected { .. } | Phase::Supervising { .. }, _) if !self.errands.is_empty() => self.go_on(context),
            (Phase::Parked, _) => self.go_on(context),
            (Phase::Connected { talk } | Phase::Supervising { talk }, _) => {
                talk.restarts += 1;
                if talk.restarts <= RESTARTS {
                    self.start_stream(context);
                } else {
                    let text = "the modem ended the voice stream again and again";
                    self.released(context, Cause::new(DisconnectMode::Unavail).with_text(text));
                }
            }
            _ => self.on_hook(context),
        }
    }
}

fn shown(byte: u8) -> String {
    match byte {
        0x10 => "<DLE>".to_owned(),
        0x03 => "<ETX>".to_owned(),
        0x18 => "<CAN>".to_owned(),
        0x1B => "<ESC>".to_owned(),
        0x21..=0x7E => char::from(byte).to_string(),
        other => format!("<{other:02X}>"),
    }
}
