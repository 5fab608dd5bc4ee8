//! A node inside a host's actix system: starts, serves, stops; never exits the process, never touches what is global.
//!
//! The host's system is used for arbiters only. Must never install a subscriber, a panic hook or a signal handler.

use crate::auto_compaction;
use crate::bootstrap::{self, Booted, BootstrapError};
use crate::certificates;
use crate::client::{Client, ClientError, ClientSink};
use crate::config::Config;
use crate::disk_monitor::{self, DiskMonitor};
use crate::listen::{self, ListenError};
use crate::version::{CLUSTER_VERSION, SERVER_VERSION, STORAGE_VERSION, server_version};
use actors::death_watch::{DeathWatch, ExitCell, NodeExit};
use actors::kernel::{Assembly, FIRST_CLIENT_SINK, Kernel};
use actors::raft_core::CoreConfig;
use actors::watch_hub::HubConfig;
use messages::{ReplySink, SinkId};
use model::Command;
use model::request::{ClusterVersionSetRequest, MemberAttrSetRequest, MemberAttributes};
use net::door::Status;
use net::http::HttpConfig;
use net::services::ServiceConfig;
use net::{Doors, Listen, LoopGuard, Loops};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Release;
use std::time::Duration;
use storage::engine::rocks::{RocksEngine, RocksOptions};
use storage::member::ForeignData;
use tokio::task::JoinHandle;

/// How long a node may take to elect itself and apply what its log holds.
const START_PATIENCE: Duration = Duration::from_secs(300);
/// How long calls may take to end when the node stops.
const CLOSE_GRACE: Duration = Duration::from_millis(500);

/// How long another member may take to lead in place of one that stops.
const HAND_OVER_PATIENCE: Duration = Duration::from_millis(500);

/// Why a node did not start. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Sockets.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Somebody else's data folder.
    #[error(transparent)]
    Foreign(#[from] ForeignData),
    /// Data folder.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// Threads, configuration, store.
    #[error(transparent)]
    Kernel(#[from] actors::kernel::StartError),
    /// The first commands.
    #[error("cannot publish this member: {0}")]
    Publish(#[from] ClientError),
    /// It died while starting.
    #[error("the node stopped while it started: {0}")]
    Died(NodeExit),
    /// No leader.
    #[error("no leader was elected within {0:?}")]
    NoLeader(Duration),
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
    background: Vec<Background>,
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
        let all_urls = [config.client_urls.as_slice(), &config.client_http_urls, &config.metrics_urls].concat();
        let tls = listen::secure(&all_urls, config.client_tls.as_ref())?;
        let listeners = listen::bind(&config.client_urls, tls.as_ref(), config.sockets)?;
        let client_http = listen::bind(&config.client_http_urls, tls.as_ref(), config.sockets)?;
        let metrics = listen::bind(&config.metrics_urls, tls.as_ref(), config.sockets)?;
        let addresses = listeners.iter().filter_map(net::Listen::address).collect();
        let at = config.clone();
        let booted = tokio::task::spawn_blocking(move || bootstrap::boot(&at));
        let booted = booted.await.map_err(|_| StartError::Interrupted)??;
        let monitor = DiskMonitor::new(&booted.folders.member, &booted.folders.wal, &booted.memory);

        let threads = match config.connection_threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let limits = config.door_limits();
        let budgets = config.budgets().loops(threads, limits.max_recv_message);
        let loops = Loops::new(&limits, budgets, HttpConfig { origins: config.cors.clone() });
        let sink = Arc::new(ClientSink::default());
        let mut client_sinks: Vec<Arc<dyn ReplySink>> = vec![sink.clone()];
        client_sinks.extend(loops.sinks());
        let kernel = Kernel::start(assemble(&config, booted, &monitor, client_sinks)?)?;
        let ports = kernel.ports().clone();
        let exit = kernel.exit().clone();
        let guard = move || -> Box<dyn LoopGuard> { Box::new(Guard(DeathWatch::new("client loop", exit.clone()))) };
        let doors = loops.run(ports.clone(), service_config(&config)?, FIRST_CLIENT_SINK + 1, guard);
        let client = Client::new(ports, sink.clone(), SinkId(FIRST_CLIENT_SINK));
        let (exit, gauges) = (kernel.exit().clone(), client.ports().gauges.clone());
        // also when an owner fails and the host is slow to call `stop`: what it would have answered never comes
        actix_rt::spawn(async move {
            exit.wait().await;
            gauges.serving.store(false, Release);
            sink.close();
        });
        let mut node = Self { kernel, doors, client, addresses, background: Vec::new() };
        // before service: a member that starts on a full disk serves reads and deletes from the first moment
        node.run(disk_monitor::watch(node.client(), monitor));
        if let Some(tls) = tls {
            node.run(certificates::watch(node.client.ports().clone(), tls.identity));
        }
        if let Err(why) = node.wait_until_published(&config).await {
            node.stop().await;
            return Err(why);
        }
        if let Some(keep) = config.auto_compaction {
            node.run(auto_compaction::run(node.client(), keep));
        }
        let client_http = client_http.into_iter().map(|l| Listen { spec: l.spec.http_only(), ..l });
        let metrics = metrics.into_iter().map(|l| Listen { spec: l.spec.metrics_only(), ..l });
        for listen in listeners.into_iter().chain(client_http).chain(metrics) {
            node.doors.open(listen);
        }
        Ok(node)
    }

    fn run(&mut self, task: impl Future<Output = ()> + 'static) {
        self.background.push(Background(actix_rt::spawn(task)));
    }

    /// Waits for leadership and tells the cluster who this member is.
    async fn wait_until_published(&self, config: &Config) -> Result<(), StartError> {
        tokio::select! {
            exit = self.kernel.exit().wait() => Err(StartError::Died(exit)),
            published = self.publish(config) => published,
        }
    }

    async fn publish(&self, config: &Config) -> Result<(), StartError> {
        if !self.client.until_serving(START_PATIENCE).await {
            return Err(StartError::NoLeader(START_PATIENCE));
        }
        let reads = &self.client.ports().reads;
        let identity = &self.client.ports().identity;
        let members = reads.members().map_err(ClientError::from)?;
        let own = members.iter().find(|m| m.id == identity.member_id);
        let published = own.is_some_and(|m| m.name == config.name && m.client_urls == config.advertise_client_urls);
        if !published {
            let attributes =
                MemberAttributes { name: config.name.clone(), client_urls: config.advertise_client_urls.clone() };
            let request = MemberAttrSetRequest { member_id: identity.member_id, attributes: Some(attributes) };
            self.client.execute(Command::MemberAttrSet(request)).await?;
        }
        if reads.cluster_version().map_err(ClientError::from)?.is_empty() {
            let request = ClusterVersionSetRequest { ver: CLUSTER_VERSION.into() };
            self.client.execute(Command::ClusterVersionSet(request)).await?;
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

    /// Resolves when the node ends, with the reason. After a failure call [`Self::stop`] to end what is left of it.
    pub async fn stopped(&self) -> NodeExit {
        self.kernel.exit().wait().await
    }

    /// A handle that resolves as [`Self::stopped`] does, and outlives the node.
    pub fn exit(&self) -> ExitCell {
        self.kernel.exit().clone()
    }

    /// Stops the node: leadership to another member if there is one, then doors, then owners in the order in which nothing is lost. Takes at most a second and a half.
    /// Requests of in-process clients that were not answered end as stopped, their watches with `None`. The data folder is free
    /// afterwards.
    pub async fn stop(self) {
        let hand_over = self.kernel.hand_over();
        // also when it fails: the others elect somebody
        let _ = tokio::task::spawn_blocking(move || hand_over.wait(HAND_OVER_PATIENCE)).await;
        self.client.ports().gauges.stopping.store(true, Release);
        for mut task in self.background {
            task.0.abort();
            // it holds a client: the folder is free only when it is gone
            let _ = (&mut task.0).await;
        }
        self.doors.close(CLOSE_GRACE, stopped_status()).await;
        let kernel = self.kernel;
        // the host's arbiter goes on meanwhile; a panic in there has been reported by a death watch
        let _ = tokio::task::spawn_blocking(move || kernel.stop()).await;
    }
}

/// The death watch of a connection thread.
struct Guard(DeathWatch);

impl LoopGuard for Guard {
    fn finished(self: Box<Self>) {
        self.0.finish();
    }
}

fn stopped_status() -> Status {
    net::services::status::STOPPED
}

fn service_config(config: &Config) -> Result<ServiceConfig, BootstrapError> {
    Ok(ServiceConfig {
        max_request_bytes: config.max_request_bytes,
        max_txn_ops: config.max_txn_ops,
        quota_bytes: config.quota_bytes,
        min_lease_ttl: config.min_lease_ttl(),
        election: config.election,
        server_version: SERVER_VERSION.into(),
        storage_version: STORAGE_VERSION.into(),
        dropped_log_lines: config.dropped_log_lines.clone(),
        request_id_seed: bootstrap::random()?,
    })
}

fn assemble(
    config: &Config,
    booted: Booted,
    monitor: &DiskMonitor,
    client_sinks: Vec<Arc<dyn ReplySink>>,
) -> Result<Assembly<RocksEngine>, BootstrapError> {
    let Booted { identity, engine, memory, store, wal, disk, tail, boot_epoch: _, folders } = booted;
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
    let open = move |dir: &Path| RocksEngine::open_sharing(dir, &checkpoint, &memory);
    let monitor = monitor.clone();
    Ok(Assembly {
        identity,
        engine,
        open: Box::new(open),
        store,
        wal,
        disk,
        tail,
        core: CoreConfig {
            raft,
            tick: config.heartbeat,
            epoch: bootstrap::random()?,
            request_ticks: (config.request_timeout().as_millis() / config.heartbeat.as_millis().max(1)) as u64,
            catch_up_entries: config.catch_up_entries,
            tail_bytes: budgets.log_tail,
            strict_reconfig: config.strict_reconfig,
            max_learners: config.max_learners,
            spin: config.spin,
        },
        tick: config.heartbeat,
        hub,
        compaction_pause: config.compaction_pause,
        budgets,
        make_room: Box::new(move || monitor.for_defragmentation()),
        scratch: folders.scratch,
        // etcd's snapshot files carry the version of their storage, and tools print it
        server_version: STORAGE_VERSION.into(),
        version: server_version(),
        connect_peers: None,
        client_sinks,
    })
}
