//! Keys and values: get, put, delete, transactions, compaction.
//!
//! Each request is a builder with two lives: made by a [`Client`](crate::Client) it can be awaited; made on its own it goes into a transaction. Must
//! never send a write twice that may have arrived.

mod compare;
mod delete;
mod get;
mod put;
mod txn;

pub use compare::{Compare, Compared};
pub use delete::{Delete, Deleted};
pub use get::{Get, Order, SortBy, Values};
pub use put::{Put, PutDone};
pub use txn::{Op, OpDone, Txn, TxnDone};

use std::future::Future;
use std::pin::Pin;

/// What awaiting a builder waits for.
pub type Pending<T> = Pin<Box<dyn Future<Output = Result<T, crate::Error>> + Send>>;
