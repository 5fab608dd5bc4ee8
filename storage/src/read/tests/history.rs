//! Random histories: few keys, so that they collide; values on both sides of the inline bound; keys that change twice in one
//! transaction; compactions whose deletion is finished, half done or not begun.

use super::*;
use ::model::request::*;
use proptest::prelude::*;

/// One step of a history.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Put(Write),
    Delete(Bytes, Bytes),
    Txn(Vec<Write>, (Bytes, Bytes), Vec<Write>),
    /// Compact this far into the revisions that can be compacted, in parts of 255.
    Compact(u8),
    Drop(Option<usize>),
    Restart,
}

#[derive(Clone, Debug)]
pub(super) struct Write {
    key: Bytes,
    value: Bytes,
    leased: bool,
}

pub(super) fn key() -> impl Strategy<Value = Bytes> {
    let part = prop::sample::select(vec![b'a', b'b', 0, 0xff]);
    prop::collection::vec(part, 1..3).prop_map(Bytes::from)
}

/// Both fields of a range: all kinds of ends, empty ranges too.
pub(super) fn range() -> impl Strategy<Value = (Bytes, Bytes)> {
    let end = prop_oneof![Just(Bytes::new()), Just(Bytes::from_static(b"\0")), key()];
    prop_oneof![(key(), end), Just((Bytes::from_static(b"\0"), Bytes::from_static(b"\0")))]
}

fn write() -> impl Strategy<Value = Write> {
    let value = prop_oneof![
        3 => prop::collection::vec(0u8..3, 0..3),
        1 => (0u8..3, 500usize..1200).prop_map(|(byte, len)| vec![byte; len])
    ];
    (key(), value, any::<bool>()).prop_map(|(key, value, leased)| Write { key, value: value.into(), leased })
}

pub(super) fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => write().prop_map(Action::Put),
        3 => range().prop_map(|(key, end)| Action::Delete(key, end)),
        3 => (prop::collection::vec(write(), 0..3), range(), prop::collection::vec(write(), 0..3))
            .prop_map(|(before, range, after)| Action::Txn(before, range, after)),
        1 => any::<u8>().prop_map(Action::Compact),
        1 => prop::option::of(1usize..4).prop_map(Action::Drop),
        1 => Just(Action::Restart),
    ]
}

pub(super) fn actions(max: usize) -> impl Strategy<Value = Vec<Action>> {
    prop::collection::vec(action(), 0..max)
}

const LEASE: i64 = 77;

impl Store {
    pub(super) fn with(actions: &[Action]) -> Self {
        Self::new().after(actions)
    }
}

impl<E: Engine> Store<E> {
    pub(super) fn after(mut self, actions: &[Action]) -> Self {
        let store = &mut self;
        store.run(Command::LeaseGrant(LeaseGrantRequest { id: LEASE, ttl: 10 }));
        actions.iter().for_each(|action| store.act(action));
        self
    }

    pub(super) fn act(&mut self, action: &Action) {
        let put = |w: &Write| PutRequest {
            key: w.key.clone(),
            value: w.value.clone(),
            lease: if w.leased { LEASE } else { 0 },
            ..Default::default()
        };
        let delete = |key: &Bytes, end: &Bytes| DeleteRangeRequest {
            key: key.clone(),
            range_end: end.clone(),
            ..Default::default()
        };
        let command = match action {
            Action::Put(write) => Command::Put(put(write)),
            Action::Delete(key, end) => Command::DeleteRange(delete(key, end)),
            Action::Txn(before, (key, end), after) => {
                let puts = |list: &[Write]| list.iter().map(|w| RequestUnion::Put(put(w))).collect::<Vec<_>>();
                let mut ops = puts(before);
                ops.push(RequestUnion::DeleteRange(delete(key, end)));
                ops.extend(puts(after));
                let success = ops.into_iter().map(|op| RequestOp { request: Some(op) }).collect();
                Command::Txn(TxnRequest { success, ..Default::default() })
            }
            Action::Compact(part) => {
                let from = self.naive.compact.max(0);
                let revision = from + (self.naive.revision - from) * i64::from(*part) / 255;
                Command::Compaction(CompactionRequest { revision, physical: false })
            }
            Action::Drop(rows) => return self.drop_garbage(*rows),
            Action::Restart => return self.reopen(),
        };
        self.run(command);
    }
}
