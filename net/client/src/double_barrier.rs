//! A double barrier: a number of processes begin together and end together. Must never let one begin before all are there, nor
//! one end before all are done.

use crate::blob::IntoBytes;
use crate::client::Client;
use crate::kv::{Compare, Order, Put, SortBy};
use crate::recipe_error::RecipeError;
use crate::session::Session;
use crate::watch::{EventKind, WatchError};
use api::mvccpb::KeyValue;
use bytes::Bytes;

/// A double barrier. Its keys are those of etcd's recipe: `…/waiters/` and `…/ready`. A process that dies leaves with its session.
///
/// ```
/// # harness::examples::on_member(async |endpoint| {
/// # let client = conclave_client::Client::connect([endpoint]).await?;
/// use conclave_client::{DoubleBarrier, Session};
/// let ten = std::time::Duration::from_secs(10);
/// let (a, b) = (Session::open(&client, ten).await?, Session::open(&client, ten).await?);
/// let (mut a, mut b) = (DoubleBarrier::new(&a, "round", 2), DoubleBarrier::new(&b, "round", 2));
/// let (began, other) = tokio::join!(a.enter(), b.enter());
/// began.and(other)?;
/// let (ended, other) = tokio::join!(a.leave(), b.leave());
/// ended.and(other)?;
/// # Ok(())
/// # });
/// ```
pub struct DoubleBarrier {
    session: Session,
    waiters: Bytes,
    ready: Bytes,
    count: usize,
    own: Bytes,
}

impl DoubleBarrier {
    /// The barrier with this key, for so many processes. A session enters it once.
    pub fn new(session: &Session, key: impl IntoBytes, count: usize) -> Self {
        let key = key.into_bytes();
        let below = |name: &str| -> Bytes { [&key[..], name.as_bytes()].concat().into() };
        let own = below(&format!("/waiters/{:x}", session.lease()));
        Self { session: session.clone(), waiters: below("/waiters/"), ready: below("/ready"), count, own }
    }

    /// Waits until all are there.
    ///
    /// # Errors
    /// [`RecipeError::TooMany`] when as many as there is room for are there already.
    pub async fn enter(&mut self) -> Result<(), RecipeError> {
        if self.inside().await?.0.len() >= self.count {
            return Err(RecipeError::TooMany(self.count));
        }
        let own = Put::new(&self.own, "").lease(self.session.lease());
        let taken = self.client().txn().when(Compare::is_missing(&self.own)).then(own).await?;
        let (inside, revision) = self.inside().await?;
        let place = inside.iter().position(|kv| kv.key == self.own).ok_or(RecipeError::PlaceLost)?;
        if place >= self.count {
            self.client().delete(&self.own).await?;
            return Err(RecipeError::TooMany(self.count));
        }
        if place + 1 == self.count {
            // the last one lets the others begin
            self.client().put(&self.ready, "").await?;
            return Ok(());
        }
        // ready may have been written since this one came
        let since = if taken.succeeded { taken.revision } else { revision };
        self.changes(&self.ready, EventKind::Put, since).await
    }

    /// Waits until all are done.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub async fn leave(&mut self) -> Result<(), RecipeError> {
        loop {
            let (inside, revision) = self.inside().await?;
            let Some(oldest) = inside.first() else { return Ok(()) };
            let is_oldest = oldest.key == self.own;
            if is_oldest && inside.len() == 1 {
                self.client().delete(&self.ready).await?;
                self.client().delete(&self.own).await?;
                return Ok(());
            }
            // the oldest stays to the end and waits for the youngest; the others go and wait for the oldest
            let awaited = if is_oldest { inside.last().unwrap_or(oldest) } else { oldest };
            if !is_oldest {
                self.client().delete(&self.own).await?;
            }
            self.changes(&awaited.key, EventKind::Delete, revision + 1).await?;
        }
    }

    /// Who is inside, the oldest first, and the revision at which they were.
    async fn inside(&self) -> Result<(Vec<KeyValue>, i64), RecipeError> {
        let found = self.client().get(&self.waiters).prefix().sorted(SortBy::Created, Order::Ascending).await?;
        Ok((found.kvs, found.revision))
    }

    /// Waits until a key is written or deleted, at a revision or later.
    async fn changes(&self, key: &Bytes, kind: EventKind, since: i64) -> Result<(), RecipeError> {
        let mut watcher = self.client().watch(key).since(since).await?;
        loop {
            let next = tokio::select! {
                next = watcher.next() => next,
                () = self.session.lost() => return Err(RecipeError::SessionLost),
            };
            match next {
                Some(Ok(changes)) if changes.events.iter().any(|event| event.kind == kind) => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(WatchError::Compacted { .. })) | None => return Ok(()),
                Some(Err(why)) => return Err(why.into()),
            }
        }
    }

    fn client(&self) -> &Client {
        self.session.client()
    }
}
