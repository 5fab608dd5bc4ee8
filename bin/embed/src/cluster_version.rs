//! The version of the cluster: the lowest of its members', decided by the leader. It is lowered only on behalf of an operator, by one minor
//! version, before the members are replaced by older ones.
//!
//! Every kind of entry or frame that an older version does not know must wait until the version of the cluster says that there is no older
//! member any more. Must never be decided by a member that does not lead: it does not hear of all the others.

use crate::client::{Client, ClientError};
use crate::version::{FIRST_CLUSTER_VERSION, parse, refuse_older};
use actors::death_watch::{ExitCell, NodeExit};
use messages::RequestError;
use messages::ports::OtherVersions;
use model::Command;
use model::request::{ClusterVersionSetRequest, DowngradeInfoSetRequest};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Pause between two looks.
const PERIOD: Duration = Duration::from_secs(1);
/// Pause between two looks while there is no version yet, and members wait for one.
const FIRST_PERIOD: Duration = Duration::from_millis(2);

/// The version that the cluster should have, when it should have another one: what is written, as major, minor and a zero. While an
/// operator wants it lowered to `target`, that is what it should have.
pub fn decide(own: [u16; 3], others: OtherVersions, present: &str, target: Option<&str>) -> Option<String> {
    let lowest = match others {
        OtherVersions::Alone => own,
        OtherVersions::Between { lowest, .. } => own.min(lowest),
        // a cluster must have some version, and is not changed while one of its members may be older
        OtherVersions::Unknown if present.is_empty() => own.min(FIRST_CLUSTER_VERSION),
        OtherVersions::Unknown => return None,
    };
    let [major, minor, _] = lowest;
    let version = |[major, minor, _]: [u16; 3]| Some(format!("{major}.{minor}.0"));
    match (present, target) {
        ("", _) => version(lowest),
        (present, None) => version(lowest).filter(|_| [major, minor, 0] > parse(present)),
        (present, Some(target)) => {
            let [target_major, target_minor, _] = parse(target);
            let [present_major, present_minor, _] = parse(present);
            let is_one_below = (target_major, target_minor + 1) == (present_major, present_minor);
            is_one_below.then(|| version(parse(target))).flatten()
        }
    }
}

/// True when every member runs the version that the cluster was lowered to.
fn is_downgraded(own: [u16; 3], others: OtherVersions, target: &str) -> bool {
    let runs_it = |version: [u16; 3]| version[..2] == parse(target)[..2];
    runs_it(own)
        && match others {
            OtherVersions::Alone => true,
            OtherVersions::Between { lowest, highest } => runs_it(lowest) && runs_it(highest),
            OtherVersions::Unknown => false,
        }
}

/// Looks until the node ends, and ends it when its cluster has become newer than it is. `downgrade_check` is the time between two looks
/// whether a downgrade is done.
pub(crate) async fn run(client: Client, own: [u16; 3], downgrade_check: Option<Duration>, exit: ExitCell) {
    let ports = client.ports();
    // a member that waits for a quorum, for however long, does not read its store meanwhile
    while !client.until_serving(PERIOD).await {
        if ports.gauges.stopping.load(Relaxed) {
            return;
        }
    }
    let mut last_check = tokio::time::Instant::now();
    while !ports.gauges.stopping.load(Relaxed) {
        let leads = ports.gauges.leader_id() == Some(ports.identity.member_id);
        let (Ok(present), Ok(target)) = (ports.reads.cluster_version(), ports.reads.downgrade_target()) else {
            // what cannot be read is not "no version yet": another one, perhaps a lower one, would be proposed in its place
            tokio::time::sleep(PERIOD).await;
            continue;
        };
        if let Err(why) = refuse_older(own, &present) {
            return exit.set(NodeExit::Failed { actor: "cluster version", why: why.to_string() });
        }
        let others = ports.gauges.other_versions();
        if leads && let Some(version) = decide(own, others, &present, target.as_deref()) {
            let request = ClusterVersionSetRequest { ver: version.clone() };
            match client.execute(Command::ClusterVersionSet(request)).await {
                Ok(_) => tracing::info!(from = &present, to = version, "updated cluster version"),
                Err(ClientError::Request(RequestError::Stopped)) => return,
                Err(why) => tracing::debug!(error = %why, "the version of the cluster was not set, it is tried again"),
            }
        }
        if downgrade_check.is_some_and(|every| last_check.elapsed() >= every) {
            last_check = tokio::time::Instant::now();
            if let Some(target) = target.filter(|target| leads && is_downgraded(own, others, target)) {
                finish_downgrade(&client, &target).await;
            }
        }
        tokio::time::sleep(if present.is_empty() { FIRST_PERIOD } else { PERIOD }).await;
    }
}

/// All members are older ones now: the downgrade is over, and from now on the version may rise again.
async fn finish_downgrade(client: &Client, target: &str) {
    match client.execute(Command::DowngradeInfoSet(DowngradeInfoSetRequest::default())).await {
        Ok(_) => tracing::info!(cluster_version = target, "the cluster has been downgraded"),
        Err(why) => tracing::warn!(error = %why, "the end of the downgrade was not noted, it is tried again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [u16; 3] = [3, 8, 2];

    fn between(lowest: [u16; 3], highest: [u16; 3]) -> OtherVersions {
        OtherVersions::Between { lowest, highest }
    }

    #[test]
    fn the_lowest_member_decides_and_the_patch_does_not_count() {
        let with = |others, present| decide(OWN, others, present, None);
        assert_eq!(with(OtherVersions::Alone, "").as_deref(), Some("3.8.0"));
        assert_eq!(with(between([3, 7, 5], [3, 8, 0]), "").as_deref(), Some("3.7.0"));
        assert_eq!(with(between([3, 9, 0], [3, 9, 0]), "3.7.0").as_deref(), Some("3.8.0"));
        assert_eq!(with(OtherVersions::Alone, "3.8.0"), None);
    }

    #[test]
    fn a_version_is_not_lowered_unasked_and_not_raised_while_a_member_has_said_nothing() {
        assert_eq!(decide(OWN, between([3, 7, 0], [3, 7, 0]), "3.8.0", None), None);
        assert_eq!(decide(OWN, OtherVersions::Unknown, "3.7.0", None), None);
        assert_eq!(decide(OWN, OtherVersions::Unknown, "", None).as_deref(), Some("3.7.0"));
        assert_eq!(decide([3, 6, 0], OtherVersions::Unknown, "", None).as_deref(), Some("3.6.0"));
    }

    #[test]
    fn an_operator_lowers_it_by_one_and_it_stays_there_until_the_downgrade_ends() {
        let with = |others, present| decide(OWN, others, present, Some("3.7.0"));
        assert_eq!(with(between(OWN, OWN), "3.8.0").as_deref(), Some("3.7.0"));
        assert_eq!(with(between([3, 7, 0], OWN), "3.7.0"), None, "it was lowered");
        assert_eq!(with(OtherVersions::Unknown, "3.8.0"), None, "somebody may be of any version");
        assert_eq!(with(OtherVersions::Alone, "3.9.0"), None, "never by more than one");
    }

    #[test]
    fn a_downgrade_is_done_when_every_member_runs_the_target() {
        let done = |own, others| is_downgraded(own, others, "3.7.0");
        assert!(done([3, 7, 9], OtherVersions::Alone) && done([3, 7, 1], between([3, 7, 0], [3, 7, 8])));
        assert!(!done([3, 8, 0], OtherVersions::Alone) && !done([3, 7, 0], OtherVersions::Unknown));
        assert!(!done([3, 7, 1], between([3, 7, 0], [3, 8, 0])));
    }
}
