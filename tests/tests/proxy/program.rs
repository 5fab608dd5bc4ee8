//! A proxy as a process, and the runtime that its test runs in.

use harness::daemon::{binary, free_ports};
use harness::{Stubs, until};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A running proxy. Dropping it kills it.
pub struct Program {
    child: Child,
    log: PathBuf,
    /// Where it serves.
    pub address: SocketAddr,
    _dir: TempDir,
}

impl Program {
    /// Starts a proxy before these endpoints, and waits until it serves.
    pub async fn start(kind: &str, endpoints: &[SocketAddr], flags: &[&str]) -> Self {
        let [port] = free_ports();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let dir = TempDir::new().expect("a folder");
        let log = dir.path().join("log");
        let out = File::create(&log).expect("a log");
        let endpoints: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
        let child = Command::new(binary())
            .args([kind, "start", "--listen-addr", &address.to_string(), "--endpoints", &endpoints.join(",")])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(out)
            .spawn()
            .expect("start a proxy");
        let mut program = Self { child, log, address, _dir: dir };
        until("a proxy that serves", async || {
            let ended = program.child.try_wait().expect("ask for the process");
            assert!(ended.is_none(), "the proxy ended: {}", program.said());
            tokio::net::TcpStream::connect(address).await.ok()
        })
        .await;
        program
    }

    /// A connection to it.
    pub async fn stubs(&self) -> Stubs {
        Stubs::connect(&self.address.to_string(), Duration::from_secs(10)).await.expect("connect to the proxy")
    }

    /// Everything it has said so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the proxy ---\n{}", self.said());
        }
    }
}

/// Runs a proxy that is expected to end by itself: its exit code, and what it said.
pub fn refused(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(binary()).args(args).stdin(Stdio::null()).output().expect("run a proxy");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Runs a test.
pub fn in_runtime(test: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let patience = Duration::from_secs(150);
    runtime.block_on(async { tokio::time::timeout(patience, test).await.expect("the test hangs") });
}
