//! Replies and events: who is told what, in which order.

use crate::pending::Asker;
use crate::session::Kept;
use crate::{Output, Server};
use std::sync::Arc;
use tapi::{Error, Event, EventBody, Reply, SessionId, Time};

impl Server {
    /// Answers a request, if its connection is still there. Tells whether it is.
    pub(crate) fn answer(&mut self, asker: Asker, result: Result<Reply, Error>) -> bool {
        let Some(id) = asker.client else { return false };
        let Some(client) = self.clients.get_mut(&id) else { return false };
        client.outstanding.remove(&asker.id);
        if client.session != Some(asker.session) {
            return false;
        }
        self.output(Output::Reply { client: id, id: asker.id, result });
        true
    }

    /// Tells `audience`. An event that concerns nobody is none: it takes no number.
    pub(crate) fn emit(&mut self, now: Time, body: EventBody, audience: impl IntoIterator<Item = SessionId>) {
        let audience: Vec<SessionId> =
            audience.into_iter().filter(|session| self.sessions.contains_key(session)).collect();
        if audience.is_empty() {
            return;
        }
        self.seq += 1;
        let event = Arc::new(Event { seq: self.seq, time: now, wall: self.wall(now), body });
        for session in &audience {
            let Some(session) = self.sessions.get_mut(session) else { continue };
            let prev = std::mem::replace(&mut session.last_seq, event.seq);
            if let Some(client) = session.client {
                self.outputs.push_back(Output::Event { client, prev, event: Arc::clone(&event) });
            }
        }
        if self.kept.len() >= self.config.replay_events {
            self.kept.pop_front();
        }
        if self.config.replay_events > 0 {
            self.kept.push_back(Kept { event, audience });
        }
    }

    /// The oldest event that can be replayed; the next one to come when none is kept.
    pub(crate) fn oldest_kept(&self) -> u64 {
        self.kept.front().map_or(self.seq + 1, |kept| kept.event.seq)
    }

    /// Sends again what `session` was told after event `since`.
    pub(crate) fn replay(&mut self, session: SessionId, since: u64) {
        let Some(client) = self.sessions.get(&session).and_then(|session| session.client) else { return };
        let start = self.kept.partition_point(|kept| kept.event.seq <= since);
        let mut prev = since;
        for kept in self.kept.range(start..) {
            if kept.audience.contains(&session) {
                self.outputs.push_back(Output::Event { client, prev, event: Arc::clone(&kept.event) });
                prev = kept.event.seq;
            }
        }
    }
}
