//! Filling a server, and a steady pulse of writes that shows what everything else costs them.
//!
//! Must write the same bytes to both sides.

use crate::server::Server;
use api::etcdserverpb::{PutRequest, RangeRequest, RangeResponse, RequestOp, RequestUnion, TxnRequest};
use bench::client::{CallError, Channel, Encoder, Method};
use bench::cmd::call;
use bench::load::keys::named;
use bench::load::rng::Rng;
use bench::load::{Plan, drive};
use bench::report::{Recorder, Summary};
use bytes::Bytes;
use std::cell::RefCell;
use std::rc::Rc;
use tokio::task::JoinHandle;

pub const VALUE: usize = 256;
pub const CLIENTS: usize = 1000;
const CONNS: usize = 100;
const BATCH: u64 = 100;
const BATCHERS: usize = 32;

/// Key `number` of the big set.
pub fn key(number: u64) -> Bytes {
    named("key/", number, 16)
}

/// `VALUE` bytes that do not compress well and depend on both numbers.
pub fn value(number: u64, pass: u64) -> Bytes {
    Rng::new(number << 8 | pass).bytes(VALUE).into()
}

/// A plan without a rate.
pub fn plan(clients: usize, total: u64) -> Plan {
    Plan { clients, total, rate: 0.0, from_send: false, duration: None }
}

/// Fails when a request of the summary did.
pub fn sound(summary: Summary) -> Result<Summary, String> {
    match summary.errors.first_key_value() {
        Some((why, count)) => Err(format!("{count} requests failed: {why}")),
        None => Ok(summary),
    }
}

/// Runs a loop to its end.
pub async fn driven<F>(plan: Plan, channels: &[Rc<Channel>], op: F) -> Result<Summary, String>
where
    F: AsyncFn(usize, &Channel, u64) -> Result<(), CallError> + 'static,
{
    let recorder = Recorder::new("load");
    let op = async move |client, channel: &Channel, ticket| (0, op(client, channel, ticket).await);
    drive(&plan, channels, std::slice::from_ref(&recorder), op).await.map_err(|why| why.to_string())?;
    sound(recorder.summary())
}

/// Writes every key once; returns the revision after that.
pub async fn all(server: &Server, keys: u64, pass: u64, batched: bool) -> Result<i64, String> {
    if batched {
        batches(server, keys, move |number| (key(number), value(number, pass))).await?;
    } else {
        let channels = server.channels(CONNS).await?;
        let encoder = RefCell::new(Encoder::default());
        driven(plan(CLIENTS, keys), &channels, async move |_, channel: &Channel, number| {
            let request = PutRequest { key: key(number), value: value(number, pass), ..Default::default() };
            let body = encoder.borrow_mut().frame(&request);
            channel.unary_discard(Method::Put, body).await.map(drop)
        })
        .await?;
    }
    revision(&server.channels(1).await?[0]).await
}

/// Writes keys in transactions of a hundred.
pub async fn batches(server: &Server, keys: u64, make: impl Fn(u64) -> (Bytes, Bytes) + 'static) -> Result<(), String> {
    let channels = server.channels(8).await?;
    let encoder = RefCell::new(Encoder::default());
    let total = keys.div_ceil(BATCH);
    driven(plan(BATCHERS, total), &channels, async move |_, channel: &Channel, ticket| {
        let op = |number| {
            let (key, value) = make(number);
            RequestOp { request: Some(RequestUnion::Put(PutRequest { key, value, ..Default::default() })) }
        };
        let success = (ticket * BATCH..((ticket + 1) * BATCH).min(keys)).map(op).collect();
        let body = encoder.borrow_mut().frame(&TxnRequest { success, ..Default::default() });
        channel.unary_discard(Method::Txn, body).await.map(drop)
    })
    .await
    .map(drop)
}

/// The revision now.
pub async fn revision(channel: &Channel) -> Result<i64, String> {
    let request = RangeRequest { key: "probe".into(), ..Default::default() };
    let answer: Result<RangeResponse, _> = call(channel, Method::Range, &request).await;
    answer.map(|answer| answer.header.unwrap_or_default().revision).map_err(|why| why.to_string())
}

/// 500 writes a second on time, measured from when each was due.
pub struct Pulse {
    recorder: Rc<Recorder>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Pulse {
    pub async fn start(server: &Server, keys: u64) -> Result<Self, String> {
        Ok(Self::over(server.channels(4).await?, 64, 500.0, keys))
    }

    /// The same with so many clients and writes a second, all through one connection.
    pub fn through(channel: Rc<Channel>, clients: usize, rate: f64, keys: u64) -> Self {
        Self::over(vec![channel], clients, rate, keys)
    }

    fn over(channels: Vec<Rc<Channel>>, clients: usize, rate: f64, keys: u64) -> Self {
        let recorder = Recorder::new("pulse");
        let encoder = RefCell::new(Encoder::default());
        let recorders = vec![recorder.clone()];
        let task = tokio::task::spawn_local(async move {
            let plan = Plan { rate, ..plan(clients, u64::MAX) };
            drive(&plan, &channels, &recorders, async move |_, channel: &Channel, ticket| {
                let number = ticket.wrapping_mul(7919) % keys;
                let request = PutRequest { key: key(number), value: value(number, 2), ..Default::default() };
                let body = encoder.borrow_mut().frame(&request);
                (0, channel.unary_discard(Method::Put, body).await.map(drop))
            })
            .await
        });
        Self { recorder, task }
    }

    /// Worst and 99th percentile in ms since the last call.
    pub fn take(&self) -> (f64, f64) {
        let window = self.recorder.take_window();
        (window.max() as f64 / 1e6, window.value_at_quantile(0.99) as f64 / 1e6)
    }

    /// Stops.
    pub fn stop(self) -> Result<(), String> {
        self.task.abort();
        sound(self.recorder.summary()).map(drop)
    }
}
