//! Calls that outlive a crash: each written down while both sides talk, and taken up by the next process.
//!
//! Only a dialog whose INVITE is done is worth it: what was being set up or taken down when the process died cannot be
//! gone on with, since the other end's transactions know ours. A request of the other end that was under way is sent
//! again and finds the dialog.

use super::Sip;
use crate::Config;
use crate::invite::{Call, State};
use std::collections::BTreeSet;
use tapi::Time;
use tspi::CallRef;

/// What the next checkpoint has to look at.
#[derive(Clone, Debug, Default)]
pub(super) struct Keeping {
    /// None until somebody writes calls down.
    touched: Option<BTreeSet<u64>>,
    /// Calls that are written down.
    written: BTreeSet<u64>,
}

impl Keeping {
    pub(super) fn touch(&mut self, call: u64) {
        self.touched.as_mut().map(|touched| touched.insert(call));
    }
}

impl Sip {
    /// Gives `keep` every call that changed since the last time: its number, and what to write, or nothing once it need
    /// not be known any more.
    pub fn checkpoint(&mut self, mut keep: impl FnMut(u64, Option<&[u8]>)) {
        for id in self.keeping.touched.as_mut().map(std::mem::take).unwrap_or_default() {
            let talking = self.calls.get(&id).filter(|call| call.state == State::Confirmed);
            match talking.and_then(|call| serde_json::to_vec(call).ok()) {
                Some(bytes) => {
                    keep(id, Some(&bytes));
                    self.keeping.written.insert(id);
                }
                None if self.keeping.written.remove(&id) => keep(id, None),
                None => {}
            }
        }
    }

    /// Every call counts as changed: the next checkpoint is a whole one.
    pub fn begin_checkpoints(&mut self) {
        self.keeping = Keeping { touched: Some(self.calls.keys().copied().collect()), written: BTreeSet::new() };
    }

    /// Nobody writes calls down any more.
    pub fn end_checkpoints(&mut self) {
        self.keeping = Keeping::default();
    }

    /// A user agent with the calls that an earlier one wrote down and the server knows (`known`); others are hung up, and
    /// what cannot be read is passed over. The calls that it has are returned.
    pub fn recover(
        config: Config,
        seed: [u8; 32],
        now: Time,
        entries: impl IntoIterator<Item = (u64, Vec<u8>)>,
        known: &BTreeSet<CallRef>,
    ) -> (Sip, Vec<CallRef>) {
        let mut sip = Sip::new(config, seed);
        // Names of calls are counted, one after the other: fewer than microseconds went by.
        sip.last_call = now.0;
        let mut kept = Vec::new();
        for (id, bytes) in entries {
            let Ok(mut call) = serde_json::from_slice::<Call>(&bytes) else {
                sip.endpoint.counters.unrecovered += 1;
                continue;
            };
            if call.id != id || usize::try_from(call.line).map_or(true, |line| line >= sip.endpoint.lines.len()) {
                sip.endpoint.counters.unrecovered += 1;
                continue;
            }
            call.recover(&mut sip.endpoint);
            sip.calls.insert(id, Box::new(call));
            match known.contains(&CallRef(id)) {
                true => kept.push(CallRef(id)),
                false => sip.with_call(id, |call, ep| call.hang_up_unknown(ep, now)),
            }
        }
        for call in &kept {
            sip.with_call(call.0, |_, _| ());
        }
        sip.begin_checkpoints();
        (sip, kept)
    }
}
