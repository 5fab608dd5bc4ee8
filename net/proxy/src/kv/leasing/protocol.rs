//! The keys that this proxy has, and what is done to take, write and give up one.
//!
//! Must never answer from memory after the leasing key was given up, or when the lease may be over.

use super::guard::{self, Names};
use super::table::{Entry, Kept, Released, Table};
use crate::kv::cache::Span;
use crate::namespace::Namespace;
use crate::upstream::{Context, Pool, Repeat};
use api::etcdserverpb as pb;
use bytes::Bytes;
use pb::response_op::Response;
use pb::{RequestUnion, ResponseHeader};
use std::collections::HashSet;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tonic::{Code, Status};

const TXN: &str = "/etcdserverpb.KV/Txn";
/// First and longest pause before it is looked again whether a leasing key is gone, if nobody tells.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Tries to delete a leasing key; later it is deleted by whoever wants to write the key, or goes with the lease.
const RELEASES: usize = 5;

/// The lease of this proxy.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeldLease {
    pub(super) id: i64,
    /// Until then it lives in any case.
    pub(super) until: Instant,
}

/// See the file header.
pub(crate) struct Leasing {
    pub(super) pool: Pool,
    pub(super) prefix: Bytes,
    pub(super) names: Names,
    table: Mutex<Table>,
    pub(super) lease: Mutex<Option<HeldLease>>,
    /// Newest revision that an answer has shown.
    newest: AtomicI64,
    /// A leasing key was deleted.
    pub(super) deleted: Notify,
}

impl Leasing {
    /// With leasing keys that begin with `prefix`, inside of the namespace.
    pub(crate) fn new(pool: Pool, namespace: Namespace, prefix: Bytes) -> Self {
        Self {
            pool,
            names: Names::new(namespace, &prefix),
            prefix,
            table: Mutex::new(Table::new()),
            lease: Mutex::default(),
            newest: AtomicI64::new(0),
            deleted: Notify::new(),
        }
    }

    /// The answer to a read as the cluster would give it, with keys as the cluster knows them; `None` when it is to be read there.
    ///
    /// # Errors
    /// The cluster cannot be reached.
    pub(in crate::kv) async fn read(
        self: &Arc<Self>,
        context: &Context,
        request: &pb::RangeRequest,
    ) -> Result<Option<pb::RangeResponse>, Status> {
        let is_single = request.range_end.is_empty() && !request.key.is_empty();
        if !is_single || request.revision != 0 || request.serializable || !context.token().is_empty() {
            return Ok(None);
        }
        let Some(lease) = self.lease() else { return Ok(None) };
        let begun = {
            let mut table = self.table();
            if let Some(entry) = table.get(&request.key) {
                return Ok(Some(entry.answer(request, self.newest.load(Relaxed))));
            }
            if !table.may_take(&request.key, Instant::now()) {
                return Ok(None);
            }
            table.begin()
        };
        let txn = guard::acquire(&self.names, request, lease.id);
        match self.pool.unary::<_, pb::TxnResponse>(TXN, context, txn, Repeat::Safe).await {
            Ok(done) => Ok(self.taken(request, done, begun)),
            Err(why) if matches!(why.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled) => Err(why),
            // a read is no write: where none is allowed, or the lease is gone, the cluster answers as ever
            Err(_) => Ok(None),
        }
    }

    fn taken(
        self: &Arc<Self>,
        request: &pb::RangeRequest,
        done: pb::TxnResponse,
        begun: u64,
    ) -> Option<pb::RangeResponse> {
        let header = done.header?;
        self.saw(&header);
        let Some(Response::ResponseRange(mut range)) = done.responses.into_iter().next()?.response else { return None };
        if !done.succeeded {
            range.header = Some(header);
            return Some(range);
        }
        let entry = Entry { leased: header.revision, kv: range.kvs.pop()?, header };
        let answer = entry.answer(request, header.revision);
        self.keep(begun, request.key.clone(), entry);
        Some(answer)
    }

    /// Writes once nobody else has a key of `spans`: the header and the write's own answer.
    ///
    /// # Errors
    /// The member's refusal; `Unavailable` when nobody knows what became of the write.
    pub(in crate::kv) async fn write(
        self: &Arc<Self>,
        context: &Context,
        write: RequestUnion,
        spans: &[Span],
    ) -> Result<(ResponseHeader, Response), Status> {
        let mut asked: HashSet<Released> = HashSet::new();
        let mut pause = PAUSES.0;
        loop {
            let gone = self.deleted.notified();
            tokio::pin!(gone);
            gone.as_mut().enable();
            // what is being written may be read again only when it is known: it goes from memory, its leasing key stays
            let (begun, owned) = {
                let mut table = self.table();
                let singles = spans.iter().filter(|span| span.end.is_empty());
                let owned: Vec<(Bytes, i64)> =
                    singles.filter_map(|span| Some((span.key.clone(), table.take(&span.key)?))).collect();
                (table.begin(), owned)
            };
            let txn = guard::guarded(&self.names, write.clone(), spans, &owned);
            let done: pb::TxnResponse = self.pool.unary(TXN, context, txn, Repeat::Never).await?;
            let header = done.header.ok_or_else(unexpected)?;
            self.saw(&header);
            let mut answers = done.responses.into_iter().filter_map(|op| op.response);
            if done.succeeded {
                let own = answers.next().ok_or_else(unexpected)?;
                self.keep_written(begun, owned, answers, header);
                return Ok((header, own));
            }
            let against = answers.filter_map(|answer| match answer {
                Response::ResponseRange(range) => Some(range.kvs),
                _ => None,
            });
            let mut others = false;
            for leasing in against.flatten() {
                let (key, leased) = (leasing.key, leasing.create_revision);
                if self
                    .lease
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .is_some_and(|held| held.id == leasing.lease)
                {
                    // one's own, of which memory knows nothing any more
                    self.give_up(&key, leased + 1);
                    self.release(&key, leased).await;
                    continue;
                }
                others = true;
                if leasing.value != guard::REVOKE && asked.insert((key.clone(), leased)) {
                    let _: pb::TxnResponse =
                        self.pool.unary(TXN, context, guard::revoke(key, leased), Repeat::Safe).await?;
                }
            }
            if others {
                let _ = tokio::time::timeout(pause, gone).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }

    /// Keeps what own keys hold after a write; those that are gone, or go with a lease now, are released.
    fn keep_written(
        self: &Arc<Self>,
        begun: u64,
        owned: Vec<(Bytes, i64)>,
        values: impl Iterator<Item = Response>,
        header: ResponseHeader,
    ) {
        for ((key, leased), value) in owned.into_iter().zip(values) {
            let Response::ResponseRange(mut range) = value else { continue };
            match range.kvs.pop().filter(|kv| kv.lease == 0) {
                Some(kv) => self.keep(begun, key, Entry { leased, kv, header }),
                None => self.release_soon(vec![(key, leased)]),
            }
        }
    }

    /// Rights have changed, or may have: nothing is handed out from memory.
    pub(in crate::kv) fn forget_all(self: &Arc<Self>) {
        let all = self.table().give_up_all();
        self.release_soon(all);
    }

    fn keep(self: &Arc<Self>, begun: u64, key: Bytes, entry: Entry) {
        let leased = entry.leased;
        let kept = self.table().keep(begun, key.clone(), entry);
        match kept {
            Kept::Yes(released) => self.release_soon(released),
            Kept::No => self.release_soon(vec![(key, leased)]),
        }
    }

    /// Whatever was leased before a revision is not handed out any more. The key is a leasing key.
    fn give_up(&self, leasing: &Bytes, before: i64) {
        if let Some(key) = self.names.key_of(leasing) {
            self.table().give_up(&key, before, Instant::now());
        }
    }

    /// Deletes leasing keys of clients' keys, in the background.
    pub(super) fn release_soon(self: &Arc<Self>, all: Vec<Released>) {
        if all.is_empty() {
            return;
        }
        let leasing = self.clone();
        tokio::spawn(async move {
            for (key, leased) in all {
                leasing.release(&leasing.names.leasing(&key), leased).await;
            }
        });
    }

    /// Deletes a leasing key. Without success it goes with the lease, or when somebody asks for it.
    async fn release(&self, leasing: &Bytes, leased: i64) {
        for _ in 0..RELEASES {
            let txn = guard::release(leasing.clone(), leased);
            let done = self.pool.unary::<_, pb::TxnResponse>(TXN, &Context::default(), txn, Repeat::Safe).await;
            match done {
                Err(why) if why.code() == Code::Unavailable => tokio::time::sleep(PAUSES.0).await,
                _ => return,
            }
        }
    }

    /// The lease, while it lives in any case.
    pub(super) fn lease(&self) -> Option<HeldLease> {
        let held = *self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        held.filter(|held| Instant::now() < held.until)
    }

    fn saw(&self, header: &ResponseHeader) {
        self.newest.fetch_max(header.revision, Relaxed);
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A member whose answer is not what was asked for.
pub(in crate::kv) fn unexpected() -> Status {
    Status::internal("the member answered a transaction with something else")
}
