//! What a door (or an in-process client) holds of a node: the sending ends, and what is shared.
//!
//! Shared are immutable views behind [`Reads`] and the counters in [`Gauges`], nothing else.

use crate::admin::{Control, RunJob};
use crate::auth::RunPassword;
use crate::histogram::DoublingHistogram;
use crate::lease::LeaseRequests;
use crate::measured::Measured;
use crate::propose::Propose;
use crate::read::{ReadIndex, Reads, RunQuery};
use crate::reply::Sinks;
use crate::watch::WatchRequests;
use crossbeam_channel::TrySendError;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

/// Who this node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeIdentity {
    /// Cluster id.
    pub cluster_id: u64,
    /// Member id.
    pub member_id: u64,
    /// Member name.
    pub name: String,
}

/// Counters and positions that owners publish for everybody. Monotonic or single-word; never a basis for two reads at once.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Current term.
    pub term: AtomicU64,
    /// Leader's id, zero for none.
    pub leader: AtomicU64,
    /// Commit index.
    pub committed: AtomicU64,
    /// Applied index.
    pub applied: AtomicU64,
    /// Last index of the log.
    pub last_index: AtomicU64,
    /// Proposals waiting for their outcome.
    pub pending: AtomicU64,
    /// Leader changes seen.
    pub leader_changes: AtomicU64,
    /// When the present leader was first heard of, nanoseconds since 1970; zero before the first one.
    pub led_since: AtomicI64,
    /// Messages with entries, or with the place where they would go, that were sent to other members.
    pub appends_sent: AtomicU64,
    /// The same, received.
    pub appends_received: AtomicU64,
    /// Proposals that failed.
    pub proposals_failed: AtomicU64,
    /// As a leader: the lowest version that the other members say they run, see [`Gauges::other_versions`].
    pub packed_lowest_version: AtomicU64,
    /// The highest one.
    pub packed_highest_version: AtomicU64,
    /// This member is a learner.
    pub learner: AtomicBool,
    /// This member leads, is the only one and has applied the first entry of its term: every acknowledged write is in the published view,
    /// so a linearizable read needs no read-index grant. A learner may apply, and answer, before this member does.
    pub sole_member: AtomicBool,
    /// Service may begin: see "Start of service" in the architecture.
    pub serving: AtomicBool,
    /// A defragmentation is running.
    pub defragmenting: AtomicBool,
    /// A snapshot of another member is being received or installed: nothing may rewrite the store meanwhile.
    pub receiving_snapshot: AtomicBool,
    /// The store is being rebuilt from the leader's: another one may be received although this member has what it holds.
    pub rebuilding: AtomicBool,
    /// The data of this member is not that of the others: it answers nothing about keys.
    pub fenced: AtomicBool,
    /// Members to be named in the alarm CORRUPT, as far as this member knows; zero stands for a difference without a majority.
    pub corrupt: Mutex<Vec<u64>>,
    /// The first entry behind which data differs, zero while that is not known.
    pub first_difference: AtomicU64,
    /// Times that the whole store was read to find damage.
    pub scrubs: AtomicU64,
    /// Rows that the present reading has come to.
    pub scrubbed_rows: AtomicU64,
    /// Problems that the last reading has found.
    pub scrub_problems: AtomicU64,
    /// Bytes of the log that the present reading of it, or the last one, has come to.
    pub scrubbed_log_bytes: AtomicU64,
    /// Places of the log that could not be read back, since the start.
    pub log_damages: AtomicU64,
    /// The log is damaged at this entry or before it: what holds it is let go of as soon as the store has it for good. Zero for a sound log.
    pub log_damaged_to: AtomicU64,
    /// Running hashes of other members that were compared.
    pub hashes_compared: AtomicU64,
    /// The node is stopping.
    pub stopping: AtomicBool,
    /// WAL syncs by how long they took, from 1 ms doubling to 8.192 s.
    pub wal_syncs: DoublingHistogram<1_000, 14>,
    /// Bytes written to the WAL.
    pub wal_bytes: AtomicU64,
    /// The log up to this index was released: the store holds what it said, and followers who lack it are sent a snapshot.
    pub log_released: AtomicU64,
    /// Free space on the disk runs out: writes are refused at the door, and the NOSPACE alarm is raised.
    pub disk_low: AtomicBool,
    /// When the certificate of the client listeners ends, seconds since 1970; zero without TLS.
    pub certificate_ends: AtomicI64,
    /// Bytes the store occupies on disk.
    pub disk_bytes: AtomicU64,
    /// Watchers, and watch streams.
    pub watchers: AtomicU64,
    /// Watch streams.
    pub watch_streams: AtomicU64,
    /// Watchers that read behind the head.
    pub slow_watchers: AtomicU64,
    /// Events sent to watchers.
    pub events: AtomicU64,
    /// Notices of changed leases that the lease manager was sent. Noted before they are.
    pub lease_notices: AtomicU64,
    /// Leases granted, revoked, renewed, expired.
    pub leases_granted: AtomicU64,
    /// Leases revoked.
    pub leases_revoked: AtomicU64,
    /// Leases renewed.
    pub leases_renewed: AtomicU64,
    /// Leases expired.
    pub leases_expired: AtomicU64,
    /// What was done by the v2 API, and its watchers.
    pub v2: model::v2::Stats,
    /// Calls under way whose spans are collected.
    pub traced_calls: AtomicU64,
    /// How long the work of owners took, and how often it was done.
    pub measured: Measured,
}

/// What all other members are known to run. Versions are major, minor, patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherVersions {
    /// One of them has not said.
    Unknown,
    /// From the lowest to the highest.
    Between {
        /// What no member is below.
        lowest: [u16; 3],
        /// What no member is above.
        highest: [u16; 3],
    },
    /// There are no others.
    Alone,
}

const ALONE: u64 = u64::MAX;

impl Gauges {
    /// The versions of the other members. Only kept up to date while this member leads.
    pub fn other_versions(&self) -> OtherVersions {
        let unpack = |packed: u64| [32, 16, 0].map(|shift| (packed >> shift) as u16);
        match self.packed_lowest_version.load(Ordering::Acquire) {
            0 => OtherVersions::Unknown,
            ALONE => OtherVersions::Alone,
            lowest => OtherVersions::Between {
                lowest: unpack(lowest),
                highest: unpack(self.packed_highest_version.load(Ordering::Relaxed)),
            },
        }
    }

    /// Notes the versions of the other members. Who reads meanwhile may see the lowest of one call with the highest of another.
    pub fn set_other_versions(&self, others: OtherVersions) {
        let pack = |version: [u16; 3]| version.iter().fold(0, |packed, part| packed << 16 | u64::from(*part));
        let lowest = match others {
            OtherVersions::Unknown => 0,
            OtherVersions::Alone => ALONE,
            OtherVersions::Between { lowest, highest } => {
                self.packed_highest_version.store(pack(highest), Ordering::Relaxed);
                pack(lowest)
            }
        };
        self.packed_lowest_version.store(lowest, Ordering::Release);
    }

    /// Relaxed load of the leader's id, `None` without one.
    pub fn leader_id(&self) -> Option<u64> {
        Some(self.leader.load(Ordering::Acquire)).filter(|id| *id != 0)
    }
}

/// Sending ends. Cheap to clone.
#[derive(Clone)]
pub struct Ports {
    /// Who this is.
    pub identity: Arc<NodeIdentity>,
    /// Shared counters.
    pub gauges: Arc<Gauges>,
    /// The read side of the store.
    pub reads: Arc<dyn Reads>,
    /// Where answers go.
    pub sinks: Arc<Sinks>,
    /// To the raft core: proposals, read-index grants, control.
    pub core: CorePort,
    /// To the reader pool.
    pub query: crossbeam_channel::Sender<RunQuery>,
    /// To the owner of maintenance jobs.
    pub jobs: crossbeam_channel::Sender<RunJob>,
    /// To the password pool.
    pub passwords: crossbeam_channel::Sender<RunPassword>,
    /// To the watch hub.
    pub hub: actix::Recipient<WatchRequests>,
    /// To the lease manager.
    pub leases: actix::Recipient<LeaseRequests>,
}

impl Ports {
    /// Orders a job that may take minutes; false when too many wait.
    pub fn run_job(&self, job: RunJob) -> bool {
        self.jobs.try_send(job).is_ok()
    }
}

/// The raft core's client queues and the bell that wakes it.
#[derive(Clone)]
pub struct CorePort {
    /// Proposals.
    pub propose: crossbeam_channel::Sender<Propose>,
    /// Reads.
    pub read: crossbeam_channel::Sender<ReadIndex>,
    /// Control.
    pub control: crossbeam_channel::Sender<Control>,
    /// Rung after every send.
    pub bell: Bell,
}

impl CorePort {
    /// Hands over proposals, or gives them back.
    ///
    /// # Errors
    /// The list: `Full` means keep it and try again next round, `Disconnected` that the core has ended.
    pub fn propose(&self, list: Propose) -> Result<(), TrySendError<Propose>> {
        self.propose.try_send(list)?;
        self.bell.ring();
        Ok(())
    }

    /// Asks for read-index grants, or gives the list back.
    ///
    /// # Errors
    /// As [`Self::propose`].
    pub fn read(&self, list: ReadIndex) -> Result<(), TrySendError<ReadIndex>> {
        self.read.try_send(list)?;
        self.bell.ring();
        Ok(())
    }

    /// Sends a control order; false when the core is gone or busy.
    pub fn control(&self, order: Control) -> bool {
        let sent = self.control.try_send(order).is_ok();
        self.bell.wake();
        sent
    }

    /// Tells the core to end. Waits behind orders that were sent before, because a stop must not be lost.
    pub fn stop(&self) {
        // every order in the queue has rung the bell; a core that is gone needs no stop
        let _ = self.control.send(Control::Stop);
        self.bell.wake();
    }
}

/// An owner that rests when it has nothing to do, and that the thread which has work for it may run meanwhile.
pub trait CallerRuns: Send + Sync {
    /// Something waits in a queue of the owner, whose bell this is. Never waits for the owner, nor for anything else.
    fn rung(&self, bell: &Bell);
}

/// Tells an owner that has several queues that something waits in one of them. Ringing twice before it looks is ringing once.
#[derive(Clone)]
pub struct Bell {
    thread: crossbeam_channel::Sender<()>,
    owner: Arc<OnceLock<Arc<dyn CallerRuns>>>,
}

impl Bell {
    /// A bell and the end the owner's thread sleeps on.
    pub fn new() -> (Self, crossbeam_channel::Receiver<()>) {
        let (thread, receiver) = crossbeam_channel::bounded(1);
        (Self { thread, owner: Arc::default() }, receiver)
    }

    /// Whoever rings from now on may run this owner. Counts once.
    pub fn run_by_callers(&self, owner: Arc<dyn CallerRuns>) {
        // one owner has one bell
        let _ = self.owner.set(owner);
    }

    /// Runs the owner on this thread if it rests, and else lets it know; without one that may be run, wakes its thread.
    pub fn ring(&self) {
        match self.owner.get() {
            Some(owner) => owner.rung(self),
            None => self.wake(),
        }
    }

    /// Wakes the owner's thread.
    pub fn wake(&self) {
        // full means it was woken already and has not looked yet
        let _ = self.thread.try_send(());
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_survive_being_packed() {
        let gauges = Gauges::default();
        assert_eq!(gauges.other_versions(), OtherVersions::Unknown);
        let between = |lowest, highest| OtherVersions::Between { lowest, highest };
        let most = [u16::MAX; 3];
        for others in [between([3, 7, 1], [3, 8, 0]), between(most, most), OtherVersions::Alone] {
            gauges.set_other_versions(others);
            assert_eq!(gauges.other_versions(), others);
        }
    }
}
