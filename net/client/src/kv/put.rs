//! Writing a key. Must never be sent again by itself once it may have arrived.

use super::Pending;
use crate::blob::IntoBytes;
use crate::client::Client;
use crate::error::Error;
use crate::transport::method;
use api::etcdserverpb as pb;
use api::mvccpb::KeyValue;
use bytes::Bytes;
use std::future::IntoFuture;

/// Writes a key.
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct Put<C = ()> {
    pub(crate) via: C,
    pub(crate) request: pb::PutRequest,
}

/// A key was written.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct PutDone {
    /// Revision of the write.
    pub revision: i64,
    /// What was there before, if it was asked for and there was something.
    pub before: Option<KeyValue>,
}

impl Client {
    /// Writes a key.
    pub fn put(&self, key: impl IntoBytes, value: impl IntoBytes) -> Put<Self> {
        Put::with(self.clone(), key.into_bytes(), value.into_bytes())
    }
}

impl Put {
    /// Writes a key, as a part of a transaction.
    pub fn new(key: impl IntoBytes, value: impl IntoBytes) -> Self {
        Self::with((), key.into_bytes(), value.into_bytes())
    }
}

impl<C> Put<C> {
    pub(crate) fn with(via: C, key: Bytes, value: Bytes) -> Self {
        Self { via, request: pb::PutRequest { key, value, ..Default::default() } }
    }

    /// Binds the key to a lease: it goes when the lease goes.
    pub fn lease(mut self, id: i64) -> Self {
        self.request.lease = id;
        self
    }

    /// Asks for what was there before.
    pub fn and_before(mut self) -> Self {
        self.request.prev_kv = true;
        self
    }

    /// Keeps the value that is there, and writes the lease alone.
    pub fn keep_value(mut self) -> Self {
        self.request.value = Bytes::new();
        self.request.ignore_value = true;
        self
    }

    /// Keeps the lease that is there.
    pub fn keep_lease(mut self) -> Self {
        self.request.ignore_lease = true;
        self
    }
}

impl PutDone {
    pub(crate) fn new(answer: pb::PutResponse) -> Self {
        Self { revision: answer.header.unwrap_or_default().revision, before: answer.prev_kv }
    }
}

impl IntoFuture for Put<Client> {
    type Output = Result<PutDone, Error>;
    type IntoFuture = Pending<PutDone>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { via, mut request } = self;
        Box::pin(async move {
            via.space.enter_key(&mut request.key);
            let mut answer: pb::PutResponse = via.call(method::PUT, request).await?;
            via.space.leave(&mut answer.prev_kv);
            Ok(PutDone::new(answer))
        })
    }
}
