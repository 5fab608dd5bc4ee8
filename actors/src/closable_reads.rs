//! The read side as clients hold it: it lets go of the store when the node has stopped, so that a client that is kept does not
//! keep the data folder locked.
//!
//! Must never answer a read from memory after that: what the store held then may be old now.

use arc_swap::{ArcSwapOption, Guard};
use messages::auth::AuthRules;
use messages::read::Reads;
use messages::v2::{V2Position, V2Reads};
use model::request::{RangeRequest, TxnRequest};
use model::v2::{Event, Listing};
use model::{MemberInfo, OpOutcome, RangeOutcome, ReadError, StoreStatus};
use std::sync::{Arc, OnceLock};

/// Reads that can be closed.
pub struct ClosableReads<R> {
    open: ArcSwapOption<R>,
    /// Numbers for headers and pages that are still asked for afterwards.
    last: OnceLock<StoreStatus>,
}

impl<R: Reads> ClosableReads<R> {
    /// Open, over these.
    pub fn new(reads: R) -> Self {
        Self { open: ArcSwapOption::from_pointee(reads), last: OnceLock::new() }
    }

    /// Lets go of the store. Calls under way end as they would have.
    pub fn close(&self) {
        if let Some(reads) = self.open.load_full() {
            self.last.get_or_init(|| reads.status());
            self.open.store(None);
        }
    }

    fn with<T>(&self, ask: impl FnOnce(&R) -> Result<T, ReadError>) -> Result<T, ReadError> {
        match &*self.open.load() {
            Some(reads) => ask(reads),
            None => Err(ReadError::Store("the node has stopped".into())),
        }
    }

    fn numbers<T>(&self, of_open: impl FnOnce(&R) -> T, of_last: impl FnOnce(&StoreStatus) -> T) -> T {
        let open: Guard<Option<Arc<R>>> = self.open.load();
        match &*open {
            Some(reads) => of_open(reads),
            None => of_last(self.last.get().expect("set before the store is let go")),
        }
    }
}

impl<R: Reads> Reads for ClosableReads<R> {
    fn status(&self) -> StoreStatus {
        self.numbers(R::status, StoreStatus::clone)
    }

    fn position(&self) -> (i64, u64) {
        self.numbers(R::position, |last| (last.revision, last.applied_term))
    }

    fn logical_bytes(&self) -> i64 {
        self.numbers(R::logical_bytes, |last| last.logical_bytes)
    }

    fn read_txn(&self, request: &TxnRequest, most: usize) -> Option<Result<(i64, OpOutcome), ReadError>> {
        self.with(|reads| Ok(reads.read_txn(request, most))).unwrap_or_else(|why| Some(Err(why)))
    }

    fn range(&self, request: &RangeRequest, most: usize) -> Option<Result<(i64, RangeOutcome), ReadError>> {
        self.with(|reads| Ok(reads.range(request, most))).unwrap_or_else(|why| Some(Err(why)))
    }

    fn auth(&self) -> Option<Arc<dyn AuthRules>> {
        self.open.load().as_ref().and_then(|reads| reads.auth())
    }

    fn auth_revision(&self) -> (bool, u64) {
        self.open.load().as_ref().map_or((false, 0), |reads| reads.auth_revision())
    }

    fn user_of_token(&self, token: &str) -> Option<Arc<str>> {
        self.open.load().as_ref().and_then(|reads| reads.user_of_token(token))
    }

    fn applied_index(&self) -> u64 {
        self.numbers(R::applied_index, |last| last.applied_index)
    }

    fn members(&self) -> Result<Vec<MemberInfo>, ReadError> {
        self.with(R::members)
    }

    fn was_removed(&self, id: u64) -> bool {
        self.open.load().as_ref().is_some_and(|reads| reads.was_removed(id))
    }

    fn cluster_version(&self) -> Result<String, ReadError> {
        self.with(R::cluster_version)
    }

    fn downgrade_target(&self) -> Result<Option<String>, ReadError> {
        self.with(R::downgrade_target)
    }
}

impl<R: Reads> V2Reads for ClosableReads<R> {
    fn v2_position(&self) -> V2Position {
        self.open.load().as_ref().map(|reads| reads.v2_position()).unwrap_or_default()
    }

    fn v2_list(&self, path: &[u8], recursive: bool, now: i64) -> Option<Result<Listing, ReadError>> {
        self.with(|reads| Ok(reads.v2_list(path, recursive, now))).unwrap_or_else(|why| Some(Err(why)))
    }

    fn v2_events(&self, index: u64) -> Result<Vec<Event>, ReadError> {
        self.with(|reads| reads.v2_events(index))
    }

    fn v2_event(&self, index: u64) -> Result<Option<Event>, ReadError> {
        self.with(|reads| reads.v2_event(index))
    }

    fn v2_has_ended(&self, now: i64) -> Result<bool, ReadError> {
        self.with(|reads| reads.v2_has_ended(now))
    }
}
