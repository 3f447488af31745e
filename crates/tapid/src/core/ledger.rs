//! The ledger: a file that a line of JSON is added to for each call that ended.

use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use tapi::LedgerEntry;

/// Records that wait for a slow disk.
const WAITING: usize = 65_536;

/// Where records go.
#[derive(Debug)]
pub struct Ledger {
    records: Option<SyncSender<Vec<u8>>>,
    writer: Option<std::thread::JoinHandle<()>>,
    lost: u64,
}

impl Ledger {
    /// Adds to this file; `None`: nowhere.
    pub fn new(path: Option<PathBuf>) -> Ledger {
        let Some(path) = path else { return Ledger { records: None, writer: None, lost: 0 } };
        let (records, waiting) = sync_channel(WAITING);
        let writer = std::thread::Builder::new().name("ledger".into()).spawn(move || write(&path, &waiting));
        match writer {
            Ok(writer) => Ledger { records: Some(records), writer: Some(writer), lost: 0 },
            Err(error) => {
                tracing::error!(%error, "no thread for the ledger: calls are not written down");
                Ledger { records: None, writer: None, lost: 0 }
            }
        }
    }

    /// Adds a record. It never waits for the disk: what does not fit any more is lost, and that is told.
    pub fn add(&mut self, record: &LedgerEntry) {
        let Some(records) = &self.records else { return };
        let Ok(mut line) = serde_json::to_vec(record) else { return };
        line.push(b'\n');
        if records.try_send(line).is_err() {
            self.lost += 1;
            if self.lost.is_power_of_two() {
                tracing::error!(lost = self.lost, "the ledger's disk does not keep up: records are lost");
            }
        }
    }
}

impl Drop for Ledger {
    /// What waits is still written.
    fn drop(&mut self) {
        self.records = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// Opens the file anew for each batch, so that one that was moved away is made again.
fn write(path: &PathBuf, records: &Receiver<Vec<u8>>) {
    while let Ok(mut batch) = records.recv() {
        while batch.len() < 1 << 20 {
            let Ok(more) = records.try_recv() else { break };
            batch.extend(more);
        }
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        if let Err(error) = file.and_then(|mut file| file.write_all(&batch)) {
            tracing::error!(path = %path.display(), %error, "the ledger cannot be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tapi::{CallId, CallOrigin, CallReason, Party};

    #[test]
    fn each_call_is_a_line_and_nothing_is_lost_at_the_end() {
        let path = std::env::temp_dir().join(format!("tapid-ledger-{}", std::process::id()));
        let mut ledger = Ledger::new(Some(path.clone()));
        let record = |call| LedgerEntry {
            call: CallId(call),
            uid: format!("n-1-{call}"),
            conversation: "n-1-1".into(),
            related: None,
            line: "sip:a".into(),
            origin: CallOrigin::Inbound,
            reason: CallReason::Direct,
            caller: Party::unknown(),
            called: Party::unknown(),
            connected: Party::unknown(),
            redirection: Party::unavailable(),
            redirecting: Party::unavailable(),
            network_id: None,
            app: None,
            comment: None,
            began: 1,
            answered: None,
            answered_by: None,
            ended: 2,
            cause: None,
            codec: None,
            security: None,
            statistics: None,
        };
        for call in 1..=100 {
            ledger.add(&record(call));
        }
        drop(ledger);
        let text = std::fs::read_to_string(&path).unwrap();
        let read: Vec<LedgerEntry> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read.len(), 100);
        assert_eq!(read[41], record(42));
        std::fs::remove_file(path).unwrap();
    }
}
