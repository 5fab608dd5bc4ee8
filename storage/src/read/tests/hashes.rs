//! HashKV against etcd's definition on random histories.

use super::history::actions;
use super::*;
use crate::read::hash::{HashKv, hash_before_compaction, hash_db, hash_kv};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn hash_kv_is_etcds_however_far_the_deletion_has_come(history in actions(50)) {
        let mut store = Store::with(&history);
        for finished in [false, true] {
            if finished {
                store.drop_garbage(None);
            }
            let view = store.view();
            for revision in 0..=view.status.revision + 1 {
                let expected = match revision {
                    r if r > view.status.revision => Err(ReadError::FutureRevision),
                    r if r > 0 && r < view.status.compact_revision => Err(ReadError::Compacted),
                    r => Ok(HashKv {
                        hash: store.naive.hash(r),
                        compact_revision: view.status.compact_revision,
                        hash_revision: if r == 0 { view.status.revision } else { r },
                    }),
                };
                prop_assert_eq!(hash_kv(&view, revision), expected, "revision {}", revision);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_hash_of_a_compaction_is_etcds(history in actions(50)) {
        let store = Store::with(&history);
        let view = store.view();
        let before = view.status.compact_revision;
        for target in before.max(0) + 1..=view.status.revision {
            let expected = HashKv { hash: store.naive.hash_of_compaction(target), compact_revision: before, hash_revision: target };
            let mut decided = view.clone();
            decided.status.compact_revision = target;
            prop_assert_eq!(hash_before_compaction(&decided, before, target), Ok(expected), "up to {}", target);
        }
    }
}

#[test]
fn hash_of_everything_sees_a_change() {
    let mut store = Store::new();
    let before = hash_db(&store.view()).expect("the store reads");
    store.run(Command::Put(::model::request::PutRequest { key: "a".into(), ..Default::default() }));
    assert_ne!(hash_db(&store.view()).expect("the store reads"), before);
}
