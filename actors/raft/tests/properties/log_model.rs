//! A follower's log against a list: whatever a leader sends and however long the disk takes, both show the same
//! entries.

use bytes::Bytes;
use proptest::prelude::*;
use raft::message::Append;
use raft::{Body, Config, Entry, EntryKind, MemoryStorage, Message, Node, Storage};

/// One thing that happens to the follower.
#[derive(Clone, Debug)]
enum Event {
    /// A leader of a new term sends `count` entries that start `back` entries before the end; they are of its own
    /// term, or of an earlier one by `age`, so that entries that were overwritten come back.
    Send { back: u64, count: u64, age: u64 },
    /// The core's work is taken.
    Ready,
    /// The oldest append becomes durable.
    Persist,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        3 => (0..6u64, 0..5u64, 0..4u64).prop_map(|(back, count, age)| Event::Send { back, count, age }),
        3 => Just(Event::Ready),
        2 => Just(Event::Persist),
    ];
    prop::collection::vec(event, 1..60)
}

fn follower() -> Node<MemoryStorage> {
    let config = Config { async_storage_writes: true, ..Config::new(1) };
    Node::new(config, MemoryStorage::with_voters(&[1, 2, 3]), raft::NoTrace).expect("a valid configuration")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn follower_log_is_what_leaders_sent(events in events()) {
        let mut node = follower();
        let mut in_flight = std::collections::VecDeque::new();
        let mut model: Vec<u64> = Vec::new();
        let mut term = 0u64;
        for event in events {
            match event {
                Event::Send { back, count, age } => {
                    term += 1;
                    let prev_index = (model.len() as u64).saturating_sub(back);
                    let prev_term = if prev_index == 0 { 0 } else { model[prev_index as usize - 1] };
                    let entry_term = prev_term.max(term.saturating_sub(age)).max(1);
                    let entry = |index| Entry { term: entry_term, index, kind: EntryKind::Normal, data: Bytes::new() };
                    let entries: Vec<Entry> = (prev_index + 1..=prev_index + count).map(entry).collect();
                    // The log is cut at the first entry that differs, and only there.
                    for e in &entries {
                        if model.get(e.index as usize - 1) != Some(&e.term) {
                            model.truncate(e.index as usize - 1);
                            model.push(e.term);
                        }
                    }
                    let body = Body::Append(Append { prev_index, prev_term, commit: 0, entries });
                    let taken = node.step(Message { from: 2, to: 1, term, body });
                    prop_assert_eq!(taken, Ok(()));
                }
                Event::Ready => in_flight.extend(node.ready().append),
                Event::Persist => {
                    if let Some(append) = in_flight.pop_front() {
                        node.storage_mut().append(&append.entries);
                        node.on_persisted(append.token);
                    }
                }
            }
            let shown: Vec<u64> = (1..=node.last_index()).map(|index| node.term_of(index).unwrap_or(0)).collect();
            prop_assert_eq!(&shown, &model);
        }
        // Once everything is durable, storage alone shows the same.
        in_flight.extend(node.ready().append);
        for append in in_flight {
            node.storage_mut().append(&append.entries);
            node.on_persisted(append.token);
        }
        let stored: Vec<u64> = node.storage().all_entries().iter().map(|e| e.term).collect();
        prop_assert_eq!(&stored, &model);
        prop_assert_eq!(node.storage().last_index(), node.last_index());
    }
}
