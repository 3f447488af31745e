//! A server made of a script: it listens on a socket of its own, and says and expects lines in order.

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::io::{IoSliceMut, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tapi::wire::{Hello, Lines, decode_request, encode_event, encode_hello, encode_reply};
use tapi::{Error, Event, EventBody, Generation, LineId, Reply, Request, RequestId, SessionId, Time, reply};

/// One connection, as the server sees it.
pub struct Peer {
    stream: UnixStream,
    lines: Lines,
    pub descriptors: Vec<OwnedFd>,
}

impl Peer {
    pub fn accept(listener: &UnixListener, seq: u64) -> Peer {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut peer = Peer { stream, lines: Lines::new(), descriptors: Vec::new() };
        let hello = Hello {
            tapid: "0.0.0".into(),
            api: (1, 0),
            generation: Generation(5),
            seq,
            max_line: tapi::wire::MAX_LINE,
        };
        let mut line = Vec::new();
        encode_hello(&mut line, &hello);
        peer.say(&line);
        peer
    }

    pub fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn reply(&mut self, id: RequestId, result: Result<Reply, Error>) {
        let mut line = Vec::new();
        encode_reply(&mut line, id, &result);
        self.say(&line);
    }

    pub fn event(&mut self, prev: u64, seq: u64) {
        let mut line = Vec::new();
        encode_event(&mut line, prev, &event(seq));
        self.say(&line);
    }

    /// The next request; nothing when the client went away.
    pub fn request(&mut self) -> Option<(RequestId, Request)> {
        loop {
            if let Some(line) = self.lines.next_line() {
                return Some(decode_request(line.unwrap()).unwrap());
            }
            let mut bytes = [0; 512];
            let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let mut pieces = [IoSliceMut::new(&mut bytes)];
            let got = recvmsg(&self.stream, &mut pieces, &mut ancillary, RecvFlags::CMSG_CLOEXEC).unwrap().bytes;
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                    self.descriptors.extend(descriptors);
                }
            }
            if got == 0 {
                return None;
            }
            self.lines.push(&bytes[..got]);
        }
    }

    /// Answers `client.open`.
    pub fn opens(&mut self, seq: u64) {
        let Some((id, Request::ClientOpen(_))) = self.request() else { panic!("no client.open") };
        self.reply(id, Ok(opened(seq)));
    }
}

pub fn opened(seq: u64) -> Reply {
    let token = "secret".into();
    Reply::Opened(reply::Opened { session: SessionId(1), token, generation: Generation(5), seq })
}

pub fn event(seq: u64) -> Event {
    let body = EventBody::LineRemoved { line: LineId(seq), reason: "unplugged".into() };
    Event { seq, time: Time(seq), wall: seq, body }
}

/// A socket in a directory of its own, and the script that serves it.
pub struct Server {
    directory: PathBuf,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(script: impl FnOnce(UnixListener) + Send + 'static) -> Server {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("tapi-client-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let listener = UnixListener::bind(directory.join("api.sock")).unwrap();
        #[allow(clippy::disallowed_methods, reason = "the other end of a socket")]
        let thread = std::thread::spawn(move || script(listener));
        Server { directory, thread: Some(thread) }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.join("api.sock")
    }

    /// Waits for the end of the script, which fails the test if it failed.
    pub fn finish(mut self) {
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
