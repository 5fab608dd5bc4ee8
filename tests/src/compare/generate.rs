//! The random stream of steps: few keys, nasty ones, revisions at the edges.
//!
//! Must never look at a server or at the specification: the same seed gives the same steps.

use super::chance::Chance;
use super::generate_txn::txn;
use super::keys::KEYS;
use super::place::{COMPACTED, CURRENT, MOD_OF, WATCHER};
use super::requests::{LEASES, delete, key, lease, near, put, range, range_end};
use super::step::{Action, Step};
use crate::spec::Op;
use api::etcdserverpb::{
    CompactionRequest, LeaseGrantRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest, RangeRequest, WatchCreateRequest,
};

/// Watch streams that are open during a run.
pub const STREAMS: usize = 3;

/// Most KV requests that run together.
const WIDEST: usize = 28;

/// Steps between two restarts, on average.
const RARELY: usize = 2000;

/// The steps of an epoch.
pub fn steps(seed: u64, epoch: u64, count: usize) -> Vec<Step> {
    let mut chance = Chance::new(seed ^ epoch.wrapping_mul(0x517c_c1b7_2722_0a95));
    // the first numbers of neighbouring seeds are alike
    chance.draw();
    let mut steps: Vec<Step> = Vec::with_capacity(count);
    let mut room = 0_usize;
    while steps.len() < count {
        if chance.below(RARELY) == 0 {
            steps.extend(restart(&mut chance));
        }
        let mut step = Step { action: action(&mut chance), together: false };
        if step.may_join() && room > 0 {
            step.together = steps.last().is_some_and(Step::may_join);
            room -= 1;
        } else {
            room = if chance.percent(15) { 0 } else { chance.below(WIDEST) };
        }
        steps.push(step);
    }
    // a lease that ends by itself takes seconds
    if epoch.is_multiple_of(8) && count >= 1000 {
        steps.push(Step { action: Action::Expire(77), together: false });
    }
    steps
}

/// A restart, often behind a compaction, and clients that come back: they read on where they were, and ask how far they are.
fn restart(chance: &mut Chance) -> Vec<Step> {
    let mut actions = Vec::new();
    if chance.percent(60) {
        let request = CompactionRequest { revision: compaction(chance), physical: true };
        actions.push(Action::Call(Op::Compact(request)));
    }
    actions.push(Action::Restart);
    for _ in 0..2 + chance.below(8) {
        let stream = chance.below(STREAMS);
        actions.push(Action::Watch(stream, WatchCreateRequest { start_revision: past(chance), ..watch(chance) }));
        if chance.percent(30) {
            actions.push(Action::Progress { stream, patient: false });
        }
    }
    actions.into_iter().map(|action| Step { action, together: false }).collect()
}

fn past(chance: &mut Chance) -> i64 {
    match chance.weighted(&[50, 40, 10]) {
        0 => COMPACTED + chance.pick(&[0, 0, 1, 1, -1, 2, 5]),
        1 => CURRENT + chance.pick(&[0, -1, -2, -7, -40, -200]),
        _ => MOD_OF + chance.below(KEYS.len()) as i64,
    }
}

fn action(chance: &mut Chance) -> Action {
    let call = Action::Call;
    match chance.weighted(&[280, 35, 300, 85, 230, 10, 14, 9, 8, 14, 4, 16, 9, 8, 1, 1]) {
        0 => call(Op::Range(range(chance))),
        1 => call(Op::Stream(stream_range(chance))),
        2 => call(Op::Put(put(chance))),
        3 => call(Op::Delete(delete(chance))),
        4 => call(Op::Txn(txn(chance))),
        5 => call(Op::Compact(CompactionRequest { revision: compaction(chance), physical: chance.percent(30) })),
        6 => call(Op::Grant(LeaseGrantRequest { ttl: ttl(chance), id: chance.pick(&LEASES) })),
        7 => call(Op::Revoke(LeaseRevokeRequest { id: lease(chance) })),
        8 => call(Op::KeepAlive(lease(chance))),
        9 => call(Op::TimeToLive(LeaseTimeToLiveRequest { id: lease(chance), keys: chance.percent(75) })),
        10 => call(Op::Leases),
        11 => Action::Watch(chance.below(STREAMS), watch(chance)),
        12 => Action::Cancel { stream: chance.below(STREAMS), id: watcher(chance), patient: chance.percent(85) },
        13 => Action::Progress { stream: chance.below(STREAMS), patient: chance.percent(25) },
        14 => Action::Reopen(chance.below(STREAMS)),
        _ => Action::Settle,
    }
}

fn stream_range(chance: &mut Chance) -> RangeRequest {
    let mut request = range(chance);
    // most orders and filters are refused
    if chance.percent(80) {
        (request.sort_order, request.sort_target) = (chance.pick(&[0, 0, 1]), 0);
        (request.min_mod_revision, request.max_mod_revision) = (0, 0);
        (request.min_create_revision, request.max_create_revision) = (0, 0);
    }
    request
}

fn compaction(chance: &mut Chance) -> i64 {
    match chance.weighted(&[60, 25, 10, 5]) {
        0 => CURRENT + near(chance),
        1 => MOD_OF + chance.below(KEYS.len()) as i64,
        2 => COMPACTED + near(chance),
        _ => chance.pick(&[0, -1, i64::MAX, i64::MIN]),
    }
}

/// Long ones do not end during a run; a short one is revoked at once.
fn ttl(chance: &mut Chance) -> i64 {
    chance.pick(&[3600, 7200, 100_000, 9_000_000_000, 9_000_000_001, i64::MAX, 0, 1, -3, i64::MIN])
}

fn watch(chance: &mut Chance) -> WatchCreateRequest {
    let key = key(chance);
    let mut request = WatchCreateRequest { range_end: range_end(chance, &key), key, ..WatchCreateRequest::default() };
    request.start_revision = match chance.weighted(&[40, 25, 22, 6, 3, 4]) {
        0 => 0,
        1 => CURRENT + chance.pick(&[0, -1, -2, -7, -40, 1, 2, 10]),
        2 => COMPACTED + chance.pick(&[0, 0, 1, 1, -1, 2, 5]),
        3 => MOD_OF + chance.below(KEYS.len()) as i64,
        4 => chance.pick(&[1, -1, i64::MIN]),
        _ => CURRENT + 40,
    };
    request.prev_kv = chance.percent(45);
    request.progress_notify = chance.percent(30);
    request.fragment = chance.percent(20);
    if chance.percent(20) {
        request.filters = chance.pick(&[vec![0], vec![1], vec![0, 1], vec![1, 1], vec![2]]);
    }
    if chance.percent(25) {
        request.watch_id = chance.pick(&[1, 2, 3, 5, 8, 1000, -7, i64::MAX]);
    }
    request
}

fn watcher(chance: &mut Chance) -> i64 {
    if chance.percent(88) { WATCHER + chance.below(12) as i64 } else { chance.pick(&[0, 1, 4, 5, 77, -7, -9]) }
}
