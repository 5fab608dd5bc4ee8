//! The snapshot stream: a whole store as one self-contained, self-checking sequence of bytes.
//!
//! What `Maintenance.Snapshot` sends, `snapshot save` keeps and `snapshot restore` reads. Must never be trusted half: a stream
//! is good when its end, its sums and its hash are, and only then does a restored store become one.
//!
//! | part | bytes |
//! |---|---|
//! | start | magic (8), format version (4), length of the header (4), CRC32C of version, length and header (4), header |
//! | block of rows, many | kind 1 (1), family (1), length (4), CRC32C (4), rows: key length (4), value length (4), key, value |
//! | end block | kind 2 (1), zero (1), length (4), CRC32C (4), rows per family (5 × 8) |
//! | padding | zeros up to the length that the header says, a multiple of 512 |
//! | hash | SHA-256 of all that (32), a message of its own on the wire and the tail of a file |
//!
//! Integers are big-endian. A block's CRC covers its number, which is not stored, then kind, family, length and contents: a
//! block that is missing, doubled or out of place shows. Families come in order of their discriminants, rows in order of their
//! keys; `cnt` is left out and rebuilt.
//!
//! The header says the whole length, and nobody reads a store twice to know it: the store counts its rows and their bytes, and
//! what it does not know, into how many blocks they fall, is taken to be the most it can be. The padding makes up for it: ten bytes
//! for a block that was not needed.

mod header;
mod reader;
mod reread;
mod restore;
mod source;
#[cfg(test)]
mod stage_tests;
#[cfg(test)]
mod tests;
mod walk;

pub use header::StreamHeader;
pub use reader::{Hash, Summary, read, verify};
pub use reread::StreamReader;
pub use restore::{Stage, StageError, restore};
pub use source::{SnapshotSource, StreamEnd};

use crate::engine::{EngineError, Family};

/// Length of the chunks that a stream is handed out in; the last ones may be shorter.
pub const CHUNK_BYTES: usize = 256 << 10;

/// First bytes of every stream.
const MAGIC: &[u8; 8] = b"CNCLVSNP";
/// Format this module writes. It also reads the one before, which had no more padding than a page needs.
const VERSION: u32 = 2;
const OLDEST_VERSION: u32 = 1;
/// The stream without its hash is a multiple of this long, as etcd's is: clients check that.
const PAGE: u64 = 512;
/// Bytes before a block's contents.
const BLOCK_HEAD: usize = 10;
/// A block is closed by the row that brings it to this size.
const BLOCK_BYTES: usize = 128 << 10;
/// Bytes before a row's key.
const ROW_HEAD: usize = 8;
/// Length of the hash behind the stream.
pub const HASH_BYTES: usize = aws_lc_rs::digest::SHA256_OUTPUT_LEN;

const ROWS: u8 = 1;
const END: u8 = 2;

/// Families of a stream, in its order.
const FAMILIES: [Family; 4] = [Family::Log, Family::Cur, Family::Hist, Family::Meta];

/// Why a stream was refused.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// It could not be read.
    #[error("snapshot cannot be read at offset {offset}: {source}")]
    Read {
        /// Bytes read before.
        offset: u64,
        /// In the system's words.
        source: std::io::Error,
    },
    /// There is not one byte.
    #[error("not a snapshot: it is empty; save it again")]
    Empty,
    /// It starts with something else.
    #[error("not a snapshot: its first bytes are not those of one; is it the right file, was it compressed?")]
    NotASnapshot,
    /// It is a database of etcd's.
    #[error(
        "a snapshot or database file of etcd's (bbolt), not a stream of Conclave's; `conclaveutl snapshot restore` and `conclaveutl \
         snapshot convert` take it"
    )]
    EtcdFile,
    /// Another format version.
    #[error("snapshot has format {0}, this build reads formats 1 and 2; use the build that wrote it")]
    Version(u32),
    /// It stops early.
    #[error("snapshot is truncated at offset {offset} within {part}; fetch it again")]
    Truncated {
        /// Where the bytes end.
        offset: u64,
        /// What was being read.
        part: &'static str,
    },
    /// Bytes are not what was written.
    #[error("snapshot is damaged at offset {offset} (block {block}): {why}; fetch it again")]
    Damaged {
        /// Where the damaged part starts.
        offset: u64,
        /// Number of the block, from 0 for the first behind the header.
        block: u64,
        /// What does not fit.
        why: &'static str,
    },
    /// There is no hash behind the stream.
    #[error(
        "snapshot has no hash at its end (was it copied from a data folder, or cut?); skip the hash check to use it anyway"
    )]
    HashMissing,
    /// The hash is of other bytes.
    #[error(
        "snapshot does not match the SHA-256 at offset {offset}, its end, although each block before it is sound: the hash itself is damaged; \
         fetch it again, or skip the hash check to use it anyway"
    )]
    HashMismatch {
        /// Where the hash begins.
        offset: u64,
    },
    /// Rows exist already where it should go.
    #[error("the store to restore into is not empty")]
    NotEmpty,
    /// The store failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// CRC of the block with this number, whose head is `kind`, `family` and `length`.
fn block_crc(number: u64, kind: u8, family: u8, contents: &[u8]) -> u32 {
    let mut head = [0; 14];
    head[..8].copy_from_slice(&number.to_be_bytes());
    head[8] = kind;
    head[9] = family;
    head[10..].copy_from_slice(&(contents.len() as u32).to_be_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&head), contents)
}

/// Blocks of rows that a stream of so many bytes has at most: all but the last one of a family are full.
fn most_blocks(bytes: u64) -> u64 {
    bytes / BLOCK_BYTES as u64 + FAMILIES.len() as u64
}
