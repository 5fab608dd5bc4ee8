//! Places: numbers in a request that stand for a revision, lease or watcher of the state the request will meet.
//!
//! With them a step means the same wherever it stands, also after others before it were left out. Must never change a number
//! that is not a place.

use super::keys::KEYS;
use super::step::Action;
use crate::spec::{Op, Spec};
use api::etcdserverpb::{Compare, RangeRequest, RequestOp, RequestUnion, TargetUnion, TxnRequest};

/// The current revision, plus or minus a little.
pub const CURRENT: i64 = 1 << 40;
/// The compact revision, plus or minus a little.
pub const COMPACTED: i64 = 1 << 41;
/// Mod revision of a key, by its index.
pub const MOD_OF: i64 = 1 << 42;
/// Create revision of a key.
pub const CREATE_OF: i64 = 1 << 43;
/// Version of a key.
pub const VERSION_OF: i64 = 1 << 44;
/// A lease that exists, by its index.
pub const LEASE: i64 = 1 << 45;
/// A watcher of the stream, by its index.
pub const WATCHER: i64 = 1 << 46;

/// How far a number may lie from the place it is relative to.
const REACH: i64 = 1 << 20;

fn place_of(number: i64) -> Option<(i64, i64)> {
    let all = [CURRENT, COMPACTED, MOD_OF, CREATE_OF, VERSION_OF, LEASE, WATCHER];
    all.into_iter().find(|place| (number - place).abs() < REACH).map(|place| (place, number - place))
}

/// The number that a place stands for now.
fn number(spec: &Spec, number: i64) -> i64 {
    let Some((place, by)) = place_of(number.clamp(-(1 << 62), 1 << 62)) else { return number };
    let history = &spec.history;
    let of_key = |field: fn(&api::mvccpb::KeyValue) -> i64| {
        let key = KEYS[by.unsigned_abs() as usize % KEYS.len()];
        history.get(key, history.revision).map_or(0, field)
    };
    match place {
        CURRENT => history.revision + by,
        COMPACTED => history.compacted + by,
        MOD_OF => of_key(|kv| kv.mod_revision),
        CREATE_OF => of_key(|kv| kv.create_revision),
        VERSION_OF => of_key(|kv| kv.version),
        LEASE => {
            let ids = spec.leases.ids();
            ids.get(by.unsigned_abs() as usize % ids.len().max(1)).copied().unwrap_or(7)
        }
        _ => number,
    }
}

/// The action with every place filled in. `None` when it must not be done in this state, see the comments. `spare` a server that
/// loses a put when it compacts at a revision in which the key was deleted before, or mixes up watchers.
pub fn fill(spec: &Spec, action: &Action, spare: bool) -> Option<Action> {
    let mut action = action.clone();
    match &mut action {
        Action::Call(op) => fill_op(spec, op, spare),
        Action::Watch(stream, request) => {
            request.start_revision = number(spec, request.start_revision);
            let stream = spec.streams.get(stream)?;
            let id = if request.watch_id == 0 { stream.free_id() } else { request.watch_id };
            // etcd may hand what an earlier watcher of this id left over to the new one
            if spare && stream.left_over.contains(&id) {
                return None;
            }
        }
        Action::Cancel { stream, id, .. } => {
            if let Some((WATCHER, by)) = place_of(*id) {
                let ids: Vec<i64> = spec.streams.get(stream)?.watchers.keys().copied().collect();
                *id = *ids.get(by.unsigned_abs() as usize % ids.len().max(1))?;
            }
        }
        Action::Progress { .. } | Action::Reopen(_) | Action::Settle | Action::Expire(_) | Action::Restart => {}
    }
    Some(action)
}

fn fill_op(spec: &Spec, op: &mut Op, spare: bool) {
    match op {
        Op::Range(request) | Op::Stream(request) => fill_range(spec, request),
        Op::Put(request) => request.lease = number(spec, request.lease),
        Op::Txn(request) => fill_txn(spec, request),
        Op::Compact(request) => {
            request.revision = number(spec, request.revision);
            while spare && spec.history.is_fragile(request.revision) {
                request.revision -= 1;
            }
        }
        Op::Revoke(request) => request.id = number(spec, request.id),
        Op::KeepAlive(id) => *id = number(spec, *id),
        Op::TimeToLive(request) => request.id = number(spec, request.id),
        Op::Delete(_) | Op::Grant(_) | Op::Leases => {}
    }
}

fn fill_range(spec: &Spec, request: &mut RangeRequest) {
    for field in [
        &mut request.revision,
        &mut request.min_mod_revision,
        &mut request.max_mod_revision,
        &mut request.min_create_revision,
        &mut request.max_create_revision,
    ] {
        *field = number(spec, *field);
    }
}

fn fill_txn(spec: &Spec, request: &mut TxnRequest) {
    for compare in &mut request.compare {
        fill_compare(spec, compare);
    }
    for op in request.success.iter_mut().chain(&mut request.failure) {
        fill_request_op(spec, op);
    }
}

fn fill_compare(spec: &Spec, compare: &mut Compare) {
    match &mut compare.target_union {
        Some(
            TargetUnion::Version(n)
            | TargetUnion::CreateRevision(n)
            | TargetUnion::ModRevision(n)
            | TargetUnion::Lease(n),
        ) => *n = number(spec, *n),
        Some(TargetUnion::Value(_)) | None => {}
    }
}

fn fill_request_op(spec: &Spec, op: &mut RequestOp) {
    match &mut op.request {
        Some(RequestUnion::Range(range)) => fill_range(spec, range),
        Some(RequestUnion::Put(put)) => put.lease = number(spec, put.lease),
        Some(RequestUnion::Txn(txn)) => fill_txn(spec, txn),
        Some(RequestUnion::DeleteRange(_)) | None => {}
    }
}
