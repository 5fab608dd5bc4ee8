//! Ends nodes of the v2 tree whose time is over, while this member leads.
//!
//! The leader's clock decides: its time goes through the log, so that all members remove the same nodes. Must never propose while
//! nothing has ended.

use crate::client::{Client, ClientError};
use messages::RequestError;
use model::Command;
use model::v2::{Request, method};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Pause between two looks: etcd's.
const PERIOD: Duration = Duration::from_millis(500);

/// Nanoseconds since 1970.
pub(crate) fn unix_nanos() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}

/// Looks until the node ends.
pub(crate) async fn run(client: Client) {
    let ports = client.ports();
    while !ports.gauges.stopping.load(Relaxed) {
        tokio::time::sleep(PERIOD).await;
        let leads = ports.gauges.leader_id() == Some(ports.identity.member_id);
        // one request ends a bounded number of nodes
        while leads && ports.reads.v2_has_ended(unix_nanos()).unwrap_or(false) {
            let request = Request { method: method::SYNC.into(), time: unix_nanos(), ..Request::default() };
            match client.execute(Command::V2(request)).await {
                Ok(_) => {}
                Err(ClientError::Request(RequestError::Stopped)) => return,
                Err(why) => {
                    tracing::debug!(error = %why, "v2 nodes that have ended were not removed, it is tried again");
                    break;
                }
            }
        }
    }
}
