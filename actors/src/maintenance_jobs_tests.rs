//! Client jobs over a store in memory: bounds, stops, and reads that must not be done on a connection thread.

use crate::cancellable::Cancellable;
use crate::death_watch::{DeathWatch, ExitCell};
use crate::limits::{COLLECTED_BYTES, OPEN_SNAPSHOTS, SNAPSHOT_STALL};
use crate::maintenance_jobs::{MaintenanceJobs, MaintenanceParts};
use crate::simple_tokens::{DEFAULT_TTL, SimpleTokens};
use crate::store_cell::StoreCell;
use crate::store_reads::StoreReads;
use crate::test_client::client;
use crate::wiring::flush::ToFlusher;
use crossbeam_channel::{Receiver, Sender, bounded};
use messages::admin::{MaintenanceJob, RunJob};
use messages::read::Reads;
use messages::reply::SnapshotAnswer;
use messages::{Gauges, Reply, ReplyBody, RequestError, SinkId};
use model::SnapshotFormat;
use model::request::RangeRequest;
use raft::{ConfState, LogId};
use std::sync::Arc;
use std::sync::atomic::Ordering::Release;
use std::time::{Duration, Instant};
use storage::apply::{Bootstrap, MemberIds, StateMachine};
use storage::engine::sim::SimEngine;
use storage::engine::{Direction, Engine, Family, Scan, Snapshot};
use storage::view::Views;
use tempfile::TempDir;

const SINK: SinkId = SinkId(0);
const LONG: Duration = Duration::from_secs(20);

fn store() -> (Arc<SimEngine>, StateMachine<SimEngine>) {
    let engine = Arc::new(SimEngine::new());
    let first = Bootstrap {
        identity: MemberIds { cluster_id: 1, member_id: 2 },
        applied: LogId::default(),
        conf_state: ConfState::default(),
        members: Vec::new(),
    };
    let store = StateMachine::bootstrap(engine.clone(), &first).expect("an empty store");
    (engine, store)
}

struct Rig {
    jobs: Sender<RunJob>,
    answers: Receiver<Reply>,
    gauges: Arc<Gauges>,
    flusher: Receiver<ToFlusher>,
    _stop: Sender<()>,
    dir: TempDir,
}

impl Rig {
    fn start() -> Self {
        let dir = TempDir::new().expect("a folder");
        let (jobs, inbox) = bounded(8);
        let (stop, stopped) = bounded(0);
        let (sinks, answers) = client();
        let gauges = Arc::<Gauges>::default();
        let (flush, flusher) = bounded(1);
        let parts = MaintenanceParts {
            inbox,
            stop: stopped,
            store: Arc::new(StoreCell::new(store().0)),
            open: Arc::new(SimEngine::open),
            make_room: Box::new(|| {}),
            scratch: dir.path().join("scratch"),
            server_version: String::new(),
            flusher: flush,
            sinks,
            gauges: gauges.clone(),
        };
        let owner = MaintenanceJobs::new(parts);
        std::thread::spawn(move || owner.run(DeathWatch::new("maintenance jobs", ExitCell::default())));
        Self { jobs, answers, gauges, flusher, _stop: stop, dir }
    }

    fn ask(&self, job: MaintenanceJob) -> Reply {
        self.jobs.send(RunJob { sink: SINK, token: 1, job }).expect("it lives");
        self.answers.recv_timeout(LONG).expect("an answer")
    }

    fn snapshot(&self) -> Result<SnapshotAnswer, RequestError> {
        match self.ask(MaintenanceJob::OpenSnapshot(SnapshotFormat::Conclave)).body {
            ReplyBody::SnapshotOpened(result) => result,
            _ => panic!("another answer"),
        }
    }

    fn checkpoints(&self) -> usize {
        std::fs::read_dir(self.dir.path().join("scratch")).map_or(0, Iterator::count)
    }
}

#[test]
fn open_snapshots_are_bounded_and_closed_away_from_their_readers() {
    let rig = Rig::start();
    let mut open: Vec<_> = (0..OPEN_SNAPSHOTS).map(|_| rig.snapshot().expect("room")).collect();
    assert_eq!(rig.snapshot().err(), Some(RequestError::Busy));
    open.pop();
    let mut last = rig.snapshot().expect("room again, at once");
    let mut stream = Vec::new();
    while let Some(chunk) = last.source.next(0).expect("a chunk") {
        stream.extend_from_slice(&chunk);
    }
    // the announced length, and behind it the checksum that a client and a file's reader check
    assert_eq!(stream.len() as u64, last.total + 32);
    let read = storage::snapshot::verify(&stream[..], storage::snapshot::Hash::Check).map(|summary| summary.bytes);
    assert!(read.as_ref().is_ok_and(|bytes| *bytes == last.total), "{read:?}");
    drop((open, last));
    let start = Instant::now();
    while rig.checkpoints() > 0 {
        assert!(start.elapsed() < LONG, "checkpoints are left behind");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_log_hears_of_a_store_that_a_job_has_flushed() {
    let rig = Rig::start();
    for job in [MaintenanceJob::Defragment, MaintenanceJob::OpenSnapshot(SnapshotFormat::Conclave)] {
        drop(rig.ask(job));
        assert!(matches!(rig.flusher.try_recv(), Ok(ToFlusher::Flush)), "before the answer");
    }
}

#[test]
fn a_snapshot_nobody_takes_makes_room_for_another() {
    let rig = Rig::start();
    let mut open: Vec<_> = (0..OPEN_SNAPSHOTS).map(|_| rig.snapshot().expect("room")).collect();
    std::thread::sleep(SNAPSHOT_STALL * 2);
    open[1..].iter_mut().for_each(|pulled| drop(pulled.source.next(0).expect("a chunk")));
    let mut new = rig.snapshot().expect("the first one is ended");
    assert!(open[0].source.next(0).is_err(), "and hears of it");
    assert!(open[1].source.next(0).is_ok() && new.source.next(0).is_ok());
    assert_eq!(rig.snapshot().err(), Some(RequestError::Busy), "all are pulled");
}

#[test]
fn a_node_that_stops_begins_no_job_and_ends_walks() {
    let rig = Rig::start();
    rig.gauges.stopping.store(true, Release);
    assert_eq!(rig.snapshot().err(), Some(RequestError::Stopped));
    let ReplyBody::JobDone(result) = rig.ask(MaintenanceJob::Defragment).body else { panic!("another answer") };
    assert_eq!(result, Err(RequestError::Stopped));
    let snapshot = Cancellable::new(store().0.snapshot(), rig.gauges.clone());
    let mut scan = snapshot.scan(Family::Meta, &[], None, Direction::Forward);
    assert!(scan.next().is_err(), "a walk goes on while the node stops");
}

#[test]
fn a_store_that_is_about_to_be_replaced_is_not_rewritten() {
    let rig = Rig::start();
    rig.gauges.receiving_snapshot.store(true, Release);
    let ReplyBody::JobDone(result) = rig.ask(MaintenanceJob::Defragment).body else { panic!("another answer") };
    assert_eq!(result, Err(RequestError::Busy));
    assert!(rig.snapshot().is_ok(), "clients are served as ever");
}

#[test]
fn ranges_of_the_past_are_left_to_the_pool() {
    let now = 7;
    let mut view = store().1.view();
    view.status.revision = now;
    let tokens = Arc::new(SimpleTokens::new(DEFAULT_TTL));
    let reads = StoreReads::new(Arc::new(Views::new(view)), Arc::default(), tokens, COLLECTED_BYTES);
    let range = |revision, range_end: &'static str, count_only| {
        let request = RangeRequest {
            key: "a".into(),
            range_end: range_end.into(),
            revision,
            count_only,
            ..RangeRequest::default()
        };
        reads.range(&request, messages::read::INLINE_BYTES).is_some()
    };
    assert!(range(0, "z", false) && range(now, "z", false) && range(0, "z", true));
    assert!(!range(now - 1, "z", false) && !range(now - 1, "z", true));
    assert!(range(now - 1, "", false), "a single key is one look-up at any revision");
}
