//! Which fault met which state: a table with counts, so that a schedule that never happens shows as an empty cell.

use std::fmt;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Trouble {
    /// Power fails between two steps of the member.
    PowerLoss,
    /// Power fails inside a change of the log's disk: a write, a sync, a change of a name.
    PowerInDisk,
    /// Power fails inside a step of the store: before or behind a batch, a flush, a copy.
    PowerInStore,
    /// The process alone is killed.
    Kill,
    /// The process stands still.
    Pause,
    /// A sync does not return for seconds.
    SyncHangs,
    /// A sync fails.
    SyncFails,
    /// A write of the log fails, a part being written.
    WriteFails,
    /// The log's disk is full.
    DiskFull,
    /// A batch of the store fails.
    StoreWrite,
    /// A flush of the store fails.
    StoreFlush,
    /// A bit of the log flips at rest.
    BitRot,
    /// A message of a higher term.
    HigherTerm,
    /// The watch hub is far behind.
    HubBehind,
    /// An orderly stop.
    Stop,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::PowerLoss,
        Self::PowerInDisk,
        Self::PowerInStore,
        Self::Kill,
        Self::Pause,
        Self::SyncHangs,
        Self::SyncFails,
        Self::WriteFails,
        Self::DiskFull,
        Self::StoreWrite,
        Self::StoreFlush,
        Self::BitRot,
        Self::HigherTerm,
        Self::HubBehind,
        Self::Stop,
    ];
}

/// What the member was doing. The first that fits, from the bottom of the list upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Doing {
    /// Nothing.
    Idle,
    /// Appends wait for the WAL writer.
    Append,
    /// A batch is written and not synced.
    Sync,
    /// Entries wait to be applied, or are.
    Apply,
    /// An entry is written in part.
    Chunk,
    /// Forgotten rows are being deleted.
    Compact,
    /// The store is being flushed, or a segment prepared.
    Flush,
    /// A checkpoint is made or sent.
    Snapshot,
    /// The log is being truncated.
    Truncate,
    /// There is no leader.
    NoLeader,
    /// It was started and does not serve yet.
    Replay,
    /// Log and store are being opened.
    Recover,
    /// It is down.
    Down,
}

impl Doing {
    const ALL: [Self; 13] = [
        Self::Idle,
        Self::Append,
        Self::Sync,
        Self::Apply,
        Self::Chunk,
        Self::Compact,
        Self::Flush,
        Self::Snapshot,
        Self::Truncate,
        Self::NoLeader,
        Self::Replay,
        Self::Recover,
        Self::Down,
    ];
}

/// See the file header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage([[u64; Doing::ALL.len()]; Trouble::ALL.len()]);

impl Coverage {
    /// Counts a fault that took effect.
    pub fn count(&mut self, trouble: Trouble, doing: Doing) {
        self.0[trouble as usize][doing as usize] += 1;
    }

    /// Adds another table.
    pub fn add(&mut self, other: &Self) {
        for (row, more) in self.0.iter_mut().zip(&other.0) {
            row.iter_mut().zip(more).for_each(|(cell, more)| *cell += more);
        }
    }

    /// Faults of this kind.
    pub fn of(&self, trouble: Trouble) -> u64 {
        self.0[trouble as usize].iter().sum()
    }

    /// Faults met while doing this.
    pub fn while_doing(&self, doing: Doing) -> u64 {
        self.0.iter().map(|row| row[doing as usize]).sum()
    }

    /// Cells that are not empty.
    pub fn cells(&self) -> usize {
        self.0.iter().flatten().filter(|cell| **cell > 0).count()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:14}", "fault \\ state")?;
        for doing in Doing::ALL {
            write!(f, "{:>9}", format!("{doing:?}"))?;
        }
        for trouble in Trouble::ALL {
            write!(f, "\n{:14}", format!("{trouble:?}"))?;
            for cell in self.0[trouble as usize] {
                if cell == 0 { write!(f, "{:>9}", ".")? } else { write!(f, "{cell:>9}")? }
            }
        }
        Ok(())
    }
}
