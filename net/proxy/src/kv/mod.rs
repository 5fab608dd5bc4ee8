//! Keys: reads from what is kept or from the cluster, writes to the cluster. Both in the namespace.
//!
//! Must never send a write twice.

mod cache;
#[cfg(test)]
mod cache_tests;
mod leasing;

use crate::namespace::Namespace;
use crate::pages::Counters;
use crate::upstream::{Context, Pool, Repeat, told};
use api::etcdserverpb as pb;
use bytes::Bytes;
use cache::{Cache, Found, Question, Span};
use futures_util::{Stream, StreamExt};
pub(crate) use leasing::{Leasing, follow, hold_lease};
use pb::RequestUnion;
use pb::response_op::Response as OpResponse;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tonic::{Request, Response, Status};

/// The KV service.
pub(crate) struct Kv {
    pool: Pool,
    namespace: Namespace,
    cache: Mutex<Cache>,
    counters: Arc<Counters>,
    /// Newest revision that a read has shown, when reads must not go back.
    newest: Option<AtomicI64>,
    /// Linearizable reads from memory.
    leasing: Option<Arc<Leasing>>,
}

impl Kv {
    pub(crate) fn new(
        pool: Pool,
        namespace: Namespace,
        ordering: bool,
        leasing: Option<Arc<Leasing>>,
        counters: Arc<Counters>,
    ) -> Self {
        let newest = ordering.then(AtomicI64::default);
        Self { pool, namespace, cache: Mutex::new(Cache::new()), counters, newest, leasing }
    }

    pub(crate) async fn range(
        &self,
        request: Request<pb::RangeRequest>,
    ) -> Result<Response<pb::RangeResponse>, Status> {
        let context = Context::of(request.metadata());
        let request = request.into_inner();
        self.refuse_empty(&request.key)?;
        let question = Question::new(&context, &request);
        if request.serializable {
            match self.cache().get(&question, request.revision, Instant::now()) {
                Found::Answer(answer) => {
                    self.counters.cache_hits.fetch_add(1, Relaxed);
                    return Ok(Response::new(answer.as_ref().clone()));
                }
                Found::Compacted => {
                    self.counters.cache_hits.fetch_add(1, Relaxed);
                    return Err(Status::out_of_range("etcdserver: mvcc: required revision has been compacted"));
                }
                Found::Nothing => self.counters.cache_misses.fetch_add(1, Relaxed),
            };
        }
        if let Some(leasing) = &self.leasing
            && let Some(mut answer) = leasing.read(&context, &request).await?
        {
            self.namespace.strip_range(&mut answer);
            return Ok(Response::new(answer));
        }
        let begun = self.cache().begin();
        let mut inside = request.clone();
        self.namespace.range(&mut inside);
        let mut answer = self.read(&context, inside).await?;
        self.namespace.strip_range(&mut answer);
        let answer = Arc::new(answer);
        self.cache().add(question, &request, answer.clone(), begun, Instant::now());
        self.count_keys();
        Ok(Response::new(Arc::unwrap_or_clone(answer)))
    }

    /// Reads at a member; of a serializable read with ordering, at one that is not behind what was shown before.
    async fn read(&self, context: &Context, request: pb::RangeRequest) -> Result<pb::RangeResponse, Status> {
        const BEHIND: &str =
            "etcdclient: no cluster members have a revision higher than the previously received revision";
        let tries = 5 * self.pool.endpoints().len().max(1);
        for _ in 0..tries {
            let path = "/etcdserverpb.KV/Range";
            let answer: pb::RangeResponse = self.pool.unary(path, context, request.clone(), Repeat::Safe).await?;
            let Some(newest) = &self.newest else { return Ok(answer) };
            let revision = answer.header.as_ref().map_or(0, |header| header.revision);
            if newest.fetch_max(revision, Relaxed) <= revision || !request.serializable {
                return Ok(answer);
            }
        }
        Err(Status::unknown(BEHIND))
    }

    /// A long range in parts. They are not kept.
    pub(crate) async fn range_stream(
        &self,
        request: Request<pb::RangeRequest>,
    ) -> Result<Response<impl Stream<Item = Result<pb::RangeStreamResponse, Status>> + Send + use<>>, Status> {
        let context = Context::of(request.metadata());
        let mut request = request.into_inner();
        self.refuse_empty(&request.key)?;
        self.namespace.range(&mut request);
        let parts = self.pool.answers("/etcdserverpb.KV/RangeStream", &context, request).await?;
        let namespace = self.namespace.clone();
        let parts = parts.map(move |part: Result<pb::RangeStreamResponse, Status>| {
            let mut part = part.map_err(told)?;
            part.range_response.iter_mut().for_each(|range| namespace.strip_range(range));
            Ok(part)
        });
        Ok(Response::new(parts))
    }

    pub(crate) async fn put(&self, request: Request<pb::PutRequest>) -> Result<Response<pb::PutResponse>, Status> {
        let context = Context::of(request.metadata());
        let mut request = request.into_inner();
        self.refuse_empty(&request.key)?;
        let spans = [Span::new(&request.key, &Bytes::new())];
        request.key = self.namespace.key(&request.key);
        let mut answer = match &self.leasing {
            Some(leasing) => {
                let write = RequestUnion::Put(request);
                let (header, own) = self.write_leased(leasing, &context, write, &spans, &spans).await?;
                let OpResponse::ResponsePut(answer) = own else { return Err(leasing::unexpected()) };
                pb::PutResponse { header: Some(header), ..answer }
            }
            None => {
                let revision = |answer: &pb::PutResponse| answer.header.as_ref().map_or(0, |header| header.revision);
                self.write("/etcdserverpb.KV/Put", &context, request, &spans, revision).await?
            }
        };
        self.namespace.strip_put(&mut answer);
        Ok(Response::new(answer))
    }

    pub(crate) async fn delete_range(
        &self,
        request: Request<pb::DeleteRangeRequest>,
    ) -> Result<Response<pb::DeleteRangeResponse>, Status> {
        let context = Context::of(request.metadata());
        let mut request = request.into_inner();
        self.refuse_empty(&request.key)?;
        let spans = [Span::new(&request.key, &request.range_end)];
        self.namespace.delete(&mut request);
        let mut answer = match &self.leasing {
            Some(leasing) => {
                let write = RequestUnion::DeleteRange(request);
                let (header, own) = self.write_leased(leasing, &context, write, &spans, &spans).await?;
                let OpResponse::ResponseDeleteRange(answer) = own else { return Err(leasing::unexpected()) };
                pb::DeleteRangeResponse { header: Some(header), ..answer }
            }
            None => {
                let revision =
                    |answer: &pb::DeleteRangeResponse| answer.header.as_ref().map_or(0, |header| header.revision);
                self.write("/etcdserverpb.KV/DeleteRange", &context, request, &spans, revision).await?
            }
        };
        self.namespace.strip_delete(&mut answer);
        Ok(Response::new(answer))
    }

    pub(crate) async fn txn(&self, request: Request<pb::TxnRequest>) -> Result<Response<pb::TxnResponse>, Status> {
        let context = Context::of(request.metadata());
        let mut request = request.into_inner();
        let mut spans = Vec::new();
        self.collect_writes(&request, &mut spans)?;
        let written = leasing::written(&request);
        self.namespace.txn(&mut request);
        let mut answer = match &self.leasing {
            // what only reads needs nobody's leave
            Some(leasing) if !written.is_empty() => {
                let write = RequestUnion::Txn(request);
                let (header, own) = self.write_leased(leasing, &context, write, &spans, &written).await?;
                let OpResponse::ResponseTxn(answer) = own else { return Err(leasing::unexpected()) };
                pb::TxnResponse { header: Some(header), ..answer }
            }
            _ => {
                let revision = |answer: &pb::TxnResponse| answer.header.as_ref().map_or(0, |header| header.revision);
                self.write("/etcdserverpb.KV/Txn", &context, request, &spans, revision).await?
            }
        };
        self.namespace.strip_txn(&mut answer);
        Ok(Response::new(answer))
    }

    pub(crate) async fn compact(
        &self,
        request: Request<pb::CompactionRequest>,
    ) -> Result<Response<pb::CompactionResponse>, Status> {
        let context = Context::of(request.metadata());
        let request = request.into_inner();
        let answer = self.pool.unary("/etcdserverpb.KV/Compact", &context, request, Repeat::Never).await?;
        self.cache().compact(request.revision);
        Ok(Response::new(answer))
    }

    /// Rights have changed: whoever asks again is judged again.
    pub(crate) fn forget_all(&self) {
        if let Some(leasing) = &self.leasing {
            leasing.forget_all();
        }
        self.cache().clear();
        self.count_keys();
    }

    /// Forgets what a write changes, before it begins and again when its outcome is known.
    async fn write<Q, A>(
        &self,
        path: &'static str,
        context: &Context,
        request: Q,
        spans: &[Span],
        revision: impl Fn(&A) -> i64,
    ) -> Result<A, Status>
    where
        Q: prost::Message + Clone + 'static,
        A: prost::Message + Default + 'static,
    {
        let written = Written { kv: self, spans };
        written.note(0);
        let answer = self.pool.unary(path, context, request, Repeat::Never).await;
        if let Ok(answer) = &answer {
            written.note(revision(answer));
        }
        answer
    }

    /// As [`Self::write`], once nobody else has a key of `written` in memory.
    async fn write_leased(
        &self,
        leasing: &Arc<Leasing>,
        context: &Context,
        write: RequestUnion,
        spans: &[Span],
        written: &[Span],
    ) -> Result<(pb::ResponseHeader, OpResponse), Status> {
        let noted = Written { kv: self, spans };
        noted.note(0);
        let done = leasing.write(context, write, written).await;
        if let Ok((header, _)) = &done {
            noted.note(header.revision);
        }
        done
    }

    /// What a transaction may change, and what it compares: it may show that an answer is old.
    fn collect_writes(&self, txn: &pb::TxnRequest, spans: &mut Vec<Span>) -> Result<(), Status> {
        spans.extend(txn.compare.iter().map(|compare| Span::new(&compare.key, &compare.range_end)));
        for op in txn.success.iter().chain(&txn.failure) {
            match &op.request {
                Some(pb::RequestUnion::Range(range)) => self.refuse_empty(&range.key)?,
                Some(pb::RequestUnion::Put(put)) => {
                    self.refuse_empty(&put.key)?;
                    spans.push(Span::new(&put.key, &Bytes::new()));
                }
                Some(pb::RequestUnion::DeleteRange(delete)) => {
                    self.refuse_empty(&delete.key)?;
                    spans.push(Span::new(&delete.key, &delete.range_end));
                }
                Some(pb::RequestUnion::Txn(inner)) => self.collect_writes(inner, spans)?,
                None => {}
            }
        }
        Ok(())
    }

    /// With a prefix before it, an empty key would be the prefix itself; without one, the member refuses it.
    fn refuse_empty(&self, key: &Bytes) -> Result<(), Status> {
        if key.is_empty() && !self.namespace.is_none() {
            return Err(Status::invalid_argument("etcdserver: key is not provided"));
        }
        Ok(())
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_keys(&self) {
        self.counters.cache_keys.store(self.cache().len() as u64, Relaxed);
    }
}

/// A write under way. When its caller gives up, its outcome is unknown: it is noted once more then.
struct Written<'w> {
    kv: &'w Kv,
    spans: &'w [Span],
}

impl Written<'_> {
    fn note(&self, revision: i64) {
        let mut cache = self.kv.cache();
        self.spans.iter().for_each(|span| cache.written(span.clone(), revision));
        drop(cache);
        self.kv.count_keys();
    }
}

impl Drop for Written<'_> {
    fn drop(&mut self) {
        self.note(0);
    }
}
