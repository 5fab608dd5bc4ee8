//! Who leads an election: the oldest key of its queue.

use super::keys;
use crate::services::client_services::ClientServices;
use api::v3electionpb as pb;
use bytes::Bytes;
use messages::read::{TxnPlan, Work};
use model::request::{RangeRequest, SortOrder, SortTarget};
use model::{KeyValue, ReadError};
use prost::Message as _;

/// What a view says about an election.
pub(super) struct Leader {
    /// Revision of the view.
    pub(super) revision: i64,
    /// The leader's key, if anybody leads.
    pub(super) kv: Option<KeyValue>,
}

/// The leader, when the election is short enough to be read on the loop; otherwise the reader pool must [`find`] it.
pub(super) fn find_now(services: &ClientServices, prefix: &Bytes) -> Option<Result<Leader, ReadError>> {
    let (revision, range) = match services.ports().reads.range(&keys::all_of(prefix), services.inline_bytes())? {
        Ok(found) => found,
        Err(why) => return Some(Err(why)),
    };
    // stored bytes were written by us
    let kvs = range.kvs.into_iter().filter_map(|kv| KeyValue::decode(kv).ok());
    Some(Ok(Leader { revision, kv: kvs.min_by_key(|kv| kv.create_revision) }))
}

/// The question for the leader to the reader pool, whose answer is taken by [`found`].
pub(super) fn find(prefix: &Bytes) -> Work {
    let oldest = RangeRequest {
        sort_order: SortOrder::Ascend as i32,
        sort_target: SortTarget::Create as i32,
        limit: 1,
        ..keys::all_of(prefix)
    };
    Work::ReadTxn(keys::read_all([oldest]))
}

/// What the reader pool has found.
///
/// # Errors
/// It could not be read any more.
pub(super) fn found(plan: TxnPlan) -> Result<Leader, ReadError> {
    let revision = plan.revision;
    let kv = keys::first_kvs(plan)?.into_iter().next().flatten();
    Ok(Leader { revision, kv })
}

/// `LeaderResponse`.
pub(super) fn response(services: &ClientServices, revision: i64, kv: KeyValue) -> Vec<u8> {
    pb::LeaderResponse { header: services.pb_header(revision), kv: Some(kv) }.encode_to_vec()
}
