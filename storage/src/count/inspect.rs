//! Rows of `cnt` in a form that tools print.
//!
//! Must never be what a count is made from.

use super::changes::read_changes;
use super::rows::{BlockRow, CHANGES, GROUP, Group, read_block, read_group};
use crate::engine::EngineError;
use bytes::Bytes;
use model::Revision;

/// A row of `cnt`, for those who only look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CountRow {
    /// Keys from `start` to the next block's start.
    Block {
        /// First key.
        start: Bytes,
        /// How many.
        keys: u64,
        /// Keys deleted there whose rows may still be in the way.
        dead: u64,
        /// Main revision since which there is none.
        died: i64,
    },
    /// Keys created and deleted between two versions.
    Changes {
        /// Last version before.
        from: Revision,
        /// Last version.
        upto: Revision,
        /// Keys created, each as often as it was.
        created: u64,
        /// Keys deleted, each as often as it was.
        deleted: u64,
    },
    /// Blocks that start between `start` and the next group's start.
    Group {
        /// First start.
        start: Bytes,
        /// Keys in all of them.
        keys: u64,
        /// How many blocks.
        blocks: u32,
    },
}

/// Reads a row of any kind.
///
/// # Errors
/// [`EngineError::Corrupt`].
pub fn read_row(key: &[u8], value: &[u8]) -> Result<CountRow, EngineError> {
    if key.first() == Some(&GROUP) {
        let (start, Group { keys, blocks }) = read_group((key, value))?;
        return Ok(CountRow::Group { start: Bytes::copy_from_slice(start), keys, blocks });
    }
    if key.first() == Some(&CHANGES) {
        let mut row = read_changes(key, value)?;
        let (mut created, mut deleted) = (0, 0);
        while let Some(change) = row.next()? {
            *(if change.deleted { &mut deleted } else { &mut created }) += 1;
        }
        return Ok(CountRow::Changes { from: row.from, upto: row.upto, created, deleted });
    }
    let (start, BlockRow { keys, dead, died }) = read_block((key, value))?;
    Ok(CountRow::Block { start: Bytes::copy_from_slice(start), keys, dead, died })
}
