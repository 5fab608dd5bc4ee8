//! A prefix that a client puts before every key it sends and takes off every key it gets.
//!
//! Must never let a request out of its prefix: a range without an end ends with the prefix.

use crate::range::{OPEN, prefix_end};
use api::etcdserverpb as pb;
use api::mvccpb::{Event, KeyValue};
use bytes::Bytes;
use pb::response_op::Response;

/// A prefix; the empty one changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Namespace(Bytes);

impl Namespace {
    /// A namespace within this one.
    pub(crate) fn within(&self, prefix: &Bytes) -> Self {
        Self([&self.0[..], prefix].concat().into())
    }

    /// Moves a key and the end of its range into the prefix.
    pub(crate) fn enter(&self, key: &mut Bytes, end: &mut Bytes) {
        if self.0.is_empty() {
            return;
        }
        let all = *end == OPEN;
        if all && *key == OPEN {
            *key = self.0.clone();
        } else {
            self.enter_key(key);
        }
        if all {
            *end = prefix_end(&self.0);
        } else if !end.is_empty() {
            self.enter_key(end);
        }
    }

    /// Moves a key into the prefix.
    pub(crate) fn enter_key(&self, key: &mut Bytes) {
        if !self.0.is_empty() {
            *key = [&self.0[..], key].concat().into();
        }
    }

    /// Moves everything in a transaction into the prefix.
    pub(crate) fn enter_txn(&self, txn: &mut pb::TxnRequest) {
        for compare in &mut txn.compare {
            self.enter(&mut compare.key, &mut compare.range_end);
        }
        for op in txn.success.iter_mut().chain(&mut txn.failure) {
            match &mut op.request {
                Some(pb::RequestUnion::Range(range)) => self.enter(&mut range.key, &mut range.range_end),
                Some(pb::RequestUnion::Put(put)) => self.enter_key(&mut put.key),
                Some(pb::RequestUnion::DeleteRange(delete)) => self.enter(&mut delete.key, &mut delete.range_end),
                Some(pb::RequestUnion::Txn(inner)) => self.enter_txn(inner),
                None => {}
            }
        }
    }

    /// Takes the prefix off.
    pub(crate) fn leave<'a>(&self, kvs: impl IntoIterator<Item = &'a mut KeyValue>) {
        if self.0.is_empty() {
            return;
        }
        for kv in kvs {
            if kv.key.starts_with(&self.0) {
                let _ = kv.key.split_to(self.0.len());
            }
        }
    }

    /// Takes the prefix off the keys of events.
    pub(crate) fn leave_events(&self, events: &mut [Event]) {
        for event in events {
            self.leave(&mut event.kv);
            self.leave(&mut event.prev_kv);
        }
    }

    /// Takes the prefix off the answers of a transaction.
    pub(crate) fn leave_txn(&self, answer: &mut pb::TxnResponse) {
        for op in &mut answer.responses {
            match &mut op.response {
                Some(Response::ResponseRange(range)) => self.leave(&mut range.kvs),
                Some(Response::ResponsePut(put)) => self.leave(&mut put.prev_kv),
                Some(Response::ResponseDeleteRange(delete)) => self.leave(&mut delete.prev_kvs),
                Some(Response::ResponseTxn(inner)) => self.leave_txn(inner),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entered(key: &'static str, end: &'static str) -> (Bytes, Bytes) {
        let (mut key, mut end) = (Bytes::from(key), Bytes::from(end));
        Namespace::default().within(&Bytes::from("a/")).within(&Bytes::from("b")).enter(&mut key, &mut end);
        (key, end)
    }

    #[test]
    fn no_range_leaves_the_prefix() {
        for (key, end, new_key, new_end) in
            [("k", "", "a/bk", ""), ("k", "m", "a/bk", "a/bm"), ("k", "\0", "a/bk", "a/c"), ("\0", "\0", "a/b", "a/c")]
        {
            assert_eq!(entered(key, end), (new_key.into(), new_end.into()), "{key:?}..{end:?}");
        }
    }

    #[test]
    fn the_empty_prefix_changes_nothing() {
        let (mut key, mut end) = (Bytes::from("\0"), Bytes::from("\0"));
        Namespace::default().enter(&mut key, &mut end);
        assert_eq!((key, end), (OPEN, OPEN));
    }
}
