//! Streams on their way from one provider to another: media threads share the streams among them.

use super::Msp;
use crate::stats::Counters;
use crate::stream::Stream;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use tapi::{OperationId, Time};
use tspi::media::{MixerId, StreamId};

/// A stream outside of any provider, with its operations.
#[derive(Debug, Serialize, Deserialize)]
pub struct Carried {
    id: StreamId,
    stream: Stream,
    operations: Vec<OperationId>,
}

impl Carried {
    /// Which stream.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// Its operations.
    pub fn operations(&self) -> &[OperationId] {
        &self.operations
    }
}

impl Msp {
    /// Takes a stream out, with all that goes on in it; its join is parted. All outputs must have been taken before.
    pub fn take_stream(&mut self, id: StreamId) -> Option<Carried> {
        if self.streams.get(&id)?.joined.is_some() {
            self.part(id);
        }
        self.lift(id)
    }

    /// Puts a stream in that another provider gave.
    pub fn put_stream(&mut self, now: Time, carried: Carried) {
        let Carried { id, mut stream, operations } = carried;
        stream.timer = None;
        self.streams.insert(id, stream);
        self.operations.extend(operations.into_iter().map(|operation| (operation, id)));
        self.schedule(id);
        self.wake(now);
    }

    /// All streams of another provider come here: what both counted is added up.
    pub fn merge(&mut self, now: Time, mut other: Msp) {
        let all: Vec<StreamId> = other.streams.keys().copied().collect();
        for id in all {
            if let Some(carried) = other.lift(id) {
                self.put_stream(now, carried);
            }
        }
        self.outputs.append(&mut other.outputs);
        self.counters = self.counters.plus(other.counters);
    }

    /// Gives some streams to `other`, joined ones and mixers as they are. What was counted stays here.
    pub fn share(&mut self, now: Time, streams: &[StreamId], other: &mut Msp) {
        for id in streams {
            if let Some(carried) = self.lift(*id) {
                other.put_stream(now, carried);
            }
        }
    }

    /// The streams in groups that must stay together: those that are joined, and those in one mixer. With each stream its
    /// mixer.
    pub fn groups(&self) -> Vec<Vec<(StreamId, Option<MixerId>)>> {
        let mut groups: Vec<Vec<(StreamId, Option<MixerId>)>> = Vec::new();
        let mut mixers: BTreeMap<MixerId, usize> = BTreeMap::new();
        let mut placed: BTreeSet<StreamId> = BTreeSet::new();
        for (id, stream) in &self.streams {
            if !placed.insert(*id) {
                continue;
            }
            let mut members = vec![(*id, stream.mixer)];
            if let Some(other) = stream.joined.filter(|other| self.streams.contains_key(other) && placed.insert(*other))
            {
                members.push((other, None));
            }
            match stream.mixer.and_then(|mixer| mixers.get(&mixer).copied()) {
                Some(number) => groups.get_mut(number).into_iter().for_each(|group| group.append(&mut members)),
                None => {
                    mixers.extend(stream.mixer.map(|mixer| (mixer, groups.len())));
                    groups.push(members);
                }
            }
        }
        groups
    }

    fn lift(&mut self, id: StreamId) -> Option<Carried> {
        let mut stream = self.streams.remove(&id)?;
        self.unschedule(id, &stream);
        stream.timer = None;
        let operations: Vec<OperationId> = stream.operations().collect();
        self.operations.retain(|operation, _| !operations.contains(operation));
        Some(Carried { id, stream, operations })
    }
}

impl Counters {
    fn plus(self, other: Counters) -> Counters {
        Counters {
            received: self.received + other.received,
            sent: self.sent + other.sent,
            relayed: self.relayed + other.relayed,
            rtcp: self.rtcp + other.rtcp,
            not_authentic: self.not_authentic + other.not_authentic,
            replayed: self.replayed + other.replayed,
            malformed: self.malformed + other.malformed,
            unknown_payload: self.unknown_payload + other.unknown_payload,
            wrong_source: self.wrong_source + other.wrong_source,
            unknown_stream: self.unknown_stream + other.unknown_stream,
            out_of_sequence: self.out_of_sequence + other.out_of_sequence,
            muted: self.muted + other.muted,
            oversize: self.oversize + other.oversize,
            late: self.late + other.late,
            misdirected: self.misdirected + other.misdirected,
            skipped_ticks: self.skipped_ticks + other.skipped_ticks,
        }
    }
}
