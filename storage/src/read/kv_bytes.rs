//! The few things reads need to know about the bytes of an encoded `KeyValue`, without decoding it.
//!
//! Stored key-values are canonical (fields ascend, zeros are left out), because this store wrote them. Must never be used on
//! bytes from a client.

use crate::schema::{Damaged, Head};
use bytes::BufMut;
use prost::encoding::{decode_varint, encode_varint, encoded_len_varint};

/// Tag bytes of `KeyValue`'s fields.
const KEY: u8 = 0x0a;
const CREATE: u8 = 0x10;
const MOD: u8 = 0x18;
const VERSION: u8 = 0x20;
const LEASE: u8 = 0x30;

/// The key field of an encoded key-value: where the key starts and ends.
pub(super) fn key_span(kv: &[u8]) -> Result<std::ops::Range<usize>, Damaged> {
    let damaged = Damaged { family: "log", why: "key-value does not start with a key" };
    let (&tag, mut rest) = kv.split_first().ok_or_else(|| damaged.clone())?;
    let len = decode_varint(&mut rest).map_err(|_| damaged.clone())? as usize;
    if tag != KEY || rest.len() < len {
        return Err(damaged);
    }
    let start = kv.len() - rest.len();
    Ok(start..start + len)
}

/// The key of an encoded key-value.
pub(crate) fn key_of(kv: &[u8]) -> Result<&[u8], Damaged> {
    Ok(&kv[key_span(kv)?])
}

/// Appends the key-value of a head without its value.
pub(super) fn put_keys_only(out: &mut Vec<u8>, key: &[u8], head: &Head, lease: bool) {
    out.put_u8(KEY);
    encode_varint(key.len() as u64, out);
    out.put_slice(key);
    for (tag, number) in numbers(head, lease) {
        if number != 0 {
            out.put_u8(tag);
            encode_varint(number as u64, out);
        }
    }
}

/// Length of what [`put_keys_only`] appends.
pub(super) fn keys_only_len(key: &[u8], head: &Head, lease: bool) -> usize {
    let numbers = numbers(head, lease).into_iter().filter(|(_, n)| *n != 0);
    1 + encoded_len_varint(key.len() as u64)
        + key.len()
        + numbers.map(|(_, n)| 1 + encoded_len_varint(n as u64)).sum::<usize>()
}

fn numbers(head: &Head, lease: bool) -> [(u8, i64); 4] {
    let lease = if lease { head.lease } else { 0 };
    [(CREATE, head.create), (MOD, head.modified.main), (VERSION, head.version), (LEASE, lease)]
}

/// Length of a `kvs` field of a RangeResponse that holds `len` bytes: tag, length, bytes.
pub(crate) fn field_len(len: usize) -> u64 {
    (1 + encoded_len_varint(len as u64) + len) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{KeyValue, Revision};
    use prost::Message;

    #[test]
    fn agrees_with_the_real_encoding() {
        for (create, main, version, lease, key) in [(2, 2, 1, 0, "k"), (1 << 40, i64::MAX, 300, -5, &"x".repeat(300))] {
            let head = Head { create, modified: Revision::new(main, 0), version, lease, len: 0 };
            for with_lease in [true, false] {
                let lease = if with_lease { lease } else { 0 };
                let kv = KeyValue {
                    key: key.to_owned().into(),
                    create_revision: create,
                    mod_revision: main,
                    version,
                    value: Default::default(),
                    lease,
                };
                let mut out = Vec::new();
                put_keys_only(&mut out, key.as_bytes(), &head, with_lease);
                assert_eq!(out, kv.encode_to_vec());
                assert_eq!(out.len(), keys_only_len(key.as_bytes(), &head, with_lease));
                assert_eq!(key_of(&out), Ok(key.as_bytes()));
            }
        }
    }

    #[test]
    fn damage_is_an_error() {
        for bytes in
            [&b""[..], b"\x0a", b"\x0a\x05ab", b"\x12\x01a", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"]
        {
            assert!(key_of(bytes).is_err(), "{bytes:?}");
        }
    }
}
