//! Single requests, drawn from the seed: keys, ranges, puts, deletes.
//!
//! Must draw in the order of the fields: a seed means the same requests for ever.

use super::chance::Chance;
use super::keys::KEYS;
use super::place::{COMPACTED, CREATE_OF, CURRENT, LEASE, MOD_OF};
use api::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest};
use bytes::Bytes;

/// Leases that requests name; 0 leaves the choice to the server.
pub(super) const LEASES: [i64; 7] = [1, 2, 3, 0, -3, i64::MAX, i64::MIN];

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

pub(super) fn near(chance: &mut Chance) -> i64 {
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
