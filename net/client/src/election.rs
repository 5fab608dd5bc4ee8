//! One leader among processes. Must never be thought of as won once its session is lost.

use crate::blob::IntoBytes;
use crate::client::Client;
use crate::kv::{Compare, Put};
use crate::line::{self, Place};
use crate::recipe_error::RecipeError;
use crate::session::Session;
use crate::watch::{EventKind, WatchError, Watcher};
use api::mvccpb::KeyValue;
use bytes::Bytes;

/// An election. Its keys are those of etcd's clients and of `etcdctl elect`.
///
/// ```
/// # harness::examples::on_member(async |endpoint| {
/// # let client = conclave_client::Client::connect([endpoint]).await?;
/// use conclave_client::{Election, Session};
/// let session = Session::open(&client, std::time::Duration::from_secs(10)).await?;
/// let won = Election::new("mayor").campaign(&session, "anna").await?;
/// let leader = Election::new("mayor").leader(&client).await?.expect("there is one");
/// assert_eq!(leader.value, "anna");
/// won.resign().await?;
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Election {
    name: Bytes,
}

/// The election is won. Dropping it resigns in the background.
pub struct Leadership(Place);

/// Shows who leads, again and again.
pub struct Observer {
    client: Client,
    line: Bytes,
    /// Who was shown last, and what follows its key.
    shown: Option<(Bytes, Watcher)>,
}

impl Election {
    /// The election of this name.
    pub fn new(name: impl IntoBytes) -> Self {
        Self { name: name.into_bytes() }
    }

    /// Stands with this value, and waits until it is won. Dropping the future leaves the line.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub async fn campaign(&self, session: &Session, value: impl IntoBytes) -> Result<Leadership, RecipeError> {
        let value = value.into_bytes();
        let place = Place::take(session, &self.name, &value).await?;
        place.first().await?;
        let leadership = Leadership(place);
        // a place that was there before may have another value
        leadership.proclaim(value).await?;
        Ok(leadership)
    }

    /// Who leads now; the value is what the leader proclaims.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub async fn leader(&self, client: &Client) -> Result<Option<KeyValue>, RecipeError> {
        Ok(line::front(client, &line::line(&self.name)).await?.1)
    }

    /// Follows who leads, and what they proclaim.
    pub fn observe(&self, client: &Client) -> Observer {
        Observer { client: client.clone(), line: line::line(&self.name), shown: None }
    }
}

impl Leadership {
    /// The key of the leader.
    pub fn key(&self) -> &[u8] {
        &self.0.key
    }

    /// Grows with every leader.
    pub fn fencing_token(&self) -> i64 {
        self.0.revision
    }

    /// A condition for transactions that holds as long as this leads.
    pub fn held(&self) -> Compare {
        self.0.held()
    }

    /// Comes back when the lead is lost with its session.
    pub async fn lost(&self) {
        self.0.session().lost().await;
    }

    /// Proclaims another value.
    ///
    /// # Errors
    /// [`RecipeError::PlaceLost`] when this leads no more.
    pub async fn proclaim(&self, value: impl IntoBytes) -> Result<(), RecipeError> {
        let put = Put::new(&self.0.key, value).lease(self.0.session().lease());
        let done = self.0.client().txn().when(self.held()).then(put).await?;
        if done.succeeded { Ok(()) } else { Err(RecipeError::PlaceLost) }
    }

    /// Lets the next one lead.
    ///
    /// # Errors
    /// [`RecipeError`]; the lead ends with the session's lease then.
    pub async fn resign(self) -> Result<(), RecipeError> {
        self.0.give_up().await
    }
}

impl Observer {
    /// The next leader, or the next value of the one that leads. The first call shows who leads now, once there is somebody. A
    /// leader that came and went between two calls may be left out. May be dropped while it waits.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub async fn next(&mut self) -> Result<KeyValue, RecipeError> {
        loop {
            let Some((key, watcher)) = &mut self.shown else {
                if let Some(leader) = self.look().await? {
                    return Ok(leader);
                }
                continue;
            };
            let event = match watcher.next().await {
                // the newest of several that came at once
                Some(Ok(changes)) => changes.events.into_iter().rfind(|event| event.kv.key == *key),
                Some(Err(WatchError::Compacted { .. })) | None => {
                    self.shown = None;
                    continue;
                }
                Some(Err(why)) => return Err(why.into()),
            };
            match event {
                Some(event) if event.kind == EventKind::Put => return Ok(event.kv),
                Some(_) => self.shown = None,
                None => {}
            }
        }
    }

    /// Looks who leads. When nobody does, waits for a change.
    async fn look(&mut self) -> Result<Option<KeyValue>, RecipeError> {
        let (revision, leader) = line::front(&self.client, &self.line).await?;
        if let Some(leader) = leader {
            let watcher = self.client.watch(&leader.key).since(revision + 1).await?;
            self.shown = Some((leader.key.clone(), watcher));
            return Ok(Some(leader));
        }
        let mut watcher = self.client.watch(&self.line).prefix().since(revision + 1).only_puts().await?;
        match watcher.next().await {
            Some(Err(WatchError::Refused(why))) => Err(why.into()),
            _ => Ok(None),
        }
    }
}
