//! The start of a node: its owners, those that are fed before those that feed.

use super::assembly::{Assembly, StartError};
use super::queues::{HasherEnds, OwnVitals, Queues, sender_of};
use super::stop::{Actors, Running, Threads};
use crate::applier::{Applier, peers_of};
use crate::closable_reads::ClosableReads;
use crate::death_watch::ExitCell;
use crate::flusher::Flusher;
use crate::hasher::Hasher;
use crate::lease_manager::actor::LeaseSink;
use crate::limits::{MAINTENANCE_JOBS, PASSWORD_JOBS, PASSWORD_THREADS, QUERIES, READERS};
use crate::log_reader::LogReader;
use crate::log_scrubber::LogScrubber;
use crate::maintenance_jobs::{MaintenanceJobs, MaintenanceParts};
use crate::peer_inbox::PeerInbox;
use crate::promotions::AskedPromotions;
use crate::raft_core::RaftCore;
use crate::raft_core::runner::CoreRunner;
use crate::scrubber::{Scrubber, ScrubberParts};
use crate::snapshotter::staging::{Staging, StagingParts};
use crate::snapshotter::{Snapshotter, SnapshotterParts};
use crate::store_cell::StoreCell;
use crate::wal_writer::WalWriter;
use crate::watch_hub::HubConfig;
use crate::wiring::log::ReadLog;
use crate::wiring::snapshots::ToSnapshotter;
use crate::{password_pool, reader_pool, ticker};
use actix_rt::Arbiter;
use crossbeam_channel::{Receiver, Sender, bounded};
use messages::auth::RunPassword;
use messages::peer::{ConnectPeers, Transport};
use messages::read::RunQuery;
use messages::{Ports, ReplySink, SinkId};
use raft::NodeId;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use storage::apply::Membership;
use storage::engine::Engine;
use storage::wal::WalScrub;

/// A node that was started.
pub(super) struct Started {
    pub(super) ports: Ports,
    pub(super) exit: ExitCell,
    pub(super) running: Running,
}

fn spawn(name: &'static str, run: impl FnOnce() + Send + 'static) -> std::io::Result<Option<JoinHandle<()>>> {
    std::thread::Builder::new().name(name.into()).spawn(run).map(Some)
}

/// Owners with threads of their own, ready to run.
struct Shells<E: Engine> {
    core: Arc<CoreRunner>,
    wal: WalWriter,
    log: LogReader,
    applier: Applier<E>,
    flusher: Flusher<E>,
    snapshots: Snapshotter<E>,
    jobs: MaintenanceJobs<E>,
}

impl<E: Engine> Shells<E> {
    /// Runs them, those that are fed before those that feed.
    fn spawn(self, queues: &Queues<E>) -> std::io::Result<Threads> {
        let Self { core, wal, log, applier, flusher, snapshots, jobs } = self;
        let mut threads = Threads::default();
        let watch = queues.watch("maintenance jobs");
        threads.jobs = spawn("maintenance", move || jobs.run(watch))?;
        let watch = queues.watch("snapshotter");
        threads.snapshots = spawn("snapshotter", move || snapshots.run(watch))?;
        let watch = queues.watch("flusher");
        threads.flusher = spawn("flusher", move || flusher.run(watch))?;
        let watch = queues.watch("applier");
        threads.applier = spawn("applier", move || applier.run(watch))?;
        let watch = queues.watch("log reader");
        threads.log = spawn("log-reader", move || log.run(watch))?;
        let watch = queues.watch("WAL writer");
        threads.wal = spawn("wal-writer", move || wal.run(watch))?;
        let (watch, bell) = (queues.watch("raft core"), queues.core.bell.clone());
        threads.core = spawn("raft-core", move || core.run(&bell, watch))?;
        Ok(threads)
    }
}

fn start_actors<E: Engine>(
    queues: &Queues<E>,
    own: NodeId,
    hub: HubConfig,
    tick: Duration,
    ticks: u32,
) -> Result<Actors, StartError> {
    let arbiters = [Arbiter::new(), Arbiter::new()];
    let hub = queues.start_hub(hub, &arbiters[0]);
    let leases = queues.start_leases(own, tick, ticks, &arbiters[1])?;
    Ok(Actors { hub, leases, arbiters })
}

/// Registers all sinks. Returns what takes in from other members, which has one of them.
fn peer_inbox<E: Engine>(
    queues: &Queues<E>,
    actors: &Actors,
    clients: Vec<Arc<dyn ReplySink>>,
    staging: Arc<Staging<E>>,
) -> PeerInbox {
    let mut sinks: Vec<Arc<dyn ReplySink>> = vec![Arc::new(LeaseSink(actors.leases.clone()))];
    sinks.extend(clients);
    // behind all others, whose numbers are known to those who made them
    let promotions = Arc::new(AskedPromotions::new(queues.core.clone(), SinkId(sinks.len() as u32)));
    sinks.push(promotions.clone());
    queues.sinks.register(sinks);
    let leases = Box::new(actors.leases.clone().recipient());
    PeerInbox::new(queues.inner.clone(), leases, promotions, queues.peer_hashes.clone(), staging)
}

/// Where snapshots of other members become stores.
fn staging<E: Engine>(queues: &Queues<E>, assembly: &Assembly<E>) -> Arc<Staging<E>> {
    let parts = StagingParts {
        stores: assembly.stores.clone(),
        disk: assembly.disk.clone(),
        member: assembly.member.clone(),
        owner: assembly.store.identity(),
        chunk_bytes: assembly.budgets.apply_chunk,
        core: queues.inner.clone(),
        gauges: queues.gauges.clone(),
    };
    Arc::new(Staging::new(parts, assembly.store_name.clone()))
}

fn snapshotter<E: Engine>(
    queues: &Queues<E>,
    assembly: &Assembly<E>,
    (inbox, stop): (Receiver<ToSnapshotter>, Receiver<()>),
    (store, staging): (Arc<StoreCell<E>>, Arc<Staging<E>>),
    transport: Option<Arc<dyn Transport>>,
) -> Snapshotter<E> {
    Snapshotter::new(SnapshotterParts {
        inbox,
        stop,
        store,
        open: assembly.open.clone(),
        scratch: assembly.scratch.clone(),
        server_version: assembly.server_version.clone(),
        transport,
        core: queues.inner.clone(),
        stores: assembly.stores.clone(),
        store_name: assembly.store_name.clone(),
        staging,
        run: assembly.core.epoch,
        gauges: queues.gauges.clone(),
    })
}

/// Makes the peer transport, and tells it who the members are.
fn connect<E: Engine>(
    queues: &Queues<E>,
    connect_peers: Option<ConnectPeers>,
    inbox: PeerInbox,
    membership: &Membership,
) -> Result<Option<Arc<dyn Transport>>, StartError> {
    let Some(connect_peers) = connect_peers else { return Ok(None) };
    let transport = connect_peers(Arc::new(inbox)).map_err(StartError::Peers)?;
    queues.calls.connect(transport.clone());
    transport.set_peers(peers_of(membership));
    Ok(Some(transport))
}

/// What reads the log that the WAL writer will have: for followers, and to find damage, so often.
fn log_readers<E: Engine>(
    queues: &Queues<E>,
    assembly: &Assembly<E>,
    inbox: Receiver<ReadLog>,
    stop: Receiver<()>,
) -> (LogReader, (Duration, WalScrub)) {
    let reader = LogReader::new(assembly.wal.reader(), inbox, stop, queues.inner.clone(), queues.gauges.clone());
    (reader, (assembly.scrub_interval, assembly.wal.scrub()))
}

/// Starts the reader pool, the hasher behind it, and the scrubber.
fn start_readers<E: Engine>(
    queues: &Queues<E>,
    queries: Receiver<RunQuery>,
    ends: HasherEnds<E>,
    (stop, (interval, scrub_log)): (&Receiver<()>, (Duration, WalScrub)),
) -> std::io::Result<Vec<JoinHandle<()>>> {
    let (hash, hashes) = bounded(QUERIES);
    let hasher = Hasher::new(queues.hasher_parts(hashes, ends, stop.clone()));
    let (pool, sinks) = (Arc::new(queues.reads.clone()), queues.sinks.clone());
    let mut threads = reader_pool::start(READERS, queries, stop.clone(), pool, &hash, sinks, &queues.exit)?;
    let watch = queues.watch("hasher");
    threads.extend(spawn("hasher", move || hasher.run(watch))?);
    let (views, gauges) = (queues.views.clone(), queues.gauges.clone());
    let log = LogScrubber::new(scrub_log, gauges.clone(), queues.flusher.clone());
    let scrubber = Scrubber::new(ScrubberParts { views, gauges, stop: stop.clone(), interval }, log);
    let watch = queues.watch("scrubber");
    threads.extend(spawn("scrubber", move || scrubber.run(watch))?);
    Ok(threads)
}

/// Starts the password pool: its threads, its queue, and what ends it.
fn start_passwords<E: Engine>(queues: &Queues<E>) -> std::io::Result<PasswordPool> {
    let (passwords, jobs) = bounded(PASSWORD_JOBS);
    let (stop, stopped) = bounded(0);
    let threads = password_pool::start(PASSWORD_THREADS, jobs, stopped, queues.sinks.clone(), &queues.exit)?;
    Ok((threads, passwords, stop))
}

type PasswordPool = (Vec<JoinHandle<()>>, Sender<RunPassword>, Sender<()>);

/// Starts all owners.
///
/// # Errors
/// [`StartError`].
pub(super) fn start<E: Engine>(mut assembly: Assembly<E>) -> Result<Started, StartError> {
    let (queues, ends) = Queues::new(assembly.exit.clone(), &assembly.store, &assembly.budgets, assembly.token_ttl);
    let (pace, raft) = (assembly.pace(), &assembly.core.raft);
    let actors = start_actors(&queues, raft.id, assembly.hub, assembly.tick, raft.election_tick)?;
    let store = Arc::new(StoreCell::new(assembly.engine.clone()));
    let staging = staging(&queues, &assembly);
    let inbox = peer_inbox(&queues, &actors, std::mem::take(&mut assembly.client_sinks), staging.clone());
    let membership = Arc::new(assembly.store.membership()?);
    let transport = connect(&queues, assembly.connect_peers.take(), inbox, &membership)?;
    let ((stop_snapshots, snapshots_stop), (stop_log, log_stop)) = (bounded(0), bounded(0));
    let snapshots =
        snapshotter(&queues, &assembly, (ends.snapshots, snapshots_stop), (store.clone(), staging), transport.clone());
    let peers = sender_of(transport.as_ref());
    let vitals = OwnVitals { transport: transport.clone(), version: assembly.version };
    let agreed = (membership, assembly.store.running_hash());
    let core = queues.core_parts(ends.inbox, &actors, transport.clone(), agreed, vitals);
    let (log, scrub) = log_readers(&queues, &assembly, ends.log, log_stop);
    let core = CoreRunner::new(RaftCore::new(assembly.core, assembly.tail, core)?);
    let (disk, member) = (assembly.disk.clone(), assembly.member.clone());
    let wal = WalWriter::new(assembly.wal, queues.wal_parts(ends.wal, peers, disk.clone(), assembly.member));
    let place = (store.clone(), disk, member);
    let applier = queues.applier_parts(ends.applier, &actors, transport.clone(), place, pace);
    let applier = Applier::new(assembly.store.with_chunk_bytes(assembly.budgets.apply_chunk), applier);
    let flusher = Flusher::new(queues.flusher_parts(ends.flusher, store.clone(), assembly.disk));
    let ((job, jobs), (stop_jobs, jobs_stop)) = (bounded(MAINTENANCE_JOBS), bounded(0));
    let jobs = MaintenanceJobs::new(MaintenanceParts {
        inbox: jobs,
        stop: jobs_stop,
        store,
        open: assembly.open,
        make_room: assembly.make_room,
        scratch: assembly.scratch,
        server_version: assembly.server_version,
        flusher: queues.flusher.clone(),
        sinks: queues.sinks.clone(),
        gauges: queues.gauges.clone(),
    });
    let (query, queries) = bounded(QUERIES);
    let ((stop_readers, readers_stop), (stop_ticker, ticker_stop)) = (bounded(0), bounded(0));
    let shells = Shells { core, wal, log, applier, flusher, snapshots, jobs };
    let mut threads = shells.spawn(&queues)?;
    threads.readers = start_readers(&queues, queries, (ends.compactions, ends.peer_hashes), (&readers_stop, scrub))?;
    let (passwords, stop_passwords);
    (threads.passwords, passwords, stop_passwords) = start_passwords(&queues)?;
    let (watch, inner, tick) = (queues.watch("ticker"), queues.inner.clone(), assembly.tick);
    threads.ticker = spawn("ticker", move || ticker::run(tick, &inner, &ticker_stop, watch))?;
    let reads = Arc::new(ClosableReads::new(queues.reads.clone()));
    let close = reads.clone();
    let ports = queues.ports(assembly.identity, reads, query, (job, passwords), &actors);
    Ok(Started {
        ports,
        exit: queues.exit,
        running: Running {
            wal: queues.wal,
            applier: queues.applier,
            flusher: queues.flusher,
            actors,
            threads,
            transport,
            stop_log,
            stop_snapshots,
            stop_ticker,
            stop_readers,
            stop_passwords,
            stop_jobs,
            close_reads: Box::new(move || close.close()),
        },
    })
}
