//! The v2 tree as a connection thread sees it. Writes go the way of all proposals; watchers are told that there is something new
//! by [`ReplyBody::V2Changed`](crate::ReplyBody::V2Changed) and read the events themselves.

use model::ReadError;
use model::v2::{Event, Listing};

/// A listing, and the memory that it has reserved.
pub struct HeldListing {
    /// The listing.
    pub listing: Listing,
    /// To be dropped with it.
    pub held: Box<dyn Send>,
}

/// The indices of the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct V2Position {
    /// Index of the last event.
    pub index: u64,
    /// Index of the oldest event that is kept; zero before the first one.
    pub first_event: u64,
}

/// The read side of the v2 tree. Every call takes exactly one view.
pub trait V2Reads: Send + Sync {
    /// Where the tree and its history stand.
    fn v2_position(&self) -> V2Position;

    /// A node and what lies in it, when that is little; `None` means: ask the pool. TTLs are what is left at `now`, nanoseconds since
    /// 1970.
    fn v2_list(&self, path: &[u8], recursive: bool, now: i64) -> Option<Result<Listing, ReadError>>;

    /// Some events from `index` on, ascending: at least one if there is one.
    fn v2_events(&self, index: u64) -> Result<Vec<Event>, ReadError>;

    /// One event; `None` when it is no longer kept.
    fn v2_event(&self, index: u64) -> Result<Option<Event>, ReadError>;

    /// Whether a node has ended by `now` and is still there.
    fn v2_has_ended(&self, now: i64) -> Result<bool, ReadError>;
}
