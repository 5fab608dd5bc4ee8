//! Alarms, membership, cluster version, identity; opening and refusing to open.

use super::*;
use crate::apply::meta_rows::OWN_BYTES;
use crate::apply::{MemberContext, OpenError};
use crate::engine::Op;
use crate::schema::meta;
use ::model::AlarmMember;
use raft::confchange_codec::{encode_v1, encode_v2};
use raft::{ConfChange, ConfChangeKind, ConfChangeV2};

fn alarm(action: AlarmAction, member_id: u64, alarm: AlarmType) -> Command {
    Command::Alarm(AlarmRequest { action: action as i32, member_id, alarm: alarm as i32 })
}

fn raised(member_id: u64, alarm: AlarmType) -> Result<Outcome, ApplyError> {
    Ok(Outcome::Alarm(vec![AlarmMember { member_id, alarm }]))
}

#[test]
fn no_space_refuses_what_costs_space() {
    let mut node = Node::new();
    node.run(grant(1));
    node.put("a", "v");
    let (report, applied) = node.report(alarm(AlarmAction::Activate, 3, AlarmType::Nospace));
    assert_eq!(applied.result, raised(3, AlarmType::Nospace));
    assert_eq!(report.alarms.unwrap().len(), 1);
    assert_eq!(node.refused(put("a", "w")), ApplyError::NoSpace);
    assert_eq!(node.refused(grant(2)), ApplyError::NoSpace);
    let deletes = RequestUnion::DeleteRange(DeleteRangeRequest { key: "x".into(), ..Default::default() });
    let nested = RequestUnion::Txn(txn(vec![], vec![], vec![RequestUnion::Put(put_request("b", "v"))]));
    assert_eq!(node.refused(Command::Txn(txn(vec![], vec![nested], vec![]))), ApplyError::NoSpace);
    node.ok(Command::Txn(txn(vec![], vec![deletes], vec![])));
    node.ok(delete("a", ""));
    assert_eq!(node.run(compact(2)).result, Ok(Outcome::Compaction));
    assert_eq!(node.run(revoke(1)).result, Ok(Outcome::LeaseRevoke));
    assert_eq!(node.run(alarm(AlarmAction::Deactivate, 3, AlarmType::Nospace)).result, raised(3, AlarmType::Nospace));
    node.put("a", "w");
}

#[test]
fn corrupt_refuses_nearly_everything() {
    let mut node = Node::new();
    node.run(grant(1));
    node.run(alarm(AlarmAction::Activate, 1, AlarmType::Nospace));
    node.run(alarm(AlarmAction::Activate, 2, AlarmType::Corrupt));
    for command in
        [put("a", "v"), delete("a", ""), Command::Txn(TxnRequest::default()), compact(1), grant(2), revoke(1)]
    {
        assert_eq!(node.refused(command), ApplyError::Corrupt);
    }
    let checkpoint = LeaseCheckpointRequest { checkpoints: vec![LeaseCheckpoint { id: 1, remaining_ttl: 1 }] };
    assert_eq!(node.run(Command::LeaseCheckpoint(checkpoint)).result, Ok(Outcome::LeaseCheckpoint));
}

#[test]
fn alarms_are_listed_raised_once_and_survive_a_restart() {
    let mut node = Node::new();
    node.run(alarm(AlarmAction::Activate, 2, AlarmType::Corrupt));
    node.run(alarm(AlarmAction::Activate, 1, AlarmType::Nospace));
    let (report, applied) = node.report(alarm(AlarmAction::Activate, 1, AlarmType::Nospace));
    assert_eq!((applied.result, report.alarms), (raised(1, AlarmType::Nospace), None));
    let mut node = Node::open(node.engine.clone(), 1 << 20);
    let all = node.applier.alarms().to_vec();
    assert_eq!(all.iter().map(|a| a.member_id).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(node.run(alarm(AlarmAction::Get, 0, AlarmType::None)).result, Ok(Outcome::Alarm(all)));
    assert_eq!(node.run(alarm(AlarmAction::Get, 0, AlarmType::Corrupt)).result, raised(2, AlarmType::Corrupt));
    for odd in [alarm(AlarmAction::Activate, 1, AlarmType::None), alarm(AlarmAction::Deactivate, 9, AlarmType::Corrupt)]
    {
        assert_eq!(node.run(odd).result, Ok(Outcome::Alarm(vec![])));
    }
    let unknown = Command::Alarm(AlarmRequest { action: 9, member_id: 1, alarm: 7 });
    assert_eq!(node.run(unknown).result, Ok(Outcome::Alarm(vec![])));
}

fn change(index: u64, kind: ConfChangeKind, node_id: u64, urls: &[&str], conf_state: Option<ConfState>) -> Committed {
    let origin = Origin { member: 1, epoch: 2, sequence: index };
    let context = MemberContext { origin, peer_urls: urls.iter().map(|u| u.to_string()).collect() }.encode();
    let data = encode_v1(&ConfChange { id: index, kind, node_id, context });
    Committed { entry: Entry { term: 1, index, kind: EntryKind::ConfChange, data }, conf_state }
}

fn voters(voters: &[u64], learners: &[u64]) -> Option<ConfState> {
    Some(ConfState { voters: voters.to_vec(), learners: learners.to_vec(), ..Default::default() })
}

#[test]
fn conf_changes_are_applied_with_everything_else() {
    let mut node = Node::new();
    let leave = Entry { term: 1, index: 6, kind: EntryKind::ConfChangeV2, data: encode_v2(&ConfChangeV2::default()) };
    let entries = [
        change(1, ConfChangeKind::AddLearnerNode, 2, &["http://b:1"], voters(&[1], &[2])),
        entry(2, 1, put("a", "v")),
        change(3, ConfChangeKind::AddNode, 2, &[], voters(&[1, 2], &[])),
        change(4, ConfChangeKind::UpdateNode, 2, &["http://b:2"], voters(&[1, 2], &[])),
        change(5, ConfChangeKind::AddNode, 3, &["http://c:1"], None),
        Committed { entry: leave, conf_state: voters(&[1, 2], &[]) },
    ];
    let report = node.applier.apply(&entries).unwrap();
    assert!(report.membership);
    let answered: Vec<_> = report.replies.iter().map(|r| r.as_ref().map(|(origin, _)| origin.sequence)).collect();
    assert_eq!(answered, [Some(1), Some(2), Some(3), Some(4), None, None]);
    let publish = |id| {
        let attributes = MemberAttributes { name: "b".into(), client_urls: vec!["http://b:9".into()] };
        Command::MemberAttrSet(MemberAttrSetRequest { member_id: id, attributes: Some(attributes) })
    };
    node.run(publish(2));
    node.run(publish(3));
    node.run(Command::ClusterVersionSet(ClusterVersionSetRequest { ver: "3.7.0".into() }));
    let node = Node::open(node.engine.clone(), 1 << 20);
    assert_eq!(node.applier.conf_state().voters, [1, 2]);
    assert_eq!(node.applier.cluster_version(), Some("3.7.0"));
    let members = node.applier.members().unwrap();
    assert_eq!(members.iter().map(|m| m.0).collect::<Vec<_>>(), [1, 2]);
    let expected =
        MemberRow { name: "b".into(), peer_urls: vec!["http://b:2".into()], client_urls: vec!["http://b:9".into()] };
    assert_eq!(members[1].1, expected);
}

#[test]
fn removed_members_are_remembered() {
    let mut node = Node::new();
    let add = change(1, ConfChangeKind::AddNode, 9, &["http://n:1"], voters(&[1, 9], &[]));
    let remove = change(2, ConfChangeKind::RemoveNode, 9, &[], voters(&[1], &[]));
    node.applier.apply(&[add, remove]).unwrap();
    assert_eq!(node.applier.removed_members().unwrap(), [9]);
    assert_eq!(node.applier.members().unwrap().len(), 1);
}

#[test]
fn a_store_is_bootstrapped_once() {
    let engine = Arc::new(SimEngine::new());
    assert!(matches!(StateMachine::open(engine.clone()), Err(OpenError::Empty)));
    let applier = StateMachine::bootstrap(engine.clone(), &first()).unwrap();
    assert_eq!((applier.identity().cluster_id, applier.identity().member_id), (7, 1));
    let view = applier.view();
    assert_eq!((view.status.revision, view.status.compact_revision, view.status.applied_index), (1, -1, 0));
    assert_eq!((view.status.logical_bytes, view.status.live_bytes, view.status.keys), (OWN_BYTES, OWN_BYTES, 0));
    assert!(matches!(
        StateMachine::bootstrap(engine, &first()),
        Err(OpenError::NotEmpty { cluster_id: 7, member_id: 1 })
    ));
}

#[test]
fn a_newer_format_and_damaged_rows_are_refused() {
    let node = Node::new();
    let row = |key: &'static [u8], value: &'static [u8]| {
        let engine = SimEngine::new();
        crate::apply::bootstrap(&engine, &first()).unwrap();
        let key = Bytes::from_static(key);
        engine.write(vec![Op::Put { family: Family::Meta, key, value: Bytes::from_static(value) }]).unwrap();
        StateMachine::open(Arc::new(engine)).err()
    };
    assert!(matches!(row(meta::FORMAT, &[0, 0, 0, 9]), Some(OpenError::Format { found: 9, known: 2 })));
    for key in [meta::FORMAT, meta::APPLIED, meta::REVISIONS, meta::SIZES, meta::IDENTITY, meta::CHUNK] {
        assert!(matches!(row(key, b"\x08"), Some(OpenError::Fatal(_))), "{key:?}");
    }
    drop(node);
}
