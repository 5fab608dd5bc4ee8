//! A running member: the real owners, wired as the kernel wires them, without their threads.
//!
//! Each owner does one thing when it is told to. Must never decide when that is, nor whether what it did was right.

use super::engine::{Reads, StepEngine};
use super::params::{ELECTION_TICKS, Params, Shape, TICK};
use super::ports::{ClientSink, HubMail, LeaseMail, ToHub, ToLeases, mailbox};
use super::stores::{MEMBER_DIR, SimStores};
use super::wires::{AskLeader, Standing, ToWires, Wires};
use actors::applier::{Applier, ApplierInstall, ApplierPace, ApplierParts, peers_of};
use actors::calls::PeerCalls;
use actors::flusher::{Flusher, FlusherParts};
use actors::kernel::{FIRST_CLIENT_SINK, LEASE_SINK};
use actors::lease_manager::{LeaderCalls, LeaseService, LeaseServiceParts, NoLeaderCalls, StoredLease};
use actors::limits::{
    APPLIER_QUEUE, APPLY_BATCH_BYTES, COLLECTED_BYTES, FLUSHER_QUEUE, HUB_BACKLOG_BYTES, LOG_READS,
    OVERSIZED_REVISION_BYTES, SNAPSHOT_ORDERS, UNCOMMITTED_BYTES, WAL_QUEUE,
};
use actors::log_reader::LogReader;
use actors::peer_inbox::PeerInbox;
use actors::promotions::AskedPromotions;
use actors::raft_core::inbox::{Inbox, InnerPort};
use actors::raft_core::log_tail::LogTail;
use actors::raft_core::{CoreConfig, CoreParts, RaftCore};
use actors::simple_tokens::{DEFAULT_TTL, SimpleTokens};
use actors::snapshotter::staging::{Staging, StagingParts};
use actors::snapshotter::{Snapshotter, SnapshotterParts};
use actors::store_cell::StoreCell;
use actors::wal_writer::{WalInstall, WalParts, WalWriter};
use actors::watch_hub::{Hub, Position, ReadDone, ReadJob};
use actors::wiring::apply::ToApplier;
use actors::wiring::flush::ToFlusher;
use actors::wiring::log::ReadLog;
use actors::wiring::snapshots::ToSnapshotter;
use actors::wiring::wal::ToWal;
use crossbeam_channel::{Receiver, Sender, bounded};
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
use storage::wal::{Wal, WalScrub};

/// Where answers to clients go.
pub const CLIENT_SINK: SinkId = SinkId(FIRST_CLIENT_SINK);

/// What a member starts with.
pub struct Recovered {
    /// The write side of the store.
    pub store: Store<StepEngine>,
    /// Its engine.
    pub engine: StepEngine,
    /// Its name.
    pub store_name: String,
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
    /// What reads the log to find damage.
    pub scrub: WalScrub,
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
    pub wires: Arc<Wires>,
    /// What takes in from other members.
    pub peers: PeerInbox,
    /// The snapshotter, where there is somebody to send snapshots to.
    pub snapshotter: Option<Snapshotter<StepEngine>>,
    /// Its queue.
    pub to_snapshotter: Receiver<ToSnapshotter>,
    /// Stores of other members on their way in.
    pub staging: Arc<Staging<StepEngine>>,
    /// Bytes of events the hub has not taken.
    pub backlog: Arc<AtomicUsize>,
    /// When the ticker is due next, by the member's clock.
    pub next_tick: u64,
}

/// Where a member runs.
pub struct Home<'a> {
    /// Its disk.
    pub disk: &'a SimDisk,
    /// Its stores.
    pub stores: &'a SimStores,
    /// Sizes and habits.
    pub params: &'a Params,
    /// Version of the build.
    pub version: [u16; 3],
    /// Random number of this run.
    pub epoch: u64,
}

/// The queues between owners, and what all of them share.
struct Wiring {
    inner: InnerPort,
    port: CorePort,
    ends: Ends,
    views: Arc<Views<SimSnapshot>>,
    gauges: Arc<Gauges>,
    sinks: Arc<Sinks>,
    wires: Arc<Wires>,
    calls: PeerCalls,
    cell: Arc<StoreCell<StepEngine>>,
    backlog: Arc<AtomicUsize>,
}

/// Sending ends of the owners' queues.
struct Ends {
    wal_end: Sender<ToWal>,
    applier_end: Sender<ToApplier>,
    log_end: Sender<ReadLog>,
    flusher_end: Sender<ToFlusher>,
    snapshots_end: Sender<ToSnapshotter>,
    to_leases: Sender<LeaseMail>,
    to_hub: Sender<HubMail>,
}

/// Receiving ends, of those that the world steps.
struct Queues {
    inbox: Inbox,
    to_wal: Receiver<ToWal>,
    to_applier: Receiver<ToApplier>,
    to_log: Receiver<ReadLog>,
    to_flusher: Receiver<ToFlusher>,
    to_snapshotter: Receiver<ToSnapshotter>,
    lease_mail: Receiver<LeaseMail>,
    hub_mail: Receiver<HubMail>,
}

impl Wiring {
    fn new(recovered: &Recovered, shape: Shape, version: [u16; 3]) -> (Self, Queues) {
        let (inbox, port, inner) = Inbox::new();
        let (wal_end, to_wal) = bounded(WAL_QUEUE);
        let (applier_end, to_applier) = bounded(APPLIER_QUEUE);
        let (flusher_end, to_flusher) = bounded(FLUSHER_QUEUE);
        let (log_end, to_log) = bounded(LOG_READS);
        // alone, nobody sends or receives snapshots
        let (snapshots_end, to_snapshotter) = bounded(if shape == Shape::One { 0 } else { SNAPSHOT_ORDERS });
        let (to_leases, lease_mail) = mailbox();
        let (to_hub, hub_mail) = mailbox();
        let gauges = Arc::<Gauges>::default();
        gauges.applied.store(recovered.store.applied().index, Release);
        let wires = Arc::new(Wires::of(version));
        let calls = PeerCalls::default();
        if shape != Shape::One {
            calls.connect(wires.clone());
        }
        let wiring = Self {
            inner,
            port,
            ends: Ends { wal_end, applier_end, log_end, flusher_end, snapshots_end, to_leases, to_hub },
            views: Arc::new(Views::new(recovered.store.view())),
            gauges,
            sinks: Arc::default(),
            wires,
            calls,
            cell: Arc::new(StoreCell::new(Arc::new(recovered.engine.clone()))),
            backlog: Arc::default(),
        };
        let queues = Queues { inbox, to_wal, to_applier, to_log, to_flusher, to_snapshotter, lease_mail, hub_mail };
        (wiring, queues)
    }

    fn core_parts(&self, inbox: Inbox, membership: Arc<Membership>, hash: Option<(u64, u64)>) -> CoreParts {
        CoreParts {
            inbox,
            wal: self.ends.wal_end.clone(),
            applier: self.ends.applier_end.clone(),
            log: self.ends.log_end.clone(),
            snapshots: self.ends.snapshots_end.clone(),
            peers: self.wires.clone(),
            calls: self.calls.clone(),
            vitals: Box::new(ToWires(self.wires.clone())),
            leases: Box::new(ToLeases(self.ends.to_leases.clone())),
            connections: Box::new(Standing(self.wires.clone())),
            membership,
            hash,
            sinks: self.sinks.clone(),
            gauges: self.gauges.clone(),
        }
    }

    fn wal_parts(&self, inbox: Receiver<ToWal>, disk: &SimDisk) -> WalParts {
        let applier = self.ends.applier_end.clone();
        WalParts {
            install: WalInstall { disk: disk.shared(), member: PathBuf::from(MEMBER_DIR), applier },
            inbox,
            core: self.inner.clone(),
            peers: self.wires.clone(),
            flusher: self.ends.flusher_end.clone(),
            gauges: self.gauges.clone(),
        }
    }

    /// Nobody logs in: the tokens of readers are none.
    fn reads(&self) -> Reads {
        let tokens = Arc::new(SimpleTokens::new(DEFAULT_TTL));
        Reads::new(self.views.clone(), self.gauges.clone(), tokens, COLLECTED_BYTES)
    }

    fn applier_parts(&self, inbox: Receiver<ToApplier>, home: &Home<'_>) -> ApplierParts<StepEngine> {
        let params = home.params;
        let install = ApplierInstall {
            cell: self.cell.clone(),
            leases: Box::new(ToLeases(self.ends.to_leases.clone())),
            disk: home.disk.shared(),
            member: PathBuf::from(MEMBER_DIR),
            wal: self.ends.wal_end.clone(),
            snapshots: self.ends.snapshots_end.clone(),
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
            members: Box::new(ToWires(self.wires.clone())),
            flusher: self.ends.flusher_end.clone(),
            tokens: Arc::new(SimpleTokens::new(DEFAULT_TTL)),
            gauges: self.gauges.clone(),
            pace: ApplierPace {
                compaction_pause: Duration::ZERO,
                compaction_rows: params.compaction_rows,
                durable_check: params.durable_check,
                hub_backlog: HUB_BACKLOG_BYTES,
                oversized_revision: OVERSIZED_REVISION_BYTES,
                slow_apply: Duration::MAX,
            },
        }
    }

    fn flusher_parts(&self, inbox: Receiver<ToFlusher>, home: &Home<'_>) -> FlusherParts<StepEngine> {
        FlusherParts {
            inbox,
            store: self.cell.clone(),
            disk: home.disk.shared(),
            core: self.inner.clone(),
            wal: self.ends.wal_end.clone(),
            gauges: self.gauges.clone(),
            flush_entries: home.params.flush_entries,
            fill_pause: Duration::ZERO,
        }
    }

    fn leases(&self, own: u64, view: &View<SimSnapshot>, shape: Shape) -> Result<LeaseService, String> {
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
        let ask = AskLeader { calls: self.calls.clone(), mail: ToLeases(self.ends.to_leases.clone()) };
        let calls: Box<dyn LeaderCalls> = if shape == Shape::One { Box::new(NoLeaderCalls) } else { Box::new(ask) };
        Ok(LeaseService::new(parts, calls))
    }

    fn staging(&self, store: &Store<StepEngine>, name: &str, home: &Home<'_>) -> Arc<Staging<StepEngine>> {
        let parts = StagingParts {
            stores: Arc::new(home.stores.clone()),
            disk: home.disk.shared(),
            member: PathBuf::from(MEMBER_DIR),
            owner: store.identity(),
            chunk_bytes: home.params.chunk_bytes,
            core: self.inner.clone(),
            gauges: self.gauges.clone(),
        };
        Arc::new(Staging::new(parts, name.to_owned()))
    }

    fn snapshotter(
        &self,
        inbox: Receiver<ToSnapshotter>,
        store_name: String,
        staging: Arc<Staging<StepEngine>>,
        home: &Home<'_>,
    ) -> Snapshotter<StepEngine> {
        let checkpoints = home.stores.checkpoints();
        Snapshotter::new(SnapshotterParts {
            inbox,
            // it is stepped by the world, which needs no end to stop it by
            stop: bounded(0).1,
            store: self.cell.clone(),
            open: Arc::new(move |dir| StepEngine::open_checkpoint(&checkpoints, dir)),
            // a name only: checkpoints are kept in memory, and nothing is made in this folder
            scratch: std::env::temp_dir(),
            server_version: "3.7.0".to_owned(),
            transport: Some(self.wires.clone()),
            core: self.inner.clone(),
            stores: Arc::new(home.stores.clone()),
            store_name,
            staging,
            run: home.epoch,
            gauges: self.gauges.clone(),
        })
    }

    /// Registers the sinks, and puts what takes in from other members in front of the owners.
    fn peer_inbox(&self, replies: &Arc<ClientSink>, staging: Arc<Staging<StepEngine>>) -> PeerInbox {
        let leases = ToLeases(self.ends.to_leases.clone());
        let promotions = Arc::new(AskedPromotions::new(self.port.clone(), SinkId(CLIENT_SINK.0 + 1)));
        self.sinks.register(vec![Arc::new(leases.clone()) as Arc<dyn ReplySink>, replies.clone(), promotions.clone()]);
        // nobody compares hashes here: the judge does
        PeerInbox::new(self.inner.clone(), Box::new(leases), promotions, bounded(0).0, staging)
    }
}

impl Running {
    /// Wires the owners. Nothing has run yet.
    ///
    /// # Errors
    /// A text when a part refuses.
    pub fn new(recovered: Recovered, home: &Home<'_>) -> Result<Self, String> {
        let (params, shape) = (home.params, home.params.shape);
        let (wiring, queues) = Wiring::new(&recovered, shape, home.version);
        let Recovered { store, engine, store_name, wal, tail } = recovered;
        engine.watch(wiring.views.clone());
        let replies = Arc::<ClientSink>::default();
        let staging = wiring.staging(&store, &store_name, home);
        let peers = wiring.peer_inbox(&replies, staging.clone());
        let view = wiring.views.load();
        let at = Position { revision: view.status.revision, compact_revision: view.status.compact_revision };
        let own = store.identity().member_id;
        let membership = Arc::new(store.membership().map_err(|e| e.to_string())?);
        wiring.wires.say(super::wires::Said::Peers(peers_of(&membership)));
        let core = wiring.core_parts(queues.inbox, membership, store.running_hash());
        let core = RaftCore::new(core_config(&store, params, home.epoch), tail, core).map_err(|e| e.to_string())?;
        let (_, never) = bounded(0);
        let log =
            LogReader::new(wal.reader(), queues.to_log.clone(), never, wiring.inner.clone(), wiring.gauges.clone());
        let snapshotter = (shape != Shape::One)
            .then(|| wiring.snapshotter(queues.to_snapshotter.clone(), store_name, staging.clone(), home));
        Ok(Self {
            core,
            log,
            to_log: queues.to_log,
            scrub: wal.scrub(),
            wal: WalWriter::new(wal, wiring.wal_parts(queues.to_wal.clone(), home.disk)),
            applier: Applier::new(store, wiring.applier_parts(queues.to_applier.clone(), home)),
            flusher: Flusher::new(wiring.flusher_parts(queues.to_flusher.clone(), home)),
            leases: wiring.leases(own, &view, shape)?,
            hub: Hub::new(params.hub, at),
            work: VecDeque::new(),
            done: VecDeque::new(),
            to_wal: queues.to_wal,
            to_applier: queues.to_applier,
            to_flusher: queues.to_flusher,
            lease_mail: queues.lease_mail,
            hub_mail: queues.hub_mail,
            reads: Arc::new(wiring.reads()),
            replies,
            port: wiring.port,
            inner: wiring.inner,
            to_leases: wiring.ends.to_leases,
            to_hub: wiring.ends.to_hub,
            views: wiring.views,
            gauges: wiring.gauges,
            wires: wiring.wires,
            peers,
            snapshotter,
            to_snapshotter: queues.to_snapshotter,
            staging,
            backlog: wiring.backlog,
            next_tick: TICK,
        })
    }
}

fn core_config(store: &Store<StepEngine>, params: &Params, epoch: u64) -> CoreConfig {
    let mut raft = raft::Config::new(store.identity().member_id);
    raft.election_tick = ELECTION_TICKS;
    raft.seed = epoch;
    raft.applied = store.applied().index;
    raft.check_quorum = true;
    raft.pre_vote = params.pre_vote;
    raft.max_size_per_msg = params.message_bytes;
    raft.max_inflight_msgs = params.messages_in_flight;
    raft.max_committed_size_per_ready = APPLY_BATCH_BYTES.min(params.chunk_bytes as u64 * 4);
    raft.max_uncommitted_size = UNCOMMITTED_BYTES;
    raft.max_inflight_bytes = 8 << 20;
    raft.step_down_on_removal = true;
    raft.tell_probed_of_changes = true;
    CoreConfig {
        raft,
        tick: Duration::from_micros(TICK),
        epoch,
        request_ticks: 70,
        catch_up_entries: params.catch_up,
        tail_bytes: params.tail_bytes,
        advance_first_election: params.advance_first_election,
        strict_reconfig: params.strict_reconfig,
        max_learners: 2,
        rebuild: false,
    }
}
