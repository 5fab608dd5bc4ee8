//! etcd's own files: its database (bbolt), its log, its snapshots; read into a store of ours, and a store of ours written as one of
//! theirs.
//!
//! | file | about |
//! |---|---|
//! | [`rows`] | keys and values in the buckets of etcd's database |
//! | [`error`] | why files cannot be taken over |
//! | [`history`] | versions in the order of their revisions, made into rows of ours |
//! | [`import`] | a whole database |
//! | [`export`] | a store of ours as etcd's snapshot stream |
//! | [`status`] | what `etcdutl snapshot status` says of a database |
//! | [`log`] | etcd's write-ahead log |
//! | [`folder`] | a data folder of etcd's: database, log and snapshots |
//! | [`replay`] | entries of etcd's log that its database does not have yet |
//!
//! Revisions, history, leases, users, roles, alarms and the compacted revision stay what they are, so that HashKV is equal on both
//! sides. Facts are from etcd's `server/storage` at 3.7.1, and from files that etcd 3.4 to 3.7 wrote. Must never write to a file of
//! etcd's.

mod error;
mod export;
mod folder;
mod history;
mod import;
mod log;
mod replay;
mod rows;
mod status;

#[cfg(test)]
mod folder_tests;
#[cfg(test)]
mod tests;

pub use bbolt::{BoltError, Database, Scanned};
pub use error::EtcdError;
pub use export::EtcdSource;
pub use folder::{EtcdFolder, SavedAt};
pub use import::{Imported, import};
pub use log::{EtcdRecord, records};
pub use replay::Replayed;
pub use status::{EtcdStatus, status};
