//! The memory ceiling, shown from outside: what heavy and unkind clients cost a server, ours or an etcd.
//!
//! A scenario loads a fresh server, does its worst, and tells what came of it. Must never judge: tests and `make ceiling` do.

mod cramped;
mod data;
mod flood;
mod greedy;
pub mod raw;
pub mod target;
mod watchers;

pub use raw::{Ended, Raw, Seen};
pub use target::{Kind, Memory, Target};

use std::collections::BTreeMap;

/// How large the scenarios are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// For every run of the tests.
    Small,
    /// By hand: the sizes of the issue.
    Full,
}

impl Scale {
    fn pick(self, small: usize, full: usize) -> usize {
        if self == Self::Small { small } else { full }
    }
}

/// What came of a scenario.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Name.
    pub name: &'static str,
    /// Calls that ended well, with the right contents.
    pub right: u64,
    /// Calls refused with etcd's error.
    pub refused: u64,
    /// Everything else, by what it was.
    pub wrong: BTreeMap<String, u64>,
    /// Resident memory before the worst began.
    pub before: u64,
    /// Most that was resident meanwhile.
    pub peak: u64,
    /// Resident memory while it lasted, where it lasts.
    pub held: u64,
    /// Seconds.
    pub seconds: f64,
    /// Seconds of the server's processor time.
    pub cpu: f64,
    /// The kernel bounded the memory.
    pub limited: bool,
}

impl Outcome {
    /// Counts a wrong end.
    pub fn wrong(&mut self, what: impl Into<String>) {
        *self.wrong.entry(what.into()).or_default() += 1;
    }

    /// Counts a call that should end well or be refused.
    pub fn count(&mut self, ended: &Ended, right: bool) {
        match ended {
            e if e.is_ok() && right => self.right += 1,
            e if e.is_refused() => self.refused += 1,
            e if e.is_ok() => self.wrong(format!("another answer: {:?}", e.seen)),
            e => self.wrong(format!("{:?} {}", e.code, e.text)),
        }
    }
}

/// A scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Many clients list everything at once.
    Lists,
    /// One request deletes everything, under watchers.
    Delete,
    /// Many watchers start from the first revision.
    Watchers,
    /// Clients that never read.
    NeverReads,
    /// Many large puts at once.
    LargePuts,
    /// Idle connections and streams.
    Idle,
    /// Read-only transactions over big ranges.
    ReadTxns,
    /// Snapshots taken slowly.
    Snapshots,
    /// A small cgroup, and everything at once.
    Cramped,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Lists,
        Self::Delete,
        Self::Watchers,
        Self::NeverReads,
        Self::LargePuts,
        Self::Idle,
        Self::ReadTxns,
        Self::Snapshots,
        Self::Cramped,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lists => "lists",
            Self::Delete => "delete",
            Self::Watchers => "watchers",
            Self::NeverReads => "never-reads",
            Self::LargePuts => "large-puts",
            Self::Idle => "idle",
            Self::ReadTxns => "read-txns",
            Self::Snapshots => "snapshots",
            Self::Cramped => "cramped",
        }
    }

    /// Runs it against a fresh server, bounded by the kernel to `limit` bytes where that can be done.
    pub async fn run(self, kind: &Kind, scale: Scale, limit: Option<u64>) -> Outcome {
        // the ceiling is that of the default budgets; a cramped member finds its own
        let whole = *kind == Kind::Conclave && self != Self::Cramped;
        let flags: &[&str] = if whole { &["--memory-budget=704MiB"] } else { &[] };
        let target = Target::start(kind, limit, flags).await;
        let mut outcome = Outcome { name: self.name(), limited: target.is_limited(), ..Outcome::default() };
        match self {
            Self::Lists => greedy::lists(&target, scale, &mut outcome).await,
            Self::Delete => watchers::delete(&target, scale, &mut outcome).await,
            Self::Watchers => watchers::from_the_start(&target, scale, &mut outcome).await,
            Self::NeverReads => greedy::never_reads(&target, scale, &mut outcome).await,
            Self::LargePuts => flood::large_puts(&target, scale, &mut outcome).await,
            Self::Idle => flood::idle(&target, scale, &mut outcome).await,
            Self::ReadTxns => greedy::read_txns(&target, scale, &mut outcome).await,
            Self::Snapshots => greedy::snapshots(&target, scale, &mut outcome).await,
            Self::Cramped => cramped::cramped(&target, scale, &mut outcome).await,
        }
        outcome
    }
}

/// The clock and the peak of a scenario's worst part.
struct Measure {
    start: std::time::Instant,
    cpu: f64,
}

impl Measure {
    /// Begins: what was loaded before does not count.
    fn begin(target: &Target, outcome: &mut Outcome) -> Self {
        target.forget_peak();
        outcome.before = target.memory().now;
        Self { start: std::time::Instant::now(), cpu: target.cpu() }
    }

    fn end(self, target: &Target, outcome: &mut Outcome) {
        outcome.peak = target.memory().peak;
        outcome.seconds = self.start.elapsed().as_secs_f64();
        outcome.cpu = target.cpu() - self.cpu;
    }
}
