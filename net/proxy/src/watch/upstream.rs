//! One stream to the cluster with the shared watches of one token: opened again wherever it broke, each watch going on where it was.
//!
//! Must never skip or repeat an event over a break.

use super::coalescer::{NO_ID, Range};
use crate::namespace::Namespace;
use crate::upstream::{Context, Pool, told};
use api::etcdserverpb as pb;
use bytes::Bytes;
use pb::watch_request::RequestUnion;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::{Code, Status, Streaming};

/// A stream without watches is ended after this.
const IDLE: Duration = Duration::from_secs(10);
/// Pauses before a stream is opened again.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What the stream is to do.
pub(super) enum Command {
    Watch { shared: u64, range: Range, start: i64 },
    Cancel { shared: u64 },
}

struct Watch {
    range: Range,
    /// The next revision that must come; 0 for what comes.
    next: i64,
    is_created: bool,
}

/// Whom the stream tells.
pub(super) trait Listener: Send + Sync + 'static {
    /// What is taken off keys before they are told.
    fn namespace(&self) -> &Namespace;
    /// The cluster answered on a shared watch.
    fn answered(self: &Arc<Self>, shared: u64, answer: &pb::WatchResponse);
    /// A stream has nothing to do. Whether it may end: commands may have come in this moment.
    fn may_end(&self, token: &Bytes, commands: &mpsc::UnboundedReceiver<Command>) -> bool;
}

/// The stream.
pub(super) struct Upstream<L> {
    hub: Weak<L>,
    pool: Pool,
    token: Bytes,
    commands: mpsc::UnboundedReceiver<Command>,
    watches: BTreeMap<u64, Watch>,
    /// Watches that the member has been asked for and has not answered, in order: a refusal does not say whose it is.
    asked: VecDeque<u64>,
}

type Out = mpsc::UnboundedSender<pb::WatchRequest>;

/// Why a stream is over.
enum End {
    /// Nobody needs it.
    Idle,
    Broken(Status),
}

impl<L: Listener> Upstream<L> {
    pub(super) fn new(hub: Weak<L>, pool: Pool, token: Bytes, commands: mpsc::UnboundedReceiver<Command>) -> Self {
        Self { hub, pool, token, commands, watches: BTreeMap::new(), asked: VecDeque::new() }
    }

    /// Runs until nobody needs it.
    pub(super) async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            if self.watches.is_empty() {
                match tokio::time::timeout(IDLE, self.commands.recv()).await {
                    Ok(Some(command)) => self.take(command, None),
                    Ok(None) => return,
                    Err(_) if self.may_end() => return,
                    Err(_) => {}
                }
                continue;
            }
            let end = match self.open().await {
                Ok((out, answers)) => self.serve(&out, answers, &mut pause).await,
                Err(why) => End::Broken(why),
            };
            let End::Broken(why) = end else { continue };
            if why.code() == Code::Unavailable {
                tracing::debug!(error = why.message(), "the stream of watches broke; it goes on at another member");
            } else if !self.refuse_all(&why) {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn may_end(&self) -> bool {
        self.hub.upgrade().is_none_or(|hub| hub.may_end(&self.token, &self.commands))
    }

    async fn open(&mut self) -> Result<(Out, Streaming<pb::WatchResponse>), Status> {
        let (out, mut requests) = mpsc::unbounded_channel();
        self.asked.clear();
        for (shared, watch) in &self.watches {
            let _ = out.send(create(*shared, watch));
            self.asked.push_back(*shared);
        }
        let requests = futures_util::stream::poll_fn(move |cx| requests.poll_recv(cx));
        let context = Context::of_token(&self.token);
        let answers = self.pool.talk("/etcdserverpb.Watch/Watch", &context, requests).await?;
        Ok((out, answers))
    }

    async fn serve(&mut self, out: &Out, mut answers: Streaming<pb::WatchResponse>, pause: &mut Duration) -> End {
        loop {
            let is_idle = self.watches.is_empty();
            tokio::select! {
                answer = answers.message() => match answer {
                    Ok(Some(answer)) => {
                        *pause = FIRST_PAUSE;
                        if !self.answered(answer) {
                            return End::Idle;
                        }
                    }
                    Ok(None) => return End::Broken(Status::unavailable("the member ended the stream of watches")),
                    Err(why) => return End::Broken(told(why)),
                },
                command = self.commands.recv() => match command {
                    Some(command) => self.take(command, Some(out)),
                    None => return End::Idle,
                },
                () = tokio::time::sleep(IDLE), if is_idle => return End::Idle,
            }
        }
    }

    fn take(&mut self, command: Command, out: Option<&Out>) {
        match command {
            Command::Watch { shared, range, start } => {
                let watch = Watch { range, next: start, is_created: false };
                if let Some(out) = out {
                    let _ = out.send(create(shared, &watch));
                    self.asked.push_back(shared);
                }
                self.watches.insert(shared, watch);
            }
            Command::Cancel { shared } => {
                if self.watches.remove(&shared).is_some()
                    && let Some(out) = out
                {
                    let cancel = pb::WatchCancelRequest { watch_id: shared as i64 };
                    let _ = out.send(pb::WatchRequest { request_union: Some(RequestUnion::CancelRequest(cancel)) });
                }
            }
        }
    }

    /// Hands an answer on. False when nobody listens any more.
    fn answered(&mut self, mut answer: pb::WatchResponse) -> bool {
        let Some(hub) = self.hub.upgrade() else { return false };
        let shared = match answer.watch_id {
            NO_ID if answer.created => self.asked.pop_front(),
            id => u64::try_from(id).ok(),
        };
        let Some(shared) = shared else { return true };
        if answer.created {
            self.asked.retain(|asked| *asked != shared);
        }
        // one that was cancelled in the meantime may still tell something
        let Some(watch) = self.watches.get_mut(&shared) else { return true };
        let revision = answer.header.as_ref().map_or(0, |header| header.revision);
        let last = answer.events.iter().filter_map(|event| event.kv.as_ref()).map(|kv| kv.mod_revision).max();
        if answer.canceled {
            self.watches.remove(&shared);
        } else if answer.created {
            if std::mem::replace(&mut watch.is_created, true) {
                // created again behind a break: nobody asked
                return true;
            }
            if watch.next == 0 {
                watch.next = revision + 1;
            }
        } else {
            watch.next = watch.next.max(last.unwrap_or(revision) + 1);
        }
        hub.namespace().strip_events(&mut answer.events);
        hub.answered(shared, &answer);
        true
    }

    /// The cluster refuses the stream itself: everybody is told. False when nobody listens any more.
    fn refuse_all(&mut self, why: &Status) -> bool {
        let Some(hub) = self.hub.upgrade() else { return false };
        for shared in std::mem::take(&mut self.watches).into_keys() {
            let refusal = pb::WatchResponse {
                header: Some(pb::ResponseHeader::default()),
                canceled: true,
                cancel_reason: why.message().to_owned(),
                ..Default::default()
            };
            hub.answered(shared, &refusal);
        }
        true
    }
}

fn create(shared: u64, watch: &Watch) -> pb::WatchRequest {
    let create = pb::WatchCreateRequest {
        key: watch.range.key.clone(),
        range_end: watch.range.end.clone(),
        start_revision: watch.next,
        // some watcher may want them
        progress_notify: true,
        prev_kv: true,
        watch_id: shared as i64,
        ..Default::default()
    };
    pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) }
}
