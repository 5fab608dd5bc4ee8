//! The embedded node in the test's own process, on a free port, with its folder.
//!
//! Must never share anything between two servers.

use crate::Stubs;
use embed::{Config, Node};
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// Longest a whole test may take.
const TEST_PATIENCE: Duration = Duration::from_secs(120);

/// A node, its folder and a connection to it.
pub struct Server {
    /// The node.
    pub node: Node,
    /// Stubs on a connection of their own.
    pub stubs: Stubs,
    dir: TempDir,
}

/// Settings of a test's node: a free port and quick elections (which also make leases of one second possible).
pub fn quick_config(name: &str, dir: &Path) -> Config {
    Config {
        client_urls: vec!["http://127.0.0.1:0".into()],
        heartbeat: Duration::from_millis(20),
        election: Duration::from_millis(200),
        ..Config::new(name, dir)
    }
}

impl Server {
    /// Starts a node in a new folder.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(adjust: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(TempDir::new().expect("a temporary folder"), adjust).await
    }

    /// Starts a node in this folder.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_in(dir: TempDir, adjust: impl FnOnce(&mut Config)) -> Self {
        let mut config = quick_config("default", dir.path());
        adjust(&mut config);
        let node = Node::start(config).await.unwrap_or_else(|why| panic!("the node does not start: {why}"));
        let address = node.addresses()[0].to_string();
        let stubs = Stubs::connect(&address, Duration::from_secs(5)).await.expect("connect to the embedded node");
        Self { node, stubs, dir }
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.node.addresses()[0]
    }

    /// Stops it and keeps the folder.
    pub async fn stop(self) -> TempDir {
        self.node.stop().await;
        self.dir
    }
}

/// Runs a test inside an actix system, and fails it when it hangs.
///
/// # Panics
/// When the test takes longer than two minutes.
pub fn in_system<T>(test: impl Future<Output = T>) -> T {
    actix_rt::System::new().block_on(async {
        match tokio::time::timeout(TEST_PATIENCE, test).await {
            Ok(done) => done,
            Err(_) => panic!("the test hangs: it took longer than {TEST_PATIENCE:?}"),
        }
    })
}

/// Runs a test against a new embedded node with default settings.
pub fn on_server(test: impl AsyncFnOnce(&Server)) {
    on_server_with(|_| (), test);
}

/// Runs a test against a new embedded node.
pub fn on_server_with(adjust: impl FnOnce(&mut Config), test: impl AsyncFnOnce(&Server)) {
    in_system(async move {
        let server = Server::start(adjust).await;
        test(&server).await;
        server.stop().await;
    });
}
