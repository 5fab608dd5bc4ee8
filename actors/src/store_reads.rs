//! The read side of the store as connection threads, reader pool and watch hub see it: each call takes the newest view.
//!
//! Must never write, and never hold a view between two calls.

use crate::auth_reads::{self, PublishedRules};
use crate::cancellable::Cancellable;
use crate::clock;
use crate::reader_pool::PoolReads;
use crate::simple_tokens::SimpleTokens;
use bytes::{BufMut, Bytes, BytesMut};
use messages::auth::AuthRules;
use messages::read::{ChunkSource, INLINE_BYTES, RangePlan, Reads, RunQuery, TxnPlan, TxnRange, Work};
use messages::v2::HeldListing;
use messages::{Gauges, Reply, ReplyBody, RequestError};
use model::request::{RangeRequest, TxnRequest};
use model::{Caller, KeyRange, MemberInfo, OpOutcome, RangeOutcome, ReadError, StoreStatus};
use prost::encoding::encode_varint;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;
use storage::auth::Access;
use storage::engine::Snapshot;
use storage::read::memory_budget::{MemoryBudget, Reservation};
use storage::read::{Budget, RangeCursor};
use storage::view::{View, Views};

/// Key-values a connection thread may collect by itself; what is longer goes to the pool.
const INLINE_KEYS: usize = 64;
/// Ranges of a transaction up to this many bytes are read when it is planned; larger ones are measured.
const INLINE_RANGE: usize = 4 << 10;

/// Reads over the published views.
#[derive(Debug)]
pub struct StoreReads<S> {
    views: Arc<Views<S>>,
    gauges: Arc<Gauges>,
    /// Memory for answers that are collected first.
    budget: Arc<MemoryBudget>,
    tokens: Arc<SimpleTokens>,
}

impl<S> Clone for StoreReads<S> {
    fn clone(&self) -> Self {
        let (views, gauges) = (self.views.clone(), self.gauges.clone());
        Self { views, gauges, budget: self.budget.clone(), tokens: self.tokens.clone() }
    }
}

impl<S: Snapshot> StoreReads<S> {
    /// Over these views; long walks end when the gauges say that the node stops. Answers that are collected before they are sent have
    /// `collected` bytes together.
    pub fn new(views: Arc<Views<S>>, gauges: Arc<Gauges>, tokens: Arc<SimpleTokens>, collected: usize) -> Self {
        Self { views, gauges, budget: MemoryBudget::new(collected), tokens }
    }

    /// Nobody is shown data that is not that of the other members.
    fn refuse_fenced(&self) -> Result<(), ReadError> {
        if self.gauges.fenced.load(Acquire) { Err(ReadError::Corrupt) } else { Ok(()) }
    }

    /// The newest view, for a walk that may be long.
    fn walk(&self) -> View<Cancellable<S>> {
        Cancellable::view(&self.views.load(), &self.gauges)
    }

    /// The newest view.
    pub(crate) fn view(&self) -> Arc<View<S>> {
        self.views.load()
    }

    fn plan(&self, request: &RangeRequest) -> Result<RangePlan, ReadError> {
        self.refuse_fenced()?;
        self.plan_in(&self.walk(), request)
    }

    fn plan_in(&self, view: &View<Cancellable<S>>, request: &RangeRequest) -> Result<RangePlan, ReadError> {
        let mut cursor = RangeCursor::new(view, request)?.within(self.budget.clone());
        let measured = cursor.measure(view)?;
        Ok(RangePlan {
            revision: view.status.revision,
            kvs_bytes: measured.encoded_bytes,
            more: measured.more,
            count: measured.count,
            source: Box::new(RangeChunks {
                views: self.views.clone(),
                gauges: self.gauges.clone(),
                cursor,
                done: false,
            }),
        })
    }

    /// A read-only transaction: all ranges in one view, the small ones read, the others measured.
    fn plan_txn(&self, request: &TxnRequest) -> Result<TxnPlan, ReadError> {
        self.refuse_fenced()?;
        let view = self.walk();
        let (succeeded, ranges) = storage::read::txn::branch(&view, request)?;
        let mut left = INLINE_BYTES;
        let ranges = ranges.into_iter().map(|request| {
            let planned = self.plan_in(&view, request)?;
            let small = planned.kvs_bytes as usize <= INLINE_RANGE.min(left);
            if !small {
                return Ok(TxnRange::Planned(planned));
            }
            left -= planned.kvs_bytes as usize;
            storage::read::range(&view, request).map(TxnRange::Read)
        });
        Ok(TxnPlan { revision: view.status.revision, succeeded, ranges: ranges.collect::<Result<_, ReadError>>()? })
    }

    /// The keys of a lease as `keys` fields of the answer: there may be millions, and no view is held while a client takes them.
    fn plan_lease(&self, id: i64, caller: &Caller) -> Result<RangePlan, ReadError> {
        self.refuse_fenced()?;
        let view = self.walk();
        let is_free = view.auth.check_admin(caller).is_ok();
        let mut reservation = Reservation::of(self.budget.clone());
        let mut chunks = VecDeque::new();
        let mut chunk = BytesMut::new();
        let mut bytes = 0;
        let mut count = 0;
        let mut from = Vec::new();
        loop {
            let (keys, more) = storage::read::meta::attached_keys_from(&view, id, &from, LEASE_KEYS)?;
            let Some(last) = keys.last() else { break };
            from = [last, &b"\0"[..]].concat();
            count += keys.len() as i64;
            for key in keys {
                if !is_free {
                    view.auth.check(caller, Access::Read, &KeyRange::new(key.clone(), Bytes::new()))?;
                }
                chunk.put_u8(LEASE_KEYS_TAG);
                encode_varint(key.len() as u64, &mut chunk);
                chunk.put_slice(&key);
            }
            reservation.reserve(chunk.len())?;
            bytes += chunk.len() as u64;
            chunks.push_back(chunk.split().freeze());
            if !more {
                break;
            }
        }
        let source = Box::new(LeaseChunks { chunks, _reservation: reservation });
        Ok(RangePlan { revision: view.status.revision, kvs_bytes: bytes, more: false, count, source })
    }
}

impl<S: Snapshot> Reads for StoreReads<S> {
    fn status(&self) -> StoreStatus {
        self.views.load().status.clone()
    }

    fn position(&self) -> (i64, u64) {
        let view = self.views.load();
        (view.status.revision, view.status.applied_term)
    }

    fn logical_bytes(&self) -> i64 {
        self.views.load().status.logical_bytes
    }

    fn read_txn(&self, request: &TxnRequest, most: usize) -> Option<Result<(i64, OpOutcome), ReadError>> {
        if let Err(fenced) = self.refuse_fenced() {
            return Some(Err(fenced));
        }
        let view = self.views.load();
        let outcome = storage::read::txn::read_txn(&view, request, most).transpose()?;
        Some(outcome.map(|outcome| (view.status.revision, outcome)))
    }

    fn range(&self, request: &RangeRequest, most: usize) -> Option<Result<(i64, RangeOutcome), ReadError>> {
        if let Err(fenced) = self.refuse_fenced() {
            return Some(Err(fenced));
        }
        let view = self.views.load();
        // a range in the past walks over every key that lived at another time, and so does its count
        let present = request.revision <= 0 || request.revision == view.status.revision;
        let outcome = if request.range_end.is_empty() {
            storage::read::single(&view, request, most)
        } else if present && request.count_only {
            storage::read::range(&view, request).map(Some)
        } else if !present || sorts(request) {
            return None;
        } else {
            short_range(&view, request, most)
        };
        Some(outcome.transpose()?.map(|outcome| (view.status.revision, outcome)))
    }

    fn auth(&self) -> Option<Arc<dyn AuthRules>> {
        let auth = self.views.load().auth.clone();
        auth.enabled().then(|| Arc::new(PublishedRules(auth)) as Arc<dyn AuthRules>)
    }

    fn auth_revision(&self) -> (bool, u64) {
        let view = self.views.load();
        (view.auth.enabled(), view.auth.revision())
    }

    fn user_of_token(&self, token: &str) -> Option<Arc<str>> {
        self.tokens.user_of(token, clock::since_boot())
    }

    fn applied_index(&self) -> u64 {
        self.views.load().status.applied_index
    }

    fn members(&self) -> Result<Vec<MemberInfo>, ReadError> {
        let view = self.views.load();
        let learners = storage::read::meta::conf_state(&view)?.learners;
        let members = storage::read::meta::members(&view)?;
        Ok(members
            .into_iter()
            .map(|(id, row)| MemberInfo {
                id,
                name: row.name,
                peer_urls: row.peer_urls,
                client_urls: row.client_urls,
                is_learner: learners.contains(&id),
            })
            .collect())
    }

    fn was_removed(&self, id: u64) -> bool {
        storage::read::meta::removed_members(&self.views.load()).is_ok_and(|removed| removed.contains(&id))
    }

    fn cluster_version(&self) -> Result<String, ReadError> {
        Ok(storage::read::meta::cluster_version(&self.views.load())?.unwrap_or_default())
    }

    fn downgrade_target(&self) -> Result<Option<String>, ReadError> {
        storage::read::meta::downgrade_target(&self.views.load())
    }
}

/// A range of few keys, whole; `None` when it turns out to be long.
fn short_range<S: Snapshot>(
    view: &View<S>,
    request: &RangeRequest,
    most: usize,
) -> Result<Option<RangeOutcome>, ReadError> {
    let mut cursor = RangeCursor::new(view, request)?;
    let chunk = cursor.next_chunk(view, Budget { keys: INLINE_KEYS, bytes: most })?;
    if !chunk.done {
        return Ok(None);
    }
    // without more keys behind the limit, what was returned is all there is
    let count = if cursor.more() { cursor.count(view, None)? } else { chunk.kvs.len() as i64 };
    Ok(Some(RangeOutcome { kvs: chunk.kvs, more: cursor.more(), count }))
}

/// True when the answer's order or filters force the whole range to be looked at.
fn sorts(request: &RangeRequest) -> bool {
    request.sort_order != 0
        || request.sort_target != 0
        || request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0
}

impl<S: Snapshot> PoolReads for StoreReads<S> {
    fn run(&self, run: RunQuery) -> Reply {
        let token = run.token;
        let body = match run.work {
            Work::PlanRange(request) => ReplyBody::RangePlanned(self.plan(&request)),
            Work::PlanLease { id, caller } => ReplyBody::RangePlanned(self.plan_lease(id, &caller)),
            Work::CheckLeases(check) => ReplyBody::LeasesChecked(auth_reads::check_leases(&self.walk(), &check)),
            Work::ReadTxn(request) => ReplyBody::TxnRead(self.plan_txn(&request)),
            Work::V2List { path, recursive, now } => {
                let mut reservation = Reservation::of(self.budget.clone());
                let view = self.walk();
                let list =
                    storage::v2::read::list(&view, &path, recursive, now, &mut |bytes| reservation.reserve(bytes));
                ReplyBody::V2Listed(list.map(|listing| HeldListing { listing, held: Box::new(reservation) }))
            }
            // pulled by the pool itself, and passed on to the hasher
            Work::NextChunk { .. } | Work::HashKv { .. } | Work::PeerHash { .. } | Work::Hash => {
                ReplyBody::JobDone(Err(RequestError::Failed))
            }
        };
        Reply { token, body }
    }
}

/// Chunks of a range at the revision it was planned at, each read from the view that is newest then.
struct RangeChunks<S> {
    views: Arc<Views<S>>,
    gauges: Arc<Gauges>,
    cursor: RangeCursor,
    done: bool,
}

impl<S: Snapshot> ChunkSource for RangeChunks<S> {
    fn next(&mut self, max_bytes: usize) -> Result<Option<Bytes>, ReadError> {
        if self.done {
            return Ok(None);
        }
        if self.gauges.fenced.load(Acquire) {
            return Err(ReadError::Corrupt);
        }
        let view = self.views.load();
        let chunk = self.cursor.next_chunk(&view, Budget { keys: usize::MAX, bytes: max_bytes })?;
        self.done = chunk.done;
        if chunk.kvs.is_empty() {
            return Ok(None);
        }
        let mut out = BytesMut::with_capacity(chunk.kvs.iter().map(|kv| kv.len() + 8).sum());
        for kv in chunk.kvs {
            out.put_u8(KVS_TAG);
            encode_varint(kv.len() as u64, &mut out);
            out.put_slice(&kv);
        }
        Ok(Some(out.freeze()))
    }
}

/// Keys of a lease, encoded.
struct LeaseChunks {
    chunks: VecDeque<Bytes>,
    _reservation: Reservation,
}

impl ChunkSource for LeaseChunks {
    fn next(&mut self, _: usize) -> Result<Option<Bytes>, ReadError> {
        Ok(self.chunks.pop_front())
    }
}

/// Keys of a lease read and encoded together.
const LEASE_KEYS: usize = 1_000;
/// Field 5, length-delimited: `LeaseTimeToLiveResponse.keys`.
const LEASE_KEYS_TAG: u8 = 5 << 3 | 2;
/// Field 2, length-delimited: `RangeResponse.kvs`.
const KVS_TAG: u8 = 2 << 3 | 2;
