//! What can be wrong with a file. Every text says where, so that somebody with a hex dump finds it.

use std::io;

/// Why a file cannot be read as a bbolt database.
#[derive(Debug, thiserror::Error)]
pub enum BoltError {
    /// The system cannot read it.
    #[error("the file cannot be read at offset {offset}: {source}")]
    Read {
        /// Where.
        offset: u64,
        /// In the system's words.
        source: io::Error,
    },
    /// Neither meta page is one.
    #[error("not a bbolt database: neither of its meta pages is sound ({why})")]
    NotADatabase {
        /// What is wrong with the first one.
        why: &'static str,
    },
    /// It is shorter than it says.
    #[error("the database is cut: it has {found} bytes of {expected}")]
    Truncated {
        /// Bytes there are.
        found: u64,
        /// Bytes that its meta page speaks of.
        expected: u64,
    },
    /// A page is not what was written.
    #[error("page {page} (offset {offset}) is damaged: {why}")]
    Damaged {
        /// Number of the page.
        page: u64,
        /// Where it begins.
        offset: u64,
        /// What does not fit.
        why: &'static str,
    },
}
