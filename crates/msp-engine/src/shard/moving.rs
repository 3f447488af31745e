//! Streams that go from one media thread to another, so that those that hear one another are on one.
//!
//! The one that gets a stream takes no message until it has come, and streams go to threads of lower numbers only: so no
//! two wait for each other.

use super::sockets::{Carries, Claim};
use super::{APPLICATION, Rings, Shard, watch};
use crate::{application, record};
use msp_rtp::Carried;
use std::collections::VecDeque;
use tapi::{OperationId, Time};
use tspi::media::StreamId;

/// A stream with all that belongs to it.
pub(crate) struct Luggage {
    stream: StreamId,
    /// None where it is not open yet.
    carried: Option<Carried>,
    rings: Option<Rings>,
    rtp: Option<usize>,
    rtcp: Option<usize>,
    applications: Vec<(OperationId, application::Socket)>,
    unwritten: VecDeque<record::Job>,
}

impl Shard {
    pub(super) fn pack(&mut self, stream: StreamId) -> Luggage {
        let carried = self.msp.take_stream(stream);
        let operations = carried.as_ref().map(Carried::operations).unwrap_or_default();
        let mut applications = Vec::new();
        for operation in operations {
            let Some(socket) = self.applications.remove(operation) else { continue };
            if let Err(error) = self.epoll.delete(&socket) {
                tracing::warn!(operation = operation.0, %error, "an application's socket is still watched");
            }
            applications.push((*operation, socket));
        }
        let (unwritten, stay) =
            std::mem::take(&mut self.unwritten).into_iter().partition(|job| operations.contains(&job.operation()));
        self.unwritten = stay;
        let (rtp, rtcp) = (self.streams.remove(&stream), self.controls.remove(&stream));
        rtp.into_iter().chain(rtcp).for_each(|number| self.set_claim(number, Claim::Elsewhere));
        Luggage { stream, carried, rings: self.rings.remove(&stream), rtp, rtcp, applications, unwritten }
    }

    pub(super) fn unpack(&mut self, now: Time, luggage: Luggage) {
        let Luggage { stream, carried, rings, rtp, rtcp, applications, unwritten } = luggage;
        if let Some(carried) = carried {
            self.msp.put_stream(now, carried);
        }
        self.rings.extend(rings.map(|rings| (stream, rings)));
        for (number, carries) in rtp.map(|n| (n, Carries::Rtp)).into_iter().chain(rtcp.map(|n| (n, Carries::Rtcp))) {
            self.set_claim(number, Claim::Taken(stream, carries));
        }
        self.streams.extend(rtp.map(|number| (stream, number)));
        self.controls.extend(rtcp.map(|number| (stream, number)));
        for (operation, socket) in applications {
            if let Err(error) = watch(&self.epoll, &socket, APPLICATION | operation.0) {
                tracing::warn!(operation = operation.0, %error, "an application is not heard any more");
            }
            self.applications.insert(operation, socket);
        }
        self.unwritten.extend(unwritten);
        self.drain(now);
    }
}
