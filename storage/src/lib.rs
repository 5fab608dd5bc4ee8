//! Storage: write-ahead log, engine, MVCC store and its reads. Blocking code that knows no runtime, no socket and no flag.

pub mod engine;
pub mod schema;
pub mod view;
