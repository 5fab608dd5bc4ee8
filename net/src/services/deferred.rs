//! Deferred calls: what a call waits for, found again by its token when an owner replies.
//!
//! A service describes each kind of wait with a small type of its own that implements [`DeferredCall`], or [`StreamCall`]
//! where an owner replies more than once. Nothing here knows a service. An entry is consumed by exactly one reply, so no
//! call is answered twice; the reply to a call that is over finds nothing.

use super::status;
use crate::door::Status;
use bytes::Bytes;
use messages::Token;
use messages::admin::RaftView;
use messages::auth::PasswordAnswer;
use messages::lease::LeaseReply;
use messages::read::{ChunkSource, RangePlan, TxnPlan};
use messages::reply::{HashAnswer, SnapshotAnswer};
use messages::v2::HeldListing;
use messages::watch::WatchFrame;
use model::{Outcome, ReadError};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// A call that waits for one reply. `S` is what the services share.
///
/// Each method takes one kind of reply; a type implements those it waits for, and [`Self::failed`]. A reply of another
/// kind is a fault of ours and ends the call with an error.
pub trait DeferredCall<S> {
    /// A linearizable read may be served from the newest view.
    fn read_granted(self: Box<Self>, services: &S, token: Token) {
        self.failed(services, token, status::UNEXPECTED_REPLY);
    }

    /// The command was applied at `revision`.
    fn applied(self: Box<Self>, services: &S, token: Token, revision: i64, outcome: Outcome) {
        let _ = (revision, outcome);
        self.failed(services, token, status::UNEXPECTED_REPLY);
    }

    /// The reader pool has measured a range.
    fn range_planned(self: Box<Self>, services: &S, token: Token, plan: RangePlan) {
        drop(plan);
        self.failed(services, token, status::UNEXPECTED_REPLY);
    }

    /// The reader pool has evaluated a read-only transaction.
    fn txn_read(self: Box<Self>, services: &S, token: Token, plan: TxnPlan) {
        drop(plan);
        self.failed(services, token, status::UNEXPECTED_REPLY);
    }

    /// The keys of leases are the caller's to see or change.
    fn leases_checked(self: Box<Self>, services: &S, token: Token) {
        self.failed(services, token, status::UNEXPECTED_REPLY);
    }

    /// The password pool has computed something.
    fn password_done(self: Box<Self>, services: &S, token: Token, answer: PasswordAnswer) {
        drop(answer);
        self.failed(services, token, status::UNEXPECTED_REPLY);
    }

    /// The reader pool has computed a hash.
    fn hashed(self: Box<Self>, services: &S, token: Token, hash: HashAnswer) {
        let _ = hash;
        self.failed(services, token, status::UNEXPECTED_REPLY);
    }

    /// The reader pool has listed a directory of the v2 tree.
    fn v2_listed(self: Box<Self>, services: &S, token: Token, listing: HeldListing) {
        drop(listing);
        self.failed(services, token, status::UNEXPECTED_REPLY);
    }

    /// A snapshot can be read.
    fn snapshot_opened(self: Box<Self>, services: &S, token: Token, snapshot: SnapshotAnswer) {
        drop(snapshot);
        self.failed(services, token, status::UNEXPECTED_REPLY);
    }

    /// A job without data is done.
    fn job_done(self: Box<Self>, services: &S, token: Token) {
        self.failed(services, token, status::UNEXPECTED_REPLY);
    }

    /// The core has described the state of consensus.
    fn raft_described(self: Box<Self>, services: &S, token: Token, view: Box<RaftView>) {
        drop(view);
        self.failed(services, token, status::UNEXPECTED_REPLY);
    }

    /// The lease manager has answered.
    fn lease_replied(self: Box<Self>, services: &S, token: Token, reply: LeaseReply) {
        drop(reply);
        self.failed(services, token, status::UNEXPECTED_REPLY);
    }

    /// The call ends without what it waited for: it was refused, or the owner could not do it.
    fn failed(self: Box<Self>, services: &S, token: Token, why: Status);
}

/// A stream, or a large answer on its way, to which owners send more than once.
pub trait StreamCall<S> {
    /// Frames of the watch hub, in order.
    fn frames(self: Rc<Self>, services: &S, token: Token, frames: Vec<WatchFrame>) {
        let _ = (services, token, frames);
    }

    /// A chunk that was asked for, and its source for the next one. `None` stands behind the last chunk.
    fn chunk(
        self: Rc<Self>,
        services: &S,
        token: Token,
        source: Box<dyn ChunkSource>,
        chunk: Result<Option<Bytes>, ReadError>,
    ) {
        let _ = (services, token, source, chunk);
    }

    /// The member stops: the door ends the stream after what is sent now.
    fn stopping(self: Rc<Self>, services: &S, token: Token) {
        let _ = (services, token);
    }
}

/// The deferred calls and the streams of one connection thread, by their tokens.
pub(super) struct DeferredCalls<S> {
    calls: RefCell<HashMap<Token, Box<dyn DeferredCall<S>>>>,
    streams: RefCell<HashMap<Token, Rc<dyn StreamCall<S>>>>,
}

impl<S> Default for DeferredCalls<S> {
    fn default() -> Self {
        Self { calls: RefCell::default(), streams: RefCell::default() }
    }
}

impl<S> DeferredCalls<S> {
    /// Keeps a call until its reply comes.
    pub(super) fn insert(&self, token: Token, call: Box<dyn DeferredCall<S>>) {
        self.calls.borrow_mut().insert(token, call);
    }

    /// Takes out the call that a reply is for.
    pub(super) fn take(&self, token: Token) -> Option<Box<dyn DeferredCall<S>>> {
        self.calls.borrow_mut().remove(&token)
    }

    /// Keeps a stream until [`Self::remove_stream`].
    pub(super) fn insert_stream(&self, token: Token, stream: Rc<dyn StreamCall<S>>) {
        self.streams.borrow_mut().insert(token, stream);
    }

    /// Forgets a stream. Replies that are still on their way are dropped.
    pub(super) fn remove_stream(&self, token: Token) {
        // the stream may own others: it is dropped when the borrow is over
        let stream = self.streams.borrow_mut().remove(&token);
        drop(stream);
    }

    /// All streams, with their tokens.
    pub(super) fn all_streams(&self) -> Vec<(Token, Rc<dyn StreamCall<S>>)> {
        self.streams.borrow().iter().map(|(token, stream)| (*token, stream.clone())).collect()
    }

    /// The stream that a reply is for.
    pub(super) fn stream(&self, token: Token) -> Option<Rc<dyn StreamCall<S>>> {
        self.streams.borrow().get(&token).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[derive(Default)]
    struct Outcomes(Cell<Option<Status>>);

    struct WaitsForAJob;

    impl DeferredCall<Outcomes> for WaitsForAJob {
        fn job_done(self: Box<Self>, services: &Outcomes, _: Token) {
            services.0.set(Some(Status::OK));
        }

        fn failed(self: Box<Self>, services: &Outcomes, _: Token, why: Status) {
            services.0.set(Some(why));
        }
    }

    #[test]
    fn a_reply_finds_its_call_once() {
        let calls = DeferredCalls::<Outcomes>::default();
        let outcomes = Outcomes::default();
        calls.insert(7, Box::new(WaitsForAJob));
        calls.take(7).expect("waits").job_done(&outcomes, 7);
        assert_eq!(outcomes.0.take(), Some(Status::OK));
        assert!(calls.take(7).is_none(), "a second reply finds nothing");
    }

    #[test]
    fn a_reply_of_the_wrong_kind_ends_the_call_with_an_error() {
        let outcomes = Outcomes::default();
        Box::new(WaitsForAJob).read_granted(&outcomes, 7);
        assert_eq!(outcomes.0.take(), Some(status::UNEXPECTED_REPLY));
    }
}
