//! Every bound of every queue, in one place, each derived from who can fill it. No other file may contain a queue size.

/// Appends handed to the WAL writer and not yet acknowledged. Several that wait become one write and one sync, so this
/// bounds memory, not throughput.
pub const APPENDS_IN_FLIGHT: usize = 8;
/// Apply batches handed to the applier and not yet acknowledged.
pub const APPLIES_IN_FLIGHT: usize = 4;
/// Notices of the snapshotter about what is durable; one that meets a full queue is repeated later.
pub const DURABLES_IN_FLIGHT: usize = 4;
/// The raft core's queue of completions: one place for every completion that can be out, so that none ever meets a full queue.
pub const COMPLETIONS: usize = APPENDS_IN_FLIGHT + APPLIES_IN_FLIGHT;
const _: () = assert!(COMPLETIONS >= APPENDS_IN_FLIGHT + APPLIES_IN_FLIGHT);

/// Ticks waiting: they are coalesced, so one is enough for the clock and one for a stop.
pub const TICKS: usize = 2;
/// Lists of proposals waiting for the core. A connection thread that meets a full queue keeps its list.
pub const PROPOSAL_LISTS: usize = 64;
/// Lists of reads waiting for the core.
pub const READ_LISTS: usize = 64;
/// Control orders waiting for the core.
pub const CONTROLS: usize = 16;
/// Peer messages of one class waiting for the core; beyond it they are dropped and counted.
pub const RECEIVES: usize = 256;
/// Messages to the WAL writer: appends under credit, and one place for each other kind.
pub const WAL_QUEUE: usize = APPENDS_IN_FLIGHT + 8;
/// Messages to the applier: batches under credit, and the stop.
pub const APPLIER_QUEUE: usize = APPLIES_IN_FLIGHT + 2;
/// Orders waiting for the snapshotter.
pub const SNAPSHOTTER_QUEUE: usize = 8;
/// Jobs waiting for the reader pool; a call that meets a full queue is answered "too many requests".
pub const QUERIES: usize = 4096;
/// Jobs of clients (snapshots, defragmentations) that wait for the one that runs; a further one is answered "busy".
pub const ADMIN_JOBS: usize = 8;
/// Snapshots being sent to clients at once. Each is a store of its own, with its files and the space of what was deleted since.
pub const OPEN_SNAPSHOTS: usize = 4;
/// Threads of the reader pool for everything but hashes, which have one of their own.
pub const READERS: usize = 2;

/// Lists of one class that the core takes in one turn before it looks at the classes above again.
pub const TAKE_PER_TURN: usize = 16;
/// Bytes of entries in one apply batch.
pub const APPLY_BATCH_BYTES: u64 = 4 << 20;
/// Bytes of entries kept in memory behind the applied index for followers.
pub const LOG_TAIL_BYTES: u64 = 32 << 20;
/// Payload bytes proposed and not yet applied, beyond which proposals are refused.
pub const UNCOMMITTED_BYTES: u64 = 256 << 20;
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
