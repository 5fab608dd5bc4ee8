//! One client of a server: unary calls, watch streams that are read all the time, one keep-alive stream.
//!
//! Must never retry, and never drop or reorder an answer.

use crate::Stubs;
use crate::spec::{Answer, Op, Refusal};
use api::etcdserverpb::{
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest, RangeRequest, RangeResponse, WatchRequest,
    WatchResponse,
};
use futures_util::Stream;
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;
use tonic::{Response, Status, Streaming};

/// Longest wait for an answer that must come.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A bidirectional stream whose answers are read as they come.
pub(super) struct Line<Q, A> {
    requests: UnboundedSender<Q>,
    pub(super) answers: UnboundedReceiver<Result<A, Status>>,
    reader: JoinHandle<()>,
}

impl<Q: Send + 'static, A: Send + 'static> Line<Q, A> {
    /// Opens a stream. The server may wait for the first request before it says anything, so that nobody waits for it here.
    fn open<F>(call: impl FnOnce(Requests<Q>) -> F) -> Self
    where
        F: Future<Output = Result<Response<Streaming<A>>, Status>> + Send + 'static,
    {
        let (requests, receiver) = mpsc::unbounded_channel();
        let (sender, answers) = mpsc::unbounded_channel();
        let opening = call(Requests(receiver));
        let reader = tokio::spawn(async move {
            let mut stream = match opening.await {
                Ok(response) => response.into_inner(),
                Err(why) => return drop(sender.send(Err(why))),
            };
            loop {
                let next = match stream.message().await {
                    Ok(Some(answer)) => Ok(answer),
                    Ok(None) => Err(Status::unknown("the server ended the stream")),
                    Err(why) => Err(why),
                };
                let last = next.is_err();
                if sender.send(next).is_err() || last {
                    return;
                }
            }
        });
        Self { requests, answers, reader }
    }

    /// Sends a request.
    pub(super) fn send(&self, request: Q) {
        // when the stream is gone, waiting for the answer says why
        let _ = self.requests.send(request);
    }

    /// The next answer.
    ///
    /// # Errors
    /// The end of the stream, or that nothing came.
    pub(super) async fn next(&mut self) -> Result<A, String> {
        match tokio::time::timeout(PATIENCE, self.answers.recv()).await {
            Ok(Some(Ok(answer))) => Ok(answer),
            Ok(Some(Err(why))) => Err(format!("the stream ended: {why:?}")),
            Ok(None) => Err("the stream ended before".into()),
            Err(_) => Err(format!("no answer within {PATIENCE:?}")),
        }
    }
}

impl<Q, A> Drop for Line<Q, A> {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Requests of a stream, as they are sent.
struct Requests<Q>(UnboundedReceiver<Q>);

impl<Q> Stream for Requests<Q> {
    type Item = Q;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Q>> {
        self.0.poll_recv(context)
    }
}

/// A watch stream.
pub(super) type WatchLine = Line<WatchRequest, WatchResponse>;

/// A client.
pub(super) struct Client {
    pub(super) stubs: Stubs,
    pub(super) lines: Vec<WatchLine>,
    keep_alive: Line<LeaseKeepAliveRequest, LeaseKeepAliveResponse>,
}

impl Client {
    /// A client with so many watch streams.
    ///
    /// # Errors
    /// When nobody listens.
    pub(super) async fn connect(address: &str, streams: usize) -> Result<Self, String> {
        let stubs = Stubs::connect(address, Duration::from_secs(10)).await?;
        let mut lease = stubs.lease.clone();
        let keep_alive = Line::open(|requests| async move { lease.lease_keep_alive(requests).await });
        let lines = (0..streams).map(|_| watch_line(&stubs)).collect();
        Ok(Self { stubs, lines, keep_alive })
    }

    /// Tears a watch stream down and opens another one in its place.
    pub(super) fn reopen(&mut self, stream: usize) {
        self.lines[stream] = watch_line(&self.stubs);
    }

    /// A KV request, on its own.
    pub(super) fn kv(&self, op: Op) -> impl Future<Output = Result<Answer, Refusal>> + use<> {
        let mut kv = self.stubs.kv.clone();
        async move {
            Ok(match op {
                Op::Range(request) => Answer::Range(kv.range(request).await?.into_inner()),
                Op::Stream(request) => {
                    let chunks = kv.range_stream(request).await?.into_inner();
                    Answer::Stream(merge(chunks).await?)
                }
                Op::Put(request) => Answer::Put(kv.put(request).await?.into_inner()),
                Op::Delete(request) => Answer::Delete(kv.delete_range(request).await?.into_inner()),
                Op::Txn(request) => Answer::Txn(kv.txn(request).await?.into_inner()),
                Op::Compact(request) => Answer::Compact(kv.compact(request).await?.into_inner()),
                other => unreachable!("{other:?} is no KV request"),
            })
        }
    }

    /// Any request.
    ///
    /// # Errors
    /// The server's.
    pub(super) async fn call(&mut self, op: Op) -> Result<Answer, Refusal> {
        let mut lease = self.stubs.lease.clone();
        Ok(match op {
            Op::Grant(request) => Answer::Grant(lease.lease_grant(request).await?.into_inner()),
            Op::Revoke(request) => Answer::Revoke(lease.lease_revoke(request).await?.into_inner()),
            Op::TimeToLive(request) => Answer::TimeToLive(lease.lease_time_to_live(request).await?.into_inner()),
            Op::Leases => Answer::Leases(lease.lease_leases(LeaseLeasesRequest {}).await?.into_inner()),
            Op::KeepAlive(id) => {
                self.keep_alive.send(LeaseKeepAliveRequest { id });
                Answer::KeepAlive(self.keep_alive.next().await.map_err(Status::unknown)?)
            }
            kv => self.kv(kv).await?,
        })
    }

    /// A read that changes nothing and says where the server stands.
    pub(super) async fn probe(&self) -> Result<RangeResponse, Status> {
        let request = RangeRequest { key: "probe".into(), count_only: true, ..RangeRequest::default() };
        Ok(self.stubs.kv.clone().range(request).await?.into_inner())
    }
}

fn watch_line(stubs: &Stubs) -> WatchLine {
    let mut watch = stubs.watch.clone();
    Line::open(|requests| async move { watch.watch(requests).await })
}

/// Chunks put together as protobuf does; header, `more` and count must come with the last one only.
async fn merge(mut chunks: Streaming<api::etcdserverpb::RangeStreamResponse>) -> Result<RangeResponse, Status> {
    let mut whole: Option<RangeResponse> = None;
    while let Some(chunk) = chunks.message().await? {
        let chunk = chunk.range_response.ok_or_else(|| Status::data_loss("a chunk without an answer"))?;
        let Some(all) = &mut whole else {
            whole = Some(chunk);
            continue;
        };
        if all.header.is_some() || all.more || all.count != 0 {
            return Err(Status::data_loss("a chunk after the one that has the header"));
        }
        all.kvs.extend(chunk.kvs);
        (all.header, all.more, all.count) = (chunk.header, chunk.more, chunk.count);
    }
    whole.ok_or_else(|| Status::data_loss("a stream without a chunk"))
}
