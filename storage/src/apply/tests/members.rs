//! Alarms, membership, cluster version, identity; opening and refusing to open.

use super::*;
use crate::apply::ConfVerdict;
use crate::apply::meta_rows::OWN_BYTES;
use crate::apply::{MemberContext, OpenError};
use crate::engine::Op;
use crate::schema::meta;
use ::model::{AlarmMember, MemberRefusal};
use proptest::prelude::*;
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

fn context(index: u64, urls: &[&str]) -> MemberContext {
    let origin = Origin { member: 1, epoch: 2, sequence: index };
    MemberContext { origin, peer_urls: urls.iter().map(|u| u.to_string()).collect(), max_learners: 1 }
}

fn change(index: u64, kind: ConfChangeKind, node_id: u64, urls: &[&str]) -> Committed {
    let context = context(index, urls).encode();
    let data = encode_v1(&ConfChange { id: index, kind, node_id, context });
    Committed { entry: Entry { term: 1, index, kind: EntryKind::ConfChange, data } }
}

/// What was answered to each, by sequence of its origin.
fn answers(verdicts: &[ConfVerdict]) -> Vec<(u64, Result<Vec<u64>, MemberRefusal>)> {
    let ids = |outcome: &Outcome| match outcome {
        Outcome::Members { members, .. } => members.iter().map(|m| m.id).collect(),
        other => panic!("{other:?}"),
    };
    let answer = |verdict: &ConfVerdict| {
        let (origin, applied) = verdict.answer.clone()?;
        let result = match applied.result {
            Ok(outcome) => Ok(ids(&outcome)),
            Err(ApplyError::Member(why)) => Err(why),
            Err(other) => panic!("{other:?}"),
        };
        Some((origin.sequence, result))
    };
    verdicts.iter().filter_map(answer).collect()
}

#[test]
fn conf_changes_are_applied_with_everything_else() {
    let mut node = Node::new();
    let leave = Entry { term: 1, index: 6, kind: EntryKind::ConfChangeV2, data: encode_v2(&ConfChangeV2::default()) };
    let entries = [
        change(1, ConfChangeKind::AddLearnerNode, 2, &["http://b:1"]),
        entry(2, 1, put("a", "v")),
        change(3, ConfChangeKind::AddNode, 2, &[]),
        change(4, ConfChangeKind::UpdateNode, 2, &["http://b:2"]),
        change(5, ConfChangeKind::AddNode, 3, &["http://b:2"]),
        Committed { entry: leave },
    ];
    let report = node.applier.apply(&entries).unwrap();
    let known = report.membership.clone().expect("it changed");
    assert_eq!((known.conf_state.voters.as_slice(), known.members.len()), (&[1, 2][..], 2));
    let answered: Vec<_> = report.replies.iter().map(|r| r.as_ref().map(|(origin, _)| origin.sequence)).collect();
    assert_eq!(answered, [None, Some(2), None, None, None, None], "conf changes are answered by the core");
    let refused = (5, Err(MemberRefusal::PeerUrlTaken));
    assert_eq!(answers(&report.verdicts), [(1, Ok(vec![1, 2])), (3, Ok(vec![1, 2])), (4, Ok(vec![1, 2])), refused]);
    let verdicts: Vec<_> = report.verdicts.iter().map(|v| (v.index, v.result.is_ok())).collect();
    assert_eq!(verdicts, [(1, true), (3, true), (4, true), (5, false), (6, false)]);
    assert_eq!(report.verdicts[0].membership.conf_state.learners, [2]);
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
fn removed_members_are_remembered_and_never_come_back() {
    let mut node = Node::new();
    let entries = [
        change(1, ConfChangeKind::AddNode, 9, &["http://n:1"]),
        change(2, ConfChangeKind::RemoveNode, 9, &[]),
        change(3, ConfChangeKind::AddNode, 9, &["http://n:2"]),
        change(4, ConfChangeKind::AddLearnerNode, 9, &["http://n:3"]),
    ];
    let report = node.applier.apply(&entries).unwrap();
    let removed = Err(MemberRefusal::Removed);
    assert_eq!(answers(&report.verdicts)[2..], [(3, removed.clone()), (4, removed)]);
    assert_eq!(node.applier.removed_members().unwrap(), [9]);
    assert_eq!(node.applier.members().unwrap().len(), 1);
}

#[test]
fn a_refused_change_has_no_effect_but_its_index() {
    let mut node = Node::new();
    let before = node.applier.membership().unwrap();
    let report = node.applier.apply(&[change(1, ConfChangeKind::RemoveNode, 5, &[])]).unwrap();
    assert_eq!((answers(&report.verdicts), report.membership), (vec![(1, Err(MemberRefusal::NotFound))], None));
    let node = Node::open(node.engine.clone(), 1 << 20);
    assert_eq!(node.applier.membership().unwrap(), before);
    assert_eq!(node.applier.applied().index, 1);
}

fn kinds() -> impl Strategy<Value = ConfChangeKind> {
    prop::sample::select(vec![
        ConfChangeKind::AddNode,
        ConfChangeKind::AddLearnerNode,
        ConfChangeKind::RemoveNode,
        ConfChangeKind::UpdateNode,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn members_and_conf_state_agree_whatever_is_asked_for(
        asked in prop::collection::vec((kinds(), 1..7u64, 0..5usize), 1..40),
        cut in 0..40usize,
    ) {
        let urls = ["http://a:1", "http://b:1", "http://c:1", "http://d:1"];
        let mut node = Node::new();
        let mut gone: Vec<u64> = Vec::new();
        for (at, (kind, id, url)) in asked.into_iter().enumerate() {
            if at == cut {
                node = Node::open(node.engine.clone(), 1 << 20);
            }
            let urls = urls.get(url).map_or(vec![], |url| vec![*url]);
            let report = node.applier.apply(&[change(at as u64 + 1, kind, id, &urls)]).unwrap();
            let after = node.applier.membership().unwrap();
            prop_assert_eq!(report.verdicts[0].membership.as_ref(), &after);
            let ConfState { voters, learners, .. } = &after.conf_state;
            let mut ids = [&voters[..], learners].concat();
            ids.sort_unstable();
            prop_assert_eq!(ids, after.members.iter().map(|(id, _)| *id).collect::<Vec<_>>());
            prop_assert!(!voters.is_empty() && learners.len() <= 1);
            prop_assert!(gone.iter().all(|id| after.removed.contains(id) && after.member(*id).is_none()));
            let mut all: Vec<_> = after.members.iter().flat_map(|(_, row)| &row.peer_urls).collect();
            all.sort_unstable();
            prop_assert!(all.windows(2).all(|two| two[0] != two[1]), "a peer URL names one member");
            gone = after.removed;
        }
    }
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
