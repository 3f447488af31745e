//! Bytes into lines.

use super::MAX_LINE;

/// A line is longer than the bound; it is skipped up to its line feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line is longer than {max} bytes")]
pub struct TooLong {
    /// The bound, in bytes, line feed included.
    pub max: usize,
}

/// Splits a stream of bytes into lines at LF, whatever the pieces it arrives in. A CR before the LF is taken off, and
/// empty lines are left out.
///
/// Holds at most the bound plus the last pushed piece: after each [`Lines::push`] take lines until there is none.
#[derive(Clone, Debug)]
pub struct Lines {
    bytes: Vec<u8>,
    /// Where the line that is being read begins.
    start: usize,
    /// How far it was looked through for a line feed.
    scanned: usize,
    max: usize,
    mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Reading,
    /// In the rest of a line that was too long.
    Skipping,
}

impl Default for Lines {
    fn default() -> Lines {
        Lines::new()
    }
}

impl Lines {
    /// With the bound of the protocol, [`MAX_LINE`].
    pub fn new() -> Lines {
        Lines::with_max(MAX_LINE)
    }

    /// With another bound, in bytes, line feed included.
    pub fn with_max(max: usize) -> Lines {
        Lines { bytes: Vec::new(), start: 0, scanned: 0, max: max.max(1), mode: Mode::Reading }
    }

    /// Takes what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether nothing waits: every byte belonged to a line that was taken.
    pub fn is_empty(&self) -> bool {
        self.start == self.bytes.len() && self.mode == Mode::Reading
    }

    /// The next whole line without its line feed; nothing when more bytes are needed.
    ///
    /// # Errors
    /// [`TooLong`], once for each line over the bound; reading goes on after its line feed.
    pub fn next_line(&mut self) -> Option<Result<&[u8], TooLong>> {
        loop {
            let begin = self.start;
            let waiting = self.bytes.get(self.scanned..).unwrap_or_default();
            let Some(offset) = waiting.iter().position(|&byte| byte == b'\n') else {
                self.scanned = self.bytes.len();
                return self.need_more();
            };
            let end = self.scanned + offset;
            self.start = end + 1;
            self.scanned = self.start;
            if self.mode == Mode::Skipping {
                self.mode = Mode::Reading;
                continue;
            }
            if self.start - begin > self.max {
                return Some(Err(TooLong { max: self.max }));
            }
            let line = self.bytes.get(begin..end).unwrap_or_default();
            if !line.is_empty() && line != b"\r" {
                let line = self.bytes.get(begin..end).unwrap_or_default();
                return Some(Ok(line.strip_suffix(b"\r").unwrap_or(line)));
            }
        }
    }

    /// No line feed yet: forget what is skipped, and see whether the line can still fit.
    fn need_more(&mut self) -> Option<Result<&[u8], TooLong>> {
        let pending = self.bytes.len() - self.start;
        let too_long = self.mode == Mode::Reading && pending >= self.max;
        if too_long {
            self.mode = Mode::Skipping;
        }
        if self.mode == Mode::Skipping {
            self.bytes = Vec::new();
            self.start = 0;
            self.scanned = 0;
        }
        too_long.then_some(Err(TooLong { max: self.max }))
    }

    /// Bytes of memory in use.
    #[cfg(test)]
    pub(super) fn bytes_held(&self) -> usize {
        self.bytes.len()
    }
}
