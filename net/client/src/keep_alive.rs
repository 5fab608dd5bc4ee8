//! Keeps a lease alive, over as many streams and members as it takes.
//!
//! Counts from the moment at which a renewal was *sent*: what it says is left is never more than the server has. Must never
//! go on with a lease that may have ended.

use crate::transport::{Pool, method};
use api::etcdserverpb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use futures_util::stream;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::Streaming;

/// Pause before a broken stream is opened again.
const PAUSE: Duration = Duration::from_millis(100);
/// Least time that one renewal is given.
const LEAST_PATIENCE: Duration = Duration::from_millis(300);

/// A lease is kept alive as long as this lives. Dropping it lets the lease end by itself.
#[derive(Debug)]
pub struct KeepAlive {
    lost: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl KeepAlive {
    pub(crate) fn start(pool: Pool, id: i64, ttl: Duration) -> Self {
        let (told, lost) = watch::channel(false);
        let task = tokio::spawn(async move {
            keep(ttl, Renewals { pool, id, stream: None }).await;
            told.send_replace(true);
        });
        Self { lost, task }
    }

    /// Whether the lease has ended, or may have.
    pub fn is_lost(&self) -> bool {
        *self.lost.borrow()
    }

    /// Comes back when the lease has ended, or may have.
    pub async fn lost(&self) {
        let mut lost = self.lost.clone();
        // when nobody is left to tell, nobody renews
        let _ = lost.wait_for(|lost| *lost).await;
    }
}

impl Drop for KeepAlive {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What renews.
trait Renew {
    /// Renews once, with as many attempts as it takes, each of which may take so long. None when the lease is gone.
    fn renew(&mut self, patience: Duration) -> impl Future<Output = Option<Renewed>> + Send;
}

/// Renews at thirds of what the last renewal gave, until the lease is gone or its time over.
async fn keep(ttl: Duration, mut with: impl Renew) {
    let mut ends = Instant::now() + ttl;
    let mut ttl = ttl;
    loop {
        let patience = (ttl / 4).max(LEAST_PATIENCE);
        match timeout_at(ends, with.renew(patience)).await {
            Ok(Some(renewed)) => {
                ends = renewed.sent + renewed.ttl;
                ttl = renewed.ttl;
            }
            Ok(None) | Err(_) => return,
        }
        sleep(ttl / 3).await;
    }
}

/// A renewal: when it was sent, and how long the lease lives from then on.
#[derive(Clone, Copy, Debug)]
struct Renewed {
    sent: Instant,
    ttl: Duration,
}

struct Renewals {
    pool: Pool,
    id: i64,
    stream: Option<(mpsc::Sender<LeaseKeepAliveRequest>, Streaming<LeaseKeepAliveResponse>)>,
}

impl Renew for Renewals {
    async fn renew(&mut self, patience: Duration) -> Option<Renewed> {
        loop {
            let sent = Instant::now();
            match timeout(patience, self.once()).await {
                Ok(Some(answer)) if answer.ttl <= 0 => return None,
                Ok(Some(answer)) => return Some(Renewed { sent, ttl: duration(answer.ttl) }),
                Ok(None) | Err(_) => {
                    self.stream = None;
                    self.pool.forget();
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

impl Renewals {
    /// One request and its answer; none when the stream is of no use.
    async fn once(&mut self) -> Option<LeaseKeepAliveResponse> {
        if self.stream.is_none() {
            let (requests, sent) = mpsc::channel(1);
            let sent = stream::unfold(sent, |mut sent| async move { sent.recv().await.map(|one| (one, sent)) });
            let first = requests.send(LeaseKeepAliveRequest { id: self.id }).await;
            let answers = self.pool.talk(method::LEASE_KEEP_ALIVE, sent, false).await;
            self.stream = Some((first.is_ok().then_some(requests)?, answers.ok()?));
        } else if let Some((requests, _)) = &self.stream {
            requests.send(LeaseKeepAliveRequest { id: self.id }).await.ok()?;
        }
        let (_, answers) = self.stream.as_mut()?;
        answers.message().await.ok()?
    }
}

/// Seconds as the server says them.
pub(crate) fn duration(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Server {
        renewals: usize,
        ttl: Duration,
        answers_after: Duration,
    }

    impl Renew for &mut Server {
        async fn renew(&mut self, _: Duration) -> Option<Renewed> {
            let sent = Instant::now();
            sleep(self.answers_after).await;
            self.renewals = self.renewals.checked_sub(1)?;
            Some(Renewed { sent, ttl: self.ttl })
        }
    }

    #[tokio::test]
    async fn a_lease_is_renewed_at_thirds_until_it_is_gone() {
        let (begun, ttl) = (Instant::now(), Duration::from_millis(1200));
        let mut server = Server { renewals: 4, ttl, answers_after: Duration::ZERO };
        keep(ttl, &mut server).await;
        assert_eq!(server.renewals, 0);
        assert!(begun.elapsed() >= 4 * ttl / 3, "not more often than that");
    }

    #[tokio::test]
    async fn what_is_left_counts_from_when_a_renewal_was_sent() {
        let ttl = Duration::from_millis(1800);
        // the first is sent at once and answered after 1 s; the second, sent at 1.6 s, would be answered too late
        let mut server = Server { renewals: 9, ttl, answers_after: Duration::from_secs(1) };
        keep(ttl, &mut server).await;
        assert_eq!(server.renewals, 8);
    }
}
