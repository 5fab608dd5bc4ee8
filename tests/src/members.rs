//! Several members of one cluster in this process, over sockets or without.
//!
//! Must never wait for a member alone to serve while the others have not been started: it cannot.

use crate::daemon::free_ports;
use crate::server::quick_config;
use embed::{Config, InitialMember, LocalNetwork, Node, PeerNetwork};
use futures_util::future::join_all;
use std::path::Path;

/// How the members reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// QUIC on loopback.
    Sockets,
    /// Queues of this process.
    Queues,
}

/// Configurations of `count` members `m1`, `m2` …, in folders below `dir`.
pub fn configs(dir: &Path, count: usize, over: Over) -> Vec<Config> {
    let network = LocalNetwork::default();
    let peers: Vec<InitialMember> = (1..=count)
        .map(|number| {
            let [port] = free_ports();
            InitialMember { name: format!("m{number}"), peer_urls: vec![format!("http://127.0.0.1:{port}")] }
        })
        .collect();
    let one = |member: &InitialMember| Config {
        initial_cluster: peers.clone(),
        peer_network: match over {
            Over::Sockets => PeerNetwork::Sockets,
            Over::Queues => PeerNetwork::InProcess(network.clone()),
        },
        peer_urls: member.peer_urls.clone(),
        connection_threads: 1,
        ..quick_config(&member.name, &dir.join(&member.name))
    };
    peers.iter().map(one).collect()
}

/// Starts them all, and waits until all serve.
///
/// # Panics
/// When one does not start.
pub async fn start(configs: &[Config]) -> Vec<Node> {
    let starts = configs.iter().map(|config| async {
        Node::start(config.clone()).await.unwrap_or_else(|why| panic!("{} does not start: {why}", config.name))
    });
    join_all(starts).await
}
