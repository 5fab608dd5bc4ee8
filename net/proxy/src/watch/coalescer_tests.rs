//! The coalescer against a cluster that is one list of revisions: whatever happens in whatever order, each watcher is told every
//! revision from its beginning on, once and in order, and as few watches as possible stay at the cluster.

use super::coalescer::{Coalescer, Deliver, NO_ID, Order, Range, Spec, WatcherKey};
use api::etcdserverpb as pb;
use api::mvccpb::{Event, KeyValue};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What a watcher of the test has got.
#[derive(Default)]
struct Seen {
    /// Revision when it was added.
    added_at: i64,
    start: i64,
    created: Option<i64>,
    revisions: Vec<i64>,
    canceled: bool,
}

/// Clients, which have room or not.
#[derive(Default)]
struct Clients {
    seen: BTreeMap<WatcherKey, Seen>,
    behind: Vec<(WatcherKey, Spec)>,
    /// Deliveries until one is refused; none for never.
    refuse_in: Option<usize>,
}

impl Deliver for Clients {
    fn deliver(&mut self, to: WatcherKey, response: pb::WatchResponse) -> bool {
        if let Some(left) = &mut self.refuse_in {
            if *left == 0 {
                self.refuse_in = None;
                return false;
            }
            *left -= 1;
        }
        let seen = self.seen.get_mut(&to).expect("a watcher of this test");
        if response.created {
            assert!(seen.created.is_none(), "created twice");
            seen.created = response.header.map(|header| header.revision);
        }
        seen.canceled |= response.canceled;
        seen.revisions.extend(response.events.iter().map(|event| event.kv.as_ref().unwrap().mod_revision));
        true
    }

    fn left_behind(&mut self, who: WatcherKey, spec: Spec) {
        self.behind.push((who, spec));
    }
}

/// A watch at the cluster.
struct AtCluster {
    next: i64,
    is_created: bool,
}

struct World {
    coalescer: Coalescer,
    clients: Clients,
    cluster: BTreeMap<u64, AtCluster>,
    revision: i64,
    last_id: i64,
}

fn range() -> Range {
    Range { key: "k".into(), end: "l".into() }
}

fn spec(next: i64) -> Spec {
    Spec { range: range(), next, prev_kv: false, progress: false, no_put: false, no_delete: false, is_created: false }
}

impl World {
    fn new() -> Self {
        Self {
            coalescer: Coalescer::default(),
            clients: Clients::default(),
            cluster: BTreeMap::new(),
            revision: 1,
            last_id: 0,
        }
    }

    fn carry_out(&mut self, orders: impl IntoIterator<Item = Order>) {
        for order in orders {
            match order {
                Order::Open { shared, start, .. } => {
                    self.cluster.insert(shared, AtCluster { next: start, is_created: false });
                }
                Order::Close { shared } => drop(self.cluster.remove(&shared)),
            }
        }
    }

    fn add(&mut self, start: i64) {
        self.last_id += 1;
        let who = WatcherKey { stream: 1, id: self.last_id };
        self.clients.seen.insert(who, Seen { added_at: self.revision, start, ..Seen::default() });
        let order = self.coalescer.add(who, spec(start), &mut self.clients);
        self.carry_out(order);
    }

    fn come_back(&mut self) {
        for (who, spec) in std::mem::take(&mut self.clients.behind) {
            let order = self.coalescer.add(who, spec, &mut self.clients);
            self.carry_out(order);
        }
    }

    fn remove(&mut self, at: usize) {
        let live: Vec<WatcherKey> =
            self.clients.seen.iter().filter(|(_, s)| !s.canceled).map(|(who, _)| *who).collect();
        if live.is_empty() {
            return;
        }
        let who = live[at % live.len()];
        self.clients.seen.get_mut(&who).unwrap().canceled = true;
        self.clients.behind.retain(|(behind, _)| *behind != who);
        let order = self.coalescer.remove(who).and_then(|(_, order)| order);
        self.carry_out(order);
    }

    /// The cluster says the next thing on one of its watches: at most `most` revisions.
    fn answer(&mut self, at: usize, most: i64) {
        let Some(shared) = self.cluster.keys().nth(at % self.cluster.len().max(1)).copied() else { return };
        let watch = self.cluster.get_mut(&shared).unwrap();
        let mut answer = pb::WatchResponse {
            header: Some(pb::ResponseHeader { revision: self.revision, ..Default::default() }),
            ..Default::default()
        };
        if !watch.is_created {
            watch.is_created = true;
            answer.created = true;
            if watch.next == 0 {
                watch.next = self.revision + 1;
            }
        } else {
            let to = self.revision.min(watch.next + most - 1);
            answer.events = (watch.next..=to).map(event).collect();
            watch.next = watch.next.max(to + 1);
        }
        let orders = self.coalescer.answered(shared, &answer, &mut self.clients);
        self.carry_out(orders);
    }

    /// Everything that is owed is said.
    fn settle(&mut self) {
        self.clients.refuse_in = None;
        for _ in 0..1000 {
            self.come_back();
            let owes = |watch: &AtCluster| !watch.is_created || watch.next <= self.revision;
            let Some(at) = self.cluster.values().position(owes) else { return };
            self.answer(at, 3);
        }
        panic!("it does not come to an end");
    }

    fn judge(&self) {
        for (who, seen) in self.clients.seen.iter().filter(|(_, seen)| !seen.canceled) {
            let created = seen.created.unwrap_or_else(|| panic!("{who:?} was never created"));
            assert!(seen.start > 0 || created >= seen.added_at, "{who:?} is told of what was before it");
            let first = if seen.start > 0 { seen.start } else { created + 1 };
            let owed: Vec<i64> = (first..=self.revision).collect();
            assert_eq!(seen.revisions, owed, "{who:?} from {first}");
        }
    }
}

fn event(revision: i64) -> Event {
    let kv = KeyValue { key: "k".into(), mod_revision: revision, ..KeyValue::default() };
    Event { kv: Some(kv), ..Event::default() }
}

#[derive(Clone, Debug)]
enum Step {
    Write,
    AddNow,
    AddFrom(i64),
    Remove(usize),
    Answer(usize, i64),
    Refuse(usize),
    ComeBack,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Write),
        2 => Just(Step::AddNow),
        2 => (1..30i64).prop_map(Step::AddFrom),
        1 => any::<usize>().prop_map(Step::Remove),
        8 => (any::<usize>(), 1..5i64).prop_map(|(at, most)| Step::Answer(at, most)),
        1 => (0..4usize).prop_map(Step::Refuse),
        1 => Just(Step::ComeBack),
    ]
}

proptest! {
    #[test]
    fn each_watcher_is_told_everything_once_and_in_order(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Write => world.revision += 1,
                Step::AddNow => world.add(0),
                Step::AddFrom(start) => world.add(start),
                Step::Remove(at) => world.remove(at),
                Step::Answer(at, most) => world.answer(at, most),
                Step::Refuse(left) => world.clients.refuse_in = Some(left),
                Step::ComeBack => world.come_back(),
            }
        }
        world.settle();
        // one more write brings those together that could not be before; start revisions that lay ahead are reached
        world.revision = world.revision.max(30) + 1;
        world.settle();
        world.judge();
        let (watchers, shared) = world.coalescer.counts();
        prop_assert_eq!(shared, usize::from(watchers > 0), "watchers of one range share one watch");
        prop_assert_eq!(world.cluster.len(), shared, "the cluster has no watch that nobody needs");
    }
}

#[test]
fn a_refusal_of_the_cluster_reaches_everybody_and_nothing_is_left() {
    let mut world = World::new();
    world.add(0);
    world.add(5);
    world.answer(0, 1);
    let shared: Vec<u64> = world.cluster.keys().copied().collect();
    for id in shared {
        let refusal = pb::WatchResponse { canceled: true, compact_revision: 9, ..Default::default() };
        assert_eq!(world.coalescer.answered(id, &refusal, &mut world.clients), []);
    }
    assert!(world.clients.seen.values().all(|seen| seen.canceled));
    assert_eq!(world.coalescer.counts(), (0, 0));
}

/// Keeps what it is given.
struct Kept(Vec<pb::WatchResponse>);

impl Deliver for Kept {
    fn deliver(&mut self, _: WatcherKey, response: pb::WatchResponse) -> bool {
        self.0.push(response);
        true
    }

    fn left_behind(&mut self, _: WatcherKey, _: Spec) {}
}

#[test]
fn each_watcher_gets_what_it_asked_for_of_a_shared_answer() {
    let (mut coalescer, mut out) = (Coalescer::default(), Kept(Vec::new()));
    let who = |id| WatcherKey { stream: 1, id };
    let plain = Spec { next: 1, ..spec(1) };
    let all = Spec { prev_kv: true, progress: true, ..plain.clone() };
    let deletes = Spec { no_put: true, ..plain.clone() };
    for (id, spec) in [(1, plain), (2, all), (3, deletes)] {
        coalescer.add(who(id), spec, &mut out);
    }
    assert_eq!(coalescer.counts(), (3, 1));
    let header = Some(pb::ResponseHeader { revision: 4, ..Default::default() });
    let created = pb::WatchResponse { header, created: true, ..Default::default() };
    coalescer.answered(1, &created, &mut out);
    assert_eq!(out.0.len(), 3);
    out.0.clear();
    let put = Event { prev_kv: Some(KeyValue::default()), ..event(2) };
    let delete = Event { r#type: 1, ..event(3) };
    coalescer.answered(1, &pb::WatchResponse { header, events: vec![put, delete], ..Default::default() }, &mut out);
    out.0.sort_by_key(|response| response.watch_id);
    let counts: Vec<usize> = out.0.iter().map(|response| response.events.len()).collect();
    assert_eq!(counts, [2, 2, 1]);
    assert!(out.0[0].events[0].prev_kv.is_none() && out.0[1].events[0].prev_kv.is_some());
    out.0.clear();
    coalescer.answered(1, &pb::WatchResponse { header, ..Default::default() }, &mut out);
    assert_eq!(
        out.0.iter().map(|response| response.watch_id).collect::<Vec<_>>(),
        [2],
        "progress for who asked for it"
    );
    out.0.clear();
    // a watcher that never was has no id
    let late = Spec { range: Range { key: "z".into(), end: "".into() }, ..spec(7) };
    coalescer.add(who(9), late, &mut out);
    coalescer.answered(2, &pb::WatchResponse { header, created: true, canceled: true, ..Default::default() }, &mut out);
    assert_eq!((out.0[0].watch_id, out.0[0].created), (NO_ID, true));
}
