//! Reading keys. Must never change one.

use super::Pending;
use crate::blob::IntoBytes;
use crate::client::Client;
use crate::error::Error;
use crate::range;
use crate::transport::method;
use api::etcdserverpb as pb;
use api::mvccpb::KeyValue;
use std::future::IntoFuture;

/// Reads keys: one, or a range of them.
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct Get<C = ()> {
    pub(crate) via: C,
    pub(crate) request: pb::RangeRequest,
}

/// By what keys are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortBy {
    /// The key itself.
    Key,
    /// How often it was written since it was created.
    Version,
    /// The revision at which it was created.
    Created,
    /// The revision of its last write.
    Modified,
    /// Its value.
    Value,
}

/// Which way keys are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Values {
    /// Revision of the store at which it was read.
    pub revision: i64,
    /// Keys and values.
    pub kvs: Vec<KeyValue>,
    /// Whether a limit left some out.
    pub more: bool,
    /// How many there are, limit or not.
    pub count: i64,
}

impl Client {
    /// Reads a key, or with [`Get::prefix`] and its like many.
    pub fn get(&self, key: impl IntoBytes) -> Get<Self> {
        Get { via: self.clone(), request: Get::new(key).request }
    }
}

impl Get {
    /// Reads one key, as a part of a transaction.
    pub fn new(key: impl IntoBytes) -> Self {
        Self { via: (), request: pb::RangeRequest { key: key.into_bytes(), ..Default::default() } }
    }
}

impl<C> Get<C> {
    /// All keys that begin with the key.
    pub fn prefix(mut self) -> Self {
        (self.request.key, self.request.range_end) = range::prefix(&self.request.key);
        self
    }

    /// The key and all behind it.
    pub fn from_key(mut self) -> Self {
        (self.request.key, self.request.range_end) = range::from_key(&self.request.key);
        self
    }

    /// All keys from the key to this one, without it.
    pub fn until(mut self, end: impl IntoBytes) -> Self {
        self.request.range_end = end.into_bytes();
        self
    }

    /// So many at most.
    pub fn limit(mut self, limit: i64) -> Self {
        self.request.limit = limit;
        self
    }

    /// As it was at a revision of the store.
    pub fn at(mut self, revision: i64) -> Self {
        self.request.revision = revision;
        self
    }

    /// From the member that is asked, even if it is behind: faster, and perhaps older than what was read before.
    pub fn serializable(mut self) -> Self {
        self.request.serializable = true;
        self
    }

    /// Without values.
    pub fn keys_only(mut self) -> Self {
        self.request.keys_only = true;
        self
    }

    /// Only how many there are.
    pub fn count_only(mut self) -> Self {
        self.request.count_only = true;
        self
    }

    /// In another order than that of keys.
    pub fn sorted(mut self, by: SortBy, order: Order) -> Self {
        let target = match by {
            SortBy::Key => pb::SortTarget::Key,
            SortBy::Version => pb::SortTarget::Version,
            SortBy::Created => pb::SortTarget::Create,
            SortBy::Modified => pb::SortTarget::Mod,
            SortBy::Value => pb::SortTarget::Value,
        };
        let order = match order {
            Order::Ascending => pb::SortOrder::Ascend,
            Order::Descending => pb::SortOrder::Descend,
        };
        (self.request.sort_target, self.request.sort_order) = (target.into(), order.into());
        self
    }

    /// Those whose last write is in this range of revisions; zero leaves a side open.
    pub fn modified_between(mut self, first: i64, last: i64) -> Self {
        (self.request.min_mod_revision, self.request.max_mod_revision) = (first, last);
        self
    }

    /// Those created in this range of revisions; zero leaves a side open.
    pub fn created_between(mut self, first: i64, last: i64) -> Self {
        (self.request.min_create_revision, self.request.max_create_revision) = (first, last);
        self
    }
}

impl Values {
    pub(crate) fn new(answer: pb::RangeResponse) -> Self {
        let revision = answer.header.unwrap_or_default().revision;
        Self { revision, kvs: answer.kvs, more: answer.more, count: answer.count }
    }

    /// The first key and value, if there is one.
    pub fn first(&self) -> Option<&KeyValue> {
        self.kvs.first()
    }

    /// The value of the first key, if there is one.
    pub fn value(&self) -> Option<&[u8]> {
        self.first().map(|kv| &kv.value[..])
    }
}

impl IntoFuture for Get<Client> {
    type Output = Result<Values, Error>;
    type IntoFuture = Pending<Values>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { via, mut request } = self;
        Box::pin(async move {
            via.space.enter(&mut request.key, &mut request.range_end);
            let mut answer: pb::RangeResponse = via.call(method::RANGE, request).await?;
            via.space.leave(&mut answer.kvs);
            Ok(Values::new(answer))
        })
    }
}
