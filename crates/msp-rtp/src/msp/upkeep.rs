//! What is due without a packet or a frame: packets that keep a path open, reports, statistics.

use super::Msp;
use crate::stream::{Stream, Wire};
use crate::wire::Datagram;
use tapi::Time;
use tspi::media::{Event, Output, StreamId};

/// Frames of a provider after which statistics are told: five seconds.
const STATISTICS_FRAMES: u64 = 250;

impl Msp {
    /// The ports at which streams receive their RTCP.
    pub fn control_ports(&self) -> impl Iterator<Item = (StreamId, u16)> + '_ {
        self.streams.iter().filter_map(|(id, stream)| match &stream.wire {
            Wire::Rtp(wire) => Some((*id, wire.control_port?)),
            Wire::Frames(_) => None,
        })
    }

    /// Puts down when a stream wants to be looked after. Packets that are sent move the time ahead; that is seen when it
    /// has come.
    pub(super) fn schedule(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let Wire::Rtp(wire) = &stream.wire else { return };
        let due = wire.due_at();
        if stream.timer == due {
            return;
        }
        if let Some(before) = std::mem::replace(&mut stream.timer, due) {
            self.timers.remove(&(before, id));
        }
        self.timers.extend(due.map(|due| (due, id)));
    }

    pub(super) fn unschedule(&mut self, id: StreamId, stream: &Stream) {
        if let Some(before) = stream.timer {
            self.timers.remove(&(before, id));
        }
    }

    /// Looks after all whose time has come.
    pub(super) fn look_after(&mut self, now: Time) {
        while let Some((at, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, id));
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            stream.timer = None;
            let Wire::Rtp(wire) = &mut stream.wire else { continue };
            let due = wire.due(now, &mut self.random);
            for datagram in due.datagrams.into_iter().flatten() {
                self.send_datagram(id, datagram);
            }
            if due.statistics {
                self.tell_statistics(id);
            }
            self.schedule(id);
        }
    }

    /// A service provider got a frame: every five seconds the statistics are told.
    pub(super) fn carried(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.carried.1 += 1;
        if stream.carried.1.is_multiple_of(STATISTICS_FRAMES) {
            self.tell_statistics(id);
        }
    }

    pub(super) fn send_datagram(&mut self, stream: StreamId, datagram: Datagram) {
        match datagram {
            Datagram::Rtp(to, packet) => {
                self.counters.sent += 1;
                self.outputs.push_back(Output::Packet { stream, to, packet });
            }
            Datagram::Rtcp(to, packet) => self.outputs.push_back(Output::Control { stream, to, packet }),
        }
    }

    pub(super) fn tell_statistics(&mut self, id: StreamId) {
        let statistics = self.streams.get(&id).and_then(Stream::statistics).map(Box::new);
        if let Some(statistics) = statistics {
            self.outputs.push_back(Output::Event(Event::Statistics { stream: id, statistics }));
        }
    }
}
