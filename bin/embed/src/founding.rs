//! What a member without data starts from: a new cluster, or one that runs already. Others are asked, over their peer ports.
//!
//! Must never let a member begin anew that ran before: it may have voted, and acknowledged, what it has forgotten.

use crate::config::{Config, InitialState, PeerNetwork};
use crate::version::refuse_older;
use net::peer::http::ask::{self, RemoteCluster};
use net::peer::tls::PeerTls;
use std::time::Duration;
use storage::apply::{Bootstrap, MemberIds, MemberRow};
use storage::member::{ClusterError, Founders, RunningCluster, founders, joiner, refuse_bootstrapped};

/// Patience with a member of a new cluster, which may not have started yet.
const GUARD_PATIENCE: Duration = Duration::from_secs(1);
/// Patience with a member of the cluster that is to be joined.
const JOIN_PATIENCE: Duration = Duration::from_secs(10);

/// Decides what a first start is. Resolves after 1 s per member that does not answer, or 10 s in a cluster that is to be joined.
///
/// # Errors
/// [`ClusterError`].
pub(crate) async fn first_start(config: &Config, tls: &PeerTls) -> Result<Bootstrap, ClusterError> {
    let new = Founders { cluster: &config.initial_cluster, token: &config.initial_cluster_token, name: &config.name };
    match config.initial_state {
        InitialState::New => {
            let start = founders(new)?;
            if let Ok(remote) = ask_others(config, tls, GUARD_PATIENCE).await {
                refuse_bootstrapped(start.identity.member_id, &running(remote))?;
            }
            Ok(start)
        }
        InitialState::Existing => {
            let remote = ask_others(config, tls, JOIN_PATIENCE).await.map_err(ClusterError::NoAnswer)?;
            refuse_older(config.version, &remote.version).map_err(|why| ClusterError::TooOld(why.to_string()))?;
            let running = running(remote);
            // URLs that differ by text are resolved, which blocks
            let (cluster, token, name) =
                (config.initial_cluster.clone(), config.initial_cluster_token.clone(), config.name.clone());
            let judged = tokio::task::spawn_blocking(move || {
                joiner(Founders { cluster: &cluster, token: &token, name: &name }, &running)
            });
            judged.await.unwrap_or_else(|_| Err(ClusterError::NoAnswer("the start was interrupted".to_owned())))
        }
    }
}

/// Who the members of the cluster are, for a member whose store cannot say it and that is to be rebuilt.
///
/// # Errors
/// [`ClusterError::NoAnswer`], also when it is another cluster that answers, or one without this member.
pub(crate) async fn members_of(
    own: MemberIds,
    config: &Config,
    tls: &PeerTls,
) -> Result<Vec<(u64, MemberRow)>, ClusterError> {
    let refused = |why: String| ClusterError::NoAnswer(format!("{why}; --initial-cluster must name members that run"));
    let remote = ask_others(config, tls, JOIN_PATIENCE).await.map_err(refused)?;
    let RunningCluster { cluster_id, members } = running(remote);
    if cluster_id != own.cluster_id {
        return Err(refused(format!("this member is of cluster {:x}, cluster {cluster_id:x} answers", own.cluster_id)));
    }
    if members.iter().all(|(id, _)| *id != own.member_id) {
        return Err(refused(format!("member {:x} was removed from the cluster", own.member_id)));
    }
    Ok(members)
}

/// The first list of members that one of the others gives.
async fn ask_others(config: &Config, tls: &PeerTls, patience: Duration) -> Result<RemoteCluster, String> {
    if let PeerNetwork::InProcess(_) = config.peer_network {
        return Err("members of one process have no peer ports".to_owned());
    }
    let others = config.initial_cluster.iter().filter(|member| member.name != config.name);
    let mut urls: Vec<&String> = others.flat_map(|member| &member.peer_urls).collect();
    urls.sort_unstable();
    let mut refused = Vec::new();
    for url in urls {
        match ask::members(url, tls, config.peer_local_address, patience).await {
            Ok(remote) if remote.members.is_empty() => refused.push(format!("{url} has no members yet")),
            Ok(remote) => return Ok(remote),
            Err(why) => {
                tracing::debug!(url, error = %why, "asked for the members of the cluster");
                refused.push(why.to_string());
            }
        }
    }
    Err(refused.join("; "))
}

fn running(remote: RemoteCluster) -> RunningCluster {
    let members = remote.members.into_iter().map(|member| {
        let row = MemberRow { name: member.name, peer_urls: member.peer_urls, client_urls: member.client_urls };
        (member.id, row)
    });
    RunningCluster { cluster_id: remote.cluster, members: members.collect() }
}
