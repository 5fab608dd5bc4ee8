//! A member of a test: the whole kernel over a simulated disk and stores in memory, and a client inside.
//!
//! Must never share anything with another member but the network.

use super::network::Network;
use crate::death_watch::ExitCell;
use crate::kernel::{Assembly, FIRST_CLIENT_SINK, Kernel};
use crate::limits::OwnerBudgets;
use crate::memory_stores::MemoryStores;
use crate::raft_core::CoreConfig;
use crate::raft_core::log_tail::LogTail;
use crate::watch_hub::HubConfig;
use crossbeam_channel::{Receiver, Sender, unbounded};
use messages::propose::{Proposal, Propose};
use messages::reply::ReplySink;
use messages::watch::{CreateWatch, StreamKey, ToHub, WatchFrame, WatchRequests};
use messages::{NodeIdentity, Reply, ReplyBody, SinkId};
use model::request::PutRequest;
use model::{Command, KeyRange, KeyValue};
use prost::Message;
use raft::NodeId;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Acquire;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use storage::apply::{Bootstrap, CHUNK_BYTES};
use storage::boot::Boot;
use storage::disk::SimDisk;
use storage::engine::sim::SimEngine;
use storage::wal::WalConfig;
use tempfile::TempDir;

const SINK: SinkId = SinkId(FIRST_CLIENT_SINK);
const PATIENCE: Duration = Duration::from_secs(120);
const TICK: Duration = Duration::from_millis(20);
const MEMBER: &str = "/data/member";

/// What survives a stop.
#[derive(Clone, Default)]
pub struct Machine {
    pub disk: SimDisk,
    pub stores: MemoryStores,
}

#[derive(Default)]
struct Heard {
    frames: Mutex<Vec<WatchFrame>>,
}

struct Sink {
    heard: Arc<Heard>,
    answers: Sender<Reply>,
}

impl ReplySink for Sink {
    fn deliver(&self, replies: Vec<Reply>) {
        for reply in replies {
            match reply.body {
                ReplyBody::Watch(frames) => self.heard.frames.lock().unwrap().extend(frames),
                _ => self.answers.send(reply).unwrap_or_default(),
            }
        }
    }
}

/// A running member.
pub struct Member {
    pub id: NodeId,
    pub kernel: Kernel,
    pub machine: Machine,
    heard: Arc<Heard>,
    answers: Receiver<Reply>,
    _scratch: TempDir,
}

impl Member {
    /// Starts it from what its machine holds, or from `first`.
    pub fn start(first: &Bootstrap, machine: &Machine, network: &Network) -> Self {
        let id = first.identity.member_id;
        let boot = Boot {
            disk: machine.disk.shared(),
            member: Path::new(MEMBER),
            wal_dir: Path::new("/data/member/wal"),
            stores: &machine.stores,
            force_new_cluster: false,
            rebuild: None,
            wal: WalConfig { min_segment: 16 << 10, max_segment: 32 << 10, ..WalConfig::default() },
            chunk_bytes: CHUNK_BYTES,
            log_id: id + 100,
            epoch_floor: 0,
        };
        let booted = boot.start(|| Ok(first.clone())).unwrap();
        let mut raft = raft::Config::new(id);
        raft.election_tick = 10;
        raft.seed = id;
        raft.applied = booted.store.applied().index;
        raft.check_quorum = true;
        raft.pre_vote = true;
        raft.max_size_per_msg = 64 << 10;
        raft.max_inflight_msgs = 16;
        let core = CoreConfig {
            raft,
            epoch: booted.boot_epoch << 8 | id,
            request_ticks: 200,
            catch_up_entries: 5,
            tail_bytes: 4 << 10,
            tick: TICK,
            advance_first_election: false,
            strict_reconfig: true,
            max_learners: 1,
            rebuild: false,
        };
        let scratch = TempDir::new().unwrap();
        let (answers, answered) = unbounded();
        let heard = Arc::<Heard>::default();
        let network = network.clone();
        let kernel = Kernel::start(Assembly {
            exit: ExitCell::default(),
            identity: NodeIdentity { cluster_id: first.identity.cluster_id, member_id: id, name: id.to_string() },
            engine: booted.engine,
            open: Arc::new(SimEngine::open),
            store: booted.store,
            stores: Arc::new(machine.stores.clone()),
            store_name: booted.store_name,
            member: PathBuf::from(MEMBER),
            wal: booted.wal,
            disk: machine.disk.shared(),
            tail: LogTail::new(booted.log),
            core,
            tick: TICK,
            hub: HubConfig::for_requests(1 << 20),
            token_ttl: crate::simple_tokens::DEFAULT_TTL,
            scrub_interval: Duration::ZERO,
            compaction_pause: Duration::ZERO,
            compaction_rows: 0,
            slow_apply: Duration::MAX,
            budgets: OwnerBudgets::DEFAULT,
            make_room: Box::new(|| {}),
            scratch: scratch.path().join("scratch"),
            server_version: "3.7.0".into(),
            version: [3, 7, 0],
            connect_peers: Some(Box::new(move |inbound| Ok(network.join(id, inbound)))),
            client_sinks: vec![Arc::new(Sink { heard: heard.clone(), answers })],
        });
        let kernel = kernel.unwrap();
        Self { id, kernel, machine: machine.clone(), heard, answers: answered, _scratch: scratch }
    }

    /// Ends it, and lets its machine forget what was not durable.
    pub fn crash(self, seed: u64) -> Machine {
        let Self { kernel, machine, .. } = self;
        kernel.stop();
        machine.disk.crash(seed);
        machine.stores.crash();
        machine
    }

    pub fn applied(&self) -> u64 {
        self.kernel.ports().gauges.applied.load(Acquire)
    }

    pub fn leader(&self) -> u64 {
        self.kernel.ports().gauges.leader.load(Acquire)
    }

    /// For who wonders why nothing happens: id, leader, term, applied, committed, last index.
    pub fn state(&self) -> [u64; 6] {
        let gauges = &self.kernel.ports().gauges;
        let of = [&gauges.leader, &gauges.term, &gauges.applied, &gauges.committed, &gauges.last_index];
        let [leader, term, applied, committed, last] = of.map(|gauge| gauge.load(Acquire));
        [self.id, leader, term, applied, committed, last]
    }

    pub fn revision(&self) -> i64 {
        self.kernel.ports().reads.status().revision
    }

    /// Puts a value; false when it was not applied, or nobody knows.
    pub fn put(&self, token: u64, value: usize) -> bool {
        let put = PutRequest {
            key: format!("key-{}", token % 50).into(),
            value: vec![b'x'; value].into(),
            ..Default::default()
        };
        self.execute(token, Command::Put(put))
    }

    pub fn execute(&self, token: u64, command: Command) -> bool {
        let proposals = vec![Proposal { token, command: command.encode(token), only_in_term: 0 }];
        if self.kernel.ports().core.propose(Propose { sink: SINK, proposals }).is_err() {
            return false;
        }
        let end = Instant::now() + PATIENCE;
        while let Ok(reply) = self.answers.recv_deadline(end) {
            if reply.token == token {
                return matches!(reply.body, ReplyBody::Applied(Ok(_)));
            }
        }
        panic!("member {} does not answer", self.id);
    }

    /// Watches everything from `start` on, as watcher `id`.
    pub fn watch(&self, id: i64, start: i64) {
        let stream = StreamKey { sink: SINK, token: 1_000_000 + id as u64 };
        let create = CreateWatch {
            watch_id: id,
            start_revision: start,
            ..CreateWatch::new(KeyRange::new(bytes::Bytes::from_static(&[0]), bytes::Bytes::from_static(&[0])))
        };
        let open = ToHub::OpenStream { stream, credit: 64 << 20 };
        self.kernel.ports().hub.do_send(WatchRequests(vec![open, ToHub::Create { stream, create }]));
    }

    /// Revisions of the events that watcher `id` was sent.
    pub fn events(&self, id: i64) -> Vec<i64> {
        let frames = self.heard.frames.lock().unwrap();
        let mut revisions = Vec::new();
        for frame in frames.iter() {
            match frame {
                WatchFrame::Events { watch_id, events, .. } if *watch_id == id => {
                    let response = Response::decode(&events.concat()[..]).unwrap();
                    revisions.extend(response.events.iter().map(|e| e.kv.as_ref().unwrap().mod_revision));
                }
                WatchFrame::Canceled { watch_id, reason, .. } if *watch_id == id => panic!("canceled: {reason}"),
                _ => {}
            }
        }
        revisions
    }
}

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(message, repeated, tag = "11")]
    events: Vec<Event>,
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(message, optional, tag = "2")]
    kv: Option<KeyValue>,
}
