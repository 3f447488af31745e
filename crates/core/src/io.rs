//! What goes into the server and what comes out of it.

use crate::Options;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use tapi::{CallId, Error, Event, Generation, LedgerEntry, LineId, Names, Reply, Request, RequestId, Right};
use tspi::media::{self, DescriptorId};

/// The shell's name for one connection of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientId(pub u64);

/// The shell's name for a running provider; the same after a restart that kept the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProviderId(pub u32);

impl ProviderId {
    /// The server itself: whose conferences have no provider.
    pub const SERVER: ProviderId = ProviderId(u32::MAX);
}

/// What the kernel says of a client (SO_PEERCRED, SO_PEERGROUPS).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Further groups.
    #[serde(default)]
    pub groups: Vec<u32>,
    /// Process.
    pub pid: i32,
}

/// What goes in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// A client connected, and may use the server.
    ClientConnected {
        /// The connection.
        client: ClientId,
        /// Who.
        peer: Peer,
    },
    /// An authority that the shell asked allows a client something, beside the rules.
    Granted {
        /// On which connection.
        client: ClientId,
        /// On which line. None: on all.
        line: Option<LineId>,
        /// What.
        rights: Names<Right>,
    },
    /// Authorities may think otherwise now: what they allowed a client is forgotten, and asked for anew.
    Revoked {
        /// On which connection.
        client: ClientId,
    },
    /// A client asks something.
    Request {
        /// On which connection.
        client: ClientId,
        /// Its name for the request.
        id: RequestId,
        /// What.
        request: Request,
        /// A file that came with it: passed by the client, or opened by the shell below a configured directory.
        descriptor: Option<DescriptorId>,
    },
    /// A connection is gone.
    ClientGone {
        /// Which.
        client: ClientId,
        /// Whether the shell cut it off since it did not read: then the session lingers even if it did not ask to.
        overrun: bool,
    },
    /// A provider runs, and will tell its lines.
    ProviderStarted {
        /// Its id.
        provider: ProviderId,
        /// Its name, for people.
        name: String,
    },
    /// A provider said something.
    Provider {
        /// Which.
        provider: ProviderId,
        /// What.
        event: tspi::Event,
    },
    /// A provider died, or does not take commands any more: its lines go, its requests are answered.
    ProviderStopped {
        /// Which.
        provider: ProviderId,
        /// Why.
        reason: String,
    },
    /// The media provider said something.
    Media(media::Event),
    /// The file of [`Output::OpenMedia`] is open, or why not.
    MediaOpened {
        /// For which call.
        call: CallId,
        /// The file.
        descriptor: Result<DescriptorId, String>,
    },
    /// The wall clock was stepped: microseconds to add to [`tapi::Time`] to get microseconds since 1970 UTC.
    WallClock(u64),
    /// The state was just restored by a new process: no connection is left, sessions linger.
    Restored,
    /// This server was made by [`crate::Server::recover`], its providers are started, and they still have these calls.
    Recovered {
        /// The calls, by provider.
        calls: Vec<(ProviderId, tspi::CallRef)>,
    },
    /// Stop: refuse new requests, end every call. The shell then shuts the providers down.
    Stop,
    /// The deadline passed.
    Timeout,
}

/// What comes out.
#[derive(Clone, Debug)]
pub enum Output {
    /// The answer to a request.
    Reply {
        /// On which connection.
        client: ClientId,
        /// The client's name for the request.
        id: RequestId,
        /// Taken, or refused.
        result: Result<Reply, Error>,
    },
    /// An event for a client.
    Event {
        /// On which connection.
        client: ClientId,
        /// The event that this session was sent before it.
        prev: u64,
        /// The event, shared by all who get it.
        event: Arc<Event>,
    },
    /// A command for a provider.
    Command {
        /// Which.
        provider: ProviderId,
        /// What.
        command: tspi::Command,
    },
    /// A command for the media provider, about a stream of one of this provider's calls.
    Media {
        /// Whose call.
        provider: ProviderId,
        /// What.
        command: media::Command,
    },
    /// Open a file below the configured directories, to be played. [`Input::MediaOpened`] answers, in the same turn or a
    /// later one.
    OpenMedia {
        /// For which call.
        call: CallId,
        /// Its relative path.
        file: String,
    },
    /// A call is over: a line for the ledger.
    Ended {
        /// What is kept of it.
        record: Box<LedgerEntry>,
    },
    /// A file that came with a request is not used: close it.
    Discard {
        /// Which.
        descriptor: DescriptorId,
    },
    /// Close a connection.
    CloseClient {
        /// Which.
        client: ClientId,
        /// Why.
        reason: String,
    },
}

/// What a server starts with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Name of this node, in calls' uids.
    pub node: String,
    /// Generation of the state.
    pub generation: Generation,
    /// The first id to give out: never below one that this node gave out before.
    pub first_id: u64,
    /// Microseconds to add to [`tapi::Time`] to get microseconds since 1970 UTC.
    pub wall_offset: u64,
    /// Address at which RTP is received.
    pub rtp_address: IpAddr,
    /// Ports bound there for RTP, one a stream. Of an even one the successor, where it is not in here, is for its RTCP.
    pub rtp_ports: Vec<u16>,
    /// Chance for session tokens, from the operating system.
    pub seed: [u8; 32],
    /// Events kept for clients that come back.
    pub replay_events: usize,
    /// How long the calls' idle handles and their information are kept when nobody deallocates them, in milliseconds.
    pub idle_grace_ms: u64,
    /// Who may do what, and what becomes of calls that nobody takes.
    #[serde(default)]
    pub options: Options,
}
