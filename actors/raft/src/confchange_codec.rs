//! Bytes of membership changes: etcd's `raftpb.ConfChange` and `ConfChangeV2`, protobuf wire format.
//!
//! Must never panic on foreign bytes, and writes exactly what etcd writes (scalars always, empty bytes never).

use std::fmt;

use bytes::Bytes;

use crate::confchange::{ConfChange, ConfChangeKind, ConfChangeSingle, ConfChangeV2, Transition};
use crate::types::{Entry, EntryKind};

/// Why bytes are not a membership change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end inside a field.
    Truncated,
    /// A varint has more than ten bytes or a tag is not a field.
    Malformed,
    /// A step or transition of a kind that this version does not know.
    UnknownKind(u64),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Truncated => f.write_str("membership change ends inside a field"),
            DecodeError::Malformed => f.write_str("membership change is malformed"),
            DecodeError::UnknownKind(kind) => write!(f, "membership change of unknown kind {kind}"),
        }
    }
}

impl std::error::Error for DecodeError {}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// Encodes the one-step form.
pub fn encode_v1(cc: &ConfChange) -> Bytes {
    let mut out = Vec::with_capacity(24 + cc.context.len());
    put_scalar(&mut out, 1, cc.id);
    put_scalar(&mut out, 2, cc.kind as u64);
    put_scalar(&mut out, 3, cc.node_id);
    put_bytes(&mut out, 4, &cc.context);
    out.into()
}

/// Encodes the form of many steps. The plain request to leave a joint configuration takes no bytes at all, so that no
/// size limit can ever refuse it.
pub fn encode_v2(cc: &ConfChangeV2) -> Bytes {
    if *cc == ConfChangeV2::default() {
        return Bytes::new();
    }
    let mut out = Vec::with_capacity(16 * (1 + cc.changes.len()) + cc.context.len());
    put_scalar(&mut out, 1, cc.transition as u64);
    for step in &cc.changes {
        let mut inner = Vec::with_capacity(16);
        put_scalar(&mut inner, 1, step.kind as u64);
        put_scalar(&mut inner, 2, step.node_id);
        put_varint(&mut out, 2 << 3 | BYTES);
        put_varint(&mut out, inner.len() as u64);
        out.extend_from_slice(&inner);
    }
    put_bytes(&mut out, 3, &cc.context);
    out.into()
}

/// Decodes the one-step form.
pub fn decode_v1(data: &Bytes) -> Result<ConfChange, DecodeError> {
    let mut cc = ConfChange { id: 0, kind: ConfChangeKind::AddNode, node_id: 0, context: Bytes::new() };
    let mut fields = Fields { data: data.clone() };
    while let Some((number, value)) = fields.next_field()? {
        match (number, value) {
            (1, Value::Varint(v)) => cc.id = v,
            (2, Value::Varint(v)) => cc.kind = kind(v)?,
            (3, Value::Varint(v)) => cc.node_id = v,
            (4, Value::Bytes(b)) => cc.context = b,
            _ => {}
        }
    }
    Ok(cc)
}

/// Decodes the form of many steps; no bytes are the request to leave a joint configuration.
pub fn decode_v2(data: &Bytes) -> Result<ConfChangeV2, DecodeError> {
    let mut cc = ConfChangeV2::default();
    let mut fields = Fields { data: data.clone() };
    while let Some((number, value)) = fields.next_field()? {
        match (number, value) {
            (1, Value::Varint(v)) => cc.transition = transition(v)?,
            (2, Value::Bytes(b)) => cc.changes.push(decode_step(b)?),
            (3, Value::Bytes(b)) => cc.context = b,
            _ => {}
        }
    }
    Ok(cc)
}

fn decode_step(data: Bytes) -> Result<ConfChangeSingle, DecodeError> {
    let mut step = ConfChangeSingle { kind: ConfChangeKind::AddNode, node_id: 0 };
    let mut fields = Fields { data };
    while let Some((number, value)) = fields.next_field()? {
        match (number, value) {
            (1, Value::Varint(v)) => step.kind = kind(v)?,
            (2, Value::Varint(v)) => step.node_id = v,
            _ => {}
        }
    }
    Ok(step)
}

fn kind(v: u64) -> Result<ConfChangeKind, DecodeError> {
    match v {
        0 => Ok(ConfChangeKind::AddNode),
        1 => Ok(ConfChangeKind::RemoveNode),
        2 => Ok(ConfChangeKind::UpdateNode),
        3 => Ok(ConfChangeKind::AddLearnerNode),
        other => Err(DecodeError::UnknownKind(other)),
    }
}

fn transition(v: u64) -> Result<Transition, DecodeError> {
    match v {
        0 => Ok(Transition::Auto),
        1 => Ok(Transition::JointImplicit),
        2 => Ok(Transition::JointExplicit),
        other => Err(DecodeError::UnknownKind(other)),
    }
}

fn put_varint(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

fn put_scalar(out: &mut Vec<u8>, number: u64, v: u64) {
    put_varint(out, number << 3 | VARINT);
    put_varint(out, v);
}

fn put_bytes(out: &mut Vec<u8>, number: u64, v: &[u8]) {
    if !v.is_empty() {
        put_varint(out, number << 3 | BYTES);
        put_varint(out, v.len() as u64);
        out.extend_from_slice(v);
    }
}

enum Value {
    Varint(u64),
    Bytes(Bytes),
    /// A field of a width no membership change uses; skipped.
    Other,
}

/// Reads one field after the other.
struct Fields {
    data: Bytes,
}

impl Fields {
    fn next_field(&mut self) -> Result<Option<(u64, Value)>, DecodeError> {
        if self.data.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            VARINT => Value::Varint(self.varint()?),
            BYTES => {
                let len = self.varint()?;
                Value::Bytes(self.take(len)?)
            }
            FIXED64 => self.take(8).map(|_| Value::Other)?,
            FIXED32 => self.take(4).map(|_| Value::Other)?,
            _ => return Err(DecodeError::Malformed),
        };
        if tag >> 3 == 0 { Err(DecodeError::Malformed) } else { Ok(Some((tag >> 3, value))) }
    }

    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut v = 0u64;
        for (n, byte) in self.data.iter().enumerate().take(10) {
            v |= u64::from(byte & 0x7f) << (7 * n);
            if byte & 0x80 == 0 {
                let _ = self.data.split_to(n + 1);
                return Ok(v);
            }
        }
        Err(if self.data.len() < 10 { DecodeError::Truncated } else { DecodeError::Malformed })
    }

    fn take(&mut self, len: u64) -> Result<Bytes, DecodeError> {
        if len > self.data.len() as u64 {
            return Err(DecodeError::Truncated);
        }
        Ok(self.data.split_to(len as usize))
    }
}

impl ConfChangeV2 {
    /// The change an entry carries, `None` for an entry of the state machine.
    pub fn from_entry(entry: &Entry) -> Result<Option<ConfChangeV2>, DecodeError> {
        ConfChangeV2::from_payload(entry.kind, &entry.data)
    }

    /// As [`from_entry`](Self::from_entry), before the payload has a place in the log.
    pub fn from_payload(kind: EntryKind, data: &Bytes) -> Result<Option<ConfChangeV2>, DecodeError> {
        match kind {
            EntryKind::Normal => Ok(None),
            EntryKind::ConfChange => decode_v1(data).map(|cc| Some(cc.into_v2())),
            EntryKind::ConfChangeV2 => decode_v2(data).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_bytes() {
        let v1 =
            ConfChange { id: 300, kind: ConfChangeKind::AddLearnerNode, node_id: 5, context: Bytes::from_static(b"x") };
        assert_eq!(&encode_v1(&v1)[..], [0x08, 0xac, 0x02, 0x10, 0x03, 0x18, 0x05, 0x22, 0x01, b'x']);
        let v2 = ConfChangeV2 {
            transition: Transition::JointExplicit,
            changes: vec![ConfChangeSingle { kind: ConfChangeKind::RemoveNode, node_id: 7 }],
            context: Bytes::new(),
        };
        assert_eq!(&encode_v2(&v2)[..], [0x08, 0x02, 0x12, 0x04, 0x08, 0x01, 0x10, 0x07]);
        assert_eq!(decode_v1(&encode_v1(&v1)), Ok(v1));
        assert_eq!(decode_v2(&encode_v2(&v2)), Ok(v2));
        assert_eq!(decode_v2(&Bytes::new()), Ok(ConfChangeV2::default()));
    }

    #[test]
    fn foreign_bytes_are_refused_not_fatal() {
        assert_eq!(decode_v2(&Bytes::from_static(&[0x12, 0x04, 0x08])), Err(DecodeError::Truncated));
        assert_eq!(decode_v2(&Bytes::from_static(&[0x08, 0x09])), Err(DecodeError::UnknownKind(9)));
        assert_eq!(decode_v1(&Bytes::from_static(&[0xff; 12])), Err(DecodeError::Malformed));
        // An unknown field of a newer version is skipped.
        assert_eq!(decode_v2(&Bytes::from_static(&[0x29, 1, 2, 3, 4, 5, 6, 7, 8])), Ok(ConfChangeV2::default()));
    }
}
