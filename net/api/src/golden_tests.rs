//! Field numbers against bytes written down by hand: a wrong number in `proto/` or `model` must not survive.

use crate::{authpb, etcdserverpb as pb, health, mvccpb, v3electionpb, v3lockpb};
use bytes::Bytes;
use prost::Message;

fn same<M: Message + Default + PartialEq + std::fmt::Debug>(message: M, bytes: &[u8]) {
    assert_eq!(message.encode_to_vec(), bytes, "encoding of {message:?}");
    assert_eq!(M::decode(Bytes::copy_from_slice(bytes)).expect("decodes"), message);
}

#[test]
fn header_and_range() {
    let header = pb::ResponseHeader { cluster_id: 1, member_id: 2, revision: 3, raft_term: 4 };
    same(header, b"\x08\x01\x10\x02\x18\x03\x20\x04");
    let kv = mvccpb::KeyValue {
        key: "k".into(),
        create_revision: 2,
        mod_revision: 3,
        version: 4,
        value: "v".into(),
        lease: 6,
    };
    let range = pb::RangeResponse { header: Some(header), kvs: vec![kv], more: true, count: 9 };
    same(
        pb::RangeStreamResponse { range_response: Some(range) },
        b"\x0a\x1e\x0a\x08\x08\x01\x10\x02\x18\x03\x20\x04\x12\x0e\x0a\x01k\x10\x02\x18\x03\x20\x04\x2a\x01v\x30\x06\x18\x01\x20\x09",
    );
}

#[test]
fn compare_has_range_end_at_64() {
    let compare = pb::Compare {
        result: pb::CompareResult::NotEqual.into(),
        target: pb::CompareTarget::Lease.into(),
        key: "a".into(),
        target_union: Some(pb::TargetUnion::Lease(5)),
        range_end: "b".into(),
    };
    let txn = pb::TxnRequest { compare: vec![compare], ..Default::default() };
    same(txn, b"\x0a\x0d\x08\x03\x10\x04\x1a\x01a\x40\x05\x82\x04\x01b");
}

#[test]
fn txn_response_nests() {
    let op = pb::ResponseOp { response: Some(pb::response_op::Response::ResponseDeleteRange(Default::default())) };
    same(pb::TxnResponse { header: None, succeeded: true, responses: vec![op] }, b"\x10\x01\x1a\x02\x1a\x00");
}

#[test]
fn watch_has_events_at_11() {
    let event = mvccpb::Event { r#type: mvccpb::EventType::Delete.into(), ..Default::default() };
    let response = pb::WatchResponse {
        header: None,
        watch_id: 1,
        created: true,
        canceled: true,
        compact_revision: 2,
        cancel_reason: "x".into(),
        fragment: true,
        events: vec![event],
    };
    same(response, b"\x10\x01\x18\x01\x20\x01\x28\x02\x32\x01x\x38\x01\x5a\x02\x08\x01");
    let create = pb::WatchCreateRequest { watch_id: 7, fragment: true, filters: vec![0, 1], ..Default::default() };
    let union = pb::watch_request::RequestUnion::CreateRequest(create);
    same(pb::WatchRequest { request_union: Some(union) }, b"\x0a\x08\x2a\x02\x00\x01\x38\x07\x40\x01");
}

#[test]
fn maintenance() {
    let hash = pb::HashKvResponse { header: None, hash: 1, compact_revision: 2, hash_revision: 3 };
    same(hash, b"\x10\x01\x18\x02\x20\x03");
    let info = pb::DowngradeInfo { enabled: true, target_version: "3".into() };
    let status = pb::StatusResponse {
        version: "4".into(),
        db_size_quota: 5,
        db_size_in_use: 6,
        storage_version: "7".into(),
        raft_applied_index: 8,
        downgrade_info: Some(info),
        ..Default::default()
    };
    same(status, b"\x12\x014\x38\x08\x48\x06\x5a\x017\x60\x05\x6a\x05\x08\x01\x12\x013");
    same(pb::AlarmMember { member_id: 1, alarm: pb::AlarmType::Corrupt.into() }, b"\x08\x01\x10\x02");
    let snapshot = pb::SnapshotResponse { remaining_bytes: 1, blob: "b".into(), version: "v".into(), header: None };
    same(snapshot, b"\x10\x01\x1a\x01b\x22\x01v");
}

#[test]
fn leases_members_and_users() {
    let ttl = pb::LeaseTimeToLiveResponse { id: 1, ttl: -1, granted_ttl: 2, keys: vec!["k".into()], header: None };
    same(ttl, b"\x10\x01\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x20\x02\x2a\x01k");
    let member = pb::Member {
        id: 1,
        name: "n".into(),
        peer_urls: vec!["p".into()],
        client_urls: vec!["c".into()],
        is_learner: true,
    };
    same(member, b"\x08\x01\x12\x01n\x1a\x01p\x22\x01c\x28\x01");
    let options = Some(authpb::UserAddOptions { no_password: true });
    let user = pb::AuthUserAddRequest { name: "u".into(), options, hashed_password: "h".into(), ..Default::default() };
    same(user, b"\x0a\x01u\x1a\x02\x08\x01\x22\x01h");
    let perm = authpb::Permission { perm_type: 2, key: "k".into(), range_end: "l".into() };
    same(perm, b"\x08\x02\x12\x01k\x1a\x01l");
    same(pb::AuthStatusResponse { header: None, enabled: true, auth_revision: 3 }, b"\x10\x01\x18\x03");
}

#[test]
fn locks_elections_and_health() {
    same(v3lockpb::LockResponse { header: None, key: "k".into() }, b"\x12\x01k");
    let leader = v3electionpb::LeaderKey { name: "n".into(), key: "k".into(), rev: 1, lease: 2 };
    same(
        v3electionpb::ProclaimRequest { leader: Some(leader), value: "v".into() },
        b"\x0a\x0a\x0a\x01n\x12\x01k\x18\x01\x20\x02\x12\x01v",
    );
    let serving = health::health_check_response::ServingStatus::Serving;
    same(health::HealthCheckResponse { status: serving.into() }, b"\x08\x01");
}

#[test]
fn decoded_bytes_share_the_buffer() {
    let whole = Bytes::from(
        pb::PutRequest { key: "key".into(), value: vec![7; 100].into(), ..Default::default() }.encode_to_vec(),
    );
    let put = pb::PutRequest::decode(whole.clone()).expect("decodes");
    assert!(whole.as_ptr_range().contains(&put.value.as_ptr()), "the value was copied");
}

#[test]
fn every_service_is_described() {
    for name in
        ["RangeStream", "LeaseKeepAlive", "MemberPromote", "HashKV", "UserChangePassword", "Observe", "peerURLs"]
    {
        let found = crate::DESCRIPTORS.windows(name.len()).any(|w| w == name.as_bytes());
        assert!(found, "{name} is missing from the descriptor set");
    }
}
