//! Chance and numbers for a start: a seed from the operating system, and a first id above all earlier ones.

use crate::clock;
use rustix::rand::{GetRandomFlags, getrandom};
use std::io;
use std::path::{Path, PathBuf};

/// 2020-01-01 in seconds since 1970: ids count from there.
const EPOCH: u64 = 1_577_836_800;

/// Ids to a second: more than a node gives out in one.
const IDS_A_SECOND: u128 = 1 << 22;

/// For how long ahead the file reserves ids.
const RESERVED_S: u64 = 1_200;

/// 32 bytes of the operating system's chance.
pub fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    let mut filled = 0;
    while filled < seed.len() {
        match getrandom(&mut seed[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            // It cannot fail for 32 bytes on the kernels this runs on; a predictable seed would be worse than none.
            Err(error) => panic!("no chance from the operating system: {error}"),
        }
    }
    seed
}

/// Ids that this node never gave out before: the clock says which, and a file that it does not go back.
#[derive(Clone, Debug)]
pub struct Ids {
    file: Option<PathBuf>,
    first: u64,
}

impl Ids {
    /// Finds the first free id, and reserves those of the next minutes.
    pub fn start(state_directory: Option<&Path>) -> io::Result<Ids> {
        let file = state_directory.map(|directory| directory.join("ids"));
        let stored = match file.as_ref().map(std::fs::read_to_string) {
            None => 0,
            Some(Ok(text)) => text.trim().parse().map_err(|_| io::Error::other("ids: not a number"))?,
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => 0,
            Some(Err(error)) => return Err(error),
        };
        let ids = Ids { file, first: stored.max(by_clock(clock::wall_micros())) };
        ids.reserve()?;
        Ok(ids)
    }

    /// The first id of this start.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Reserves the ids of the next minutes; to be called again before they are over.
    pub fn reserve(&self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let now = self.first.max(by_clock(clock::wall_micros()));
        let reserved = now.saturating_add(RESERVED_S << 22);
        let new = file.with_extension("new");
        std::fs::write(&new, format!("{reserved}\n"))?;
        std::fs::rename(&new, file)
    }

    /// How often to call [`Ids::reserve`].
    pub const RESERVE_EVERY: std::time::Duration = std::time::Duration::from_secs(RESERVED_S / 2);
}

fn by_clock(micros: u64) -> u64 {
    let since = u128::from(micros.saturating_sub(EPOCH * 1_000_000));
    u64::try_from(since * IDS_A_SECOND / 1_000_000).unwrap_or(u64::MAX >> 11)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_the_clock_and_stay_below_what_json_keeps_whole() {
        assert_eq!(by_clock((EPOCH + 1) * 1_000_000), 1 << 22);
        assert!(by_clock(4_000_000_000 * 1_000_000) < 1 << 54);
        assert!(by_clock(3_600_000_000 * 1_000_000) < 1 << 53);
        assert_ne!(by_clock((EPOCH * 1_000 + 1) * 1_000), by_clock((EPOCH * 1_000 + 2) * 1_000));
    }

    #[test]
    fn a_clock_that_goes_back_does_not_bring_ids_back() {
        let directory = std::env::temp_dir().join(format!("tapid-ids-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let ahead = by_clock(clock::wall_micros()) + (1 << 40);
        std::fs::write(directory.join("ids"), format!("{ahead}\n")).unwrap();
        let ids = Ids::start(Some(&directory)).unwrap();
        assert_eq!(ids.first(), ahead);
        let again = Ids::start(Some(&directory)).unwrap();
        assert!(again.first() > ahead);
        std::fs::remove_dir_all(directory).unwrap();
    }
}
