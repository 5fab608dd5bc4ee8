//! What clients notice of a dead leader, and of a member that joins.
//!
//! Must ask members that live, and count from the moment of the kill.

use super::{Value, value};
use crate::leading::{leader, status_of};
use crate::load::{CLIENTS, Pulse, batches, key, value as bytes_of};
use crate::server::Server;
use crate::side::Side;
use api::etcdserverpb::{
    MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse, MemberRemoveRequest,
    MemberRemoveResponse, PutRequest,
};
use bench::client::{Channel, Method, frame};
use bench::cmd::call;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Times that the leader is killed.
const KILLS: usize = 5;
/// Pause between two attempts to write.
const PAUSE: Duration = Duration::from_millis(5);
/// Longest wait for service, or for a member that joins.
const PATIENCE: Duration = Duration::from_secs(120);
/// Load before a member joins, for comparison.
const ASIDE: Duration = Duration::from_secs(10);
/// Writes a second of those clients.
const RATE: f64 = 1_000.0;

fn several(side: &Side) -> Result<(), String> {
    if side.members < 3 { Err("needs --members=3 or more".into()) } else { Ok(()) }
}

/// Time until a write succeeds that was sent to a living member after `since`. Attempts do not wait for each other.
async fn first_success(channel: &Rc<Channel>, since: Instant) -> Result<Duration, String> {
    let (done, mut succeeded) = tokio::sync::mpsc::unbounded_channel();
    while since.elapsed() < PATIENCE {
        let (channel, done) = (channel.clone(), done.clone());
        tokio::task::spawn_local(async move {
            let request = PutRequest { key: key(0), value: bytes_of(0, 9), ..Default::default() };
            if channel.unary_discard(Method::Put, frame(&request)).await.is_ok() {
                // nobody listens any more when an earlier one has succeeded
                let _ = done.send(since.elapsed());
            }
        });
        if let Ok(Some(took)) = tokio::time::timeout(PAUSE, succeeded.recv()).await {
            return Ok(took);
        }
    }
    Err("no write succeeds".into())
}

/// `gap`
pub async fn gap(side: &mut Side) -> Result<Vec<Value>, String> {
    several(side)?;
    side.forget();
    let mut server = side.fresh().await?;
    let mut gaps = Vec::new();
    for _ in 0..KILLS {
        let (at, _) = leader(&server).await?;
        let channel = server.channel_to((at + 1) % server.members()).await?;
        let since = Instant::now();
        server.kill_one(at).map_err(|why| why.to_string())?;
        gaps.push(first_success(&channel, since).await?.as_secs_f64());
        server.start().await.map_err(|why| why.to_string())?;
        // as long as a leader needs to hear from all
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let worst = gaps.into_iter().fold(0.0, f64::max);
    Ok(vec![
        value("no write after kill -9 of the leader, mean of 5", "s", mean, "not above etcd's"),
        value("worst of 5", "s", worst, ""),
    ])
}

/// Takes a member out of the cluster, with its data, and lets it join anew.
async fn rejoin(server: &mut Server, at: usize, through: &Channel) -> Result<(), String> {
    let said = |why: bench::client::CallError| why.to_string();
    let id = status_of(server, at).await?.header.unwrap_or_default().member_id;
    server.kill_one(at).map_err(|why| why.to_string())?;
    server.wipe(at).map_err(|why| why.to_string())?;
    let remove = MemberRemoveRequest { id };
    let _: MemberRemoveResponse = call(through, Method::MemberRemove, &remove).await.map_err(said)?;
    let add = MemberAddRequest { peer_urls: vec![server.peer_url(at)], is_learner: false };
    let _: MemberAddResponse = call(through, Method::MemberAdd, &add).await.map_err(said)?;
    let list: MemberListResponse =
        call(through, Method::MemberList, &MemberListRequest::default()).await.map_err(said)?;
    if list.members.len() != server.members() {
        return Err(format!("{} members after the change", list.members.len()));
    }
    server.join(at).map_err(|why| why.to_string())
}

/// Time until a member has applied what the leader had when it was asked.
async fn caught_up(server: &Server, at: usize, leads: usize, since: Instant) -> Result<Duration, String> {
    while since.elapsed() < PATIENCE {
        let goal = status_of(server, leads).await?.raft_applied_index;
        if status_of(server, at).await.is_ok_and(|status| status.raft_applied_index + 5_000 >= goal) {
            return Ok(since.elapsed());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err("the member does not catch up".into())
}

/// `join`
pub async fn join(side: &mut Side) -> Result<Vec<Value>, String> {
    several(side)?;
    side.forget();
    let mut server = side.fresh().await?;
    let keys = side.big_keys;
    batches(&server, keys, |number| (key(number), bytes_of(number, 0))).await?;
    let (leads, term) = leader(&server).await?;
    let at = (leads + 1) % server.members();
    let through = server.channel_to(leads).await?;
    let pulse = Pulse::through(server.channel_to(leads).await?, CLIENTS, RATE, keys);
    pulse.take();
    tokio::time::sleep(ASIDE).await;
    let quiet = pulse.take();
    let since = Instant::now();
    rejoin(&mut server, at, &through).await?;
    let took = caught_up(&server, at, leads, since).await?;
    let busy = pulse.take();
    pulse.stop()?;
    let changed = status_of(&server, leads).await?.raft_term - term;
    Ok(vec![
        value("until an empty member has caught up", "s", took.as_secs_f64(), ""),
        value("p99 of puts before", "ms", quiet.1, ""),
        value("p99 of puts meanwhile", "ms", busy.1, ""),
        value("worst put meanwhile", "ms", busy.0, ""),
        value("changes of leader", "", changed as f64, "0"),
        value("disk of a member", "MiB", server.disk()?, "bounded"),
    ])
}
