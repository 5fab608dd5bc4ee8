//! Keeps a lease alive, once or for as long as it lives.

use super::method::LEASE_KEEP_ALIVE;
use super::{Client, Failure};
use api::etcdserverpb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use futures_util::stream;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Streaming};

/// Pause before a broken stream is opened again.
const REOPEN: Duration = Duration::from_millis(500);
/// Answers that wait for their reader; more are dropped, the lease lives all the same.
const QUEUE: usize = 16;

/// Renews a lease once.
///
/// # Errors
/// When it is gone, or the server refuses.
pub async fn once(client: &Client, id: i64) -> Result<LeaseKeepAliveResponse, Failure> {
    loop {
        let why = match one(client, id).await {
            Ok(answer) if answer.ttl > 0 => return Ok(answer),
            Ok(_) => return Err(Failure::Text("etcdserver: requested lease not found".into())),
            Err(why) => why,
        };
        if !matches!(why.code(), Some(Code::Unavailable | Code::Internal)) {
            return Err(why);
        }
        client.forget();
        tokio::time::sleep(REOPEN).await;
    }
}

async fn one(client: &Client, id: i64) -> Result<LeaseKeepAliveResponse, Failure> {
    let request = stream::once(std::future::ready(LeaseKeepAliveRequest { id }));
    let mut answers: Streaming<LeaseKeepAliveResponse> = client.talk(LEASE_KEEP_ALIVE, request, false).await?;
    match answers.message().await {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err(Failure::unavailable("the stream ended")),
        Err(status) => Err(client.broken(status)),
    }
}

/// Renews a lease at thirds of its time; the channel closes when the lease is gone, or may be.
pub fn forever(client: Client, id: i64, first: Duration) -> mpsc::Receiver<LeaseKeepAliveResponse> {
    let (out, answers) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let mut deadline = Instant::now() + first;
        while let Ok(more) = timeout_at(deadline, renew(&client, id, &out)).await {
            match more {
                Some(renewed) => deadline = renewed,
                None => return,
            }
        }
    });
    answers
}

/// One renewal and the pause behind it: when the lease ends if nothing follows. `None` when it is gone.
async fn renew(client: &Client, id: i64, out: &mpsc::Sender<LeaseKeepAliveResponse>) -> Option<Instant> {
    loop {
        match one(client, id).await {
            Ok(answer) if answer.ttl <= 0 => return None,
            Ok(answer) => {
                let ttl = Duration::from_secs(answer.ttl.unsigned_abs());
                let ends = Instant::now() + ttl;
                if let Err(mpsc::error::TrySendError::Closed(_)) = out.try_send(answer) {
                    return None;
                }
                tokio::time::sleep(ttl / 3).await;
                return Some(ends);
            }
            Err(_) => {
                client.forget();
                tokio::time::sleep(REOPEN).await;
            }
        }
    }
}
