//! Before the clock of a soak starts: every lease granted, every key written once.
//!
//! Must fail at the first refusal: a soak over half the keys would say nothing.

use super::ledger::Ledger;
use crate::client::{Channel, Encoder, Method};
use crate::cmd::{Failed, call};
use crate::flags::Given;
use crate::load::{Plan, drive};
use crate::report::{Live, Recorder};
use api::etcdserverpb::{
    LeaseGrantRequest, PutRequest, RangeRequest, RangeResponse, RequestOp, RequestUnion, TxnRequest,
};
use bytes::Bytes;
use std::cell::RefCell;
use std::rc::Rc;

/// Seconds: longer than any run, so that no key goes away.
const TTL: i64 = 7 * 24 * 3600;
/// Keys of one transaction.
const BATCH: usize = 100;
/// Clients that write such transactions: 100 keys of 256 bytes each are enough for any disk.
const BATCHERS: usize = 64;

/// Loads; returns what it did, one line each.
pub(super) async fn load(given: &Given, ledger: &Rc<Ledger>, channels: &[Rc<Channel>]) -> Result<Vec<String>, Failed> {
    let leases = (0..ledger.keys()).take_while(|number| ledger.lease(*number) != 0).count();
    let mut lines = Vec::new();
    if leases > 0 {
        let (shared, encoder) = (ledger.clone(), RefCell::new(Encoder::default()));
        let writers = given.count("writers").max(1);
        let line = phase("leases", leases, writers, channels, async move |_, channel: &Channel, ticket| {
            let request = LeaseGrantRequest { ttl: TTL, id: shared.lease(ticket as usize) };
            let body = encoder.borrow_mut().frame(&request);
            (0, channel.unary_discard(Method::LeaseGrant, body).await.map(drop))
        });
        lines.push(line.await?);
    }
    let (shared, encoder) = (ledger.clone(), RefCell::new(Encoder::default()));
    let batches = ledger.keys().div_ceil(BATCH);
    let line = phase("batches of 100 keys", batches, BATCHERS, channels, async move |_, channel: &Channel, ticket| {
        let first = ticket as usize * BATCH;
        let numbers = first..(first + BATCH).min(shared.keys());
        let put = |number| PutRequest {
            key: shared.key(number),
            value: shared.value(number, 0),
            lease: shared.lease(number),
            ..Default::default()
        };
        let op = |number| RequestOp { request: Some(RequestUnion::Put(put(number))) };
        let request = TxnRequest { success: numbers.map(op).collect(), ..Default::default() };
        let body = encoder.borrow_mut().frame(&request);
        (0, channel.unary_discard(Method::Txn, body).await.map(drop))
    });
    lines.push(line.await?);
    let probe = RangeRequest { key: Bytes::from_static(b"\0"), ..Default::default() };
    let answer: RangeResponse = call(&channels[0], Method::Range, &probe).await?;
    ledger.saw(answer.header.unwrap_or_default().revision);
    ledger.loaded.set(ledger.revision.get());
    Ok(lines)
}

async fn phase<F>(name: &str, total: usize, clients: usize, channels: &[Rc<Channel>], op: F) -> Result<String, Failed>
where
    F: AsyncFn(usize, &Channel, u64) -> (usize, Result<(), crate::client::CallError>) + 'static,
{
    let plan = Plan { clients, total: total as u64, rate: 0.0, from_send: false, duration: None };
    let recorder = Recorder::new(name);
    let live = Live::start(name, plan.total, plan.duration, std::slice::from_ref(&recorder));
    drive(&plan, channels, std::slice::from_ref(&recorder), op).await?;
    drop(live);
    let summary = recorder.summary();
    match summary.errors.first_key_value() {
        Some((why, count)) => Err(Failed::Verdict(format!("loading {name} failed {count} times: {why}"))),
        None => Ok(format!("{} {name} in {:.1} s", summary.count(), summary.took.as_secs_f64())),
    }
}
