//! A client's stream of watches: creates watchers after asking whether the caller may read, cancels them, and passes on what they are told.
//!
//! Requests are taken one at a time, in order, as a member takes them.

use super::coalescer::{NO_ID, Range, Spec, WatcherKey};
use super::hub::Watches;
use super::queue::{Taken, Turn};
use crate::leader::Following;
use crate::upstream::{Context, Repeat};
use api::etcdserverpb as pb;
use bytes::Bytes;
use futures_util::Stream;
use pb::watch_create_request::FilterType;
use pb::watch_request::RequestUnion;
use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};

/// Most watchers of one stream.
const MOST_WATCHERS: usize = 1 << 16;

/// The texts of refusals. Source: etcd's packages `mvcc` and `rpctypes`.
const EMPTY_RANGE: &str = "mvcc: watcher range is empty";
const DUPLICATE_ID: &str = "mvcc: duplicate watch ID provided on the WatchStream";
const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";

type Checking = Pin<Box<dyn Future<Output = (i64, Spec, Result<(), Status>)> + Send>>;

/// Watchers of one client, or of the proxy itself.
pub(crate) struct Subscription {
    hub: Arc<Watches>,
    number: u64,
    context: Context,
    taken: Taken,
    watchers: BTreeSet<i64>,
    next_id: i64,
    /// The watcher that is being created: the next request is taken when it is.
    creating: Option<i64>,
    checking: Option<Checking>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.close(self.number, std::mem::take(&mut self.watchers).into_iter());
    }
}

/// Serves a client's stream.
pub(crate) async fn serve(
    hub: &Arc<Watches>,
    request: Request<Streaming<pb::WatchRequest>>,
) -> Result<Response<impl Stream<Item = Result<pb::WatchResponse, Status>> + Send + use<>>, Status> {
    let context = Context::of(request.metadata());
    let leader = if context.requires_leader() { hub.leader.follow() } else { Following::nothing() };
    let client = Client { subscription: Subscription::new(hub, context), requests: Some(request.into_inner()), leader };
    let answers = futures_util::stream::unfold(Some(client), |client| async move {
        let mut client = client?;
        match client.next().await? {
            Ok(answer) => Some((Ok(answer), Some(client))),
            // the last of the stream
            Err(why) => Some((Err(why), None)),
        }
    });
    Ok(Response::new(answers))
}

struct Client {
    subscription: Subscription,
    /// None when the client has said its last word; it may still listen.
    requests: Option<Streaming<pb::WatchRequest>>,
    leader: Following,
}

impl Client {
    async fn next(&mut self) -> Option<Result<pb::WatchResponse, Status>> {
        loop {
            let may_ask = self.subscription.takes_requests();
            tokio::select! {
                why = self.leader.lost() => return Some(Err(why)),
                response = self.subscription.next() => return response.map(Ok),
                request = next_of(&mut self.requests), if may_ask => match request {
                    Ok(Some(request)) => self.subscription.request(request),
                    Ok(None) => self.requests = None,
                    Err(why) => return Some(Err(why)),
                },
            }
        }
    }
}

async fn next_of<T>(requests: &mut Option<Streaming<T>>) -> Result<Option<T>, Status> {
    match requests {
        Some(requests) => requests.message().await,
        None => std::future::pending().await,
    }
}

impl Subscription {
    pub(crate) fn new(hub: &Arc<Watches>, context: Context) -> Self {
        let (number, taken) = hub.open(&context);
        Self {
            hub: hub.clone(),
            number,
            context,
            taken,
            watchers: BTreeSet::new(),
            next_id: 0,
            creating: None,
            checking: None,
        }
    }

    fn takes_requests(&self) -> bool {
        self.creating.is_none() && self.taken.has_room()
    }

    /// The next response. May be given up and called again.
    pub(crate) async fn next(&mut self) -> Option<pb::WatchResponse> {
        loop {
            for (id, spec) in self.taken.left_behind() {
                if self.watchers.contains(&id) {
                    self.hub.add(self.key(id), spec);
                }
            }
            tokio::select! {
                (id, spec, checked) = check(&mut self.checking) => {
                    self.checking = None;
                    match checked {
                        Ok(()) => self.hub.add(self.key(id), spec),
                        Err(why) => self.refuse(why.message()),
                    }
                }
                turn = self.taken.next() => match turn {
                    Turn::Response(response) => {
                        self.note(&response);
                        return Some(response);
                    }
                    Turn::Behind => {}
                    Turn::Over => return None,
                },
            }
        }
    }

    fn note(&mut self, response: &pb::WatchResponse) {
        let id = if response.created { self.creating.take() } else { Some(response.watch_id) };
        if let (Some(id), true) = (id, response.canceled) {
            self.watchers.remove(&id);
        }
    }

    /// Does what a client asks for.
    pub(crate) fn request(&mut self, request: pb::WatchRequest) {
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => self.create(create),
            Some(RequestUnion::CancelRequest(cancel)) => self.cancel(cancel.watch_id),
            Some(RequestUnion::ProgressRequest(_)) => {
                tracing::debug!("progress of watches is not told on request; it comes by itself");
            }
            None => {}
        }
    }

    fn create(&mut self, create: pb::WatchCreateRequest) {
        if create.start_revision < 0 {
            return self.refuse(COMPACTED);
        }
        let (key, end) = whole_range(&create);
        // an end before the key holds nothing; without an end it is one key, with `\0` all that follow
        if !end.is_empty() && end != [0][..] && end <= key {
            return self.refuse(EMPTY_RANGE);
        }
        if self.watchers.len() >= MOST_WATCHERS {
            return self.refuse("too many watchers on one stream; open another");
        }
        let id = if create.watch_id == 0 { self.free_id() } else { create.watch_id };
        if !self.watchers.insert(id) {
            return self.refuse(DUPLICATE_ID);
        }
        let namespace = &self.hub.namespace;
        let spec = Spec {
            range: Range { key: namespace.key(&key), end: namespace.end(&end) },
            next: create.start_revision,
            prev_kv: create.prev_kv,
            progress: create.progress_notify,
            no_put: create.filters.contains(&(FilterType::Noput as i32)),
            no_delete: create.filters.contains(&(FilterType::Nodelete as i32)),
            is_created: false,
        };
        self.creating = Some(id);
        self.checking = Some(self.ask(id, spec));
    }

    /// Asks whether the caller may read what it wants to watch: the watch that it will share may be another's.
    fn ask(&self, id: i64, spec: Spec) -> Checking {
        let (pool, context) = (self.hub.pool.clone(), self.context.clone());
        Box::pin(async move {
            let request = pb::RangeRequest {
                key: spec.range.key.clone(),
                range_end: spec.range.end.clone(),
                serializable: true,
                count_only: true,
                limit: 1,
                ..Default::default()
            };
            let answer: Result<pb::RangeResponse, _> =
                pool.unary("/etcdserverpb.KV/Range", &context, request, Repeat::Safe).await;
            (id, spec, answer.map(drop))
        })
    }

    fn cancel(&mut self, id: i64) {
        if !self.watchers.remove(&id) {
            return;
        }
        self.taken.forget(id);
        let header = self.hub.remove(self.key(id)).or(Some(pb::ResponseHeader::default()));
        self.hub.tell(self.number, pb::WatchResponse { header, watch_id: id, canceled: true, ..Default::default() });
    }

    fn refuse(&mut self, why: &str) {
        if let Some(id) = self.creating {
            self.watchers.remove(&id);
        }
        let refusal = pb::WatchResponse {
            header: Some(pb::ResponseHeader::default()),
            watch_id: NO_ID,
            created: true,
            canceled: true,
            cancel_reason: why.to_owned(),
            ..Default::default()
        };
        self.hub.tell(self.number, refusal);
    }

    fn free_id(&mut self) -> i64 {
        while self.watchers.contains(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        self.next_id - 1
    }

    fn key(&self, id: i64) -> WatcherKey {
        WatcherKey { stream: self.number, id }
    }
}

/// An empty key is the first one. Without an end, it is that key alone, as at a member.
fn whole_range(create: &pb::WatchCreateRequest) -> (Bytes, Bytes) {
    let key = if create.key.is_empty() { Bytes::from_static(&[0]) } else { create.key.clone() };
    (key, create.range_end.clone())
}

async fn check(checking: &mut Option<Checking>) -> (i64, Spec, Result<(), Status>) {
    match checking {
        Some(checking) => checking.await,
        None => std::future::pending().await,
    }
}
