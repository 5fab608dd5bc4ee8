//! The version of the cluster: the lowest of its members', decided by the leader, and never lowered.
//!
//! Every kind of entry or frame that an older version does not know must wait until the version of the cluster says that there is no older
//! member any more. Must never be decided by a member that does not lead: it does not hear of all the others.

use crate::client::{Client, ClientError};
use crate::version::{FIRST_CLUSTER_VERSION, parse, refuse_older};
use actors::death_watch::{ExitCell, NodeExit};
use messages::RequestError;
use messages::ports::LowestVersion;
use model::Command;
use model::request::ClusterVersionSetRequest;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Pause between two looks.
const PERIOD: Duration = Duration::from_secs(1);
/// Pause between two looks while there is no version yet, and members wait for one.
const FIRST_PERIOD: Duration = Duration::from_millis(2);

/// The version that the cluster should have, when it should have another one: what is written, as major, minor and a zero.
fn decide(own: [u16; 3], others: LowestVersion, present: &str) -> Option<String> {
    let lowest = match others {
        LowestVersion::Alone => own,
        LowestVersion::Of(version) => own.min(version),
        // a cluster must have some version, and is not raised while one of its members may be older
        LowestVersion::Unknown if present.is_empty() => own.min(FIRST_CLUSTER_VERSION),
        LowestVersion::Unknown => return None,
    };
    let [major, minor, _] = lowest;
    (present.is_empty() || [major, minor, 0] > parse(present)).then(|| format!("{major}.{minor}.0"))
}

/// Looks until the node ends, and ends it when its cluster has become newer than it is.
pub(crate) async fn run(client: Client, own: [u16; 3], exit: ExitCell) {
    let ports = client.ports();
    // a member that waits for a quorum, for however long, does not read its store meanwhile
    while !client.until_serving(PERIOD).await {
        if ports.gauges.stopping.load(Relaxed) {
            return;
        }
    }
    while !ports.gauges.stopping.load(Relaxed) {
        let leads = ports.gauges.leader_id() == Some(ports.identity.member_id);
        let Ok(present) = ports.reads.cluster_version() else {
            // what cannot be read is not "no version yet": another one, perhaps a lower one, would be proposed in its place
            tokio::time::sleep(PERIOD).await;
            continue;
        };
        if let Err(why) = refuse_older(own, &present) {
            return exit.set(NodeExit::Failed { actor: "cluster version", why: why.to_string() });
        }
        if leads && let Some(version) = decide(own, ports.gauges.lowest_version(), &present) {
            let request = ClusterVersionSetRequest { ver: version.clone() };
            match client.execute(Command::ClusterVersionSet(request)).await {
                Ok(_) => tracing::info!(from = &present, to = version, "updated cluster version"),
                Err(ClientError::Request(RequestError::Stopped)) => return,
                Err(why) => tracing::debug!(error = %why, "the version of the cluster was not set, it is tried again"),
            }
        }
        tokio::time::sleep(if present.is_empty() { FIRST_PERIOD } else { PERIOD }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [u16; 3] = [3, 8, 2];

    #[test]
    fn the_lowest_member_decides_and_the_patch_does_not_count() {
        let with = |others, present| decide(OWN, others, present);
        assert_eq!(with(LowestVersion::Alone, "").as_deref(), Some("3.8.0"));
        assert_eq!(with(LowestVersion::Of([3, 7, 5]), "").as_deref(), Some("3.7.0"));
        assert_eq!(with(LowestVersion::Of([3, 9, 0]), "3.7.0").as_deref(), Some("3.8.0"));
        assert_eq!(with(LowestVersion::Alone, "3.8.0"), None);
    }

    #[test]
    fn a_version_is_never_lowered_and_not_raised_while_a_member_has_said_nothing() {
        assert_eq!(decide(OWN, LowestVersion::Of([3, 7, 0]), "3.8.0"), None);
        assert_eq!(decide(OWN, LowestVersion::Unknown, "3.7.0"), None);
        assert_eq!(decide(OWN, LowestVersion::Unknown, "").as_deref(), Some("3.7.0"));
        assert_eq!(decide([3, 6, 0], LowestVersion::Unknown, "").as_deref(), Some("3.6.0"));
    }
}
