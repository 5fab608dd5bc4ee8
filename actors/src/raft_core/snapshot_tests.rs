//! Snapshots as the core's shell deals with them: the order of what it asks for, what it keeps meanwhile, and what it installs.

use super::testing::{Bench, bench, bench_with};
use crate::wiring::advance::{Advance, Durable};
use crate::wiring::snapshots::{SendSnapshot, SnapshotNotice, SnapshotStaged, StagedStore, ToSnapshotter};
use crate::wiring::wal::ToWal;
use crossbeam_channel::{Receiver, bounded};
use messages::RequestError;
use raft::message::Append;
use raft::{Body, ConfState, Entry, EntryKind, ProgressState, Role, Snapshot, SnapshotMeta, Storage};
use std::sync::atomic::Ordering::Acquire;

fn meta(index: u64, term: u64) -> SnapshotMeta {
    SnapshotMeta { conf_state: ConfState { voters: vec![1, 2, 3], ..ConfState::default() }, index, term }
}

/// Leads, with entries in the log that member 3 lacks and that are durable in the store.
fn leader() -> Bench {
    let mut bench = bench_with(3, |config| config.catch_up_entries = 0);
    bench.lead();
    grow(&mut bench, 20);
    bench
}

fn grow(bench: &mut Bench, entries: u64) {
    for token in 0..entries {
        bench.propose(token);
        bench.persist();
        bench.acknowledge();
        bench.apply();
    }
}

/// The store holds everything that is applied for good; what the log is told to let go.
fn durable(bench: &mut Bench) -> Option<u64> {
    let index = bench.core.node().applied();
    bench.inner.durable(Advance::Durable(Durable { index }));
    bench.core.round();
    let released = bench.wal.try_iter().filter_map(|message| match message {
        ToWal::Release { to } => Some(to.index),
        _ => None,
    });
    released.last()
}

/// Member 3 is heard, and its log is found not to be reached.
fn hear_of_lagging_follower(bench: &mut Bench) {
    let next = bench.core.node().progress().and_then(|p| p.get(3)).expect("a member").next;
    bench.hear(3, Body::AppendRejected { index: next - 1, hint_index: 3, hint_term: 1 });
    bench.hear(3, Body::HeartbeatAck { read_round: 0 });
}

/// A checkpoint was asked for, and is made now.
fn build(bench: &mut Bench) -> SnapshotMeta {
    let orders = bench.snapshot_orders();
    let [ToSnapshotter::Build { checkpoint }] = orders[..] else { panic!("{orders:?}") };
    let node = bench.core.node();
    let meta = meta(node.applied(), node.term());
    bench.inner.snapshot(SnapshotNotice::Built { checkpoint, meta: Some(meta.clone()) });
    bench.core.round();
    meta
}

fn state_of_3(bench: &Bench) -> ProgressState {
    bench.core.node().progress().and_then(|p| p.get(3)).expect("a member").state
}

#[test]
fn a_follower_that_the_log_does_not_reach_is_sent_a_checkpoint_and_raft_hears_only_of_its_delivery() {
    let mut bench = leader();
    assert!(durable(&mut bench).is_some());
    hear_of_lagging_follower(&mut bench);
    let meta = build(&mut bench);
    bench.sent();
    bench.hear(3, Body::HeartbeatAck { read_round: 0 });
    let orders = bench.snapshot_orders();
    let [ToSnapshotter::Send(SendSnapshot { to: 3, term, .. })] = orders[..] else { panic!("{orders:?}") };
    assert_eq!(term, bench.core.node().term());
    assert!(!bench.sent().iter().any(|m| matches!(m.body, Body::Snapshot(_))), "it never travels alone");
    assert_eq!(state_of_3(&bench), ProgressState::Snapshot { pending: meta.index });

    // whatever the store makes durable meanwhile, the follower needs the log behind its snapshot
    grow(&mut bench, 10);
    assert!(durable(&mut bench).is_none_or(|released| released <= meta.index));
    assert_eq!(bench.core.node().storage().first_index(), meta.index + 1);

    bench.inner.snapshot(SnapshotNotice::Sent { to: 3, delivered: true });
    bench.core.round();
    assert_eq!(state_of_3(&bench), ProgressState::Probe);
    bench.hear(3, Body::AppendAccepted { index: meta.index });
    let append = bench.sent().into_iter().find_map(|m| match m.body {
        Body::Append(append) if m.to == 3 && !append.entries.is_empty() => Some(append),
        _ => None,
    });
    assert_eq!(append.expect("the log goes on").prev_index, meta.index);
}

#[test]
fn the_log_goes_when_the_follower_has_caught_up() {
    let mut bench = leader();
    durable(&mut bench);
    hear_of_lagging_follower(&mut bench);
    let meta = build(&mut bench);
    bench.hear(3, Body::HeartbeatAck { read_round: 0 });
    bench.inner.snapshot(SnapshotNotice::Sent { to: 3, delivered: true });
    bench.core.round();
    grow(&mut bench, 200);
    for _ in 0..60 {
        bench.tick(1);
        bench.hear(2, Body::HeartbeatAck { read_round: 0 });
    }
    assert!(durable(&mut bench).is_none_or(|released| released <= meta.index), "it is still far behind");
    let last = bench.core.node().last_index();
    bench.hear(3, Body::AppendAccepted { index: last });
    bench.tick(1);
    assert_eq!(durable(&mut bench), Some(last));
}

#[test]
fn a_failed_transfer_is_told_to_raft_and_begun_again_later() {
    let mut bench = leader();
    durable(&mut bench);
    hear_of_lagging_follower(&mut bench);
    build(&mut bench);
    bench.hear(3, Body::HeartbeatAck { read_round: 0 });
    assert_eq!(bench.snapshot_orders().len(), 1);
    bench.inner.snapshot(SnapshotNotice::Sent { to: 3, delivered: false });
    bench.core.round();
    bench.hear(3, Body::HeartbeatAck { read_round: 0 });
    assert!(bench.snapshot_orders().is_empty(), "not at once");
    for _ in 0..bench.core.node().config().election_tick {
        bench.tick(1);
        bench.hear(2, Body::HeartbeatAck { read_round: 0 });
    }
    bench.hear(3, Body::HeartbeatAck { read_round: 0 });
    assert!(matches!(bench.snapshot_orders()[..], [ToSnapshotter::Send(SendSnapshot { to: 3, .. })]));
}

#[test]
fn who_ceases_to_lead_ends_its_transfers() {
    let mut bench = leader();
    durable(&mut bench);
    hear_of_lagging_follower(&mut bench);
    build(&mut bench);
    bench.hear(3, Body::HeartbeatAck { read_round: 0 });
    bench.snapshot_orders();
    bench.hear_in(2, 9, Body::Heartbeat { commit: 3, read_round: 0 });
    let orders = bench.snapshot_orders();
    assert!(matches!(orders[..], [ToSnapshotter::Cancel { to: 3 }, ToSnapshotter::Forget { .. }]), "{orders:?}");
}

/// A store at this place is handed to the core.
fn stage(bench: &mut Bench, meta: &SnapshotMeta) -> Receiver<bool> {
    let (stepped, told) = bounded(1);
    let staged = StagedStore {
        hash: None,
        meta: meta.clone(),
        name: "store-0000000000000032".into(),
        store: Box::new(()),
        membership: Default::default(),
    };
    let message = SnapshotStaged { from: 2, term: 2, staged, stepped };
    assert!(bench.inner.staged(message).is_ok(), "room for one");
    bench.core.round();
    told
}

#[test]
fn a_store_that_was_received_is_installed_and_what_it_covers_is_answered_as_unknown() {
    let mut bench = bench(3);
    bench.lead();
    bench.propose(1);
    bench.persist();
    bench.hear_in(2, 9, Body::Heartbeat { commit: 3, read_round: 0 });
    assert_eq!(bench.core.node().role(), Role::Follower);
    bench.persist();
    bench.answers();
    let (stepped, told) = bounded(1);
    let meta = meta(50, 8);
    let staged = StagedStore {
        hash: None,
        meta: meta.clone(),
        name: "store-0000000000000032".into(),
        store: Box::new(()),
        membership: Default::default(),
    };
    assert!(bench.inner.staged(SnapshotStaged { from: 2, term: 9, staged, stepped }).is_ok());
    bench.core.round();
    assert!(told.try_recv().expect("raft was told"));
    let append = bench.wal.try_iter().find_map(|message| match message {
        ToWal::Append(batch) if batch.install.is_some() => Some(batch),
        _ => None,
    });
    let append = append.expect("an install");
    assert_eq!(append.install.as_ref().map(|staged| staged.meta.index), Some(50));
    assert!(
        append.release.iter().any(|m| m.body == Body::AppendAccepted { index: 50 }),
        "acknowledged when it is done"
    );
    assert_eq!(bench.answers(), [(1, Some(RequestError::Timeout))]);
    assert!(bench.core.node().applied() < 50, "not before the applier has it");
    assert!(bench.snapshot_orders().is_empty());
    // entries go on behind it at once
    let entries = vec![Entry { term: 9, index: 51, kind: EntryKind::Normal, data: Default::default() }];
    bench.hear_in(2, 9, Body::Append(Append { prev_index: 50, prev_term: 8, commit: 51, entries }));
    assert!(bench.apply().is_empty(), "nothing is applied to the old store any more");
    bench.persisted(append.sequence);
    assert_eq!(bench.core.gauges().applied.load(Acquire), 50);
    bench.persist();
    assert_eq!(bench.apply()[0].entries[0].entry.index, 51);
}

#[test]
fn a_store_that_raft_does_not_need_is_removed() {
    let mut bench = bench(3);
    bench.follow();
    let told = stage(&mut bench, &meta(2, 1));
    assert!(told.try_recv().expect("raft was told"));
    assert!(matches!(bench.snapshot_orders()[..], [ToSnapshotter::Discard(_)]));
    // a membership without this member is no use either
    let stranger = SnapshotMeta { conf_state: ConfState { voters: vec![2, 3], ..ConfState::default() }, ..meta(50, 2) };
    stage(&mut bench, &stranger);
    assert!(matches!(bench.snapshot_orders()[..], [ToSnapshotter::Discard(_)]));
}

#[test]
fn one_store_is_installed_at_a_time() {
    let mut bench = bench(3);
    bench.follow();
    assert!(stage(&mut bench, &meta(50, 2)).try_recv().expect("raft was told"));
    assert!(!stage(&mut bench, &meta(60, 2)).try_recv().expect("it has to wait"));
    assert!(matches!(bench.snapshot_orders()[..], [ToSnapshotter::Discard(_)]));
}

#[test]
fn an_announcement_without_its_store_is_refused() {
    let mut bench = bench(3);
    bench.follow();
    let snapshot = Snapshot { meta: meta(50, 2), data: Default::default() };
    bench.hear(2, Body::Snapshot(Box::new(snapshot)));
    assert!(bench.core.node().committed() < 50);
    // one of what is there already is only answered
    let snapshot = Snapshot { meta: meta(3, 1), data: Default::default() };
    bench.hear(2, Body::Snapshot(Box::new(snapshot)));
    let answers: Vec<_> = bench.persist().into_iter().flat_map(|batch| batch.release).map(|m| m.body).collect();
    assert_eq!(answers, [Body::AppendAccepted { index: 3 }]);
}

#[test]
fn a_member_that_joins_with_nothing_takes_a_snapshot() {
    let mut bench = bench_joining();
    bench.hear_in(2, 2, Body::Append(Append { prev_index: 70, prev_term: 2, commit: 70, entries: Vec::new() }));
    let answers: Vec<_> = bench.persist().into_iter().flat_map(|batch| batch.release).map(|m| m.body).collect();
    assert!(matches!(answers[..], [Body::AppendRejected { hint_index: 0, .. }]), "{answers:?}");
    let told = stage(&mut bench, &meta(50, 2));
    assert!(told.try_recv().expect("raft was told"));
    let appends = bench.persist();
    assert_eq!(appends[0].install.as_ref().map(|staged| staged.meta.index), Some(50));
    assert_eq!(bench.core.gauges().applied.load(Acquire), 50);
    assert_eq!(bench.core.node().membership().voters, [1, 2, 3]);
}

fn bench_joining() -> Bench {
    super::testing::bench_of(raft::LogId::default(), ConfState::default(), |_| {})
}
