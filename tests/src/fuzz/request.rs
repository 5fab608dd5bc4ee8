//! Protobuf of a client to what it does: decoded, through the checked door, and then trusted by the store. A write that passed is
//! applied, a read is answered whole and in chunks alike, and the log tells the same events as the apply did.

use super::entry::commands;
use api::etcdserverpb as pb;
use bytes::Bytes;
use model::request::{
    AlarmRequest, CompactionRequest, DeleteRangeRequest, LeaseCheckpointRequest, LeaseGrantRequest, LeaseRevokeRequest,
    PutRequest, RangeRequest, TxnRequest,
};
use model::{Command, Envelope, Origin, Revision};
use net::services::check;
use prost::Message;
use raft::{ConfState, Entry, EntryKind, LogId};
use std::fmt::Debug;
use std::sync::{Arc, OnceLock};
use storage::apply::{Bootstrap, Committed, CompactionProgress, MemberIds, MemberRow, StateMachine};
use storage::engine::Engine;
use storage::engine::sim::{SimEngine, SimSnapshot};
use storage::read::events::EventsBudget;
use storage::read::{Budget, RangeCursor, measure};
use storage::read::{events::events, hash::hash_kv, range, txn::read_txn};
use storage::view::View;

const MAX_OPS: usize = 128;

fn apply(store: &mut StateMachine<SimEngine>, command: Command) {
    let index = store.applied().index + 1;
    let before = store.view().status.revision;
    let origin = Origin { member: 1, epoch: 2, sequence: index };
    let data = Envelope { origin, only_in_term: 0, command: command.encode(index) }.encode();
    let entry = Entry { term: 1, index, kind: EntryKind::Normal, data };
    let report = store.apply(&[Committed { entry }]).expect("what passed the door applies");
    assert_eq!(report.replies.len(), 1);
    if report.unlisted.is_empty() {
        let told: Vec<_> = report.events.iter().map(|e| (e.revision, e.key.clone(), e.kv.clone())).collect();
        assert_eq!(logged(&report.view, before), told, "the log says something else");
    }
}

/// What the log holds behind a revision.
fn logged(view: &View<SimSnapshot>, behind: i64) -> Vec<(Revision, Bytes, Bytes)> {
    let mut from = Revision::new(behind + 1, 0);
    let mut out = Vec::new();
    loop {
        let budget = EventsBudget { bytes: 200, scanned: 500 };
        let chunk = events(view, from, view.status.revision, |_| true, budget).expect("the log reads");
        let found = chunk.revisions.into_iter().flat_map(|r| r.events);
        out.extend(found.map(|e| (e.revision, e.key, e.kv)));
        if chunk.next.main > view.status.revision {
            return out;
        }
        assert!(chunk.next > from, "a read gets further");
        from = chunk.next;
    }
}

/// A small store with a past: keys, versions, deletes, a lease, a compaction.
pub(super) fn prepared() -> SimEngine {
    static PREPARED: OnceLock<SimEngine> = OnceLock::new();
    let made = PREPARED.get_or_init(|| {
        let engine = Arc::new(SimEngine::new());
        let member = MemberRow { peer_urls: vec!["http://a:2380".into()], ..MemberRow::default() };
        let first = Bootstrap {
            identity: MemberIds { cluster_id: 7, member_id: 1 },
            applied: LogId::default(),
            conf_state: ConfState { voters: vec![1], ..ConfState::default() },
            members: vec![(1, member)],
        };
        let mut store = StateMachine::bootstrap(engine.clone(), &first).expect("a new store");
        apply(&mut store, Command::LeaseGrant(LeaseGrantRequest { ttl: 60, id: 5 }));
        for (i, key) in ["a", "b", "c", "a", "key", "b", "d"].into_iter().enumerate() {
            apply(&mut store, Command::Put(crate::request::put(key, format!("{i}").repeat(i * 200))));
        }
        for command in commands() {
            if !matches!(command, Command::LeaseGrant(_) | Command::LeaseRevoke(_) | Command::DeleteRange(_)) {
                apply(&mut store, command);
            }
        }
        while store.compaction_step(2).expect("a step") != CompactionProgress::Idle {}
        engine.flush().expect("flush");
        drop(store);
        engine.as_ref().clone()
    });
    made.crash()
}

/// First byte: which request; the rest is its protobuf.
pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let body = Bytes::copy_from_slice(rest);
    match kind % 11 {
        0 => with::<RangeRequest>(body, |request| {
            if check::range(&request).is_ok() {
                read(&store().view(), &request);
            }
            let _ = check::range_stream(&request);
        }),
        1 => with::<PutRequest>(body, |request| {
            if check::put(&request).is_ok() {
                assert!(check::put_cost(&request) > 0);
                write(Command::Put(request));
            }
        }),
        2 => with::<DeleteRangeRequest>(body, |request| {
            if check::delete_range(&request).is_ok() {
                write(Command::DeleteRange(request));
            }
        }),
        3 => with::<TxnRequest>(body, |request| {
            if check::txn(&request, MAX_OPS).is_ok() {
                txn(request);
            }
        }),
        4 => with::<CompactionRequest>(body, |request| write(Command::Compaction(request))),
        5 => with::<LeaseGrantRequest>(body, |request| write(Command::LeaseGrant(request))),
        6 => with::<LeaseRevokeRequest>(body, |request| write(Command::LeaseRevoke(request))),
        7 => with::<LeaseCheckpointRequest>(body, |request| write(Command::LeaseCheckpoint(request))),
        8 => with::<AlarmRequest>(body, |request| write(Command::Alarm(request))),
        9 => with::<pb::HashKvRequest>(body, |request| {
            let _ = hash_kv(&store().view(), request.revision);
        }),
        _ => every_other(&body),
    }
}

fn with<R: Message + Default + PartialEq + Debug>(body: Bytes, then: impl FnOnce(R)) {
    if let Ok(request) = R::decode(body) {
        assert_eq!(R::decode(&request.encode_to_vec()[..]).as_ref(), Ok(&request), "its own bytes decode to it");
        then(request);
    }
}

/// Requests that have no rule of their own at the door.
fn every_other(body: &Bytes) {
    with::<pb::WatchRequest>(body.clone(), drop);
    with::<pb::LeaseKeepAliveRequest>(body.clone(), drop);
    with::<pb::LeaseTimeToLiveRequest>(body.clone(), drop);
    with::<pb::MoveLeaderRequest>(body.clone(), drop);
    with::<pb::DowngradeRequest>(body.clone(), drop);
    with::<pb::MemberAddRequest>(body.clone(), drop);
    with::<pb::MemberUpdateRequest>(body.clone(), drop);
    with::<pb::AuthUserAddRequest>(body.clone(), drop);
    with::<pb::AuthRoleGrantPermissionRequest>(body.clone(), drop);
}

fn store() -> StateMachine<SimEngine> {
    StateMachine::open(Arc::new(prepared())).expect("the prepared store opens")
}

fn write(command: Command) {
    let mut store = store();
    apply(&mut store, command);
    for _ in 0..100 {
        if store.compaction_step(3).expect("a step") == CompactionProgress::Idle {
            break;
        }
    }
    let view = store.view();
    hash_kv(&view, 0).expect("the store hashes");
    read(&view, &crate::request::all());
}

fn txn(request: TxnRequest) {
    let _ = (check::txn_cost(&request), check::is_small(&request), check::is_serializable(&request));
    if check::is_read_only(&request) {
        let _ = read_txn(&store().view(), &request, usize::MAX);
    } else {
        write(Command::Txn(request));
    }
}

/// Whole, measured and in chunks: one answer.
fn read(view: &View<SimSnapshot>, request: &RangeRequest) {
    let whole = range(view, request);
    let measured = measure(view, request);
    let cursor = RangeCursor::new(view, request);
    let (whole, measured, mut cursor) = match (whole, measured, cursor) {
        (Ok(whole), Ok(measured), Ok(cursor)) => (whole, measured, cursor),
        (Err(a), Err(b), Err(c)) => return assert!(a == b && b == c, "{a}, {b}, {c}"),
        (whole, measured, cursor) => panic!("{whole:?}, {measured:?}, {:?}", cursor.map(|_| ())),
    };
    assert_eq!((measured.count, measured.more, measured.kvs), (whole.count, whole.more, whole.kvs.len()));
    let mut kvs = Vec::new();
    loop {
        let chunk = cursor.next_chunk(view, Budget { keys: 2, bytes: 100 }).expect("a chunk");
        kvs.extend(chunk.kvs);
        if chunk.done {
            break;
        }
    }
    assert_eq!(kvs, whole.kvs);
}

pub fn seeds() -> Vec<Vec<u8>> {
    use crate::request::{all, get, prefix};
    let mut out: Vec<Vec<u8>> = Vec::new();
    let mut add = |kind: u8, message: Vec<u8>| out.push([vec![kind], message].concat());
    for request in [
        all(),
        get("a"),
        RangeRequest { revision: 5, limit: 2, ..prefix("k") },
        RangeRequest { sort_order: 2, sort_target: 3, limit: 3, ..all() },
        RangeRequest { min_mod_revision: 3, max_create_revision: 9, keys_only: true, ..all() },
        RangeRequest { count_only: true, revision: 6, ..all() },
    ] {
        add(0, request.encode_to_vec());
    }
    for command in commands() {
        match command {
            Command::Put(r) => add(1, r.encode_to_vec()),
            Command::DeleteRange(r) => add(2, r.encode_to_vec()),
            Command::Txn(r) => add(3, r.encode_to_vec()),
            Command::Compaction(r) => add(4, CompactionRequest { revision: 8, ..r }.encode_to_vec()),
            Command::LeaseGrant(r) => add(5, r.encode_to_vec()),
            Command::LeaseRevoke(r) => add(6, r.encode_to_vec()),
            _ => {}
        }
    }
    add(1, PutRequest { ignore_value: true, ignore_lease: true, ..crate::request::put("a", "") }.encode_to_vec());
    add(3, crate::request::txn(vec![crate::request::range_op(all())]).encode_to_vec());
    add(8, AlarmRequest { action: 1, member_id: 1, alarm: 1 }.encode_to_vec());
    add(9, pb::HashKvRequest { revision: 7 }.encode_to_vec());
    let create = pb::WatchCreateRequest { key: "a".into(), start_revision: 3, ..Default::default() };
    let union = pb::watch_request::RequestUnion::CreateRequest(create);
    add(10, pb::WatchRequest { request_union: Some(union) }.encode_to_vec());
    out
}
