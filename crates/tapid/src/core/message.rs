//! What the other tasks tell the core.

use crate::files::Created;
use crate::provider::ToProvider;
use crate::sink::Sink;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tapi::{CallId, LineId, LineSelector, Names, Request, RequestId, Right};
use tapi_core::{ClientId, Peer, ProviderId};
use tokio::sync::{Notify, mpsc, oneshot};

/// What the other tasks tell the core.
#[derive(Debug)]
pub enum Message {
    /// A client connected.
    ClientConnected {
        /// The connection.
        client: ClientId,
        /// Who.
        peer: Peer,
        /// Where what is said to it goes.
        sink: Sink,
    },
    /// Which line a request is about, and what the client may do with it.
    RightsOn {
        /// Who.
        client: ClientId,
        /// The call that it names.
        call: Option<CallId>,
        /// The line that it names.
        line: Option<LineSelector>,
        /// Where to say it, with the line's permanent name.
        answer: oneshot::Sender<Option<(LineId, String, Names<Right>)>>,
    },
    /// An authority allows a client something.
    Granted {
        /// On which connection.
        client: ClientId,
        /// On which line; none: on all.
        line: Option<LineId>,
        /// What.
        rights: Names<Right>,
    },
    /// What authorities allowed a client may hold no longer.
    Revoked {
        /// On which connection.
        client: ClientId,
    },
    /// A client asks.
    Request {
        /// On which connection.
        client: ClientId,
        /// Its name for the request.
        id: RequestId,
        /// What.
        request: Request,
        /// The file it is about.
        file: Option<PassedFile>,
    },
    /// A connection ended.
    ClientGone {
        /// Which.
        client: ClientId,
        /// Whether it did not read what it was sent.
        overrun: bool,
    },
    /// A provider runs.
    ProviderStarted {
        /// Which.
        provider: ProviderId,
        /// Which run of it, from 1.
        run: u64,
        /// Its name.
        name: String,
        /// Where its commands go.
        inbox: mpsc::Sender<ToProvider>,
        /// Called when there are frames for it.
        frames: Arc<Notify>,
        /// Whether it goes on from an earlier process: the server knows it already.
        restored: bool,
    },
    /// A provider says something.
    Provider {
        /// Which.
        provider: ProviderId,
        /// Which run of it.
        run: u64,
        /// What, of one turn.
        events: Vec<tspi::Event>,
    },
    /// A provider's run is over.
    ProviderStopped {
        /// Which.
        provider: ProviderId,
        /// Which run of it.
        run: u64,
        /// Why.
        reason: String,
    },
    /// A provider's task lives.
    Alive {
        /// Which.
        provider: ProviderId,
    },
    /// A provider's task has put its state down.
    ProviderParked,
    /// Say in the log how much there is of everything.
    Inventory,
    /// Hang up and end; said again: end at once.
    Stop,
    /// Put everything down so that a new process can go on.
    Park,
}

/// A file that came with a request.
#[derive(Debug)]
pub struct PassedFile {
    /// The file.
    pub file: OwnedFd,
    /// Set when it was made for the request.
    pub created: Option<Created>,
}
