//! The gateway: TCP connections of clients go on to a member that lives. Nothing of what is said is read.
//!
//! Must never hold more connections than it has room for, and never wait for ever for an endpoint that does not answer.

mod pick;

use pick::Choice;
pub use pick::Endpoint;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Longest that an endpoint may take to take a connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most connections at a time.
const CONNECTIONS: usize = 16_384;
/// Bytes of a connection in each direction that are under way.
const BUFFER: usize = 16 << 10;
/// Pause after a connection could not be accepted: the process may be out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Settings of the gateway.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where connections go.
    pub endpoints: Vec<Endpoint>,
    /// How long an endpoint that refused a connection is left out before it is tried again.
    pub retry_delay: Duration,
}

struct Gateway {
    choice: Mutex<Choice>,
    retry_delay: Duration,
}

/// Serves what a listener takes, until it is dropped.
pub async fn run(listener: TcpListener, settings: Settings) {
    let shown: Vec<&str> = settings.endpoints.iter().map(|endpoint| endpoint.address.as_str()).collect();
    tracing::info!(endpoints = shown.join(","), "ready to proxy client requests");
    let gateway =
        Arc::new(Gateway { choice: Mutex::new(Choice::new(settings.endpoints)), retry_delay: settings.retry_delay });
    tokio::join!(accept(listener, &gateway), watch_over_the_dead(&gateway));
}

async fn accept(listener: TcpListener, gateway: &Arc<Gateway>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // the semaphore is never closed
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, _)) => {
                let gateway = gateway.clone();
                tokio::spawn(async move {
                    gateway.serve(client).await;
                    drop(permit);
                });
            }
            Err(why) => {
                tracing::warn!(error = %why, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Gateway {
    async fn serve(&self, mut client: TcpStream) {
        let Some(mut member) = self.connect().await else {
            tracing::warn!("no endpoint takes connections; closed one of a client");
            return;
        };
        let _ = (client.set_nodelay(true), member.set_nodelay(true));
        // whichever way it ends, both sides are closed
        if let Err(why) = copy_bidirectional_with_sizes(&mut client, &mut member, BUFFER, BUFFER).await {
            tracing::debug!(error = %why, "a connection broke");
        }
    }

    /// Connects to the next endpoint that takes it.
    async fn connect(&self) -> Option<TcpStream> {
        loop {
            let address = self.choice().next(chance)?;
            match dial(&address).await {
                Ok(member) => return Some(member),
                Err(why) => {
                    if self.choice().set(&address, false) {
                        let interval = format!("{:?}", self.retry_delay);
                        tracing::warn!(address, interval, error = why, "deactivated endpoint");
                    }
                }
            }
        }
    }

    fn choice(&self) -> MutexGuard<'_, Choice> {
        self.choice.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn dial(address: &str) -> Result<TcpStream, String> {
    match tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(connected) => connected.map_err(|why| why.to_string()),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    }
}

async fn watch_over_the_dead(gateway: &Arc<Gateway>) {
    loop {
        tokio::time::sleep(gateway.retry_delay).await;
        let dead = gateway.choice().dead();
        let tries = dead.into_iter().map(|address| async move {
            match dial(&address).await {
                Ok(_) => {
                    gateway.choice().set(&address, true);
                    tracing::info!(address, "activated");
                }
                Err(why) => {
                    tracing::warn!(
                        address,
                        error = why,
                        "failed to activate endpoint (stay inactive for another interval)"
                    );
                }
            }
        });
        futures_util::future::join_all(tries).await;
    }
}

/// A number below another one, at random.
fn chance(below: u32) -> u32 {
    let random = RandomState::new().build_hasher().finish();
    (random % u64::from(below.max(1))) as u32
}
