//! The read side: keys living in a range, as a snapshot has them.
//!
//! Costs a few seeks, the rows of the groups and of two groups' blocks in the range, and at most two blocks of `cur`. Must
//! never depend on a writer's memory: a snapshot alone answers.

use super::around::{AroundScan, KeyBounds};
use super::rows::{BLOCK, GROUP, behind, read_block, read_group, row_key};
use crate::engine::{Direction, EngineError, Family, Scan, Snapshot};
use bytes::Bytes;
use model::KeyRange;

/// Keys looked at one by one before the blocks are asked: most ranges are small, and each scan that is opened costs about as
/// much as 20 of them.
const SHORT: i64 = if cfg!(test) { 3 } else { 64 };

/// Keys of `range` that live in `snapshot`.
///
/// # Errors
/// [`EngineError`] when the rows cannot be read.
pub fn count_present<S: Snapshot>(snapshot: &S, range: &KeyRange) -> Result<i64, EngineError> {
    if range.is_empty() {
        return Ok(0);
    }
    if range.is_single() {
        return Ok(i64::from(snapshot.get(Family::Cur, range.lower())?.is_some()));
    }
    // No key is empty, so one zero byte is a bound before all keys as well, and the one that clients send for "everything".
    let lower = if range.lower() == [0] { &[] } else { range.lower() };
    let upper = range.upper();
    let upper = upper.as_deref();
    if !lower.is_empty() {
        let short = walk(snapshot, lower, upper, SHORT)?;
        if short < SHORT {
            return Ok(short);
        }
    }
    let (start, keys) = floor(snapshot, lower)?;
    let next = first(snapshot, &[lower, &[0]].concat())?;
    let Some((next, _)) = next.filter(|(next, _)| upper.is_none_or(|upper| &next[..] < upper)) else {
        // One block, and nothing of another, lies in the range.
        return if start == lower && upper.is_none() { Ok(keys) } else { walk(snapshot, lower, upper, i64::MAX) };
    };
    let left = if start == lower { keys } else { walk(snapshot, lower, Some(&next), i64::MAX)? };
    let inner = sum(snapshot, &next, upper)?;
    let Some(upper) = upper else { return Ok(left + inner) };
    // The last block was counted whole, but reaches to the bound or beyond.
    let (last, keys) = below(snapshot, upper)?;
    Ok(left + inner - keys + walk(snapshot, &last, Some(upper), keys)?)
}

/// Keys in `lower..upper` one by one, at most `limit`.
fn walk<S: Snapshot>(snapshot: &S, lower: &[u8], upper: Option<&[u8]>, limit: i64) -> Result<i64, EngineError> {
    let mut keys = AroundScan::living(snapshot, KeyBounds { lower, upper, direction: Direction::Forward });
    let mut count = 0;
    while count < limit && keys.next()?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// The last block that starts at or before `key`; an empty one at the start when there is none.
fn floor<S: Snapshot>(snapshot: &S, key: &[u8]) -> Result<(Bytes, i64), EngineError> {
    let mut blocks = snapshot.scan(Family::Cnt, &[BLOCK], Some(&behind(BLOCK)), Direction::Backward);
    blocks.seek(&row_key(BLOCK, key));
    Ok(owned(blocks.next()?)?.unwrap_or_default())
}

/// The last block that starts before `key`.
fn below<S: Snapshot>(snapshot: &S, key: &[u8]) -> Result<(Bytes, i64), EngineError> {
    let mut blocks = snapshot.scan(Family::Cnt, &[BLOCK], Some(&row_key(BLOCK, key)), Direction::Backward);
    Ok(owned(blocks.next()?)?.unwrap_or_default())
}

/// The first block that starts at or after `key`.
fn first<S: Snapshot>(snapshot: &S, key: &[u8]) -> Result<Option<(Bytes, i64)>, EngineError> {
    let mut blocks = snapshot.scan(Family::Cnt, &row_key(BLOCK, key), Some(&behind(BLOCK)), Direction::Forward);
    owned(blocks.next()?)
}

fn owned(row: Option<(&[u8], &[u8])>) -> Result<Option<(Bytes, i64)>, EngineError> {
    let block = row.map(read_block).transpose()?;
    Ok(block.map(|(start, block)| (Bytes::copy_from_slice(start), block.keys as i64)))
}

/// Keys of all blocks that start in `from..to`: by groups where a whole one lies inside.
fn sum<S: Snapshot>(snapshot: &S, from: &[u8], to: Option<&[u8]>) -> Result<i64, EngineError> {
    let inside = |start: &[u8]| to.is_none_or(|to| start < to);
    let mut groups = snapshot.scan(Family::Cnt, &row_key(GROUP, from), Some(&behind(GROUP)), Direction::Forward);
    let mut total = 0;
    let mut current: Option<(Bytes, u64)> = None;
    let mut head = None;
    while let Some(row) = groups.next()? {
        let (start, group) = read_group(row)?;
        // The next group begins inside, so all blocks of the one before start inside.
        if to.is_none_or(|to| start <= to) {
            total += current.take().map_or(0, |(_, keys)| keys as i64);
        }
        if !inside(start) {
            break;
        }
        let start = Bytes::copy_from_slice(start);
        head.get_or_insert_with(|| start.clone());
        current = Some((start, group.keys));
    }
    let Some(head) = head else { return blocks(snapshot, from, to) };
    total += blocks(snapshot, from, Some(&head))?;
    match (current, to) {
        (Some((_, keys)), None) => total += keys as i64,
        (Some((start, _)), Some(_)) => total += blocks(snapshot, &start, to)?,
        (None, _) => {}
    }
    Ok(total)
}

/// Keys of all blocks that start in `from..to`, one by one.
fn blocks<S: Snapshot>(snapshot: &S, from: &[u8], to: Option<&[u8]>) -> Result<i64, EngineError> {
    let to = to.map_or(Bytes::copy_from_slice(&behind(BLOCK)), |to| row_key(BLOCK, to));
    let mut rows = snapshot.scan(Family::Cnt, &row_key(BLOCK, from), Some(&to), Direction::Forward);
    let mut total = 0;
    while let Some(row) = rows.next()? {
        let (start, block) = read_block(row)?;
        total += block.keys as i64;
        if block.keys == 0
            && let Some(stretch) = snapshot.empty_stretches().holding(start)
        {
            let Some(end) = &stretch.end else { break };
            rows.seek(&row_key(BLOCK, end));
        }
    }
    Ok(total)
}
