//! Bytes of one `events` field of a watch response, spliced from stored key-values, and the split of large responses.
//!
//! Must never decode or re-encode a key-value.

use bytes::Bytes;

/// Tag of `WatchResponse.events` (11, length-delimited).
const EVENTS: u8 = 11 << 3 | 2;
/// Tag and value of `Event.type` = DELETE; PUT is zero and left out.
const DELETE: [u8; 2] = [1 << 3, 1];
/// Tag of `Event.kv`.
const KV: u8 = 2 << 3 | 2;
/// Tag of `Event.prev_kv`.
const PREV_KV: u8 = 3 << 3 | 2;
/// What a response has besides its events, generously: header, watch id, flags.
const RESPONSE: usize = 64;

/// An encoded event, and where the key-values lie inside.
pub(super) struct Encoded {
    pub(super) bytes: Bytes,
    pub(super) kv: Bytes,
    pub(super) prev: Option<Bytes>,
}

/// Length of what is in an `events` field, for lengths of key-values.
fn body_len(delete: bool, kv: usize, prev: Option<usize>) -> usize {
    let type_len = if delete { DELETE.len() } else { 0 };
    let prev_len = prev.map_or(0, |prev| 1 + varint_len(prev) + prev);
    type_len + 1 + varint_len(kv) + kv + prev_len
}

/// Length of what [`event`] writes.
pub(super) fn event_len(delete: bool, kv: usize, prev: Option<usize>) -> usize {
    let body = body_len(delete, kv, prev);
    1 + varint_len(body) + body
}

/// Encodes an event as one whole `events` field.
pub(super) fn event(delete: bool, kv: &[u8], prev: Option<&[u8]>) -> Encoded {
    let body = body_len(delete, kv.len(), prev.map(<[u8]>::len));
    let mut out = Vec::with_capacity(1 + varint_len(body) + body);
    out.push(EVENTS);
    put_varint(&mut out, body);
    if delete {
        out.extend_from_slice(&DELETE);
    }
    let kv_end = field(&mut out, KV, kv);
    let prev_end = prev.map(|prev| field(&mut out, PREV_KV, prev));
    let bytes = Bytes::from(out);
    let prev = prev_end.zip(prev).map(|(end, prev)| bytes.slice(end - prev.len()..end));
    Encoded { kv: bytes.slice(kv_end - kv.len()..kv_end), prev, bytes }
}

/// Key inside of an encoded key-value whose key has this length: field 1 comes first in the canonical encoding.
pub(super) fn key_in(kv: &Bytes, key: &[u8]) -> Option<Bytes> {
    let from = 1 + varint_len(key.len());
    let found = kv.get(from..from + key.len())?;
    (found == key).then(|| kv.slice(from..from + key.len()))
}

/// Splits a response as etcd does: one that reaches `limit` bytes and has two events or more goes out in parts that stay
/// below it, with at least one event each.
pub(super) fn fragments(events: Vec<Bytes>, limit: usize) -> Vec<Vec<Bytes>> {
    let total = RESPONSE + events.iter().map(Bytes::len).sum::<usize>();
    if total < limit || events.len() < 2 {
        return vec![events];
    }
    let mut parts: Vec<Vec<Bytes>> = Vec::new();
    let mut size = usize::MAX;
    for event in events {
        match parts.last_mut() {
            Some(part) if size.saturating_add(event.len()) < limit => {
                size += event.len();
                part.push(event);
            }
            _ => {
                size = RESPONSE + event.len();
                parts.push(vec![event]);
            }
        }
    }
    parts
}

fn field(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) -> usize {
    out.push(tag);
    put_varint(out, bytes.len());
    out.extend_from_slice(bytes);
    out.len()
}

fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint_len(value: usize) -> usize {
    let bits = usize::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn put_and_delete_have_the_bytes_of_the_protobuf() {
        let put = event(false, b"\x0a\x01k", None);
        assert_eq!(&put.bytes[..], b"\x5a\x05\x12\x03\x0a\x01k");
        assert_eq!(&put.kv[..], b"\x0a\x01k");
        assert_eq!(put.bytes.len(), event_len(false, 3, None));
        let delete = event(true, b"\x0a\x01k", Some(b"\x0a\x01k\x10\x02"));
        assert_eq!(&delete.bytes[..], b"\x5a\x0e\x08\x01\x12\x03\x0a\x01k\x1a\x05\x0a\x01k\x10\x02");
        assert_eq!(&delete.prev.expect("was given")[..], b"\x0a\x01k\x10\x02");
    }

    #[test]
    fn long_fields_have_long_lengths() {
        let kv = vec![7; 300];
        let put = event(false, &kv, None);
        assert_eq!(&put.bytes[..6], b"\x5a\xaf\x02\x12\xac\x02");
        assert_eq!(&put.kv[..], &kv[..]);
    }

    #[test]
    fn a_response_at_the_limit_is_split_and_a_lone_event_is_not() {
        let events = |n: usize| vec![Bytes::from(vec![0; 100]); n];
        let sizes = |parts: Vec<Vec<Bytes>>| parts.iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(fragments(events(3), 365)), [3]);
        assert_eq!(sizes(fragments(events(3), 364)), [2, 1]);
        assert_eq!(sizes(fragments(events(3), 10)), [1, 1, 1]);
        assert_eq!(sizes(fragments(events(1), 10)), [1]);
    }
}
