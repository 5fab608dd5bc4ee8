//! `--force-new-cluster`: a cluster of one out of what this member has, when the others are lost for good.
//!
//! Log first, then store, each in one step, so that a start that is interrupted is simply repeated. Must keep every entry that may have
//! been acknowledged: only changes of membership that this store has not applied are emptied, or they would bring members back.

use super::{BootError, LogStart};
use crate::apply::{StateMachine, become_sole_member};
use crate::engine::Engine;
use crate::wal::{Batch, Wal};
use bytes::Bytes;
use raft::{Entry, EntryKind};
use std::sync::Arc;

/// Empties changes of membership that are not applied, in `wal` and `log` alike.
///
/// # Errors
/// [`BootError::Wal`].
pub(super) fn empty_changes(wal: &mut Wal, log: &mut LogStart) -> Result<(), BootError> {
    let is_change = |entry: &Entry| entry.kind != EntryKind::Normal;
    let Some(first) = log.entries.iter().position(is_change) else { return Ok(()) };
    for entry in log.entries[first..].iter_mut().filter(|entry| is_change(entry)) {
        tracing::warn!(index = entry.index, "emptied a change of membership that was not applied");
        (entry.kind, entry.data) = (EntryKind::Normal, Bytes::new());
    }
    // one batch: what follows an entry that is written again is cut off
    wal.append(&Batch { entries: &log.entries[first..], hard_state: None })?;
    wal.sync()?;
    Ok(())
}

/// Makes this member the only one, in the store. The store is opened again.
///
/// # Errors
/// [`BootError::Store`].
pub(super) fn take_over<E: Engine>(
    store: StateMachine<E>,
    engine: &Arc<E>,
    chunk_bytes: usize,
) -> Result<StateMachine<E>, BootError> {
    let own = store.identity().member_id;
    drop(store);
    become_sole_member(engine.as_ref(), own)?;
    tracing::warn!(
        "local-member-id" = format!("{own:x}"),
        "forced a new cluster of this member alone; start it without --force-new-cluster from now on"
    );
    Ok(StateMachine::open_with(engine.clone(), chunk_bytes)?)
}
