//! The messages between owners, one file per arrow. What crosses to `net` and `embed` is in the crate `messages`. Must hold
//! no logic.
//!
//! | file | arrow | etcd's channel |
//! |---|---|---|
//! | [`wal`] | raft core, flusher, applier → WAL writer | readyc |
//! | [`apply`] | raft core, WAL writer → applier | applyc |
//! | [`advance`] | WAL writer, applier, flusher → raft core | advancec |
//! | [`tick`] | ticker → raft core | tickc |
//! | [`flush`] | applier, WAL writer → flusher | – |
//! | [`leases`] | applier, raft core, other members → lease manager | – |
//! | [`peers`] | peer transport → raft core | recvc |
//! | [`log`] | raft core ↔ log reader | – |
//! | [`snapshots`] | raft core, applier ↔ snapshotter; snapshots of other members → raft core | msgSnapC |
//! | [`events`] | applier → watch hub | – |
//! | [`hashes`] | applier → hasher | – |

pub mod advance;
pub mod apply;
pub mod events;
pub mod flush;
pub mod hashes;
pub mod leases;
pub mod log;
pub mod peers;
pub mod snapshots;
pub mod tick;
pub mod wal;
