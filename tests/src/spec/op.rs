//! The data API's unary requests and their answers, as one type each.
//!
//! Must never hold what is not on the wire.

use super::kv::{check_delete, check_put};
use super::{Refusal, Spec};
use api::etcdserverpb::response_op::Response;
use api::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, LeaseGrantRequest,
    LeaseGrantResponse, LeaseKeepAliveResponse, LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse,
    LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, PutRequest, PutResponse, RangeRequest, RangeResponse,
    ResponseHeader, TxnRequest, TxnResponse,
};
use std::time::Instant;

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// KV.Range.
    Range(RangeRequest),
    /// KV.RangeStream.
    Stream(RangeRequest),
    /// KV.Put.
    Put(PutRequest),
    /// KV.DeleteRange.
    Delete(DeleteRangeRequest),
    /// KV.Txn.
    Txn(TxnRequest),
    /// KV.Compact.
    Compact(CompactionRequest),
    /// Lease.LeaseGrant.
    Grant(LeaseGrantRequest),
    /// Lease.LeaseRevoke.
    Revoke(LeaseRevokeRequest),
    /// One request of Lease.LeaseKeepAlive.
    KeepAlive(i64),
    /// Lease.LeaseTimeToLive.
    TimeToLive(LeaseTimeToLiveRequest),
    /// Lease.LeaseLeases.
    Leases,
}

impl Op {
    /// Name of the RPC.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Range(_) => "Range",
            Self::Stream(_) => "RangeStream",
            Self::Put(_) => "Put",
            Self::Delete(_) => "DeleteRange",
            Self::Txn(_) => "Txn",
            Self::Compact(_) => "Compact",
            Self::Grant(_) => "LeaseGrant",
            Self::Revoke(_) => "LeaseRevoke",
            Self::KeepAlive(_) => "LeaseKeepAlive",
            Self::TimeToLive(_) => "LeaseTimeToLive",
            Self::Leases => "LeaseLeases",
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// KV.Range.
    Range(RangeResponse),
    /// KV.RangeStream, its chunks put together.
    Stream(RangeResponse),
    /// KV.Put.
    Put(PutResponse),
    /// KV.DeleteRange.
    Delete(DeleteRangeResponse),
    /// KV.Txn.
    Txn(TxnResponse),
    /// KV.Compact.
    Compact(CompactionResponse),
    /// Lease.LeaseGrant.
    Grant(LeaseGrantResponse),
    /// Lease.LeaseRevoke.
    Revoke(LeaseRevokeResponse),
    /// One answer of Lease.LeaseKeepAlive.
    KeepAlive(LeaseKeepAliveResponse),
    /// Lease.LeaseTimeToLive.
    TimeToLive(LeaseTimeToLiveResponse),
    /// Lease.LeaseLeases.
    Leases(LeaseLeasesResponse),
}

impl Answer {
    /// The header.
    pub fn header(&mut self) -> &mut Option<ResponseHeader> {
        match self {
            Self::Range(a) | Self::Stream(a) => &mut a.header,
            Self::Put(a) => &mut a.header,
            Self::Delete(a) => &mut a.header,
            Self::Txn(a) => &mut a.header,
            Self::Compact(a) => &mut a.header,
            Self::Grant(a) => &mut a.header,
            Self::Revoke(a) => &mut a.header,
            Self::KeepAlive(a) => &mut a.header,
            Self::TimeToLive(a) => &mut a.header,
            Self::Leases(a) => &mut a.header,
        }
    }

    /// True when the answer says that keys were changed. (A revocation does not say.)
    pub fn has_written(&self) -> bool {
        match self {
            Self::Put(_) => true,
            Self::Delete(answer) => answer.deleted > 0,
            Self::Txn(answer) => txn_has_written(answer),
            _ => false,
        }
    }
}

fn txn_has_written(answer: &TxnResponse) -> bool {
    answer.responses.iter().any(|op| match &op.response {
        Some(Response::ResponsePut(_)) => true,
        Some(Response::ResponseDeleteRange(answer)) => answer.deleted > 0,
        Some(Response::ResponseTxn(answer)) => txn_has_written(answer),
        Some(Response::ResponseRange(_)) | None => false,
    })
}

impl Spec {
    /// Does what a request asks for. `chosen` is the lease id the server chose where that was left to it.
    ///
    /// # Errors
    /// etcd's. Nothing is changed then.
    pub fn execute(&mut self, op: &Op, chosen: i64, now: Instant) -> Result<Answer, Refusal> {
        Ok(match op {
            Op::Range(request) => Answer::Range(self.range(request)?),
            Op::Stream(request) => Answer::Stream(self.range_stream(request)?),
            Op::Put(request) => Answer::Put(self.put(request)?),
            Op::Delete(request) => Answer::Delete(self.delete_range(request)?),
            Op::Txn(request) => Answer::Txn(self.txn(request)?),
            Op::Compact(request) => Answer::Compact(self.compact(*request)?),
            Op::Grant(request) => Answer::Grant(self.grant(*request, chosen, now)?),
            Op::Revoke(request) => Answer::Revoke(self.revoke(*request)?),
            Op::KeepAlive(id) => Answer::KeepAlive(self.keep_alive(*id, now)),
            Op::TimeToLive(request) => Answer::TimeToLive(self.time_to_live(request, now)),
            Op::Leases => Answer::Leases(self.list_leases()),
        })
    }

    /// The refusal a KV request gets in this state, if any. Changes nothing.
    pub fn refusal(&self, op: &Op) -> Option<Refusal> {
        match op {
            Op::Range(request) => self.range(request).err(),
            Op::Stream(request) => self.range_stream(request).err(),
            Op::Put(request) => check_put(request).and_then(|()| self.check_put_here(request)).err(),
            Op::Delete(request) => check_delete(request).err(),
            Op::Txn(request) => self.plan(request).err(),
            _ => None,
        }
    }
}
