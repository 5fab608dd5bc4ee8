//! A client that goes to the next member when one does not answer, or that stays with one.
//!
//! Must never send a request twice.

use crate::Stubs;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tonic::Status;

/// How long an operation is waited for; then nothing is known of it.
const PATIENCE: Duration = Duration::from_secs(3);

/// See the file header.
pub struct Client {
    addresses: Arc<Vec<String>>,
    at: usize,
    pinned: bool,
    stubs: Option<Stubs>,
}

impl Client {
    /// One that begins at a member and goes round.
    pub fn roaming(addresses: &Arc<Vec<String>>, at: usize) -> Self {
        Self { addresses: addresses.clone(), at, pinned: false, stubs: None }
    }

    /// One that stays with a member.
    pub fn pinned(addresses: &Arc<Vec<String>>, at: usize) -> Self {
        Self { pinned: true, ..Self::roaming(addresses, at) }
    }

    /// A connection, or none for the moment.
    pub async fn stubs(&mut self) -> Option<Stubs> {
        if self.stubs.is_none() {
            let address = &self.addresses[self.at % self.addresses.len()];
            match tokio::time::timeout(Duration::from_secs(1), Stubs::connect(address, Duration::ZERO)).await {
                Ok(Ok(stubs)) => self.stubs = Some(stubs),
                Ok(Err(_)) | Err(_) => self.leave().await,
            }
        }
        self.stubs.clone()
    }

    /// Tries another connection next.
    pub async fn leave(&mut self) {
        self.at += usize::from(!self.pinned);
        self.stubs = None;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    /// Waits for an answer; a refusal, and none in time, end the connection.
    ///
    /// # Errors
    /// The server's, or that it did not answer.
    pub async fn ask<T>(&mut self, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        let answer = tokio::time::timeout(PATIENCE, call).await;
        let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("the patience of this client")));
        if answer.is_err() {
            self.leave().await;
        }
        answer
    }
}
