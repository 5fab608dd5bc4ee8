//! A watch stream of a test: sends requests, reads answers, puts fragments together where asked.
//!
//! Must never hide an answer: everything the server sends is seen by the test.

use crate::stubs::Stubs;
use crate::{request, soon};
use api::etcdserverpb::watch_request::RequestUnion;
use api::etcdserverpb::{WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse};
use api::mvccpb::Event;
use bytes::Bytes;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

/// An open watch stream.
pub struct Watching {
    requests: mpsc::UnboundedSender<WatchRequest>,
    answers: Streaming<WatchResponse>,
}

/// A watch of `[key, end)` from `start_revision`.
pub fn create(key: impl AsRef<[u8]>, end: impl AsRef<[u8]>, start_revision: i64) -> WatchCreateRequest {
    let (key, range_end) = (request::bytes(key), request::bytes(end));
    WatchCreateRequest { key, range_end, start_revision, ..WatchCreateRequest::default() }
}

/// A watch of every key.
pub fn create_all(start_revision: i64) -> WatchCreateRequest {
    create([0], [0], start_revision)
}

impl Watching {
    /// Opens a stream with one watcher; its `created` answer is read.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn open(stubs: &Stubs, first: WatchCreateRequest) -> Self {
        let mut watching = Self::open_unread(stubs, first).await;
        let created = watching.next().await;
        assert!(created.created && !created.canceled, "not created: {created:?}");
        watching
    }

    /// As [`Self::open`], where the server may end at any time.
    ///
    /// # Errors
    /// The server's, or [`Status`] of a connection that broke.
    pub async fn try_open(stubs: &Stubs, first: WatchCreateRequest) -> Result<Self, Status> {
        let mut watching = Self::begin(stubs, first).await?;
        match watching.try_next().await? {
            Some(answer) if answer.created && !answer.canceled => Ok(watching),
            answer => Err(Status::unknown(format!("not created: {answer:?}"))),
        }
    }

    /// Opens a stream with one watcher and reads nothing.
    ///
    /// # Panics
    /// When the stream is refused.
    pub async fn open_unread(stubs: &Stubs, first: WatchCreateRequest) -> Self {
        soon("opening a watch", Self::begin(stubs, first)).await.expect("open a watch")
    }

    async fn begin(stubs: &Stubs, first: WatchCreateRequest) -> Result<Self, Status> {
        let (requests, receiver) = mpsc::unbounded_channel();
        let watching = futures_util::stream::unfold(receiver, |mut receiver| async move {
            let request: WatchRequest = receiver.recv().await?;
            Some((request, receiver))
        });
        requests.send(WatchRequest { request_union: Some(RequestUnion::CreateRequest(first)) }).expect("just opened");
        let mut stub = stubs.watch.clone();
        let answers = stub.watch(watching).await?.into_inner();
        Ok(Self { requests, answers })
    }

    fn send(&self, union: RequestUnion) {
        self.requests.send(WatchRequest { request_union: Some(union) }).expect("the stream is open");
    }

    /// Asks for another watcher.
    pub fn create(&self, request: WatchCreateRequest) {
        self.send(RequestUnion::CreateRequest(request));
    }

    /// Cancels a watcher.
    pub fn cancel(&self, watch_id: i64) {
        self.send(RequestUnion::CancelRequest(WatchCancelRequest { watch_id }));
    }

    /// Asks for progress.
    pub fn progress(&self) {
        self.send(RequestUnion::ProgressRequest(WatchProgressRequest {}));
    }

    /// The next answer, or the stream's end.
    ///
    /// # Errors
    /// The status the stream ended with.
    pub async fn try_next(&mut self) -> Result<Option<WatchResponse>, Status> {
        soon("an answer of the watch", self.answers.message()).await
    }

    /// The next answer.
    ///
    /// # Panics
    /// When the stream ends.
    pub async fn next(&mut self) -> WatchResponse {
        self.try_next().await.expect("an open watch").expect("an answer before the end")
    }

    /// At least `count` events, in order; answers in between may carry none.
    ///
    /// # Panics
    /// When the stream ends before.
    pub async fn events(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::with_capacity(count);
        while events.len() < count {
            events.extend(self.next().await.events);
        }
        events
    }
}

/// An event in short: true for a put, key, value, main revision.
pub fn short(event: &Event) -> (bool, Bytes, Bytes, i64) {
    let kv = event.kv.clone().unwrap_or_default();
    (event.r#type == 0, kv.key, kv.value, kv.mod_revision)
}
