//! How much room a file system has, and the rules about it as plain functions of figures.
//!
//! Must never decide about an entry: what stands in the way of writes is the NOSPACE alarm, which went through the log like any other.

use std::io;
use std::path::Path;

/// Bytes kept in reserve, and bytes that must be free besides: a log segment twice, or what a compaction rewrites.
pub const MARGIN: u64 = 128 << 20;
/// On small disks the margin is this share of the whole.
const SHARE: u64 = 16;

/// A file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What is free for this process.
    pub free: u64,
}

impl Space {
    /// Of a file system that has no size of its own, such as ramfs, or tmpfs with `size=0`: it takes what memory there is.
    const UNLIMITED: Self = Self { total: u64::MAX, free: u64::MAX };

    /// Of the file system that holds `dir`.
    ///
    /// # Errors
    /// Those of `statvfs`.
    pub fn of(dir: &Path) -> io::Result<Self> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(Self::of_blocks(stat.f_frsize, stat.f_blocks, stat.f_bavail))
    }

    /// Of blocks of so many bytes. No blocks at all is how a file system without a size answers.
    fn of_blocks(size: u64, total: u64, free: u64) -> Self {
        if total == 0 {
            return Self::UNLIMITED;
        }
        Self { total: total.saturating_mul(size), free: free.saturating_mul(size) }
    }

    /// The file system has a size.
    pub fn is_limited(self) -> bool {
        self != Self::UNLIMITED
    }

    /// What is kept free for deletes, compaction and the next start.
    pub fn margin(self) -> u64 {
        MARGIN.min(self.total / SHARE)
    }

    /// Too little is left: the margin, and what is in memory and must still be flushed, would not fit.
    pub fn is_low(self, unflushed: u64) -> bool {
        self.free < self.margin() + unflushed
    }

    /// The store may rewrite files of so many bytes by itself, and the disk is not low while both old and new ones are there.
    pub fn can_rewrite(self, bytes: u64, unflushed: u64) -> bool {
        self.free >= self.margin() + unflushed + bytes
    }

    /// The reserve is needed now: for deletes, for the compaction that makes room, for the next start.
    pub fn needs_reserve(self) -> bool {
        self.free < self.margin() / 4
    }

    /// The reserve can be filled again without being low afterwards. Without a size there is nothing to reserve.
    pub fn can_reserve(self, unflushed: u64) -> bool {
        self.is_limited() && self.free > 3 * self.margin() + unflushed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn thresholds_scale_with_the_disk() {
        let large = |free| Space { total: 100 << 30, free };
        assert_eq!(large(0).margin(), 128 * MIB);
        assert!(!large(128 * MIB).is_low(0) && large(128 * MIB - 1).is_low(0));
        assert!(large(140 * MIB).is_low(20 * MIB), "what is in memory must fit too");
        assert!(large(31 * MIB).needs_reserve() && !large(32 * MIB).needs_reserve());
        assert!(large(400 * MIB).can_reserve(0) && !large(400 * MIB).can_reserve(20 * MIB));
        assert!(large(300 * MIB).can_rewrite(170 * MIB, 2 * MIB) && !large(300 * MIB).can_rewrite(170 * MIB, 3 * MIB));
        let small = |free| Space { total: 64 * MIB, free };
        assert_eq!(small(0).margin(), 4 * MIB);
        assert!(!small(5 * MIB).is_low(0) && small(3 * MIB).is_low(0));
    }

    #[test]
    fn a_file_system_without_a_size_is_never_low() {
        let disk = Space::of_blocks(4096, 0, 0);
        assert!(!disk.is_limited() && !disk.is_low(1 << 40) && !disk.needs_reserve() && !disk.can_reserve(0));
        assert!(disk.can_rewrite(1 << 40, 1 << 40));
        let full = Space::of_blocks(4096, 1 << 20, 0);
        assert!(full.is_limited() && full.is_low(0) && full.needs_reserve());
    }

    #[test]
    fn filling_the_reserve_never_makes_room_short() {
        for total in [1, 64, 1_000, 5_000, 1 << 20] {
            for free in 0..200 {
                let disk = Space { total: total * MIB, free: total * MIB * free / 200 };
                let after = Space { free: disk.free.saturating_sub(disk.margin()), ..disk };
                assert!(!disk.can_reserve(MIB) || !(after.is_low(MIB) || after.needs_reserve()), "{disk:?}");
            }
        }
    }
}
