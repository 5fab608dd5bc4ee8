//! Storage: write-ahead log, engine, MVCC store and its reads. Blocking code that knows no runtime, no socket and no flag.

pub mod apply;
pub mod auth;
pub mod boot;
pub mod check;
pub mod count;
pub mod disk;
pub mod engine;
pub mod etcd;
pub mod member;
pub mod read;
pub mod schema;
pub mod snapshot;
pub mod v2;
pub mod view;
pub mod wal;
