//! JSON to protobuf and back: what prost makes of the bytes, and the same however they are cut.

use super::{Encoder, Escapes, Found, Malformed, Scanner, decode};
use api::etcdserverpb as pb;
use api::schema;
use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;

/// What a scanner finds in bytes that come in pieces of this size: the value, and how many bytes it took.
fn scan(input: &[u8], size: usize) -> Result<Option<usize>, String> {
    let mut scanner = Scanner::default();
    let mut done = 0;
    for piece in input.chunks(size) {
        match scanner.feed(piece)? {
            Found::End(at) => return Ok(Some(done + at)),
            Found::More => done += piece.len(),
        }
    }
    scanner.end().map(|is_value| is_value.then_some(done))
}

#[test]
fn values_end_where_they_end_however_they_are_cut() {
    for (input, end) in [
        ("{}", Ok(Some(2))),
        (" {} x", Ok(Some(3))),
        ("{}{}", Ok(Some(2))),
        ("[1,\"]\",{\"a\":[]}]]", Ok(Some(16))),
        ("12 3", Ok(Some(2))),
        ("12", Ok(Some(2))),
        ("-0.5e+7]", Ok(Some(7))),
        ("01", Ok(Some(1))),
        ("true,", Ok(Some(4))),
        ("\"a\\\"b\" ", Ok(Some(6))),
        ("", Ok(None)),
        (" \n", Ok(None)),
        ("{", Err("unexpected EOF")),
        ("\"a", Err("unexpected EOF")),
        ("tru", Err("unexpected EOF")),
        ("-", Err("unexpected EOF")),
        ("1.", Err("unexpected EOF")),
        ("nul]", Err("invalid character ']' in literal null (expecting 'l')")),
        ("{\"a\":1,}", Err("invalid character '}' looking for beginning of object key string")),
        ("{\"a\",", Err("invalid character ',' after object key")),
        ("[1 2]", Err("invalid character '2' after array element")),
    ] {
        for size in [1, 2, 3, usize::MAX] {
            assert_eq!(scan(input.as_bytes(), size), end.map_err(str::to_owned), "{input:?} in pieces of {size}");
        }
    }
}

fn method(path: &str) -> &'static schema::Method {
    schema::METHODS.iter().find(|method| method.path == path).expect("a method")
}

#[test]
fn a_txn_is_what_prost_would_have_made() {
    let json =
        br#"{"compare":[{"target":"VALUE","key":"YQ==","value":""},{"key":"YQ==","version":"0","rangeEnd":"Yg=="}],
        "success":[{"request_txn":{"failure":[{"requestPut":{"key":"YQ==","value":"Yg==","prev_kv":true}},{}]}}],
        "failure":[{"request_delete_range":{}}]}"#;
    let bytes = decode(json, method("/etcdserverpb.KV/Txn").request).expect("a transaction");
    let txn = pb::TxnRequest::decode(bytes.clone()).expect("protobuf");
    assert_eq!(txn.compare[0].target_union, Some(pb::TargetUnion::Value(Bytes::new())), "what may be set is set");
    assert_eq!(txn.compare[1].target_union, Some(pb::TargetUnion::Version(0)));
    assert_eq!(txn.compare[1].range_end, "b");
    let Some(pb::RequestUnion::Txn(inner)) = &txn.success[0].request else { panic!("{txn:?}") };
    assert_eq!((inner.failure.len(), &inner.failure[1]), (2, &pb::RequestOp::default()));
    assert_eq!(txn.encode_to_vec(), bytes, "the shortest form, in the order of fields");
}

fn encoded(message: &impl Message, of: &'static schema::Message, size: usize) -> Result<String, Malformed> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(of, Escapes::Json, &mut out);
    for piece in message.encode_to_vec().chunks(size) {
        encoder.push(piece, &mut out)?;
    }
    encoder.finish(&mut out)?;
    Ok(String::from_utf8(out).expect("text"))
}

#[test]
fn answers_are_the_same_however_they_are_cut() {
    let header = pb::ResponseHeader { cluster_id: u64::MAX, member_id: 1, revision: -1, raft_term: 0 };
    let kv =
        |value: &'static [u8]| api::mvccpb::KeyValue { key: "k".into(), value: value.into(), ..Default::default() };
    let range = pb::RangeResponse {
        header: Some(header),
        kvs: vec![kv(b""), kv(b"a"), kv(b"ab"), kv(b"abc"), kv(b"abcdefghij")],
        more: true,
        count: 5,
    };
    let status = pb::StatusResponse {
        header: Some(pb::ResponseHeader::default()),
        version: "\"\\\n\u{1}é</".into(),
        errors: vec![String::new(), "x".into()],
        is_learner: true,
        ..Default::default()
    };
    let get = pb::AuthRoleGetResponse {
        header: None,
        perm: vec![Default::default(), api::authpb::Permission { perm_type: 9, ..Default::default() }],
    };
    for size in [1, 2, 3, 7, usize::MAX] {
        let text = encoded(&range, method("/etcdserverpb.KV/Range").response, size).expect("JSON");
        let kvs = r#"{"key":"aw=="},{"key":"aw==","value":"YQ=="},{"key":"aw==","value":"YWI="},{"key":"aw==","value":"YWJj"},{"key":"aw==","value":"YWJjZGVmZ2hpag=="}"#;
        let want = format!(
            r#"{{"header":{{"cluster_id":"18446744073709551615","member_id":"1","revision":"-1"}},"kvs":[{kvs}],"more":true,"count":"5"}}"#
        );
        assert_eq!(text, want, "pieces of {size}");
        let text = encoded(&status, method("/etcdserverpb.Maintenance/Status").response, size).expect("JSON");
        assert_eq!(text, r#"{"header":{},"version":"\"\\\n\u0001é</","errors":["","x"],"isLearner":true}"#);
        let text = encoded(&get, method("/etcdserverpb.Auth/RoleGet").response, size).expect("JSON");
        assert_eq!(text, r#"{"perm":[{},{"permType":9}]}"#);
    }
}

#[test]
fn what_is_no_message_is_noticed() {
    let of = method("/etcdserverpb.KV/Range").response;
    for (what, bytes) in [
        ("a field of fixed size", &[0x09, 0, 0, 0, 0, 0, 0, 0, 0][..]),
        ("cut", &[0x0a, 5, 8]),
        ("a part longer than its whole", &[0x0a, 2, 8, 0x80, 1]),
        ("fields in a wrong order", &[0x18, 1, 0x0a, 0]),
        ("a field twice", &[0x18, 1, 0x18, 1]),
        ("a number without an end", &[0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
    ] {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(of, Escapes::Json, &mut out);
        let result = encoder.push(bytes, &mut out).and_then(|()| encoder.finish(&mut out));
        assert_eq!(result, Err(Malformed), "{what}");
    }
}

proptest! {
    /// Requests that were written as JSON come back as they were.
    #[test]
    fn requests_survive_the_way_through_json(
        key in proptest::collection::vec(any::<u8>(), 0..20),
        value in proptest::collection::vec(any::<u8>(), 0..200),
        (lease, prev_kv, ignore_value) in (any::<i64>(), any::<bool>(), any::<bool>()),
        (order, revision, size) in (0..4i32, any::<i64>(), 1..50usize),
    ) {
        let put = pb::PutRequest { key: key.clone().into(), value: value.into(), lease, prev_kv, ignore_value, ..Default::default() };
        let of = method("/etcdserverpb.KV/Put").request;
        let json = encoded(&put, of, size).expect("JSON");
        prop_assert_eq!(scan(json.as_bytes(), size), Ok(Some(json.len())));
        let back = decode(json.as_bytes(), of).expect("a request");
        prop_assert_eq!(pb::PutRequest::decode(back), Ok(put));
        let range = pb::RangeRequest { key: key.into(), sort_order: order, revision, ..Default::default() };
        let of = method("/etcdserverpb.KV/Range").request;
        let back = decode(encoded(&range, of, size).expect("JSON").as_bytes(), of).expect("a request");
        prop_assert_eq!(pb::RangeRequest::decode(back), Ok(range));
    }
}
