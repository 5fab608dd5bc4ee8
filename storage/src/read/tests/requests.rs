//! Random Range requests with every option.

use super::history::range;
use super::*;
use ::model::request::{SortOrder, SortTarget};
use proptest::prelude::*;

fn bound() -> impl Strategy<Value = i64> {
    prop_oneof![4 => Just(0), 1 => 2i64..20]
}

/// Any request; its revision is set by the test.
pub(super) fn request() -> impl Strategy<Value = RangeRequest> {
    let order = prop::sample::select(vec![SortOrder::None, SortOrder::Ascend, SortOrder::Descend]);
    let target = prop::sample::select(vec![
        SortTarget::Key,
        SortTarget::Key,
        SortTarget::Version,
        SortTarget::Create,
        SortTarget::Mod,
        SortTarget::Value,
    ]);
    let flags = (prop::bool::weighted(0.3), prop::bool::weighted(0.1));
    (range(), -1i64..6, order, target, flags, (bound(), bound(), bound(), bound())).prop_map(
        |((key, range_end), limit, order, target, (keys_only, count_only), bounds)| RangeRequest {
            key,
            range_end,
            limit,
            sort_order: order as i32,
            sort_target: target as i32,
            keys_only,
            count_only,
            min_mod_revision: bounds.0,
            max_mod_revision: bounds.1,
            min_create_revision: bounds.2,
            max_create_revision: bounds.3,
            ..Default::default()
        },
    )
}
