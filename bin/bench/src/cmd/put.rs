//! `put`: writes of single keys, with a compaction now and then.
//!
//! Must spend as little as it can on each request.

use super::output::{files, print, report};
use super::{Desk, Failed, call, channels, plan, rng, status};
use crate::client::{CallError, Channel, Encoder, Method};
use crate::flags::Given;
use crate::load::{drive, keys};
use crate::report::{Live, Recorder};
use api::etcdserverpb::{
    CompactionRequest, CompactionResponse, HashKvRequest, HashKvResponse, PutRequest, RangeRequest, RangeResponse,
};
use bytes::Bytes;
use std::rc::Rc;
use std::time::{Duration, Instant};

pub(crate) async fn run(given: &Given) -> Result<(), Failed> {
    let space = given.number("key-space-size");
    if space == 0 {
        return Err(Failed::Usage("expected positive --key-space-size, got (0)".into()));
    }
    let channels = channels(given).await?;
    let mut rng = rng(given);
    let value = Bytes::from(rng.bytes(given.count("val-size")));
    let (size, sequential) = (given.count("key-size"), given.flag("sequential-keys"));
    let desk = Desk::new(rng);
    let recorder = Recorder::new("put");
    let recorders = [recorder.clone()];
    let plan = plan(given, given.count("clients"));
    let compactor = compactor(given, channels[0].clone());
    let live = Live::start("put", plan.total, plan.duration, &recorders);
    drive(&plan, &channels, &recorders, async move |_, channel: &Channel, ticket| {
        let number = if sequential { ticket % space } else { desk.below(space) };
        let request = PutRequest { key: keys::numbered(number, size), value: value.clone(), ..Default::default() };
        let body = desk.frame(&request);
        (0, channel.unary_discard(Method::Put, body).await.map(drop))
    })
    .await?;
    drop(live);
    drop(compactor);
    let summary = recorder.summary();
    report(given, "", &summary, "\n")?;
    if given.flag("check-hashkv") {
        hash(given, &channels[0]).await?;
    }
    files(given, &[summary])
}

struct Compactor(Option<tokio::task::JoinHandle<()>>);

impl Drop for Compactor {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.abort();
        }
    }
}

/// Compacts all but the newest revisions every so often, while it lives.
fn compactor(given: &Given, channel: Rc<Channel>) -> Compactor {
    let (every, keep) = (given.duration("compact-interval"), given.number("compact-index-delta") as i64);
    if every == Duration::ZERO {
        return Compactor(None);
    }
    Compactor(Some(tokio::task::spawn_local(async move {
        loop {
            tokio::time::sleep(every).await;
            if let Err(why) = compact_behind(&channel, keep).await {
                eprintln!("compaction: {why}");
            }
        }
    })))
}

async fn compact_behind(channel: &Channel, keep: i64) -> Result<(), CallError> {
    let probe = RangeRequest { key: Bytes::from_static(b"foo"), ..Default::default() };
    let answer: RangeResponse = call(channel, Method::Range, &probe).await?;
    let revision = (answer.header.unwrap_or_default().revision - keep).max(0);
    let request = CompactionRequest { revision, physical: false };
    call::<CompactionResponse>(channel, Method::Compact, &request).await.map(drop)
}

async fn hash(given: &Given, channel: &Channel) -> Result<(), Failed> {
    let start = Instant::now();
    let body = Encoder::default().frame(&HashKvRequest { revision: 0 });
    let answer = channel.unary(Method::HashKv, body).await?;
    let answer = <HashKvResponse as prost::Message>::decode(answer).map_err(CallError::undecodable)?;
    let size = status(channel).await?.db_size;
    let host = given.text("endpoints").split(',').next().unwrap_or_default().trim();
    let took = units::show_duration(start.elapsed());
    print(&format!(
        "HashKV Summary:\n\tHashKV: {}\n\tEndpoint: {host}\n\tTime taken to get hashkv: {took}\n\tDB size: {}\n",
        answer.hash,
        units::size(size.max(0) as u64)
    ))
}
