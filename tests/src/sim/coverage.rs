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
    /// Nothing gets through between one member and all others.
    Cut,
    /// Nothing gets through in one direction.
    CutOneWay,
    /// The members fall into two parts.
    Partition,
    /// A connection ends, what is under way with it.
    ConnectionLost,
    /// The machine is suspended: one of its clocks stands still.
    Suspend,
    /// The applier does nothing for seconds.
    ApplyStalls,
    /// Syncs of all members do not return for seconds.
    AllSyncsHang,
    /// The disk is lost, with everything on it.
    Wipe,
    /// A snapshot on its way breaks.
    TransferBreaks,
    /// Leadership is moved by an operator.
    MoveLeader,
    /// A member is added.
    AddMember,
    /// A learner is promoted.
    Promote,
    /// A member is removed.
    RemoveMember,
    /// A member that was removed is switched off at once, for good.
    SwitchOff,
    /// A member is restarted with a newer build.
    Upgrade,
}

/// Which part a member plays. The first that fits, from the bottom of the list upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Role {
    /// Follows.
    Following,
    /// Leads.
    Leading,
    /// Asks for votes, or knows no leader.
    Candidate,
    /// Learns.
    Learner,
    /// Is not in the membership that it knows, but waits for it.
    Joining,
    /// Sends a snapshot.
    Sending,
    /// Hands leadership over.
    Transferring,
    /// Receives a snapshot.
    Receiving,
    /// Puts a snapshot in place of its store.
    Installing,
    /// Was removed.
    Removed,
    /// Is down.
    Down,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Following,
        Self::Leading,
        Self::Candidate,
        Self::Learner,
        Self::Joining,
        Self::Sending,
        Self::Transferring,
        Self::Receiving,
        Self::Installing,
        Self::Removed,
        Self::Down,
    ];
}

impl Trouble {
    /// Those that a member meets also when it is alone.
    pub const ALONE: [Self; 15] = [
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
    /// Those that need several.
    pub const TOGETHER: [Self; 15] = [
        Self::Cut,
        Self::CutOneWay,
        Self::Partition,
        Self::ConnectionLost,
        Self::Suspend,
        Self::ApplyStalls,
        Self::AllSyncsHang,
        Self::Wipe,
        Self::TransferBreaks,
        Self::MoveLeader,
        Self::AddMember,
        Self::Promote,
        Self::RemoveMember,
        Self::SwitchOff,
        Self::Upgrade,
    ];
    const COUNT: usize = Self::ALONE.len() + Self::TOGETHER.len();

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::ALONE.into_iter().chain(Self::TOGETHER)
    }
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
    /// A snapshot of another member is received.
    Receive,
    /// It is down.
    Down,
}

impl Doing {
    const ALL: [Self; 14] = [
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
        Self::Receive,
        Self::Down,
    ];
}

/// See the file header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    states: [[u64; Doing::ALL.len()]; Trouble::COUNT],
    roles: [[u64; Role::ALL.len()]; Trouble::COUNT],
}

impl Default for Coverage {
    fn default() -> Self {
        Self { states: [[0; Doing::ALL.len()]; Trouble::COUNT], roles: [[0; Role::ALL.len()]; Trouble::COUNT] }
    }
}

impl Coverage {
    /// Counts a fault that took effect.
    pub fn count(&mut self, trouble: Trouble, doing: Doing, role: Role) {
        self.states[trouble as usize][doing as usize] += 1;
        self.roles[trouble as usize][role as usize] += 1;
    }

    /// Adds another table.
    pub fn add(&mut self, other: &Self) {
        let add = |row: &mut [u64], more: &[u64]| row.iter_mut().zip(more).for_each(|(cell, more)| *cell += more);
        self.states.iter_mut().zip(&other.states).for_each(|(row, more)| add(row, more));
        self.roles.iter_mut().zip(&other.roles).for_each(|(row, more)| add(row, more));
    }

    /// Faults of this kind.
    pub fn of(&self, trouble: Trouble) -> u64 {
        self.states[trouble as usize].iter().sum()
    }

    /// Faults met while doing this.
    pub fn while_doing(&self, doing: Doing) -> u64 {
        self.states.iter().map(|row| row[doing as usize]).sum()
    }

    /// Faults that met this role.
    pub fn in_role(&self, role: Role) -> u64 {
        self.roles.iter().map(|row| row[role as usize]).sum()
    }

    /// Cells that are not empty.
    pub fn cells(&self) -> usize {
        let states = self.states.iter().flatten().filter(|cell| **cell > 0).count();
        states + self.roles.iter().flatten().filter(|cell| **cell > 0).count()
    }
}

fn table(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    heads: impl Iterator<Item = String>,
    row: impl Fn(Trouble) -> Vec<u64>,
) -> fmt::Result {
    write!(f, "{title:15}")?;
    for head in heads {
        write!(f, "{head:>13}")?;
    }
    for trouble in Trouble::all() {
        let cells = row(trouble);
        if cells.iter().all(|cell| *cell == 0) {
            continue;
        }
        write!(f, "\n{:15}", format!("{trouble:?}"))?;
        for cell in cells {
            if cell == 0 { write!(f, "{:>13}", ".")? } else { write!(f, "{cell:>13}")? }
        }
    }
    writeln!(f)
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let states = Doing::ALL.into_iter().map(|doing| format!("{doing:?}"));
        table(f, "fault \\ state", states, |trouble| self.states[trouble as usize].to_vec())?;
        let roles = Role::ALL.into_iter().map(|role| format!("{role:?}"));
        table(f, "fault \\ role", roles, |trouble| self.roles[trouble as usize].to_vec())?;
        let never: Vec<_> = Trouble::all().filter(|trouble| self.of(*trouble) == 0).collect();
        write!(f, "never happened: {never:?}")
    }
}
