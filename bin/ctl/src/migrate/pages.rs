//! Reads every key of a cluster at one revision, page by page. Must never hold more than a page.

use super::cluster::Cluster;
use super::error::MigrateError;
use super::state;
use crate::client::method::RANGE;
use api::etcdserverpb as pb;
use api::mvccpb::KeyValue;
use bytes::Bytes;

/// Keys of a page when they are read without their values.
const NAMES: i64 = 10_000;
/// Keys of the first page with values.
const FIRST: i64 = 500;
/// Bytes of values that a page should have: the next is made larger or smaller.
const AIM: usize = 2 << 20;
/// Most keys of a page with values.
const MOST: i64 = 5_000;

/// See the file header.
pub struct Pages {
    cluster: Cluster,
    revision: i64,
    names_only: bool,
    next: Option<Bytes>,
    limit: i64,
    /// Keys that the cluster has at the revision, once a page was read.
    pub total: u64,
}

impl Pages {
    /// All keys at a revision, 0 for the present one; with `names_only` without their values.
    pub fn new(cluster: Cluster, revision: i64, names_only: bool) -> Self {
        let limit = if names_only { NAMES } else { FIRST };
        Self { cluster, revision, names_only, next: Some(Bytes::from_static(b"\0")), limit, total: 0 }
    }

    /// The revision that is read.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The next page, in the order of keys; none behind the last.
    ///
    /// # Errors
    /// [`MigrateError::Compacted`], and what waiting does not mend.
    pub async fn next(&mut self) -> Result<Option<Vec<KeyValue>>, MigrateError> {
        let Some(key) = self.next.take() else { return Ok(None) };
        let request = pb::RangeRequest {
            key,
            range_end: crate::client::range::OPEN,
            limit: self.limit,
            revision: self.revision,
            keys_only: self.names_only,
            ..Default::default()
        };
        let page: pb::RangeResponse = self.cluster.ask(RANGE, request).await?;
        if self.revision == 0 {
            self.revision = page.header.unwrap_or_default().revision;
        }
        if self.total == 0 {
            self.total = u64::try_from(page.count).unwrap_or(0);
        }
        if let Some(last) = page.kvs.last().filter(|_| page.more) {
            self.next = Some([&last.key[..], b"\0"].concat().into());
        }
        if !self.names_only {
            let bytes: usize = page.kvs.iter().map(|kv| kv.key.len() + kv.value.len()).sum();
            let fitting = AIM * page.kvs.len().max(1) / bytes.max(1);
            self.limit = i64::try_from(fitting).unwrap_or(MOST).clamp(1, MOST);
        }
        Ok(Some(page.kvs.into_iter().filter(|kv| kv.key != state::KEY).collect()))
    }
}
