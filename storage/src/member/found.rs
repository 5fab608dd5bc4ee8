//! What the members of a new cluster start from, be its store empty or restored.
//!
//! Must never use anything but the cluster's description: every member computes the same start on its own.

use super::cluster::{ClusterError, InitialMember};
use super::ids::{cluster_id, member_id};
use crate::apply::{Bootstrap, MemberIds, MemberRow};
use crate::disk::Disk;
use crate::wal::{Start, Wal, WalConfig, WalError, WalMeta};
use raft::{ConfState, HardState, LogId};
use std::path::Path;
use std::sync::Arc;

/// A new cluster, as one of its members sees it.
#[derive(Clone, Copy, Debug)]
pub struct Founders<'a> {
    /// All members.
    pub cluster: &'a [InitialMember],
    /// Makes ids of otherwise equal clusters different.
    pub token: &'a str,
    /// Name of this member.
    pub name: &'a str,
}

/// Members of a new cluster all start from the same store: one entry per member is taken as applied, in term 1.
///
/// # Errors
/// [`ClusterError::NotInCluster`].
pub fn founders(new: Founders<'_>) -> Result<Bootstrap, ClusterError> {
    let members: Vec<(u64, MemberRow)> = new
        .cluster
        .iter()
        .map(|member| {
            let row = MemberRow { peer_urls: member.peer_urls.clone(), ..MemberRow::default() };
            (member_id(&member.peer_urls, new.token), row)
        })
        .collect();
    let own = new.cluster.iter().position(|m| m.name == new.name);
    let own = own.ok_or_else(|| ClusterError::NotInCluster(new.name.to_owned()))?;
    let mut voters: Vec<u64> = members.iter().map(|(id, _)| *id).collect();
    let identity = MemberIds { cluster_id: cluster_id(&voters), member_id: voters[own] };
    voters.sort_unstable();
    let applied = LogId { term: 1, index: voters.len() as u64 };
    let conf_state = ConfState { voters, ..ConfState::default() };
    Ok(Bootstrap { identity, applied, conf_state, members })
}

/// What a member starts from that joins a running cluster under this identity: nothing applied, and no membership. It learns
/// both from the leader, nearly always by a snapshot, because the log of a cluster begins behind its founders.
pub fn joiner(identity: MemberIds) -> Bootstrap {
    Bootstrap { identity, applied: LogId::default(), conf_state: ConfState::default(), members: Vec::new() }
}

/// Makes the log that belongs to such a start, of segments of these sizes, with the hard state it was made with. `log_id` is
/// random.
///
/// # Errors
/// [`WalError`].
pub fn create_log(
    disk: Arc<dyn Disk>,
    dir: &Path,
    config: WalConfig,
    first: &Bootstrap,
    log_id: u64,
) -> Result<(Wal, WalMeta, HardState), WalError> {
    let at = first.applied;
    let identity = first.identity;
    let meta = WalMeta { cluster: identity.cluster_id, member: identity.member_id, log_id };
    let hard_state = HardState { term: at.term, vote: 0, commit: at.index };
    let wal = Wal::create(disk, dir, config, meta, Start { at, hard_state })?;
    Ok((wal, meta, hard_state))
}
