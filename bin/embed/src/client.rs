//! The in-process client: the same messages as a door sends, without a socket.
//!
//! Cheap to clone, usable from any thread with a tokio runtime. Requests are taken as checked: it is the host's own code
//! that asks, and it may everything, whoever the users are. A client outlives its node: every request then ends as stopped. Must never retry: an outcome that is unknown is reported as such.

use bytes::{BufMut, Bytes, BytesMut};
use messages::admin::Control;
use messages::lease::{LeaseAsk, LeaseReply, LeaseRequests};
use messages::propose::{Proposal, Propose};
use messages::read::{ChunkSource, INLINE_BYTES, ReadIndex, RunQuery, Work};
use messages::reply::HashAnswer;
use messages::watch::{CreateWatch, StreamKey, ToHub, WatchFrame, WatchRequests};
use messages::{Ports, Reply, ReplyBody, ReplySink, RequestError, SinkId, Token};
use model::request::RangeRequest;
use model::{
    Applied, ApplyError, Caller, Command, KeyValue, MemberChange, MemberInfo, Outcome, RangeOutcome, ReadError,
};
use prost::Message;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Bytes of events that may wait for a watch stream's owner.
const WATCH_CREDIT: usize = 1 << 20;

/// Why a request of the host failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// Not carried out, or not known to have been: see the reason.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Committed without effect.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The read was refused.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A stored key-value does not decode.
    #[error("a stored key-value is damaged")]
    Damaged,
}

/// Where answers to in-process clients arrive.
pub(crate) struct ClientSink {
    /// `None` once the node has stopped: nobody is there to answer.
    waiting: Mutex<Option<HashMap<Token, Waiter>>>,
    next: AtomicU64,
}

impl Default for ClientSink {
    fn default() -> Self {
        Self { waiting: Mutex::new(Some(HashMap::new())), next: AtomicU64::new(0) }
    }
}

enum Waiter {
    Once(oneshot::Sender<ReplyBody>),
    Stream(mpsc::UnboundedSender<Vec<WatchFrame>>),
}

impl ClientSink {
    fn waiting(&self) -> MutexGuard<'_, Option<HashMap<Token, Waiter>>> {
        // a panic between insert and remove leaves a usable map
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a caller, or drops it (which ends its waiting) when the node has stopped.
    fn register(&self, waiter: Waiter) -> Token {
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        if let Some(waiting) = self.waiting().as_mut() {
            waiting.insert(token, waiter);
        }
        token
    }

    fn forget(&self, token: Token) {
        if let Some(waiting) = self.waiting().as_mut() {
            waiting.remove(&token);
        }
    }

    /// The node has stopped: whoever waits is told so, now and from now on.
    pub(crate) fn close(&self) {
        let waiting = self.waiting().take();
        drop(waiting);
    }
}

impl ReplySink for ClientSink {
    fn deliver(&self, replies: Vec<Reply>) {
        let mut guard = self.waiting();
        for reply in replies {
            let Some(waiting) = guard.as_mut() else { return };
            let Reply { token, body } = reply;
            if let ReplyBody::Watch(frames) = body {
                if let Some(Waiter::Stream(stream)) = waiting.get(&token) {
                    // the receiver may be gone: its stream is being closed
                    let _ = stream.send(frames);
                }
            } else if let Some(Waiter::Once(sender)) = waiting.remove(&token) {
                // a caller that gave up is none of our business
                let _ = sender.send(body);
            }
        }
    }

    fn node_stopped(&self) {
        self.close();
    }
}

/// An in-process client of a node.
#[derive(Clone)]
pub struct Client {
    ports: Ports,
    sink: Arc<ClientSink>,
    id: SinkId,
}

impl Client {
    pub(crate) fn new(ports: Ports, sink: Arc<ClientSink>, id: SinkId) -> Self {
        Self { ports, sink, id }
    }

    async fn ask(&self, send: impl FnOnce(Token) -> bool) -> Result<ReplyBody, RequestError> {
        let (sender, answer) = oneshot::channel();
        let token = self.sink.register(Waiter::Once(sender));
        if !send(token) {
            self.sink.forget(token);
            let stopping = self.ports.gauges.stopping.load(Ordering::Acquire);
            return Err(if stopping { RequestError::Stopped } else { RequestError::TooManyRequests });
        }
        answer.await.map_err(|_| RequestError::Stopped)
    }

    /// Proposes a command and waits until it is applied.
    ///
    /// # Errors
    /// [`ClientError::Request`] (see there which of them leave the outcome unknown), [`ClientError::Apply`].
    pub async fn execute(&self, command: Command) -> Result<(i64, Outcome), ClientError> {
        let reply = self
            .ask(|token| {
                let proposals =
                    vec![Proposal { token, command: command.encode_for(Caller::Internal, token), only_in_term: 0 }];
                self.ports.core.propose(Propose { sink: self.id, proposals }).is_ok()
            })
            .await?;
        match reply {
            ReplyBody::Applied(result) => {
                let Applied { revision, result, .. } = result?;
                Ok((revision, result?))
            }
            _ => Err(RequestError::Failed.into()),
        }
    }

    /// Changes the membership and waits until that is in force for good: the member that the change was about, and all members.
    ///
    /// # Errors
    /// [`ClientError::Request`] (see there which of them leave the outcome unknown), [`ClientError::Apply`].
    pub async fn change_membership(&self, change: MemberChange) -> Result<(u64, Vec<MemberInfo>), ClientError> {
        let reply = self.ask(|token| {
            self.ports.core.control(Control::ChangeMembership { sink: self.id, token, change, forwarded: false })
        });
        match reply.await? {
            ReplyBody::Applied(result) => match result?.result? {
                Outcome::Members { changed, members } => Ok((changed, members)),
                _ => Err(RequestError::Failed.into()),
            },
            _ => Err(RequestError::Failed.into()),
        }
    }

    /// Reads a range, linearizably unless the request says serializable. The revision is the store's.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn range(&self, request: RangeRequest) -> Result<(i64, RangeOutcome), ClientError> {
        if self.ports.gauges.stopping.load(Ordering::Acquire) {
            return Err(RequestError::Stopped.into());
        }
        if !request.serializable && !self.ports.gauges.sole_member.load(Ordering::Acquire) {
            self.wait_until_current().await?;
        }
        if let Some(answer) = self.ports.reads.range(&request, INLINE_BYTES) {
            return Ok(answer?);
        }
        let planned = self.query(Work::PlanRange(request)).await?;
        let ReplyBody::RangePlanned(result) = planned else { return Err(RequestError::Failed.into()) };
        let plan = result?;
        let kvs = self.pull(plan.source).await?;
        Ok((plan.revision, RangeOutcome { kvs, more: plan.more, count: plan.count }))
    }

    /// The newest value of a key.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get(&self, key: impl Into<Bytes>) -> Result<Option<KeyValue>, ClientError> {
        let (_, outcome) = self.range(RangeRequest { key: key.into(), ..RangeRequest::default() }).await?;
        outcome.kvs.into_iter().next().map(|kv| KeyValue::decode(kv).map_err(|_| ClientError::Damaged)).transpose()
    }

    /// HashKV of this member; zero is the newest revision.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn hash_kv(&self, revision: i64) -> Result<HashAnswer, ClientError> {
        Self::hashed(self.query(Work::HashKv { revision }).await?)
    }

    /// HashKV of another member.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn peer_hash(&self, member: u64, revision: i64) -> Result<HashAnswer, ClientError> {
        Self::hashed(self.query(Work::PeerHash { member, revision }).await?)
    }

    fn hashed(reply: ReplyBody) -> Result<HashAnswer, ClientError> {
        match reply {
            ReplyBody::Hash(hash) => Ok(hash?),
            ReplyBody::JobDone(Err(why)) => Err(why.into()),
            _ => Err(RequestError::Failed.into()),
        }
    }

    /// Waits until this member has applied all that was committed before the call.
    ///
    /// # Errors
    /// [`ClientError::Request`].
    pub async fn wait_until_current(&self) -> Result<(), ClientError> {
        let granted = self.ask(|token| self.ports.core.read(ReadIndex { sink: self.id, tokens: vec![token] }).is_ok());
        match granted.await? {
            ReplyBody::ReadGranted(result) => Ok(result?),
            _ => Err(RequestError::Failed.into()),
        }
    }

    /// Rebuilds the store of this member from the leader's, and waits until that is done. Watches go on.
    ///
    /// # Errors
    /// [`ClientError::Request`]: the store is as it was.
    pub async fn rebuild(&self) -> Result<(), ClientError> {
        let reply = self.ask(|token| self.ports.core.control(Control::Rebuild { sink: self.id, token })).await?;
        match reply {
            ReplyBody::JobDone(result) => Ok(result?),
            _ => Err(RequestError::Failed.into()),
        }
    }

    async fn query(&self, work: Work) -> Result<ReplyBody, RequestError> {
        self.ask(|token| self.ports.query.try_send(RunQuery { sink: self.id, token, work }).is_ok()).await
    }

    /// All key-values of a planned range.
    async fn pull(&self, mut source: Box<dyn ChunkSource>) -> Result<Vec<Bytes>, ClientError> {
        let mut all = BytesMut::new();
        loop {
            let reply = self.query(Work::NextChunk { source, max_bytes: 1 << 20 }).await?;
            let ReplyBody::Chunk { source: back, chunk } = reply else { return Err(RequestError::Failed.into()) };
            source = back;
            match chunk? {
                Some(chunk) => all.put_slice(&chunk),
                None => return split_fields(all.freeze()),
            }
        }
    }

    /// Asks the lease manager.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn lease(&self, ask: LeaseAsk) -> Result<LeaseReply, RequestError> {
        let reply = self
            .ask(|token| {
                self.ports.leases.do_send(LeaseRequests { sink: self.id, asks: vec![(token, ask)] });
                true
            })
            .await?;
        match reply {
            ReplyBody::Lease(result) => result,
            _ => Err(RequestError::Failed),
        }
    }

    /// Opens a watch stream with one watcher.
    pub fn watch(&self, create: CreateWatch) -> Watch {
        let (sender, frames) = mpsc::unbounded_channel();
        let token = self.sink.register(Waiter::Stream(sender));
        let stream = StreamKey { sink: self.id, token };
        let open = ToHub::OpenStream { stream, credit: WATCH_CREDIT };
        self.ports.hub.do_send(WatchRequests(vec![open, ToHub::Create { stream, create }]));
        Watch { client: self.clone(), stream, frames, held: None, oversized: None }
    }

    /// What doors hold: for hosts that bring services of their own.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// Waits until the member serves, or the patience is over.
    pub(crate) async fn until_serving(&self, patience: Duration) -> bool {
        let start = tokio::time::Instant::now();
        while !self.ports.gauges.serving.load(Ordering::Acquire) {
            if start.elapsed() > patience {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        true
    }
}

/// Splits `kvs` fields (tag, length, key-value) into key-values.
fn split_fields(mut all: Bytes) -> Result<Vec<Bytes>, ClientError> {
    let mut out = Vec::new();
    while !all.is_empty() {
        let mut rest = all.clone();
        let (_, _) = prost::encoding::decode_key(&mut rest).map_err(|_| ClientError::Damaged)?;
        let length = prost::encoding::decode_varint(&mut rest).map_err(|_| ClientError::Damaged)? as usize;
        if rest.len() < length {
            return Err(ClientError::Damaged);
        }
        out.push(rest.split_to(length));
        all = rest;
    }
    Ok(out)
}

/// A watch stream of the host. Dropping it ends the watch.
pub struct Watch {
    client: Client,
    stream: StreamKey,
    frames: mpsc::UnboundedReceiver<Vec<WatchFrame>>,
    /// Frames behind those of an oversized revision.
    held: Option<Vec<WatchFrame>>,
    oversized: Option<OversizedRevision>,
}

/// A revision with too many events for memory, on its way to the host in parts.
struct OversizedRevision {
    watch_id: i64,
    revision: i64,
    left: u64,
    source: Box<dyn ChunkSource>,
}

impl Watch {
    fn begin_oversized(&mut self, frame: WatchFrame) {
        if let WatchFrame::Oversized { watch_id, revision, events, .. } = frame
            && let Some(source) = events.take()
        {
            self.oversized = Some(OversizedRevision { watch_id, revision, left: events.bytes, source });
        }
    }

    /// The next part of an oversized revision; `None` when there is none, or the node has stopped.
    async fn next_part(&mut self) -> Option<WatchFrame> {
        let OversizedRevision { watch_id, revision, left, source } = self.oversized.take()?;
        let reply = self.client.query(Work::NextChunk { source, max_bytes: INLINE_BYTES }).await.ok()?;
        let ReplyBody::Chunk { source, chunk: Ok(Some(chunk)) } = reply else { return None };
        let left = left.saturating_sub(chunk.len() as u64);
        if left > 0 {
            self.oversized = Some(OversizedRevision { watch_id, revision, left, source });
        } else {
            let (stream, bytes) = (self.stream, WatchFrame::OVERSIZED_COST);
            self.client.ports.hub.do_send(WatchRequests(vec![ToHub::Credit { stream, bytes }]));
        }
        Some(WatchFrame::Events { watch_id, revision, events: vec![chunk], fragment: left > 0 })
    }

    /// The next frames, in order; `None` when the node has stopped. A revision with more events than memory should hold comes in
    /// parts marked as fragments, whose chunks hold several `events` fields each.
    pub async fn next(&mut self) -> Option<Vec<WatchFrame>> {
        if let Some(frame) = self.next_part().await {
            return Some(vec![frame]);
        }
        let mut frames = match self.held.take() {
            Some(frames) => frames,
            None => self.frames.recv().await?,
        };
        let oversized = frames.iter().position(|frame| matches!(frame, WatchFrame::Oversized { .. }));
        if let Some(at) = oversized {
            let behind = frames.split_off(at + 1);
            self.held = (!behind.is_empty()).then_some(behind);
            self.begin_oversized(frames.pop().expect("just found"));
            if frames.is_empty() {
                return Some(vec![self.next_part().await?]);
            }
        }
        let bytes = frames.iter().map(WatchFrame::cost).sum();
        self.client.ports.hub.do_send(WatchRequests(vec![ToHub::Credit { stream: self.stream, bytes }]));
        Some(frames)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.client.sink.forget(self.stream.token);
        self.client.ports.hub.do_send(WatchRequests(vec![ToHub::CloseStream { stream: self.stream }]));
    }
}
