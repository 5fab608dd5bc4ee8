//! Copies the keys of the source as they were at one revision, in the order in which they were created.
//!
//! That order is what locks, elections and queues go by. Holds the name of every key in memory, never the values of more than a
//! few pages.

use super::batch::{Batch, Change};
use super::cluster::Cluster;
use super::error::MigrateError;
use super::job::Job;
use super::pages::Pages;
use super::state::Phase;
use crate::client::method::TXN;
use crate::print::say_line;
use api::etcdserverpb as pb;
use api::mvccpb::KeyValue;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};

/// Keys whose values are asked for at once.
const FETCH: usize = 64;
/// Requests for values that are on their way.
const AHEAD: usize = 4;

/// Copies what is left: `done` keys are there already. Then the destination follows from `base` on.
///
/// # Errors
/// [`MigrateError::Compacted`] when the source forgets the revision meanwhile; what waiting does not mend.
pub async fn copy(job: &mut Job, base: i64, done: usize) -> Result<(), MigrateError> {
    let names = names(job, base).await?;
    let total = names.len();
    if done > 0 {
        say_line(&format!("going on behind {done} of {total} keys"));
    }
    job.report.begin(done as u64);
    let source = job.source.clone();
    let wanted = names.get(done..).unwrap_or_default().chunks(FETCH);
    let fetches = wanted.map(|keys| fetch(source.clone(), base, keys.iter().map(|(_, key)| key.clone()).collect()));
    let mut fetched = stream::iter(fetches).buffered(AHEAD);
    let mut batch = Batch::new(job.limits);
    let mut written = done;
    while let Some(page) = fetched.next().await {
        for kv in page? {
            let change = Change::put(kv.create_revision, kv.key, kv.value, kv.lease);
            if !batch.is_empty() && !batch.fits(std::slice::from_ref(&change)) {
                written += batch.changes.len();
                job.write(&batch, Phase::Copy { base, done: written }).await?;
                job.report.part("copying", "keys", written as u64, total as u64);
                batch = Batch::new(job.limits);
            }
            batch.add([change]);
        }
    }
    job.write(&batch, Phase::Follow { position: base, inside: 0 }).await?;
    say_line(&format!("copied {total} keys of revision {base}"));
    Ok(())
}

/// Names of all keys at a revision, with the revision in which each was created, in that order.
async fn names(job: &mut Job, base: i64) -> Result<Vec<(i64, Bytes)>, MigrateError> {
    let mut names = Vec::new();
    let mut pages = Pages::new(job.source.clone(), base, true);
    job.report.begin(0);
    while let Some(page) = pages.next().await? {
        // a copy: a slice would keep the page that it came with
        names.extend(page.iter().map(|kv| (kv.create_revision, Bytes::copy_from_slice(&kv.key))));
        job.report.part("listing", "keys", names.len() as u64, pages.total);
    }
    names.sort_unstable();
    Ok(names)
}

async fn fetch(source: Cluster, revision: i64, keys: Vec<Bytes>) -> Result<Vec<KeyValue>, MigrateError> {
    let get = |key: Bytes| {
        let range = pb::RangeRequest { key, revision, ..Default::default() };
        pb::RequestOp { request: Some(pb::RequestUnion::Range(range)) }
    };
    let txn = pb::TxnRequest { success: keys.into_iter().map(get).collect(), ..Default::default() };
    let answer: pb::TxnResponse = source.ask(TXN, txn).await?;
    let found = answer.responses.into_iter().filter_map(|one| match one.response? {
        pb::response_op::Response::ResponseRange(range) => range.kvs.into_iter().next(),
        _ => None,
    });
    Ok(found.collect())
}
