//! What a Range request asks for, with etcd's rules about limit, order and filters resolved once.
//!
//! The rules (etcd 3.7): the limit cuts while keys are read, in key order, when no order was asked for or it is KEY ASCEND,
//! and there is no filter; otherwise everything is read, filtered, sorted, then cut. A target other than KEY without an order
//! is sorted ascending, after that cut. Keys-only answers carry no lease unless sorted by VALUE. Must never look at data.

use super::walk::Found;
use crate::engine::Direction;
use model::KeyRange;
use model::request::{RangeRequest, SortOrder, SortTarget};

/// What a key-value of the answer consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The stored bytes.
    Full,
    /// Everything but the value; and but the lease, as etcd's index does not know it, unless `lease`.
    KeysOnly { lease: bool },
}

/// Order of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// That of the keys: answered while walking.
    Key(Direction),
    /// By another field: collected, then sorted; equal ones stay in key order.
    By { target: SortTarget, descending: bool },
}

/// A request, understood.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) range: KeyRange,
    /// Most key-values in the answer; `usize::MAX` for no limit.
    pub(super) limit: usize,
    pub(super) order: Order,
    /// Keys to read at most before sorting; `None`: all.
    pub(super) read_at_most: Option<usize>,
    pub(super) shape: Shape,
    pub(super) count_only: bool,
    filters: Option<Filters>,
}

/// Inclusive bounds; zero is none.
#[derive(Clone, Copy, Debug)]
struct Filters {
    modified: (i64, i64),
    created: (i64, i64),
}

fn within(value: i64, (min, max): (i64, i64)) -> bool {
    (min == 0 || value >= min) && (max == 0 || value <= max)
}

impl Plan {
    pub(super) fn of(request: &RangeRequest) -> Self {
        let (target, order) = (request.sort_target(), request.sort_order());
        let filters = Filters {
            modified: (request.min_mod_revision, request.max_mod_revision),
            created: (request.min_create_revision, request.max_create_revision),
        };
        let unfiltered = filters.modified == (0, 0) && filters.created == (0, 0);
        let limit = if request.limit > 0 { usize::try_from(request.limit).unwrap_or(usize::MAX) } else { usize::MAX };
        let cut_early = order == SortOrder::None && unfiltered && limit < usize::MAX;
        let order = match (target, order) {
            (SortTarget::Key, SortOrder::Descend) => Order::Key(Direction::Backward),
            (SortTarget::Key, _) => Order::Key(Direction::Forward),
            (target, order) => Order::By { target, descending: order == SortOrder::Descend },
        };
        Self {
            range: KeyRange::new(request.key.clone(), request.range_end.clone()),
            limit,
            order,
            read_at_most: cut_early.then(|| limit.saturating_add(1)),
            shape: match request.keys_only {
                false => Shape::Full,
                true => Shape::KeysOnly { lease: target == SortTarget::Value },
            },
            count_only: request.count_only,
            filters: (!unfiltered).then_some(filters),
        }
    }

    /// True when the key passes the request's filters.
    pub(super) fn passes(&self, found: &Found<'_>) -> bool {
        self.filters
            .is_none_or(|f| within(found.head.modified.main, f.modified) && within(found.head.create, f.created))
    }

    /// Direction in which keys are to be walked.
    pub(super) fn direction(&self) -> Direction {
        match self.order {
            Order::Key(direction) => direction,
            Order::By { .. } => Direction::Forward,
        }
    }
}
