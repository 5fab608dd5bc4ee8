//! `range`: reads of a key, a range, a prefix; unary, streamed or in pages.
//!
//! Must not keep what it reads, except the last key of a page.

use super::output::{files, print, report};
use super::{Desk, Failed, channels, plan, rng};
use crate::client::{CallError, Channel, Method};
use crate::flags::Given;
use crate::load::{drive, keys};
use crate::report::{Live, Recorder};
use api::etcdserverpb::{RangeRequest, RangeResponse};
use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

/// What the watch cache of Kubernetes asks for at once.
const PAGE: i64 = 10_000;

/// Prints which consistency is used, in etcd's words.
pub(super) fn consistency(given: &Given) -> Result<bool, Failed> {
    let (words, serializable) = match given.text("consistency") {
        "l" => ("linearizable", false),
        "s" => ("serializable", true),
        other => return Err(Failed::Usage(format!("--consistency={other}: neither l nor s"))),
    };
    if given.text("json") != "-" {
        print(&format!("bench with {words} range\n"))?;
    }
    Ok(serializable)
}

fn request(given: &Given, serializable: bool) -> Result<RangeRequest, Failed> {
    let (prefix, paginate) = (given.flag("prefix"), given.flag("paginate"));
    if given.args.len() > 2 || (given.args.is_empty() && !prefix) {
        return Err(Failed::Usage("range needs a KEY, perhaps an END, or --prefix".into()));
    }
    if paginate && given.number("limit") > 0 {
        return Err(Failed::Usage("--paginate and --limit are mutually exclusive".into()));
    }
    let (count_only, keys_only) = (given.flag("count-only"), given.flag("keys-only"));
    if count_only && keys_only {
        return Err(Failed::Usage("`--keys-only` and `--count-only` cannot be set at the same time".into()));
    }
    let argument = |at: usize| Bytes::from(given.args.get(at).cloned().unwrap_or_default());
    let key = argument(0);
    let range_end = if prefix { keys::prefix_end(&key) } else { argument(1) };
    // an empty key means from the first one on, which the API spells as one zero byte
    let key = if key.is_empty() { Bytes::from_static(b"\0") } else { key };
    let limit = if paginate { PAGE } else { given.number("limit") as i64 };
    Ok(RangeRequest { key, range_end, limit, serializable, keys_only, count_only, ..Default::default() })
}

pub(crate) async fn run(given: &Given) -> Result<(), Failed> {
    let wanted = request(given, false)?;
    let wanted = RangeRequest { serializable: consistency(given)?, ..wanted };
    let channels = channels(given).await?;
    let desk = Desk::new(rng(given));
    let body = desk.frame(&wanted);
    let (stream, paginate) = (given.flag("stream"), given.flag("paginate"));
    let recorder = Recorder::new("range");
    let recorders = [recorder.clone()];
    let plan = plan(given, given.count("clients"));
    let live = Live::start("range", plan.total, plan.duration, &recorders);
    drive(&plan, &channels, &recorders, async move |_, channel: &Channel, _| {
        let outcome = if paginate && !stream {
            pages(channel, &desk, wanted.clone()).await
        } else {
            let method = if stream { Method::RangeStream } else { Method::Range };
            channel.unary_discard(method, body.clone()).await.map(drop)
        };
        (0, outcome)
    })
    .await?;
    drop(live);
    let summary = recorder.summary();
    report(given, "", &summary, "")?;
    files(given, &[summary])
}

/// The whole range page by page, at the revision of the first page.
async fn pages(channel: &Channel, desk: &Desk, mut request: RangeRequest) -> Result<(), CallError> {
    loop {
        let body = desk.frame(&request);
        let answer = channel.unary(Method::Range, body).await?;
        let answer = RangeResponse::decode(answer).map_err(CallError::undecodable)?;
        let Some(last) = answer.kvs.last().filter(|_| answer.more) else { return Ok(()) };
        if request.revision == 0 {
            request.revision = answer.header.unwrap_or_default().revision;
        }
        let mut next = BytesMut::with_capacity(last.key.len() + 1);
        next.extend_from_slice(&last.key);
        next.put_u8(0);
        request.key = next.freeze();
    }
}
