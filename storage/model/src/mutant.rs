//! Deliberate bugs, so that simulator and model can show that they would be found. Test builds only.
//!
//! Without the feature `mutants` [`on`] is a constant false and every branch on it is gone. With it, one bug at a time is
//! chosen: for a thread (`set`), or for the process by the environment variable [`VARIABLE`]. Must never be part of what is
//! packaged, and a mutant must never be the reason for a test: `docs/bugs.md` says what found it.

/// Names the mutant of a whole process, as [`Mutant::name`].
pub const VARIABLE: &str = "CONCLAVE_MUTANT";

/// One deliberate bug each. The text says what is wrong where it is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// The applied index is written in a batch of its own, before the data.
    AppliedApart,
    /// The published view shows the rows from before the write, with the numbers from after it.
    ViewEarly,
    /// An append is reported durable before its sync.
    AckBeforeSync,
    /// The torn-tail rule takes one durable batch for a torn one.
    TornTail,
    /// A compaction also drops the tombstone exactly at its revision.
    CompactionTombstone,
    /// Progress is promised although watchers are behind.
    ProgressEarly,
    /// A revocation proposed in one term has its effect in a later one.
    RevokeLaterTerm,
    /// An answer is matched by its counter alone, whichever run proposed the entry.
    ReplyCounter,
    /// A vote and its term are reported durable without a sync.
    VoteUnsynced,
    /// The log is released up to what is applied, durable or not.
    FlushMarkerEarly,
    /// An entry finished after a crash numbers its remaining events from zero.
    ChunkSub,
    /// A pause of the process ends leases.
    PauseIgnored,
    /// A change of the membership is answered before its commit is durable, which nobody sees to.
    ChangeNotDurable,
    /// Messages leave only while there is credit for an append.
    HeartbeatCredit,
    /// An installed snapshot leaves the places of proposals that it covers.
    PlacesKept,
    /// A forwarded proposal is sent again (in the simulated network: the transport promises that it never does).
    ProposeAgain,
    /// A snapshot is reported delivered when its transfer begins.
    EarlyReport,
    /// An install moves the store pointer before it is recorded in the log.
    PointerFirst,
    /// A member without data founds its cluster anew, whoever knows that it has run.
    Refounding,
    /// A renewal is acknowledged however long ago the leadership was confirmed.
    StaleRenewal,
    /// Watchers count as up to date when a snapshot replaces the store.
    WatchersAtHead,
    /// A member that was the sole voter once reads without leave for ever.
    StaleSoleVoter,
    /// A leader grants reads without asking anybody.
    StaleRead,
    /// A watcher that begins in the future begins now.
    WatchFromNow,
    /// Half of the members compact one revision less.
    CompactionDiffers,
    /// Followers go on to count the vote of a member that was removed.
    RemovedVotes,
    /// The applied index is not written with changes of users and roles alone: a crash has them carried out again.
    AuthIndexUnsaved,
    /// What a follower tells its leader leaves before the sync that it promises.
    AckToLeaderEarly,
    /// A snapshot says that it holds one entry less than it does, which is applied again.
    AppliedAgain,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 29] = [
        Self::AppliedApart,
        Self::ViewEarly,
        Self::AckBeforeSync,
        Self::TornTail,
        Self::CompactionTombstone,
        Self::ProgressEarly,
        Self::RevokeLaterTerm,
        Self::ReplyCounter,
        Self::VoteUnsynced,
        Self::FlushMarkerEarly,
        Self::ChunkSub,
        Self::PauseIgnored,
        Self::ChangeNotDurable,
        Self::HeartbeatCredit,
        Self::PlacesKept,
        Self::ProposeAgain,
        Self::EarlyReport,
        Self::PointerFirst,
        Self::Refounding,
        Self::StaleRenewal,
        Self::WatchersAtHead,
        Self::StaleSoleVoter,
        Self::StaleRead,
        Self::WatchFromNow,
        Self::CompactionDiffers,
        Self::RemovedVotes,
        Self::AuthIndexUnsaved,
        Self::AckToLeaderEarly,
        Self::AppliedAgain,
    ];

    /// What [`VARIABLE`] calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AppliedApart => "applied-apart",
            Self::ViewEarly => "view-early",
            Self::AckBeforeSync => "ack-before-sync",
            Self::TornTail => "torn-tail",
            Self::CompactionTombstone => "compaction-tombstone",
            Self::ProgressEarly => "progress-early",
            Self::RevokeLaterTerm => "revoke-later-term",
            Self::ReplyCounter => "reply-counter",
            Self::VoteUnsynced => "vote-unsynced",
            Self::FlushMarkerEarly => "flush-marker-early",
            Self::ChunkSub => "chunk-sub",
            Self::PauseIgnored => "pause-ignored",
            Self::ChangeNotDurable => "change-not-durable",
            Self::HeartbeatCredit => "heartbeat-credit",
            Self::PlacesKept => "places-kept",
            Self::ProposeAgain => "propose-again",
            Self::EarlyReport => "early-report",
            Self::PointerFirst => "pointer-first",
            Self::Refounding => "refounding",
            Self::StaleRenewal => "stale-renewal",
            Self::WatchersAtHead => "watchers-at-head",
            Self::StaleSoleVoter => "stale-sole-voter",
            Self::StaleRead => "stale-read",
            Self::WatchFromNow => "watch-from-now",
            Self::CompactionDiffers => "compaction-differs",
            Self::RemovedVotes => "removed-votes",
            Self::AuthIndexUnsaved => "auth-index-unsaved",
            Self::AckToLeaderEarly => "ack-to-leader-early",
            Self::AppliedAgain => "applied-again",
        }
    }

    /// The mutant of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mutant| mutant.name() == name)
    }
}

#[cfg(not(feature = "mutants"))]
/// Whether this bug is in force: never, in this build.
#[inline(always)]
pub const fn on(_: Mutant) -> bool {
    false
}

#[cfg(feature = "mutants")]
pub use chosen::{on, set};

#[cfg(feature = "mutants")]
mod chosen {
    use super::{Mutant, VARIABLE};
    use std::cell::Cell;
    use std::sync::OnceLock;

    thread_local! {
        static THREAD: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Chooses for the calling thread; `None` leaves it to the process's choice.
    pub fn set(mutant: Option<Mutant>) {
        THREAD.set(mutant);
    }

    /// Whether this bug is in force.
    ///
    /// # Panics
    /// When the environment names a mutant that does not exist: a run that tests nothing must not pass.
    pub fn on(mutant: Mutant) -> bool {
        static PROCESS: OnceLock<Option<Mutant>> = OnceLock::new();
        let process = || {
            let name = std::env::var(VARIABLE).ok().filter(|name| !name.is_empty())?;
            Some(Mutant::named(&name).unwrap_or_else(|| panic!("{VARIABLE}: there is no mutant called {name:?}")))
        };
        THREAD.get().or_else(|| *PROCESS.get_or_init(process)) == Some(mutant)
    }
}
