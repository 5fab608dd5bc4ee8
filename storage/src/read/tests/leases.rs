//! Leases and members as reads show them.

use super::*;
use crate::apply::{LeaseRow, MemberRow};
use ::model::request::*;

#[test]
fn leases_and_their_keys() {
    let mut store = Store::new();
    for id in [5, -3, 900] {
        store.run(Command::LeaseGrant(LeaseGrantRequest { id, ttl: id.abs() + 10 }));
    }
    for (key, lease) in [("b", 5), ("a", 5), ("c", 900), ("a\0", 5), ("b", -3)] {
        store.run(Command::Put(PutRequest { key: key.into(), lease, ..Default::default() }));
    }
    let checkpoints = vec![LeaseCheckpoint { id: 900, remaining_ttl: 7 }];
    store.run(Command::LeaseCheckpoint(LeaseCheckpointRequest { checkpoints }));
    let view = store.view();
    let row = |ttl, remaining| LeaseRow { ttl, remaining };
    assert_eq!(meta::leases(&view), Ok(vec![(-3, row(13, 0)), (5, row(15, 0)), (900, row(910, 7))]));
    assert_eq!(meta::lease(&view, 5), Ok(Some(row(15, 0))));
    assert_eq!(meta::lease(&view, 6), Ok(None));
    let keys = |list: &[&'static str]| list.iter().map(|k| Bytes::from_static(k.as_bytes())).collect::<Vec<_>>();
    assert_eq!(meta::attached_keys(&view, 5), Ok(keys(&["a", "a\0"])));
    assert_eq!(meta::attached_keys(&view, -3), Ok(keys(&["b"])));
    assert_eq!(meta::attached_keys(&view, 4), Ok(keys(&[])));
    assert_eq!(meta::attached_keys_from(&view, 5, b"a\0", 9), Ok((keys(&["a\0"]), false)));
    assert_eq!(meta::attached_keys_from(&view, 5, b"", 1), Ok((keys(&["a"]), true)));
    store.run(Command::LeaseRevoke(LeaseRevokeRequest { id: 5 }));
    let view = store.view();
    assert_eq!(meta::attached_keys(&view, 5), Ok(keys(&[])));
    assert_eq!(meta::leases(&view).map(|l| l.len()), Ok(2));
    assert_eq!(meta::attached_keys(&view, 900), Ok(keys(&["c"])));
}

#[test]
fn members_publish_themselves() {
    let mut store = Store::new();
    let attributes = MemberAttributes { name: "one".into(), client_urls: vec!["http://a:2379".into()] };
    let command = MemberAttrSetRequest { member_id: 1, attributes: Some(attributes) };
    store.run(Command::MemberAttrSet(command));
    store.run(Command::ClusterVersionSet(ClusterVersionSetRequest { ver: "3.7.0".into() }));
    let view = store.view();
    let row = MemberRow {
        name: "one".into(),
        peer_urls: vec!["http://a:2380".into()],
        client_urls: vec!["http://a:2379".into()],
    };
    assert_eq!(meta::members(&view), Ok(vec![(1, row)]));
    assert_eq!(meta::removed_members(&view), Ok(Vec::new()));
    assert_eq!(meta::cluster_version(&view), Ok(Some("3.7.0".into())));
}
