//! Whether the rows of `cnt` say what `cur` and `log` hold: every block, every group, every row of changes.
//!
//! Must never repair anything.

use super::changes::{Change, behind_changes, change, changes_key, read_changes};
use super::rows::{BLOCK, BlockRow, GROUP, Group, behind, damaged, read_block, read_group, row_key};
use crate::engine::{Direction, EngineError, Family, Scan, Snapshot};
use crate::schema::{Kind, escape_key, split_hist_key};
use model::Revision;

/// Compares each block with the keys between its start and the next one's, each group with its blocks, and the changes behind
/// the main revision `compact` with the versions in `log`. What differs goes to `problem`.
///
/// # Errors
/// [`EngineError`] when rows cannot be read.
pub fn verify<S: Snapshot>(snapshot: &S, compact: i64, mut problem: impl FnMut(String)) -> Result<(), EngineError> {
    let mut blocks = snapshot.scan_once(Family::Cnt, &[BLOCK], Some(&behind(BLOCK)), Direction::Forward);
    let mut keys = snapshot.scan_once(Family::Cur, &[], None, Direction::Forward);
    let mut key = keys.next()?.map(|(key, _)| key.to_vec());
    let mut block = blocks.next()?.map(read_block).transpose()?.map(|(start, block)| (start.to_vec(), block));
    if block.as_ref().is_some_and(|(start, _)| !start.is_empty()) {
        problem("the first block does not begin at the first key".into());
    }
    while let Some((start, BlockRow { keys: said, died, .. })) = block {
        block = blocks.next()?.map(read_block).transpose()?.map(|(start, block)| (start.to_vec(), block));
        let mut found = 0;
        while key.as_ref().is_some_and(|key| block.as_ref().is_none_or(|(next, _)| key < next)) {
            found += 1;
            key = keys.next()?.map(|(key, _)| key.to_vec());
        }
        if found != said {
            problem(format!("the block from {} on counts {said} keys, there are {found}", start.escape_ascii()));
        }
        let end = block.as_ref().map(|(next, _)| &next[..]);
        if died != 0 && lives_after(snapshot, &start, end, died)? {
            let start = start.escape_ascii();
            problem(format!(
                "the block from {start} on says that it has had no keys since revision {died}, and it had"
            ));
        }
    }
    if let Some(key) = key {
        problem(format!("there are keys, from {} on, and no block counts them", key.escape_ascii()));
    }
    groups(snapshot, &mut problem)?;
    changes(snapshot, compact, problem)
}

/// A version or a tombstone of a stretch of keys is newer than main revision `died`.
fn lives_after<S: Snapshot>(snapshot: &S, start: &[u8], end: Option<&[u8]>, died: i64) -> Result<bool, EngineError> {
    let end = end.map(escape_key);
    let mut rows = snapshot.scan_once(Family::Hist, &escape_key(start), end.as_deref(), Direction::Forward);
    while let Some((name, _)) = rows.next()? {
        let (_, version) = split_hist_key(name).map_err(|why| EngineError::Corrupt(why.to_string()))?;
        if version.main > died {
            return Ok(true);
        }
    }
    Ok(false)
}

fn groups<S: Snapshot>(snapshot: &S, mut problem: impl FnMut(String)) -> Result<(), EngineError> {
    let mut groups = Vec::new();
    let mut rows = snapshot.scan_once(Family::Cnt, &[GROUP], Some(&behind(GROUP)), Direction::Forward);
    while let Some(row) = rows.next()? {
        let (start, group) = read_group(row)?;
        groups.push((start.to_vec(), group));
    }
    for (at, (start, said)) in groups.iter().enumerate() {
        let upper = groups.get(at + 1).map_or(behind(BLOCK).to_vec(), |(next, _)| row_key(BLOCK, next).to_vec());
        let mut found = Group::default();
        let mut blocks = snapshot.scan_once(Family::Cnt, &row_key(BLOCK, start), Some(&upper), Direction::Forward);
        while let Some(row) = blocks.next()? {
            found.keys += read_block(row)?.1.keys;
            found.blocks += 1;
        }
        if found != *said {
            problem(format!(
                "the group from {} on counts {} keys in {} blocks, its blocks say {} in {}",
                start.escape_ascii(),
                said.keys,
                said.blocks,
                found.keys,
                found.blocks
            ));
        }
    }
    Ok(())
}

fn changes<S: Snapshot>(snapshot: &S, compact: i64, mut problem: impl FnMut(String)) -> Result<(), EngineError> {
    let first = Revision::new(compact.max(0).saturating_add(1), 0);
    let mut rows = snapshot.scan_once(Family::Cnt, &changes_key(first), Some(&behind_changes()), Direction::Forward);
    let mut log = snapshot.scan_once(Family::Log, &first.to_bytes(), None, Direction::Forward);
    let mut version = log.next()?.map(version).transpose()?;
    while let Some((key, value)) = rows.next()? {
        let mut row = read_changes(key, value)?;
        let (from, upto) = (row.from, row.upto);
        let mut same = true;
        while let Some((at, kind, key)) = version.as_ref().filter(|(at, ..)| *at <= upto) {
            if *at > from && *kind != Kind::Update {
                let mut said = row.next()?;
                while said.is_some_and(|said| said.revision < first.main) {
                    said = row.next()?;
                }
                let found = Change { revision: at.main, deleted: *kind == Kind::Delete, key };
                same &= said == Some(found);
            }
            version = log.next()?.map(self::version).transpose()?;
        }
        while let Some(said) = row.next()? {
            same &= said.revision < first.main;
        }
        if !same {
            problem(format!(
                "the changes from {}.{} to {}.{} are not those in `log`",
                from.main, from.sub, upto.main, upto.sub
            ));
        }
    }
    Ok(())
}

/// A version of `log`: what it did, and to which key.
fn version(row: (&[u8], &[u8])) -> Result<(Revision, Kind, Vec<u8>), EngineError> {
    let version = Revision::from_bytes(row.0).ok_or_else(|| damaged("a version in `log` has a bad name"))?;
    let (kind, key) = change(row.1)?;
    Ok((version, kind, key.to_vec()))
}
