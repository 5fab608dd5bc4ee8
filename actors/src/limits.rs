//! Every bound of every queue, in one place, each derived from who can fill it. No other file may contain a queue size.

use std::time::Duration;

/// Appends handed to the WAL writer and not yet acknowledged. Several that wait become one write and one sync, so this
/// bounds memory, not throughput.
pub const APPENDS_IN_FLIGHT: usize = 8;
/// Apply batches handed to the applier and not yet acknowledged.
pub const APPLIES_IN_FLIGHT: usize = 4;
/// Notices of the flusher about what is durable; one that meets a full queue is repeated later.
pub const DURABLES_IN_FLIGHT: usize = 4;
/// Stores that are being rebuilt at once.
pub const REBUILDS: usize = 1;
/// The raft core's queue of completions: one place for every completion that can be out, so that none ever meets a full queue.
pub const COMPLETIONS: usize = APPENDS_IN_FLIGHT + APPLIES_IN_FLIGHT + REBUILDS;

/// Ranges of the log being read for followers that lag, all together: one for each that a cluster has, and some.
pub const LOG_READS: usize = 16;
/// Bytes of one of them: several messages' worth, so that a follower does not wait for the disk after each.
pub const LOG_READ_BYTES: usize = 4 << 20;
/// Reports of the peer transport waiting for the core; further ones are dropped.
pub const PEER_REPORTS: usize = 64;
/// Snapshots being sent to other members at once, one to each.
pub const SNAPSHOT_TRANSFERS: usize = 16;
/// Notices of the snapshotter: one for each transfer, and one for the checkpoint in the making.
pub const SNAPSHOT_NOTICES: usize = SNAPSHOT_TRANSFERS + 1;
/// Orders waiting for the snapshotter: for each transfer its beginning and its end, checkpoints made and forgotten, a store installed
/// or discarded.
pub const SNAPSHOT_ORDERS: usize = 2 * SNAPSHOT_TRANSFERS + 8;
/// Stores of received snapshots waiting for the core. Another one waits outside.
pub const STAGED_STORES: usize = 1;
/// Bytes of log kept for followers that are sent a snapshot, beyond which they are given up: they start again with a newer one.
pub const SNAPSHOT_LOG_BYTES: u64 = 1 << 30;
/// The same while the disk runs out of space.
pub const SNAPSHOT_LOG_BYTES_LOW: u64 = 64 << 20;
/// Time after which what was received of a snapshot is thrown away, when nobody goes on with it.
pub const STAGING_PATIENCE: Duration = Duration::from_secs(300);
/// Questions of one other member that may wait here for their answer; a further one is answered "busy".
pub const CALLS_PER_PEER: usize = 64;
/// Leases that one call to the leader may name.
pub const LEASES_PER_CALL: usize = 1024;
/// Calls about leases that a member may have under way to the leader. What is asked meanwhile shares the next one.
pub const LEASE_CALLS: usize = 4;
const _: () = assert!(LEASE_CALLS <= CALLS_PER_PEER);
/// Notices of how other members are, waiting for the core; further ones are dropped, as the next ones come soon.
pub const VITALS: usize = 64;
/// Leases whose remaining time one log entry may note.
pub const CHECKPOINTS_PER_ENTRY: usize = 1000;
/// Ticks waiting: they are coalesced, so one is enough for the clock and one for a stop.
pub const TICKS: usize = 2;
/// Lists of proposals waiting for the core. A connection thread that meets a full queue keeps its list.
pub const PROPOSAL_LISTS: usize = 64;
/// Bytes of proposals that are handed to raft together. A follower forwards them as one message, which must fit into a frame of the
/// peer protocol beside whatever one proposal may have.
pub const PROPOSE_BYTES: usize = 1 << 20;
/// Lists of reads waiting for the core.
pub const READ_LISTS: usize = 64;
/// Control orders waiting for the core.
pub const CONTROLS: usize = 16;
/// Changes of the membership that wait for the one under way; a further one is answered "too many requests".
pub const MEMBER_CHANGES: usize = 16;
/// How long the leader may take to promote a learner for a client of another member.
pub const PROMOTION_PATIENCE: Duration = Duration::from_secs(7);
/// Peer messages of one class waiting for the core; beyond it they are dropped and counted.
pub const RECEIVES: usize = 256;
/// Messages to the WAL writer: appends under credit, and one place for each other kind.
pub const WAL_QUEUE: usize = APPENDS_IN_FLIGHT + 8;
/// Messages to the applier: batches under credit, an install, the stop; the beginning and the end of a rebuild, or what ends it early.
pub const APPLIER_QUEUE: usize = APPLIES_IN_FLIGHT + 3 + 3 * REBUILDS;
/// Orders waiting for the flusher.
pub const FLUSHER_QUEUE: usize = 8;
/// Jobs waiting for the reader pool; a call that meets a full queue is answered "too many requests".
pub const QUERIES: usize = 4096;
/// Hashes that are kept: those of the newest compactions, as many as etcd keeps.
pub const KEPT_HASHES: usize = 10;
/// Compactions whose rows the hasher has yet to look at. A further one has no hash.
pub const COMPACTIONS_TO_HASH: usize = KEPT_HASHES;
/// Running hashes that a member keeps: how far members may be apart, in entries, and still be compared.
pub const OWN_HASHES: usize = 4_096;
/// Running hashes that are kept of what each other member tells.
pub const TOLD_HASHES: usize = 256;
/// Hashes that other members wait for; a further one is answered "busy".
pub const PEER_HASHES: usize = 16;
/// How long another member may take to hash its whole store.
pub const PEER_HASH_PATIENCE: Duration = Duration::from_secs(30);
/// Jobs of clients (snapshots, defragmentations) that wait for the one that runs; a further one is answered "busy".
pub const MAINTENANCE_JOBS: usize = 8;
/// Snapshots being sent to clients at once. Each is a store of its own, with its files and the space of what was deleted since.
pub const OPEN_SNAPSHOTS: usize = 4;
/// Time without a pull after which such a snapshot is ended, when another one is asked for and there is no room.
pub const SNAPSHOT_STALL: Duration = if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(60) };
/// Computations waiting for the password pool: at the usual cost a queue of a few seconds. A call that meets a full queue is answered
/// "too many requests".
pub const PASSWORD_JOBS: usize = 64;
/// Threads of the password pool.
pub const PASSWORD_THREADS: usize = 2;
/// Simple tokens that a member remembers; beyond it, those that were not used for the longest time end.
pub const SIMPLE_TOKENS: usize = 1 << 16;
/// Threads of the reader pool.
pub const READERS: usize = 2;

/// Lists of one class that the core takes in one turn before it looks at the classes above again.
pub const TAKE_PER_TURN: usize = 16;
/// Bytes of entries in one apply batch.
pub const APPLY_BATCH_BYTES: u64 = 4 << 20;
/// Bytes of entries kept in memory behind the applied index for followers.
pub const LOG_TAIL_BYTES: u64 = 32 << 20;
/// The same for a member that has no followers: what is applied is of use to nobody.
pub const LONE_TAIL_BYTES: u64 = 1 << 20;
/// Payload bytes proposed and not yet applied, beyond which proposals are refused. Twice what the door lets in: only hosts of
/// an embedded node meet it, the door's clients wait in their windows.
pub const UNCOMMITTED_BYTES: u64 = 64 << 20;
/// Entries committed and not yet applied, beyond which proposals are refused (etcd's rule).
pub const UNAPPLIED_ENTRIES: u64 = 5_000;
/// Applied entries between two looks at what is durable in the store.
pub const DURABLE_CHECK_ENTRIES: u64 = 10_000;
/// Applied and not yet durable entries at which the store is flushed: bounds the replay after a crash.
pub const FLUSH_ENTRIES: u64 = 100_000;
/// Rows one compaction step may look at: keeps a step under a millisecond or two.
pub const COMPACTION_STEP_ROWS: usize = 1_000;
/// Bytes of events handed from the applier to the watch hub and not yet taken: beyond it the hub reads the store.
pub const HUB_BACKLOG_BYTES: usize = 16 << 20;
/// Bytes of events the watch hub keeps behind its head, for watchers that lag a little.
pub const HUB_RING_BYTES: usize = 16 << 20;
/// Bytes of one read of the store for watchers that are behind; the hub's own are four times larger.
pub const HUB_READ_BYTES: usize = 256 << 10;
/// Bytes sent on all watch streams together that the clients have not taken. Slow streams divide it; each may have 8 KiB.
pub const HUB_SENT_BYTES: usize = 16 << 20;
/// Several events of one revision with more bytes than this are pulled by the clients instead of being held in memory.
pub const OVERSIZED_REVISION_BYTES: usize = 1 << 20;
/// Revisions of one watch response at most, as in etcd.
pub const HUB_RESPONSE_REVISIONS: usize = 1000;
/// A watch response in fragments ends with the revision that reaches this many bytes: the client puts it together in memory.
pub const HUB_FRAGMENTED_BYTES: u64 = 16 << 20;

/// Bytes of answers that are collected before they are sent (sorted ranges, keys of leases), all calls together.
pub const COLLECTED_BYTES: usize = 128 << 20;

/// Byte budgets of the owners. A node with less memory has less of each; the constants of this file are the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerBudgets {
    /// [`LOG_TAIL_BYTES`].
    pub log_tail: u64,
    /// [`UNCOMMITTED_BYTES`].
    pub uncommitted: u64,
    /// [`APPLY_BATCH_BYTES`].
    pub apply_batch: u64,
    /// [`storage::apply::CHUNK_BYTES`].
    pub apply_chunk: usize,
    /// [`HUB_BACKLOG_BYTES`].
    pub hub_backlog: usize,
    /// [`HUB_RING_BYTES`].
    pub hub_ring: usize,
    /// [`HUB_READ_BYTES`].
    pub hub_read: usize,
    /// [`OVERSIZED_REVISION_BYTES`].
    pub oversized_revision: usize,
    /// [`HUB_SENT_BYTES`].
    pub hub_sent: usize,
    /// [`COLLECTED_BYTES`].
    pub collected: usize,
}

impl OwnerBudgets {
    /// Those of a node that has what it wants.
    pub const DEFAULT: Self = Self {
        log_tail: LOG_TAIL_BYTES,
        uncommitted: UNCOMMITTED_BYTES,
        apply_batch: APPLY_BATCH_BYTES,
        apply_chunk: storage::apply::CHUNK_BYTES,
        hub_backlog: HUB_BACKLOG_BYTES,
        hub_ring: HUB_RING_BYTES,
        hub_read: HUB_READ_BYTES,
        oversized_revision: OVERSIZED_REVISION_BYTES,
        hub_sent: HUB_SENT_BYTES,
        collected: COLLECTED_BYTES,
    };

    /// Bytes that the owners together may hold besides RocksDB: the log's tail and what waits before it; a batch with its effects,
    /// as rows and as the engine's batch; events of the hub in its ring, on their way to it, pending there, read, and sent.
    pub const fn total(&self) -> usize {
        self.log_tail as usize
            + self.uncommitted as usize
            + 4 * (self.apply_batch as usize + self.apply_chunk)
            + 2 * self.hub_ring
            + self.hub_backlog
            + 8 * self.oversized_revision
            + self.hub_sent
            + self.collected
    }

    /// A revision that the hub holds fits into its ring, and a read at its largest is one such revision.
    pub const fn are_sound(&self) -> bool {
        self.oversized_revision < self.hub_ring && self.hub_read * 4 <= self.oversized_revision
    }
}

const _: () = assert!(OwnerBudgets::DEFAULT.are_sound());
