//! Watches over one stream, resumed where they were when the connection breaks.
//!
//! A task owns the stream; each watcher gets its answers through a channel, which closes when the watch is over.

use super::method::WATCH;
use super::{Client, Failure};
use crate::print::answer::Watched;
use api::etcdserverpb as pb;
use bytes::Bytes;
use futures_util::stream;
use pb::watch_request::RequestUnion;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::{Code, Streaming};

/// What to watch.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// First key.
    pub key: Bytes,
    /// End of the range; empty for one key.
    pub range_end: Bytes,
    /// First revision; 0 for what comes.
    pub revision: i64,
    /// Whether events carry what was before.
    pub prev_kv: bool,
    /// Whether the server says now and then how far it is.
    pub progress: bool,
}

/// Longest pause before a stream is opened again.
const MAX_BACKOFF: Duration = Duration::from_millis(100);
/// Answers that wait for their reader.
const QUEUE: usize = 16;
/// Watch id of answers to a progress request: they are for everybody.
const EVERYBODY: i64 = -1;

enum Order {
    Watch(Spec, mpsc::Sender<Watched>),
    Progress,
}

/// Watches of a client.
#[derive(Clone)]
pub struct Watches(mpsc::UnboundedSender<Order>);

impl Watches {
    /// Begins; the stream opens with the first watch. `leader` asks to be cut off when the member has no leader.
    pub fn start(client: Client, leader: bool) -> Self {
        let (orders, taken) = mpsc::unbounded_channel();
        tokio::spawn(Task { client, leader, orders: taken, watchers: Vec::new(), open: true }.run());
        Self(orders)
    }

    /// Watches; the channel closes when the watch is over.
    pub fn watch(&self, spec: Spec) -> mpsc::Receiver<Watched> {
        let (out, answers) = mpsc::channel(QUEUE);
        // when the task is gone the channel is closed at once
        let _ = self.0.send(Order::Watch(spec, out));
        answers
    }

    /// Asks how far the server is.
    pub fn progress(&self) {
        let _ = self.0.send(Order::Progress);
    }
}

struct Watcher {
    spec: Spec,
    out: mpsc::Sender<Watched>,
    id: Option<i64>,
    /// Events of an answer in parts that is not complete.
    parts: Vec<api::mvccpb::Event>,
    over: bool,
}

struct Task {
    client: Client,
    leader: bool,
    orders: mpsc::UnboundedReceiver<Order>,
    watchers: Vec<Watcher>,
    /// Whether orders may still come.
    open: bool,
}

impl Task {
    async fn run(mut self) {
        let mut backoff = Duration::from_millis(1);
        while self.wait_for_work().await {
            match self.serve().await {
                Ok(()) => backoff = Duration::from_millis(1),
                Err(why) if halts(&why) => self.end(&why).await,
                Err(_) => {
                    self.client.forget();
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(MAX_BACKOFF);
                }
            }
        }
    }

    async fn wait_for_work(&mut self) -> bool {
        while self.watchers.is_empty() {
            match self.orders.recv().await {
                Some(order) => self.take(order),
                None => return false,
            }
        }
        true
    }

    fn take(&mut self, order: Order) {
        if let Order::Watch(spec, out) = order {
            self.watchers.push(Watcher { spec, out, id: None, parts: Vec::new(), over: false });
        }
    }

    /// Serves one stream, until nobody watches any more (`Ok`) or it ends.
    async fn serve(&mut self) -> Result<(), Failure> {
        let (requests, sent) = mpsc::unbounded_channel();
        let mut waiting = VecDeque::new();
        for (at, watcher) in self.watchers.iter_mut().enumerate() {
            watcher.id = None;
            watcher.parts.clear();
            waiting.push_back(at);
            let _ = requests.send(create(&watcher.spec));
        }
        let sent = stream::unfold(sent, |mut sent| async move { sent.recv().await.map(|one| (one, sent)) });
        let mut answers: Streaming<pb::WatchResponse> = self.client.talk(WATCH, sent, self.leader).await?;
        loop {
            tokio::select! {
                answer = answers.message() => match answer {
                    Ok(Some(answer)) => self.answered(answer, &mut waiting).await?,
                    Ok(None) => return Err(Failure::unavailable("the stream ended")),
                    Err(status) => return Err(self.client.broken(status)),
                },
                order = self.orders.recv(), if self.open => match order {
                    Some(Order::Watch(spec, out)) => {
                        let _ = requests.send(create(&spec));
                        waiting.push_back(self.watchers.len());
                        self.take(Order::Watch(spec, out));
                    }
                    Some(Order::Progress) => {
                        let union = RequestUnion::ProgressRequest(pb::WatchProgressRequest {});
                        let _ = requests.send(pb::WatchRequest { request_union: Some(union) });
                    }
                    None => self.open = false,
                },
            }
            for watcher in self.watchers.iter_mut().filter(|watcher| !watcher.over && watcher.out.is_closed()) {
                watcher.over = true;
                if let Some(id) = watcher.id {
                    let union = RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id: id });
                    let _ = requests.send(pb::WatchRequest { request_union: Some(union) });
                }
            }
            if waiting.is_empty() && self.watchers.iter().all(|watcher| watcher.over) {
                self.watchers.clear();
                return Ok(());
            }
        }
    }

    async fn answered(&mut self, answer: pb::WatchResponse, waiting: &mut VecDeque<usize>) -> Result<(), Failure> {
        if answer.created {
            if let Some(watcher) = waiting.pop_front().and_then(|at| self.watchers.get_mut(at)) {
                watcher.created(answer).await;
            }
            return Ok(());
        }
        if answer.watch_id == EVERYBODY {
            let whole = watched(answer, Vec::new());
            for watcher in self.watchers.iter_mut().filter(|watcher| !watcher.over) {
                watcher.hand_out(whole.clone()).await;
            }
            return Ok(());
        }
        if let Some(watcher) = self.watchers.iter_mut().find(|w| !w.over && w.id == Some(answer.watch_id)) {
            watcher.answered(answer).await;
        }
        Ok(())
    }

    /// Tells every watcher that it is over.
    async fn end(&mut self, why: &Failure) {
        for watcher in self.watchers.drain(..).filter(|watcher| !watcher.over) {
            let _ = watcher.out.send(over(why.to_string())).await;
        }
    }
}

impl Watcher {
    async fn created(&mut self, answer: pb::WatchResponse) {
        if answer.watch_id == EVERYBODY || answer.canceled && !answer.cancel_reason.is_empty() {
            let status = tonic::Status::unknown(answer.cancel_reason.clone());
            let known = Failure::Status(status).to_string();
            let text = if known.starts_with("rpc error") { answer.cancel_reason } else { known };
            let _ = self.out.send(over(text)).await;
            self.over = true;
            return self.close();
        }
        self.id = Some(answer.watch_id);
        if self.spec.revision == 0 {
            // what happens while the stream is being resumed must not be missed
            self.spec.revision = answer.header.unwrap_or_default().revision;
        }
    }

    async fn answered(&mut self, mut answer: pb::WatchResponse) {
        if answer.canceled && answer.compact_revision == 0 {
            self.over = true;
            return self.close();
        }
        let mut events = std::mem::take(&mut self.parts);
        events.append(&mut answer.events);
        if answer.fragment {
            self.parts = events;
            return;
        }
        self.hand_out(watched(answer, events)).await;
    }

    async fn hand_out(&mut self, answer: Watched) {
        let last = answer.events.as_ref().and_then(|events| events.last());
        let seen = last.and_then(|event| event.kv.as_ref()).map_or(answer.header.revision, |kv| kv.mod_revision);
        self.spec.revision = seen + 1;
        let last_one = answer.canceled || answer.compact_revision != 0;
        if self.out.send(answer).await.is_err() || last_one {
            self.over = true;
            self.close();
        }
    }

    /// Lets the reader see the end.
    fn close(&mut self) {
        self.out = mpsc::channel(1).0;
    }
}

fn create(spec: &Spec) -> pb::WatchRequest {
    let create = pb::WatchCreateRequest {
        key: spec.key.clone(),
        range_end: spec.range_end.clone(),
        start_revision: spec.revision,
        prev_kv: spec.prev_kv,
        progress_notify: spec.progress,
        ..Default::default()
    };
    pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) }
}

fn watched(answer: pb::WatchResponse, events: Vec<api::mvccpb::Event>) -> Watched {
    Watched {
        header: answer.header.unwrap_or_default(),
        events: Some(events).filter(|events| !events.is_empty()),
        compact_revision: answer.compact_revision,
        canceled: answer.canceled,
        cancel_reason: answer.cancel_reason,
        error: None,
    }
}

fn over(error: String) -> Watched {
    Watched { canceled: true, error: Some(error), ..Watched::default() }
}

/// Whether opening the stream again would not help.
fn halts(why: &Failure) -> bool {
    !matches!(why.code(), Some(Code::Unavailable | Code::Internal)) || why.is("no leader")
}
