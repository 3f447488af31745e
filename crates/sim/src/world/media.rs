//! The media provider of the world, with its sockets' addresses and its files in memory.

use crate::conformance::restored;
use msp_rtp::Msp;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use tapi::OperationId;
use tapi_core::ProviderId;
use tspi::Frame;
use tspi::media::{Command, DescriptorId, LocalMedia, StreamId};

/// A file that was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// What was received, then what was sent, for each 20 ms.
    pub frames: Vec<(Frame, Frame)>,
    /// Whether it was brought to its end.
    pub complete: bool,
}

/// The media provider and what it reaches.
#[derive(Debug)]
pub struct Media {
    /// The media provider itself.
    pub msp: Msp,
    /// Whose call a stream belongs to.
    pub owners: BTreeMap<StreamId, ProviderId>,
    /// Where the RTP streams receive.
    pub addresses: BTreeMap<StreamId, SocketAddr>,
    /// Where their RTCP is received, for those that have a port for it.
    pub controls: BTreeMap<StreamId, SocketAddr>,
    /// Streams that were closed, for ever.
    pub closed: BTreeSet<StreamId>,
    /// Operations that have not ended.
    pub operations: BTreeMap<OperationId, (StreamId, Kind)>,
    /// Files to play: 8 kHz, mono.
    pub files: BTreeMap<DescriptorId, Arc<[i16]>>,
    /// Descriptors that were given to the server and have not been used or discarded.
    pub given: BTreeSet<DescriptorId>,
    /// Files that are or were recorded.
    pub recordings: BTreeMap<DescriptorId, Recording>,
    /// Which file a recording goes to.
    pub writing: BTreeMap<OperationId, DescriptorId>,
    /// So many frames fit into a recording, then the disk is full.
    pub disk_frames: Option<usize>,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It reads or writes a file: it is not carried over a restart.
    File,
    /// It does not.
    Generated,
}

impl Media {
    /// Without streams and files.
    pub fn new(msp: Msp) -> Media {
        Media {
            msp,
            owners: BTreeMap::new(),
            addresses: BTreeMap::new(),
            controls: BTreeMap::new(),
            closed: BTreeSet::new(),
            operations: BTreeMap::new(),
            files: BTreeMap::new(),
            given: BTreeSet::new(),
            recordings: BTreeMap::new(),
            writing: BTreeMap::new(),
            disk_frames: None,
        }
    }

    /// Notes a command of the server, and says what is wrong with it.
    ///
    /// # Errors
    /// In words: a stream opened twice, a command for one that is not open, a port used twice.
    pub fn command(&mut self, provider: ProviderId, command: &Command) -> Result<(), String> {
        match command {
            Command::Open { local } => return self.open(provider, local),
            Command::Connect { stream, .. }
            | Command::Mix { stream, .. }
            | Command::Unmix { stream }
            | Command::Detect { stream, .. }
            | Command::Part { stream }
            | Command::MonitorTones { stream, .. }
            | Command::Close { stream } => self.is_open(*stream)?,
            Command::Join { a, b } => {
                self.is_open(*a)?;
                self.is_open(*b)?;
            }
            Command::Play { operation, stream, .. }
            | Command::Record { operation, stream, .. }
            | Command::Application { operation, stream, .. } => {
                self.begin(*operation, *stream, Kind::File)?;
            }
            Command::Digits { operation, stream, .. }
            | Command::Tone { operation, stream, .. }
            | Command::Progress { operation, stream, .. } => {
                self.begin(*operation, *stream, Kind::Generated)?;
            }
            Command::Stop { .. } | Command::Pause { .. } | Command::Resume { .. } => (),
        }
        if let Command::Close { stream } = command {
            self.owners.remove(stream);
            self.addresses.remove(stream);
            self.controls.remove(stream);
            self.closed.insert(*stream);
        }
        Ok(())
    }

    fn open(&mut self, provider: ProviderId, local: &LocalMedia) -> Result<(), String> {
        let stream = match local {
            LocalMedia::Rtp(rtp) => {
                let address = SocketAddr::new(rtp.address, rtp.port);
                if let Some((other, _)) = self.addresses.iter().find(|(_, used)| **used == address) {
                    return Err(format!("stream {} got {address}, which stream {} has", rtp.stream.0, other.0));
                }
                self.addresses.insert(rtp.stream, address);
                let control = rtp.rtcp_port.map(|port| (rtp.stream, SocketAddr::new(rtp.address, port)));
                self.controls.extend(control);
                rtp.stream
            }
            LocalMedia::Frames { stream } => *stream,
            LocalMedia::None => return Err("a stream without a wire was opened".into()),
        };
        if self.closed.contains(&stream) || self.owners.insert(stream, provider).is_some() {
            return Err(format!("stream {} was opened twice", stream.0));
        }
        Ok(())
    }

    fn is_open(&self, stream: StreamId) -> Result<(), String> {
        if self.owners.contains_key(&stream) { Ok(()) } else { Err(format!("stream {} is not open", stream.0)) }
    }

    fn begin(&mut self, operation: OperationId, stream: StreamId, kind: Kind) -> Result<(), String> {
        self.is_open(stream)?;
        match self.operations.insert(operation, (stream, kind)) {
            None => Ok(()),
            Some(_) => Err(format!("operation {operation} began twice")),
        }
    }

    /// An operation ended.
    ///
    /// # Errors
    /// It was not running.
    pub fn ended(&mut self, operation: OperationId, stream: StreamId) -> Result<(), String> {
        match self.operations.remove(&operation) {
            Some((of, _)) if of == stream => Ok(()),
            Some((of, _)) => Err(format!("operation {operation} of stream {} ended on stream {}", of.0, stream.0)),
            None => Err(format!("operation {operation} ended and did not run")),
        }
    }

    /// Writes the state and goes on with what was read back: unless a file is in use, which does not outlive a restart;
    /// then it is only seen whether it could be read back.
    pub fn restore(&mut self) {
        let copy: Msp = restored(&self.msp);
        if !self.operations.values().any(|(_, kind)| *kind == Kind::File) {
            self.msp = copy;
        }
    }

    /// Where a stream's RTCP comes from.
    pub fn control_address(&self, stream: StreamId) -> Option<SocketAddr> {
        self.controls.get(&stream).or_else(|| self.addresses.get(&stream)).copied()
    }

    /// The stream that receives RTCP at an address.
    pub fn control_at(&self, address: SocketAddr) -> Option<StreamId> {
        self.controls.iter().find(|(_, at)| **at == address).map(|(stream, _)| *stream)
    }

    /// The stream that receives at an address.
    pub fn stream_at(&self, address: SocketAddr) -> Option<StreamId> {
        self.addresses.iter().find(|(_, at)| **at == address).map(|(stream, _)| *stream)
    }
}
