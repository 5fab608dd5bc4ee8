//! What is compared: a node in this process, the daemon, or a server somebody else started.
//!
//! Must never leave a server of its own behind.

use super::client::Client;
use super::generate::STREAMS;
use crate::Server;
use crate::daemon::{Daemon, Settings as DaemonSettings};
use api::etcdserverpb::ResponseHeader;
use std::time::Duration;
use tempfile::TempDir;

/// Time after which an idle watcher is told of progress, where the server is ours.
const NOTICE: Duration = Duration::from_millis(100);

/// A kind of server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A node in this process.
    Embedded,
    /// The daemon as a process.
    Daemon,
    /// `host:port` of a running server whose keys, leases and history nobody needs any more.
    Endpoint(String),
}

/// A running server.
pub(super) struct Running {
    address: String,
    fresh: bool,
    min_lease_ttl: i64,
    notice: Option<Duration>,
    /// None only while it is restarted.
    server: Option<Own>,
}

/// What has to be ended afterwards.
enum Own {
    Node(Box<Server>),
    Process(Box<Process>),
    Other,
}

/// The daemon is killed before its folder is removed.
struct Process {
    daemon: Daemon,
    folder: TempDir,
}

fn quick_notices(config: &mut embed::Config) {
    config.watch_progress = NOTICE;
}

impl Target {
    /// Starts a server, or finds the one that runs.
    pub(super) async fn start(&self) -> Running {
        match self {
            Self::Embedded => {
                let server = Server::start(quick_notices).await;
                let address = server.address().to_string();
                Running {
                    address,
                    fresh: true,
                    min_lease_ttl: 1,
                    notice: Some(NOTICE),
                    server: Some(Own::Node(Box::new(server))),
                }
            }
            Self::Daemon => {
                let folder = TempDir::new().expect("a temporary folder");
                let mut settings = DaemonSettings::new(folder.path().join("data"));
                settings.flags = vec!["--watch-progress-notify-interval=100ms".into()];
                let address = settings.address().to_string();
                let (daemon, _) = Daemon::start(settings).await;
                let server = Some(Own::Process(Box::new(Process { daemon, folder })));
                Running { address, fresh: true, min_lease_ttl: 2, notice: Some(NOTICE), server }
            }
            Self::Endpoint(address) => Running {
                address: address.clone(),
                fresh: false,
                min_lease_ttl: 2,
                notice: None,
                server: Some(Own::Other),
            },
        }
    }
}

impl Running {
    /// True the first time it is asked of a server that was made for this run: nothing has been written yet.
    pub(super) fn take_fresh(&mut self) -> bool {
        std::mem::take(&mut self.fresh)
    }

    /// Seconds that a lease lasts at least.
    pub(super) fn min_lease_ttl(&self) -> i64 {
        self.min_lease_ttl
    }

    /// Time after which an idle watcher is told of progress; unknown where the settings are somebody else's.
    pub(super) fn notice(&self) -> Option<Duration> {
        self.notice
    }

    /// A client of it.
    ///
    /// # Errors
    /// When nobody listens.
    pub(super) async fn connect(&self) -> Result<Client, String> {
        Client::connect(&self.address, STREAMS).await
    }

    /// The header of an answer made now.
    ///
    /// # Errors
    /// When there is none.
    pub(super) async fn header(&self, client: &Client) -> Result<ResponseHeader, String> {
        let probe = client.probe().await.map_err(|why| format!("{why:?}"))?;
        probe.header.ok_or_else(|| "an answer without a header".into())
    }

    /// True when it may be ended and started.
    pub(super) fn is_ours(&self) -> bool {
        !matches!(self.server, Some(Own::Other))
    }

    /// Ends it and starts it again in its folder; a process is killed.
    pub(super) async fn restart(&mut self) {
        self.server = match self.server.take() {
            Some(Own::Node(server)) => {
                let server = Server::start_in(server.stop().await, quick_notices).await;
                self.address = server.address().to_string();
                Some(Own::Node(Box::new(server)))
            }
            Some(Own::Process(process)) => {
                let Process { daemon, folder } = *process;
                let (daemon, _) = Daemon::start(daemon.kill()).await;
                Some(Own::Process(Box::new(Process { daemon, folder })))
            }
            other => other,
        };
    }

    /// Ends the server if it is ours.
    pub(super) async fn stop(self) {
        if let Some(Own::Node(server)) = self.server {
            drop(server.stop().await);
        }
    }
}
