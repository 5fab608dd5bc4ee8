//! A queue: what is put in first is taken out first, by one process. Must never hand the same element to two.

use crate::blob::IntoBytes;
use crate::client::Client;
use crate::kv::{Compare, Delete, Get, Order, Put, SortBy};
use crate::line::line;
use crate::recipe_error::RecipeError;
use crate::watch::WatchError;
use bytes::Bytes;
use std::time::{SystemTime, UNIX_EPOCH};

/// A queue. Its keys are those of etcd's recipe.
///
/// ```
/// # harness::examples::on_member(async |endpoint| {
/// # let client = conclave_client::Client::connect([endpoint]).await?;
/// let queue = conclave_client::Queue::new(&client, "mail");
/// queue.enqueue("first").await?;
/// queue.enqueue("second").await?;
/// assert_eq!(queue.dequeue().await?, "first");
/// # Ok(())
/// # });
/// ```
#[derive(Clone)]
pub struct Queue {
    client: Client,
    elements: Bytes,
}

impl Queue {
    /// The queue below this prefix.
    pub fn new(client: &Client, prefix: impl IntoBytes) -> Self {
        Self { client: client.clone(), elements: line(&prefix.into_bytes()) }
    }

    /// Puts an element at the end. After an [uncertain](crate::Error::is_uncertain) error it may or may not be there.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub async fn enqueue(&self, value: impl IntoBytes) -> Result<(), RecipeError> {
        let value = value.into_bytes();
        loop {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
            let key: Bytes = [&self.elements[..], now.to_string().as_bytes()].concat().into();
            let txn = self.client.txn().when(Compare::is_missing(&key)).then(Put::new(&key, &value));
            if txn.await?.succeeded {
                return Ok(());
            }
        }
    }

    /// Takes the first element, and waits for one if there is none. After an [uncertain](crate::Error::is_uncertain) error an element
    /// may have been taken and lost: at most once, not exactly once.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub async fn dequeue(&self) -> Result<Bytes, RecipeError> {
        take_first(&self.client, &self.elements, SortBy::Modified).await
    }
}

/// Takes the first element in this order, and waits for one if there is none.
pub(crate) async fn take_first(client: &Client, elements: &Bytes, by: SortBy) -> Result<Bytes, RecipeError> {
    let first = || -> Get { Get::new(elements).prefix().sorted(by, Order::Ascending).limit(1) };
    loop {
        let mut found = client.get(elements).prefix().sorted(by, Order::Ascending).limit(1).await?;
        // whoever loses an element to another gets the next one with the same answer
        while let Some(kv) = found.kvs.pop() {
            let same = Compare::mod_revision(&kv.key).equals(kv.mod_revision);
            let done = client.txn().when(same).then(Delete::new(&kv.key)).otherwise(first()).await?;
            if done.succeeded {
                return Ok(kv.value);
            }
            found = done.values(0).cloned().unwrap_or_default();
        }
        let mut watcher = client.watch(elements).prefix().since(found.revision + 1).only_puts().await?;
        if let Some(Err(WatchError::Refused(why))) = watcher.next().await {
            return Err(why.into());
        }
    }
}
