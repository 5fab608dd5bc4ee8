//! The property of the hub: each watcher receives exactly the events a naive model says, in order, each revision whole, and
//! a promise of progress is never broken, whatever the order of credit, losses, compactions and reads.

use super::catch_up::SCANS;
use super::config::HubConfig;
use super::hub::Hub;
use super::jobs::{LogJob, ReadJob, Reader};
use super::testing::{Change, Store, expected, key, stream};
use bytes::Bytes;
use messages::watch::{CreateWatch, StreamKey, ToHub, WatchFrame};
use model::KeyRange;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[derive(Clone, Debug)]
enum Op {
    Commit(Vec<Change>),
    Signal { lost: bool },
    Restore,
    Compact(u8),
    Work(u8),
    Create { stream: u8, create: CreateWatch, start: Start },
    Cancel { stream: u8, id: i64 },
    Credit { stream: u8, bytes: u16 },
    Progress { stream: u8 },
    Reopen { stream: u8 },
    Tick(u16),
}

#[derive(Clone, Debug)]
enum Start {
    Now,
    Past(u8),
    Future(u8),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![3 => (0u8..6).prop_map(Change::Put), 1 => (0u8..6).prop_map(Change::Delete)]
}

fn range() -> impl Strategy<Value = KeyRange> {
    (0u8..6, 0..4).prop_map(|(n, kind)| match kind {
        0 | 1 => KeyRange::new(key(n), Bytes::new()),
        2 => KeyRange::new(key(n), Bytes::from_static(b"b\x01")),
        _ => KeyRange::new(key(n), Bytes::from_static(&[0])),
    })
}

fn create() -> impl Strategy<Value = CreateWatch> {
    let flags = (any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.2), any::<bool>(), any::<bool>());
    (prop_oneof![4 => Just(0i64), 1 => 1i64..4], range(), flags).prop_map(|(watch_id, range, flags)| CreateWatch {
        watch_id,
        range,
        start_revision: 0,
        progress_notify: flags.0,
        no_put: flags.1,
        no_delete: flags.2,
        prev_kv: flags.3,
        fragment: flags.4,
    })
}

fn op() -> impl Strategy<Value = Op> {
    let start = prop_oneof![2 => Just(Start::Now), 3 => any::<u8>().prop_map(Start::Past), 1 => (1u8..4).prop_map(Start::Future)];
    prop_oneof![
        8 => prop::collection::vec(change(), 1..4).prop_map(Op::Commit),
        6 => prop::bool::weighted(0.15).prop_map(|lost| Op::Signal { lost }),
        1 => Just(Op::Restore),
        1 => any::<u8>().prop_map(Op::Compact),
        8 => any::<u8>().prop_map(Op::Work),
        4 => (0u8..3, create(), start).prop_map(|(stream, create, start)| Op::Create { stream, create, start }),
        1 => (0u8..3, 0i64..4).prop_map(|(stream, id)| Op::Cancel { stream, id }),
        5 => (0u8..3, 0u16..400).prop_map(|(stream, bytes)| Op::Credit { stream, bytes }),
        2 => (0u8..3).prop_map(|stream| Op::Progress { stream }),
        1 => (0u8..3).prop_map(|stream| Op::Reopen { stream }),
        1 => (0u16..400).prop_map(Op::Tick),
    ]
}

/// A watcher as its client sees it.
struct Seen {
    create: CreateWatch,
    next: i64,
    /// Bytes and revision of what came.
    events: Vec<Bytes>,
    /// A response is incomplete.
    open: bool,
    compacted: bool,
}

struct World {
    store: Store,
    hub: Hub,
    told: i64,
    jobs: Vec<ReadJob>,
    /// Creates whose answer has not come, with their start as the client means it.
    creating: BTreeMap<StreamKey, VecDeque<(CreateWatch, i64)>>,
    seen: BTreeMap<(StreamKey, i64), Seen>,
    now: u64,
}

impl World {
    fn new(ring_bytes: usize, oversized_bytes: usize, stingy: bool) -> Self {
        let mut store = Store { stingy, ..Store::default() };
        store.commit(&[Change::Put(0), Change::Put(3)], 3);
        let config = HubConfig {
            ring_bytes,
            fragment_bytes: 150,
            frame_bytes: 100,
            read_bytes: 120,
            oversized_bytes,
            response_revisions: 5,
            fragmented_bytes: 400,
            sent_bytes: 500,
            progress_interval: 300,
        };
        let hub = Hub::new(config, store.position());
        let told = store.revision();
        let mut world =
            Self { store, hub, told, jobs: Vec::new(), creating: BTreeMap::new(), seen: BTreeMap::new(), now: 0 };
        (0..3).for_each(|n| world.request(ToHub::OpenStream { stream: stream(n), credit: 300 }));
        world
    }

    fn request(&mut self, request: ToHub) {
        self.hub.requests(vec![request], self.store.position());
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Commit(changes) => self.store.commit(&changes, 4),
            Op::Signal { lost } => {
                let events = (!lost).then(|| self.store.list_since(self.told));
                self.told = self.store.revision();
                self.hub.advanced(self.store.position(), events);
            }
            Op::Restore => {
                self.told = self.store.revision();
                self.hub.restored(self.store.position());
            }
            Op::Compact(at) => {
                let span = self.store.revision() - self.store.compact;
                self.store.compact += i64::from(at) % (span + 1);
            }
            Op::Work(n) if !self.jobs.is_empty() => {
                let job = self.jobs.swap_remove(usize::from(n) % self.jobs.len());
                self.finish(job);
            }
            Op::Work(_) => {}
            Op::Create { stream: n, create, start } => self.create(stream(n.into()), create, &start),
            Op::Cancel { stream: n, id } => self.request(ToHub::Cancel { stream: stream(n.into()), watch_id: id }),
            Op::Credit { stream: n, bytes } => {
                self.request(ToHub::Credit { stream: stream(n.into()), bytes: bytes.into() });
            }
            Op::Progress { stream: n } => self.request(ToHub::Progress { stream: stream(n.into()) }),
            Op::Reopen { stream: n } => {
                let key = stream(n.into());
                self.seen.retain(|(stream, _), _| *stream != key);
                self.creating.remove(&key);
                self.request(ToHub::CloseStream { stream: key });
                self.request(ToHub::OpenStream { stream: key, credit: 200 });
            }
            Op::Tick(ms) => {
                self.now += u64::from(ms);
                self.hub.tick(self.now);
            }
        }
        self.collect();
    }

    fn create(&mut self, key: StreamKey, mut create: CreateWatch, start: &Start) {
        let current = self.store.revision();
        create.start_revision = match start {
            Start::Now => 0,
            Start::Past(n) => 1 + i64::from(*n) % current,
            Start::Future(n) => current + i64::from(*n),
        };
        let next = if create.start_revision == 0 { current + 1 } else { create.start_revision };
        self.creating.entry(key).or_default().push_back((create.clone(), next));
        self.request(ToHub::Create { stream: key, create });
    }

    fn finish(&mut self, job: ReadJob) {
        let done = job.run(&self.store.source());
        self.hub.done(done).expect("the store does not fail");
    }

    fn collect(&mut self) {
        self.jobs.extend(self.hub.take_jobs());
        self.jobs_are_bounded();
        for (key, frames) in self.hub.take_frames() {
            for frame in frames {
                self.receive(key, frame);
            }
        }
    }

    /// At most one job of each kind is out, and one for each scan.
    fn jobs_are_bounded(&self) {
        let of = |kind: fn(&ReadJob) -> bool| self.jobs.iter().filter(|job| kind(job)).count();
        let for_head = of(|job| matches!(job, ReadJob::Log(LogJob { reader: Reader::Hub, .. })));
        let (prev_kvs, measures) =
            (of(|job| matches!(job, ReadJob::PrevKvs(_))), of(|job| matches!(job, ReadJob::Measure(_))));
        assert!(for_head <= 1 && prev_kvs <= 1 && measures <= 1, "{:?}", self.jobs);
        let scan = |job: &ReadJob| match job {
            ReadJob::Log(LogJob { reader: Reader::Scan(id), .. }) => Some(*id),
            _ => None,
        };
        let scans: Vec<u64> = self.jobs.iter().filter_map(scan).collect();
        let distinct: BTreeSet<u64> = scans.iter().copied().collect();
        assert!(scans.len() == distinct.len() && scans.len() <= SCANS, "one job for each scan: {scans:?}");
    }

    /// What the client must have of a watcher once everything up to a revision was sent: alternatives per event, because
    /// a compaction may or may not have taken the previous key-value.
    fn wanted(&self, seen: &Seen, upto: i64) -> Vec<(i64, [Bytes; 2])> {
        let mut out = Vec::new();
        for revision in self.store.since(seen.next - 1).iter().filter(|r| r.revision <= upto) {
            for event in &revision.events {
                let filtered = if event.delete { seen.create.no_delete } else { seen.create.no_put };
                if filtered || !seen.create.range.contains(&event.key) {
                    continue;
                }
                let prev = self.store.prev(revision.revision, event).filter(|_| seen.create.prev_kv);
                let gone = seen.create.prev_kv && self.store.compact >= revision.revision;
                let full = expected(event, prev.as_ref());
                out.push((revision.revision, [if gone { expected(event, None) } else { full.clone() }, full]));
            }
        }
        out
    }

    fn check(&self, seen: &Seen, upto: i64, all: bool) {
        let wanted = self.wanted(seen, upto);
        assert!(seen.events.len() <= wanted.len(), "too many events: {} of {}", seen.events.len(), wanted.len());
        for (got, (revision, either)) in seen.events.iter().zip(&wanted) {
            assert!(either.contains(got), "wrong event at revision {revision}: {got:?}, not {either:?}");
        }
        assert!(
            !all || seen.events.len() == wanted.len(),
            "missing {} events up to {upto}",
            wanted.len() - seen.events.len()
        );
    }

    fn receive(&mut self, key: StreamKey, frame: WatchFrame) {
        match frame {
            WatchFrame::Created { watch_id, revision } => {
                let (create, next) = self.creating.get_mut(&key).and_then(VecDeque::pop_front).expect("was asked for");
                assert_eq!(revision, self.store.revision());
                let seen = Seen { create, next, events: Vec::new(), open: false, compacted: false };
                assert!(self.seen.insert((key, watch_id), seen).is_none(), "id {watch_id} is taken");
            }
            WatchFrame::Canceled { watch_id: -1, created, reason, .. } => {
                let (create, _) = self.creating.get_mut(&key).and_then(VecDeque::pop_front).expect("was asked for");
                assert!(created && !reason.is_empty());
                let taken = self.seen.contains_key(&(key, create.watch_id));
                assert!(create.range.is_empty() || create.watch_id != 0 && taken, "refused without need: {create:?}");
            }
            WatchFrame::Canceled { watch_id, compact_revision: 0, .. } => {
                self.seen.remove(&(key, watch_id)).expect("a cancelled watcher existed");
            }
            WatchFrame::Canceled { watch_id, compact_revision, revision, .. } => {
                assert!(revision == 0 && compact_revision <= self.store.compact);
                let mut seen = self.seen.remove(&(key, watch_id)).expect("existed");
                self.check(&seen, compact_revision - 1, false);
                assert!(!seen.compacted && seen.next < compact_revision);
                seen.compacted = true;
                self.seen.insert((key, watch_id), seen);
            }
            WatchFrame::Oversized { watch_id, revision, events: oversized, fragment } => {
                let mut source = oversized.take().expect("handed out once");
                let mut pulled = Vec::new();
                // a compaction may overtake what is pulled: the client then loses its stream
                while let Ok(Some(chunk)) = source.next(64) {
                    pulled.extend_from_slice(&chunk);
                }
                assert_eq!(pulled.len() as u64, oversized.bytes, "an announced length");
                let events = split(&pulled);
                let before = self.seen.get(&(key, watch_id)).expect("events after the answer");
                let got = &self.wanted(before, i64::MAX)[before.events.len()..][..events.len()];
                let revisions: BTreeSet<i64> = got.iter().map(|(revision, _)| *revision).collect();
                let most = if before.create.fragment { 5 } else { 1 };
                assert!((1..=most).contains(&revisions.len()), "{revisions:?} for {:?}", before.create);
                assert_eq!(fragment, before.create.fragment);
                self.receive(key, WatchFrame::Events { watch_id, revision, events, fragment: false });
            }
            WatchFrame::Events { watch_id, revision, events, fragment } => {
                let seen = self.seen.get_mut(&(key, watch_id)).expect("events after the answer");
                assert!(!events.is_empty() && !seen.compacted && (!fragment || seen.create.fragment));
                seen.events.extend(events);
                seen.open = fragment;
                let seen = &self.seen[&(key, watch_id)];
                self.check(seen, revision, false);
                let wanted = self.wanted(seen, revision);
                let (done, rest) = wanted.split_at(seen.events.len());
                let split = rest.first().is_some_and(|next| done.last().is_some_and(|last| last.0 == next.0));
                assert!(fragment || !split, "a revision is split");
            }
            WatchFrame::Progress { watch_id, revision } => {
                let one = |id: i64| watch_id == -1 || id == watch_id;
                for ((_, _), seen) in self.seen.iter().filter(|((stream, id), _)| *stream == key && one(*id)) {
                    assert!(!seen.open && !seen.compacted && seen.next <= self.store.revision() + 1);
                    self.check(seen, revision, true);
                }
            }
        }
    }

    fn settle(&mut self) {
        self.run(Op::Signal { lost: false });
        // clients that take what they are sent: an oversized revision alone uses up what a stream may be sent at once
        for _ in 0..1_000 {
            (0..3).for_each(|n| self.request(ToHub::Credit { stream: stream(n), bytes: 1 << 40 }));
            self.collect();
            while let Some(job) = self.jobs.pop() {
                self.finish(job);
                self.collect();
            }
            if self.hub.counts().slow == 0 {
                break;
            }
        }
        assert_eq!(self.hub.counts().slow, 0, "everybody has caught up");
        for seen in self.seen.values().filter(|seen| !seen.compacted) {
            self.check(seen, self.store.revision(), true);
        }
        assert!(self.creating.values().all(VecDeque::is_empty));
    }
}

/// Whole `events` fields, apart.
fn split(mut bytes: &[u8]) -> Vec<Bytes> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let mut rest = &bytes[1..];
        let length = prost::encoding::decode_varint(&mut rest).expect("a length") as usize;
        let whole = bytes.len() - rest.len() + length;
        out.push(Bytes::copy_from_slice(&bytes[..whole]));
        bytes = &bytes[whole..];
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_watcher_gets_exactly_its_events(
        ops in prop::collection::vec(op(), 1..120), ring in prop_oneof![Just(0usize), Just(800), Just(3000), Just(1 << 20)],
        oversized in prop_oneof![Just(1usize << 20), Just(0), Just(30), Just(60)], stingy in any::<bool>()
    ) {
        let mut world = World::new(ring, oversized, stingy);
        for op in ops {
            world.run(op);
        }
        world.settle();
    }
}
