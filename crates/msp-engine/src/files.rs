//! The threads that touch files: one reads what is played, one writes what is recorded.

use crate::index::Index;
use crate::{load, record};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

/// Things to do that wait for the thread that writes recordings: seconds of audio, nearly all.
const RECORD_QUEUE: usize = 2048;

/// The ways to them.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub load: Sender<load::Job>,
    pub record: SyncSender<record::Job>,
}

/// The other ends of these ways.
pub(crate) struct Work {
    load: Receiver<load::Job>,
    record: Receiver<record::Job>,
}

impl Files {
    pub(crate) fn new() -> (Files, Work) {
        let (load, to_load) = channel();
        let (record, to_record) = sync_channel(RECORD_QUEUE);
        (Files { load, record }, Work { load: to_load, record: to_record })
    }
}

impl Work {
    /// Starts the threads: they end when nobody can ask them any more.
    pub(crate) fn start(self, index: &Arc<Index>) -> io::Result<[JoinHandle<()>; 2]> {
        let Work { load, record } = self;
        let told = index.clone();
        let loader = std::thread::Builder::new().name("media-load".into()).spawn(move || load::run(&load, &told))?;
        let told = index.clone();
        let writer =
            std::thread::Builder::new().name("media-record".into()).spawn(move || record::run(&record, &told))?;
        Ok([loader, writer])
    }
}
