//! A store from a snapshot stream.
//!
//! Must never leave something that looks like a store when the stream was bad: the rows that make it one are written last,
//! after everything was verified.

use super::reader::Blocks;
use super::{Hash, StreamError, StreamHeader, Summary};
use crate::count::Rebuild;
use crate::engine::{Direction, Engine, Family, Op, Scan, Snapshot};
use crate::schema::meta;
use bytes::Bytes;
use std::io::Read;

/// A batch is written when its rows reach this size.
const BATCH_BYTES: usize = 1 << 20;

/// Rows of `meta` without which nobody takes the rows for a store.
const LAST: [&[u8]; 2] = [meta::APPLIED, meta::FORMAT];

/// Fills an empty `engine` from a stream, rebuilds the key counts, and flushes.
///
/// After an error the engine holds rows but neither an applied index nor a format version: throw its folder away.
///
/// # Errors
/// [`StreamError`], naming what is damaged and where.
pub fn restore<E: Engine>(reader: impl Read, engine: &E, hash: Hash) -> Result<Summary, StreamError> {
    refuse_full(engine)?;
    let mut blocks = Blocks::open(reader)?;
    let header = blocks.header().clone();
    let mut batch = Batch { engine, ops: vec![], bytes: 0 };
    let mut counts = Rebuild::new();
    let mut last = vec![];
    let mut more = true;
    while more {
        more = blocks.next(|family, key, value| {
            if family == Family::Cur {
                counts.key(&key, &mut batch.ops);
            }
            if family == Family::Meta && LAST.contains(&&key[..]) {
                last.push(Op::Put { family, key, value });
                return Ok(());
            }
            batch.put(family, key, value)
        })?;
    }
    counts.finish(&mut batch.ops);
    batch.write()?;
    let summary = blocks.finish(hash)?;
    check(&header, &last, engine)?;
    engine.write(last)?;
    engine.flush()?;
    Ok(summary)
}

struct Batch<'e, E> {
    engine: &'e E,
    ops: Vec<Op>,
    bytes: usize,
}

impl<E: Engine> Batch<'_, E> {
    fn put(&mut self, family: Family, key: Bytes, value: Bytes) -> Result<(), StreamError> {
        self.bytes += key.len() + value.len();
        self.ops.push(Op::Put { family, key, value });
        if self.bytes >= BATCH_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), StreamError> {
        self.bytes = 0;
        Ok(self.engine.write(std::mem::take(&mut self.ops))?)
    }
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
        Op::Put { key, value, .. } => key != meta::APPLIED || value[..] == applied[..],
        Op::Delete { .. } => true,
    }) && row(meta::CONF_STATE)?.is_none_or(|row| row == header.conf_state)
        && row(meta::IDENTITY)?.is_none_or(|row| row[..] == identity[..])
        && row(meta::REVISIONS)?.is_none_or(|row| row.starts_with(&revisions));
    if !fits {
        return Err(StreamError::Damaged { offset: 0, block: 0, why: "the header and the rows of meta differ" });
    }
    Ok(())
}
