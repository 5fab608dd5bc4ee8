//! Places in a line: a key for each who waits, under its session's lease, in the order of their creation. Names of keys are
//! those of etcd's clients, so that both kinds wait for each other.
//!
//! Must never leave a key behind that somebody else would wait for: a place that is dropped is given up.

use crate::client::Client;
use crate::error::Error;
use crate::kv::{Compare, Delete, Get, Order, Pending, Put, SortBy, Txn};
use crate::recipe_error::RecipeError;
use crate::session::Session;
use crate::watch::{EventKind, WatchError};
use api::mvccpb::KeyValue;
use bytes::Bytes;
use std::future::IntoFuture;
use std::time::Duration;

/// Pause before a request is repeated whose outcome nobody knows.
const PAUSE: Duration = Duration::from_millis(50);

/// A place, and who has it.
pub(crate) struct Place {
    session: Session,
    /// What all keys of the line begin with.
    line: Bytes,
    /// Its key.
    pub(crate) key: Bytes,
    /// Revision at which it was taken: smaller is further to the front.
    pub(crate) revision: i64,
    given_up: bool,
}

impl Place {
    /// Takes a place under `name`, with this value. A session has one place in a line: asking again gives the same.
    pub(crate) async fn take(session: &Session, name: &[u8], value: &Bytes) -> Result<Self, RecipeError> {
        let line = line(name);
        let key: Bytes = [&line[..], format!("{:x}", session.lease()).as_bytes()].concat().into();
        // from here on the key may be there: dropping this removes it
        let mut place = Self { session: session.clone(), line, key, revision: 0, given_up: false };
        let done = place
            .repeat(|client| {
                let put = Put::new(&place.key, value).lease(session.lease());
                let txn = client.txn().when(Compare::is_missing(&place.key)).then(put);
                txn.otherwise(Get::new(&place.key)).into_future()
            })
            .await?;
        let own = done.values(0).and_then(|found| found.first()).map(|kv| kv.create_revision);
        place.revision = if done.succeeded { done.revision } else { own.ok_or(RecipeError::PlaceLost)? };
        Ok(place)
    }

    /// Waits until nobody is before it.
    pub(crate) async fn first(&self) -> Result<(), RecipeError> {
        tokio::select! {
            done = self.wait_for_those_before() => done?,
            () = self.session.lost() => return Err(RecipeError::SessionLost),
        }
        // the lease may have ended while others went
        match self.client().get(&self.key).await?.first() {
            Some(kv) if kv.create_revision == self.revision => Ok(()),
            _ => Err(RecipeError::PlaceLost),
        }
    }

    /// Whether somebody is before it now.
    pub(crate) async fn is_first(&self) -> Result<bool, RecipeError> {
        Ok(front(self.client(), &self.line).await?.1.is_some_and(|kv| kv.create_revision == self.revision))
    }

    /// How many are before it, counted up to `most`, and the revision at which they were.
    pub(crate) async fn before(&self, most: usize) -> Result<(usize, i64), RecipeError> {
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let found = self.client().get(&self.line).prefix().created_between(0, self.revision - 1).limit(limit);
        let found = found.keys_only().await?;
        Ok((found.kvs.len(), found.revision))
    }

    /// Waits until a key of the line is deleted, after a revision.
    pub(crate) async fn somebody_leaves(&self, after: i64) -> Result<(), RecipeError> {
        tokio::select! {
            done = deleted(self.client(), &self.line, true, after) => Ok(done?),
            () = self.session.lost() => Err(RecipeError::SessionLost),
        }
    }

    /// Gives the place up. Certain when it returns well.
    pub(crate) async fn give_up(mut self) -> Result<(), RecipeError> {
        self.repeat(|client| leave(client, &self.key, self.revision).into_future()).await?;
        self.given_up = true;
        Ok(())
    }

    /// A condition that holds as long as the place is held.
    pub(crate) fn held(&self) -> Compare {
        Compare::create_revision(&self.key).equals(self.revision)
    }

    pub(crate) fn client(&self) -> &Client {
        self.session.client()
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    async fn wait_for_those_before(&self) -> Result<(), RecipeError> {
        loop {
            let before = self.client().get(&self.line).prefix().created_between(0, self.revision - 1).limit(1);
            let found = before.sorted(SortBy::Created, Order::Descending).await?;
            let Some(last) = found.first() else { return Ok(()) };
            deleted(self.client(), &last.key, false, found.revision).await?;
        }
    }

    /// Does again what may be done twice, until the outcome is known or the session lost.
    async fn repeat<T>(&self, mut what: impl FnMut(&Client) -> Pending<T>) -> Result<T, RecipeError> {
        loop {
            match what(self.client()).await {
                Err(why) if why.is_uncertain() && !self.session.is_lost() => tokio::time::sleep(PAUSE).await,
                Err(_) if self.session.is_lost() => return Err(RecipeError::SessionLost),
                done => return Ok(done?),
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.given_up || self.session.is_lost() {
            return;
        }
        let (client, key, revision) = (self.client().clone(), self.key.clone(), self.revision);
        // when it fails, the key goes with the lease
        runtime.spawn(leave(&client, &key, revision).into_future());
    }
}

/// Deletes the key of a place, unless somebody else has it by now. Revision zero is a place whose taking was not answered: its
/// key belongs to its lease.
fn leave(client: &Client, key: &Bytes, revision: i64) -> Txn<Client> {
    let mut txn = client.txn();
    if revision != 0 {
        txn = txn.when(Compare::create_revision(key).equals(revision));
    }
    txn.then(Delete::new(key))
}

/// What all keys of a line begin with.
pub(crate) fn line(name: &[u8]) -> Bytes {
    [name, b"/"].concat().into()
}

/// The first of a line, and the revision at which it was.
pub(crate) async fn front(client: &Client, line: &Bytes) -> Result<(i64, Option<KeyValue>), Error> {
    let mut found = client.get(line).prefix().sorted(SortBy::Created, Order::Ascending).limit(1).await?;
    Ok((found.revision, found.kvs.pop()))
}

/// Comes back when a key, or a key with this prefix, was deleted after a revision at which it was there. What was compacted
/// meanwhile counts as a deletion: the caller reads again.
pub(crate) async fn deleted(client: &Client, key: &Bytes, prefix: bool, after: i64) -> Result<(), WatchError> {
    let watch = client.watch(key).since(after + 1).only_deletes();
    let mut watcher = if prefix { watch.prefix() } else { watch }.await?;
    loop {
        match watcher.next().await {
            Some(Ok(changes)) if changes.events.iter().any(|event| event.kind == EventKind::Delete) => return Ok(()),
            Some(Ok(_)) => {}
            Some(Err(WatchError::Compacted { .. })) | None => return Ok(()),
            Some(Err(why)) => return Err(why),
        }
    }
}
