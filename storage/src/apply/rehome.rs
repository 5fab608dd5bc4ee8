//! Giving a store to another membership than the one it had: a restored store to a new cluster, with new ids and a log that begins anew; or
//! a store to its member alone, when the others are lost. Keys, revisions, leases, users and roles stay.
//!
//! Must never be used on a store whose member may run again: its log would not fit any more.

use super::members::member_key;
use super::meta_rows::{MemberRow, encode_conf_state};
use super::open::Bootstrap;
use super::running::RunningHash;
use super::{OpenError, State, StateMachine};
use crate::engine::{Direction, Engine, Family, Op, Scan, Snapshot};
use crate::schema::meta;
use bytes::Bytes;
use prost::Message;
use raft::ConfState;
use std::sync::Arc;

/// Makes the store one that `first` describes, in one batch, and flushes. With `bump` above zero the revision jumps by that much
/// and everything before it counts as compacted, so that no client ever sees a revision a second time.
///
/// # Errors
/// [`OpenError`].
///
/// # Panics
/// When the revision would leave its range: the caller checks that.
pub fn rehome<E: Engine>(engine: &Arc<E>, first: &Bootstrap, bump: i64) -> Result<State, OpenError> {
    // a snapshot may have been taken in the middle of a large entry, which ends here: its index means nothing to the new log
    let mut state = StateMachine::open(engine.clone())?.state();
    state.applied = first.applied;
    state.running = Some(RunningHash::start(first.applied.index));
    if bump > 0 {
        state.revision = state.revision.checked_add(bump).expect("the caller checked the range of the revision");
        state.compact = state.revision;
    }
    let snapshot = engine.snapshot();
    let mut ops = Vec::new();
    for prefix in [meta::MEMBER, meta::REMOVED] {
        let mut scan = snapshot.scan(Family::Meta, &[prefix], Some(&[prefix + 1]), Direction::Forward);
        while let Some((key, _)) = scan.next()? {
            ops.push(Op::Delete { family: Family::Meta, key: Bytes::copy_from_slice(key) });
        }
    }
    // an unfinished downgrade was of the old cluster
    ops.push(Op::Delete { family: Family::Meta, key: Bytes::from_static(meta::DOWNGRADE) });
    let mut put = |key: Bytes, value: Bytes| ops.push(Op::Put { family: Family::Meta, key, value });
    for (id, row) in &first.members {
        put(member_key(*id), row.encode_to_vec().into());
    }
    put(Bytes::from_static(meta::IDENTITY), first.identity.encode());
    put(Bytes::from_static(meta::CONF_STATE), encode_conf_state(&first.conf_state));
    put(Bytes::from_static(meta::REVISIONS), state.revisions_row());
    put(Bytes::from_static(meta::APPLIED), state.applied_row());
    if let Some(row) = state.running_row() {
        put(Bytes::from_static(meta::RUNNING_HASH), row);
    }
    engine.write(ops)?;
    engine.flush()?;
    Ok(state)
}

/// Makes `own` the only member and voter, in one batch, and flushes. The others count as removed, so that they never come back under
/// their ids.
///
/// # Errors
/// [`OpenError`].
pub fn become_sole_member<E: Engine>(engine: &E, own: u64) -> Result<(), OpenError> {
    let snapshot = engine.snapshot();
    let mut ops = Vec::new();
    let mut scan = snapshot.scan(Family::Meta, &[meta::MEMBER], Some(&[meta::MEMBER + 1]), Direction::Forward);
    while let Some((key, _)) = scan.next()? {
        if key == &member_key(own)[..] {
            continue;
        }
        ops.push(Op::Delete { family: Family::Meta, key: Bytes::copy_from_slice(key) });
        let removed: Bytes = [&[meta::REMOVED], &key[1..]].concat().into();
        ops.push(Op::Put { family: Family::Meta, key: removed, value: Bytes::new() });
    }
    if snapshot.get(Family::Meta, &member_key(own))?.is_none() {
        let row = MemberRow::default().encode_to_vec().into();
        ops.push(Op::Put { family: Family::Meta, key: member_key(own), value: row });
    }
    let removed: Bytes = [&[meta::REMOVED], &own.to_be_bytes()[..]].concat().into();
    ops.push(Op::Delete { family: Family::Meta, key: removed });
    let conf_state = ConfState { voters: vec![own], ..ConfState::default() };
    let value = encode_conf_state(&conf_state);
    ops.push(Op::Put { family: Family::Meta, key: Bytes::from_static(meta::CONF_STATE), value });
    engine.write(ops)?;
    Ok(engine.flush()?)
}

#[cfg(test)]
mod tests {
    use super::super::MemberIds;
    use super::*;
    use crate::engine::sim::SimEngine;
    use raft::LogId;

    fn bootstrap(cluster_id: u64, members: &[u64]) -> Bootstrap {
        let row = |id: &u64| (*id, MemberRow { peer_urls: vec![format!("http://m{id}:1")], ..Default::default() });
        Bootstrap {
            identity: MemberIds { cluster_id, member_id: members[0] },
            applied: LogId { term: 1, index: members.len() as u64 },
            conf_state: ConfState { voters: members.to_vec(), ..ConfState::default() },
            members: members.iter().map(row).collect(),
        }
    }

    #[test]
    fn a_store_moves_into_another_cluster() {
        let engine = Arc::new(SimEngine::new());
        super::super::bootstrap(engine.as_ref(), &bootstrap(1, &[7, 8, 9])).unwrap();
        let removed = Op::Put {
            family: Family::Meta,
            key: vec![meta::REMOVED, 0, 0, 0, 0, 0, 0, 0, 4].into(),
            value: Bytes::new(),
        };
        engine.write(vec![removed]).unwrap();
        let state = rehome(&engine, &bootstrap(2, &[5, 6]), 0).unwrap();
        assert_eq!((state.revision, state.compact, state.applied), (1, -1, LogId { term: 1, index: 2 }));
        let again = StateMachine::open(engine.clone()).unwrap();
        assert_eq!(again.identity(), MemberIds { cluster_id: 2, member_id: 5 });
        assert_eq!(again.conf_state().voters, [5, 6]);
        assert_eq!(again.members().unwrap(), bootstrap(2, &[5, 6]).members);
        assert!(again.removed_members().unwrap().is_empty());
        drop(again);
        let state = rehome(&engine, &bootstrap(3, &[1]), 1000).unwrap();
        assert_eq!((state.revision, state.compact, state.compact_done), (1001, 1001, -1));
        assert_eq!(StateMachine::open(engine).unwrap().state(), state);
    }
}
