//! The connections of all endpoints, and the next one in turn.

use super::UpstreamConfig;
use super::endpoints::Endpoints;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tonic::Status;
use tonic::transport::Channel;

/// How long a call waits for any connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections to a cluster. Clones share them; the last one that is dropped closes them.
#[derive(Clone)]
pub struct Pool {
    pub(super) shared: Arc<Shared>,
    /// None in the one that the pool itself uses: it must not keep the pool alive.
    pub(super) _end: Option<Arc<End>>,
}

/// What the keepers of connections work on.
pub(super) struct Shared {
    pub(super) config: UpstreamConfig,
    pub(super) endpoints: Mutex<Endpoints<Channel>>,
    pub(super) opened: Notify,
    pub(super) keepers: Mutex<HashMap<String, AbortHandle>>,
}

/// Ends the keepers.
pub(super) struct End(pub(super) Arc<Shared>, pub(super) Option<AbortHandle>);

impl Drop for End {
    fn drop(&mut self) {
        lock(&self.0.keepers).drain().for_each(|(_, keeper)| keeper.abort());
        if let Some(sync) = &self.1 {
            sync.abort();
        }
    }
}

impl Shared {
    pub(super) fn config(&self) -> &UpstreamConfig {
        &self.config
    }

    pub(super) fn opened(&self, text: &str, channel: Channel) {
        lock(&self.endpoints).opened(text, channel);
        self.opened.notify_waiters();
    }

    pub(super) fn closed(&self, text: &str, why: Option<String>) {
        lock(&self.endpoints).closed(text, why);
    }

    /// The next connection in turn, as soon as there is one.
    async fn next(&self) -> Result<(String, Channel), Status> {
        let wait = async {
            loop {
                let opened = self.opened.notified();
                tokio::pin!(opened);
                // from here on: a connection that opens between the look and the wait counts, too
                opened.as_mut().enable();
                if let Some(found) = lock(&self.endpoints).next() {
                    return found;
                }
                opened.await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, wait).await;
        found.map_err(|_| {
            let why = lock(&self.endpoints).why().unwrap_or_else(|| "no endpoint".into());
            Status::unavailable(format!("no member of the cluster can be reached: {why}"))
        })
    }
}

impl Pool {
    /// Settings of the connections.
    pub fn config(&self) -> &UpstreamConfig {
        self.shared.config()
    }

    /// The endpoints as they are now.
    pub fn endpoints(&self) -> Vec<String> {
        lock(&self.shared.endpoints).texts()
    }

    /// The next connection in turn. Waits for one for five seconds.
    pub(super) async fn next(&self) -> Result<(String, Channel), Status> {
        self.shared.next().await
    }

    /// An endpoint that is connected, to be asked by other means than gRPC.
    ///
    /// # Errors
    /// When there is none.
    pub async fn connected(&self) -> Result<String, Status> {
        Ok(self.next().await?.0)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
