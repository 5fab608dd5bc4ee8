//! One of the two clusters, asked until it answers: members that are down, or have no leader, are waited for.
//!
//! Must be used for writes only where doing them twice does no harm.

use crate::client::method::{LEASE_TIME_TO_LIVE, Method, RANGE};
use crate::client::{Client as Pool, Failure, Until};
use crate::log;
use api::etcdserverpb as pb;
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tonic::Code;

/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pause between attempts.
const PAUSE: Duration = Duration::from_millis(200);
/// Pause between two lines that say what is waited for.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// See the file header.
#[derive(Clone)]
pub struct Cluster {
    name: &'static str,
    pool: Pool,
    told: Arc<Mutex<Option<Instant>>>,
}

impl Cluster {
    /// `name` is what messages call it.
    pub fn new(name: &'static str, pool: Pool) -> Self {
        Self { name, pool, told: Arc::default() }
    }

    /// What messages call it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its connections.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The library's client over the same connections.
    pub fn client(&self) -> conclave_client::Client {
        conclave_client::Client::over(self.pool.clone())
    }

    /// Asks until there is an answer.
    ///
    /// # Errors
    /// What waiting does not mend.
    pub async fn ask<Q, A>(&self, method: Method, request: Q) -> Result<A, Failure>
    where
        Q: prost::Message + Clone + 'static,
        A: prost::Message + Default + 'static,
    {
        loop {
            let why = match self.pool.unary(method, request.clone(), Until::after(PATIENCE)).await {
                Ok(answer) => return Ok(answer),
                Err(why) => why,
            };
            self.wait_out(why).await?;
        }
    }

    /// Waits a little when the failure is one that passes.
    ///
    /// # Errors
    /// The failure, when it does not.
    pub async fn wait_out(&self, why: Failure) -> Result<(), Failure> {
        if !passes(&why) {
            return Err(why);
        }
        let due = {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            let due = told.is_none_or(|last| last.elapsed() >= TELL_EVERY);
            if due {
                *told = Some(Instant::now());
            }
            due
        };
        if due {
            log::line("warn", &format!("waiting for the {}", self.name), &[("error", &why.detail())]);
        }
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }

    /// Cluster id and revision, as a majority of the members knows them.
    ///
    /// # Errors
    /// What waiting does not mend.
    pub async fn now(&self) -> Result<pb::ResponseHeader, Failure> {
        let request =
            pb::RangeRequest { key: Bytes::from_static(b"\0"), limit: 1, keys_only: true, ..Default::default() };
        let answer: pb::RangeResponse = self.ask(RANGE, request).await?;
        Ok(answer.header.unwrap_or_default())
    }

    /// Time, granted time and with `keys` the keys of a lease; none when there is no such lease.
    ///
    /// # Errors
    /// What waiting does not mend.
    pub async fn lease(&self, id: i64, keys: bool) -> Result<Option<pb::LeaseTimeToLiveResponse>, Failure> {
        let asked: Result<pb::LeaseTimeToLiveResponse, Failure> =
            self.ask(LEASE_TIME_TO_LIVE, pb::LeaseTimeToLiveRequest { id, keys }).await;
        match asked {
            Ok(answer) => Ok(Some(answer).filter(|answer| answer.ttl >= 0)),
            Err(why) if why.is("requested lease not found") => Ok(None),
            Err(why) => Err(why),
        }
    }
}

/// Whether waiting may help.
fn passes(why: &Failure) -> bool {
    matches!(why.code(), Some(Code::Unavailable | Code::DeadlineExceeded | Code::Internal))
        || why.is("too many requests")
}
