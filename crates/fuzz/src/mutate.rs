//! Mutations: bits, bytes, slices, numbers, and words from the corpus.

/// Makes inputs from a corpus, the same for the same seed.
pub struct Mutator {
    state: u64,
}

impl Mutator {
    /// A mutator that begins at `seed`.
    pub fn new(seed: u64) -> Mutator {
        Mutator { state: seed }
    }

    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { (self.random() % bound as u64) as usize }
    }

    /// The next input: one of the corpus with up to eight mutations.
    pub fn next(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let which = self.below(corpus.len());
        let mut bytes = corpus.get(which).cloned().unwrap_or_default();
        for _ in 0..self.below(9) {
            self.mutate(&mut bytes, corpus);
        }
        bytes.truncate(70_000);
        bytes
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let at = self.below(bytes.len() + 1);
        match self.below(9) {
            0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            1 if at < bytes.len() => bytes[at] = self.random() as u8,
            2 => bytes.insert(at, self.random() as u8),
            3 => {
                let end = (at + self.below(16)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => bytes.truncate(at),
            5 => {
                let end = (at + self.below(64)).min(bytes.len());
                let slice = bytes[at..end].to_vec();
                let times = 1 + self.below(64);
                bytes.splice(at..at, slice.repeat(times));
            }
            6 => self.number(bytes, at),
            7 => {
                let other = &corpus[self.below(corpus.len())];
                let from = self.below(other.len());
                let to = (from + self.below(256)).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            _ => {
                const WORDS: [&[u8]; 10] =
                    [b"\r\n", b"\r\n\r\n", b"\x10", b"\x10\x03", b"\0", b"\xff\xff", b";", b",", b"\"", b"<sip:"];
                let word = WORDS[self.below(WORDS.len())];
                bytes.splice(at..at, word.iter().copied());
            }
        }
    }

    fn number(&mut self, bytes: &mut Vec<u8>, at: usize) {
        const NUMBERS: [&str; 8] =
            ["0", "-1", "255", "65536", "2147483648", "4294967296", "18446744073709551616", "99999999999999999999"];
        let from = (at..bytes.len()).find(|&index| bytes[index].is_ascii_digit()).unwrap_or(bytes.len());
        let to = (from..bytes.len()).find(|&index| !bytes[index].is_ascii_digit()).unwrap_or(bytes.len());
        let number = NUMBERS[self.below(NUMBERS.len())];
        bytes.splice(from..to, number.bytes());
    }
}
