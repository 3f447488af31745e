//! Recordings on their way to the thread that writes them.

use super::Shard;
use crate::record;
use std::sync::mpsc::TrySendError;
use tapi::{End, OperationId, Time};
use tspi::media::{Event, Input, MediaProvider};

impl Shard {
    pub(super) fn written(&mut self, operation: OperationId, failed: Option<End>) {
        let Some(Some(Event::Ended { operation, stream, end, millis })) = self.finishing.remove(&operation) else {
            return;
        };
        (self.on_event)(Event::Ended { operation, stream, end: failed.unwrap_or(end), millis });
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
            self.written(operation, Some(End::Failed));
            self.msp.handle(now, Input::Failed { operation, end: End::Failed });
        }
    }

    /// The disk is slow: audio is lost, beginnings and ends are not.
    pub(super) fn postpone(&mut self, job: record::Job) {
        match job {
            record::Job::Frame { .. } => self.counters.lost_frames += 1,
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
