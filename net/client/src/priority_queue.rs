//! A queue with priorities: the smallest number first, and within it what was put in first. Must never hand the same element to
//! two.

use crate::blob::IntoBytes;
use crate::client::Client;
use crate::kv::{Compare, Order, Put, SortBy};
use crate::line::line;
use crate::queue::take_first;
use crate::recipe_error::RecipeError;
use bytes::Bytes;

/// A queue with priorities. Its keys are those of etcd's recipe.
///
/// ```
/// # harness::examples::on_member(async |endpoint| {
/// # let client = conclave_client::Client::connect([endpoint]).await?;
/// let queue = conclave_client::PriorityQueue::new(&client, "jobs");
/// queue.enqueue("sweep", 20).await?;
/// queue.enqueue("put out the fire", 1).await?;
/// assert_eq!(queue.dequeue().await?, "put out the fire");
/// # Ok(())
/// # });
/// ```
#[derive(Clone)]
pub struct PriorityQueue {
    client: Client,
    elements: Bytes,
}

impl PriorityQueue {
    /// The queue below this prefix.
    pub fn new(client: &Client, prefix: impl IntoBytes) -> Self {
        Self { client: client.clone(), elements: line(&prefix.into_bytes()) }
    }

    /// Puts an element in. After an [uncertain](crate::Error::is_uncertain) error it may or may not be there.
    ///
    /// # Errors
    /// [`RecipeError::ForeignKey`] when another program's keys are in the way.
    pub async fn enqueue(&self, value: impl IntoBytes, priority: u16) -> Result<(), RecipeError> {
        let value = value.into_bytes();
        let class: Bytes = [&self.elements[..], format!("{priority:05}").as_bytes()].concat().into();
        // written with each element: whoever numbers at the same time sees that it moved
        let guard: Bytes = [b"__", &class[..]].concat().into();
        let members = line(&class);
        loop {
            let last = self.client.get(&members).prefix().sorted(SortBy::Key, Order::Descending).limit(1).await?;
            let number = last.first().map_or(Ok(0), |kv| number_of(&kv.key, &members).map(|last| last + 1))?;
            let key: Bytes = [&members[..], format!("{number:016}").as_bytes()].concat().into();
            let still = Compare::mod_revision(&guard).less_than(last.revision + 1);
            let txn = self.client.txn().when(still).then(Put::new(&guard, "")).then(Put::new(&key, &value));
            if txn.await?.succeeded {
                return Ok(());
            }
        }
    }

    /// Takes the first element, and waits for one if there is none. At most once, as [`Queue::dequeue`](crate::Queue::dequeue).
    ///
    /// # Errors
    /// [`RecipeError`].
    pub async fn dequeue(&self) -> Result<Bytes, RecipeError> {
        take_first(&self.client, &self.elements, SortBy::Key).await
    }
}

fn number_of(key: &Bytes, members: &Bytes) -> Result<u64, RecipeError> {
    let digits = key.strip_prefix(&members[..]).and_then(|digits| std::str::from_utf8(digits).ok());
    let number = digits.and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| RecipeError::ForeignKey(String::from_utf8_lossy(key).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_keys_and_others_are_refused() {
        let members = Bytes::from("q/00001/");
        assert_eq!(number_of(&"q/00001/0000000000000041".into(), &members).ok(), Some(41));
        for foreign in ["q/00001/x", "q/00001/", "other"] {
            assert!(matches!(number_of(&foreign.into(), &members), Err(RecipeError::ForeignKey(_))), "{foreign}");
        }
    }
}
