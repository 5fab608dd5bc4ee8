//! Hashes over a store in memory: those of compactions are kept, and nobody else waits for any.

use crate::calls::kinds::{AtRevision, HashAt, HashFound};
use crate::calls::{Asked, CallKind, CallsInHand, PeerCalls};
use crate::death_watch::{DeathWatch, ExitCell};
use crate::hasher::{Hasher, HasherParts};
use crate::reader_pool::{self, PoolReads};
use crate::test_client::client;
use crate::wiring::hashes::CompactionScheduled;
use crossbeam_channel::{Receiver, Sender, bounded};
use messages::peer::{Call, Responder};
use messages::read::{ChunkSource, RunQuery, Work};
use messages::reply::HashAnswer;
use messages::{Gauges, Reply, ReplyBody, SinkId};
use model::request::{CompactionRequest, DeleteRangeRequest, PutRequest};
use model::{Command, Envelope, Origin, ReadError};
use prost::Message as _;
use raft::{ConfState, Entry, EntryKind, LogId};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use storage::apply::{Bootstrap, Committed, CompactionProgress, MemberIds, Report, StateMachine};
use storage::engine::sim::{SimEngine, SimSnapshot};
use storage::view::Views;

const SINK: SinkId = SinkId(0);
const LONG: Duration = Duration::from_secs(20);

/// A store, and a hasher beside it.
struct Rig {
    store: StateMachine<SimEngine>,
    views: Arc<Views<SimSnapshot>>,
    compactions: Sender<CompactionScheduled<SimSnapshot>>,
    queries: Sender<RunQuery>,
    peers: Sender<Asked<HashAt>>,
    answers: Receiver<Reply>,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Rig {
    fn start() -> Self {
        let first = Bootstrap {
            identity: MemberIds { cluster_id: 1, member_id: 2 },
            applied: LogId::default(),
            conf_state: ConfState::default(),
            members: Vec::new(),
        };
        let store = StateMachine::bootstrap(Arc::new(SimEngine::new()), &first).expect("an empty store");
        let views = Arc::new(Views::new(store.view()));
        let (sinks, answers) = client();
        let (compactions, scheduled) = bounded(10);
        let (queries, asked) = bounded(10);
        let (stop, stopped) = bounded(0);
        let (peers, peers_ask) = bounded(1);
        let parts = HasherParts {
            queries: asked,
            asked: peers_ask,
            calls: PeerCalls::default(),
            compactions: scheduled,
            stop: stopped,
            views: views.clone(),
            gauges: Arc::<Gauges>::default(),
            sinks,
        };
        let watch = DeathWatch::new("hasher", ExitCell::default());
        let thread = std::thread::spawn(move || Hasher::new(parts).run(watch));
        Self { store, views, compactions, queries, peers, answers, stop, thread }
    }

    fn run(&mut self, command: Command) -> Report<SimSnapshot> {
        let index = self.store.applied().index + 1;
        let origin = Origin { member: 1, epoch: 2, sequence: index };
        let data = Envelope { origin, only_in_term: 0, command: command.encode(index) }.encode();
        let entry = Entry { term: 1, index, kind: EntryKind::Normal, data };
        let report = self.store.apply(&[Committed { entry }]).expect("the entry applies");
        self.views.publish(self.store.view(), false);
        report
    }

    fn put(&mut self, key: &'static str) {
        self.run(Command::Put(PutRequest { key: key.into(), ..PutRequest::default() }));
    }

    /// Compacts as the applier does, and deletes all rows.
    fn compact(&mut self, revision: i64) {
        let report = self.run(Command::Compaction(CompactionRequest { revision, physical: true }));
        for scheduled in report.compactions {
            let (before, target) = (scheduled.before, scheduled.target);
            let scheduled = CompactionScheduled { view: report.view.clone(), before, target };
            self.compactions.send(scheduled).expect("it lives");
        }
        while self.store.compaction_step(1).expect("a step") != CompactionProgress::Idle {}
        self.views.publish(self.store.view(), false);
    }

    fn hash(&self, revision: i64) -> Result<HashAnswer, ReadError> {
        self.queries.send(RunQuery { sink: SINK, token: 1, work: Work::HashKv { revision } }).expect("it lives");
        match self.answers.recv_timeout(LONG).expect("an answer").body {
            ReplyBody::Hash(hash) => hash,
            _ => panic!("another answer"),
        }
    }

    fn stop(self) {
        drop(self.stop);
        self.thread.join().expect("no panic");
    }
}

#[test]
fn the_hash_at_a_compaction_stays_what_it_was_before() {
    let mut rig = Rig::start();
    for key in ["a", "a", "b"] {
        rig.put(key);
    }
    rig.run(Command::DeleteRange(DeleteRangeRequest { key: "b".into(), ..DeleteRangeRequest::default() }));
    let before = rig.hash(5).expect("a hash");
    rig.compact(5);
    rig.put("c");
    let after = rig.hash(5).expect("a hash");
    assert_eq!((after.hash, after.compact_revision, after.hash_revision), (before.hash, -1, 5));
    assert_eq!(after.revision, 6, "the header is of now");
    assert_ne!(rig.hash(6).expect("a hash").compact_revision, -1, "other revisions are computed");
    rig.stop();
}

#[test]
fn other_members_are_answered_as_clients_are() {
    let mut rig = Rig::start();
    rig.put("a");
    rig.put("a");
    rig.compact(3);
    for revision in [0, 2, 3, 4] {
        let (told, heard) = bounded(1);
        let respond = Responder::new(4, move |answer| told.send(answer.result).expect("answered once"));
        let body = AtRevision { revision }.encode_to_vec().into();
        let call = Call { id: 4, kind: HashAt::KIND, deadline_millis: 500, body };
        let place = CallsInHand::default().place(2).expect("the first");
        rig.peers.send(Asked::read(2, call, respond, place).expect("sound")).expect("it lives");
        let answer = heard.recv_timeout(LONG).expect("an answer").expect("a hash or a reason");
        let found = HashFound::decode(answer).expect("whole");
        assert_eq!(Result::from(found), rig.hash(revision), "revision {revision}");
    }
    rig.queries
        .send(RunQuery { sink: SINK, token: 1, work: Work::PeerHash { member: 9, revision: 0 } })
        .expect("it lives");
    let unreachable = rig.answers.recv_timeout(LONG).expect("an answer").body;
    assert!(matches!(unreachable, ReplyBody::JobDone(Err(_))), "there is nobody in a cluster of one");
    rig.stop();
}

#[test]
fn clients_are_answered_when_nobody_else_can_ask_any_more() {
    let Rig { views: _views, compactions, queries, peers, answers, stop, thread, .. } = Rig::start();
    drop((compactions, peers));
    for token in 0..3 {
        queries.send(RunQuery { sink: SINK, token, work: Work::Hash }).expect("it lives");
        assert!(matches!(answers.recv_timeout(LONG).expect("an answer").body, ReplyBody::Hash(Ok(_))));
    }
    drop(stop);
    thread.join().expect("no panic");
}

#[test]
fn the_ten_newest_compactions_are_kept() {
    let mut rig = Rig::start();
    for revision in 2..=14 {
        rig.put("a");
        rig.compact(revision);
    }
    for revision in 2..=14 {
        let kept = rig.hash(revision).map(|hash| hash.compact_revision);
        let expected =
            if revision < 5 { Err(ReadError::Compacted) } else { Ok(if revision == 2 { -1 } else { revision - 1 }) };
        assert_eq!(kept, expected, "revision {revision}");
    }
    rig.stop();
}

struct NoReads;

impl PoolReads for NoReads {
    fn run(&self, _: RunQuery) -> Reply {
        panic!("only hashes and chunks are asked for")
    }
}

struct Empty;

impl ChunkSource for Empty {
    fn next(&mut self, _: usize) -> Result<Option<bytes::Bytes>, ReadError> {
        Ok(None)
    }
}

#[test]
fn hashes_keep_no_chunk_waiting() {
    let (sinks, answers) = client();
    let (query, jobs) = bounded(16);
    let (hash, _nobody_takes_them) = bounded(4);
    let (stop, stopped) = bounded(0);
    let exit = ExitCell::default();
    let threads = reader_pool::start(2, jobs, stopped, Arc::new(NoReads), &hash, sinks, &exit).expect("threads");
    let send = |token, work| query.send(RunQuery { sink: SINK, token, work }).expect("it lives");
    for token in 0..4 {
        send(token, Work::HashKv { revision: 0 });
    }
    send(9, Work::NextChunk { source: Box::new(Empty), max_bytes: 1 });
    let first = answers.recv_timeout(LONG).expect("the chunk");
    assert!(matches!(first, Reply { token: 9, body: ReplyBody::Chunk { .. } }));
    send(5, Work::Hash);
    let refused = answers.recv_timeout(LONG).expect("an answer");
    assert!(matches!(refused, Reply { token: 5, body: ReplyBody::Hash(Err(ReadError::Busy)) }));
    drop(stop);
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    assert_eq!(exit.get(), None);
}
