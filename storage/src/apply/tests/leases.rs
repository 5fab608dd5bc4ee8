//! Rules of leases.

use super::*;
use crate::apply::LeaseChange;
use crate::schema::meta;

fn put_on(key: &'static str, lease: i64) -> Command {
    Command::Put(PutRequest { lease, ..put_request(key, "v") })
}

fn attached(node: &Node, lease: i64) -> Vec<Bytes> {
    let prefix = meta::attached(lease, &[]);
    let rows = dump(node.engine.as_ref()).into_iter().filter(|row| row.0 == Family::Meta);
    rows.filter_map(|row| row.1.starts_with(&prefix).then(|| row.1.slice(prefix.len()..))).collect()
}

#[test]
fn a_lease_exists_once_and_until_revoked() {
    let mut node = Node::new();
    let (report, applied) = node.report(grant(5));
    assert_eq!(applied.result, Ok(Outcome::LeaseGrant { id: 5, ttl: 10 }));
    assert_eq!(report.leases, [LeaseChange::Granted { id: 5, ttl: 10 }]);
    assert_eq!(node.refused(grant(5)), ApplyError::LeaseExists);
    assert_eq!(node.refused(grant(0)), ApplyError::LeaseNotFound);
    assert_eq!(node.refused(put_on("a", 6)), ApplyError::LeaseNotFound);
    let (report, applied) = node.report(revoke(5));
    assert_eq!((applied.result, applied.revision), (Ok(Outcome::LeaseRevoke), 1));
    assert_eq!(report.leases, [LeaseChange::Revoked { id: 5 }]);
    assert_eq!(node.refused(revoke(5)), ApplyError::LeaseNotFound);
    assert_eq!(node.applier.state().leases, 0);
}

#[test]
fn revoke_deletes_attached_keys_in_one_revision_ascending() {
    let mut node = Node::new();
    node.run(grant(-5));
    for key in ["b", "a", "c"] {
        node.ok(put_on(key, -5));
    }
    node.put("d", "stays");
    let (report, applied) = node.report(revoke(-5));
    assert_eq!(applied.revision, 6);
    let events: Vec<_> = report.events.iter().map(|e| (e.revision.main, e.revision.sub, &e.key[..])).collect();
    assert_eq!(events, [(6, 0, &b"a"[..]), (6, 1, b"b"), (6, 2, b"c")]);
    assert!(node.get("a").is_none() && node.get("d").is_some());
    assert!(attached(&node, -5).is_empty());
}

#[test]
fn attachments_follow_the_last_put_and_end_with_the_key() {
    let mut node = Node::new();
    node.run(grant(1));
    node.run(grant(2));
    node.ok(put_on("a", 1));
    node.ok(put_on("b", 1));
    assert_eq!(attached(&node, 1), ["a", "b"]);
    node.ok(put_on("a", 2));
    assert_eq!((attached(&node, 1), attached(&node, 2)), (vec!["b".into()], vec!["a".into()]));
    node.ok(Command::Put(PutRequest { ignore_lease: true, ..put_request("a", "w") }));
    assert_eq!(attached(&node, 2), ["a"]);
    assert_eq!(node.get("a").unwrap().lease, 2);
    node.put("a", "free");
    node.ok(delete("b", ""));
    assert!(attached(&node, 1).is_empty() && attached(&node, 2).is_empty());
}

#[test]
fn revoke_sees_attachments_of_the_same_batch() {
    let mut node = Node::new();
    let commands = [grant(1), put_on("a", 1), put_on("b", 1), delete("b", ""), revoke(1), put("a", "new")];
    let entries: Vec<_> = commands.into_iter().enumerate().map(|(n, c)| entry(n as u64 + 1, 1, c)).collect();
    let report = node.applier.apply(&entries).unwrap();
    assert_eq!(report.events.len(), 5);
    assert_eq!(node.get("a").unwrap().version, 1);
}

#[test]
fn checkpoints_are_noted_and_gone_leases_skipped() {
    let mut node = Node::new();
    node.run(grant(1));
    let checkpoints = vec![LeaseCheckpoint { id: 9, remaining_ttl: 3 }, LeaseCheckpoint { id: 1, remaining_ttl: 4 }];
    let (report, applied) = node.report(Command::LeaseCheckpoint(LeaseCheckpointRequest { checkpoints }));
    assert_eq!(applied.result, Ok(Outcome::LeaseCheckpoint));
    assert_eq!(report.leases, [LeaseChange::Checkpoint { id: 1, remaining_ttl: 4 }]);
    let row = node.engine.snapshot().get(Family::Meta, &meta::lease(1)).unwrap().unwrap();
    assert_eq!(crate::apply::LeaseRow::decode(&row), Ok(crate::apply::LeaseRow { ttl: 10, remaining: 4 }));
}

#[test]
fn internal_proposals_of_another_term_do_nothing() {
    let mut node = Node::new();
    node.run(grant(1));
    let report = node.applier.apply(&[scoped(2, 4, 3, revoke(1)), scoped(3, 4, 4, revoke(1))]).unwrap();
    let results: Vec<_> =
        report.replies.into_iter().flatten().map(|(_, applied)| (applied.term, applied.result)).collect();
    assert_eq!(results, [(4, Err(ApplyError::StaleTerm)), (4, Ok(Outcome::LeaseRevoke))]);
}
