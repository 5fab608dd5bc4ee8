//! Storage: write-ahead log, engine, MVCC store and its reads. Blocking code that knows no runtime, no socket and no flag.

pub mod disk;
pub mod count;
pub mod engine;
pub mod schema;
pub mod view;
pub mod wal;
