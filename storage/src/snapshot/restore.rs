//! A store from a snapshot stream: of a file, or of another member.
//!
//! Rows go into sorted files past the engine's batches. Must never leave something that looks like a store when the stream was bad: the
//! rows that make it one are written last, after everything was verified.

use super::reader::{Parser, pump};
use super::{Hash, StreamError, StreamHeader, Summary};
use crate::apply::meta_rows::decode_conf_state;
use crate::apply::{MemberIds, OpenError, StateMachine};
use crate::count::Rebuild;
use crate::engine::{Direction, Engine, Family, Load, Op, Scan, Snapshot};
use crate::schema::meta;
use bytes::Bytes;
use raft::{LogId, SnapshotMeta};
use std::io::Read;
use std::sync::Arc;

/// Rows of `meta` without which nobody takes the rows for a store, and the one that says whose it is.
const LAST: [&[u8]; 3] = [meta::APPLIED, meta::FORMAT, meta::IDENTITY];

/// Why the stream of another member did not become a store.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The stream.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The store that it became.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// It comes from another cluster.
    #[error("the snapshot is of cluster {theirs:x}, this member is of cluster {ours:x}")]
    OtherCluster {
        /// Cluster of the stream.
        theirs: u64,
        /// Own cluster.
        ours: u64,
    },
    /// It is not what was announced.
    #[error(
        "the snapshot is of entry {found:?} with another membership than was announced, or not of entry {announced:?}"
    )]
    OtherPlace {
        /// What its header says.
        found: LogId,
        /// What its sender said.
        announced: LogId,
    },
    /// It was taken in the middle of an entry.
    #[error("the snapshot was taken in the middle of a large entry; it will be sent again")]
    Unfinished,
}

/// Fills an empty `engine` from a stream, rebuilds the key counts, and flushes.
///
/// After an error the engine may hold rows, but neither an applied index nor a format version: throw its folder away.
///
/// # Errors
/// [`StreamError`], naming what is damaged and where.
pub fn restore<E: Engine>(reader: impl Read, engine: &E, hash: Hash) -> Result<Summary, StreamError> {
    let mut stage = Stage::new(engine)?;
    pump(reader, |bytes| stage.feed(bytes))?;
    let (summary, last) = stage.load(engine, hash)?;
    settle(engine, last)?;
    Ok(summary)
}

/// A store on its way in, as far as its stream has come. Dropped unfinished it leaves no row, but a folder to be thrown away.
pub struct Stage {
    parser: Parser,
    load: Box<dyn Load>,
    counts: Rebuild,
    /// Rows to be written behind all others.
    last: Vec<Op>,
    bytes: u64,
    checksum: u32,
}

impl Stage {
    /// For an empty engine.
    ///
    /// # Errors
    /// [`StreamError::NotEmpty`], [`StreamError::Engine`].
    pub fn new<E: Engine>(engine: &E) -> Result<Self, StreamError> {
        refuse_full(engine)?;
        let load = engine.load()?;
        let (parser, counts) = (Parser::new(), Rebuild::new());
        Ok(Self { parser, load, counts, last: Vec::new(), bytes: 0, checksum: 0 })
    }

    /// Bytes that have come, and their CRC-32C.
    pub fn progress(&self) -> (u64, u32) {
        (self.bytes, self.checksum)
    }

    /// The next bytes of the stream, as many as there are. After an error the stage is of no more use.
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        self.bytes += bytes.len() as u64;
        self.checksum = crc32c::crc32c_append(self.checksum, bytes);
        let Self { parser, load, counts, last, .. } = self;
        let mut counted = Vec::new();
        parser.feed(bytes, |family, key, value| {
            if family == Family::Cur {
                counts.key(&key, &mut counted);
                add(load.as_mut(), &mut counted)?;
            }
            if family == Family::Meta && LAST.contains(&&key[..]) {
                // of their own, so that they do not hold on to a block
                let (key, value) = (Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value));
                last.push(Op::Put { family, key, value });
                return Ok(());
            }
            Ok(load.put(family, &key, &value)?)
        })
    }

    /// The whole stream has come: verifies it, makes it a store of `owner` that is durable, and opens that. `announced` is what its
    /// sender said that it is.
    ///
    /// # Errors
    /// [`StageError`].
    pub fn finish<E: Engine>(
        self,
        engine: Arc<E>,
        owner: MemberIds,
        announced: &SnapshotMeta,
        chunk_bytes: usize,
    ) -> Result<StateMachine<E>, StageError> {
        let (summary, mut last) = self.load(engine.as_ref(), Hash::Check)?;
        let header = summary.header;
        if header.cluster_id != owner.cluster_id {
            return Err(StageError::OtherCluster { theirs: header.cluster_id, ours: owner.cluster_id });
        }
        let found = LogId { term: header.applied_term, index: header.applied_index };
        let place = LogId { term: announced.term, index: announced.index };
        let conf_state = decode_conf_state(&header.conf_state).map_err(OpenError::from)?;
        if found != place || conf_state != announced.conf_state {
            return Err(StageError::OtherPlace { found, announced: place });
        }
        if engine.snapshot().get(Family::Meta, meta::CHUNK).map_err(StreamError::from)?.is_some() {
            return Err(StageError::Unfinished);
        }
        last.retain(|op| op.key() != meta::IDENTITY);
        last.push(Op::Put { family: Family::Meta, key: Bytes::from_static(meta::IDENTITY), value: owner.encode() });
        settle(engine.as_ref(), last)?;
        Ok(StateMachine::open_with(engine, chunk_bytes)?)
    }

    /// Makes the rows of a stream that is whole and sound visible, all but the last ones, which are returned.
    fn load<E: Engine>(self, engine: &E, hash: Hash) -> Result<(Summary, Vec<Op>), StreamError> {
        let Self { parser, mut load, counts, last, .. } = self;
        let summary = parser.finish(hash)?;
        let mut counted = Vec::new();
        counts.finish(&mut counted);
        add(load.as_mut(), &mut counted)?;
        load.finish()?;
        check(&summary.header, &last, engine)?;
        Ok((summary, last))
    }
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stage({} bytes)", self.bytes)
    }
}

/// Rows of key counts, which are only ever written.
fn add(load: &mut dyn Load, counted: &mut Vec<Op>) -> Result<(), StreamError> {
    for op in counted.drain(..) {
        if let Op::Put { family, key, value } = op {
            load.put(family, &key, &value)?;
        }
    }
    Ok(())
}

/// Writes the rows that make the others a store.
fn settle<E: Engine>(engine: &E, last: Vec<Op>) -> Result<(), StreamError> {
    engine.write(last)?;
    Ok(engine.flush()?)
}

fn refuse_full<E: Engine>(engine: &E) -> Result<(), StreamError> {
    let snapshot = engine.snapshot();
    for family in Family::ALL {
        if snapshot.scan(family, &[], None, Direction::Forward).next()?.is_some() {
            return Err(StreamError::NotEmpty);
        }
    }
    Ok(())
}

/// The header must say what the rows say, those that are there.
fn check<E: Engine>(header: &StreamHeader, last: &[Op], engine: &E) -> Result<(), StreamError> {
    let pair = |a: u64, b: u64| [a.to_be_bytes(), b.to_be_bytes()].concat();
    let applied = pair(header.applied_index, header.applied_term);
    let revisions = pair(header.revision as u64, header.compact_revision as u64);
    let identity = pair(header.cluster_id, header.member_id);
    let snapshot = engine.snapshot();
    let row = |key| snapshot.get(Family::Meta, key);
    let fits = last.iter().all(|op| match op {
        Op::Put { key, value, .. } if key == meta::APPLIED => value[..] == applied[..],
        Op::Put { key, value, .. } if key == meta::IDENTITY => value[..] == identity[..],
        Op::Put { .. } | Op::Delete { .. } => true,
    }) && row(meta::CONF_STATE)?.is_none_or(|row| row == header.conf_state)
        && row(meta::REVISIONS)?.is_none_or(|row| row.starts_with(&revisions));
    if !fits {
        return Err(StreamError::Damaged { offset: 0, block: 0, why: "the header and the rows of meta differ" });
    }
    Ok(())
}
