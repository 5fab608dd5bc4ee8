//! A running member: the real owners, wired as the kernel wires them, without their threads.
//!
//! Each owner does one thing when it is told to. Must never decide when that is, nor whether what it did was right.

use super::engine::{Reads, StepEngine};
use super::params::{ELECTION_TICKS, Params, TICK};
use super::ports::{ClientSink, HubMail, LeaseMail, NobodyToTell, SimPeers, ToHub, ToLeases, mailbox};
use actors::applier::{Applier, ApplierInstall, ApplierPace, ApplierParts};
use actors::calls::PeerCalls;
use actors::flusher::{Flusher, FlusherParts};
use actors::kernel::{FIRST_CLIENT_SINK, LEASE_SINK};
use actors::lease_manager::{LeaseService, LeaseServiceParts, NoLeaderCalls, StoredLease};
use actors::limits::{
    APPLIER_QUEUE, APPLY_BATCH_BYTES, COLLECTED_BYTES, FLUSHER_QUEUE, HUB_BACKLOG_BYTES, LOG_READS, LOG_TAIL_BYTES,
    OVERSIZED_REVISION_BYTES, UNCOMMITTED_BYTES, WAL_QUEUE,
};
use actors::log_reader::LogReader;
use actors::raft_core::inbox::{Inbox, InnerPort};
use actors::raft_core::log_tail::LogTail;
use actors::raft_core::{CoreConfig, CoreParts, RaftCore};
use actors::simple_tokens::{DEFAULT_TTL, SimpleTokens};
use actors::store_cell::StoreCell;
use actors::wal_writer::{WalInstall, WalParts, WalWriter};
use actors::watch_hub::{Hub, Position, ReadDone, ReadJob};
use actors::wiring::apply::ToApplier;
use actors::wiring::flush::ToFlusher;
use actors::wiring::log::ReadLog;
use actors::wiring::wal::ToWal;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use messages::peer::Transport;
use messages::ports::CorePort;
use messages::{Gauges, ReplySink, SinkId, Sinks};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Release;
use std::time::Duration;
use storage::apply::{Membership, StateMachine as Store};
use storage::disk::SimDisk;
use storage::engine::sim::SimSnapshot;
use storage::view::{View, Views};
use storage::wal::Wal;

/// Where answers to clients go.
pub const CLIENT_SINK: SinkId = SinkId(FIRST_CLIENT_SINK);

/// What a member starts with.
pub struct Recovered {
    /// The write side of the store.
    pub store: Store<StepEngine>,
    /// The log.
    pub wal: Wal,
    /// The log as the core sees it.
    pub tail: LogTail,
}

/// See the file header.
pub struct Running {
    /// The raft core.
    pub core: RaftCore,
    /// The WAL writer.
    pub wal: WalWriter,
    /// The applier.
    pub applier: Applier<StepEngine>,
    /// The log reader.
    pub log: LogReader,
    /// Its queue.
    pub to_log: Receiver<ReadLog>,
    /// The flusher.
    pub flusher: Flusher<StepEngine>,
    /// The lease manager.
    pub leases: LeaseService,
    /// The watch hub.
    pub hub: Hub,
    /// Jobs of the hub that nobody has begun.
    pub work: VecDeque<ReadJob>,
    /// Jobs that are done and not reported.
    pub done: VecDeque<ReadDone>,
    /// The core's client queues.
    pub port: CorePort,
    /// The core's inner queues.
    pub inner: InnerPort,
    /// The WAL writer's queue.
    pub to_wal: Receiver<ToWal>,
    /// The applier's queue.
    pub to_applier: Receiver<ToApplier>,
    /// The flusher's queue.
    pub to_flusher: Receiver<ToFlusher>,
    /// The lease manager's mail.
    pub lease_mail: Receiver<LeaseMail>,
    /// Its other end.
    pub to_leases: Sender<LeaseMail>,
    /// The hub's mail.
    pub hub_mail: Receiver<HubMail>,
    /// Its other end.
    pub to_hub: Sender<HubMail>,
    /// Published views.
    pub views: Arc<Views<SimSnapshot>>,
    /// Reads over them.
    pub reads: Arc<Reads>,
    /// Counters.
    pub gauges: Arc<Gauges>,
    /// Answers to clients.
    pub replies: Arc<ClientSink>,
    /// Messages to other members.
    pub peers: SimPeers,
    /// Bytes of events the hub has not taken.
    pub backlog: Arc<AtomicUsize>,
    /// When it started, in microseconds.
    pub born: u64,
    /// When the ticker is due next.
    pub next_tick: u64,
}

/// The queues between owners, and what all of them share.
struct Wiring {
    inner: InnerPort,
    port: CorePort,
    ends: Ends,
    views: Arc<Views<SimSnapshot>>,
    gauges: Arc<Gauges>,
    sinks: Arc<Sinks>,
    peers: SimPeers,
    backlog: Arc<AtomicUsize>,
}

/// Sending ends of the owners' queues.
struct Ends {
    wal_end: Sender<ToWal>,
    log_end: Sender<ReadLog>,
    flusher_end: Sender<ToFlusher>,
    to_leases: Sender<LeaseMail>,
    to_hub: Sender<HubMail>,
}

impl Wiring {
    fn core_parts(&self, inbox: Inbox, applier: Sender<ToApplier>, membership: Arc<Membership>) -> CoreParts {
        CoreParts {
            inbox,
            wal: self.ends.wal_end.clone(),
            applier,
            log: self.ends.log_end.clone(),
            // nobody sends or receives snapshots
            snapshots: bounded(0).0,
            peers: Arc::new(self.peers.clone()),
            calls: PeerCalls::default(),
            vitals: Box::new(NobodyToTell),
            leases: Box::new(ToLeases(self.ends.to_leases.clone())),
            // nobody can be reached
            connections: Box::new(None::<Arc<dyn Transport>>),
            membership,
            sinks: self.sinks.clone(),
            gauges: self.gauges.clone(),
        }
    }

    fn wal_parts(&self, inbox: Receiver<ToWal>, applier: Sender<ToApplier>, disk: &SimDisk) -> WalParts {
        WalParts {
            install: WalInstall { disk: disk.shared(), member: PathBuf::from("/member"), applier },
            inbox,
            core: self.inner.clone(),
            peers: Arc::new(self.peers.clone()),
            flusher: self.ends.flusher_end.clone(),
            gauges: self.gauges.clone(),
        }
    }

    /// Nobody logs in: the tokens of readers are none.
    fn reads(&self) -> Reads {
        let tokens = Arc::new(SimpleTokens::new(DEFAULT_TTL));
        Reads::new(self.views.clone(), self.gauges.clone(), tokens, COLLECTED_BYTES)
    }

    fn applier_parts(
        &self,
        inbox: Receiver<ToApplier>,
        engine: StepEngine,
        params: &Params,
    ) -> ApplierParts<StepEngine> {
        let install = ApplierInstall {
            cell: Arc::new(StoreCell::new(Arc::new(engine))),
            leases: Box::new(unbounded().0),
            wal: self.ends.wal_end.clone(),
            snapshots: bounded(0).0,
        };
        ApplierParts {
            install,
            inbox,
            core: self.inner.clone(),
            views: self.views.clone(),
            sinks: self.sinks.clone(),
            hasher: bounded(0).0,
            hub: Box::new(ToHub(self.ends.to_hub.clone())),
            hub_backlog: self.backlog.clone(),
            leases: Box::new(ToLeases(self.ends.to_leases.clone())),
            // nobody has to be told
            members: Box::new(unbounded().0),
            flusher: self.ends.flusher_end.clone(),
            tokens: Arc::new(SimpleTokens::new(DEFAULT_TTL)),
            gauges: self.gauges.clone(),
            pace: ApplierPace {
                compaction_pause: Duration::ZERO,
                compaction_rows: params.compaction_rows,
                durable_check: params.durable_check,
                hub_backlog: HUB_BACKLOG_BYTES,
                oversized_revision: OVERSIZED_REVISION_BYTES,
            },
        }
    }

    fn flusher_parts(
        &self,
        inbox: Receiver<ToFlusher>,
        engine: StepEngine,
        disk: &SimDisk,
        params: &Params,
    ) -> FlusherParts<StepEngine> {
        FlusherParts {
            inbox,
            store: Arc::new(StoreCell::new(Arc::new(engine))),
            disk: disk.shared(),
            core: self.inner.clone(),
            wal: self.ends.wal_end.clone(),
            gauges: self.gauges.clone(),
            flush_entries: params.flush_entries,
            fill_pause: Duration::ZERO,
        }
    }

    fn leases(&self, own: u64, view: &View<SimSnapshot>) -> Result<LeaseService, String> {
        let stored = storage::read::meta::leases(view).map_err(|e| e.to_string())?;
        let stored = stored.into_iter().map(|(id, row)| StoredLease { id, ttl: row.ttl, remaining: row.remaining });
        let parts = LeaseServiceParts {
            own,
            stored: stored.collect(),
            election_timeout: TICK / 1_000 * u64::from(ELECTION_TICKS),
            heartbeat: TICK / 1_000,
            sink: LEASE_SINK,
            core: self.port.clone(),
            sinks: self.sinks.clone(),
            gauges: self.gauges.clone(),
        };
        Ok(LeaseService::new(parts, Box::new(NoLeaderCalls)))
    }
}

impl Running {
    /// Wires the owners. Nothing has run yet.
    ///
    /// # Errors
    /// A text when a part refuses.
    pub fn new(
        recovered: Recovered,
        engine: StepEngine,
        disk: &SimDisk,
        params: &Params,
        epoch: u64,
        now: u64,
    ) -> Result<Self, String> {
        let Recovered { store, wal, tail } = recovered;
        let (inbox, port, inner) = Inbox::new();
        let (wal_end, to_wal) = bounded(WAL_QUEUE);
        let (applier_end, to_applier) = bounded(APPLIER_QUEUE);
        let (flusher_end, to_flusher) = bounded(FLUSHER_QUEUE);
        let (log_end, to_log) = bounded(LOG_READS);
        let (to_leases, lease_mail) = mailbox();
        let (to_hub, hub_mail) = mailbox();
        let views = Arc::new(Views::new(store.view()));
        let gauges = Arc::<Gauges>::default();
        let replies = Arc::<ClientSink>::default();
        let sinks = Arc::<Sinks>::default();
        gauges.applied.store(store.applied().index, Release);
        let lease_sink: Arc<dyn ReplySink> = Arc::new(ToLeases(to_leases.clone()));
        sinks.register(vec![lease_sink, replies.clone()]);
        engine.watch(views.clone());
        let ends = Ends { wal_end, log_end, flusher_end, to_leases, to_hub };
        let wiring =
            Wiring { inner, port, ends, views, gauges, sinks, peers: SimPeers::default(), backlog: Arc::default() };
        let view = wiring.views.load();
        let at = Position { revision: view.status.revision, compact_revision: view.status.compact_revision };
        let own = store.identity().member_id;
        let config = core_config(&store, params, epoch);
        let membership = Arc::new(store.membership().map_err(|e| e.to_string())?);
        let parts = wiring.core_parts(inbox, applier_end.clone(), membership);
        let core = RaftCore::new(config, tail, parts).map_err(|e| e.to_string())?;
        // it is stepped by the world, which needs no end to stop it by
        let (_, never) = bounded(0);
        let log = LogReader::new(wal.reader(), to_log.clone(), never, wiring.inner.clone());
        Ok(Self {
            core,
            log,
            to_log,
            wal: WalWriter::new(wal, wiring.wal_parts(to_wal.clone(), applier_end, disk)),
            applier: Applier::new(store, wiring.applier_parts(to_applier.clone(), engine.clone(), params)),
            flusher: Flusher::new(wiring.flusher_parts(to_flusher.clone(), engine, disk, params)),
            leases: wiring.leases(own, &view)?,
            hub: Hub::new(params.hub, at),
            work: VecDeque::new(),
            done: VecDeque::new(),
            to_wal,
            to_applier,
            to_flusher,
            lease_mail,
            hub_mail,
            reads: Arc::new(wiring.reads()),
            replies,
            port: wiring.port,
            inner: wiring.inner,
            to_leases: wiring.ends.to_leases,
            to_hub: wiring.ends.to_hub,
            views: wiring.views,
            gauges: wiring.gauges,
            peers: wiring.peers,
            backlog: wiring.backlog,
            born: now,
            next_tick: now + TICK,
        })
    }

    /// Milliseconds since it started, as its owners count them.
    pub fn millis(&self, now: u64) -> u64 {
        now.saturating_sub(self.born) / 1_000
    }
}

fn core_config(store: &Store<StepEngine>, params: &Params, epoch: u64) -> CoreConfig {
    let mut raft = raft::Config::new(store.identity().member_id);
    raft.election_tick = ELECTION_TICKS;
    raft.seed = epoch;
    raft.applied = store.applied().index;
    raft.check_quorum = true;
    raft.pre_vote = true;
    raft.max_size_per_msg = 1 << 20;
    raft.max_committed_size_per_ready = APPLY_BATCH_BYTES.min(params.chunk_bytes as u64 * 4);
    raft.max_uncommitted_size = UNCOMMITTED_BYTES;
    raft.max_inflight_bytes = 8 << 20;
    raft.step_down_on_removal = true;
    CoreConfig {
        raft,
        tick: Duration::from_micros(TICK),
        epoch,
        request_ticks: 70,
        catch_up_entries: params.catch_up,
        tail_bytes: LOG_TAIL_BYTES,
        advance_first_election: false,
        strict_reconfig: true,
        max_learners: 1,
        spin: Duration::ZERO,
    }
}
