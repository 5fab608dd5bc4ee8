//! Comparison of the members' data by HashKV: at a start, periodically, and at compactions, as etcd does it.
//!
//! What is found is decided by plain functions; the tasks around them ask and raise the alarm CORRUPT. Must never blame a member whose
//! hash is of another compaction or revision: those differ anyhow.

use crate::alarms;
use crate::client::{Client, ClientError};
use futures_util::future::join_all;
use messages::RequestError;
use messages::reply::HashAnswer;
use model::AlarmMember;
use model::request::AlarmType;
use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Another member has other data: this one must not serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{own:x} found data inconsistency with peers {peers}: the same history has another hash there. Find out which member is damaged \
     (`conclavectl endpoint hashkv --cluster`, `conclaveutl check`), remove that member from the cluster and add it again with an empty \
     data folder"
)]
pub struct Diverged {
    own: u64,
    peers: String,
}

/// A member and what it says.
type Said = (u64, HashAnswer);

/// Members whose hash of the same revision, after the same compaction, is another one.
fn unlike(own: HashAnswer, others: &[Said]) -> Vec<u64> {
    let comparable =
        |other: &HashAnswer| (other.hash_revision, other.compact_revision) == (own.hash_revision, own.compact_revision);
    others.iter().filter(|(_, other)| comparable(other) && other.hash != own.hash).map(|(id, _)| *id).collect()
}

/// The member that is ahead of its leader or unlike it, the first one if there are several. `own` was computed before `others` were asked,
/// and `after` when they had answered and everything committed by then was applied.
fn suspect(id: u64, own: HashAnswer, others: &[Said], after: HashAnswer) -> Option<u64> {
    let moved = (after.hash_revision, after.compact_revision) != (own.hash_revision, own.compact_revision);
    if !moved && after.hash != own.hash {
        return Some(id);
    }
    let ahead = |other: &HashAnswer| {
        other.revision > after.revision || other.compact_revision > after.compact_revision.max(own.compact_revision)
    };
    let ahead = others.iter().find(|(_, other)| ahead(other)).map(|(id, _)| *id);
    ahead.or_else(|| unlike(own, others).first().copied())
}

/// Members that a majority of `members` is unlike; the member zero when there is no majority to go by.
fn minority(id: u64, own: HashAnswer, others: &[Said], members: usize) -> Vec<u64> {
    let mut by_hash: BTreeMap<u32, Vec<u64>> = BTreeMap::from([(own.hash, vec![id])]);
    for (id, other) in others.iter().filter(|(_, other)| other.compact_revision == own.compact_revision) {
        by_hash.entry(other.hash).or_default().push(*id);
    }
    if by_hash.len() < 2 {
        return Vec::new();
    }
    let is_majority = |alike: &Vec<u64>| alike.len() > members / 2;
    if !by_hash.values().any(is_majority) {
        return vec![0];
    }
    by_hash.into_values().filter(|alike| !is_majority(alike)).flatten().collect()
}

/// The other members, and what those say that can be asked.
async fn ask_others(client: &Client, revision: i64) -> Result<(usize, Vec<Said>), ClientError> {
    let own = client.ports().identity.member_id;
    let members = client.ports().reads.members()?;
    let ask = async |id: u64| match client.peer_hash(id, revision).await {
        Ok(hash) => Some((id, hash)),
        Err(why) => {
            tracing::warn!(peer = format_args!("{id:x}"), revision, error = %why, "cannot fetch hash from a peer");
            None
        }
    };
    let others = members.iter().filter(|member| member.id != own).map(|member| ask(member.id));
    Ok((members.len(), join_all(others).await.into_iter().flatten().collect()))
}

/// Compares this member's data with that of the others, before it serves.
///
/// # Errors
/// [`Diverged`].
pub(crate) async fn check_before_service(client: &Client) -> Result<(), Diverged> {
    tracing::info!("starting initial corruption check");
    let compared = async {
        let own = client.hash_kv(0).await?;
        let (_, others) = ask_others(client, own.hash_revision).await?;
        Ok::<_, ClientError>(unlike(own, &others))
    };
    match compared.await {
        Ok(unlike) if unlike.is_empty() => {
            tracing::info!("initial corruption checking passed; no corruption");
            Ok(())
        }
        Ok(unlike) => {
            let peers = unlike.iter().map(|id| format!("{id:x}")).collect::<Vec<_>>().join(", ");
            Err(Diverged { own: client.ports().identity.member_id, peers })
        }
        Err(why) => {
            tracing::warn!(error = %why, "the initial corruption check could not be made");
            Ok(())
        }
    }
}

/// What a leader compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compared {
    /// The present.
    Present,
    /// The newest compaction.
    Compaction,
}

/// Compares until the node ends, while this member leads.
pub(crate) async fn run(client: Client, what: Compared, every: Duration) {
    loop {
        actix_rt::time::sleep(every).await;
        let ports = client.ports();
        if ports.gauges.stopping.load(Relaxed) {
            return;
        }
        if ports.gauges.leader_id() != Some(ports.identity.member_id) {
            continue;
        }
        let found = match what {
            Compared::Present => check_present(&client).await,
            Compared::Compaction => check_compaction(&client).await,
        };
        match found {
            Ok(corrupt) => {
                for member in corrupt {
                    raise(&client, member).await;
                }
            }
            Err(ClientError::Request(RequestError::Stopped)) => return,
            Err(why) => tracing::warn!(error = %why, "the corruption check could not be made, it is tried again"),
        }
    }
}

async fn check_present(client: &Client) -> Result<Vec<u64>, ClientError> {
    let own = client.hash_kv(0).await?;
    let (_, others) = ask_others(client, own.hash_revision).await?;
    client.wait_until_current().await?;
    let after = client.hash_kv(0).await?;
    tracing::info!("number-of-peers-checked" = others.len(), "finished peer corruption check");
    Ok(suspect(client.ports().identity.member_id, own, &others, after).into_iter().collect())
}

async fn check_compaction(client: &Client) -> Result<Vec<u64>, ClientError> {
    let compacted = client.ports().reads.status().compact_revision;
    if compacted <= 0 {
        return Ok(Vec::new());
    }
    let own = client.hash_kv(compacted).await?;
    let (members, others) = ask_others(client, compacted).await?;
    tracing::info!("number-of-peers-checked" = others.len(), "finished compaction hash check");
    Ok(minority(client.ports().identity.member_id, own, &others, members))
}

/// Raises the alarm for members whose running hash is not that of a majority, while this member leads, and for itself when its own data at
/// rest is damaged. Once for each finding: an alarm that was disarmed is not raised again for what was known before. Until the node ends.
pub(crate) async fn raise_found(client: Client, every: Duration) {
    let mut raised: Vec<u64> = Vec::new();
    loop {
        actix_rt::time::sleep(every).await;
        let ports = client.ports();
        if ports.gauges.stopping.load(Relaxed) {
            return;
        }
        let own = ports.identity.member_id;
        let mut found = ports.gauges.corrupt.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if ports.gauges.leader_id() != Some(own) {
            found.clear();
        }
        if ports.gauges.scrub_problems.load(Relaxed) > 0 {
            found.push(own);
        }
        raised.retain(|member| found.contains(member));
        for member in found {
            if !raised.contains(&member) && raise(&client, member).await {
                raised.push(member);
            }
        }
    }
}

/// True when the alarm stands.
async fn raise(client: &Client, member: u64) -> bool {
    let alarm = AlarmMember { member_id: member, alarm: AlarmType::Corrupt };
    if alarms::is_raised(client, alarm) {
        return true;
    }
    tracing::error!(
        member = format_args!("{member:x}"),
        "the data of this member is not that of the others: raising the CORRUPT alarm; rebuild the member (conclavectl rebuild), then disarm \
         the alarm"
    );
    let raised = alarms::raise(client, alarm).await;
    if let Err(why) = &raised {
        tracing::warn!(error = %why, "the CORRUPT alarm was not raised, it is tried again");
    }
    raised.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(hash: u32, compact_revision: i64, hash_revision: i64, revision: i64) -> HashAnswer {
        HashAnswer { hash, compact_revision, hash_revision, revision }
    }

    #[test]
    fn only_hashes_of_the_same_history_are_compared() {
        let own = hash(7, 3, 9, 9);
        let others = [(2, hash(7, 3, 9, 9)), (3, hash(8, 3, 9, 10)), (4, hash(8, 5, 9, 9)), (5, hash(8, 3, 8, 8))];
        assert_eq!(unlike(own, &others), [3]);
    }

    #[test]
    fn a_leader_suspects_who_is_unlike_or_ahead_of_it_and_itself() {
        let own = hash(7, 3, 9, 9);
        assert_eq!(suspect(1, own, &[(2, own), (3, hash(7, 3, 9, 12))], hash(9, 3, 12, 12)), None);
        assert_eq!(suspect(1, own, &[(2, own), (3, hash(8, 3, 9, 9))], own), Some(3));
        assert_eq!(suspect(1, own, &[(2, hash(7, 3, 9, 13))], hash(9, 3, 12, 12)), Some(2));
        assert_eq!(suspect(1, own, &[(2, hash(8, 5, 9, 9))], hash(9, 4, 12, 12)), Some(2));
        assert_eq!(suspect(1, own, &[(2, own)], hash(8, 3, 9, 9)), Some(1));
    }

    #[test]
    fn the_minority_is_corrupt_and_without_a_majority_nobody_is_named() {
        let own = hash(7, 3, 9, 9);
        let unlike = hash(8, 3, 9, 9);
        assert_eq!(minority(1, own, &[(2, own), (3, own)], 3), [0; 0]);
        assert_eq!(minority(1, own, &[(2, own), (3, unlike)], 3), [3]);
        assert_eq!(minority(1, unlike, &[(2, own), (3, own)], 3), [1]);
        assert_eq!(minority(1, own, &[(3, unlike)], 3), [0], "two of three that differ");
        assert_eq!(minority(1, own, &[(2, hash(8, 9, 9, 9))], 3), [0; 0], "of another compaction");
    }
}
