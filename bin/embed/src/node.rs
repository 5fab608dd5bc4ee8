//! A node inside a host's actix system: starts, serves, stops; never exits the process, never touches what is global.
//!
//! The host's system is used for arbiters only. Must never install a subscriber, a panic hook or a signal handler.

use crate::auto_compaction;
use crate::bootstrap::{self, Booted, BootstrapError};
use crate::certificates;
use crate::client::{Client, ClientError, ClientSink};
use crate::cluster_version;
use crate::config::{Config, CorruptionChecks};
use crate::corruption::{self, Compared, Diverged};
use crate::disk_monitor::{self, DiskMonitor};
use crate::founding;
use crate::listen::{self, ListenError, ServerTls};
use crate::peers::{self, LocalMember, PeerPlan, Peers, PeersError};
use crate::publish;
use crate::thread_guard::ThreadGuard;
use crate::tokens::TokenError;
use crate::v2_expiry;
use crate::version::{SERVER_VERSION, STORAGE_VERSION, TooOld, refuse_older};
use actors::death_watch::{ExitCell, NodeExit};
use actors::kernel::{Assembly, FIRST_CLIENT_SINK, Kernel};
use actors::raft_core::CoreConfig;
use actors::watch_hub::HubConfig;
use messages::{Gauges, ReplySink, SinkId};
use net::door::Status;
use net::http::HttpConfig;
use net::peer::metrics::PeerMetrics;
use net::peer::tls::PeerTls;
use net::peer::transport::PeerTransport;
use net::services::ServiceConfig;
use net::spans::{Exporter, Tracing};
use net::tokens::TokenKind;
use net::{Doors, Listen, LoopGuard, Loops};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use storage::apply::MemberIds;
use storage::engine::rocks::{RocksEngine, RocksOptions};
use storage::member::ForeignData;
use tokio::task::JoinHandle;

/// How long calls may take to end when the node stops.
const CLOSE_GRACE: Duration = Duration::from_millis(500);

/// How long both together may take, so that the owners have time to end within the patience of whoever stops the process.
const FAREWELL: Duration = Duration::from_millis(900);
/// How long another member may take to lead in place of one that stops.
const HAND_OVER_PATIENCE: Duration = Duration::from_millis(500);

/// Time for the last spans to reach their collector.
const LAST_SPANS: Duration = Duration::from_millis(200);

/// Why a node did not start. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Sockets.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Somebody else's data folder.
    #[error(transparent)]
    Foreign(#[from] ForeignData),
    /// Sockets and certificates for other members.
    #[error(transparent)]
    Peers(#[from] PeersError),
    /// Keys of tokens.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// Data folder.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// An old build.
    #[error(transparent)]
    TooOld(#[from] TooOld),
    /// Threads, configuration, store.
    #[error(transparent)]
    Kernel(#[from] actors::kernel::StartError),
    /// The first commands.
    #[error("cannot publish this member: {0}")]
    Publish(#[from] ClientError),
    /// Other members have other data.
    #[error(transparent)]
    Diverged(#[from] Diverged),
    /// It died while starting.
    #[error("the node stopped while it started: {0}")]
    Died(NodeExit),
    /// The start was called off the host's runtime.
    #[error("opening the data folder was interrupted")]
    Interrupted,
}

/// A running node. [`Node::stop`] ends it; one that is dropped, or whose start is given up, is stopped in the background.
pub struct Node {
    kernel: Kernel,
    doors: Doors,
    client: Client,
    addresses: Vec<SocketAddr>,
    peers: Arc<OnceLock<Arc<PeerTransport>>>,
    background: Vec<Background>,
    /// Sends spans; ends by itself behind the doors.
    exporter: Option<Background>,
}

/// A task that ends with the node, also with one that is dropped.
struct Background(JoinHandle<()>);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Node {
    /// Starts a node and waits until it serves. Must be called inside an actix system.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(config: Config) -> Result<Self, StartError> {
        // before anything else: sockets and self-made certificates may lie in the data folder
        storage::member::refuse_foreign(&config.data_dir, config.wal_dir.as_deref())?;
        let ClientSockets { listeners, addresses, tls } = ClientSockets::bind(&config)?;
        let plan = PeerPlan::new(&config)?;
        let tokens = config.tokens.open()?;
        let booted = open(&config, plan.tls.clone()).await?;
        let exit = ExitCell::default();
        let own = LocalMember {
            cluster: booted.identity.cluster_id,
            member: booted.identity.member_id,
            boot_epoch: booted.boot_epoch,
            folder: &booted.folders.member,
        };
        let peers = Peers::new(&config, &plan, &own, exit.clone())?;
        let monitor = DiskMonitor::new(&booted.folders.member, &booted.folders.wal, &booted.memory);

        let threads = match config.connection_threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let limits = config.door_limits();
        let budgets = config.budgets().loops(threads, limits.max_json_request());
        let loops = Loops::new(&limits, budgets, http_config(&config));
        let sink = Arc::new(ClientSink::default());
        let mut client_sinks: Vec<Arc<dyn ReplySink>> = vec![sink.clone()];
        client_sinks.extend(loops.sinks());
        let kernel = Kernel::start(Assembly {
            connect_peers: peers.connect,
            exit,
            ..assemble(&config, booted, &monitor, client_sinks)?
        })?;
        let ports = kernel.ports().clone();
        peers.pages.open(ports.clone());
        let exit = kernel.exit().clone();
        let guard = move || -> Box<dyn LoopGuard> { Box::new(ThreadGuard::new("client loop", exit.clone())) };
        let (tracing, exporter) = config.tracing.as_ref().map(Exporter::new).unzip();
        let services = service_config(&config, tokens, plan.metrics, tracing)?;
        let doors = loops.run(ports.clone(), services, FIRST_CLIENT_SINK + 1, guard);
        let client = Client::new(ports, sink.clone(), SinkId(FIRST_CLIENT_SINK));
        close_at_end(kernel.exit().clone(), client.ports().gauges.clone(), sink);
        let mut node =
            Self { kernel, doors, client, addresses, peers: peers.sockets, background: Vec::new(), exporter: None };
        node.exporter = exporter.map(|exporter| Background(actix_rt::spawn(exporter.run())));
        // whoever leads decides it, before anybody serves
        let exit = node.kernel.exit().clone();
        node.run(cluster_version::run(node.client(), config.version, config.downgrade_check, exit));
        // before service: a member that starts on a full disk serves reads and deletes from the first moment
        node.run(disk_monitor::watch(node.client(), monitor));
        if let Some(tls) = tls {
            let gauges = node.client.ports().gauges.clone();
            node.run(certificates::watch(tls.identity, move |ends| gauges.certificate_ends.store(ends, Relaxed)));
        }
        if let Some(identity) = plan.identity {
            node.run(certificates::watch(identity, |_| {}));
        }
        if let Err(why) = node.wait_until_published(&config).await {
            node.stop().await;
            return Err(why);
        }
        node.run_upkeep(&config);
        for listen in listeners {
            node.doors.open(listen);
        }
        Ok(node)
    }

    /// What a leader does by itself now and then.
    fn run_upkeep(&mut self, config: &Config) {
        self.run(v2_expiry::run(self.client()));
        if let Some(keep) = config.auto_compaction {
            self.run(auto_compaction::run(self.client(), keep));
        }
        let CorruptionChecks { periodic, compaction, .. } = config.corruption_checks;
        self.run(corruption::raise_found(self.client(), config.heartbeat));
        for (what, every) in [(Compared::Present, periodic), (Compared::Compaction, compaction)] {
            if let Some(every) = every {
                self.run(corruption::run(self.client(), what, every));
            }
        }
    }

    fn run(&mut self, task: impl Future<Output = ()> + 'static) {
        self.background.push(Background(actix_rt::spawn(task)));
    }

    /// Waits for leadership and tells the cluster who this member is. Compares its data with that of the others, if it is to.
    async fn wait_until_published(&self, config: &Config) -> Result<(), StartError> {
        tokio::select! {
            exit = self.kernel.exit().wait() => return Err(StartError::Died(exit)),
            published = publish::until_known(&self.client, config) => published?,
        }
        if config.corruption_checks.initial {
            corruption::check_before_service(&self.client).await?;
        }
        Ok(())
    }

    /// An in-process client. It may outlive the node.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Addresses that clients are served on; a port that was asked for as zero is filled in.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Addresses that other members are served on, as [`Self::addresses`].
    pub fn peer_addresses(&self) -> &[SocketAddr] {
        peers::addresses(&self.peers)
    }

    /// Resolves when the node ends, with the reason. After a failure call [`Self::stop`] to end what is left of it.
    pub async fn stopped(&self) -> NodeExit {
        self.kernel.exit().wait().await
    }

    /// A handle that resolves as [`Self::stopped`] does, and outlives the node.
    pub fn exit(&self) -> ExitCell {
        self.kernel.exit().clone()
    }

    /// Stops the node: leadership to another member if there is one, then doors, then owners in the order in which nothing is lost.
    /// Takes at most a second and a half. Requests of in-process clients that were not answered end as stopped, their watches with `None`. The data folder is free
    /// afterwards.
    pub async fn stop(self) {
        let begun = Instant::now();
        let hand_over = self.kernel.hand_over();
        // also when it fails: the others elect somebody
        let _ = tokio::task::spawn_blocking(move || hand_over.wait(HAND_OVER_PATIENCE)).await;
        self.client.ports().gauges.stopping.store(true, Release);
        for mut task in self.background {
            task.0.abort();
            // it holds a client: the folder is free only when it is gone
            let _ = (&mut task.0).await;
        }
        let grace = CLOSE_GRACE.min(FAREWELL.saturating_sub(begun.elapsed()));
        self.doors.close(grace, stopped_status()).await;
        if let Some(mut exporter) = self.exporter {
            // a collector that is away must not keep anybody
            let _ = tokio::time::timeout(LAST_SPANS, &mut exporter.0).await;
        }
        let (kernel, peers) = (self.kernel, self.peers);
        // the host's arbiter goes on meanwhile; a panic in there has been reported by a death watch
        let _ = tokio::task::spawn_blocking(move || {
            kernel.stop();
            if let Some(transport) = peers.get() {
                transport.join();
            }
        })
        .await;
    }
}

/// Answers in-process clients when the node has ended, also when an owner fails and the host is slow to call `stop`: what it would have
/// answered never comes.
fn close_at_end(exit: ExitCell, gauges: Arc<Gauges>, sink: Arc<ClientSink>) {
    actix_rt::spawn(async move {
        exit.wait().await;
        gauges.serving.store(false, Release);
        sink.close();
    });
}

/// Sockets of clients, bound and not served yet.
struct ClientSockets {
    listeners: Vec<Listen>,
    /// Of the URLs of clients, in their order.
    addresses: Vec<SocketAddr>,
    tls: Option<ServerTls>,
}

impl ClientSockets {
    fn bind(config: &Config) -> Result<Self, ListenError> {
        let all_urls = [config.client_urls.as_slice(), &config.client_http_urls, &config.metrics_urls].concat();
        let tls = listen::secure(&all_urls, config.client_tls.as_ref())?;
        let bind = |urls: &[String]| listen::bind(urls, tls.as_ref(), config.sockets);
        let mut listeners = bind(&config.client_urls)?;
        let addresses = listeners.iter().filter_map(Listen::address).collect();
        if !config.client_http_urls.is_empty() {
            listeners = listeners.into_iter().map(|l| Listen { spec: l.spec.grpc_only(), ..l }).collect();
        }
        listeners.extend(bind(&config.client_http_urls)?.into_iter().map(|l| Listen { spec: l.spec.http_only(), ..l }));
        listeners.extend(bind(&config.metrics_urls)?.into_iter().map(|l| Listen { spec: l.spec.metrics_only(), ..l }));
        Ok(Self { listeners, addresses, tls })
    }
}

/// Opens the member of the data folder, off the host's arbiter. One without data asks the others first.
async fn open(config: &Config, tls: PeerTls) -> Result<Booted, StartError> {
    let (config, own) = (config.clone(), config.version);
    let runtime = tokio::runtime::Handle::current();
    let booted = tokio::task::spawn_blocking(move || {
        let first = || runtime.block_on(founding::first_start(&config, &tls));
        let members_of = |own: MemberIds| runtime.block_on(founding::members_of(own, &config, &tls));
        bootstrap::boot(&config, first, &members_of)
    });
    let booted = booted.await.map_err(|_| StartError::Interrupted)??;
    let version = storage::read::meta::cluster_version(&booted.store.view());
    refuse_older(own, &version.map_err(actors::kernel::StartError::from)?.unwrap_or_default())?;
    Ok(booted)
}

fn http_config(config: &Config) -> HttpConfig {
    HttpConfig {
        origins: config.cors.clone(),
        hosts: config.host_whitelist.clone(),
        gateway: config.json_gateway,
        v2_since: config.enable_v2.then(v2_expiry::unix_nanos),
        command_line: config.command_line.clone().into(),
        profiler: config.profiler.clone().map(|profiler| profiler.0),
        shows_requests: config.shows_requests,
    }
}

fn stopped_status() -> Status {
    net::services::status::STOPPED
}

fn service_config(
    config: &Config,
    tokens: TokenKind,
    peers: PeerMetrics,
    tracing: Option<Tracing>,
) -> Result<ServiceConfig, BootstrapError> {
    Ok(ServiceConfig {
        tokens,
        bcrypt_cost: config.bcrypt_cost,
        client_cert_auth: config.client_tls.as_ref().is_some_and(|tls| tls.client_cert_auth),
        peers,
        max_request_bytes: config.max_request_bytes,
        max_txn_ops: config.max_txn_ops,
        quota_bytes: config.quota_bytes,
        min_lease_ttl: config.min_lease_ttl(),
        election: config.election,
        server_version: SERVER_VERSION.into(),
        storage_version: STORAGE_VERSION.into(),
        snapshot_format: config.snapshot_format,
        memory_budget: config.memory_budget,
        features: config.features.clone(),
        slow_request: config.slow_request,
        extensive_metrics: config.extensive_metrics,
        tracing,
        dropped_log_lines: config.dropped_log_lines.clone(),
        request_id_seed: bootstrap::random()?,
    })
}

fn core_config(config: &Config, raft: raft::Config) -> Result<CoreConfig, BootstrapError> {
    Ok(CoreConfig {
        raft,
        tick: config.heartbeat,
        epoch: bootstrap::random()?,
        request_ticks: (config.request_timeout().as_millis() / config.heartbeat.as_millis().max(1)) as u64,
        catch_up_entries: config.catch_up_entries,
        tail_bytes: config.budgets().owners.log_tail,
        advance_first_election: config.advance_first_election,
        strict_reconfig: config.strict_reconfig,
        max_learners: config.max_learners,
        rebuild: config.rebuild,
    })
}

fn assemble(
    config: &Config,
    booted: Booted,
    monitor: &DiskMonitor,
    client_sinks: Vec<Arc<dyn ReplySink>>,
) -> Result<Assembly<RocksEngine>, BootstrapError> {
    let Booted { identity, engine, memory, store, store_name, stores, wal, disk, tail, boot_epoch: _, folders } =
        booted;
    let budgets = config.budgets().owners;
    let mut raft = raft::Config::new(identity.member_id);
    raft.election_tick = config.election_ticks();
    raft.seed = bootstrap::random()?;
    raft.applied = store.applied().index;
    raft.check_quorum = true;
    raft.pre_vote = config.pre_vote;
    raft.max_size_per_msg = 1 << 20;
    raft.max_committed_size_per_ready = budgets.apply_batch;
    raft.max_uncommitted_size = budgets.uncommitted;
    raft.max_inflight_bytes = 8 << 20;
    raft.step_down_on_removal = true;
    raft.tell_probed_of_changes = true;
    let hub = HubConfig {
        progress_interval: config.watch_progress.as_millis() as u64,
        ring_bytes: budgets.hub_ring,
        read_bytes: budgets.hub_read,
        oversized_bytes: budgets.oversized_revision,
        sent_bytes: budgets.hub_sent,
        ..HubConfig::for_requests(config.max_request_bytes)
    };
    // a checkpoint is read and then removed: nothing in it is worth a flush
    let checkpoint = RocksOptions { flush_on_close: false, ..RocksOptions::default() };
    let monitor = monitor.clone();
    Ok(Assembly {
        identity,
        engine,
        open: Arc::new(move |dir: &Path| RocksEngine::open_sharing(dir, &checkpoint, &memory)),
        store,
        stores,
        store_name,
        member: folders.member,
        wal,
        disk,
        tail,
        core: core_config(config, raft)?,
        tick: config.heartbeat,
        hub,
        token_ttl: config.tokens.simple_ttl(),
        compaction_pause: config.compaction_pause,
        compaction_rows: config.compaction_rows,
        scrub_interval: config.scrub_interval,
        slow_apply: config.slow_apply,
        budgets,
        make_room: Box::new(move || monitor.for_defragmentation()),
        scratch: folders.scratch,
        // etcd's snapshot files carry the version of their storage, and tools print it
        server_version: STORAGE_VERSION.into(),
        version: config.version,
        connect_peers: None,
        exit: ExitCell::default(),
        client_sinks,
    })
}
