//! Watches: every change of a key or a range, once and in order, whatever happens to the servers in between.
//!
//! Each watch has a stream of its own on the shared connection: a slow reader holds up nobody else, and what waits for it waits
//! on the server. Must never hand out half of a revision, nor one twice, nor leave one out: when it cannot go on without a
//! gap, it says so and ends.

use crate::blob::IntoBytes;
use crate::client::Client;
use crate::error::{Error, Reason, Refusal};
use crate::range;
use crate::transport::{Failure, method};
use api::etcdserverpb as pb;
use api::mvccpb;
use api::mvccpb::KeyValue;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream;
use pb::watch_request::RequestUnion;
use std::future::IntoFuture;
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::{Code, Streaming};

/// Longest pause before a stream is opened again.
const MAX_PAUSE: Duration = Duration::from_millis(200);
/// Requests that wait to be sent: one creates the watch, the others ask for progress.
const REQUESTS: usize = 16;

/// What is watched: made by [`Client::watch`], begun when it is awaited.
///
/// ```
/// # harness::examples::on_member(async |endpoint| {
/// # let client = conclave_client::Client::connect([endpoint]).await?;
/// let mut watcher = client.watch("jobs/").prefix().await?;
/// client.put("jobs/1", "sweep").await?;
/// let changes = watcher.next().await.expect("it goes on")?;
/// assert_eq!(changes.events[0].kv.key, "jobs/1");
/// # Ok(())
/// # });
/// ```
#[must_use = "a watch does nothing until it is awaited"]
pub struct Watch {
    client: Client,
    create: pb::WatchCreateRequest,
    require_leader: bool,
}

/// What changed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// Written or deleted.
    pub kind: EventKind,
    /// The key as it is now; of a deleted one there are only its name and the revision of the deletion.
    pub kv: KeyValue,
    /// What was there before, if it was asked for and is not compacted.
    pub before: Option<KeyValue>,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It was written.
    Put,
    /// It was deleted, or its lease ended.
    Delete,
}

/// Changes of one or several whole revisions. Without events it says how far the server is: nothing up to that revision is
/// missing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Changes {
    /// Everything up to this revision has been handed out.
    pub revision: i64,
    /// In the order in which they happened.
    pub events: Vec<Event>,
}

/// Why a watch ended.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The next revision is gone. Read the keys again, and watch from the revision behind that read.
    #[error(
        "the next revision of this watch is compacted: read the keys again and watch from there; the oldest is {oldest}"
    )]
    Compacted {
        /// The oldest revision that can be watched.
        oldest: i64,
    },
    /// The server does not allow it.
    #[error(transparent)]
    Refused(#[from] Error),
}

/// A watch that runs. Dropping it ends it.
pub struct Watcher {
    client: Client,
    create: pb::WatchCreateRequest,
    require_leader: bool,
    live: Option<Live>,
    pause: Duration,
    ended: bool,
}

/// One stream, from one member.
struct Live {
    requests: mpsc::Sender<pb::WatchRequest>,
    answers: Streaming<pb::WatchResponse>,
    /// Events of an answer in parts that is not complete.
    parts: Vec<mvccpb::Event>,
}

impl Client {
    /// Watches a key, or with [`Watch::prefix`] and its like many.
    pub fn watch(&self, key: impl IntoBytes) -> Watch {
        Watch::new(self.clone(), key.into_bytes())
    }
}

impl Watch {
    pub(crate) fn new(client: Client, key: Bytes) -> Self {
        // answers in parts: no revision is too large for one message
        let create = pb::WatchCreateRequest { key, fragment: true, ..Default::default() };
        Self { client, create, require_leader: false }
    }

    /// All keys that begin with the key.
    pub fn prefix(mut self) -> Self {
        (self.create.key, self.create.range_end) = range::prefix(&self.create.key);
        self
    }

    /// The key and all behind it.
    pub fn from_key(mut self) -> Self {
        (self.create.key, self.create.range_end) = range::from_key(&self.create.key);
        self
    }

    /// All keys from the key to this one, without it.
    pub fn until(mut self, end: impl IntoBytes) -> Self {
        self.create.range_end = end.into_bytes();
        self
    }

    /// From this revision on, which may be in the past. Otherwise from now on.
    pub fn since(mut self, revision: i64) -> Self {
        self.create.start_revision = revision;
        self
    }

    /// With what was there before each change.
    pub fn and_before(mut self) -> Self {
        self.create.prev_kv = true;
        self
    }

    /// With a sign now and then that nothing has changed: [`Changes`] without events.
    pub fn with_progress(mut self) -> Self {
        self.create.progress_notify = true;
        self
    }

    /// Deletions alone.
    pub fn only_deletes(mut self) -> Self {
        self.create.filters = vec![pb::watch_create_request::FilterType::Noput.into()];
        self
    }

    /// Writes alone.
    pub fn only_puts(mut self) -> Self {
        self.create.filters = vec![pb::watch_create_request::FilterType::Nodelete.into()];
        self
    }

    /// Leaves a member that has lost its leader, and goes on at another one. Otherwise the watch stays and is silent meanwhile.
    pub fn with_leader(mut self) -> Self {
        self.require_leader = true;
        self
    }
}

impl IntoFuture for Watch {
    type Output = Result<Watcher, WatchError>;
    type IntoFuture = std::pin::Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// Comes back once the server watches: what is written from then on is seen.
    fn into_future(self) -> Self::IntoFuture {
        let Self { client, mut create, require_leader } = self;
        client.space.enter(&mut create.key, &mut create.range_end);
        let pause = Duration::from_millis(1);
        let mut watcher = Watcher { client, create, require_leader, live: None, pause, ended: false };
        Box::pin(async move {
            watcher.begin().await?;
            Ok(watcher)
        })
    }
}

/// What one answer leads to.
enum Step {
    /// To be handed out.
    Out(Changes),
    /// The server watches.
    Created,
    /// Nothing yet.
    On,
    /// The stream is of no use any more.
    Reopen,
    /// The watch is over.
    Over(WatchError),
}

impl Watcher {
    /// The next changes. None after an error: the watch is over then. May be dropped while it waits; nothing is lost.
    ///
    /// # Errors
    /// [`WatchError`], as the last item.
    pub async fn next(&mut self) -> Option<Result<Changes, WatchError>> {
        while !self.ended {
            match self.step().await {
                Step::Out(changes) => return Some(Ok(changes)),
                Step::Over(why) => {
                    self.ended = true;
                    self.live = None;
                    return Some(Err(why));
                }
                Step::Created | Step::On => {}
                Step::Reopen => self.wait_to_reopen().await,
            }
        }
        None
    }

    /// As a stream of the `futures` crate.
    pub fn into_stream(self) -> impl Stream<Item = Result<Changes, WatchError>> {
        stream::unfold(self, |mut watcher| async move { watcher.next().await.map(|item| (item, watcher)) })
    }

    /// Asks the server how far it is. The answer is [`Changes`] without events; one that still catches up may not answer.
    pub fn request_progress(&self) {
        if let Some(live) = &self.live {
            let union = RequestUnion::ProgressRequest(pb::WatchProgressRequest {});
            // when many wait already, one more says nothing new
            let _ = live.requests.try_send(pb::WatchRequest { request_union: Some(union) });
        }
    }

    /// The revision from which on changes have not been handed out.
    pub fn next_revision(&self) -> i64 {
        self.create.start_revision
    }

    /// Waits until the server watches.
    async fn begin(&mut self) -> Result<(), WatchError> {
        loop {
            match self.step().await {
                Step::Created => return Ok(()),
                Step::Over(why) => return Err(why),
                Step::Reopen => self.wait_to_reopen().await,
                // before it says that it watches, a server says nothing else
                Step::On | Step::Out(_) => {}
            }
        }
    }

    async fn wait_to_reopen(&mut self) {
        self.live = None;
        // the next stream is opened at another member, if there is one
        self.client.pool.forget();
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(MAX_PAUSE);
    }

    /// Opens the stream, or takes one answer from it.
    async fn step(&mut self) -> Step {
        let Some(live) = &mut self.live else {
            return match self.open().await {
                Ok(live) => {
                    self.live = Some(live);
                    Step::On
                }
                Err(why) => after(why),
            };
        };
        match live.answers.message().await {
            Ok(Some(answer)) => self.take(answer),
            Ok(None) => Step::Reopen,
            Err(status) => after(self.client.pool.broken(status)),
        }
    }

    async fn open(&self) -> Result<Live, Failure> {
        let (requests, sent) = mpsc::channel(REQUESTS);
        let union = RequestUnion::CreateRequest(self.create.clone());
        // a new queue has room for the first
        let _ = requests.try_send(pb::WatchRequest { request_union: Some(union) });
        let sent = stream::unfold(sent, |mut sent| async move { sent.recv().await.map(|one| (one, sent)) });
        let answers = self.client.pool.talk(method::WATCH, sent, self.require_leader).await?;
        Ok(Live { requests, answers, parts: Vec::new() })
    }

    fn take(&mut self, mut answer: pb::WatchResponse) -> Step {
        let Some(live) = &mut self.live else { return Step::Reopen };
        let revision = answer.header.unwrap_or_default().revision;
        if answer.canceled {
            return canceled(answer);
        }
        if answer.created {
            self.pause = Duration::from_millis(1);
            if self.create.start_revision == 0 {
                // what happens while a stream is opened again must be seen
                self.create.start_revision = revision + 1;
            }
            return Step::Created;
        }
        live.parts.append(&mut answer.events);
        if answer.fragment {
            return Step::On;
        }
        let mut events = std::mem::take(&mut live.parts);
        let last = events.last().and_then(|event| event.kv.as_ref()).map(|kv| kv.mod_revision);
        let revision = last.unwrap_or(revision);
        // progress of a watch that begins in the future says nothing about it
        self.create.start_revision = self.create.start_revision.max(revision + 1);
        self.client.space.leave_events(&mut events);
        Step::Out(Changes { revision, events: events.into_iter().map(Event::new).collect() })
    }
}

/// What a failure of the stream means.
fn after(why: Failure) -> Step {
    match Error::from(why) {
        Error::Interrupted | Error::Timeout(_) => Step::Reopen,
        Error::Refused(refusal) if may_pass(&refusal) => Step::Reopen,
        why => Step::Over(WatchError::Refused(why)),
    }
}

/// Whether another member, or this one a little later, or a new token, may do better.
fn may_pass(refusal: &Refusal) -> bool {
    matches!(refusal.code, Code::Unavailable | Code::Internal | Code::Cancelled)
        || refusal.text.ends_with("invalid auth token")
        || refusal.text.ends_with("revision of auth store is old")
        || refusal.reason == Reason::NoLeader
}

fn canceled(answer: pb::WatchResponse) -> Step {
    if answer.compact_revision != 0 {
        return Step::Over(WatchError::Compacted { oldest: answer.compact_revision });
    }
    let refusal = Refusal::new(Code::FailedPrecondition, answer.cancel_reason);
    if may_pass(&refusal) || refusal.text.is_empty() {
        return Step::Reopen;
    }
    Step::Over(WatchError::Refused(Error::Refused(refusal)))
}

impl Event {
    fn new(event: mvccpb::Event) -> Self {
        let kind = if event.r#type == i32::from(mvccpb::EventType::Put) { EventKind::Put } else { EventKind::Delete };
        Self { kind, kv: event.kv.unwrap_or_default(), before: event.prev_kv }
    }
}

impl Changes {
    /// Whether it only says how far the server is.
    pub fn is_progress(&self) -> bool {
        self.events.is_empty()
    }
}
