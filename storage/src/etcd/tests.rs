//! A store, written as etcd's snapshot and read again: what is kept, and what is refused.

use super::{Database, EtcdError, EtcdSource, import, status};
use crate::apply::tests::{Node, compact, delete, grant, put, random};
use crate::apply::{CompactionProgress, MemberIds, StateMachine};
use crate::check::check;
use crate::engine::sim::SimEngine;
use crate::engine::{Engine, Family, Op, Snapshot};
use crate::read::hash::hash_kv;
use crate::schema::meta;
use crate::snapshot::{CHUNK_BYTES, StreamEnd};
use ::model::request::PutRequest;
use ::model::{Command, KeyValue, Revision};
use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

const OWNER: MemberIds = MemberIds { cluster_id: 7, member_id: 1 };

/// The database that the stream of a store is.
pub(super) fn exported<S: Snapshot>(rows: S) -> Vec<u8> {
    let source = EtcdSource::new(rows, "3.7.0").unwrap();
    let total = source.total_bytes();
    let mut bytes = Vec::new();
    let end = source.send(|chunk| {
        assert!(!chunk.is_empty() && chunk.len() <= CHUNK_BYTES);
        bytes.extend_from_slice(&chunk);
        ControlFlow::Continue(())
    });
    let Ok(StreamEnd::Whole(hash)) = end else { panic!("the stream ended with {end:?}") };
    assert_eq!(bytes.len() as u64, total, "as long as announced");
    assert_eq!(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes).as_ref(), hash);
    bytes
}

fn imported(bytes: &[u8]) -> Result<Arc<SimEngine>, EtcdError> {
    let engine = Arc::new(SimEngine::new());
    import(&Database::open(bytes)?, engine.as_ref(), OWNER, &mut |_| ())?;
    Ok(engine)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_store_comes_back_with_its_history(
        commands in proptest::collection::vec(random::command(), 1..60),
        steps in 0_usize..3,
    ) {
        let mut node = Node::new();
        for command in commands {
            node.run(command);
        }
        // the deletion behind the last compaction may have come anywhere
        for _ in 0..steps {
            node.applier.compaction_step(5).unwrap();
        }
        let bytes = exported(node.engine.snapshot());
        Database::open(&bytes[..]).unwrap().check(&mut |_| ()).unwrap();
        let engine = imported(&bytes).unwrap();
        let report = check(&engine.snapshot(), &mut |_| ()).unwrap();
        prop_assert!(report.problems.is_empty(), "{:?}", report.problems);
        let mut copy = Node { engine: engine.clone(), applier: StateMachine::open(engine).unwrap() };
        let (ours, theirs) = (node.applier.view(), copy.applier.view());
        prop_assert_eq!(ours.status.revision, theirs.status.revision);
        prop_assert_eq!(ours.status.compact_revision, theirs.status.compact_revision);
        prop_assert_eq!(ours.status.applied_index, theirs.status.applied_index);
        prop_assert_eq!((ours.status.keys, &ours.status.alarms), (theirs.status.keys, &theirs.status.alarms));
        for revision in ours.status.compact_revision.max(1)..=ours.status.revision {
            prop_assert_eq!(hash_kv(&ours, revision), hash_kv(&theirs, revision), "revision {}", revision);
        }
        // both go on alike, the deletion behind a compaction too
        let newest = ours.status.revision;
        for command in [put("b", "later"), delete("a", "c"), grant(9), compact(newest)] {
            prop_assert_eq!(node.run(command.clone()).result, copy.run(command).result);
        }
        for one in [&mut node, &mut copy] {
            while one.applier.compaction_step(100).unwrap() != CompactionProgress::Idle {}
        }
        prop_assert_eq!(hash_kv(&node.applier.view(), 0), hash_kv(&copy.applier.view(), 0));
        let report = check(&copy.engine.snapshot(), &mut |_| ()).unwrap();
        prop_assert!(report.problems.is_empty(), "{:?}", report.problems);
        // and what is exported again is the same history
        let told = |node: &Node| {
            let bytes = exported(node.engine.snapshot());
            status(&Database::open(&bytes[..]).unwrap(), &mut |_| ()).unwrap()
        };
        let (once, twice) = (told(&node), told(&copy));
        prop_assert_eq!((once.revision, once.keys, once.hash), (twice.revision, twice.keys, twice.hash));
    }

    #[test]
    fn damage_is_refused_or_makes_a_store_that_reads(
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut node = Node::new();
        for n in 0..40 {
            node.run(put(["a", "b", "c"][n % 3], "value"));
        }
        let mut bytes = exported(node.engine.snapshot());
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] ^= value;
        }
        let engine = Arc::new(SimEngine::new());
        let taken = Database::open(&bytes[..])
            .map_err(EtcdError::from)
            .and_then(|database| import(&database, engine.as_ref(), OWNER, &mut |_| ()));
        let opened = StateMachine::open(engine);
        match taken {
            Ok(_) => { let _ = hash_kv(&opened.unwrap().view(), 0); }
            Err(why) => prop_assert!(opened.is_err(), "{} left something that is taken for a store", why),
        }
    }
}

/// A database with these rows in `key` and `meta`.
fn database(key: &[(Vec<u8>, Vec<u8>)], meta: &[(&[u8], Vec<u8>)]) -> Vec<u8> {
    let meta: BTreeMap<_, _> = meta.iter().cloned().collect();
    let mut file = bbolt::FileWriter::begin(Vec::new(), 20).unwrap();
    file.bucket(b"key", |bucket| key.iter().try_for_each(|(key, value)| bucket.put(key, value))).unwrap();
    file.bucket(b"meta", |bucket| meta.iter().try_for_each(|(key, value)| bucket.put(key, value))).unwrap();
    file.finish().unwrap()
}

fn version(main: i64, key: &'static str, version: i64, create: i64) -> (Vec<u8>, Vec<u8>) {
    let (name, length) = super::rows::revision_key(Revision::new(main, 0), version == 0);
    let mut kv = KeyValue { key: key.into(), ..KeyValue::default() };
    if version > 0 {
        kv = KeyValue { version, create_revision: create, mod_revision: main, value: "v".into(), ..kv };
    }
    (name[..length].to_vec(), kv.encode_to_vec())
}

fn revision(main: i64) -> Vec<u8> {
    super::rows::revision_key(Revision::new(main, 0), false).0[..17].to_vec()
}

#[test]
fn a_compaction_that_etcd_has_not_finished_is_finished() {
    // of what revision 6 forgets, the first version is deleted already
    let rows = [
        version(3, "a", 2, 2),
        version(4, "b", 1, 4),
        version(5, "b", 0, 0),
        version(6, "c", 1, 6),
        version(7, "a", 3, 2),
    ];
    let bytes = database(&rows, &[(b"scheduledCompactRev", revision(6)), (b"finishedCompactRev", revision(2))]);
    let engine = imported(&bytes).unwrap();
    let report = check(&engine.snapshot(), &mut |_| ()).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    let store = StateMachine::open(engine).unwrap();
    let state = store.state();
    assert_eq!((state.revision, state.compact, state.compact_done, state.keys), (7, 6, 6, 2));
    // a at 3, c, a at 7; b and its tombstone are gone
    assert_eq!(state.history.unwrap().log, 3);
}

#[test]
fn a_history_with_a_hole_is_refused() {
    for (rows, why) in [
        (vec![version(4, "a", 2, 2)], "missing"),
        (vec![version(2, "a", 1, 2), version(3, "a", 3, 2)], "does not follow"),
        (vec![version(2, "a", 1, 2), version(3, "a", 1, 3)], "creates a key that is there"),
        (vec![version(2, "a", 0, 0)], "deletes a key that is not there"),
    ] {
        let refused = imported(&database(&rows, &[])).unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
    }
}

#[test]
fn a_jump_of_the_revision_is_kept() {
    // etcdutl writes such a row, of no key, and schedules a compaction there
    let rows = [version(2, "a", 1, 2), (revision(1_000), Vec::new())];
    let engine = imported(&database(&rows, &[(b"scheduledCompactRev", revision(1_000))])).unwrap();
    let state = StateMachine::open(engine.clone()).unwrap().state();
    assert_eq!((state.revision, state.compact, state.keys), (1_000, 1_000, 1));
    let again = imported(&exported(engine.snapshot())).unwrap();
    assert_eq!(StateMachine::open(again).unwrap().state().revision, 1_000);
}

#[test]
fn a_database_of_another_program_and_a_full_store_are_refused() {
    let mut file = bbolt::FileWriter::begin(Vec::new(), 9).unwrap();
    file.bucket(b"users", |bucket| bucket.put(b"k", b"v")).unwrap();
    let bytes = file.finish().unwrap();
    assert!(matches!(imported(&bytes), Err(EtcdError::NoBucket("meta"))));
    let engine = SimEngine::new();
    engine.write(vec![Op::Put { family: Family::Cur, key: "a".into(), value: "1".into() }]).unwrap();
    let good = database(&[version(2, "a", 1, 2)], &[]);
    let refused = import(&Database::open(&good[..]).unwrap(), &engine, OWNER, &mut |_| ());
    assert!(matches!(refused, Err(EtcdError::NotEmpty)));
}

#[test]
fn leases_of_any_sign_keep_their_keys() {
    let mut node = Node::new();
    for id in [5, -5, i64::MIN, i64::MAX] {
        node.run(grant(id));
        let key = Bytes::from(format!("of {id}"));
        node.run(Command::Put(PutRequest { key, value: "v".into(), lease: id, ..PutRequest::default() }));
    }
    node.run(compact(3));
    let engine = imported(&exported(node.engine.snapshot())).unwrap();
    let rows = engine.snapshot();
    for id in [5, -5, i64::MIN, i64::MAX] {
        let key = meta::attached(id, format!("of {id}").as_bytes());
        assert!(rows.get(Family::Meta, &key).unwrap().is_some(), "{id}");
    }
    assert_eq!(StateMachine::open(engine).unwrap().state().leases, 4);
}

#[test]
fn whoever_wants_no_more_ends_the_stream() {
    let mut node = Node::new();
    node.run(put("a", "1"));
    let mut taken = 0;
    let end = EtcdSource::new(node.engine.snapshot(), "3.7.0").unwrap().send(|_| {
        taken += 1;
        ControlFlow::Break(())
    });
    assert_eq!((end.unwrap(), taken), (StreamEnd::Broken, 1));
}
