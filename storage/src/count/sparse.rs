//! Where keys have been deleted: setting stretches without living keys apart, so that a scan can go around them.
//!
//! The engine keeps a mark for each deleted row until its files are compacted, and a scan passes over every one. Therefore a block
//! from which many keys were deleted is looked at once, and what lies between its living keys becomes blocks without keys. A scan
//! goes around those ([`around`](super::around)). They are given up when the engine has nothing left in them.
//!
//! Must never look at more than one block at a time.

use super::rows::{BLOCK, BlockRow, behind, damaged, read_block, row_key};
use crate::engine::{Direction, EngineError, Family, Scan, Snapshot, Step};
use crate::schema::escape_key;
use bytes::Bytes;

/// The parts of a block with living keys and many dead ones: stretches in which living keys follow each other closely, and
/// stretches without any. `revision` is the newest main revision in which a key of the block may have been deleted.
pub(super) fn pieces<S: Snapshot>(
    before: &S,
    (start, end): (&Bytes, Option<&[u8]>),
    whole: BlockRow,
    revision: i64,
) -> Result<Vec<(Bytes, BlockRow)>, EngineError> {
    // Where the dead ones lie is not known: each empty part may hold them all.
    let empty = BlockRow { keys: 0, dead: whole.dead, died: revision };
    let mut parts = Vec::new();
    let mut at = start.clone();
    let mut last = start.to_vec();
    let mut keys = 0;
    let mut left = whole.keys;
    let mut rows = before.scan_sparse(Family::Cur, start, end, Direction::Forward);
    while left > 0 {
        let mut step = rows.step()?;
        let gap = step == Step::Sparse;
        if gap {
            let mut living = before.scan(Family::Cur, &last, end, Direction::Forward);
            let (key, _) = living.next()?.ok_or_else(|| damaged("a block counts more keys than there are"))?;
            rows.seek(key);
            step = rows.step()?;
        }
        if step != Step::Row {
            return Err(damaged("a block counts more keys than there are"));
        }
        let (key, _) = rows.row();
        // In front of the first key everything is dead, as in a queue.
        if (gap || parts.is_empty() && keys == 0) && key > &last[..] {
            if keys > 0 {
                parts.push((at, BlockRow { keys, ..BlockRow::default() }));
                at = Bytes::copy_from_slice(&last);
            }
            parts.push((at, empty));
            at = Bytes::copy_from_slice(key);
            keys = 0;
        }
        last.clear();
        last.extend_from_slice(key);
        last.push(0);
        keys += 1;
        left -= 1;
    }
    parts.push((at, BlockRow { keys, ..BlockRow::default() }));
    if rows.step()? == Step::Sparse && end.is_none_or(|end| &last[..] < end) {
        parts.push((last.into(), empty));
    }
    Ok(parts)
}

/// Batches between two looks at blocks without keys.
const PAUSE: u32 = if cfg!(test) { 1 } else { 16 };
/// Rows of blocks read by one look.
const ROWS: usize = 32;

/// Goes round all blocks, a few at a time, in search of those without keys in which the engine has nothing left.
#[derive(Debug, Default)]
pub(super) struct Tidy {
    batches: u32,
    /// Where the next look begins.
    from: Bytes,
}

impl Tidy {
    /// Start of a block without keys, if one was found in which the engine has neither rows nor marks of deleted ones.
    pub(super) fn clean_block<S: Snapshot>(&mut self, before: &S) -> Result<Option<Bytes>, EngineError> {
        self.batches += 1;
        if self.batches < PAUSE {
            return Ok(None);
        }
        self.batches = 0;
        let from = std::mem::take(&mut self.from);
        let mut rows = before.scan(Family::Cnt, &row_key(BLOCK, &from), Some(&behind(BLOCK)), Direction::Forward);
        let mut empty: Option<Bytes> = None;
        for _ in 0..ROWS {
            let Some(row) = rows.next()? else {
                self.from = Bytes::new();
                let Some(empty) = empty else { return Ok(None) };
                return Ok(is_clean(before, &empty, None)?.then_some(empty));
            };
            let (start, block) = read_block(row)?;
            self.from = Bytes::copy_from_slice(start);
            if let Some(empty) = empty {
                return Ok(is_clean(before, &empty, Some(start))?.then_some(empty));
            }
            empty = (block.keys == 0 && !start.is_empty()).then(|| Bytes::copy_from_slice(start));
        }
        Ok(None)
    }
}

/// Neither the present nor the past has more in a stretch without keys than a few marks of deleted rows.
fn is_clean<S: Snapshot>(before: &S, start: &[u8], end: Option<&[u8]>) -> Result<bool, EngineError> {
    let mut present = before.scan_sparse(Family::Cur, start, end, Direction::Forward);
    if present.step()? != Step::End {
        return Ok(false);
    }
    let end = end.map(escape_key);
    let mut past = before.scan_sparse(Family::Hist, &escape_key(start), end.as_deref(), Direction::Forward);
    Ok(past.step()? == Step::End)
}
