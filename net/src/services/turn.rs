//! Whose turn it is: a claim looks at the queue once, watches the one claim directly before it, and looks again when that ends.
//!
//! So a release wakes one waiter, however many there are. Claims that are older than ours can only go, never come: a view that is
//! behind delays a turn but cannot give it away twice. Must never grant a turn from a view without the claim's own key in it.

use super::claim::{self, Claim, Claims, Stage};
use super::waiting::Waiting;
use super::{Loop, status};
use bytes::Bytes;
use messages::Token;
use messages::read::Work;
use messages::watch::{CreateWatch, StreamKey, ToHub, WatchFrame};
use model::request::{RangeRequest, RequestUnion, SortOrder, SortTarget, TxnRequest};
use model::{KeyRange, KeyValue, OpOutcome, ReadError};
use prost::Message as _;
use std::rc::Rc;

/// Bytes the hub may send on the loop's own stream before it is told that they were taken.
const CREDIT: usize = 256 << 10;
/// Looks of one loop that may be out at the reader pool.
const LOOKS: usize = 32;

/// What a claim sees in one view.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// The youngest claim that is older.
    before: Option<Bytes>,
    /// The claim's own key is there.
    own: bool,
}

/// Looks at the queue: here when it is short, on the reader pool otherwise.
pub(super) fn look(this: &Rc<Loop>, token: Token, mut claim: Box<Claim>) {
    claim.stage = Stage::Looking;
    match this.ports.reads.range(&keys_of(&claim.prefix), this.inline_bytes()) {
        Some(Ok((revision, range))) => {
            let kvs = range.kvs.into_iter().filter_map(|kv| KeyValue::decode(kv).ok());
            let seen = Seen::among(&claim, kvs);
            found(this, token, claim, revision, seen);
        }
        Some(Err(why)) => claim::fail(this, token, claim, status::of_read(&why)),
        None => look_on_pool(this, token, claim),
    }
}

/// Looks of a crowd wait for each other, so that they do not fill the pool's queue; one look is refused only when the pool is full
/// of other work.
fn look_on_pool(this: &Rc<Loop>, token: Token, claim: Box<Claim>) {
    let Claims { asked, to_look, .. } = &this.claims;
    let room = asked.borrow().len() < LOOKS;
    if room && this.query(token, Work::ReadTxn(question(&claim))) {
        asked.borrow_mut().insert(token);
    } else if asked.borrow().is_empty() {
        return claim::fail(this, token, claim, status::TOO_MANY_REQUESTS);
    } else {
        to_look.borrow_mut().push_back(token);
    }
    this.waiting.borrow_mut().insert(token, Waiting::Claim(claim));
}

/// The pool has answered `token`: if that was a look, others get their chance. Claims that are gone meanwhile are passed over.
pub(super) fn next_looks(this: &Rc<Loop>, token: Token) {
    let Claims { asked, to_look, .. } = &this.claims;
    if !asked.borrow_mut().remove(&token) {
        return;
    }
    let queued = to_look.borrow().len();
    for _ in 0..queued {
        if asked.borrow().len() >= LOOKS {
            return;
        }
        let next = to_look.borrow_mut().pop_front();
        let waiting = next.and_then(|token| Some((token, this.waiting.borrow_mut().remove(&token)?)));
        if let Some((token, Waiting::Claim(claim))) = waiting {
            look(this, token, claim);
        }
    }
}

fn keys_of(prefix: &Bytes) -> RangeRequest {
    RangeRequest { keys_only: true, ..claim::all_of(prefix) }
}

/// Both halves of [`Seen`], in one view.
fn question(claim: &Claim) -> TxnRequest {
    let before = RangeRequest {
        max_create_revision: claim.created - 1,
        sort_order: SortOrder::Descend as i32,
        sort_target: SortTarget::Create as i32,
        limit: 1,
        ..keys_of(&claim.prefix)
    };
    let own = RangeRequest { key: claim.key.clone(), keys_only: true, ..RangeRequest::default() };
    let success = vec![claim::op(RequestUnion::Range(before)), claim::op(RequestUnion::Range(own))];
    TxnRequest { success, ..TxnRequest::default() }
}

impl Seen {
    fn among(claim: &Claim, kvs: impl Iterator<Item = KeyValue>) -> Self {
        let (mut before, mut own): (Option<KeyValue>, bool) = (None, false);
        for kv in kvs {
            own |= kv.create_revision == claim.created && kv.key == claim.key;
            let older = kv.create_revision < claim.created;
            if older && before.as_ref().is_none_or(|b| b.create_revision < kv.create_revision) {
                before = Some(kv);
            }
        }
        // copied: it may be watched for long, and shares a row of the store
        Self { before: before.map(|kv| Bytes::copy_from_slice(&kv.key)), own }
    }
}

/// The reader pool has looked.
pub(super) fn looked(this: &Rc<Loop>, token: Token, claim: Box<Claim>, result: Result<(i64, OpOutcome), ReadError>) {
    match result {
        Ok((revision, OpOutcome::Txn { responses, .. })) => {
            let seen = Seen::among(&claim, responses.iter().filter_map(claim::first_kv));
            found(this, token, claim, revision, seen);
        }
        Ok(_) => claim::lost(this, token, &claim),
        Err(why) => claim::fail(this, token, claim, status::of_read(&why)),
    }
}

fn found(this: &Rc<Loop>, token: Token, claim: Box<Claim>, revision: i64, seen: Seen) {
    match seen {
        Seen { before: Some(key), .. } => watch(this, token, claim, key, revision + 1),
        Seen { own: true, .. } => claim::granted(this, token, &claim, revision),
        Seen { own: false, .. } => claim::lost(this, token, &claim),
    }
}

/// Waits for the end of the claim before, which lived in the revision before `start`.
fn watch(this: &Rc<Loop>, token: Token, mut claim: Box<Claim>, key: Bytes, start: i64) {
    let claims = &this.claims;
    let watch_id = claims.last_watch.get() + 1;
    claims.last_watch.set(watch_id);
    claims.watched.borrow_mut().insert(watch_id, token);
    (claim.stage, claim.own) = (Stage::Watching(watch_id), true);
    this.waiting.borrow_mut().insert(token, Waiting::Claim(claim));
    let create = CreateWatch {
        watch_id,
        range: KeyRange::new(key, Bytes::new()),
        start_revision: start,
        progress_notify: false,
        no_put: true,
        no_delete: false,
        prev_kv: false,
        fragment: false,
    };
    this.ask_hub(ToHub::Create { stream: stream(this), create });
}

/// The loop's own stream in the hub.
fn stream(this: &Rc<Loop>) -> StreamKey {
    let sink = this.sink;
    if let Some(token) = this.claims.stream.get() {
        return StreamKey { sink, token };
    }
    let token = this.pull_token();
    this.claims.stream.set(Some(token));
    let stream = StreamKey { sink, token };
    this.ask_hub(ToHub::OpenStream { stream, credit: CREDIT });
    stream
}

/// Nobody waits for that watcher any more.
pub(super) fn forget(this: &Loop, watch_id: i64) {
    if this.claims.watched.borrow_mut().remove(&watch_id).is_some() {
        cancel(this, watch_id);
    }
}

fn cancel(this: &Loop, watch_id: i64) {
    if let Some(token) = this.claims.stream.get() {
        this.ask_hub(ToHub::Cancel { stream: StreamKey { sink: this.sink, token }, watch_id });
    }
}

/// Frames of the loop's own stream. A watcher that lost its place to a compaction is as good as an event: one looks again.
pub(super) fn frames(this: &Rc<Loop>, stream: Token, frames: Vec<WatchFrame>) {
    let bytes = frames.iter().map(WatchFrame::cost).sum();
    this.ask_hub(ToHub::Credit { stream: StreamKey { sink: this.sink, token: stream }, bytes });
    for frame in frames {
        if let WatchFrame::Events { watch_id, .. } | WatchFrame::Canceled { watch_id, .. } = frame {
            let token = this.claims.watched.borrow_mut().remove(&watch_id);
            if let Some(token) = token {
                cancel(this, watch_id);
                woken(this, token);
            }
        }
    }
}

/// The claim before is gone. A turn may only be given by a member that is still part of the cluster: leave to read is asked for.
fn woken(this: &Rc<Loop>, token: Token) {
    let waiting = this.waiting.borrow_mut().remove(&token);
    let Some(Waiting::Claim(mut claim)) = waiting else { return };
    if this.reads_are_free() {
        return look(this, token, claim);
    }
    claim.stage = Stage::Looking;
    this.ask_to_read(token, Waiting::Claim(claim));
}
