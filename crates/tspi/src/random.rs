//! Unpredictable numbers that a machine can keep: seeded by the shell, part of the machine's state.

use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

/// A cryptographic generator as plain state. Tags, branches, Call-IDs, SSRCs and tokens come from here: the shell seeds it
/// from the operating system, a test from a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Random(ChaCha12Rng);

impl Random {
    /// From 32 bytes of the operating system's.
    pub fn from_seed(seed: [u8; 32]) -> Random {
        Random(ChaCha12Rng::from_seed(seed))
    }

    /// From a number, for tests.
    pub fn from_number(number: u64) -> Random {
        Random(ChaCha12Rng::seed_from_u64(number))
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }

    /// So many characters of `0`-`9` and `a`-`z`, five bits of chance each.
    pub fn token(&mut self, characters: usize) -> String {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghijkmnpqrstvwxy";
        (0..characters).map(|_| char::from(ALPHABET[(self.next_u32() & 31) as usize])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_run_and_a_kept_state_goes_on() {
        let mut one = Random::from_number(7);
        let mut other = Random::from_number(7);
        assert_eq!(one.token(16), other.token(16));
        let json = serde_json::to_string(&one).unwrap();
        let mut kept: Random = serde_json::from_str(&json).unwrap();
        assert_eq!(kept.next_u64(), one.next_u64());
    }
}
