//! A lock across processes. Must never be thought of as held once its session is lost.

use crate::blob::IntoBytes;
use crate::kv::Compare;
use crate::line::Place;
use crate::recipe_error::RecipeError;
use crate::session::Session;
use bytes::Bytes;

/// A lock that one session at a time holds: whoever may wait for another needs a session of their own. Its keys are those of etcd's clients and of `etcdctl lock`.
///
/// ```
/// # harness::examples::on_member(async |endpoint| {
/// # let client = conclave_client::Client::connect([endpoint]).await?;
/// use conclave_client::{Mutex, Put, Session};
/// let session = Session::open(&client, std::time::Duration::from_secs(10)).await?;
/// let mutex = Mutex::new(&session, "printer");
/// let guard = mutex.lock().await?;
/// // carried out only while the lock is held, whatever happened in between
/// let done = client.txn().when(guard.held()).then(Put::new("page", "1")).await?;
/// assert!(done.succeeded);
/// guard.unlock().await?;
/// # Ok(())
/// # });
/// ```
#[derive(Clone)]
pub struct Mutex {
    session: Session,
    name: Bytes,
}

/// The lock is held. Dropping it unlocks in the background; [`unlock`](Self::unlock) waits until it is done.
pub struct Guard(Place);

impl Mutex {
    /// The lock of this name.
    pub fn new(session: &Session, name: impl IntoBytes) -> Self {
        Self { session: session.clone(), name: name.into_bytes() }
    }

    /// Waits in line for the lock. Dropping the future leaves the line.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub async fn lock(&self) -> Result<Guard, RecipeError> {
        let place = Place::take(&self.session, &self.name, &Bytes::new()).await?;
        place.first().await?;
        Ok(Guard(place))
    }

    /// Takes the lock if nobody has it, and nobody waits for it.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub async fn try_lock(&self) -> Result<Option<Guard>, RecipeError> {
        let place = Place::take(&self.session, &self.name, &Bytes::new()).await?;
        if place.is_first().await? {
            return Ok(Some(Guard(place)));
        }
        place.give_up().await?;
        Ok(None)
    }
}

impl Guard {
    /// The key that holds the lock.
    pub fn key(&self) -> &[u8] {
        &self.0.key
    }

    /// Grows with every holder: what is written elsewhere can be marked with it, and older marks refused.
    pub fn fencing_token(&self) -> i64 {
        self.0.revision
    }

    /// A condition for transactions that holds as long as the lock does.
    pub fn held(&self) -> Compare {
        self.0.held()
    }

    /// Comes back when the lock is lost with its session.
    pub async fn lost(&self) {
        self.0.session().lost().await;
    }

    /// Lets go of the lock.
    ///
    /// # Errors
    /// [`RecipeError`]; it is let go of with the session's lease then.
    pub async fn unlock(self) -> Result<(), RecipeError> {
        self.0.give_up().await
    }
}
