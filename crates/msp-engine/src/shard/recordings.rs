//! Recordings on their way to the thread that writes them.

use super::Shard;
use crate::record::{self, Failure};
use std::sync::mpsc::TrySendError;
use tapi::{End, OperationId, Time};
use tspi::media::{Event, Input, MediaProvider};

/// The end of a recording, as whoever wrote it knows it.
pub(super) fn judged(ended: Event, failed: Option<Failure>) -> Event {
    match (ended, failed) {
        (Event::Ended { operation, stream, millis, .. }, Some(Failure { end, kept })) => {
            Event::Ended { operation, stream, end, millis: kept.unwrap_or(millis) }
        }
        (ended, _) => ended,
    }
}

impl Shard {
    pub(super) fn written(&mut self, operation: OperationId, failed: Option<Failure>) {
        if let Some(Some(ended)) = self.finishing.remove(&operation) {
            (self.on_event)(judged(ended, failed));
        }
    }

    pub(super) fn write(&mut self, job: record::Job) {
        if !self.unwritten.is_empty() {
            return self.postpone(job);
        }
        match self.files.record.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(job)) => self.postpone(job),
            Err(TrySendError::Disconnected(job)) => self.writer_died(&job),
        }
    }

    /// The thread that writes recordings is no more: each ends where it is.
    pub(super) fn writer_died(&mut self, job: &record::Job) {
        let operation = job.operation();
        tracing::error!(operation = operation.0, "the thread that writes recordings has died");
        self.dead_recordings.push(operation);
    }

    pub(super) fn end_dead_recordings(&mut self, now: Time) {
        while let Some(operation) = self.dead_recordings.pop() {
            // One that was about to be completed, or one that goes on.
            self.written(operation, Some(Failure { end: End::Failed, kept: None }));
            self.msp.handle(now, Input::Failed { operation, end: End::Failed });
        }
    }

    /// The disk is slow: audio is lost, beginnings and ends are not.
    pub(super) fn postpone(&mut self, job: record::Job) {
        match job {
            record::Job::Audio { octets, .. } => self.counters.lost_frames += record::frames(&octets),
            other => self.unwritten.push_back(other),
        }
    }

    pub(super) fn retry(&mut self) {
        while let Some(job) = self.unwritten.pop_front() {
            match self.files.record.try_send(job) {
                Ok(()) => {}
                Err(TrySendError::Full(job)) => {
                    self.unwritten.push_front(job);
                    return;
                }
                Err(TrySendError::Disconnected(job)) => self.writer_died(&job),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::files::Files;
    use crate::shard::{Begin, Message, Shard, Waker};
    use msp_rtp::Msp;
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use std::time::Duration;
    use tapi::{End, OperationId};
    use tspi::media::{Command, DescriptorId, Direction, Event, LocalMedia, RemoteMedia, StreamId};

    #[test]
    fn a_recording_whose_writer_has_died_fails_and_the_stream_goes_on() {
        let (files, work) = Files::new();
        drop(work);
        let (tell, events) = channel();
        let (messages, inbox) = channel();
        let waker = Waker::new().unwrap();
        let begin = Begin {
            number: 0,
            count: 1,
            msp: Msp::new([1; 32]),
            sockets: Arc::default(),
            on_event: Arc::new(move |event| drop(tell.send(event))),
            inbox,
            waker: waker.clone(),
            files,
            shared: Arc::default(),
            realtime: false,
        };
        let shard = Shard::new(begin).unwrap();
        let thread = std::thread::spawn(move || shard.run());
        let say = |message| {
            messages.send(message).unwrap();
            waker.wake();
        };
        let (stream, descriptor) = (StreamId(1), DescriptorId(1));
        say(Message::Command(Command::Open { local: LocalMedia::Frames { stream } }));
        let remote = RemoteMedia::Frames { direction: Direction::SendRecv };
        say(Message::Command(Command::Connect { stream, remote }));
        for number in 1..=2 {
            say(Message::Give(descriptor, std::fs::File::open("/dev/null").unwrap().into()));
            let operation = OperationId(number);
            say(Message::Command(Command::Record { operation, stream, descriptor, max_ms: None }));
            let event = events.recv_timeout(Duration::from_secs(20)).expect("the recording ends");
            assert!(
                matches!(&event, Event::Ended { operation: ended, end: End::Failed, .. } if *ended == operation),
                "{event:?}"
            );
        }
        say(Message::Stop);
        thread.join().unwrap();
    }
}
