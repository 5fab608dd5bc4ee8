//! A number of permits across processes. Must never let more hold one than there are, as long as all name the same number.

use crate::blob::IntoBytes;
use crate::kv::Compare;
use crate::line::Place;
use crate::recipe_error::RecipeError;
use crate::session::Session;
use bytes::Bytes;

/// So many sessions at a time hold a permit; the others wait in line. A session has one permit of a semaphore.
///
/// ```
/// # harness::examples::on_member(async |endpoint| {
/// # let client = conclave_client::Client::connect([endpoint]).await?;
/// use conclave_client::{Semaphore, Session};
/// let ten = std::time::Duration::from_secs(10);
/// let (a, b) = (Session::open(&client, ten).await?, Session::open(&client, ten).await?);
/// let first = Semaphore::new(&a, "build", 2).acquire().await?;
/// let second = Semaphore::new(&b, "build", 2).acquire().await?;
/// first.release().await?;
/// second.release().await?;
/// # Ok(())
/// # });
/// ```
#[derive(Clone)]
pub struct Semaphore {
    session: Session,
    name: Bytes,
    permits: usize,
}

/// A permit is held. Dropping it gives it back in the background.
pub struct Permit(Place);

impl Semaphore {
    /// The semaphore of this name. All who use it must name the same number of permits.
    pub fn new(session: &Session, name: impl IntoBytes, permits: usize) -> Self {
        Self { session: session.clone(), name: name.into_bytes(), permits }
    }

    /// Waits in line for a permit. Dropping the future leaves the line.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub async fn acquire(&self) -> Result<Permit, RecipeError> {
        let place = Place::take(&self.session, &self.name, &Bytes::new()).await?;
        loop {
            let (before, revision) = place.before(self.permits).await?;
            if before < self.permits {
                return Ok(Permit(place));
            }
            place.somebody_leaves(revision).await?;
        }
    }

    /// Takes a permit if one is free.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub async fn try_acquire(&self) -> Result<Option<Permit>, RecipeError> {
        let place = Place::take(&self.session, &self.name, &Bytes::new()).await?;
        if place.before(self.permits).await?.0 < self.permits {
            return Ok(Some(Permit(place)));
        }
        place.give_up().await?;
        Ok(None)
    }
}

impl Permit {
    /// A condition for transactions that holds as long as the permit does.
    pub fn held(&self) -> Compare {
        self.0.held()
    }

    /// Gives it back.
    ///
    /// # Errors
    /// [`RecipeError`]; it goes back with the session's lease then.
    pub async fn release(self) -> Result<(), RecipeError> {
        self.0.give_up().await
    }
}
