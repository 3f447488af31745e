//! Audio of applications over Unix sockets that keep the borders of messages: a message is 20 ms of signed 16 bits in
//! little endian, 320 octets at 8 kHz or 640 at 16 kHz. Nothing here blocks: what an application does not read waits in
//! a queue whose oldest is dropped, and what it writes too fast is dropped by the provider. Messages of letters, shorter
//! than any audio, are about the queue of what it writes: see [`ask`] and [`text`].

use rustix::net::sockopt::{set_socket_send_buffer_size, socket_type};
use rustix::net::{RecvFlags, SendFlags, SocketType, recv, send};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use tspi::media::{Ask, AudioFrame, Rate, Told, WIDE_SAMPLES};

/// Frames that wait for an application at most: half a second.
const CAP: usize = 25;
/// The system's own queue, in octets: it drops nothing, so it is kept short. The system counts what a message costs it.
const SEND_BUFFER: usize = 8 * 1024;
/// Messages that are read before others have their turn: more than the provider keeps.
const BURST: usize = 32;
/// Octets of the longest message, and one more, so that a longer one is seen to be longer.
const ROOM: usize = WIDE_SAMPLES * 2 + 1;

/// Octets of the longest message that is not audio.
const LONGEST_TEXT: usize = 32;
/// Messages to an application that wait at most.
const TEXTS: usize = 128;

/// A message of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said<'a> {
    Audio(&'a AudioFrame),
    Ask(Ask),
}

/// What a message that is no audio asks: `mark N`, `clear`, `depth`, `limit MILLISECONDS`.
fn ask(message: &[u8]) -> Option<Ask> {
    let text = std::str::from_utf8(message.get(..LONGEST_TEXT.min(message.len()))?).ok()?;
    let number = |text: &str| text.parse().ok();
    match text.trim_end().split_once(' ') {
        Some(("mark", mark)) => number(mark).map(Ask::Mark),
        Some(("limit", millis)) => number(millis).map(Ask::Limit),
        None if text.trim_end() == "clear" => Some(Ask::Clear),
        None if text.trim_end() == "depth" => Some(Ask::Depth),
        _ => None,
    }
    .filter(|_| message.len() <= LONGEST_TEXT)
}

/// A message to an application: `played N`, `cleared N`, `depth MILLISECONDS`.
fn text(told: Told) -> String {
    match told {
        Told::Played(mark) => format!("played {mark}"),
        Told::Cleared(mark) => format!("cleared {mark}"),
        Told::Depth(millis) => format!("depth {millis}"),
    }
}

/// An application's socket.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    rate: Rate,
    waiting: VecDeque<AudioFrame>,
    texts: VecDeque<String>,
}

/// What reading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Goes,
    /// The other end is closed.
    Over,
}

impl Socket {
    /// Takes a socket for audio of this rate.
    pub(crate) fn new(fd: OwnedFd, rate: Rate) -> io::Result<Socket> {
        if socket_type(&fd)? != SocketType::SEQPACKET {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a socket of type SOCK_SEQPACKET"));
        }
        set_socket_send_buffer_size(&fd, SEND_BUFFER)?;
        Ok(Socket { fd, rate, waiting: VecDeque::with_capacity(CAP), texts: VecDeque::new() })
    }

    /// Reads what there is. `lost` counts messages of a wrong length.
    pub(crate) fn read(&mut self, lost: &mut u64, mut take: impl FnMut(Said<'_>)) -> Read {
        let mut room = [0u8; ROOM];
        for _ in 0..BURST {
            // What is longer than the room is cut by the system, and is of a wrong length then.
            let length = match recv(&self.fd, &mut room[..], RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return Read::Over,
                Ok((_, length)) => length.min(ROOM),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Read::Goes,
                Err(_) => return Read::Over,
            };
            if length != self.rate.frame_samples() * 2 {
                match ask(&room[..length]) {
                    Some(ask) => take(Said::Ask(ask)),
                    None => *lost += 1,
                }
                continue;
            }
            let mut frame = AudioFrame::silence(self.rate);
            for (sample, octets) in frame.samples_mut().iter_mut().zip(room[..length].chunks_exact(2)) {
                *sample = i16::from_le_bytes([octets[0], octets[1]]);
            }
            take(Said::Audio(&frame));
        }
        Read::Goes
    }

    /// Tells the application something.
    pub(crate) fn tell(&mut self, told: Told) -> Read {
        if self.texts.len() < TEXTS {
            self.texts.push_back(text(told));
        }
        self.send_texts()
    }

    fn send_texts(&mut self) -> Read {
        while let Some(text) = self.texts.front() {
            match send(&self.fd, text.as_bytes(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(_) => drop(self.texts.pop_front()),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR | rustix::io::Errno::NOBUFS) => break,
                Err(_) => return Read::Over,
            }
        }
        Read::Goes
    }

    /// Sends what waits and this. `lost` counts frames that are dropped since the application does not read.
    pub(crate) fn write(&mut self, frame: &AudioFrame, lost: &mut u64) -> Read {
        if self.waiting.len() >= CAP {
            self.waiting.pop_front();
            *lost += 1;
        }
        self.waiting.push_back(*frame);
        if self.send_texts() == Read::Over {
            return Read::Over;
        }
        while let Some(frame) = self.waiting.front() {
            let mut octets = [0u8; WIDE_SAMPLES * 2];
            let length = frame.samples().len() * 2;
            for (octets, sample) in octets.chunks_exact_mut(2).zip(frame.samples()) {
                octets.copy_from_slice(&sample.to_le_bytes());
            }
            match send(&self.fd, &octets[..length], SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(_) => drop(self.waiting.pop_front()),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR | rustix::io::Errno::NOBUFS) => break,
                Err(_) => return Read::Over,
            }
        }
        Read::Goes
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, socketpair};
    use tspi::media::{FRAME_SAMPLES, Frame};

    fn pair(rate: Rate) -> (Socket, OwnedFd) {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        (Socket::new(ours, rate).unwrap(), theirs)
    }

    #[test]
    fn only_sockets_that_keep_borders_are_taken() {
        let (stream, _other) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        assert!(Socket::new(stream, Rate::Narrow).is_err());
        assert!(Socket::new(std::fs::File::open("/dev/null").unwrap().into(), Rate::Narrow).is_err());
    }

    #[test]
    fn messages_of_a_wrong_length_are_counted_and_the_end_is_seen() {
        let (mut socket, theirs) = pair(Rate::Wide);
        for length in [640, 320, 641, 5000, 640] {
            send(&theirs, &vec![1; length], SendFlags::empty()).unwrap();
        }
        let (mut lost, mut taken) = (0, 0);
        assert_eq!(socket.read(&mut lost, |_| taken += 1), Read::Goes);
        assert_eq!((lost, taken), (3, 2));
        drop(theirs);
        assert_eq!(socket.read(&mut lost, |_| taken += 1), Read::Over);
        assert_eq!(socket.write(&AudioFrame::SILENCE, &mut lost), Read::Over);
    }

    #[test]
    fn words_between_the_audio_are_read_and_said() {
        let (mut socket, theirs) = pair(Rate::Narrow);
        for message in
            ["mark 7", "clear\n", "depth", "limit 30000", "mark", "mark -1", "limit 1 2", "what", "clear all"]
        {
            send(&theirs, message.as_bytes(), SendFlags::empty()).unwrap();
        }
        send(&theirs, &[b' '; 320], SendFlags::empty()).unwrap();
        let (mut lost, mut asked, mut audio) = (0, Vec::new(), 0);
        let read = socket.read(&mut lost, |said| match said {
            Said::Ask(ask) => asked.push(ask),
            Said::Audio(_) => audio += 1,
        });
        assert_eq!((read, lost, audio), (Read::Goes, 5, 1));
        assert_eq!(asked, [Ask::Mark(7), Ask::Clear, Ask::Depth, Ask::Limit(30_000)]);
        for told in [Told::Played(7), Told::Cleared(8), Told::Depth(340)] {
            socket.tell(told);
        }
        let mut room = [0u8; 100];
        for expected in ["played 7", "cleared 8", "depth 340"] {
            let (_, length) = recv(&theirs, &mut room[..], RecvFlags::DONTWAIT).unwrap();
            assert_eq!(&room[..length], expected.as_bytes());
        }
    }

    #[test]
    fn an_application_that_does_not_read_gets_the_newest_and_holds_nobody_up() {
        let (mut socket, theirs) = pair(Rate::Narrow);
        let mut lost = 0;
        for n in 0..500 {
            assert_eq!(socket.write(&Frame([n; FRAME_SAMPLES]).into(), &mut lost), Read::Goes);
        }
        assert!(lost > 400, "{lost}");
        let mut read = Vec::new();
        let mut room = [0u8; 1000];
        for _ in 0..3 {
            while let Ok((_, length)) = recv(&theirs, &mut room[..], RecvFlags::DONTWAIT) {
                assert_eq!(length, 320);
                read.push(i16::from_le_bytes([room[0], room[1]]));
            }
            socket.write(&Frame([500; FRAME_SAMPLES]).into(), &mut lost);
        }
        assert!(read.contains(&499) && read.windows(2).all(|pair| pair[0] <= pair[1]), "{read:?}");
    }
}
