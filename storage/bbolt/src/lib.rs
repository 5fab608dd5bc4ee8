//! Files of bbolt, the database that etcd keeps its store in: a reader that believes nothing, and a writer that needs one pass.
//!
//! A file is a row of pages. Pages 0 and 1 are *meta* pages; the newer sound one says where the tree of buckets begins. A *branch*
//! page names the first key and the number of each page below it, a *leaf* page holds keys and values, and a value that is marked so
//! is a *bucket*: another tree. A page that needs more room than one page goes on in the pages behind it (*overflow*). A *free list*
//! may name the pages that nothing refers to; etcd's files have none, and it is found by walking the tree.
//!
//! | file | about |
//! |---|---|
//! | [`page`] | the bytes of pages |
//! | [`error`] | what can be wrong with them |
//! | [`source`] | where they are read from |
//! | [`database`] | opening a file, buckets |
//! | [`node`] | one page of a tree, its elements checked |
//! | [`rows`] | the rows of a bucket in order |
//! | [`rows_back`] | the same from the end |
//! | [`scan`] | every leaf page, whether something leads to it or not |
//! | [`check`] | every page of a file, read once |
//! | [`writer`] | a new file, written from its beginning to its end |
//!
//! Integers are little-endian: bbolt writes them as the machine has them, and etcd supports no other order today. Must never map a
//! file, nor hold more of it than one page run per level of a tree.

mod check;
mod database;
mod error;
mod node;
pub mod page;
mod rows;
mod rows_back;
mod scan;
mod source;
mod writer;

pub use check::Checked;
pub use database::{Bucket, Database};
pub use error::BoltError;
pub use rows::{Row, Rows};
pub use rows_back::RowsBack;
pub use scan::Scanned;
pub use source::Source;
pub use writer::{BucketWriter, FileWriter, Pages, WriteError, leaf_pages_at_most};

#[cfg(test)]
mod tests;
