//! Encodes the responses to commands and ranges from stored bytes: a key-value is never decoded on its way out.
//!
//! Field numbers are etcd's (`net/api/proto`). Must never look at the store.

use crate::door::Message;
use api::etcdserverpb as pb;
use bytes::{BufMut, Bytes, BytesMut};
use messages::read::{ChunkSource, TxnPlan, TxnRange};
use model::{AlarmMember, AuthOutcome, OpOutcome, Outcome, RangeOutcome};
use prost::Message as _;
use prost::encoding::{encode_varint, encoded_len_varint};

/// The fields of a response header.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Cluster id.
    pub cluster_id: u64,
    /// Member id.
    pub member_id: u64,
    /// Revision of the store after the operation.
    pub revision: i64,
    /// Raft term.
    pub term: u64,
}

impl Header {
    fn write(&self, out: &mut BytesMut) {
        let mut body = BytesMut::with_capacity(44);
        put_uint(&mut body, 1, self.cluster_id);
        put_uint(&mut body, 2, self.member_id);
        put_uint(&mut body, 3, self.revision as u64);
        put_uint(&mut body, 4, self.term);
        put_bytes(out, 1, &body);
    }
}

/// A part of a large answer.
pub enum Part {
    /// Bytes that are in memory.
    Bytes(Bytes),
    /// This many bytes, which are still to be read from the source.
    Pulled(u64, Box<dyn ChunkSource>),
}

/// Writes a varint field, unless it has the default value.
pub fn put_uint(out: &mut BytesMut, field: u32, value: u64) {
    if value != 0 {
        encode_varint(u64::from(field << 3), out);
        encode_varint(value, out);
    }
}

/// Writes a length-delimited field.
pub fn put_bytes(out: &mut BytesMut, field: u32, value: &[u8]) {
    put_length(out, field, value.len());
    out.put_slice(value);
}

fn put_length(out: &mut BytesMut, field: u32, length: usize) {
    encode_varint(u64::from(field << 3 | 2), out);
    encode_varint(length as u64, out);
}

/// Length of a length-delimited field with a one-byte tag.
pub fn field_len(length: usize) -> usize {
    1 + encoded_len_varint(length as u64) + length
}

/// Key-values from this size on are referred to. Smaller ones are copied, which is cheaper.
const SPLICE: usize = 4 << 10;

/// A message under construction: small parts are merged, large ones are referred to.
struct Pieces {
    done: Vec<Bytes>,
    open: BytesMut,
}

impl Pieces {
    fn new(capacity: usize) -> Self {
        Self { done: Vec::new(), open: BytesMut::with_capacity(capacity) }
    }

    fn field(&mut self, field: u32, value: &Bytes) {
        put_length(&mut self.open, field, value.len());
        if value.len() < SPLICE {
            self.open.put_slice(value);
        } else {
            self.done.push(self.open.split().freeze());
            self.done.push(value.clone());
        }
    }

    fn finish(mut self) -> Message {
        if self.done.is_empty() {
            return Message::One(self.open.freeze());
        }
        self.done.push(self.open.freeze());
        Message::Many(self.done)
    }
}

fn kvs_len(kvs: &[Bytes]) -> usize {
    kvs.iter().map(|kv| if kv.len() < SPLICE { field_len(kv.len()) } else { 6 }).sum()
}

/// `RangeResponse`.
pub fn range(header: Header, outcome: &RangeOutcome) -> Message {
    let mut pieces = Pieces::new(64 + kvs_len(&outcome.kvs));
    header.write(&mut pieces.open);
    for kv in &outcome.kvs {
        pieces.field(2, kv);
    }
    range_tail(&mut pieces.open, outcome.more, outcome.count);
    pieces.finish()
}

/// What precedes the key-values of a `RangeResponse`.
pub fn range_head(header: Header) -> Bytes {
    let mut out = BytesMut::with_capacity(48);
    header.write(&mut out);
    out.freeze()
}

/// What follows the key-values of a `RangeResponse`.
pub fn range_tail(out: &mut BytesMut, more: bool, count: i64) {
    put_uint(out, 3, u64::from(more));
    put_uint(out, 4, count as u64);
}

/// `PutResponse`, `DeleteRangeResponse` or `TxnResponse`, as the outcome says.
pub fn op(header: Header, outcome: &OpOutcome) -> Message {
    let mut pieces = Pieces::new(128);
    header.write(&mut pieces.open);
    let before = header.revision - i64::from(writes(outcome));
    let mut seen = SeenRevision { before, after: header.revision, wrote: false };
    op_body(&mut pieces, outcome, &mut seen);
    pieces.finish()
}

/// The revision that the next operation of a transaction sees: the one before the transaction, until it has written something.
struct SeenRevision {
    before: i64,
    after: i64,
    wrote: bool,
}

impl SeenRevision {
    fn revision(&self) -> i64 {
        if self.wrote { self.after } else { self.before }
    }
}

fn writes(outcome: &OpOutcome) -> bool {
    match outcome {
        OpOutcome::Put { .. } => true,
        OpOutcome::DeleteRange { deleted, .. } => *deleted > 0,
        OpOutcome::Txn { responses, .. } => responses.iter().any(writes),
        OpOutcome::Range(_) => false,
    }
}

fn op_body(pieces: &mut Pieces, outcome: &OpOutcome, seen: &mut SeenRevision) {
    match outcome {
        OpOutcome::Range(range) => {
            for kv in &range.kvs {
                pieces.field(2, kv);
            }
            range_tail(&mut pieces.open, range.more, range.count);
        }
        OpOutcome::Put { prev_kv } => {
            if let Some(kv) = prev_kv {
                pieces.field(2, kv);
            }
        }
        OpOutcome::DeleteRange { deleted, prev_kvs } => {
            put_uint(&mut pieces.open, 2, *deleted as u64);
            for kv in prev_kvs {
                pieces.field(3, kv);
            }
        }
        OpOutcome::Txn { succeeded, responses } => {
            put_uint(&mut pieces.open, 2, u64::from(*succeeded));
            for response in responses {
                nested(pieces, response, seen);
            }
        }
    }
}

/// One `ResponseOp`, field 3 of a `TxnResponse`. Its header holds nothing but the revision; a nested transaction's is empty.
fn nested(pieces: &mut Pieces, outcome: &OpOutcome, seen: &mut SeenRevision) {
    let number = match outcome {
        OpOutcome::Range(_) => 1,
        OpOutcome::Put { .. } => 2,
        OpOutcome::DeleteRange { .. } => 3,
        OpOutcome::Txn { .. } => 4,
    };
    if !matches!(outcome, OpOutcome::Txn { .. }) {
        seen.wrote |= writes(outcome);
    }
    let mut inner = Pieces::new(64);
    let mut header = BytesMut::new();
    if number != 4 {
        put_uint(&mut header, 3, seen.revision() as u64);
    }
    put_bytes(&mut inner.open, 1, &header);
    op_body(&mut inner, outcome, seen);
    let inner = inner.finish();
    let length = inner.len();
    put_length(&mut pieces.open, 3, field_len(length));
    put_length(&mut pieces.open, number, length);
    if let Message::One(bytes) = &inner {
        return pieces.open.put_slice(bytes);
    }
    pieces.done.push(pieces.open.split().freeze());
    pieces.done.extend(inner.into_pieces());
}

/// `TxnResponse` of a read-only transaction, in parts.
pub fn txn_parts(header: Header, plan: TxnPlan) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut open = BytesMut::with_capacity(128);
    header.write(&mut open);
    put_uint(&mut open, 2, u64::from(plan.succeeded));
    let mut inner = BytesMut::new();
    put_uint(&mut inner, 3, plan.revision as u64);
    let inner = inner.freeze();
    for range in plan.ranges {
        let (kvs_bytes, more, count) = match &range {
            TxnRange::Read(read) => (read.kvs.iter().map(|kv| field_len(kv.len())).sum(), read.more, read.count),
            TxnRange::Planned(plan) => (plan.kvs_bytes as usize, plan.more, plan.count),
        };
        let mut tail = BytesMut::new();
        range_tail(&mut tail, more, count);
        let length = field_len(inner.len()) + kvs_bytes + tail.len();
        put_length(&mut open, 3, field_len(length));
        put_length(&mut open, 1, length);
        put_bytes(&mut open, 1, &inner);
        match range {
            TxnRange::Read(read) => read.kvs.iter().for_each(|kv| put_bytes(&mut open, 2, kv)),
            TxnRange::Planned(plan) => {
                parts.push(Part::Bytes(open.split().freeze()));
                parts.push(Part::Pulled(plan.kvs_bytes, plan.source));
            }
        }
        open.put_slice(&tail);
    }
    parts.push(Part::Bytes(open.freeze()));
    parts
}

/// A response that consists of a header.
pub fn header_only(header: Header) -> Message {
    Message::One(range_head(header))
}

/// The response to a command that was applied.
pub fn applied(header: Header, outcome: &Outcome) -> Message {
    match outcome {
        Outcome::Op(outcome) => op(header, outcome),
        Outcome::LeaseGrant { id, ttl } => lease_granted(header, *id, *ttl),
        Outcome::Alarm(list) => alarms(header, list),
        Outcome::Auth(outcome) => auth(header, outcome),
        // its caller encodes it; what comes here is the outcome of a call that is over
        Outcome::Members { .. } | Outcome::V2(_) => header_only(header),
        Outcome::Compaction | Outcome::LeaseRevoke | Outcome::LeaseCheckpoint | Outcome::Done => header_only(header),
    }
}

/// `LeaseGrantResponse`.
fn lease_granted(header: Header, id: i64, ttl: i64) -> Message {
    let mut out = BytesMut::from(&range_head(header)[..]);
    put_uint(&mut out, 2, id as u64);
    put_uint(&mut out, 3, ttl as u64);
    Message::One(out.freeze())
}

/// The response to a command about users, roles or tokens. All of them have their lists, or their first value, in field 2.
fn auth(header: Header, outcome: &AuthOutcome) -> Message {
    let mut out = BytesMut::from(&range_head(header)[..]);
    match outcome {
        AuthOutcome::Done => {}
        AuthOutcome::Status { enabled, revision } => {
            put_uint(&mut out, 2, u64::from(*enabled));
            put_uint(&mut out, 3, *revision);
        }
        AuthOutcome::Token { token, .. } => put_bytes(&mut out, 2, token.as_bytes()),
        AuthOutcome::Names(names) => names.iter().for_each(|name| put_bytes(&mut out, 2, name.as_bytes())),
        AuthOutcome::Permissions(permissions) => {
            permissions.iter().for_each(|permission| put_bytes(&mut out, 2, &permission.encode_to_vec()));
        }
    }
    Message::One(out.freeze())
}

/// `AlarmResponse`.
pub fn alarms(header: Header, alarms: &[AlarmMember]) -> Message {
    let mut out = BytesMut::from(&range_head(header)[..]);
    for alarm in alarms {
        let member = pb::AlarmMember { member_id: alarm.member_id, alarm: alarm.alarm as i32 };
        put_bytes(&mut out, 2, &member.encode_to_vec());
    }
    Message::One(out.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header { cluster_id: 1, member_id: u64::MAX, revision: 9, term: 3 };

    fn bytes(message: Message) -> Bytes {
        message.into_pieces().concat().into()
    }

    fn kv(key: &'static str, len: usize) -> (model::KeyValue, Bytes) {
        let kv = model::KeyValue { key: key.into(), value: vec![7; len].into(), version: 1, ..Default::default() };
        let encoded = kv.encode_to_vec().into();
        (kv, encoded)
    }

    #[test]
    fn answers_about_users_read_back() {
        let status = AuthOutcome::Status { enabled: true, revision: 7 };
        let read = pb::AuthStatusResponse::decode(bytes(auth(HEADER, &status))).expect("valid");
        assert_eq!((read.enabled, read.auth_revision, read.header.map(|h| h.revision)), (true, 7, Some(9)));
        let names = AuthOutcome::Names(vec!["a".into(), "b".into()]);
        let read = pb::AuthUserListResponse::decode(bytes(auth(HEADER, &names))).expect("valid");
        assert_eq!(read.users, ["a", "b"]);
        let permission = model::auth::Permission { perm_type: 2, key: "k".into(), range_end: "l".into() };
        let permissions = AuthOutcome::Permissions(vec![permission.clone()]);
        let read = pb::AuthRoleGetResponse::decode(bytes(auth(HEADER, &permissions))).expect("valid");
        assert_eq!(read.perm, [permission]);
    }

    #[test]
    fn a_range_reads_back_small_and_large() {
        for len in [0, 10, SPLICE, 100_000] {
            let (plain, encoded) = kv("a", len);
            let outcome = RangeOutcome { kvs: vec![encoded.clone(), encoded], more: true, count: 5 };
            let read = pb::RangeResponse::decode(bytes(range(HEADER, &outcome))).expect("valid");
            assert_eq!((read.kvs, read.more, read.count), (vec![plain.clone(), plain], true, 5));
            assert_eq!(read.header.map(|h| (h.member_id, h.revision, h.raft_term)), Some((u64::MAX, 9, 3)));
        }
    }

    #[test]
    fn operations_of_a_txn_report_the_revision_they_saw() {
        let (plain, encoded) = kv("a", SPLICE);
        let outcome = OpOutcome::Txn {
            succeeded: true,
            responses: vec![
                OpOutcome::Range(RangeOutcome { kvs: vec![encoded], more: false, count: 1 }),
                OpOutcome::Put { prev_kv: None },
                OpOutcome::Txn { succeeded: false, responses: vec![OpOutcome::Range(RangeOutcome::default())] },
            ],
        };
        let read = pb::TxnResponse::decode(bytes(op(HEADER, &outcome))).expect("valid");
        let revisions = |op: &pb::ResponseOp| match op.response.clone().expect("set") {
            pb::response_op::Response::ResponseRange(r) => (r.header.expect("set").revision, r.kvs),
            pb::response_op::Response::ResponsePut(r) => (r.header.expect("set").revision, vec![]),
            pb::response_op::Response::ResponseDeleteRange(r) => (r.header.expect("set").revision, vec![]),
            pb::response_op::Response::ResponseTxn(r) => (r.header.expect("set").revision, vec![]),
        };
        let seen: Vec<_> = read.responses.iter().map(revisions).collect();
        assert_eq!(seen, [(8, vec![plain]), (9, vec![]), (0, vec![])]);
        assert!(read.succeeded);
    }
}
