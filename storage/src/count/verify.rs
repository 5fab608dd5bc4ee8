//! Whether the rows of `cnt` say what `cur` holds: every block, every group.
//!
//! Must never repair anything.

use super::{BLOCK, GROUP, Group, behind, read_block, read_group, row_key};
use crate::engine::{Direction, EngineError, Family, Scan, Snapshot};

/// Compares each block with the keys between its start and the next one's, and each group with its blocks. What differs goes
/// to `problem`.
///
/// # Errors
/// [`EngineError`] when rows cannot be read.
pub fn verify<S: Snapshot>(snapshot: &S, mut problem: impl FnMut(String)) -> Result<(), EngineError> {
    let mut blocks = snapshot.scan_once(Family::Cnt, &[BLOCK], Some(&behind(BLOCK)), Direction::Forward);
    let mut keys = snapshot.scan_once(Family::Cur, &[], None, Direction::Forward);
    let mut key = keys.next()?.map(|(key, _)| key.to_vec());
    let mut block = blocks.next()?.map(read_block).transpose()?.map(|(start, keys)| (start.to_vec(), keys));
    if block.as_ref().is_some_and(|(start, _)| !start.is_empty()) {
        problem("the first block does not begin at the first key".into());
    }
    while let Some((start, said)) = block {
        block = blocks.next()?.map(read_block).transpose()?.map(|(start, keys)| (start.to_vec(), keys));
        let mut found = 0;
        while key.as_ref().is_some_and(|key| block.as_ref().is_none_or(|(next, _)| key < next)) {
            found += 1;
            key = keys.next()?.map(|(key, _)| key.to_vec());
        }
        if found != said {
            problem(format!("the block from {} on counts {said} keys, there are {found}", start.escape_ascii()));
        }
    }
    if let Some(key) = key {
        problem(format!("there are keys, from {} on, and no block counts them", key.escape_ascii()));
    }
    groups(snapshot, problem)
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
            found.keys += read_block(row)?.1;
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
