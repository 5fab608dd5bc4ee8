//! What is compared: a node in this process, the daemon, or a server somebody else started.
//!
//! Must never leave a server of its own behind.

use super::client::Client;
use super::epoch::Epoch;
use super::generate::STREAMS;
use super::judge::Judge;
use super::rules::Rules;
use crate::daemon::{Daemon, Settings as DaemonSettings};
use crate::spec::{History, Settings, Spec};
use crate::{Server, request};
use api::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, LeaseLeasesRequest, LeaseRevokeRequest, PutRequest, RangeRequest,
};
use bytes::Bytes;
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
    server: Own,
}

/// What has to be ended afterwards.
enum Own {
    Node(Box<Server>),
    Process(#[expect(dead_code, reason = "held until the end")] Process),
    Other,
}

/// The daemon is killed before its folder is removed.
#[expect(dead_code, reason = "held until the end")]
struct Process {
    daemon: Daemon,
    folder: TempDir,
}

impl Target {
    /// Starts a server, or finds the one that runs.
    pub(super) async fn start(&self) -> Running {
        match self {
            Self::Embedded => {
                let server = Server::start(|config| config.watch_progress = NOTICE).await;
                let address = server.address().to_string();
                Running {
                    address,
                    fresh: true,
                    min_lease_ttl: 1,
                    notice: Some(NOTICE),
                    server: Own::Node(Box::new(server)),
                }
            }
            Self::Daemon => {
                let folder = TempDir::new().expect("a temporary folder");
                let mut settings = DaemonSettings::new(folder.path().join("data"));
                settings.flags = vec!["--watch-progress-notify-interval=100ms".into()];
                let address = settings.address().to_string();
                let (daemon, _) = Daemon::start(settings).await;
                let server = Own::Process(Process { daemon, folder });
                Running { address, fresh: true, min_lease_ttl: 2, notice: Some(NOTICE), server }
            }
            Self::Endpoint(address) => {
                Running { address: address.clone(), fresh: false, min_lease_ttl: 2, notice: None, server: Own::Other }
            }
        }
    }
}

impl Running {
    /// A new epoch: a new client, and an empty keyspace.
    ///
    /// # Errors
    /// When the server does not answer as it must even here.
    pub(super) async fn epoch(&mut self, rules: Rules) -> Result<Epoch, String> {
        let client = Client::connect(&self.address, STREAMS).await?;
        let fresh = std::mem::take(&mut self.fresh);
        let history = if fresh { History::new() } else { wipe(&client).await? };
        let probe = client.probe().await.map_err(|why| format!("{why:?}"))?;
        let header = probe.header.ok_or("an answer without a header")?;
        if header.revision != history.revision {
            return Err(format!("revision {} at the beginning, expected {}", header.revision, history.revision));
        }
        let settings = Settings { max_txn_ops: 128, min_lease_ttl: self.min_lease_ttl };
        Ok(Epoch::new(client, Spec::new(settings, history), Judge::new(rules, &header), self.notice))
    }

    /// True when nothing but a restart brings back revision one.
    pub(super) fn is_ours(&self) -> bool {
        !matches!(self.server, Own::Other)
    }

    /// Ends the server if it is ours.
    pub(super) async fn stop(self) {
        if let Own::Node(server) = self.server {
            drop(server.stop().await);
        }
    }
}

/// Removes every key and lease, and hides the past with a compaction. The key that is written for that leaves its tombstone.
async fn wipe(client: &Client) -> Result<History, String> {
    let text = |why: tonic::Status| format!("emptying the keyspace: {why:?}");
    let (mut kv, mut lease) = (client.stubs.kv.clone(), client.stubs.lease.clone());
    for known in lease.lease_leases(LeaseLeasesRequest {}).await.map_err(text)?.into_inner().leases {
        lease.lease_revoke(LeaseRevokeRequest { id: known.id }).await.map_err(text)?;
    }
    let zero = Bytes::from_static(&[0]);
    let all = DeleteRangeRequest { key: zero.clone(), range_end: zero, prev_kv: false };
    kv.delete_range(all).await.map_err(text)?;
    let key = Bytes::from_static(b"a");
    kv.put(PutRequest { key: key.clone(), ..PutRequest::default() }).await.map_err(text)?;
    let gone = kv.delete_range(request::delete(&key, "")).await.map_err(text)?.into_inner();
    let revision = gone.header.map_or(0, |h| h.revision);
    kv.compact(CompactionRequest { revision, physical: true }).await.map_err(text)?;
    let left = kv.range(RangeRequest { count_only: true, ..request::all() }).await.map_err(text)?.into_inner();
    if left.count != 0 {
        return Err(format!("{} keys are left after everything was deleted", left.count));
    }
    let mut history = History::at(revision - 1, revision);
    history.delete(&key);
    history.end();
    Ok(history)
}
