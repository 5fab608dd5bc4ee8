//! Transactions: conditions, and what is done when they hold or do not. Must never be sent again by itself once it may have
//! arrived.

use super::Pending;
use super::compare::Compare;
use super::delete::{Delete, Deleted};
use super::get::{Get, Values};
use super::put::{Put, PutDone};
use crate::client::Client;
use crate::error::Error;
use crate::transport::method;
use api::etcdserverpb as pb;
use pb::response_op::Response;
use std::future::IntoFuture;

/// A transaction: all of it at one revision, or nothing.
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is awaited"]
pub struct Txn<C = ()> {
    pub(crate) via: C,
    pub(crate) request: pb::TxnRequest,
}

/// A part of a transaction.
#[derive(Clone, Debug)]
pub struct Op(pb::RequestUnion);

/// What became of a part.
#[derive(Clone, Debug, PartialEq)]
pub enum OpDone {
    /// Of a [`Get`].
    Get(Values),
    /// Of a [`Put`].
    Put(PutDone),
    /// Of a [`Delete`].
    Delete(Deleted),
    /// Of a transaction inside.
    Txn(TxnDone),
}

/// A transaction was carried out.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TxnDone {
    /// Revision of the store afterwards.
    pub revision: i64,
    /// Whether the conditions held.
    pub succeeded: bool,
    /// What became of the parts, in their order.
    pub parts: Vec<OpDone>,
}

impl Client {
    /// Begins a transaction.
    ///
    /// ```
    /// # harness::examples::on_member(async |endpoint| {
    /// # let client = conclave_client::Client::connect([endpoint]).await?;
    /// use conclave_client::{Compare, Put};
    /// let done = client.txn().when(Compare::is_missing("k")).then(Put::new("k", "first")).await?;
    /// assert!(done.succeeded);
    /// # Ok(())
    /// # });
    /// ```
    pub fn txn(&self) -> Txn<Self> {
        Txn { via: self.clone(), request: pb::TxnRequest::default() }
    }
}

impl Txn {
    /// A transaction as a part of another one.
    pub fn new() -> Self {
        Self { via: (), request: pb::TxnRequest::default() }
    }
}

impl Default for Txn {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> Txn<C> {
    /// Adds a condition. All must hold.
    pub fn when(mut self, condition: Compare) -> Self {
        self.request.compare.push(condition.0);
        self
    }

    /// Adds what is done when the conditions hold.
    pub fn then(mut self, op: impl Into<Op>) -> Self {
        self.request.success.push(pb::RequestOp { request: Some(op.into().0) });
        self
    }

    /// Adds what is done when they do not.
    pub fn otherwise(mut self, op: impl Into<Op>) -> Self {
        self.request.failure.push(pb::RequestOp { request: Some(op.into().0) });
        self
    }
}

impl<C> From<Get<C>> for Op {
    fn from(get: Get<C>) -> Self {
        Self(pb::RequestUnion::Range(get.request))
    }
}

impl<C> From<Put<C>> for Op {
    fn from(put: Put<C>) -> Self {
        Self(pb::RequestUnion::Put(put.request))
    }
}

impl<C> From<Delete<C>> for Op {
    fn from(delete: Delete<C>) -> Self {
        Self(pb::RequestUnion::DeleteRange(delete.request))
    }
}

impl<C> From<Txn<C>> for Op {
    fn from(txn: Txn<C>) -> Self {
        Self(pb::RequestUnion::Txn(txn.request))
    }
}

impl TxnDone {
    fn new(answer: pb::TxnResponse) -> Self {
        let parts = answer.responses.into_iter().filter_map(|op| op.response);
        let parts = parts.map(|part| match part {
            Response::ResponseRange(range) => OpDone::Get(Values::new(range)),
            Response::ResponsePut(put) => OpDone::Put(PutDone::new(put)),
            Response::ResponseDeleteRange(delete) => OpDone::Delete(Deleted::new(delete)),
            Response::ResponseTxn(inner) => OpDone::Txn(Self::new(inner)),
        });
        let revision = answer.header.unwrap_or_default().revision;
        Self { revision, succeeded: answer.succeeded, parts: parts.collect() }
    }

    /// What the n-th part read, if it is a [`Get`].
    pub fn values(&self, part: usize) -> Option<&Values> {
        match self.parts.get(part) {
            Some(OpDone::Get(values)) => Some(values),
            _ => None,
        }
    }
}

impl IntoFuture for Txn<Client> {
    type Output = Result<TxnDone, Error>;
    type IntoFuture = Pending<TxnDone>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { via, mut request } = self;
        Box::pin(async move {
            via.space.enter_txn(&mut request);
            let mut answer: pb::TxnResponse = via.call(method::TXN, request).await?;
            via.space.leave_txn(&mut answer);
            Ok(TxnDone::new(answer))
        })
    }
}
