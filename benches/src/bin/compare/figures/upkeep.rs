//! What an operator's work costs those who write meanwhile.
//!
//! Must measure writes from when they were due: a write that could not be sent was late too.

use super::{Value, value};
use crate::load::{Pulse, revision};
use crate::side::{Loaded, Side};
use api::etcdserverpb::{CompactionRequest, CompactionResponse, DefragmentRequest, DefragmentResponse};
use bench::client::Method;
use bench::cmd::{call, status};
use std::time::{Duration, Instant};

/// Before, for comparison, and after, because work goes on in the background.
const ASIDE: Duration = Duration::from_secs(3);
const MIB: f64 = (1 << 20) as f64;

/// `compact`
pub async fn compact(side: &mut Side) -> Result<Vec<Value>, String> {
    let keys = side.keys;
    let Loaded { server, first_pass, .. } = side.loaded().await?;
    // all versions of the first pass are superseded: so many revisions go
    let revision = (*first_pass + keys as i64).min(revision(&server.channels(1).await?[0]).await?);
    let channel = server.channels(1).await?.remove(0);
    let pulse = Pulse::start(server, keys).await?;
    pulse.take();
    tokio::time::sleep(ASIDE).await;
    let quiet = pulse.take();
    let (start, before) = (Instant::now(), server.cpu()?);
    let request = CompactionRequest { revision, physical: true };
    let done: Result<CompactionResponse, _> = call(&channel, Method::Compact, &request).await;
    done.map_err(|why| format!("compaction to {revision}: {why}"))?;
    let took = start.elapsed();
    tokio::time::sleep(ASIDE).await;
    let busy = pulse.take();
    let used = server.cpu()?.saturating_sub(before);
    pulse.stop()?;
    Ok(vec![
        value("worst put before", "ms", quiet.0, ""),
        value("worst put meanwhile", "ms", busy.0, "below etcd's"),
        value("p99 meanwhile", "ms", busy.1, ""),
        value("time of the compaction", "s", took.as_secs_f64(), ""),
        value("server CPU, 3 s more included", "s", used.as_secs_f64(), ""),
    ])
}

/// `defrag`
pub async fn defragment(side: &mut Side) -> Result<Vec<Value>, String> {
    let keys = side.keys;
    let Loaded { server, .. } = side.loaded().await?;
    let channel = server.channels(1).await?.remove(0);
    let before = server.disk()?;
    let pulse = Pulse::start(server, keys).await?;
    pulse.take();
    tokio::time::sleep(ASIDE).await;
    let quiet = pulse.take();
    let start = Instant::now();
    let done: Result<DefragmentResponse, _> = call(&channel, Method::Defragment, &DefragmentRequest::default()).await;
    done.map_err(|why| format!("defragmentation: {why}"))?;
    let took = start.elapsed();
    tokio::time::sleep(ASIDE).await;
    let busy = pulse.take();
    pulse.stop()?;
    let size = status(&channel).await.map_err(|why| why.to_string())?.db_size as f64 / MIB;
    Ok(vec![
        value("worst put before", "ms", quiet.0, ""),
        value("worst put meanwhile", "ms", busy.0, "below etcd's"),
        value("time of the defragmentation", "s", took.as_secs_f64(), ""),
        value("disk before", "MiB", before, ""),
        value("disk after", "MiB", server.disk()?, "against etcd's"),
        value("reported database size after", "MiB", size, ""),
    ])
}
