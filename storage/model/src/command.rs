//! What a log entry can say, and its canonical bytes: etcd's `InternalRaftRequest`.
//!
//! A [`Command`] is trusted: whoever builds one has checked it. The bytes are etcd's field for field, so that the limit
//! on the size of a request means the same here as there.

use crate::request::*;
use bytes::Bytes;
use prost::Message;

/// `etcdserverpb.RequestHeader`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct RequestHeader {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    username: String,
    #[prost(uint64, tag = "3")]
    auth_revision: u64,
}

/// `etcdserverpb.InternalRaftRequest`, the part in use.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct InternalRaftRequest {
    #[prost(message, optional, tag = "100")]
    header: Option<RequestHeader>,
    #[prost(message, optional, tag = "4")]
    put: Option<PutRequest>,
    #[prost(message, optional, tag = "5")]
    delete_range: Option<DeleteRangeRequest>,
    #[prost(message, optional, tag = "6")]
    txn: Option<TxnRequest>,
    #[prost(message, optional, tag = "7")]
    compaction: Option<CompactionRequest>,
    #[prost(message, optional, tag = "8")]
    lease_grant: Option<LeaseGrantRequest>,
    #[prost(message, optional, tag = "9")]
    lease_revoke: Option<LeaseRevokeRequest>,
    #[prost(message, optional, tag = "10")]
    alarm: Option<AlarmRequest>,
    #[prost(message, optional, tag = "11")]
    lease_checkpoint: Option<LeaseCheckpointRequest>,
    #[prost(message, optional, tag = "1300")]
    cluster_version_set: Option<ClusterVersionSetRequest>,
    #[prost(message, optional, tag = "1301")]
    member_attr_set: Option<MemberAttrSetRequest>,
}

/// One state-machine command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Write one key.
    Put(PutRequest),
    /// Delete a range of keys.
    DeleteRange(DeleteRangeRequest),
    /// Compare, then do.
    Txn(TxnRequest),
    /// Forget history up to a revision.
    Compaction(CompactionRequest),
    /// Create a lease (id and minimum TTL resolved).
    LeaseGrant(LeaseGrantRequest),
    /// End a lease and delete its keys.
    LeaseRevoke(LeaseRevokeRequest),
    /// Note the remaining TTL of leases.
    LeaseCheckpoint(LeaseCheckpointRequest),
    /// Raise, disarm or list alarms.
    Alarm(AlarmRequest),
    /// Settle the cluster version.
    ClusterVersionSet(ClusterVersionSetRequest),
    /// Publish a member's name and client URLs.
    MemberAttrSet(MemberAttrSetRequest),
}

/// Why bytes are no command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not protobuf of the expected shape.
    #[error("log entry is not a valid InternalRaftRequest: {0}")]
    Malformed(String),
    /// No known command inside: written by a newer version.
    #[error("log entry holds no command known to this version; run the version that wrote it or a newer one")]
    Unknown,
}

impl Command {
    /// Canonical bytes, with the request id in the header as etcd has it.
    pub fn encode(self, id: u64) -> Bytes {
        let mut req =
            InternalRaftRequest { header: Some(RequestHeader { id, ..Default::default() }), ..Default::default() };
        match self {
            Self::Put(r) => req.put = Some(r),
            Self::DeleteRange(r) => req.delete_range = Some(r),
            Self::Txn(r) => req.txn = Some(r),
            Self::Compaction(r) => req.compaction = Some(r),
            Self::LeaseGrant(r) => req.lease_grant = Some(r),
            Self::LeaseRevoke(r) => req.lease_revoke = Some(r),
            Self::LeaseCheckpoint(r) => req.lease_checkpoint = Some(r),
            Self::Alarm(r) => req.alarm = Some(r),
            Self::ClusterVersionSet(r) => req.cluster_version_set = Some(r),
            Self::MemberAttrSet(r) => req.member_attr_set = Some(r),
        }
        req.encode_to_vec().into()
    }

    /// Reverse of [`Self::encode`]; values share the buffer of `bytes`.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are damaged or of a newer version.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let req = InternalRaftRequest::decode(bytes).map_err(|e| DecodeError::Malformed(e.to_string()))?;
        None.or(req.put.map(Self::Put))
            .or(req.delete_range.map(Self::DeleteRange))
            .or(req.txn.map(Self::Txn))
            .or(req.compaction.map(Self::Compaction))
            .or(req.lease_grant.map(Self::LeaseGrant))
            .or(req.lease_revoke.map(Self::LeaseRevoke))
            .or(req.lease_checkpoint.map(Self::LeaseCheckpoint))
            .or(req.alarm.map(Self::Alarm))
            .or(req.cluster_version_set.map(Self::ClusterVersionSet))
            .or(req.member_attr_set.map(Self::MemberAttrSet))
            .ok_or(DecodeError::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn put_round_trips_and_has_etcds_bytes() {
        let put = PutRequest { key: "k".into(), value: "v".into(), ..Default::default() };
        let bytes = Command::Put(put.clone()).encode(1);
        // field 4 (put) {1: "k", 2: "v"}, field 100 (header) {1: 1}: fields ascend, as every canonical encoder writes them
        assert_eq!(&bytes[..], b"\x22\x06\x0a\x01k\x12\x01v\xa2\x06\x02\x08\x01");
        assert_eq!(Command::decode(bytes), Ok(Command::Put(put)));
    }

    #[test]
    fn bytes_without_a_command_are_refused() {
        assert_eq!(Command::decode(Bytes::new()), Err(DecodeError::Unknown));
        assert!(matches!(Command::decode(Bytes::from_static(b"\x22\xff")), Err(DecodeError::Malformed(_))));
    }
}
