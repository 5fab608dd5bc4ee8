//! A cache of keys that this process alone may hand out: reads of them cost nothing and are never stale.
//!
//! Beside every cached key lies a *leasing key*, under the session's lease, that says who has it. Whoever wants to write the key asks
//! the owner to give it up (by writing `REVOKE` there) and waits until the leasing key is gone. The protocol and its keys are
//! those of etcd's `leasing` package. Must never answer from memory after the leasing key is given up, or the session lost.

use crate::blob::IntoBytes;
use crate::client::Client;
use crate::kv::{Compare, Delete, Get, Op, Put};
use crate::line::deleted;
use crate::recipe_error::RecipeError;
use crate::session::Session;
use crate::watch::{EventKind, WatchError};
use api::mvccpb::KeyValue;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// What an owner is asked with.
const REVOKE: &[u8] = b"REVOKE";
/// Keys in memory; those beyond are read from the server.
const MOST_KEYS: usize = 10_000;
/// Pause before the owner's side is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// A cache. All who write its keys must write through one with the same prefix.
///
/// ```
/// # harness::examples::on_member(async |endpoint| {
/// # let client = conclave_client::Client::connect([endpoint]).await?;
/// use conclave_client::LeasingCache;
/// let ten = std::time::Duration::from_secs(10);
/// let mine = LeasingCache::open(&client, "leasing/", ten).await?;
/// let yours = LeasingCache::open(&client, "leasing/", ten).await?;
/// mine.put("color", "blue").await?;
/// assert_eq!(mine.get("color").await?.expect("it is there").value, "blue");
/// // asks the first to give the key up, and waits
/// yours.put("color", "red").await?;
/// assert_eq!(mine.get("color").await?.expect("it is there").value, "red");
/// # Ok(())
/// # });
/// ```
pub struct LeasingCache {
    session: Session,
    prefix: Bytes,
    shared: Shared,
    task: JoinHandle<()>,
}

type Shared = Arc<Mutex<State>>;

/// What the cache and its keeper share.
#[derive(Debug, Default)]
struct State {
    /// Keys whose leasing key this session holds.
    entries: HashMap<Bytes, Entry>,
    /// Keys that were given up, with the revision of the order: who took the leasing key before it, and has not heard of it yet,
    /// must not begin to answer from memory. Kept while somebody is under way.
    given_up: HashMap<Bytes, i64>,
    under_way: usize,
    /// Moves when everything is given up.
    epoch: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    /// Revision at which the leasing key was created.
    leased: i64,
    /// What the key holds.
    value: Option<KeyValue>,
}

impl LeasingCache {
    /// A cache whose leasing keys begin with `prefix`; `ttl` is how long others wait for a process that died.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub async fn open(client: &Client, prefix: impl IntoBytes, ttl: Duration) -> Result<Self, RecipeError> {
        let session = Session::open(client, ttl).await?;
        let prefix = prefix.into_bytes();
        let shared = Shared::default();
        let lease = session.lease();
        let keeper = Keeper { client: client.clone(), lease, prefix: prefix.clone(), shared: shared.clone() };
        let revision = client.get(&prefix).prefix().count_only().await?.revision;
        let task = tokio::spawn(keeper.run(revision + 1));
        Ok(Self { session, prefix, shared, task })
    }

    /// A key: from memory when it is owned, otherwise from the server, and then owned if nobody else has it.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub async fn get(&self, key: impl IntoBytes) -> Result<Option<KeyValue>, RecipeError> {
        let key = key.into_bytes();
        if let Some(entry) = self.entry(&key) {
            return Ok(entry.value);
        }
        if lock(&self.shared).entries.len() >= MOST_KEYS {
            return Ok(self.session.client().get(&key).await?.kvs.pop());
        }
        let taking = Taking::begin(&self.shared);
        let leasing = self.leasing_key(&key);
        let lease = Put::new(&leasing, "").lease(self.session.lease());
        // a key that goes with a lease ends without a write
        let free = self.session.client().txn().when(Compare::is_missing(&leasing));
        let txn = free.when(Compare::lease(&key).equals(0)).then(lease).then(Get::new(&key));
        let done = txn.otherwise(Get::new(&key)).await?;
        let value = done.values(usize::from(done.succeeded)).and_then(|values| values.first()).cloned();
        if done.succeeded {
            self.keep(&taking, &key, Entry { leased: done.revision, value: value.clone() }).await?;
        }
        Ok(value)
    }

    /// Writes a key, once nobody else owns it: the revision of the write.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub async fn put(&self, key: impl IntoBytes, value: impl IntoBytes) -> Result<i64, RecipeError> {
        let (key, value) = (key.into_bytes(), value.into_bytes());
        self.write(&key, || Put::new(&key, &value).into()).await
    }

    /// Deletes a key, once nobody else owns it: the revision of the deletion.
    ///
    /// # Errors
    /// [`RecipeError`].
    pub async fn delete(&self, key: impl IntoBytes) -> Result<i64, RecipeError> {
        let key = key.into_bytes();
        self.write(&key, || Delete::new(&key).into()).await
    }

    /// Whether a key would be answered from memory.
    pub fn owns(&self, key: impl IntoBytes) -> bool {
        self.entry(&key.into_bytes()).is_some()
    }

    async fn write(&self, key: &Bytes, op: impl Fn() -> Op) -> Result<i64, RecipeError> {
        let leasing = self.leasing_key(key);
        let client = self.session.client();
        loop {
            let taking = Taking::begin(&self.shared);
            // what is being written may be read again only when it is known: the entry goes, the leasing key stays
            let own = lock(&self.shared).entries.remove(key).filter(|_| !self.session.is_lost());
            let mine = own.map_or(0, |entry| entry.leased);
            let may = Compare::create_revision(&leasing).equals(mine);
            let done = client.txn().when(may).then(op()).then(Get::new(key)).otherwise(Get::new(&leasing)).await?;
            if done.succeeded {
                if mine != 0 {
                    let value = done.values(1).and_then(|values| values.first()).cloned();
                    self.keep(&taking, key, Entry { leased: mine, value }).await?;
                }
                return Ok(done.revision);
            }
            drop(taking);
            let Some(owner) = done.values(0).and_then(|values| values.first()) else { continue };
            if owner.lease == self.session.lease() {
                // one's own, of which memory knows nothing any more, nor may whoever is taking it
                lock(&self.shared).give_up(key, owner.create_revision + 1);
                release(client, &leasing, owner.create_revision).await?;
                continue;
            }
            let still = Compare::create_revision(&leasing).equals(owner.create_revision);
            // the lease stays the owner's: when it dies, the key goes
            let asked = client.txn().when(still).then(Put::new(&leasing, REVOKE).keep_lease()).await?;
            if asked.succeeded {
                deleted(client, &leasing, false, asked.revision).await?;
            }
        }
    }

    /// Answers a key from memory from now on, or gives it up at once when that was asked for meanwhile.
    async fn keep(&self, taking: &Taking<'_>, key: &Bytes, entry: Entry) -> Result<(), RecipeError> {
        let leased = entry.leased;
        if self.session.is_lost() || taking.keep(key, entry) {
            return Ok(());
        }
        release(self.session.client(), &self.leasing_key(key), leased).await
    }

    fn entry(&self, key: &Bytes) -> Option<Entry> {
        if self.session.is_lost() {
            return None;
        }
        lock(&self.shared).entries.get(key).cloned()
    }

    fn leasing_key(&self, key: &Bytes) -> Bytes {
        [&self.prefix[..], key].concat().into()
    }
}

impl Drop for LeasingCache {
    fn drop(&mut self) {
        // the leasing keys go with the lease
        self.task.abort();
    }
}

/// Somebody is taking a key: what is given up meanwhile is remembered.
struct Taking<'a> {
    shared: &'a Shared,
    epoch: u64,
}

impl<'a> Taking<'a> {
    fn begin(shared: &'a Shared) -> Self {
        let mut state = lock(shared);
        state.under_way += 1;
        Self { shared, epoch: state.epoch }
    }

    /// False when the key was given up since its leasing key was taken.
    fn keep(&self, key: &Bytes, entry: Entry) -> bool {
        let mut state = lock(self.shared);
        let given_up = state.given_up.get(key).is_some_and(|at| *at > entry.leased);
        let kept = state.epoch == self.epoch && !given_up;
        if kept {
            state.entries.insert(key.clone(), entry);
        }
        kept
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        let mut state = lock(self.shared);
        state.under_way -= 1;
        if state.under_way == 0 {
            state.given_up.clear();
        }
    }
}

impl State {
    /// Whatever was leased before a revision is not answered from memory any more.
    fn give_up(&mut self, key: &Bytes, before: i64) {
        if self.entries.get(key).is_some_and(|entry| entry.leased < before) {
            self.entries.remove(key);
        }
        if self.under_way > 0 {
            self.given_up.insert(key.clone(), before);
        }
    }
}

/// Gives keys up that others ask for.
struct Keeper {
    client: Client,
    lease: i64,
    prefix: Bytes,
    shared: Shared,
}

impl Keeper {
    async fn run(self, mut since: i64) {
        loop {
            since = match self.follow(since).await {
                Ok(since) | Err(WatchError::Compacted { oldest: since }) => since,
                Err(WatchError::Refused(_)) => since,
            };
            // what was asked meanwhile is not known: everything is given up
            let all: Vec<(Bytes, Entry)> = {
                let mut state = lock(&self.shared);
                state.epoch += 1;
                state.entries.drain().collect()
            };
            for (key, entry) in all {
                self.release(&key, entry.leased).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Follows what is asked; comes back when it cannot go on.
    async fn follow(&self, since: i64) -> Result<i64, WatchError> {
        let mut watcher = self.client.watch(&self.prefix).prefix().since(since).await?;
        while let Some(changes) = watcher.next().await {
            for event in changes?.events {
                let Some(key) = event.kv.key.strip_prefix(&self.prefix[..]) else { continue };
                let key = Bytes::copy_from_slice(key);
                let asked = event.kind == EventKind::Put && event.kv.value == REVOKE && event.kv.lease == self.lease;
                if !asked && event.kind == EventKind::Put {
                    continue;
                }
                // memory first, leasing key second: between the two the key is answered by the server
                lock(&self.shared).give_up(&key, event.kv.mod_revision);
                if asked {
                    self.release(&key, event.kv.create_revision).await;
                }
            }
        }
        Ok(watcher.next_revision())
    }

    async fn release(&self, key: &Bytes, leased: i64) {
        let leasing: Bytes = [&self.prefix[..], key].concat().into();
        while let Err(RecipeError::Call(why)) = release(&self.client, &leasing, leased).await {
            if !why.is_uncertain() {
                // it goes with the lease
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Deletes a leasing key, unless it is another one by now.
async fn release(client: &Client, leasing: &Bytes, leased: i64) -> Result<(), RecipeError> {
    let still = Compare::create_revision(leasing).equals(leased);
    client.txn().when(still).then(Delete::new(leasing)).await?;
    Ok(())
}

fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
