//! Digits that are collected (lineGatherDigits): one gathering a call, whoever owns it.

use crate::Server;
use crate::media::{Kind, Operation};
use crate::server::Timer;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tapi::{CallId, EventBody, GatherEnd, OperationId, Time};

/// A gathering under way.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Gather {
    pub(crate) digits: String,
    pub(crate) count: usize,
    pub(crate) termination: String,
    pub(crate) inter_ms: Option<u32>,
    pub(crate) deadline: Option<Time>,
}

impl Server {
    /// Waits for a digit so long.
    pub(crate) fn gather_wait(&mut self, now: Time, operation: OperationId, millis: Option<u32>) {
        let Some(gather) = self.gathers.get_mut(&operation) else { return };
        let deadline = millis.map(|millis| now + Duration::from_millis(u64::from(millis)));
        let before = std::mem::replace(&mut gather.deadline, deadline);
        if let Some(before) = before {
            self.timers.remove(&(before, Timer::Gather(operation)));
        }
        if let Some(deadline) = deadline {
            self.timers.insert((deadline, Timer::Gather(operation)));
        }
    }

    /// The gathering on a call.
    pub(crate) fn gathering(&self, call: CallId) -> Option<OperationId> {
        let is_gather = |id: &&OperationId| self.gathers.contains_key(id);
        self.calls.get(&call)?.operations.iter().find(is_gather).copied()
    }

    /// A digit of the far end.
    pub(crate) fn gather_digit(&mut self, now: Time, call: CallId, digit: char) {
        let Some(operation) = self.gathering(call) else { return };
        let Some(gather) = self.gathers.get_mut(&operation) else { return };
        gather.digits.push(digit);
        let end = if gather.termination.contains(digit) {
            Some(GatherEnd::Termination)
        } else {
            (gather.digits.len() >= gather.count).then_some(GatherEnd::Full)
        };
        let inter = gather.inter_ms;
        match end {
            Some(end) => self.gather_ended(now, operation, end),
            None => self.gather_wait(now, operation, inter),
        }
    }

    pub(crate) fn gather_expired(&mut self, now: Time, operation: OperationId) {
        let first = self.gathers.get(&operation).is_some_and(|gather| gather.digits.is_empty());
        let end = if first { GatherEnd::FirstTimeout } else { GatherEnd::InterTimeout };
        self.gather_ended(now, operation, end);
    }

    /// A gathering ended: its digits go to who began it.
    pub(crate) fn gather_ended(&mut self, now: Time, id: OperationId, end: GatherEnd) {
        let digits = self.gathers.get(&id).map(|gather| gather.digits.clone()).unwrap_or_default();
        let operation = self.forget_operation(id);
        if let Some(Operation { call, session, kind: Kind::Gather }) = operation {
            self.emit(now, EventBody::CallGathered { call, operation: id, digits, end }, [session]);
            self.detect(call);
        }
    }

    /// No digit comes any more.
    pub(crate) fn forget_gather(&mut self, operation: OperationId) {
        if let Some(deadline) = self.gathers.remove(&operation).and_then(|gather| gather.deadline) {
            self.timers.remove(&(deadline, Timer::Gather(operation)));
        }
    }
}
