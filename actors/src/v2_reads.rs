//! The v2 tree over the published views, as connection threads see it: short listings and events. Long listings are the reader pool's.
//!
//! Must never write, and never hold a view between two calls.

use crate::store_reads::StoreReads;
use messages::v2::{V2Position, V2Reads};
use model::ReadError;
use model::v2::{Event, Listing};
use storage::engine::Snapshot;
use storage::v2::read;

/// Bytes that a connection thread may list by itself.
const INLINE_LISTING: usize = 64 << 10;
/// Events that are read at once for watchers, and about how many bytes.
const EVENTS: usize = 100;
const EVENT_BYTES: usize = 1 << 20;

impl<S: Snapshot> V2Reads for StoreReads<S> {
    fn v2_position(&self) -> V2Position {
        let head = self.view().v2;
        V2Position { index: head.index, first_event: head.first_event }
    }

    fn v2_list(&self, path: &[u8], recursive: bool, now: i64) -> Option<Result<Listing, ReadError>> {
        let mut left = INLINE_LISTING;
        let listing = read::list(&self.view(), path, recursive, now, &mut |bytes| {
            left = left.checked_sub(bytes).ok_or(ReadError::TooLarge)?;
            Ok(())
        });
        if matches!(listing, Err(ReadError::TooLarge)) { None } else { Some(listing) }
    }

    fn v2_events(&self, index: u64) -> Result<Vec<Event>, ReadError> {
        read::events(&self.view(), index, EVENTS, EVENT_BYTES)
    }

    fn v2_event(&self, index: u64) -> Result<Option<Event>, ReadError> {
        read::event(&self.view(), index)
    }

    fn v2_has_ended(&self, now: i64) -> Result<bool, ReadError> {
        read::has_ended(&self.view(), now)
    }
}
