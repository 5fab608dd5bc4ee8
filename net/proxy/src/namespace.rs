//! A prefix before all keys, added on the way to the cluster and taken off on the way back. Pure.
//!
//! Source of the rules: etcd's client package `namespace`. Must never let a key of another namespace through.

use api::etcdserverpb as pb;
use api::mvccpb::{Event, KeyValue};
use bytes::{BufMut, Bytes, BytesMut};
use pb::response_op::Response;

/// The prefix; without bytes, nothing is changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Namespace(pub(crate) Bytes);

impl Namespace {
    pub(crate) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// A key as the cluster knows it.
    pub(crate) fn key(&self, key: &Bytes) -> Bytes {
        if self.is_none() {
            return key.clone();
        }
        let mut out = BytesMut::with_capacity(self.0.len() + key.len());
        out.put_slice(&self.0);
        out.put_slice(key);
        out.freeze()
    }

    /// The end of a range as the cluster knows it: the end of all keys becomes the end of the namespace.
    pub(crate) fn end(&self, end: &Bytes) -> Bytes {
        match end.as_ref() {
            _ if self.is_none() => end.clone(),
            [] => Bytes::new(),
            [0] => end_of_prefix(&self.0),
            _ => self.key(end),
        }
    }

    pub(crate) fn range(&self, request: &mut pb::RangeRequest) {
        (request.key, request.range_end) = (self.key(&request.key), self.end(&request.range_end));
    }

    pub(crate) fn delete(&self, request: &mut pb::DeleteRangeRequest) {
        (request.key, request.range_end) = (self.key(&request.key), self.end(&request.range_end));
    }

    pub(crate) fn txn(&self, request: &mut pb::TxnRequest) {
        for compare in &mut request.compare {
            (compare.key, compare.range_end) = (self.key(&compare.key), self.end(&compare.range_end));
        }
        for op in request.success.iter_mut().chain(&mut request.failure) {
            match &mut op.request {
                Some(pb::RequestUnion::Range(range)) => self.range(range),
                Some(pb::RequestUnion::Put(put)) => put.key = self.key(&put.key),
                Some(pb::RequestUnion::DeleteRange(delete)) => self.delete(delete),
                Some(pb::RequestUnion::Txn(txn)) => self.txn(txn),
                None => {}
            }
        }
    }

    /// A key as the client knows it; one of another namespace, which cannot come, stays as it is.
    pub(crate) fn strip(&self, key: &mut Bytes) {
        if key.starts_with(&self.0) {
            *key = key.slice(self.0.len()..);
        }
    }

    fn strip_all<'k>(&self, kvs: impl IntoIterator<Item = &'k mut KeyValue>) {
        if !self.is_none() {
            kvs.into_iter().for_each(|kv| self.strip(&mut kv.key));
        }
    }

    pub(crate) fn strip_range(&self, answer: &mut pb::RangeResponse) {
        self.strip_all(&mut answer.kvs);
    }

    pub(crate) fn strip_put(&self, answer: &mut pb::PutResponse) {
        self.strip_all(&mut answer.prev_kv);
    }

    pub(crate) fn strip_delete(&self, answer: &mut pb::DeleteRangeResponse) {
        self.strip_all(&mut answer.prev_kvs);
    }

    pub(crate) fn strip_txn(&self, answer: &mut pb::TxnResponse) {
        for op in &mut answer.responses {
            match &mut op.response {
                Some(Response::ResponseRange(range)) => self.strip_range(range),
                Some(Response::ResponsePut(put)) => self.strip_put(put),
                Some(Response::ResponseDeleteRange(delete)) => self.strip_delete(delete),
                Some(Response::ResponseTxn(txn)) => self.strip_txn(txn),
                None => {}
            }
        }
    }

    pub(crate) fn strip_events(&self, events: &mut [Event]) {
        for event in events {
            self.strip_all(event.kv.as_mut().into_iter().chain(&mut event.prev_kv));
        }
    }

    /// Of keys of a lease, those of this namespace.
    pub(crate) fn own_keys(&self, keys: &mut Vec<Bytes>) {
        keys.retain(|key| key.starts_with(&self.0));
        keys.iter_mut().for_each(|key| self.strip(key));
    }
}

/// The first key behind all that begin so; `\0`, the end of all keys, behind `0xff…`.
pub(crate) fn end_of_prefix(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end.into();
        }
    }
    Bytes::from_static(&[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_ends_where_its_prefix_does() {
        let inside = Namespace(Bytes::from_static(b"a/"));
        assert_eq!(inside.key(&Bytes::from_static(b"k")), "a/k");
        assert_eq!(inside.end(&Bytes::new()), "");
        assert_eq!(inside.end(&Bytes::from_static(b"m")), "a/m");
        assert_eq!(inside.end(&Bytes::from_static(&[0])), "a0", "the end of all keys is the end of this namespace");
        assert_eq!(Namespace(Bytes::from_static(b"a\xff")).end(&Bytes::from_static(&[0])), "b");
        assert_eq!(Namespace(Bytes::from_static(b"\xff\xff")).end(&Bytes::from_static(&[0])), "\0");
        let none = Namespace::default();
        assert_eq!((none.key(&"k".into()), none.end(&Bytes::from_static(&[0]))), ("k".into(), "\0".into()));
    }

    #[test]
    fn transactions_are_moved_at_every_depth() {
        let put = |key: &'static str| pb::RequestOp {
            request: Some(pb::RequestUnion::Put(pb::PutRequest { key: key.into(), ..Default::default() })),
        };
        let inner = pb::TxnRequest { success: vec![put("x")], ..Default::default() };
        let mut txn = pb::TxnRequest {
            compare: vec![pb::Compare { key: "c".into(), range_end: Bytes::from_static(&[0]), ..Default::default() }],
            success: vec![pb::RequestOp { request: Some(pb::RequestUnion::Txn(inner)) }],
            failure: vec![put("y")],
        };
        Namespace("n/".into()).txn(&mut txn);
        assert_eq!((txn.compare[0].key.as_ref(), txn.compare[0].range_end.as_ref()), (&b"n/c"[..], &b"n0"[..]));
        let Some(pb::RequestUnion::Txn(inner)) = &txn.success[0].request else { panic!("a transaction") };
        assert_eq!((inner.success[0].clone(), txn.failure[0].clone()), (put("n/x"), put("n/y")));
    }

    #[test]
    fn keys_of_a_lease_are_those_of_the_namespace() {
        let mut keys = vec!["n/a".into(), "m/b".into(), "n".into()];
        Namespace("n/".into()).own_keys(&mut keys);
        assert_eq!(keys, ["a"]);
    }
}
