//! `txn-put` and `txn-mixed`: transactions without conditions.
//!
//! Must write what etcd's tool writes: key numbers follow the tickets.

use super::output::{files, report};
use super::range::consistency;
use super::{Desk, Failed, channels, plan, rng};
use crate::client::{Channel, Method};
use crate::flags::Given;
use crate::load::{drive, keys};
use crate::report::{Live, Recorder};
use api::etcdserverpb::{PutRequest, RangeRequest, RequestOp, RequestUnion, TxnRequest};
use bytes::Bytes;

pub(super) fn put_op(key: Bytes, value: Bytes) -> RequestOp {
    RequestOp { request: Some(RequestUnion::Put(PutRequest { key, value, ..Default::default() })) }
}

fn space(given: &Given) -> Result<u64, Failed> {
    match given.number("key-space-size") {
        0 => Err(Failed::Usage("expected positive --key-space-size, got (0)".into())),
        space => Ok(space),
    }
}

pub(crate) async fn put(given: &Given) -> Result<(), Failed> {
    let (space, ops) = (space(given)?, given.number("txn-ops"));
    if ops > space {
        return Err(Failed::Usage(format!(
            "expected --txn-ops no larger than --key-space-size, got txn-ops({ops}) key-space-size({space})"
        )));
    }
    let channels = channels(given).await?;
    let mut rng = rng(given);
    let value = Bytes::from(rng.bytes(given.count("val-size")));
    let size = given.count("key-size");
    let desk = Desk::new(rng);
    let recorder = Recorder::new("txn-put");
    let recorders = [recorder.clone()];
    let plan = plan(given, given.count("clients"));
    let live = Live::start("txn-put", plan.total, plan.duration, &recorders);
    drive(&plan, &channels, &recorders, async move |_, channel: &Channel, ticket| {
        let numbers = (0..ops).map(|i| ticket.wrapping_mul(ops).wrapping_add(i) % space);
        let success = numbers.map(|number| put_op(keys::numbered(number, size), value.clone())).collect();
        let body = desk.frame(&TxnRequest { success, ..Default::default() });
        (0, channel.unary_discard(Method::Txn, body).await.map(drop))
    })
    .await?;
    drop(live);
    let summary = recorder.summary();
    report(given, "", &summary, "\n")?;
    files(given, &[summary])
}

pub(crate) async fn mixed(given: &Given) -> Result<(), Failed> {
    const READ: usize = 0;
    const WRITE: usize = 1;
    let space = space(given)?;
    let serializable = consistency(given)?;
    let channels = channels(given).await?;
    let mut rng = rng(given);
    let value = Bytes::from(rng.bytes(given.count("val-size")));
    let size = given.count("key-size");
    let ratio = given.fraction("rw-ratio");
    let limit = given.number("limit") as i64;
    let all = Bytes::from_static(b"\0");
    let read = RangeRequest { key: all.clone(), range_end: all, limit, serializable, ..Default::default() };
    let read = RequestOp { request: Some(RequestUnion::Range(read)) };
    let desk = Desk::new(rng);
    let read = desk.frame(&TxnRequest { success: vec![read], ..Default::default() });
    let recorders = [Recorder::new("txn-mixed-read"), Recorder::new("txn-mixed-write")];
    let plan = plan(given, given.count("clients"));
    let live = Live::start("txn-mixed", plan.total, plan.duration, &recorders);
    drive(&plan, &channels, &recorders, async move |_, channel: &Channel, ticket| {
        let reads = desk.rng.borrow_mut().unit() < ratio / (1.0 + ratio);
        let body = if reads {
            read.clone()
        } else {
            let success = vec![put_op(keys::numbered(ticket % space, size), value.clone())];
            desk.frame(&TxnRequest { success, ..Default::default() })
        };
        let kind = if reads { READ } else { WRITE };
        (kind, channel.unary_discard(Method::Txn, body).await.map(drop))
    })
    .await?;
    drop(live);
    let summaries = recorders.map(|recorder| recorder.summary());
    for (summary, word) in summaries.iter().zip(["Read", "Write"]) {
        let count = summary.count() + summary.failed();
        report(given, &format!("Total {word} Ops: {count}\nDetails:"), summary, "\n")?;
    }
    files(given, &summaries)
}
