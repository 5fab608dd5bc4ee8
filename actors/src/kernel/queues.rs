//! The queues between owners, what all of them share, and which ends each of them gets.
//!
//! Must never run anything: owners are made here and started in `start`.

use super::assembly::{LEASE_SINK, StartError};
use super::stop::Actors;
use crate::applier::{ApplierInstall, ApplierPace, ApplierParts};
use crate::calls::kinds::HashAt;
use crate::calls::{Asked, PeerCalls};
use crate::clock;
use crate::death_watch::{DeathWatch, ExitCell};
use crate::flusher::{FILL_PAUSE, FlusherParts};
use crate::hasher::HasherParts;
use crate::lease_manager::actor::{LeaseManager, LeaseParts};
use crate::lease_manager::{LeaseServiceParts, StoredLease};
use crate::limits::{
    APPLIER_QUEUE, COMPACTIONS_TO_HASH, FLUSH_ENTRIES, FLUSHER_QUEUE, LOG_READS, OwnerBudgets, PEER_HASHES,
    SNAPSHOT_ORDERS, WAL_QUEUE,
};
use crate::mailbox::Mailbox;
use crate::peers::NoPeers;
use crate::raft_core::CoreParts;
use crate::raft_core::inbox::{Inbox, InnerPort};
use crate::simple_tokens::SimpleTokens;
use crate::store_cell::StoreCell;
use crate::store_reads::StoreReads;
use crate::wal_writer::{WalInstall, WalParts};
use crate::watch_hub::{HubConfig, HubParts, Position, WatchHub};
use crate::wiring::apply::ToApplier;
use crate::wiring::flush::ToFlusher;
use crate::wiring::hashes::CompactionScheduled;
use crate::wiring::log::ReadLog;
use crate::wiring::snapshots::ToSnapshotter;
use crate::wiring::wal::ToWal;
use actix::Addr;
use actix_rt::Arbiter;
use crossbeam_channel::{Receiver, Sender, bounded};
use messages::admin::RunJob;
use messages::auth::RunPassword;
use messages::peer::{PeerSender, Peers, Transport, Vitals};
use messages::ports::CorePort;
use messages::read::{Reads, RunQuery};
use messages::{Gauges, NodeIdentity, Ports, Sinks};
use raft::NodeId;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Release;
use std::time::Duration;
use storage::apply::{Membership, StateMachine as Store};
use storage::disk::Disk;
use storage::engine::Engine;
use storage::view::Views;

/// The queues between owners, and what all of them share.
pub(super) struct Queues<E: Engine> {
    pub(super) exit: ExitCell,
    pub(super) gauges: Arc<Gauges>,
    pub(super) sinks: Arc<Sinks>,
    pub(super) views: Arc<Views<E::Snapshot>>,
    pub(super) reads: StoreReads<E::Snapshot>,
    pub(super) tokens: Arc<SimpleTokens>,
    pub(super) core: CorePort,
    pub(super) inner: InnerPort,
    pub(super) wal: Sender<ToWal>,
    pub(super) applier: Sender<ToApplier>,
    pub(super) flusher: Sender<ToFlusher>,
    pub(super) log: Sender<ReadLog>,
    pub(super) snapshots: Sender<ToSnapshotter>,
    pub(super) hasher: Sender<CompactionScheduled<E::Snapshot>>,
    pub(super) peer_hashes: Sender<Asked<HashAt>>,
    pub(super) hub_backlog: Arc<AtomicUsize>,
    pub(super) calls: PeerCalls,
}

/// What the hasher receives beside queries.
pub(super) type HasherEnds<E> = (Receiver<CompactionScheduled<<E as Engine>::Snapshot>>, Receiver<Asked<HashAt>>);

/// Tells the transport, if there is one, who the members are.
struct Members(Option<Arc<dyn Transport>>);

impl Mailbox<Peers> for Members {
    fn send(&self, peers: Peers) {
        if let Some(transport) = &self.0 {
            transport.set_peers(peers);
        }
    }
}

/// Where messages to other members go: to the transport, or nowhere in a cluster of one.
pub(super) fn sender_of(transport: Option<&Arc<dyn Transport>>) -> Arc<dyn PeerSender> {
    match transport {
        Some(transport) => transport.clone(),
        None => Arc::new(NoPeers),
    }
}

/// Tells the transport, if there is one, how this member is.
pub(super) struct OwnVitals {
    pub(super) transport: Option<Arc<dyn Transport>>,
    pub(super) version: [u16; 3],
}

impl Mailbox<Vitals> for OwnVitals {
    fn send(&self, vitals: Vitals) {
        if let Some(transport) = &self.transport {
            transport.set_vitals(Vitals { version: self.version, ..vitals });
        }
    }
}

/// Receiving ends, each to be given to its owner.
pub(super) struct Ends<E: Engine> {
    pub(super) inbox: Inbox,
    pub(super) wal: Receiver<ToWal>,
    pub(super) applier: Receiver<ToApplier>,
    pub(super) flusher: Receiver<ToFlusher>,
    pub(super) log: Receiver<ReadLog>,
    pub(super) snapshots: Receiver<ToSnapshotter>,
    pub(super) compactions: Receiver<CompactionScheduled<E::Snapshot>>,
    pub(super) peer_hashes: Receiver<Asked<HashAt>>,
}

impl<E: Engine> Queues<E> {
    pub(super) fn new(
        exit: ExitCell,
        store: &Store<E>,
        budgets: &OwnerBudgets,
        token_ttl: Duration,
    ) -> (Self, Ends<E>) {
        let (inbox, core, inner) = Inbox::new();
        let (wal, wal_end) = bounded(WAL_QUEUE);
        let (applier, applier_end) = bounded(APPLIER_QUEUE);
        let (flusher, flusher_end) = bounded(FLUSHER_QUEUE);
        let (log, log_end) = bounded(LOG_READS);
        let (snapshots, snapshots_end) = bounded(SNAPSHOT_ORDERS);
        let (hasher, compactions) = bounded(COMPACTIONS_TO_HASH);
        let (peer_hashes, peer_hashes_end) = bounded(PEER_HASHES);
        let views = Arc::new(Views::new(store.view()));
        let gauges = Arc::<Gauges>::default();
        gauges.applied.store(store.applied().index, Release);
        let tokens = Arc::new(SimpleTokens::new(token_ttl));
        let queues = Self {
            exit,
            reads: StoreReads::new(views.clone(), gauges.clone(), tokens.clone(), budgets.collected),
            tokens,
            gauges,
            sinks: Arc::default(),
            views,
            core,
            inner,
            wal,
            applier,
            flusher,
            log,
            snapshots,
            hasher,
            peer_hashes,
            hub_backlog: Arc::default(),
            calls: PeerCalls::default(),
        };
        let ends = Ends {
            inbox,
            wal: wal_end,
            applier: applier_end,
            flusher: flusher_end,
            log: log_end,
            snapshots: snapshots_end,
            compactions,
            peer_hashes: peer_hashes_end,
        };
        (queues, ends)
    }

    /// The sending ends that clients hold.
    pub(super) fn ports(
        &self,
        identity: NodeIdentity,
        reads: Arc<dyn Reads>,
        query: Sender<RunQuery>,
        (jobs, passwords): (Sender<RunJob>, Sender<RunPassword>),
        actors: &Actors,
    ) -> Ports {
        Ports {
            identity: Arc::new(identity),
            gauges: self.gauges.clone(),
            reads,
            sinks: self.sinks.clone(),
            core: self.core.clone(),
            query,
            jobs,
            passwords,
            hub: actors.hub.clone().recipient(),
            leases: actors.leases.clone().recipient(),
        }
    }

    pub(super) fn watch(&self, actor: &'static str) -> DeathWatch {
        DeathWatch::new(actor, self.exit.clone())
    }

    pub(super) fn start_hub(&self, config: HubConfig, arbiter: &Arbiter) -> Addr<WatchHub> {
        let view = self.views.load();
        let parts = HubParts {
            config,
            at: Position { revision: view.status.revision, compact_revision: view.status.compact_revision },
            source: Arc::new(self.reads.clone()),
            sinks: self.sinks.clone(),
            gauges: self.gauges.clone(),
            backlog: self.hub_backlog.clone(),
            exit: self.exit.clone(),
        };
        WatchHub::start(parts, &arbiter.handle())
    }

    pub(super) fn start_leases(
        &self,
        own: NodeId,
        tick: Duration,
        ticks: u32,
        arbiter: &Arbiter,
    ) -> Result<Addr<LeaseManager>, StartError> {
        let stored = storage::read::meta::leases(&self.views.load())?;
        let heartbeat = tick.as_millis() as u64;
        let service = LeaseServiceParts {
            own,
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
        let calls = self.calls.clone();
        let parts = LeaseParts { service, calls, clock: Box::new(clock::since_boot), exit: self.exit.clone() };
        Ok(LeaseManager::start(parts, &arbiter.handle()))
    }

    pub(super) fn applier_parts(
        &self,
        inbox: Receiver<ToApplier>,
        actors: &Actors,
        transport: Option<Arc<dyn Transport>>,
        (cell, disk, member): (Arc<StoreCell<E>>, Arc<dyn Disk>, PathBuf),
        pace: ApplierPace,
    ) -> ApplierParts<E> {
        let install = ApplierInstall {
            cell,
            leases: Box::new(actors.leases.clone().recipient()),
            disk,
            member,
            wal: self.wal.clone(),
            snapshots: self.snapshots.clone(),
        };
        ApplierParts {
            install,
            inbox,
            core: self.inner.clone(),
            views: self.views.clone(),
            sinks: self.sinks.clone(),
            hasher: self.hasher.clone(),
            hub: Box::new(actors.hub.clone().recipient()),
            hub_backlog: self.hub_backlog.clone(),
            leases: Box::new(actors.leases.clone().recipient()),
            flusher: self.flusher.clone(),
            tokens: self.tokens.clone(),
            gauges: self.gauges.clone(),
            members: Box::new(Members(transport)),
            pace,
        }
    }

    pub(super) fn hasher_parts(
        &self,
        queries: Receiver<RunQuery>,
        (compactions, asked): HasherEnds<E>,
        stop: Receiver<()>,
    ) -> HasherParts<E::Snapshot> {
        let (views, gauges, sinks) = (self.views.clone(), self.gauges.clone(), self.sinks.clone());
        HasherParts { queries, asked, calls: self.calls.clone(), compactions, stop, views, gauges, sinks }
    }

    pub(super) fn core_parts(
        &self,
        inbox: Inbox,
        actors: &Actors,
        transport: Option<Arc<dyn Transport>>,
        (membership, hash): (Arc<Membership>, Option<(u64, u64)>),
        vitals: OwnVitals,
    ) -> CoreParts {
        CoreParts {
            inbox,
            wal: self.wal.clone(),
            applier: self.applier.clone(),
            log: self.log.clone(),
            snapshots: self.snapshots.clone(),
            peers: sender_of(transport.as_ref()),
            calls: self.calls.clone(),
            vitals: Box::new(vitals),
            leases: Box::new(actors.leases.clone().recipient()),
            connections: Box::new(transport),
            membership,
            hash,
            sinks: self.sinks.clone(),
            gauges: self.gauges.clone(),
        }
    }

    pub(super) fn flusher_parts(
        &self,
        inbox: Receiver<ToFlusher>,
        store: Arc<StoreCell<E>>,
        disk: Arc<dyn Disk>,
    ) -> FlusherParts<E> {
        let (core, wal, gauges) = (self.inner.clone(), self.wal.clone(), self.gauges.clone());
        FlusherParts { inbox, store, disk, core, wal, gauges, flush_entries: FLUSH_ENTRIES, fill_pause: FILL_PAUSE }
    }

    pub(super) fn wal_parts(
        &self,
        inbox: Receiver<ToWal>,
        peers: Arc<dyn PeerSender>,
        disk: Arc<dyn Disk>,
        member: PathBuf,
    ) -> WalParts {
        let (core, flusher, gauges) = (self.inner.clone(), self.flusher.clone(), self.gauges.clone());
        let install = WalInstall { disk, member, applier: self.applier.clone() };
        WalParts { inbox, core, peers, flusher, gauges, install }
    }
}
