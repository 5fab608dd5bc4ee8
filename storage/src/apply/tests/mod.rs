//! Tests of the apply state machine: rules one by one, and random histories against a naive model.
//!
//! Must never build rows by hand: what is checked is what entries do.

mod answers;
mod auth;
mod checked;
mod chunks;
mod cut;
mod leases;
mod members;
mod model;
pub(crate) mod random;
mod replay;
mod rocks;
mod rules;
mod speed;
mod v2;

use super::{Bootstrap, Committed, MemberIds, MemberRow, Report, StateMachine};
use crate::engine::sim::{SimEngine, SimSnapshot};
use crate::engine::{Direction, Engine, Family, Scan, Snapshot};
use crate::schema::meta;
use ::model::request::*;
use ::model::{Applied, ApplyError, Command, Envelope, KeyValue, OpOutcome, Origin, Outcome};
use bytes::Bytes;
use prost::Message;
use raft::{ConfState, Entry, EntryKind, LogId};
use std::sync::Arc;

pub(super) type Row = (Family, Bytes, Bytes);

/// All rows that are replicated state: everything but the counts, whose cuts are a member's own affair.
pub(super) fn dump<E: Engine>(engine: &E) -> Vec<Row> {
    let snapshot = engine.snapshot();
    let mut rows = Vec::new();
    for family in Family::ALL.into_iter().filter(|f| *f != Family::Cnt) {
        let mut scan = snapshot.scan(family, &[], None, Direction::Forward);
        while let Some((key, value)) = scan.next().expect("the engine reads") {
            rows.push((family, Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        }
    }
    rows
}

pub(crate) fn first() -> Bootstrap {
    let member = MemberRow { peer_urls: vec!["http://a:2380".into()], ..Default::default() };
    Bootstrap {
        identity: MemberIds { cluster_id: 7, member_id: 1 },
        applied: LogId::default(),
        conf_state: ConfState { voters: vec![1], ..Default::default() },
        members: vec![(1, member)],
    }
}

pub(crate) fn entry(index: u64, term: u64, command: Command) -> Committed {
    scoped(index, term, 0, command)
}

/// An entry whose command counts in one term only.
pub(super) fn scoped(index: u64, term: u64, only_in_term: u64, command: Command) -> Committed {
    let origin = Origin { member: 1, epoch: 2, sequence: index };
    let data = Envelope { origin, only_in_term, command: command.encode(index) }.encode();
    Committed { entry: Entry { term, index, kind: EntryKind::Normal, data } }
}

/// A store of one test.
pub(crate) struct Node {
    pub(crate) engine: Arc<SimEngine>,
    pub(crate) applier: StateMachine<SimEngine>,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self::with_chunks(super::CHUNK_BYTES)
    }

    pub(super) fn with_chunks(bytes: usize) -> Self {
        let engine = Arc::new(SimEngine::new());
        super::bootstrap(engine.as_ref(), &first()).expect("an empty engine can be bootstrapped");
        Self::open(engine, bytes)
    }

    pub(super) fn open(engine: Arc<SimEngine>, chunk_bytes: usize) -> Self {
        let applier = StateMachine::open_with(engine.clone(), chunk_bytes).expect("the store opens");
        Self { engine, applier }
    }

    /// Applies one command in an entry of its own.
    pub(crate) fn run(&mut self, command: Command) -> Applied {
        self.report(command).1
    }

    pub(super) fn report(&mut self, command: Command) -> (Report<SimSnapshot>, Applied) {
        let next = self.applier.applied().index + 1;
        let mut report = self.applier.apply(&[entry(next, 1, command)]).expect("the entry applies");
        let (origin, applied) = report.replies.remove(0).expect("a command has an answer");
        assert_eq!(origin.sequence, next);
        (report, applied)
    }

    pub(super) fn ok(&mut self, command: Command) -> (i64, OpOutcome) {
        let applied = self.run(command);
        match applied.result {
            Ok(Outcome::Op(op)) => (applied.revision, op),
            other => panic!("not the outcome of an operation: {other:?}"),
        }
    }

    pub(super) fn refused(&mut self, command: Command) -> ApplyError {
        let before = self.applier.revision();
        let rows = dump(self.engine.as_ref());
        let applied = self.run(command);
        assert_eq!(applied.revision, before, "a refused command leaves the revision");
        let now = dump(self.engine.as_ref());
        // its place in the log is noted all the same
        let is_place = |row: &[u8]| [meta::APPLIED, meta::RUNNING_HASH].contains(&row);
        let effects = |rows: &[Row]| -> Vec<Row> { rows.iter().filter(|row| !is_place(&row.1)).cloned().collect() };
        assert!(effects(&rows) == effects(&now), "a refused command leaves rows");
        applied.result.expect_err("refused")
    }

    pub(super) fn put(&mut self, key: &'static str, value: &'static str) -> i64 {
        self.ok(put(key, value)).0
    }

    /// The present value of a key.
    pub(super) fn get(&mut self, key: &'static str) -> Option<KeyValue> {
        let range = RangeRequest { key: key.into(), ..Default::default() };
        let view = self.applier.view();
        let outcome = crate::read::range(&view, &range).expect("the store reads");
        outcome.kvs.first().map(kv)
    }
}

pub(super) fn kv(encoded: &Bytes) -> KeyValue {
    KeyValue::decode(encoded.clone()).expect("stored key-values decode")
}

pub(crate) fn put(key: &'static str, value: &'static str) -> Command {
    Command::Put(put_request(key, value))
}

pub(super) fn put_request(key: &'static str, value: &'static str) -> PutRequest {
    PutRequest { key: key.into(), value: value.into(), ..Default::default() }
}

pub(crate) fn delete(key: &'static str, end: &'static str) -> Command {
    Command::DeleteRange(DeleteRangeRequest { key: key.into(), range_end: end.into(), prev_kv: true })
}

pub(crate) fn grant(id: i64) -> Command {
    Command::LeaseGrant(LeaseGrantRequest { id, ttl: 10 })
}

pub(super) fn revoke(id: i64) -> Command {
    Command::LeaseRevoke(LeaseRevokeRequest { id })
}

pub(crate) fn compact(revision: i64) -> Command {
    Command::Compaction(CompactionRequest { revision, physical: false })
}

pub(super) fn op(request: RequestUnion) -> RequestOp {
    RequestOp { request: Some(request) }
}

pub(super) fn txn(compare: Vec<Compare>, success: Vec<RequestUnion>, failure: Vec<RequestUnion>) -> TxnRequest {
    let ops = |list: Vec<RequestUnion>| list.into_iter().map(op).collect();
    TxnRequest { compare, success: ops(success), failure: ops(failure) }
}
