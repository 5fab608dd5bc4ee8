//! Tests of reads: random histories, written by the real writer, against a naive model of all versions; and hashes of a real
//! etcd.
//!
//! Must never build rows by hand: what is checked is what reads make of what the writer writes.

mod chunks;
mod etcd_hashes;
mod hashes;
mod history;
mod leases;
mod log;
mod naive;
mod ranges;
mod requests;
mod rocks;

use super::*;
use crate::apply::{Bootstrap, Committed, MemberIds, MemberRow, StateMachine, bootstrap};
use crate::engine::sim::SimEngine;
use crate::engine::{Engine, Snapshot};
use crate::view::View;
use ::model::request::RangeRequest;
use ::model::{Applied, Command, Envelope, KeyValue, Origin, RangeOutcome, Revision};
use bytes::Bytes;
use naive::Naive;
use prost::Message;
use raft::{ConfState, Entry, EntryKind, LogId};
use std::sync::Arc;

/// A store with the naive model of its history beside it.
struct Store<E: Engine = SimEngine> {
    engine: Arc<E>,
    applier: StateMachine<E>,
    naive: Naive,
}

impl Store {
    fn new() -> Self {
        Self::over(SimEngine::new())
    }
}

impl<E: Engine> Store<E> {
    fn over(engine: E) -> Self {
        let engine = Arc::new(engine);
        let first = Bootstrap {
            identity: MemberIds { cluster_id: 7, member_id: 1 },
            applied: LogId::default(),
            conf_state: ConfState { voters: vec![1], ..Default::default() },
            members: vec![(1, MemberRow { peer_urls: vec!["http://a:2380".into()], ..Default::default() })],
        };
        bootstrap(engine.as_ref(), &first).expect("an empty engine can be bootstrapped");
        let applier = StateMachine::open(engine.clone()).expect("the store opens");
        Self { engine, applier, naive: Naive::new() }
    }

    /// As after a restart: what was only in memory is gone.
    fn reopen(&mut self) {
        self.applier = StateMachine::open(self.engine.clone()).expect("the store opens again");
    }

    /// Applies one command; what it did to keys goes into the naive model.
    fn run(&mut self, command: Command) -> Applied {
        let index = self.applier.applied().index + 1;
        let origin = Origin { member: 1, epoch: 2, sequence: index };
        let data = Envelope { origin, only_in_term: 0, command: command.encode(index) }.encode();
        let entry = Entry { term: 1, index, kind: EntryKind::Normal, data };
        let mut report = self.applier.apply(&[Committed { entry }]).expect("the entry applies");
        for event in report.events {
            self.naive.note(event.revision, event.kind, &event.kv);
        }
        self.naive.revision = report.view.status.revision;
        self.naive.compact = report.view.status.compact_revision;
        report.replies.remove(0).expect("a command has an answer").1
    }

    fn view(&self) -> View<E::Snapshot> {
        self.applier.view()
    }

    /// Deletes what compactions have forgotten: all of it, or one step of `rows` rows.
    fn drop_garbage(&mut self, rows: Option<usize>) {
        loop {
            let progress = self.applier.compaction_step(rows.unwrap_or(3)).expect("the step is written");
            if rows.is_some() || progress == crate::apply::CompactionProgress::Idle {
                return;
            }
        }
    }
}

fn kv(encoded: &Bytes) -> KeyValue {
    KeyValue::decode(encoded.clone()).expect("stored key-values decode")
}
