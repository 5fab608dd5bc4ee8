//! The random stream of steps: few keys, nasty ones, revisions at the edges.
//!
//! Must never look at a server or at the specification: the same seed gives the same steps.

use super::chance::Chance;
use super::generate_txn::txn;
use super::place::{COMPACTED, CREATE_OF, CURRENT, LEASE, MOD_OF, WATCHER};
use super::step::{Action, Step};
use crate::spec::Op;
use api::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest, PutRequest,
    RangeRequest, WatchCreateRequest,
};
use bytes::Bytes;

/// Every key that is written: prefixes of each other, both ends of the byte order, zeros inside.
pub const KEYS: [&[u8]; 20] = [
    b"\x00",
    b"\x00\x00",
    b"a",
    b"a\x00",
    b"a\x00\x00",
    b"aa",
    b"ab",
    b"b",
    b"b\xff",
    b"b\xff\xff",
    b"c",
    b"foo",
    b"foo/",
    b"foo/1",
    b"foo/2",
    b"foo/\xff",
    b"zz",
    b"\xfe",
    b"\xff",
    b"\xff\xff",
];

/// Watch streams that are open during a run.
pub const STREAMS: usize = 3;

/// Most KV requests that run together.
const WIDEST: usize = 28;

/// Leases that requests name; 0 leaves the choice to the server.
const LEASES: [i64; 7] = [1, 2, 3, 0, -3, i64::MAX, i64::MIN];

/// The steps of an epoch.
pub fn steps(seed: u64, epoch: u64, count: usize) -> Vec<Step> {
    let mut chance = Chance::new(seed ^ epoch.wrapping_mul(0x517c_c1b7_2722_0a95));
    // the first numbers of neighbouring seeds are alike
    chance.draw();
    let mut steps: Vec<Step> = Vec::with_capacity(count);
    let mut room = 0_usize;
    while steps.len() < count {
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

pub(super) fn key(chance: &mut Chance) -> Bytes {
    if chance.percent(1) {
        return Bytes::new();
    }
    Bytes::from_static(chance.pick(&KEYS))
}

/// An end of a range that begins at `key`: none, open, of the prefix, of this one key, empty, turned round.
pub(super) fn range_end(chance: &mut Chance, key: &Bytes) -> Bytes {
    match chance.weighted(&[40, 12, 16, 5, 5, 22]) {
        0 => Bytes::new(),
        1 => Bytes::from_static(b"\x00"),
        2 => prefix_end(key),
        3 => [key, &b"\x00"[..]].concat().into(),
        4 => key.clone(),
        _ => Bytes::from_static(chance.pick(&KEYS)),
    }
}

/// The first key behind everything with this prefix, as clients work it out.
fn prefix_end(key: &Bytes) -> Bytes {
    let mut end = key.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end.into();
        }
    }
    Bytes::from_static(b"\x00")
}

fn near(chance: &mut Chance) -> i64 {
    chance.pick(&[0, 0, 0, -1, -1, 1, -2, 2, -5, -30])
}

/// A revision to read at.
pub(super) fn revision(chance: &mut Chance) -> i64 {
    match chance.weighted(&[55, 18, 18, 4, 3, 1, 1]) {
        0 => 0,
        1 => CURRENT + near(chance),
        2 => COMPACTED + near(chance),
        3 => MOD_OF + chance.below(KEYS.len()) as i64,
        4 => chance.pick(&[-1, -2, 1, 2]),
        5 => i64::MAX,
        _ => i64::MIN,
    }
}

fn bound(chance: &mut Chance) -> i64 {
    match chance.weighted(&[35, 35, 20, 10]) {
        0 => CURRENT + near(chance),
        1 => MOD_OF + chance.below(KEYS.len()) as i64,
        2 => CREATE_OF + chance.below(KEYS.len()) as i64,
        _ => chance.pick(&[-1, 1, i64::MAX, i64::MIN]),
    }
}

pub(super) fn range(chance: &mut Chance) -> RangeRequest {
    let key = key(chance);
    let mut request = RangeRequest { range_end: range_end(chance, &key), key, ..RangeRequest::default() };
    request.revision = revision(chance);
    request.serializable = chance.percent(25);
    request.keys_only = chance.percent(12);
    request.count_only = chance.percent(8);
    if chance.percent(35) {
        request.limit = chance.pick(&[1, 1, 2, 3, 5, 10, 11, 19, 20, 21, -1, i64::MAX, i64::MIN]);
    }
    if chance.percent(30) {
        request.sort_order = chance.below(3) as i32;
        request.sort_target = chance.below(5) as i32;
        if chance.percent(2) {
            let wrong = chance.pick(&[-1, 5, 7]);
            if chance.percent(50) { request.sort_order = wrong } else { request.sort_target = wrong }
        }
    }
    if chance.percent(12) {
        for field in [
            &mut request.min_mod_revision,
            &mut request.max_mod_revision,
            &mut request.min_create_revision,
            &mut request.max_create_revision,
        ] {
            if chance.percent(40) {
                *field = bound(chance);
            }
        }
    }
    request
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

pub(super) fn value(chance: &mut Chance) -> Bytes {
    match chance.weighted(&[10, 30, 50, 4]) {
        0 => Bytes::new(),
        1 => Bytes::from_static(chance.pick(&[&b"1"[..], b"2", b"22", b"\x00", b"\xff"])),
        2 => format!("v{:x}", chance.draw() & 0xff_ffff).into(),
        _ => vec![b'x'; 200 + chance.below(3000)].into(),
    }
}

pub(super) fn lease(chance: &mut Chance) -> i64 {
    match chance.weighted(&[60, 38, 2]) {
        0 => LEASE + chance.below(8) as i64,
        1 => chance.pick(&LEASES),
        _ => 999_999,
    }
}

pub(super) fn put(chance: &mut Chance) -> PutRequest {
    let mut request = PutRequest { key: key(chance), prev_kv: chance.percent(25), ..PutRequest::default() };
    request.ignore_value = chance.percent(7);
    request.ignore_lease = chance.percent(7);
    if !request.ignore_value || chance.percent(10) {
        request.value = value(chance);
    }
    if chance.percent(22) && (!request.ignore_lease || chance.percent(20)) {
        request.lease = lease(chance);
    }
    request
}

pub(super) fn delete(chance: &mut Chance) -> DeleteRangeRequest {
    let key = key(chance);
    // a keyspace that is emptied all the time holds no surprises
    let range_end = if chance.percent(60) { Bytes::new() } else { range_end(chance, &key) };
    DeleteRangeRequest { key, range_end, prev_kv: chance.percent(30) }
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
