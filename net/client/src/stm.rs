//! Transactions in memory: code that reads and writes as if it were alone, repeated until it was.
//!
//! Must never send a commit again whose outcome is not known: code that adds one would add two.

use crate::blob::IntoBytes;
use crate::client::Client;
use crate::error::Error;
use crate::kv::{Compare, Delete, Op, Put};
use api::mvccpb::KeyValue;
use bytes::Bytes;
use std::collections::BTreeMap;

/// What a transaction is protected from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// All reads are of one revision, and nothing that was read or is written has changed when it commits.
    #[default]
    SerializableSnapshot,
    /// All reads are of one revision, and nothing that was read has changed when it commits.
    Serializable,
    /// A key that is read twice has the same value, and nothing that was read has changed when it commits.
    RepeatableReads,
    /// Others' writes may come in between.
    ReadCommitted,
}

/// Why a transaction gave up.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StmError<E> {
    /// The code said so: nothing was written.
    #[error("{0}")]
    Aborted(E),
    /// A call failed.
    #[error(transparent)]
    Call(#[from] Error),
    /// Others were faster each time: nothing was written.
    #[error("others changed the same keys {0} times in a row")]
    Conflicts(usize),
}

/// What the code works with. What it writes is seen by its own reads, and by nobody else before the commit.
pub struct Transaction {
    client: Client,
    isolation: Isolation,
    /// What was read, and what was there.
    reads: BTreeMap<Bytes, Option<KeyValue>>,
    /// What is to be written; none is deleted.
    writes: BTreeMap<Bytes, Option<Bytes>>,
    /// Revision of the first read.
    revision: Option<i64>,
}

/// A transaction was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed<T> {
    /// What the code returned.
    pub value: T,
    /// Revision of its writes; of its reads when it wrote nothing.
    pub revision: i64,
}

/// How often code is repeated before it gives up.
const ATTEMPTS: usize = 1000;

impl Client {
    /// Runs code that reads and writes keys, and commits what it wrote if nobody was in its way; otherwise runs it again. It may
    /// run several times, so it must do nothing else.
    ///
    /// ```
    /// # harness::examples::on_member(async |endpoint| {
    /// # let client = conclave_client::Client::connect([endpoint]).await?;
    /// use conclave_client::{Isolation, Transaction};
    /// client.put("anna", "70").await?;
    /// client.put("ben", "30").await?;
    /// let number = |bytes: Option<bytes::Bytes>| -> i64 {
    ///     bytes.and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse().ok()).unwrap_or(0)
    /// };
    /// let moved = client.transaction(Isolation::default(), async |tx: &mut Transaction| {
    ///     let (anna, ben) = (number(tx.get("anna").await?), number(tx.get("ben").await?));
    ///     tx.put("anna", (anna - 20).to_string());
    ///     tx.put("ben", (ben + 20).to_string());
    ///     Ok::<_, conclave_client::Error>(ben + 20)
    /// });
    /// assert_eq!(moved.await?.value, 50);
    /// assert_eq!(client.get("anna").await?.value(), Some(&b"50"[..]));
    /// # Ok(())
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`StmError`].
    pub async fn transaction<T, E>(
        &self,
        isolation: Isolation,
        mut code: impl AsyncFnMut(&mut Transaction) -> Result<T, E>,
    ) -> Result<Committed<T>, StmError<E>> {
        for _ in 0..ATTEMPTS {
            let mut transaction = Transaction {
                client: self.clone(),
                isolation,
                reads: BTreeMap::new(),
                writes: BTreeMap::new(),
                revision: None,
            };
            let value = code(&mut transaction).await.map_err(StmError::Aborted)?;
            if let Some(revision) = transaction.commit().await? {
                return Ok(Committed { value, revision });
            }
        }
        Err(StmError::Conflicts(ATTEMPTS))
    }
}

impl Transaction {
    /// Reads a key.
    ///
    /// # Errors
    /// [`Error`], to be handed on.
    pub async fn get(&mut self, key: impl IntoBytes) -> Result<Option<Bytes>, Error> {
        let key = key.into_bytes();
        if let Some(written) = self.writes.get(&key) {
            return Ok(written.clone());
        }
        if let Some(read) = self.reads.get(&key).filter(|_| self.isolation != Isolation::ReadCommitted) {
            return Ok(read.as_ref().map(|kv| kv.value.clone()));
        }
        let mut get = self.client.get(&key);
        let one_revision = matches!(self.isolation, Isolation::SerializableSnapshot | Isolation::Serializable);
        if let Some(revision) = self.revision.filter(|_| one_revision) {
            get = get.at(revision);
        }
        let mut found = get.await?;
        self.revision.get_or_insert(found.revision);
        let found = found.kvs.pop();
        let value = found.as_ref().map(|kv| kv.value.clone());
        self.reads.insert(key, found);
        Ok(value)
    }

    /// Writes a key.
    pub fn put(&mut self, key: impl IntoBytes, value: impl IntoBytes) {
        self.writes.insert(key.into_bytes(), Some(value.into_bytes()));
    }

    /// Deletes a key.
    pub fn delete(&mut self, key: impl IntoBytes) {
        self.writes.insert(key.into_bytes(), None);
    }

    /// The revision, or none when somebody was in the way.
    async fn commit(self) -> Result<Option<i64>, Error> {
        let Self { client, isolation, reads, writes, revision } = self;
        if writes.is_empty() && !matches!(isolation, Isolation::RepeatableReads) {
            // reads of one revision agree with each other; those of several were not asked to
            return Ok(Some(revision.unwrap_or(0)));
        }
        let mut txn = client.txn();
        if isolation != Isolation::ReadCommitted {
            for (key, found) in &reads {
                txn = txn.when(Compare::mod_revision(key).equals(found.as_ref().map_or(0, |kv| kv.mod_revision)));
            }
        }
        if let (Isolation::SerializableSnapshot, Some(revision)) = (isolation, revision) {
            for key in writes.keys().filter(|key| !reads.contains_key(*key)) {
                txn = txn.when(Compare::mod_revision(key).less_than(revision + 1));
            }
        }
        for (key, value) in writes {
            let op: Op = match value {
                Some(value) => Put::new(key, value).into(),
                None => Delete::new(key).into(),
            };
            txn = txn.then(op);
        }
        let done = txn.await?;
        Ok(done.succeeded.then_some(done.revision))
    }
}
