//! A server process whose memory is watched: ours, or an etcd for comparison.
//!
//! Must never judge: it tells what the kernel says.

use crate::daemon::{Settings, binary};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Which server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ours.
    Conclave,
    /// An etcd binary.
    Etcd(PathBuf),
}

/// A running server.
pub struct Target {
    /// Where it serves.
    pub address: std::net::SocketAddr,
    child: Child,
    cgroup: Option<PathBuf>,
    folder: tempfile::TempDir,
}

/// Bytes of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident now.
    pub now: u64,
    /// Most that was resident since [`Target::forget_peak`].
    pub peak: u64,
}

impl Target {
    /// Starts one. With a limit it is started in a memory cgroup of its own, where this process may make one: beyond the limit the
    /// kernel kills it.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(kind: &Kind, limit: Option<u64>, flags: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("ceiling").tempdir().expect("a folder");
        let settings = Settings::new(folder.path().join("data"));
        let program = match kind {
            Kind::Conclave => binary(),
            Kind::Etcd(path) => path.clone(),
        };
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let cgroup = limit.and_then(cgroup);
        let mut command = match &cgroup {
            Some(group) => {
                let mut shell = Command::new("sh");
                let procs = group.join("cgroup.procs");
                shell.arg("-c").arg("echo $$ > \"$0\" && exec \"$@\"").arg(procs).arg(program);
                shell
            }
            None => Command::new(program),
        };
        command.arg("--name").arg("default").arg("--data-dir").arg(&settings.data).arg("--log-level").arg("error");
        for name in ["listen-client-urls", "advertise-client-urls"] {
            command.arg(format!("--{name}={}", url(settings.client)));
        }
        for name in ["listen-peer-urls", "initial-advertise-peer-urls"] {
            command.arg(format!("--{name}={}", url(settings.peer)));
        }
        command.arg(format!("--initial-cluster=default={}", url(settings.peer)));
        // requests are given up after 45 seconds: how fast the disk is has nothing to do with memory
        command.args(["--heartbeat-interval=1000", "--election-timeout=20000"]);
        command.arg("--quota-backend-bytes=17179869184").args(flags);
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        let child = command.spawn().expect("start the server");
        let target = Self { address: settings.address(), child, cgroup, folder };
        let start = Instant::now();
        while crate::Stubs::connect(&target.address.to_string(), Duration::ZERO).await.is_err() {
            assert!(start.elapsed() < Duration::from_secs(60), "does not serve: {}", target.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        target
    }

    /// True when the kernel bounds its memory.
    pub fn is_limited(&self) -> bool {
        self.cgroup.is_some()
    }

    /// What it holds now, and the most it held.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn memory(&self) -> Memory {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("/proc");
        let line = |name: &str| {
            let line =
                status.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_else(|| panic!("dead: {}", self.log()));
            line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB") << 10
        };
        Memory { now: line("VmRSS:"), peak: line("VmHWM:") }
    }

    /// Starts a new peak.
    pub fn forget_peak(&self) {
        // five resets the peak; where it may not be written, peaks of earlier steps stay in the figure
        let _ = std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5");
    }

    /// Seconds of processor time it has used.
    pub fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let after = stat.rsplit(')').next().unwrap_or_default();
        let ticks = |n: usize| after.split_whitespace().nth(n).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
        (ticks(11) + ticks(12)) / 100.0
    }

    /// What it said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(group) = &self.cgroup {
            let _ = std::fs::remove_dir(group);
        }
    }
}

/// An empty group with a limit, by either version of the interface; `None` where that is not allowed.
fn cgroup(limit: u64) -> Option<PathBuf> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Relaxed);
    let name = format!("conclave-ceiling-{}-{number}", std::process::id());
    let tries = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
    tries.into_iter().find_map(|(root, file)| {
        let group = Path::new(root).join(&name);
        std::fs::create_dir(&group).ok()?;
        let set = std::fs::write(group.join(file), limit.to_string());
        if set.is_err() {
            let _ = std::fs::remove_dir(&group);
        }
        set.is_ok().then_some(group)
    })
}
