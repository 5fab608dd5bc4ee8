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

/// Renews a lease at thirds of its time; the channel closes when the lease is gone, or may be. The first renewal may take
/// until `first` has passed.
pub fn forever(client: Client, id: i64, first: Duration) -> mpsc::Receiver<LeaseKeepAliveResponse> {
    let (out, answers) = mpsc::channel(QUEUE);
    tokio::spawn(async move { keep(first, || renew(&client, id, &out)).await });
    answers
}

/// Renews again and again, each time within what the renewal before has left. Pauses do not count as renewing.
async fn keep<F>(first: Duration, mut renew: impl FnMut() -> F)
where
    F: Future<Output = Option<Duration>>,
{
    let mut deadline = Instant::now() + first;
    while let Ok(Some(ttl)) = timeout_at(deadline, renew()).await {
        deadline = Instant::now() + ttl;
        tokio::time::sleep(ttl / 3).await;
    }
}

/// One renewal: how long the lease lives from now on. `None` when it is gone, or nobody listens any more.
async fn renew(client: &Client, id: i64, out: &mpsc::Sender<LeaseKeepAliveResponse>) -> Option<Duration> {
    loop {
        match one(client, id).await {
            Ok(answer) if answer.ttl <= 0 => return None,
            Ok(answer) => {
                let ttl = Duration::from_secs(answer.ttl.unsigned_abs());
                let closed = matches!(out.try_send(answer), Err(mpsc::error::TrySendError::Closed(_)));
                return (!closed).then_some(ttl);
            }
            Err(_) => {
                client.forget();
                tokio::time::sleep(REOPEN).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lease_is_renewed_for_longer_than_the_first_renewal_may_take() {
        let mut left = 4;
        let renew = || {
            left -= 1;
            std::future::ready((left > 0).then_some(Duration::from_millis(300)))
        };
        keep(Duration::from_millis(50), renew).await;
        assert_eq!(left, 0, "it goes on until the lease is gone");
    }

    #[tokio::test]
    async fn a_renewal_that_never_comes_ends_it() {
        keep(Duration::from_millis(20), std::future::pending).await;
    }
}
