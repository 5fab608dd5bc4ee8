//! `mix`: operations of a file, drawn by weight.
//!
//! Must report each operation by itself: an average over a read and a write says nothing.

use super::mix_file::{Action, KeySet, Mix, Operation, parse};
use super::output::{files, print, report};
use super::txn::put_op;
use super::{Desk, Failed, channels, plan, rng};
use crate::client::{CallError, Channel, Method};
use crate::flags::Given;
use crate::load::rng::Rng;
use crate::load::{Plan, drive, keys};
use crate::report::{Live, Recorder, together};
use api::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, RequestUnion, TxnRequest};
use bytes::Bytes;
use std::rc::Rc;

/// Keys written by one transaction while loading.
const BATCH: u64 = 100;
const LOADERS: usize = 64;

pub(crate) async fn run(given: &Given) -> Result<(), Failed> {
    let [path] = given.args.as_slice() else {
        return Err(Failed::Usage("mix needs one FILE; docs/bench.md describes it".into()));
    };
    let text = std::fs::read_to_string(path).map_err(|why| Failed::File(format!("cannot read {path}"), why))?;
    let mix = Rc::new(parse(&text).map_err(|why| Failed::Usage(format!("{path}: {why}")))?);
    let channels = channels(given).await?;
    let mut rng = rng(given);
    let most = mix.sets.iter().map(|set| set.value_size.1).max().unwrap_or(0);
    // values are slices of one block, so that no request has to make bytes
    let block = Bytes::from(rng.bytes(most * 2));
    let desk = Rc::new(Desk::new(rng));
    if !given.flag("no-load") {
        for set in 0..mix.sets.len() {
            load(&channels, &mix, set, &block, &desk).await?;
        }
    }
    let recorders: Vec<Rc<Recorder>> = mix.operations.iter().map(|op| Recorder::new(&op.name)).collect();
    let plan = plan(given, given.count("clients"));
    let live = Live::start("mix", plan.total, plan.duration, &recorders);
    let shared = mix.clone();
    drive(&plan, &channels, &recorders, async move |_, channel: &Channel, ticket| {
        let (kind, method, body) = {
            let rng = &mut desk.rng.borrow_mut();
            let kind = shared.pick(rng);
            let operation = &shared.operations[kind];
            let (method, request) = request(operation, &shared.sets[operation.set], ticket, &block, rng);
            (kind, method, frame(&desk, &request))
        };
        (kind, channel.unary_discard(method, body).await.map(drop))
    })
    .await?;
    drop(live);
    let mut summaries: Vec<_> = recorders.iter().map(|recorder| recorder.summary()).collect();
    summaries.push(together("all", &summaries));
    for summary in &summaries {
        report(given, &format!("\n{}: {} requests", summary.name, summary.count() + summary.failed()), summary, "")?;
    }
    if given.text("json") != "-" {
        print("\n")?;
    }
    files(given, &summaries)
}

enum Request {
    Put(PutRequest),
    Delete(DeleteRangeRequest),
    Range(RangeRequest),
    Txn(TxnRequest),
}

fn frame(desk: &Desk, request: &Request) -> Bytes {
    match request {
        Request::Put(request) => desk.frame(request),
        Request::Delete(request) => desk.frame(request),
        Request::Range(request) => desk.frame(request),
        Request::Txn(request) => desk.frame(request),
    }
}

fn value(set: &KeySet, block: &Bytes, rng: &mut Rng) -> Bytes {
    let (low, high) = set.value_size;
    let len = low + rng.below((high - low + 1) as u64) as usize;
    let from = rng.below((block.len() - len + 1) as u64) as usize;
    block.slice(from..from + len)
}

fn request(operation: &Operation, set: &KeySet, ticket: u64, block: &Bytes, rng: &mut Rng) -> (Method, Request) {
    let key = |rng: &mut Rng| keys::named(&set.prefix, set.draw.draw(set.count, ticket, rng), set.size);
    let end = || keys::prefix_end(set.prefix.as_bytes());
    match operation.action {
        Action::Put => {
            let (key, value) = (key(rng), value(set, block, rng));
            (Method::Put, Request::Put(PutRequest { key, value, ..Default::default() }))
        }
        Action::Delete => {
            (Method::DeleteRange, Request::Delete(DeleteRangeRequest { key: key(rng), ..Default::default() }))
        }
        Action::Get { serializable } => {
            let range = RangeRequest { key: key(rng), serializable, ..Default::default() };
            (Method::Range, Request::Range(range))
        }
        Action::List { limit, serializable, keys_only, stream } => {
            let (key, range_end) = (key(rng), end());
            let range = RangeRequest { key, range_end, limit, serializable, keys_only, ..Default::default() };
            (if stream { Method::RangeStream } else { Method::Range }, Request::Range(range))
        }
        Action::Count { serializable } => {
            let key = Bytes::from(set.prefix.clone());
            let range = RangeRequest { key, range_end: end(), count_only: true, serializable, ..Default::default() };
            (Method::Range, Request::Range(range))
        }
        Action::Txn { reads, writes } => {
            let get = |rng: &mut Rng| RangeRequest { key: key(rng), ..Default::default() };
            let mut success: Vec<RequestOp> =
                (0..reads).map(|_| RequestOp { request: Some(RequestUnion::Range(get(rng))) }).collect();
            // a transaction may write each key once
            let mut written = std::collections::BTreeSet::new();
            for _ in 0..writes * 4 {
                if written.len() < writes {
                    written.insert(key(rng));
                }
            }
            success.extend(written.into_iter().map(|key| put_op(key, value(set, block, rng))));
            (Method::Txn, Request::Txn(TxnRequest { success, ..Default::default() }))
        }
    }
}

/// Writes every key of a set, many in one transaction.
async fn load(
    channels: &[Rc<Channel>],
    mix: &Rc<Mix>,
    set: usize,
    block: &Bytes,
    desk: &Rc<Desk>,
) -> Result<(), Failed> {
    if !mix.sets[set].load {
        return Ok(());
    }
    let total = mix.sets[set].count.div_ceil(BATCH);
    let plan = Plan { clients: LOADERS, total, rate: 0.0, from_send: false, duration: None };
    let recorder = Recorder::new("load");
    let live = Live::start(&format!("load {}", mix.sets[set].prefix), total, None, std::slice::from_ref(&recorder));
    let (mix, block, desk) = (mix.clone(), block.clone(), desk.clone());
    drive(&plan, channels, std::slice::from_ref(&recorder), async move |_, channel: &Channel, ticket| {
        let body = {
            let (set, rng) = (&mix.sets[set], &mut desk.rng.borrow_mut());
            let numbers = ticket * BATCH..((ticket + 1) * BATCH).min(set.count);
            let puts = numbers.map(|n| put_op(keys::named(&set.prefix, n, set.size), value(set, &block, rng)));
            let request = TxnRequest { success: puts.collect(), ..Default::default() };
            desk.frame(&request)
        };
        let outcome: Result<u64, CallError> = channel.unary_discard(Method::Txn, body).await;
        (0, outcome.map(drop))
    })
    .await?;
    drop(live);
    match recorder.summary().errors.first_key_value() {
        Some((why, count)) => Err(Failed::Verdict(format!("{count} transactions failed while loading: {why}"))),
        None => Ok(()),
    }
}
