//! What the members of a new cluster start from, be its store empty or restored.
//!
//! Must never use anything but the cluster's description: every member computes the same start on its own.

use super::cluster::{ClusterError, InitialMember, same};
use super::ids::{cluster_id, member_id};
use crate::apply::{Bootstrap, MemberIds, MemberRow};
use crate::disk::Disk;
use crate::wal::{Start, Wal, WalConfig, WalError, WalMeta};
use model::mutant::{self, Mutant};
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

/// A cluster that runs, as one of its members lists it.
#[derive(Clone, Debug, Default)]
pub struct RunningCluster {
    /// Its id.
    pub cluster_id: u64,
    /// Its members by id.
    pub members: Vec<(u64, MemberRow)>,
}

/// A member of a new cluster must not be one that ran already, as others may know: its votes and its part of the log would be forgotten.
///
/// # Errors
/// [`ClusterError::Bootstrapped`].
pub fn refuse_bootstrapped(member: u64, running: &RunningCluster) -> Result<(), ClusterError> {
    // whoever has published where clients reach it has run
    let has_run = running.members.iter().any(|(id, row)| *id == member && !row.client_urls.is_empty());
    if has_run && !mutant::on(Mutant::Refounding) { Err(ClusterError::Bootstrapped(member)) } else { Ok(()) }
}

/// What a member that was added to a running cluster starts from: an empty store without a membership, which it learns from the
/// leader's snapshot, and the members it was told of, so that it can reach them until then. Asks name servers where URLs differ by text.
///
/// # Errors
/// [`ClusterError`], when the running cluster is not the one that is described, or this member ran before.
pub fn joiner(new: Founders<'_>, running: &RunningCluster) -> Result<Bootstrap, ClusterError> {
    let unlike = |why: String| {
        let members: Vec<_> =
            running.members.iter().map(|(id, row)| format!("{id:x}={}", row.peer_urls.join(","))).collect();
        ClusterError::Unlike { running: members.join(" "), why }
    };
    if running.members.len() != new.cluster.len() {
        return Err(unlike("member count is unequal".to_owned()));
    }
    let mut own = None;
    for (id, row) in &running.members {
        let found = new.cluster.iter().find(|member| same(&member.peer_urls, &row.peer_urls));
        let found = found.ok_or_else(|| {
            unlike(format!("PeerURLs: no match found for existing member ({id:x}, [{}])", row.peer_urls.join(" ")))
        })?;
        if found.name == new.name {
            own = Some(*id);
        }
    }
    let own = own.ok_or_else(|| ClusterError::NotInCluster(new.name.to_owned()))?;
    refuse_bootstrapped(own, running)?;
    let identity = MemberIds { cluster_id: running.cluster_id, member_id: own };
    let (applied, conf_state) = (LogId::default(), ConfState::default());
    Ok(Bootstrap { identity, applied, conf_state, members: running.members.clone() })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> Vec<InitialMember> {
        let member = |name: &str, port: u16| InitialMember {
            name: name.to_owned(),
            peer_urls: vec![format!("http://127.0.0.1:{port}")],
        };
        vec![member("a", 1), member("b", 2)]
    }

    fn running(client_urls: &[&str]) -> RunningCluster {
        let row = |port: u16, client_urls: &[&str]| MemberRow {
            name: String::new(),
            peer_urls: vec![format!("http://127.0.0.1:{port}")],
            client_urls: client_urls.iter().map(|url| (*url).to_owned()).collect(),
        };
        RunningCluster { cluster_id: 9, members: vec![(70, row(2, client_urls)), (50, row(1, &["http://c:1"]))] }
    }

    fn join(cluster: &[InitialMember], name: &str, running: &RunningCluster) -> Result<Bootstrap, ClusterError> {
        joiner(Founders { cluster, token: "t", name }, running)
    }

    #[test]
    fn a_joiner_takes_the_ids_of_the_cluster_it_joins_and_no_membership() {
        let start = join(&cluster(), "b", &running(&[])).unwrap();
        assert_eq!((start.identity.cluster_id, start.identity.member_id), (9, 70));
        assert_eq!((start.applied, start.conf_state), (LogId::default(), ConfState::default()));
        assert_eq!(start.members.len(), 2, "it can reach the others after a restart, too");
    }

    #[test]
    fn who_ran_before_is_refused_in_both_states() {
        let refused = join(&cluster(), "b", &running(&["http://c:2"])).unwrap_err();
        assert_eq!(refused, ClusterError::Bootstrapped(70));
        assert!(refused.to_string().starts_with("member 46 has already been bootstrapped"));
        assert_eq!(refuse_bootstrapped(70, &running(&["http://c:2"])), Err(ClusterError::Bootstrapped(70)));
        assert_eq!(refuse_bootstrapped(70, &running(&[])), Ok(()));
        assert_eq!(refuse_bootstrapped(1, &running(&[])), Ok(()));
    }

    #[test]
    fn another_cluster_than_the_one_described_is_not_joined() {
        let why = |cluster: &[InitialMember]| join(cluster, "b", &running(&[])).unwrap_err().to_string();
        assert!(why(&cluster()[1..]).contains("member count is unequal"));
        let mut other = cluster();
        other[0].peer_urls = vec!["http://127.0.0.1:3".to_owned()];
        assert!(
            why(&other).contains("no match found for existing member (32, [http://127.0.0.1:1])"),
            "{}",
            why(&other)
        );
    }
}
