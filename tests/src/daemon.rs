//! The real daemon as a process of its own: start, kill, stop, and its log when a test fails.
//!
//! Must never end a process that it did not start.

use crate::Stubs;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Longest a start may take, log replay included.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// How a daemon is started.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of the member.
    pub name: String,
    /// Members of a new cluster, as in `--initial-cluster`; none for this one alone.
    pub cluster: Option<String>,
    /// Data folder.
    pub data: PathBuf,
    /// Address that it listens on.
    pub host: Ipv4Addr,
    /// Port for clients.
    pub client: u16,
    /// Port for peers.
    pub peer: u16,
    /// Further flags.
    pub flags: Vec<String>,
    /// The daemon's program; none for [`binary`].
    pub program: Option<PathBuf>,
    /// Command that runs the daemon, such as one that enters a namespace; none for the daemon itself.
    pub within: Vec<String>,
    /// Variables of its environment.
    pub variables: Vec<(String, String)>,
}

impl Settings {
    /// Two free ports and this data folder.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        let [client, peer] = free_ports();
        Self {
            name: "default".into(),
            cluster: None,
            data: data.into(),
            host: Ipv4Addr::LOCALHOST,
            client,
            peer,
            flags: Vec::new(),
            program: None,
            within: Vec::new(),
            variables: Vec::new(),
        }
    }

    /// Members `m1`, `m2` … of one cluster, in folders below this one.
    pub fn of_cluster(dir: &Path, members: usize) -> Vec<Self> {
        let names = (1..=members).map(|number| format!("m{number}"));
        let mut all: Vec<Self> = names.map(|name| Self { name: name.clone(), ..Self::new(dir.join(name)) }).collect();
        let cluster: Vec<String> = all.iter().map(|one| format!("{}={}", one.name, one.peer_url())).collect();
        let cluster = cluster.join(",");
        all.iter_mut().for_each(|one| one.cluster = Some(cluster.clone()));
        all
    }

    /// Where other members reach it.
    pub fn peer_url(&self) -> String {
        format!("http://{}:{}", self.host, self.peer)
    }

    /// Where clients are served.
    pub fn address(&self) -> SocketAddr {
        (self.host, self.client).into()
    }

    fn program(&self) -> PathBuf {
        self.program.clone().unwrap_or_else(binary)
    }

    fn command(&self) -> Command {
        let url = |port: u16| format!("http://{}:{port}", self.host);
        let mut command = match self.within.split_first() {
            Some((program, args)) => {
                let mut command = Command::new(program);
                command.args(args).arg(self.program());
                command
            }
            None => Command::new(self.program()),
        };
        command.envs(self.variables.iter().cloned());
        command.arg("--name").arg(&self.name).arg("--data-dir").arg(&self.data);
        command.arg("--listen-client-urls").arg(url(self.client)).arg("--advertise-client-urls").arg(url(self.client));
        command.arg("--listen-peer-urls").arg(url(self.peer)).arg("--initial-advertise-peer-urls").arg(url(self.peer));
        let alone = || format!("{}={}", self.name, self.peer_url());
        command.arg("--initial-cluster").arg(self.cluster.clone().unwrap_or_else(alone));
        command.args(&self.flags).stdin(Stdio::null());
        command
    }

    /// Runs a daemon that is expected to end by itself: exit status, and everything it said.
    ///
    /// # Panics
    /// When it is still running after `patience`; it is killed then.
    pub fn run_to_end(&self, patience: Duration) -> (ExitStatus, String) {
        let log = tempfile::NamedTempFile::new().expect("a file for the log");
        let mut child = self.spawn(log.path());
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait().expect("ask for the process") {
                return (status, read(log.path()));
            }
            if start.elapsed() > patience {
                kill(&mut child);
                panic!("still running after {patience:?}:\n{}", read(log.path()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts a daemon and kills it after `delay`, whatever it is doing then.
    pub fn kill_after(&self, delay: Duration) {
        let log = tempfile::NamedTempFile::new().expect("a file for the log");
        let mut child = self.spawn(log.path());
        std::thread::sleep(delay);
        kill(&mut child);
    }

    fn spawn(&self, log: &Path) -> Child {
        let out = File::options().create(true).append(true).open(log).expect("the log file");
        let err = out.try_clone().expect("the log file");
        self.command()
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap_or_else(|why| panic!("start {}: {why}", self.program().display()))
    }
}

/// A running daemon. Dropping it kills it.
pub struct Daemon {
    /// How it was started.
    pub settings: Settings,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts a daemon and waits until it serves.
    ///
    /// # Panics
    /// When it ends or does not serve in time; with its log.
    pub async fn start(settings: Settings) -> (Self, Stubs) {
        let mut daemon = Self::spawn(settings);
        let stubs = daemon.serves().await;
        (daemon, stubs)
    }

    /// Starts a daemon and waits for nothing: one of a cluster serves when others run.
    pub fn spawn(settings: Settings) -> Self {
        let log = settings.data.with_extension("log");
        let child = settings.spawn(&log);
        Self { settings, child, log }
    }

    /// Waits until it serves.
    ///
    /// # Panics
    /// When it ends or does not serve in time; with its log.
    pub async fn serves(&mut self) -> Stubs {
        let address = self.settings.address().to_string();
        let start = Instant::now();
        loop {
            match Stubs::connect(&address, Duration::ZERO).await {
                Ok(stubs) => return stubs,
                Err(why) => {
                    let ended = self.child.try_wait().expect("ask for the process");
                    if let Some(status) = ended {
                        panic!("the daemon ended while it started, {status}:\n{}", self.log());
                    }
                    if start.elapsed() > START_PATIENCE {
                        panic!("the daemon does not serve: {why}\n{}", self.log());
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        }
    }

    /// As [`Self::start`]; none when it ends instead of serving.
    ///
    /// # Panics
    /// When it does neither in time.
    pub async fn try_start(settings: Settings, patience: Duration) -> Option<(Self, Stubs)> {
        let log = settings.data.with_extension("log");
        let child = settings.spawn(&log);
        let mut daemon = Self { settings, child, log };
        let address = daemon.settings.address().to_string();
        let start = Instant::now();
        loop {
            if let Ok(stubs) = Stubs::connect(&address, Duration::ZERO).await {
                return Some((daemon, stubs));
            }
            if daemon.ended().is_some() {
                return None;
            }
            assert!(start.elapsed() < patience, "neither serves nor ends:\n{}", daemon.log());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// `kill -9`, and waits until the process is gone.
    pub fn kill(mut self) -> Settings {
        kill(&mut self.child);
        self.settings.clone()
    }

    /// SIGTERM, and waits for the end: how long it took, and how it ended.
    ///
    /// # Panics
    /// When it still runs after twenty seconds.
    pub fn terminate(mut self) -> (Duration, ExitStatus) {
        let start = Instant::now();
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().expect("run kill");
        assert!(sent.success(), "kill -TERM {id}: {sent}");
        loop {
            if let Some(status) = self.child.try_wait().expect("ask for the process") {
                return (start.elapsed(), status);
            }
            assert!(start.elapsed() < Duration::from_secs(20), "ignores SIGTERM:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Sends a signal by its name, such as `STOP`.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &id]).status().expect("run kill");
        assert!(sent.success(), "kill -{name} {id}: {sent}");
    }

    /// How it ended, when it ended by itself by now.
    ///
    /// # Panics
    /// When the system does not tell.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("ask for the process")
    }

    /// Waits until it ends by itself: how, and all it said.
    ///
    /// # Panics
    /// When it still runs after `patience`.
    pub async fn ends(mut self, patience: Duration) -> (ExitStatus, String, Settings) {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return (status, self.log(), self.settings.clone());
            }
            assert!(start.elapsed() < patience, "still running after {patience:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Resident memory in bytes.
    ///
    /// # Panics
    /// Where `/proc` does not tell.
    pub fn resident(&self) -> u64 {
        let status = read(Path::new(&format!("/proc/{}/status", self.child.id())));
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("VmRSS in /proc");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB") << 10
    }

    /// Files and sockets that it has open.
    ///
    /// # Panics
    /// Where `/proc` does not tell.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("fd in /proc").count()
    }

    /// Everything it has said so far.
    pub fn log(&self) -> String {
        read(&self.log)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        kill(&mut self.child);
        if std::thread::panicking() {
            let log = self.log();
            let from = log.char_indices().rev().nth(8_000).map_or(0, |(at, _)| at);
            eprintln!("--- end of the daemon's log ---\n{}", &log[from..]);
        }
    }
}

fn kill(child: &mut Child) {
    // it may have ended by itself
    let _ = child.kill();
    let _ = child.wait();
}

fn read(path: &Path) -> String {
    std::fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
}

/// Ports nobody listens on at the moment, each given once by this process. They lie below those that the system gives to outgoing
/// connections, which would take them while a member is down.
///
/// # Panics
/// When there are none.
pub fn free_ports<const N: usize>() -> [u16; N] {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 22_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // processes of tests that run at one time begin in different places
    let start = std::process::id().wrapping_mul(211);
    let is_free = |port: &u16| {
        let address = (Ipv4Addr::LOCALHOST, *port);
        TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
    };
    let mut ports = (0..COUNT).map(|_| {
        let at = start.wrapping_add(NEXT.fetch_add(1, Relaxed)) % COUNT;
        u16::try_from(FIRST + at).expect("a port has 16 bits")
    });
    [(); N].map(|()| ports.find(is_free).expect("a free port"))
}

/// The daemon's binary: what `make test` built, or what lies in the build folder.
///
/// # Panics
/// When there is none: with what to do.
pub fn binary() -> PathBuf {
    if let Some(given) = std::env::var_os("CONCLAVE_BIN") {
        return given.into();
    }
    // test binaries lie in <target>/<profile>/deps
    let own = std::env::current_exe().expect("the test's own path");
    let target = own.ancestors().nth(3).expect("a build folder");
    let built = |path: &PathBuf| path.metadata().and_then(|file| file.modified()).ok();
    // the newest: an older one may be of other code
    let found = ["release", "dist", "debug"].map(|profile| target.join(profile).join("conclave")).into_iter();
    let found = found.filter(|path| path.is_file()).max_by_key(built);
    found.unwrap_or_else(|| {
        panic!("no daemon in {}: run `make test`, or `cargo build -p conclave`, or set CONCLAVE_BIN", target.display())
    })
}
