//! Settings of an embedded node: typed, complete, and checked once.
//!
//! Must never read flags, files or the environment: that is the daemon's.

use crate::budgets::Budgets;
use crate::listen::{SocketOptions, TlsSettings};
use crate::tokens::TokenSettings;
use crate::version;
use model::SnapshotFormat;
use net::door::DoorLimits;
pub use net::http::Profiler;
pub use net::peer::local::LocalNetwork;
pub use net::spans::TracingConfig;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use storage::member::InitialMember;

/// Which comparisons a member makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CorruptionChecks {
    /// Before it serves for the first time.
    pub initial: bool,
    /// While it leads, so often.
    pub periodic: Option<Duration>,
    /// While it leads, of the newest compaction, so often.
    pub compaction: Option<Duration>,
}

/// Compaction that the leader does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCompaction {
    /// Keep what is younger than this.
    Periodic(Duration),
    /// Keep this many revisions; looked at every five minutes.
    Revision(i64),
}

/// What a member without data is told of its cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InitialState {
    /// All members of `initial_cluster` start a new cluster.
    #[default]
    New,
    /// The cluster runs, and this member was added to it.
    Existing,
}

/// How members reach each other.
#[derive(Clone, Default)]
pub enum PeerNetwork {
    /// Over QUIC, or TCP where UDP does not pass, on `peer_urls`. Without any the member serves no others: a cluster of one.
    #[default]
    Sockets,
    /// Members of one process that share this network find each other by their ids, without sockets.
    InProcess(LocalNetwork),
}

impl std::fmt::Debug for PeerNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sockets => "Sockets",
            Self::InProcess(_) => "InProcess",
        })
    }
}

/// A host's profiler.
#[derive(Clone)]
pub struct SharedProfiler(pub Arc<dyn Profiler>);

impl std::fmt::Debug for SharedProfiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedProfiler")
    }
}

/// Settings of a node.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the member; must be in `initial_cluster`.
    pub name: String,
    /// Data folder.
    pub data_dir: PathBuf,
    /// Folder of the log, when it is to lie on another disk.
    pub wal_dir: Option<PathBuf>,
    /// Members of the new cluster. Ignored when the data folder holds a member already.
    pub initial_cluster: Vec<InitialMember>,
    /// Whether that cluster is new. Ignored when the data folder holds a member already.
    pub initial_state: InitialState,
    /// Make a cluster of this member alone out of its data, when the others are lost for good. Ignored without data.
    pub force_new_cluster: bool,
    /// Rebuild the store from the leader's before anything is served. Ignored at a first start.
    pub rebuild: bool,
    /// Makes ids of otherwise equal clusters different.
    pub initial_cluster_token: String,
    /// How members reach each other.
    pub peer_network: PeerNetwork,
    /// Where other members are served.
    pub peer_urls: Vec<String>,
    /// Address that connections to other members come from; without it the system chooses.
    pub peer_local_address: Option<IpAddr>,
    /// Certificates of `https` peer URLs.
    pub peer_tls: Option<TlsSettings>,
    /// Client URLs told to clients.
    pub advertise_client_urls: Vec<String>,
    /// Where clients are served. Empty: no socket at all, in-process clients only.
    pub client_urls: Vec<String>,
    /// Certificates of `https` and `unixs` URLs.
    pub client_tls: Option<TlsSettings>,
    /// Which tokens clients may show while authentication is on.
    pub tokens: TokenSettings,
    /// Cost factor of hashing passwords, 4 to 31.
    pub bcrypt_cost: u32,
    /// Where HTTP is served without gRPC.
    pub client_http_urls: Vec<String>,
    /// Where only health and metrics are served, besides `client_urls`.
    pub metrics_urls: Vec<String>,
    /// Origins whose pages may call the HTTP pages from a browser; `*` or none at all for everybody.
    pub cors: Vec<String>,
    /// Host names that HTTP requests without TLS may ask for; `*` or none at all for every name.
    pub host_whitelist: Vec<String>,
    /// Serve the API as JSON below `/v3/`.
    pub json_gateway: bool,
    /// Serve the v2 API where clients are served.
    pub enable_v2: bool,
    /// How sockets are bound.
    pub sockets: SocketOptions,
    /// Time between heartbeats, and length of a tick.
    pub heartbeat: Duration,
    /// Time without a leader after which a member campaigns.
    pub election: Duration,
    /// Ask before campaigning, so that a member that was cut off does not disturb.
    pub pre_vote: bool,
    /// Refuse changes of the membership that could cost the quorum.
    pub strict_reconfig: bool,
    /// Skip most of the first election timeout after a start, once a quorum is reached.
    pub advance_first_election: bool,
    /// Most learners that there may be.
    pub max_learners: u32,
    /// Entries kept in the log behind what is durable in the store.
    pub catch_up_entries: u64,
    /// Format of the snapshots of clients who ask for none.
    pub snapshot_format: SnapshotFormat,
    /// Largest log entry in bytes.
    pub max_request_bytes: usize,
    /// Most operations of a transaction level.
    pub max_txn_ops: usize,
    /// Logical bytes the store may hold; zero or less for no limit.
    pub quota_bytes: i64,
    /// Rewrites the store's files at the start when that frees so many bytes or more; zero for never.
    pub defragment_at_start: u64,
    /// Period of progress notices on watches that asked for them.
    pub watch_progress: Duration,
    /// Compaction that nobody has to ask for. None: only on request.
    pub auto_compaction: Option<AutoCompaction>,
    /// Comparison of its data with that of the other members.
    pub corruption_checks: CorruptionChecks,
    /// Time between two looks whether a downgrade is done, while this member leads; none for never.
    pub downgrade_check: Option<Duration>,
    /// Pause between two readings of the whole store that look for damage; zero for none.
    pub scrub_interval: Duration,
    /// Pause between two steps of a compaction.
    pub compaction_pause: Duration,
    /// Rows that one step of a compaction may look at; zero for 1,000.
    pub compaction_rows: usize,
    /// A list of entries that takes longer to be applied is a warning in the log.
    pub slow_apply: Duration,
    /// A unary call that takes longer is a warning in the log.
    pub slow_request: Duration,
    /// Bytes of all memory budgets together, see [`Budgets`]; less than [`Budgets::LEAST_BYTES`] counts as that.
    pub memory_budget: usize,
    /// Bounds of the door. Its byte budgets are never more than [`Self::memory_budget`] leaves for them.
    pub door: DoorLimits,
    /// The version that other members are told. Anything but the default is for tests of upgrades.
    pub version: [u16; 3],
    /// Feature gates for the metrics: name, stage, and whether it is on.
    pub features: Vec<(String, String, bool)>,
    /// The metrics page has histograms of every method.
    pub extensive_metrics: bool,
    /// Spans of calls go to a collector; `None` for nowhere.
    pub tracing: Option<TracingConfig>,
    /// The command line of the host, for `/debug/vars`.
    pub command_line: Vec<String>,
    /// Makes profiles of the host's process for `/debug/pprof/`; `None` for nobody.
    pub profiler: Option<SharedProfiler>,
    /// `/debug/requests` is served.
    pub shows_requests: bool,
    /// Lines of its log that the host had to drop, for the metrics.
    pub dropped_log_lines: Arc<AtomicU64>,
    /// Connection threads; zero for one per core.
    pub connection_threads: usize,
}

impl Config {
    /// A single member with etcd's defaults and no sockets, neither for clients nor for other members.
    pub fn new(name: impl Into<String>, data_dir: impl Into<PathBuf>) -> Self {
        let name = name.into();
        let initial_cluster =
            vec![InitialMember { name: name.clone(), peer_urls: vec!["http://localhost:2380".into()] }];
        Self {
            name,
            data_dir: data_dir.into(),
            wal_dir: None,
            initial_cluster,
            initial_state: InitialState::New,
            force_new_cluster: false,
            rebuild: false,
            initial_cluster_token: "etcd-cluster".into(),
            peer_network: PeerNetwork::Sockets,
            peer_urls: Vec::new(),
            peer_local_address: None,
            peer_tls: None,
            advertise_client_urls: vec!["http://localhost:2379".into()],
            client_urls: Vec::new(),
            client_tls: None,
            tokens: TokenSettings::default(),
            bcrypt_cost: 10,
            client_http_urls: Vec::new(),
            metrics_urls: Vec::new(),
            cors: vec!["*".into()],
            host_whitelist: vec!["*".into()],
            json_gateway: true,
            enable_v2: false,
            sockets: SocketOptions::default(),
            heartbeat: Duration::from_millis(100),
            election: Duration::from_secs(1),
            pre_vote: true,
            strict_reconfig: true,
            advance_first_election: true,
            max_learners: 1,
            catch_up_entries: 5_000,
            snapshot_format: SnapshotFormat::default(),
            max_request_bytes: 1536 << 10,
            max_txn_ops: 128,
            quota_bytes: 2 << 30,
            defragment_at_start: 0,
            watch_progress: Duration::from_secs(600),
            auto_compaction: None,
            corruption_checks: CorruptionChecks::default(),
            downgrade_check: Some(Duration::from_secs(5)),
            scrub_interval: Duration::from_secs(6 * 3600),
            compaction_pause: Duration::from_millis(10),
            compaction_rows: 0,
            slow_apply: Duration::from_millis(100),
            slow_request: Duration::from_millis(300),
            memory_budget: Budgets::DEFAULT_BYTES,
            door: DoorLimits::default(),
            version: version::server_version(),
            features: Vec::new(),
            extensive_metrics: false,
            tracing: None,
            command_line: Vec::new(),
            profiler: None,
            shows_requests: false,
            dropped_log_lines: Arc::default(),
            connection_threads: 0,
        }
    }

    /// Bounds of the door that follow from other settings.
    pub(crate) fn door_limits(&self) -> DoorLimits {
        // etcd takes half a mebibyte more than a request may have, so that the request itself is refused with a clear text
        const OVERHEAD: usize = 512 << 10;
        let door = DoorLimits { max_recv_message: self.max_request_bytes + OVERHEAD, ..self.door.clone() };
        self.budgets().door.bound(&door)
    }

    /// Memory budgets.
    pub(crate) fn budgets(&self) -> Budgets {
        Budgets::of(self.memory_budget)
    }

    /// Ticks of an election timeout.
    pub(crate) fn election_ticks(&self) -> u32 {
        let ticks = self.election.as_millis() / self.heartbeat.as_millis().max(1);
        (ticks as u32).max(2)
    }

    /// Time after which a request without an outcome is given up: etcd's rule.
    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_secs(5) + 2 * self.election
    }

    /// Least TTL of a lease in seconds: one and a half election timeouts, rounded up.
    pub(crate) fn min_lease_ttl(&self) -> i64 {
        (self.election.as_millis() as i64 * 3 + 1999) / 2000
    }
}
