//! Ranges, counts and the transaction seam at every revision.

use super::history::{actions, range as any_range};
use super::requests::request;
use super::*;
use ::model::KeyRange;
use ::model::request::{PutRequest, RangeRequest, SortOrder, SortTarget};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::Bound;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_option_at_every_revision(history in actions(40), requests in prop::collection::vec(request(), 1..12)) {
        let store = Store::with(&history);
        let view = store.view();
        let mut memo = CountMemo::new(4);
        for request in requests {
            for revision in -1..=view.status.revision + 1 {
                let request = RangeRequest { revision, ..request.clone() };
                let expected = store.naive.range(&request);
                prop_assert_eq!(&range(&view, &request), &expected, "{:?}", &request);
                prop_assert_eq!(&range_paged(&view, &request, &mut memo), &expected, "paged {:?}", &request);
                let whole = KeyRange::new(request.key.clone(), request.range_end.clone());
                prop_assert_eq!(count(&view, &whole, revision), expected.map(|e| e.count));
            }
        }
        let checked = crate::check::check(&view.snapshot, &mut |_| ()).expect("a store can be checked");
        prop_assert_eq!(checked.problems, vec![]);
    }

    /// A few rows tell the count at any revision, whatever was updated meanwhile and however often the store was opened.
    #[test]
    fn the_past_is_counted_without_a_walk(history in actions(120), range in any_range()) {
        let store = Store::with(&history);
        let view = store.view();
        let range = KeyRange::new(range.0, range.1);
        for revision in view.status.compact_revision.max(1)..view.status.revision {
            let now = count(&view, &range, 0).expect("the present is counted");
            let enough = super::super::count::change_since(&view.snapshot, &range, revision, view.status.revision, 1000);
            let past = enough.expect("rows are sound").expect("there are fewer than 1000");
            prop_assert_eq!(Ok(now - past), count(&view, &range, revision));
        }
    }

    #[test]
    fn pages_of_a_list_are_counted_once(history in actions(40), limit in 1i64..4, later in actions(6)) {
        let mut store = Store::with(&history);
        let mut memo = CountMemo::new(8);
        let mut request = RangeRequest {
            key: Bytes::from_static(b"\0"),
            range_end: Bytes::from_static(b"\0"),
            limit,
            revision: store.view().status.revision,
            ..Default::default()
        };
        loop {
            let expected = store.naive.range(&request);
            let page = range_paged(&store.view(), &request, &mut memo);
            prop_assert_eq!(&page, &expected);
            let Some(page) = page.ok().filter(|page| page.more) else { break };
            let mut next = kv(page.kvs.last().expect("a page with more is not empty")).key.to_vec();
            next.push(0);
            request.key = next.into();
            let rest = KeyRange::new(request.key.clone(), request.range_end.clone());
            prop_assert_eq!(memo.get(&rest, request.revision), Some(page.count - limit));
            later.iter().for_each(|action| store.act(action));
        }
    }

    #[test]
    fn one_key_at_a_revision(history in actions(40)) {
        let store = Store::with(&history);
        let view = store.view();
        let keys: std::collections::BTreeSet<_> = store.naive.versions.iter().map(|v| v.kv.key.clone()).collect();
        for at in view.status.compact_revision.max(1)..=view.status.revision {
            for key in &keys {
                let expected = store.naive.living(&KeyRange::new(key.clone(), Bytes::new()), at).pop();
                let found = get_at(&view.snapshot, key, at).expect("the store reads");
                prop_assert_eq!(found.as_ref().map(|(_, bytes)| kv(bytes)), expected.clone());
                let head = found.map(|(h, _)| (h.create, h.modified.main, h.version, h.lease));
                prop_assert_eq!(head, expected.map(|kv| (kv.create_revision, kv.mod_revision, kv.version, kv.lease)));
            }
        }
    }
}

/// Heads of a transaction that is not written yet.
#[derive(Default)]
struct Changed(BTreeMap<Bytes, (Option<crate::schema::Head>, Bytes, bool)>);

impl Overlay for Changed {
    fn get(&self, key: &[u8]) -> Option<Pending<'_>> {
        self.0.get(key).map(|(head, kv, existed)| Pending { head: *head, kv, existed: *existed })
    }

    fn touched<'a>(&'a self, lower: &[u8], upper: Option<&[u8]>) -> Touched<'a> {
        let upper = upper.map_or(Bound::Unbounded, Bound::Excluded);
        let keys = self.0.range::<[u8], _>((Bound::Included(lower), upper));
        Box::new(keys.map(|(key, (head, kv, existed))| (key.as_ref(), Pending { head: *head, kv, existed: *existed })))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The history with one more transaction is the history before it under that transaction's heads.
    #[test]
    fn an_overlay_reads_as_if_it_were_written(
        history in actions(30),
        last in actions(8),
        requests in prop::collection::vec(request(), 1..8),
    ) {
        let mut store = Store::with(&history);
        let before = store.view();
        let from = store.naive.versions.len();
        let puts = last.into_iter().filter(|a| !matches!(a, super::history::Action::Compact(_)));
        puts.for_each(|action| store.act(&action));
        let mut naive = store.naive.clone();
        // All of it happened in one transaction, so far as reads can tell.
        let (now, sub) = (before.status.revision + 1, 0..);
        let mut changed = Changed::default();
        for (version, sub) in naive.versions[from..].iter_mut().zip(sub) {
            version.revision = Revision::new(now, sub);
            version.kv.mod_revision = now;
            version.kv.create_revision = version.kv.create_revision.min(now);
            let key = version.kv.key.clone();
            let existed = get_at(&before.snapshot, &key, before.status.revision).expect("the store reads").is_some();
            let bytes = Bytes::from(version.kv.encode_to_vec());
            let head = (version.kind != crate::schema::Kind::Delete).then(|| crate::schema::Head {
                create: version.kv.create_revision,
                modified: version.revision,
                version: version.kv.version,
                lease: version.kv.lease,
                len: bytes.len() as u32,
            });
            changed.0.insert(key, (head, bytes, existed));
        }
        naive.revision = if changed.0.is_empty() { before.status.revision } else { now };
        let at = At { revision: naive.revision, compact_revision: before.status.compact_revision };
        for request in requests {
            for revision in -1..=now + 1 {
                let request = RangeRequest { revision, ..request.clone() };
                let expected = naive.range(&request);
                prop_assert_eq!(range_in_txn(&before.snapshot, at, &changed, &request), expected, "{:?}", request);
            }
        }
        let all = KeyRange::new(any_key(), Bytes::from_static(b"\0"));
        let mut keys = Vec::new();
        walk_heads(&before.snapshot, &changed, &all, |key, head| {
            keys.push((Bytes::copy_from_slice(key), head.modified.main));
            std::ops::ControlFlow::Continue(())
        })
        .expect("the store reads");
        let living = naive.living(&all, now).into_iter().map(|kv| (kv.key, kv.mod_revision));
        prop_assert_eq!(keys, living.collect::<Vec<_>>());
    }

    #[test]
    fn a_transactions_revision_check_is_etcds(requested in -3i64..9, compact in -1i64..5) {
        let at = At { revision: 5, compact_revision: compact };
        let expected = match requested {
            0 => Ok(()),
            r if r > 5 => Err(ReadError::FutureRevision),
            r if r < compact => Err(ReadError::Compacted),
            _ => Ok(()),
        };
        prop_assert_eq!(check_txn_revision(requested, at), expected);
    }

    #[test]
    fn bounds_of_any_range_are_safe((key, end) in any_range()) {
        let store = Store::new();
        let view = store.view();
        let request = RangeRequest { key, range_end: end, ..Default::default() };
        prop_assert_eq!(range(&view, &request), Ok(RangeOutcome::default()));
    }
}

fn any_key() -> Bytes {
    Bytes::from_static(b"\0")
}

#[test]
fn updates_cost_a_count_of_the_past_next_to_nothing() {
    let mut store = Store::new();
    let put = |store: &mut Store, key: &str| {
        store.run(Command::Put(::model::request::PutRequest { key: key.to_owned().into(), ..Default::default() }));
    };
    ["a", "b", "c"].iter().for_each(|key| put(&mut store, key));
    let past = store.view().status.revision;
    (0..300).for_each(|_| put(&mut store, "b"));
    store.reopen();
    (0..300).for_each(|_| put(&mut store, "b"));
    put(&mut store, "d");
    let all = KeyRange::new(Bytes::from_static(b"\0"), Bytes::from_static(b"\0"));
    let view = store.view();
    let since =
        |rows| super::super::count::change_since(&view.snapshot, &all, past, view.status.revision, rows).unwrap();
    assert_eq!(since(100), Some(1), "601 versions, told by a row for every nine");
    assert_eq!(since(20), None, "not more than was allowed");
}

#[test]
fn a_sorted_answer_takes_its_memory_from_a_budget_and_gives_it_back() {
    let mut store = Store::new();
    for n in 0..200 {
        store.run(Command::Put(PutRequest {
            key: format!("k{n:03}").into(),
            value: vec![b'v'; 300].into(),
            ..Default::default()
        }));
    }
    let view = store.applier.view();
    let sorted = |target: SortTarget, limit| RangeRequest {
        key: "k".into(),
        range_end: "l".into(),
        sort_order: SortOrder::Descend as i32,
        sort_target: target as i32,
        limit,
        ..Default::default()
    };
    let memory = memory_budget::MemoryBudget::new(48 << 10);
    let cursor = |request: &RangeRequest| RangeCursor::new(&view, request).unwrap().within(memory.clone());
    let chunk = |cursor: &mut RangeCursor| cursor.next_chunk(&view, Budget { keys: 10, bytes: 1 << 20 });
    assert_eq!(
        cursor(&sorted(SortTarget::Value, 0)).measure(&view),
        Err(ReadError::TooLarge),
        "60,000 bytes of values"
    );
    assert_eq!(memory.left(), 48 << 10, "a refused answer holds nothing");
    let mut first = cursor(&sorted(SortTarget::Value, 20));
    assert_eq!(chunk(&mut first).unwrap().kvs.len(), 10, "with a limit it never holds much more than that");
    let mut second = cursor(&sorted(SortTarget::Value, 20));
    assert_eq!(chunk(&mut second).unwrap_err(), ReadError::Busy);
    drop((first, second));
    assert_eq!(memory.left(), 48 << 10);
    let mut plain = cursor(&RangeRequest { key: "k".into(), range_end: "l".into(), ..Default::default() });
    chunk(&mut plain).unwrap();
    assert_eq!(memory.left(), 48 << 10, "an answer in key order needs none");
}
