//! The beginning of an epoch: a client, an empty keyspace, and the specification in the same state.
//!
//! Must never begin on a server whose revision is not the one that the specification expects.

use super::client::Client;
use super::epoch::Epoch;
use super::judge::Judge;
use super::rules::Rules;
use super::target::Running;
use crate::request;
use crate::spec::{History, Settings, Spec};
use api::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, LeaseLeasesRequest, LeaseRevokeRequest, PutRequest, RangeRequest,
};
use bytes::Bytes;

/// A new epoch: a new client, and an empty keyspace.
///
/// # Errors
/// When the server does not answer as it must even here.
pub(super) async fn begin(running: &mut Running, rules: Rules) -> Result<Epoch, String> {
    let client = running.connect().await?;
    let history = if running.take_fresh() { History::new() } else { wipe(&client).await? };
    let header = running.header(&client).await?;
    if header.revision != history.revision {
        return Err(format!("revision {} at the beginning, expected {}", header.revision, history.revision));
    }
    let settings = Settings { max_txn_ops: 128, min_lease_ttl: running.min_lease_ttl() };
    Ok(Epoch::new(client, Spec::new(settings, history), Judge::new(rules, &header), running.notice()))
}

/// Removes every key and lease, and hides the past with a compaction. The key that is written for that leaves its tombstone.
async fn wipe(client: &Client) -> Result<History, String> {
    let text = |why: tonic::Status| format!("emptying the keyspace: {why:?}");
    let (mut kv, mut lease) = (client.stubs.kv.clone(), client.stubs.lease.clone());
    for known in lease.lease_leases(LeaseLeasesRequest {}).await.map_err(text)?.into_inner().leases {
        lease.lease_revoke(LeaseRevokeRequest { id: known.id }).await.map_err(text)?;
    }
    let zero = Bytes::from_static(&[0]);
    let all = DeleteRangeRequest { key: zero.clone(), range_end: zero, prev_kv: false };
    kv.delete_range(all).await.map_err(text)?;
    let key = Bytes::from_static(b"a");
    kv.put(PutRequest { key: key.clone(), ..PutRequest::default() }).await.map_err(text)?;
    let gone = kv.delete_range(request::delete(&key, "")).await.map_err(text)?.into_inner();
    let revision = gone.header.map_or(0, |h| h.revision);
    kv.compact(CompactionRequest { revision, physical: true }).await.map_err(text)?;
    let left = kv.range(RangeRequest { count_only: true, ..request::all() }).await.map_err(text)?.into_inner();
    if left.count != 0 {
        return Err(format!("{} keys are left after everything was deleted", left.count));
    }
    let mut history = History::at(revision - 1, revision);
    history.delete(&key);
    history.end();
    Ok(history)
}
