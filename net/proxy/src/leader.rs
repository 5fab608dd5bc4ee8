//! Whether the cluster has a leader, for clients that want to be cut off when it has none.
//!
//! A member ends a stream that asked for it when its leader is lost: one such stream, on which nothing else is said, tells it for all
//! clients. It is opened with the first client that wants to know.

use crate::upstream::{Context, Pool};
use api::etcdserverpb as pb;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tonic::Status;

/// Pause before it is asked again. Source: etcd's proxy.
const PAUSE: Duration = Duration::from_millis(100);
/// A stream that lives this long is one of a member that has a leader.
const SETTLED: Duration = Duration::from_millis(50);

/// Tells of the leader.
pub(crate) struct Leader {
    pool: Pool,
    running: Mutex<Option<Running>>,
}

struct Running {
    has_leader: watch::Receiver<bool>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Leader {
    pub(crate) fn new(pool: Pool) -> Self {
        Self { pool, running: Mutex::new(None) }
    }

    /// A view on it. It says that there is a leader until the opposite is known.
    pub(crate) fn follow(&self) -> Following {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let running = running.get_or_insert_with(|| {
            let (tell, has_leader) = watch::channel(true);
            let task = tokio::spawn(ask(self.pool.clone(), tell)).abort_handle();
            Running { has_leader, task }
        });
        Following(Some(running.has_leader.clone()))
    }
}

/// What one client follows.
pub(crate) struct Following(Option<watch::Receiver<bool>>);

impl Following {
    /// For a client that does not care.
    pub(crate) fn nothing() -> Self {
        Self(None)
    }

    /// Resolves when there is no leader.
    pub(crate) async fn lost(&mut self) -> Status {
        if let Some(has_leader) = &mut self.0
            && has_leader.wait_for(|has_leader| !has_leader).await.is_ok()
        {
            return Status::unavailable("etcdserver: no leader");
        }
        std::future::pending().await
    }
}

/// Keeps the stream open.
async fn ask(pool: Pool, tell: watch::Sender<bool>) {
    let context = Context::default().requiring_leader();
    loop {
        let silence = futures_util::stream::pending::<pb::WatchRequest>();
        let opened: Result<tonic::Streaming<pb::WatchResponse>, _> =
            pool.talk("/etcdserverpb.Watch/Watch", &context, silence).await;
        match opened {
            Ok(mut answers) => {
                let ended = tokio::time::timeout(SETTLED, answers.message()).await;
                let why = match ended {
                    Ok(ended) => ended.err(),
                    Err(_) => {
                        tell.send_replace(true);
                        answers.message().await.err()
                    }
                };
                // a connection that broke says nothing about the leader: another member is asked
                tell.send_replace(!why.is_some_and(|why| is_about_leader(&why)));
            }
            Err(why) => {
                tell.send_replace(!is_about_leader(&why));
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn is_about_leader(why: &Status) -> bool {
    why.message() == "etcdserver: no leader"
}
