//! One task for each connection of a client: lines in, lines out.

use crate::attach;
use crate::core::{Message, PassedFile};
use crate::files::Directories;
use crate::outbox::{Outbox, Outgoing, outbox};
use crate::sink::Sink;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tapi::wire::{self, Lines, rpc};
use tapi::{Error, ErrorCode, Request, RequestId};
use tapi_core::{ClientId, Peer};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// Requests of one client that may wait for their answers.
const MAX_REQUESTS: usize = 1_024;

/// Descriptors that one read can bring: one for each of a few pipelined requests. More are closed by the kernel.
const MAX_DESCRIPTORS: usize = 8;

/// How long a client that has said all still gets its answers.
const LAST_ANSWERS: Duration = Duration::from_secs(30);

/// How often it is looked whether such a client still listens.
const LISTENS_EVERY: Duration = Duration::from_millis(500);

/// How long a client that is told to go may take to read why.
const LAST_LINES: Duration = Duration::from_secs(1);

/// What a connection needs.
#[derive(Debug)]
pub struct Connection {
    /// Its name.
    pub client: ClientId,
    /// Who is there.
    pub peer: Peer,
    /// The connection.
    pub stream: UnixStream,
    /// To the core.
    pub core: mpsc::Sender<Message>,
    /// Where files may be.
    pub directories: Arc<Directories>,
}

/// Serves a connection until it ends.
pub async fn serve(connection: Connection) {
    let Connection { client, peer, stream, core, directories } = connection;
    let (outbox, outgoing) = outbox();
    let (uid, pid) = (peer.uid, peer.pid);
    if core.send(Message::ClientConnected { client, peer, sink: Sink::Socket(outbox.clone()) }).await.is_err() {
        return;
    }
    tracing::debug!(client = client.0, uid, pid, "client connected");
    let mut reader = Reader { client, stream: &stream, core: &core, outbox: &outbox, directories: &directories };
    let reading = async {
        outbox.until_greeted().await;
        let ended = reader.read().await;
        tokio::select! {
            _ = tokio::time::timeout(LAST_ANSWERS, outbox.until_answered()) => {}
            () = until_gone(&stream) => {}
        }
        ended
    };
    let mut writing = std::pin::pin!(write(&stream, outgoing));
    let wrote_all = tokio::select! {
        ended = reading => ended.map(|()| false),
        ended = &mut writing => ended.map(|()| true),
        () = outbox.until_ended() => Ok(false),
    };
    if let Err(error) = &wrote_all {
        tracing::debug!(client = client.0, %error, "client connection failed");
    }
    let _ = core.send(Message::ClientGone { client, overrun: outbox.is_overrun() }).await;
    // With the core's end and this one let go, writing ends once what was still to be said is written.
    drop(outbox);
    if let Ok(false) = wrote_all {
        let _ = tokio::time::timeout(LAST_LINES, writing).await;
    }
}

/// Returns when nobody is at the other end any more: a client that only said all it had to say still reads.
async fn until_gone(stream: &UnixStream) {
    let mut look = tokio::time::interval(LISTENS_EVERY);
    loop {
        look.tick().await;
        let mut end = [PollFd::new(stream, PollFlags::empty())];
        let _ = poll(&mut end, Some(&rustix::event::Timespec::default()));
        if end.iter().any(|end| end.revents().intersects(PollFlags::HUP | PollFlags::ERR)) {
            return;
        }
    }
}

async fn write(stream: &UnixStream, mut outgoing: Outgoing) -> io::Result<()> {
    let mut batch = Vec::new();
    while outgoing.take(&mut batch).await {
        let mut rest = &batch[..];
        while !rest.is_empty() {
            stream.writable().await?;
            match stream.try_write(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        batch.clear();
        batch.shrink_to(64 << 10);
    }
    Ok(())
}

struct Reader<'a> {
    client: ClientId,
    stream: &'a UnixStream,
    core: &'a mpsc::Sender<Message>,
    outbox: &'a Outbox,
    directories: &'a Arc<Directories>,
}

impl Reader<'_> {
    async fn read(&mut self) -> io::Result<()> {
        let mut lines = Lines::new();
        let mut bytes = vec![0; 64 << 10];
        let mut passed = VecDeque::new();
        loop {
            let count = self.receive(&mut bytes, &mut passed).await?;
            if count == 0 {
                return Ok(());
            }
            lines.push(bytes.get(..count).unwrap_or_default());
            while let Some(line) = lines.next_line() {
                match line {
                    Ok(line) => {
                        let decoded = wire::decode_request(line);
                        self.decoded(decoded, &mut passed).await?;
                    }
                    Err(error) => self.say(|buf| {
                        wire::encode_rpc_error(buf, None, rpc::INVALID_REQUEST, &error.to_string());
                    })?,
                }
            }
            // A descriptor belongs to a line that is here or begun; what is left over nobody asked for.
            if lines.is_empty() {
                passed.clear();
            }
            passed.truncate(MAX_DESCRIPTORS);
        }
    }

    /// Waits for bytes. Fewer than there is room for leave the socket empty, where no descriptor cut them short: it need
    /// not be asked again to find that out.
    async fn receive(&mut self, bytes: &mut [u8], passed: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
        loop {
            self.stream.readable().await?;
            let mut taken = None;
            let received = self.stream.try_io(Interest::READABLE, || {
                let (count, with_descriptors) = receive(self.stream, bytes, passed)?;
                taken = Some(count);
                let may_have_more = count == bytes.len() || with_descriptors;
                if may_have_more { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
            });
            match (taken, received) {
                (Some(count), _) => return Ok(count),
                (None, Err(error)) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                (None, _) => {}
            }
        }
    }

    async fn decoded(
        &mut self,
        decoded: Result<(RequestId, Request), (Option<RequestId>, wire::RpcError)>,
        passed: &mut VecDeque<OwnedFd>,
    ) -> io::Result<()> {
        let (id, request) = match decoded {
            Ok(request) => request,
            Err((id, error)) => return self.say(|buf| wire::encode_refusal(buf, id, &error)),
        };
        let file = match attach::file(&request, passed, self.directories).await {
            Ok(file) => file,
            Err(error) => return self.refuse(id, error),
        };
        if !self.outbox.begin_request(MAX_REQUESTS) {
            if let Some(PassedFile { created: Some(created), .. }) = file {
                created.remove();
            }
            let error = ErrorCode::RequestOverrun.because(format_args!("{MAX_REQUESTS} requests are unanswered"));
            return self.refuse(id, error);
        }
        let message = Message::Request { client: self.client, id, request, file };
        self.core.send(message).await.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }

    fn refuse(&self, id: RequestId, error: Error) -> io::Result<()> {
        self.say(|buf| wire::encode_reply(buf, id, &Err(error)))
    }

    fn say(&self, encode: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut line = Vec::new();
        encode(&mut line);
        self.outbox.push(line).map_err(|_| io::Error::other("the client does not read its answers"))
    }
}

/// Reads bytes, and the descriptors that came with them; whether there were any.
fn receive(stream: &UnixStream, bytes: &mut [u8], passed: &mut VecDeque<OwnedFd>) -> io::Result<(usize, bool)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(stream, &mut [IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut with_descriptors = received.flags.contains(ReturnFlags::CTRUNC);
    for message in control.drain() {
        with_descriptors = true;
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            passed.extend(descriptors);
        }
    }
    Ok((received.bytes, with_descriptors))
}

#[cfg(test)]
mod tests;
