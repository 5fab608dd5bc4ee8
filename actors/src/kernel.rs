//! The kernel: makes every queue, then every owner, in an order in which nobody is spoken to before it lives; and ends them
//! in the order in which nothing is lost.
//!
//! The only file that sees everyone. Must never decide anything about data.

use crate::applier::{Applier, ApplierPace, ApplierParts};
use crate::closable_reads::ClosableReads;
use crate::death_watch::{DeathWatch, ExitCell, NodeExit};
use crate::flusher::{FILL_PAUSE, Flusher, FlusherParts};
use crate::lease_manager::actor::{LeaseManager, LeaseParts, LeaseSink, StopLeases};
use crate::lease_manager::{LeaseServiceParts, StoredLease};
use crate::limits::{
    APPLIER_QUEUE, COMPACTION_STEP_ROWS, DURABLE_CHECK_ENTRIES, FLUSH_ENTRIES, FLUSHER_QUEUE, MAINTENANCE_JOBS,
    OwnerBudgets, QUERIES, READERS, WAL_QUEUE,
};
use crate::maintenance_jobs::{MaintenanceJobs, MaintenanceParts, OpenEngine};
use crate::peers::{NoPeers, PeerPort};
use crate::raft_core::inbox::{Inbox, InnerPort};
use crate::raft_core::log_tail::LogTail;
use crate::raft_core::{CoreConfig, CoreParts, RaftCore};
use crate::store_reads::StoreReads;
use crate::wal_writer::{WalParts, WalWriter};
use crate::watch_hub::actor::StopHub;
use crate::watch_hub::{HubConfig, HubParts, Position, WatchHub};
use crate::wiring::apply::ToApplier;
use crate::wiring::flush::ToFlusher;
use crate::wiring::wal::ToWal;
use crate::{clock, reader_pool, ticker};
use actix::Addr;
use actix_rt::Arbiter;
use crossbeam_channel::{Receiver, Sender, bounded};
use messages::ports::CorePort;
use messages::{Gauges, NodeIdentity, Ports, ReplySink, SinkId, Sinks};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Release;
use std::thread::JoinHandle;
use std::time::Duration;
use storage::apply::Applier as Store;
use storage::disk::Disk;
use storage::engine::Engine;
use storage::view::Views;
use storage::wal::Wal;

/// Sink of the lease manager's own proposals; those of clients follow it.
pub const LEASE_SINK: SinkId = SinkId(0);
/// First sink that the caller of [`Kernel::start`] may name.
pub const FIRST_CLIENT_SINK: u32 = 1;

/// What a node is assembled from.
pub struct Assembly<E: Engine> {
    /// Who it is.
    pub identity: NodeIdentity,
    /// The engine, and how to open a checkpoint of it.
    pub engine: Arc<E>,
    /// Opens a checkpoint.
    pub open: OpenEngine<E>,
    /// The write side of the store.
    pub store: Store<E>,
    /// The log.
    pub wal: Wal,
    /// The log's file system.
    pub disk: Arc<dyn Disk>,
    /// The log as the core sees it.
    pub tail: LogTail,
    /// The core's configuration.
    pub core: CoreConfig,
    /// Length of a tick.
    pub tick: Duration,
    /// The hub's configuration.
    pub hub: HubConfig,
    /// Pause between two compaction steps.
    pub compaction_pause: Duration,
    /// Memory of the owners.
    pub budgets: OwnerBudgets,
    /// Gives a defragmentation room where the disk is short of it.
    pub make_room: Box<dyn Fn() + Send>,
    /// Where checkpoints are made.
    pub scratch: PathBuf,
    /// Written into snapshot streams.
    pub server_version: String,
    /// Sinks of clients, in order from [`FIRST_CLIENT_SINK`].
    pub client_sinks: Vec<Arc<dyn ReplySink>>,
}

/// Why a node could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A thread could not be started.
    #[error("cannot start a thread: {0}; raise the limit on processes of this user")]
    Thread(#[from] std::io::Error),
    /// The timing is impossible.
    #[error("raft refuses its configuration: {0}")]
    Raft(#[from] raft::ConfigError),
    /// The store could not be read.
    #[error("cannot read the store: {0}")]
    Store(#[from] model::ReadError),
}

/// A running node. Dropped without [`Kernel::stop`], it is stopped in the background.
pub struct Kernel {
    ports: Ports,
    exit: ExitCell,
    running: Option<Running>,
}

impl Drop for Kernel {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            let (ports, exit) = (self.ports.clone(), self.exit.clone());
            // nobody waits for it: the folder is free a moment later
            std::thread::spawn(move || running.stop(&ports, &exit));
        }
    }
}

/// What ends an owner, and shows that it has.
struct Running {
    wal: Sender<ToWal>,
    applier: Sender<ToApplier>,
    flusher: Sender<ToFlusher>,
    owners: Owners,
    threads: Threads,
    stop_ticker: Sender<()>,
    stop_readers: Sender<()>,
    stop_jobs: Sender<()>,
    /// Lets clients that are kept let go of the store.
    close_reads: Box<dyn FnOnce() + Send>,
}

#[derive(Default)]
struct Threads {
    core: Option<JoinHandle<()>>,
    wal: Option<JoinHandle<()>>,
    applier: Option<JoinHandle<()>>,
    flusher: Option<JoinHandle<()>>,
    jobs: Option<JoinHandle<()>>,
    ticker: Option<JoinHandle<()>>,
    readers: Vec<JoinHandle<()>>,
}

fn spawn(name: &'static str, run: impl FnOnce() + Send + 'static) -> std::io::Result<Option<JoinHandle<()>>> {
    std::thread::Builder::new().name(name.into()).spawn(run).map(Some)
}

/// The queues between owners, and what all of them share.
struct Wiring<E: Engine> {
    exit: ExitCell,
    gauges: Arc<Gauges>,
    sinks: Arc<Sinks>,
    views: Arc<Views<E::Snapshot>>,
    reads: StoreReads<E::Snapshot>,
    core: CorePort,
    inner: InnerPort,
    wal: Sender<ToWal>,
    applier: Sender<ToApplier>,
    flusher: Sender<ToFlusher>,
    hub_backlog: Arc<AtomicUsize>,
}

/// Receiving ends, each to be given to its owner.
struct Ends {
    inbox: Inbox,
    wal: Receiver<ToWal>,
    applier: Receiver<ToApplier>,
    flusher: Receiver<ToFlusher>,
}

impl<E: Engine> Wiring<E> {
    fn new(store: &Store<E>, budgets: &OwnerBudgets) -> (Self, Ends) {
        let (inbox, core, inner) = Inbox::new();
        let (wal, wal_end) = bounded(WAL_QUEUE);
        let (applier, applier_end) = bounded(APPLIER_QUEUE);
        let (flusher, flusher_end) = bounded(FLUSHER_QUEUE);
        let views = Arc::new(Views::new(store.view()));
        let gauges = Arc::<Gauges>::default();
        gauges.applied.store(store.applied().index, Release);
        let wiring = Self {
            exit: ExitCell::default(),
            reads: StoreReads::new(views.clone(), gauges.clone(), budgets.collected),
            gauges,
            sinks: Arc::default(),
            views,
            core,
            inner,
            wal,
            applier,
            flusher,
            hub_backlog: Arc::default(),
        };
        (wiring, Ends { inbox, wal: wal_end, applier: applier_end, flusher: flusher_end })
    }

    fn watch(&self, actor: &'static str) -> DeathWatch {
        DeathWatch::new(actor, self.exit.clone())
    }

    fn start_hub(&self, config: HubConfig, arbiter: &Arbiter) -> Addr<WatchHub> {
        let view = self.views.load();
        let parts = HubParts {
            config,
            at: Position { revision: view.revision, compact_revision: view.compact_revision },
            source: Arc::new(self.reads.clone()),
            sinks: self.sinks.clone(),
            gauges: self.gauges.clone(),
            backlog: self.hub_backlog.clone(),
            exit: self.exit.clone(),
        };
        WatchHub::start(parts, &arbiter.handle())
    }

    fn start_leases(&self, tick: Duration, ticks: u32, arbiter: &Arbiter) -> Result<Addr<LeaseManager>, StartError> {
        let stored = storage::read::meta::leases(&self.views.load())?;
        let heartbeat = tick.as_millis() as u64;
        let service = LeaseServiceParts {
            stored: stored
                .into_iter()
                .map(|(id, row)| StoredLease { id, ttl: row.ttl, remaining: row.remaining })
                .collect(),
            election_timeout: heartbeat * u64::from(ticks),
            heartbeat,
            core: self.core.clone(),
            sink: LEASE_SINK,
            sinks: self.sinks.clone(),
            gauges: self.gauges.clone(),
        };
        let parts = LeaseParts { service, clock: Box::new(clock::since_boot), exit: self.exit.clone() };
        Ok(LeaseManager::start(parts, &arbiter.handle()))
    }

    fn applier_parts(
        &self,
        inbox: Receiver<ToApplier>,
        owners: &Owners,
        compaction_pause: Duration,
        budgets: &OwnerBudgets,
    ) -> ApplierParts<E> {
        ApplierParts {
            inbox,
            core: self.inner.clone(),
            views: self.views.clone(),
            sinks: self.sinks.clone(),
            hub: Box::new(owners.hub.clone().recipient()),
            hub_backlog: self.hub_backlog.clone(),
            leases: Box::new(owners.leases.clone().recipient()),
            flusher: self.flusher.clone(),
            pace: ApplierPace {
                compaction_pause,
                compaction_rows: COMPACTION_STEP_ROWS,
                durable_check: DURABLE_CHECK_ENTRIES,
                hub_backlog: budgets.hub_backlog,
                oversized_revision: budgets.oversized_revision,
            },
        }
    }

    fn core_parts(&self, inbox: Inbox, owners: &Owners, peers: Arc<dyn PeerPort>) -> CoreParts {
        CoreParts {
            inbox,
            wal: self.wal.clone(),
            applier: self.applier.clone(),
            peers,
            leases: Box::new(owners.leases.clone().recipient()),
            sinks: self.sinks.clone(),
            gauges: self.gauges.clone(),
        }
    }

    fn flusher_parts(&self, inbox: Receiver<ToFlusher>, engine: Arc<E>, disk: Arc<dyn Disk>) -> FlusherParts<E> {
        let (core, wal, gauges) = (self.inner.clone(), self.wal.clone(), self.gauges.clone());
        FlusherParts { inbox, engine, disk, core, wal, gauges, flush_entries: FLUSH_ENTRIES, fill_pause: FILL_PAUSE }
    }

    fn wal_parts(&self, inbox: Receiver<ToWal>, peers: Arc<dyn PeerPort>) -> WalParts {
        WalParts { inbox, core: self.inner.clone(), peers, flusher: self.flusher.clone(), gauges: self.gauges.clone() }
    }
}

/// Owners with threads of their own, ready to run.
struct Shells<E: Engine> {
    core: RaftCore,
    wal: WalWriter,
    applier: Applier<E>,
    flusher: Flusher<E>,
    jobs: MaintenanceJobs<E>,
}

impl<E: Engine> Shells<E> {
    /// Runs them, those that are fed before those that feed.
    fn spawn(self, wiring: &Wiring<E>) -> std::io::Result<Threads> {
        let Self { core, wal, applier, flusher, jobs } = self;
        let mut threads = Threads::default();
        let watch = wiring.watch("maintenance jobs");
        threads.jobs = spawn("maintenance", move || jobs.run(watch))?;
        let watch = wiring.watch("flusher");
        threads.flusher = spawn("flusher", move || flusher.run(watch))?;
        let watch = wiring.watch("applier");
        threads.applier = spawn("applier", move || applier.run(watch))?;
        let watch = wiring.watch("WAL writer");
        threads.wal = spawn("wal-writer", move || wal.run(watch))?;
        let watch = wiring.watch("raft core");
        threads.core = spawn("raft-core", move || core.run(watch))?;
        Ok(threads)
    }
}

/// Actors on arbiters of their own.
struct Owners {
    hub: Addr<WatchHub>,
    leases: Addr<LeaseManager>,
    arbiters: [Arbiter; 2],
}

impl Owners {
    fn start<E: Engine>(wiring: &Wiring<E>, hub: HubConfig, tick: Duration, ticks: u32) -> Result<Self, StartError> {
        let arbiters = [Arbiter::new(), Arbiter::new()];
        let hub = wiring.start_hub(hub, &arbiters[0]);
        let leases = wiring.start_leases(tick, ticks, &arbiters[1])?;
        Ok(Self { hub, leases, arbiters })
    }
}

impl Kernel {
    /// Starts all owners. Must be called inside an actix system.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start<E: Engine>(assembly: Assembly<E>) -> Result<Self, StartError> {
        let (wiring, ends) = Wiring::new(&assembly.store, &assembly.budgets);
        let owners = Owners::start(&wiring, assembly.hub, assembly.tick, assembly.core.raft.election_tick)?;
        let mut sinks: Vec<Arc<dyn ReplySink>> = vec![Arc::new(LeaseSink(owners.leases.clone()))];
        sinks.extend(assembly.client_sinks);
        wiring.sinks.register(sinks);

        let peers: Arc<dyn PeerPort> = Arc::new(NoPeers);
        let core = wiring.core_parts(ends.inbox, &owners, peers.clone());
        let core = RaftCore::new(assembly.core, assembly.tail, core)?;
        let wal = WalWriter::new(assembly.wal, wiring.wal_parts(ends.wal, peers));
        let applier = wiring.applier_parts(ends.applier, &owners, assembly.compaction_pause, &assembly.budgets);
        let applier = Applier::new(assembly.store.with_chunk_bytes(assembly.budgets.apply_chunk), applier);
        let flusher = wiring.flusher_parts(ends.flusher, assembly.engine.clone(), assembly.disk);
        let flusher = Flusher::new(flusher);
        let ((job, jobs), (stop_jobs, jobs_stop)) = (bounded(MAINTENANCE_JOBS), bounded(0));
        let jobs = MaintenanceJobs::new(MaintenanceParts {
            inbox: jobs,
            stop: jobs_stop,
            engine: assembly.engine,
            open: assembly.open,
            make_room: assembly.make_room,
            scratch: assembly.scratch,
            server_version: assembly.server_version,
            sinks: wiring.sinks.clone(),
            gauges: wiring.gauges.clone(),
        });

        let (query, queries) = bounded(QUERIES);
        let (stop_readers, readers_stop) = bounded(0);
        let (stop_ticker, ticker_stop) = bounded(0);
        let shells = Shells { core, wal, applier, flusher, jobs };
        let mut threads = shells.spawn(&wiring)?;
        let pool = Arc::new(wiring.reads.clone());
        threads.readers = reader_pool::start(READERS, queries, readers_stop, pool, wiring.sinks.clone(), &wiring.exit)?;
        let (watch, inner, tick) = (wiring.watch("ticker"), wiring.inner.clone(), assembly.tick);
        threads.ticker = spawn("ticker", move || ticker::run(tick, &inner, &ticker_stop, watch))?;
        let reads = Arc::new(ClosableReads::new(wiring.reads));
        let close = reads.clone();
        Ok(Self {
            ports: Ports {
                identity: Arc::new(assembly.identity),
                gauges: wiring.gauges,
                reads,
                sinks: wiring.sinks,
                core: wiring.core,
                query,
                jobs: job,
                hub: owners.hub.clone().recipient(),
                leases: owners.leases.clone().recipient(),
            },
            exit: wiring.exit,
            running: Some(Running {
                wal: wiring.wal,
                applier: wiring.applier,
                flusher: wiring.flusher,
                owners,
                threads,
                stop_ticker,
                stop_readers,
                stop_jobs,
                close_reads: Box::new(move || close.close()),
            }),
        })
    }

    /// Sending ends for clients.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// Where the node's end is noted.
    pub fn exit(&self) -> &ExitCell {
        &self.exit
    }

    /// Ends all owners, each after those that feed it. Blocking: call it off the arbiters.
    pub fn stop(mut self) {
        if let Some(running) = self.running.take() {
            running.stop(&self.ports, &self.exit);
        }
    }
}

impl Running {
    fn stop(mut self, ports: &Ports, exit: &ExitCell) {
        ports.gauges.stopping.store(true, Release);
        ports.core.stop();
        join(self.threads.core.take());
        drop(self.stop_ticker);
        join(self.threads.ticker.take());
        // a closed queue means that its owner ended already
        let _ = self.wal.send(ToWal::Stop);
        join(self.threads.wal.take());
        let _ = self.applier.send(ToApplier::Stop);
        join(self.threads.applier.take());
        self.owners.hub.do_send(StopHub);
        self.owners.leases.do_send(StopLeases);
        let _ = self.flusher.send(ToFlusher::Stop);
        join(self.threads.flusher.take());
        drop(self.stop_jobs);
        join(self.threads.jobs.take());
        drop(self.stop_readers);
        for reader in self.threads.readers.drain(..) {
            join(Some(reader));
        }
        for arbiter in self.owners.arbiters {
            arbiter.stop();
            // an arbiter that panicked has been reported by its actor's death watch
            let _ = arbiter.join();
        }
        (self.close_reads)();
        ports.sinks.node_stopped();
        exit.set(NodeExit::Stopped);
    }
}

fn join(thread: Option<JoinHandle<()>>) {
    if let Some(thread) = thread {
        // a panic has been reported by the thread's death watch
        let _ = thread.join();
    }
}
