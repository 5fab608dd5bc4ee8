//! Who leads a server of several members, and giving the lead to one of them.
//!
//! Must be asked before a figure whose numbers depend on which member a client speaks to.

use crate::server::Server;
use api::etcdserverpb::{MoveLeaderRequest, MoveLeaderResponse, StatusResponse};
use bench::client::Method;
use bench::cmd::{call, status};
use std::time::{Duration, Instant};

/// Longest wait for a leader.
const PATIENCE: Duration = Duration::from_secs(120);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// What a member says of itself.
pub async fn status_of(server: &Server, at: usize) -> Result<StatusResponse, String> {
    status(&*server.channel_to(at).await?).await.map_err(|why| why.to_string())
}

/// The member that leads, and its term.
pub async fn leader(server: &Server) -> Result<(usize, u64), String> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        for at in 0..server.members() {
            if let Ok(status) = status_of(server, at).await
                && status.leader != 0
                && status.header.as_ref().is_some_and(|header| header.member_id == status.leader)
            {
                return Ok((at, status.raft_term));
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err("nobody leads".into())
}

/// Makes this member lead: elections choose anybody, and a figure of one client is not to depend on that.
pub async fn lead_by(server: &Server, at: usize) -> Result<(), String> {
    let target_id = status_of(server, at).await?.header.unwrap_or_default().member_id;
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        let (leads, _) = leader(server).await?;
        if leads == at {
            return Ok(());
        }
        let request = MoveLeaderRequest { target_id };
        let through = server.channel_to(leads).await?;
        // refused while members have just met: asked again
        let moved: Result<MoveLeaderResponse, _> = call(&through, Method::MoveLeader, &request).await;
        if moved.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Err("the lead cannot be moved".into())
}
