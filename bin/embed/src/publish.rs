//! Tells the cluster who this member is, and waits until the cluster has a version. Must never give up while the member lives.

use crate::client::{Client, ClientError};
use crate::config::Config;
use messages::RequestError;
use model::Command;
use model::request::{MemberAttrSetRequest, MemberAttributes};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Time between two lines that say what a start waits for.
const WAITING_LINE: Duration = Duration::from_secs(5);
/// Pause between two looks for the version of the cluster.
const VERSION_POLL: Duration = Duration::from_millis(2);
/// Pause before the cluster is told again.
const PUBLISH_PAUSE: Duration = Duration::from_millis(500);

/// Tells the cluster again and again until it has heard: an election that is lost meanwhile, or a snapshot that is being
/// installed, is no reason for a member to end.
///
/// # Errors
/// The node was stopped.
pub(crate) async fn until_known(client: &Client, config: &Config) -> Result<(), ClientError> {
    let mut line = tokio::time::Instant::now() + WAITING_LINE;
    while !client.until_serving(WAITING_LINE).await {
        let leader = client.ports().gauges.leader_id();
        tracing::warn!(
            leader = leader.map(|id| format!("{id:x}")),
            "this member does not serve yet: it waits for a leader and for what the cluster has committed; are enough members running, \
             do they reach each other?"
        );
    }
    loop {
        match publish_once(client, config).await {
            Ok(()) => return Ok(()),
            Err(why @ ClientError::Request(RequestError::Stopped)) => return Err(why),
            Err(why) => {
                if tokio::time::Instant::now() >= line {
                    tracing::warn!(error = %why, "failed to publish local member to cluster through raft, it is tried again");
                    line = tokio::time::Instant::now() + WAITING_LINE;
                }
                tokio::time::sleep(PUBLISH_PAUSE).await;
            }
        }
    }
}

async fn publish_once(client: &Client, config: &Config) -> Result<(), ClientError> {
    let reads = &client.ports().reads;
    let identity = &client.ports().identity;
    let members = reads.members()?;
    let own = members.iter().find(|m| m.id == identity.member_id);
    let published = own.is_some_and(|m| m.name == config.name && m.client_urls == config.advertise_client_urls);
    if !published {
        let attributes =
            MemberAttributes { name: config.name.clone(), client_urls: config.advertise_client_urls.clone() };
        let request = MemberAttrSetRequest { member_id: identity.member_id, attributes: Some(attributes) };
        client.execute(Command::MemberAttrSet(request)).await?;
    }
    // whoever leads decides it
    while reads.cluster_version()?.is_empty() {
        if client.ports().gauges.stopping.load(Relaxed) {
            return Err(RequestError::Stopped.into());
        }
        tokio::time::sleep(VERSION_POLL).await;
    }
    Ok(())
}
