//! A barrier: processes wait until somebody lets them pass. Must never hold anybody up whose barrier is not held.

use crate::blob::IntoBytes;
use crate::client::Client;
use crate::kv::{Compare, Put};
use crate::line::deleted;
use crate::recipe_error::RecipeError;
use bytes::Bytes;

/// A barrier. Its key is that of etcd's recipe. It belongs to no session: who holds it must release it.
///
/// ```
/// # harness::examples::on_member(async |endpoint| {
/// # let client = conclave_client::Client::connect([endpoint]).await?;
/// let barrier = conclave_client::Barrier::new(&client, "upgrade");
/// assert!(barrier.hold().await?);
/// let waiting = tokio::spawn({ let barrier = barrier.clone(); async move { barrier.wait().await } });
/// barrier.release().await?;
/// waiting.await??;
/// # Ok(())
/// # });
/// ```
#[derive(Clone)]
pub struct Barrier {
    client: Client,
    key: Bytes,
}

impl Barrier {
    /// The barrier with this key.
    pub fn new(client: &Client, key: impl IntoBytes) -> Self {
        Self { client: client.clone(), key: key.into_bytes() }
    }

    /// Holds everybody up who waits from now on; false when somebody does already.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub async fn hold(&self) -> Result<bool, RecipeError> {
        let txn = self.client.txn().when(Compare::is_missing(&self.key)).then(Put::new(&self.key, ""));
        Ok(txn.await?.succeeded)
    }

    /// Lets everybody pass.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub async fn release(&self) -> Result<(), RecipeError> {
        self.client.delete(&self.key).await?;
        Ok(())
    }

    /// Waits until nobody holds it.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub async fn wait(&self) -> Result<(), RecipeError> {
        loop {
            let found = self.client.get(&self.key).await?;
            if found.first().is_none() {
                return Ok(());
            }
            deleted(&self.client, &self.key, false, found.revision).await?;
        }
    }
}
