//! Cursors: the chunks of an answer, on views that move on, are the answer; the measure is its length.

use super::history::{Action, actions};
use super::requests::request;
use super::*;
use proptest::prelude::*;

fn budget() -> impl Strategy<Value = Budget> {
    let keys = prop_oneof![Just(usize::MAX), 0usize..4];
    let bytes = prop_oneof![Just(usize::MAX), 0usize..60, 500usize..3000];
    (keys, bytes).prop_map(|(keys, bytes)| Budget { keys, bytes })
}

fn fields_len(kvs: &[Bytes]) -> u64 {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Fields {
        #[prost(bytes = "bytes", repeated, tag = "2")]
        kvs: Vec<Bytes>,
    }
    Fields { kvs: kvs.to_vec() }.encoded_len() as u64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn chunks_are_the_answer(
        history in actions(30),
        requests in prop::collection::vec((request(), -1i64..20, budget()), 1..6),
        later in prop::collection::vec(actions(3), 1..4),
    ) {
        let mut store = Store::with(&history);
        for (request, revision, budget) in requests {
            let request = RangeRequest { revision, ..request };
            let view = store.view();
            let expected = store.naive.range(&request);
            let mut cursor = match (RangeCursor::new(&view, &request), &expected) {
                (Ok(cursor), Ok(_)) => cursor,
                (cursor, expected) => {
                    prop_assert_eq!(cursor.err(), expected.clone().err());
                    continue;
                }
            };
            let expected = expected.expect("checked");
            let pinned = cursor.revision();
            let mut later = later.iter().cycle();
            let mut kvs = Vec::new();
            loop {
                let view = store.view();
                let chunk = cursor.next_chunk(&view, budget);
                if view.status.compact_revision > pinned {
                    prop_assert_eq!(chunk, Err(ReadError::Compacted));
                    break;
                }
                let chunk = chunk.expect("nothing is wrong with the store");
                prop_assert!(chunk.kvs.len() <= budget.keys.max(1));
                let size: usize = chunk.kvs.iter().map(Bytes::len).sum();
                let last = chunk.kvs.last().map_or(0, Bytes::len);
                let fetched_blind = cursor.revision() < view.status.revision;
                prop_assert!(fetched_blind || chunk.kvs.len() <= 1 || size - last < budget.bytes, "over the budget");
                kvs.extend(chunk.kvs);
                let measured = cursor.measure(&view).expect("nothing is wrong with the store");
                let whole = Measured {
                    kvs: expected.kvs.len(),
                    encoded_bytes: fields_len(&expected.kvs),
                    count: expected.count,
                    more: expected.more,
                };
                prop_assert_eq!(measured, whole, "{:?}", &request);
                if chunk.done {
                    prop_assert_eq!(&kvs, &expected.kvs, "{:?}", &request);
                    prop_assert_eq!(cursor.more(), expected.more);
                    prop_assert_eq!(cursor.returned(), kvs.len());
                    prop_assert_eq!(cursor.count(&view, None), Ok(expected.count));
                    break;
                }
                later.next().expect("cycles").iter().for_each(|action| store.act(action));
            }
        }
    }
}

#[test]
fn a_view_older_than_the_cursor_is_refused() {
    let mut store = Store::new();
    let old = store.view();
    store.act(&Action::Delete(Bytes::from_static(b"a"), Bytes::new()));
    let put = ::model::request::PutRequest { key: "a".into(), ..Default::default() };
    store.run(Command::Put(put));
    let request = RangeRequest { key: "a".into(), range_end: "b".into(), ..Default::default() };
    let mut cursor = RangeCursor::new(&store.view(), &request).expect("the present can be read");
    assert_eq!(cursor.next_chunk(&old, Budget::bytes(9)), Err(ReadError::FutureRevision));
}
