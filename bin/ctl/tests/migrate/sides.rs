//! Two clusters and the tool between them, each a process that can be killed.

use conclave_client::{Client, EventKind};
use harness::Daemon;
use harness::daemon::Settings;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest that anything may take.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A member that can be killed and started again.
pub struct Side {
    settings: Settings,
    daemon: Option<Daemon>,
}

/// Both sides.
pub struct Sides {
    /// Where from.
    pub source: Side,
    /// Where to.
    pub destination: Side,
    /// A folder for everything.
    pub dir: tempfile::TempDir,
    runs: usize,
}

/// The tool at work. Dropping it kills it.
pub struct Run {
    child: Child,
    log: PathBuf,
}

impl Side {
    async fn start(dir: &std::path::Path, name: &str, variable: &str) -> Self {
        let mut settings = Settings::new(dir.join(name));
        settings.flags.push("--bcrypt-cost=4".into());
        if let Some(other) = std::env::var_os(variable) {
            // another binary in the place of ours, with the same flags
            let script = format!("shift; exec {} \"$@\"", other.to_string_lossy());
            settings.within = ["sh", "-c", &script, "sh"].map(str::to_owned).to_vec();
        }
        let (daemon, _) = Daemon::start(settings.clone()).await;
        Self { settings, daemon: Some(daemon) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.settings.address())
    }

    /// A client that gives up after a second, and is fast to notice a member that is gone.
    pub async fn client(&self) -> Client {
        let client = Client::builder([self.url()]).timeout(Some(Duration::from_secs(5)));
        client.keepalive(Duration::from_secs(2), Duration::from_secs(1)).connect().await.expect("a client")
    }

    /// `kill -9`, and started again.
    pub async fn kill(&mut self, pause: Duration) {
        self.daemon.take().expect("it runs").kill();
        tokio::time::sleep(pause).await;
        let (daemon, _) = Daemon::start(self.settings.clone()).await;
        self.daemon = Some(daemon);
    }
}

impl Sides {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let source = Side::start(dir.path(), "source", "MIGRATE_SOURCE").await;
        let destination = Side::start(dir.path(), "destination", "MIGRATE_DESTINATION").await;
        Self { source, destination, dir, runs: 0 }
    }

    /// Starts `conclavectl COMMAND FLAGS DESTINATION`, from the source.
    pub fn tool(&mut self, command: &str, flags: &[&str]) -> Run {
        self.runs += 1;
        let log = self.dir.path().join(format!("{command}-{}.log", self.runs));
        let out = File::create(&log).expect("a file for the log");
        let child = Command::new(env!("CARGO_BIN_EXE_conclavectl"))
            .arg(format!("--endpoints={}", self.source.url()))
            .args(["--keepalive-time=2s", "--keepalive-timeout=1s", command])
            .args(flags)
            .arg(self.destination.url())
            .stdin(Stdio::null())
            .stderr(out.try_clone().expect("the log file"))
            .stdout(out)
            .spawn()
            .expect("start conclavectl");
        Run { child, log }
    }

    /// Migrates to the end.
    pub fn finish(&mut self, flags: &[&str]) -> String {
        let run = self.tool("migrate", &[&["--finish", "--quiet-for=300ms"], flags].concat());
        let (code, said) = run.end();
        assert_eq!(code, Some(0), "{said}");
        said
    }
}

impl Run {
    /// Waits for the end: exit code, and all it said.
    pub fn end(mut self) -> (Option<i32>, String) {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("ask for the process") {
                return (status.code(), self.said());
            }
            assert!(start.elapsed() < PATIENCE, "still running:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until it says this.
    pub async fn says(&mut self, text: &str) {
        let start = Instant::now();
        while !self.said().contains(text) {
            let ended = self.child.try_wait().expect("ask for the process");
            assert!(ended.is_none() && start.elapsed() < PATIENCE, "{ended:?}, never said {text:?}:\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).expect("its log")
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("ask for the process").is_none()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let sent = Command::new("kill").arg(self.child.id().to_string()).status().expect("run kill");
        assert!(sent.success());
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the tool said ---\n{}", self.said());
        }
    }
}

/// Every key with its value and lease.
pub async fn content(client: &Client) -> Vec<(String, String, i64)> {
    let found = client.get("").prefix().await.expect("every key");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    found.kvs.iter().map(|kv| (text(&kv.key), text(&kv.value), kv.lease)).collect()
}

/// Every change from revision 2 on: kind, key and value, without what tools write for themselves.
pub async fn history(client: &Client) -> Vec<(bool, String, String)> {
    let now = client.get("none").await.expect("an answer").revision;
    let mut watcher = client.watch("").prefix().since(2).await.expect("a watch");
    let (mut seen, mut reached) = (Vec::new(), 1);
    while reached < now {
        let changes = watcher.next().await.expect("it goes on").expect("nothing is compacted");
        reached = changes.revision;
        for event in changes.events.into_iter().filter(|event| !event.kv.key.starts_with(b"\0")) {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            seen.push((event.kind == EventKind::Put, text(&event.kv.key), text(&event.kv.value)));
        }
    }
    seen
}
