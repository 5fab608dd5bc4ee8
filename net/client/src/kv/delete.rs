//! Deleting keys. Must never be sent again by itself once it may have arrived.

use super::Pending;
use crate::blob::IntoBytes;
use crate::client::Client;
use crate::error::Error;
use crate::range;
use crate::transport::method;
use api::etcdserverpb as pb;
use api::mvccpb::KeyValue;
use std::future::IntoFuture;

/// Deletes keys: one, or a range of them.
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct Delete<C = ()> {
    pub(crate) via: C,
    pub(crate) request: pb::DeleteRangeRequest,
}

/// Keys were deleted.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Deleted {
    /// Revision of the store afterwards.
    pub revision: i64,
    /// How many keys.
    pub count: i64,
    /// What they were, if it was asked for.
    pub before: Vec<KeyValue>,
}

impl Client {
    /// Deletes a key, or with [`Delete::prefix`] and its like many.
    pub fn delete(&self, key: impl IntoBytes) -> Delete<Self> {
        Delete { via: self.clone(), request: Delete::new(key).request }
    }
}

impl Delete {
    /// Deletes one key, as a part of a transaction.
    pub fn new(key: impl IntoBytes) -> Self {
        Self { via: (), request: pb::DeleteRangeRequest { key: key.into_bytes(), ..Default::default() } }
    }
}

impl<C> Delete<C> {
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

    /// Asks for what was deleted.
    pub fn and_before(mut self) -> Self {
        self.request.prev_kv = true;
        self
    }
}

impl Deleted {
    pub(crate) fn new(answer: pb::DeleteRangeResponse) -> Self {
        let revision = answer.header.unwrap_or_default().revision;
        Self { revision, count: answer.deleted, before: answer.prev_kvs }
    }
}

impl IntoFuture for Delete<Client> {
    type Output = Result<Deleted, Error>;
    type IntoFuture = Pending<Deleted>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { via, mut request } = self;
        Box::pin(async move {
            via.space.enter(&mut request.key, &mut request.range_end);
            let mut answer: pb::DeleteRangeResponse = via.call(method::DELETE_RANGE, request).await?;
            via.space.leave(&mut answer.prev_kvs);
            Ok(Deleted::new(answer))
        })
    }
}
