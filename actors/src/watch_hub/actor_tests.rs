//! The shell: one list per sink and message, reads on other threads, counters, an orderly and a disorderly end.

use super::actor::{HubParts, StopHub, WatchHub};
use super::config::{HubConfig, Position};
use super::key_set::KeySet;
use super::source::{LogChunk, LogPart, LogReadError, LogReads};
use super::testing::{Change, Store, stream, watch};
use crate::death_watch::{ExitCell, NodeExit};
use crate::wiring::events::{Advanced, WatchEvent};
use actix::Addr;
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, unbounded};
use messages::reply::ReplySink;
use messages::watch::{CreateWatch, ToHub, WatchFrame, WatchRequests};
use messages::{Gauges, Reply, ReplyBody, Sinks};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Shared {
    store: Mutex<Store>,
    broken: bool,
}

impl Shared {
    fn store(&self) -> std::sync::MutexGuard<'_, Store> {
        self.store.lock().expect("no test thread panics with it")
    }
}

impl LogReads for Shared {
    fn position(&self) -> (i64, i64) {
        LogReads::position(&*self.store())
    }

    fn read(
        &self,
        from: i64,
        to: i64,
        keys: &KeySet,
        max_bytes: usize,
        oversized: usize,
    ) -> Result<LogChunk, LogReadError> {
        if self.broken {
            return Err(LogReadError::Failed("on purpose".into()));
        }
        self.store().read(from, to, keys, max_bytes, oversized)
    }

    fn part(&self, revision: i64, from: i64, keys: &KeySet, max_bytes: usize) -> Result<LogPart, LogReadError> {
        self.store().part(revision, from, keys, max_bytes)
    }

    fn prev_kv(&self, revision: i64, event: &WatchEvent) -> Result<Option<Bytes>, LogReadError> {
        self.store().prev_kv(revision, event)
    }
}

struct Client(Sender<Vec<Reply>>);

impl ReplySink for Client {
    fn deliver(&self, replies: Vec<Reply>) {
        self.0.send(replies).expect("the test listens");
    }
}

struct Rig {
    hub: Addr<WatchHub>,
    store: Arc<Shared>,
    sinks: [Receiver<Vec<Reply>>; 2],
    gauges: Arc<Gauges>,
    backlog: Arc<AtomicUsize>,
    exit: ExitCell,
}

impl Rig {
    fn start(arbiter: &actix::Arbiter, broken: bool) -> Self {
        let store = Arc::new(Shared { broken, ..Shared::default() });
        let sinks = Arc::new(Sinks::default());
        let gauges = Arc::new(Gauges::default());
        let exit = ExitCell::default();
        let first = unbounded();
        let second = unbounded();
        sinks.register(vec![Arc::new(Client(first.0)), Arc::new(Client(second.0))]);
        let backlog = Arc::new(AtomicUsize::new(1 << 20));
        let parts = HubParts {
            config: HubConfig::for_requests(1 << 20),
            at: Position { revision: 1, compact_revision: -1 },
            source: store.clone(),
            sinks,
            gauges: gauges.clone(),
            backlog: backlog.clone(),
            exit: exit.clone(),
        };
        let hub = WatchHub::start(parts, &arbiter.handle());
        Self { hub, store, sinks: [first.1, second.1], gauges, backlog, exit }
    }

    fn request(&self, list: Vec<ToHub>) {
        self.hub.do_send(WatchRequests(list));
    }

    fn commit(&self, told: bool) {
        let mut store = self.store.store();
        let before = store.revision();
        store.commit(&[Change::Put(0)], 10);
        let events = told.then(|| store.list_since(before));
        self.hub.do_send(Advanced { revision: store.revision(), compact_revision: -1, events, restored: false });
    }

    /// One delivery: frames per stream.
    fn delivery(&self, sink: usize) -> Vec<(u64, Vec<WatchFrame>)> {
        let replies = self.sinks[sink].recv_timeout(LONG).expect("a delivery was due");
        let streams = replies.into_iter().map(|reply| match reply {
            Reply { token, body: ReplyBody::Watch(frames) } => (token, frames),
            _ => panic!("the hub sends watch frames only"),
        });
        streams.collect()
    }
}

fn with_arbiter(test: impl FnOnce(&actix::Arbiter)) {
    actix::System::new().block_on(async {
        let arbiter = actix::Arbiter::new();
        test(&arbiter);
        arbiter.stop();
    });
}

fn open_and_watch(token: u64, start_revision: i64) -> Vec<ToHub> {
    let stream = stream(token);
    let create = CreateWatch { start_revision, prev_kv: true, ..watch("a", "b") };
    vec![ToHub::OpenStream { stream, credit: 1 << 20 }, ToHub::Create { stream, create }]
}

#[test]
fn a_message_is_one_delivery_per_sink_and_missed_events_come_from_the_store() {
    with_arbiter(|arbiter| {
        let rig = Rig::start(arbiter, false);
        rig.request([1, 2, 3].into_iter().flat_map(|token| open_and_watch(token, 0)).collect());
        assert_eq!(rig.delivery(0).len(), 1);
        assert_eq!(rig.delivery(1).iter().map(|s| s.0).collect::<Vec<_>>(), [1, 3]);
        let before = rig.backlog.load(Relaxed);
        for told in [true, false, true] {
            rig.commit(told);
            let streams = rig.delivery(1);
            assert!(
                streams.len() == 2
                    && streams.iter().all(|(_, frames)| matches!(&frames[..], [WatchFrame::Events { .. }]))
            );
            rig.delivery(0);
        }
        rig.request(open_and_watch(4, 2));
        let mut frames = rig.delivery(0).remove(0).1;
        while frames.len() < 2 {
            frames.extend(rig.delivery(0).remove(0).1);
        }
        assert!(
            matches!(&frames[..], [WatchFrame::Created { .. }, WatchFrame::Events { events, .. }] if events.len() == 3)
        );
        assert_eq!(rig.gauges.watchers.load(Relaxed), 4);
        assert_eq!(rig.gauges.events.load(Relaxed), 12);
        assert!(rig.backlog.load(Relaxed) < before);
        rig.hub.do_send(StopHub);
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(rig.exit.get(), None);
    });
}

#[test]
fn a_store_that_fails_ends_the_node() {
    with_arbiter(|arbiter| {
        let rig = Rig::start(arbiter, true);
        rig.request(open_and_watch(1, 0));
        rig.commit(false);
        let start = std::time::Instant::now();
        while rig.exit.get().is_none() && start.elapsed() < LONG {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(matches!(rig.exit.get(), Some(NodeExit::Failed { actor: "watch hub", .. })));
    });
}

#[test]
fn whoever_waits_for_the_arbiter_finds_the_store_let_go() {
    actix::System::new().block_on(async {
        let arbiter = actix::Arbiter::new();
        let Rig { hub, store, sinks, .. } = Rig::start(&arbiter, false);
        hub.do_send(WatchRequests(open_and_watch(2, 0)));
        sinks[0].recv_timeout(LONG).expect("it has started, with its threads");
        hub.do_send(StopHub);
        arbiter.stop();
        arbiter.join().expect("no panic");
        assert_eq!(Arc::strong_count(&store), 1, "a thread still holds the store");
    });
}
