//! What runs at the same time during a soak: writers, readers, watchers, and the operator's work.
//!
//! Must check everything that comes back against the ledger, and never stop because of one fault.

use super::ledger::{Ledger, Seen};
use crate::client::{CallError, Channel, Encoder, Method, frame};
use crate::cmd::call;
use crate::cmd::watcher::Watcher;
use crate::load::rng::Rng;
use api::etcdserverpb::{
    CompactionRequest, CompactionResponse, DefragmentRequest, DefragmentResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, SnapshotRequest, SnapshotResponse, WatchCreateRequest,
};
use aws_lc_rs::digest::{Context, SHA256};
use prost::Message;
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Keys of one list.
const LIST: i64 = 100;

/// One write of a key that belongs to this writer.
pub(super) async fn write(
    ledger: &Ledger,
    channel: &Channel,
    encoder: &RefCell<Encoder>,
    number: usize,
) -> Result<(), CallError> {
    let sequence = ledger.send(number);
    let (key, value, lease) = (ledger.key(number), ledger.value(number, sequence), ledger.lease(number));
    let body = encoder.borrow_mut().frame(&PutRequest { key, value, lease, ..Default::default() });
    let answer = channel.unary(Method::Put, body).await.and_then(|answer| {
        let header = PutResponse::decode(answer).map_err(CallError::undecodable)?.header;
        Ok(header.unwrap_or_default().revision)
    });
    match answer {
        Ok(revision) => {
            ledger.ack(number, sequence, revision);
            Ok(())
        }
        Err(why) => {
            ledger.fault(format!("write of key {number}: {why}"));
            Err(why)
        }
    }
}

/// One read: mostly of a key as it is now, sometimes of the past, sometimes of many keys.
pub(super) async fn read(ledger: &Ledger, channel: &Channel, rng: &RefCell<Rng>, keep: i64) -> Result<(), CallError> {
    let (number, kind) = {
        let mut rng = rng.borrow_mut();
        (rng.below(ledger.keys() as u64) as usize, rng.below(16))
    };
    let before = ledger.acked(number);
    let mut request = RangeRequest { key: ledger.key(number), ..Default::default() };
    // so much newer than what compactions leave that none overtakes the read
    let past = ledger.revision.get() - keep / 4;
    match kind {
        0 => (request.range_end, request.limit) = (ledger.range(&(0..ledger.keys())).1, LIST),
        1 | 2 if past >= ledger.loaded.get() => request.revision = past,
        _ => {}
    }
    let answer: Result<RangeResponse, CallError> = call(channel, Method::Range, &request).await;
    let answer = answer.inspect_err(|why| ledger.fault(format!("read of key {number}: {why}")))?;
    ledger.saw(answer.header.unwrap_or_default().revision);
    let checked = if request.limit > 0 {
        check_list(ledger, number, &answer)
    } else if request.revision > 0 {
        let kv = answer.kvs.first().ok_or_else(|| format!("key {number} is gone at revision {past}"));
        kv.and_then(|kv| match kv.mod_revision <= past {
            true => ledger.check(kv).map(drop),
            false => Err(format!("key {number} at revision {past} has changes of {}", kv.mod_revision)),
        })
    } else {
        ledger.check_read(number, before, answer.kvs.first())
    };
    if let Err(words) = checked {
        ledger.fault(format!("read: {words}"));
    }
    Ok(())
}

fn check_list(ledger: &Ledger, first: usize, answer: &RangeResponse) -> Result<(), String> {
    let left = ledger.keys() - first;
    if answer.kvs.len() != left.min(LIST as usize) || answer.count != left as i64 {
        return Err(format!(
            "list from key {first}: {} keys of {}, should be of {left}",
            answer.kvs.len(),
            answer.count
        ));
    }
    for (number, kv) in (first..).zip(&answer.kvs) {
        if ledger.check(kv)?.0 != number {
            return Err(format!("list from key {first}: not in order at key {number}"));
        }
    }
    Ok(())
}

/// A watcher of some keys from a revision on; runs until it is dropped.
pub(super) async fn watch(ledger: Rc<Ledger>, channel: Rc<Channel>, from: i64, seen: Rc<RefCell<Seen>>) {
    let (key, range_end) = ledger.range(&seen.borrow().numbers.clone());
    let create = WatchCreateRequest { key, range_end, start_revision: from, ..Default::default() };
    let outcome: Result<(), CallError> = async {
        let mut watcher = Watcher::open(&channel).await?;
        watcher.ask(create)?;
        loop {
            let answer = watcher.next().await?;
            for event in &answer.events {
                let checked = seen.borrow_mut().check(&ledger, event);
                if let Err(words) = checked {
                    ledger.fault(format!("watch of {:?}: {words}", seen.borrow().numbers));
                }
            }
        }
    }
    .await;
    if let Err(why) = outcome {
        ledger.fault(format!("watch of {:?} ended: {why}", seen.borrow().numbers));
    }
}

/// The key ranges of the watchers: everything, and `shares` parts of one hundredth each.
pub(super) fn watched(keys: usize, shares: usize) -> Vec<Range<usize>> {
    let part = (keys / 100).max(1);
    let step = keys / shares.max(1);
    let parts = (0..shares).map(|i| (i * step).min(keys - part)).map(|start| start..start + part);
    std::iter::once(0..keys).chain(parts).collect()
}

/// What the operator's tasks did since the last window.
#[derive(Default)]
pub(super) struct Work {
    done: RefCell<Vec<String>>,
    pub(super) stop: Cell<bool>,
}

impl Work {
    fn note(&self, words: String) {
        self.done.borrow_mut().push(words);
    }

    pub(super) fn take(&self) -> String {
        self.done.take().join(", ")
    }
}

/// Repeats a piece of work with a pause before each, until told to stop.
pub(super) async fn repeat(
    ledger: Rc<Ledger>,
    work: Rc<Work>,
    every: Duration,
    name: &'static str,
    one: impl AsyncFn() -> Result<Option<String>, String>,
) {
    if every.is_zero() {
        return;
    }
    while !work.stop.get() {
        tokio::time::sleep(every).await;
        if work.stop.get() {
            return;
        }
        let start = Instant::now();
        match one().await {
            Ok(Some(words)) => work.note(format!("{name} {words}{:.0} ms", start.elapsed().as_secs_f64() * 1e3)),
            Ok(None) => {}
            Err(why) => ledger.fault(format!("{name}: {why}")),
        }
    }
}

/// Compacts all but the newest revisions.
pub(super) async fn compact(
    ledger: &Ledger,
    channel: &Channel,
    keep: i64,
    last: &Cell<i64>,
) -> Result<Option<String>, String> {
    let revision = ledger.revision.get() - keep;
    if revision <= last.get() {
        return Ok(None);
    }
    let request = CompactionRequest { revision, physical: false };
    let answer: CompactionResponse =
        call(channel, Method::Compact, &request).await.map_err(|why| format!("to revision {revision}: {why}"))?;
    ledger.saw(answer.header.unwrap_or_default().revision);
    last.set(revision);
    Ok(Some(String::new()))
}

/// Defragments the member.
pub(super) async fn defragment(channel: &Channel) -> Result<Option<String>, String> {
    let answer: Result<DefragmentResponse, _> = call(channel, Method::Defragment, &DefragmentRequest::default()).await;
    answer.map(|_| Some(String::new())).map_err(|why| why.to_string())
}

/// Reads a snapshot and checks the hash at its end.
pub(super) async fn snapshot(channel: &Channel) -> Result<Option<String>, String> {
    const SUM: usize = 32;
    let mut inbound =
        channel.server_stream(Method::Snapshot, frame(&SnapshotRequest {})).await.map_err(|why| why.to_string())?;
    let mut hash = Context::new(&SHA256);
    let mut tail: Vec<u8> = Vec::new();
    let mut bytes = 0;
    while let Some(message) = inbound.next().await.map_err(|why| format!("after {bytes} bytes: {why}"))? {
        let blob = SnapshotResponse::decode(message).map_err(|why| why.to_string())?.blob;
        bytes += blob.len() as u64;
        tail.extend_from_slice(&blob);
        // the last bytes may be the sum, so they wait
        let sure = tail.len().saturating_sub(SUM);
        hash.update(&tail[..sure]);
        tail.drain(..sure);
    }
    if hash.finish().as_ref() != tail.as_slice() {
        return Err(format!("{bytes} bytes whose SHA-256 is not the one at their end"));
    }
    Ok(Some(format!("{:.0} MiB ", bytes as f64 / f64::from(1 << 20))))
}

#[cfg(test)]
mod tests {
    use super::watched;

    #[test]
    fn watched_ranges_lie_inside() {
        for (keys, shares) in [(1, 3), (99, 20), (1000, 0), (1_000_000, 20)] {
            let all = watched(keys, shares);
            assert_eq!(all.len(), shares + 1);
            assert!(all.iter().all(|range| !range.is_empty() && range.end <= keys), "{keys} {shares} {all:?}");
        }
    }
}
