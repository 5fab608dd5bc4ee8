//! Leases: renewals share calls, the keys of a lease are those of the namespace. Grants and lists are passed on as they come.

mod renewals;
mod session;

use crate::leader::{Following, Leader};
use crate::namespace::Namespace;
use crate::upstream::{Context, Pool, Repeat};
use api::etcdserverpb as pb;
use bytes::Bytes;
use futures_util::stream::FuturesOrdered;
use futures_util::{Stream, StreamExt};
use session::{Answer, Order, QUEUE, Session};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Response, Status, Streaming};

/// Renewals of one client that may be under way; further ones are read when these are answered.
const UNDER_WAY: usize = 256;

/// The Lease service.
pub(crate) struct Leases {
    pool: Pool,
    namespace: Namespace,
    leader: Arc<Leader>,
    /// One for each token, because the members judge each caller for himself.
    sessions: Mutex<HashMap<Bytes, mpsc::Sender<Order>>>,
}

impl Leases {
    pub(crate) fn new(pool: Pool, namespace: Namespace, leader: Arc<Leader>) -> Self {
        Self { pool, namespace, leader, sessions: Mutex::default() }
    }

    pub(crate) async fn revoke(
        &self,
        request: Request<pb::LeaseRevokeRequest>,
    ) -> Result<Response<pb::LeaseRevokeResponse>, Status> {
        let context = Context::of(request.metadata());
        let request = request.into_inner();
        let answer = self.pool.unary("/etcdserverpb.Lease/LeaseRevoke", &context, request, Repeat::Never).await;
        // also after a failure: nobody knows what became of it
        let sessions: Vec<_> = self.sessions().values().cloned().collect();
        for session in sessions {
            let _ = session.send(Order::Forget(request.id)).await;
        }
        answer.map(Response::new)
    }

    pub(crate) async fn time_to_live(
        &self,
        request: Request<pb::LeaseTimeToLiveRequest>,
    ) -> Result<Response<pb::LeaseTimeToLiveResponse>, Status> {
        let context = Context::of(request.metadata());
        let path = "/etcdserverpb.Lease/LeaseTimeToLive";
        let mut answer: pb::LeaseTimeToLiveResponse =
            self.pool.unary(path, &context, request.into_inner(), Repeat::Safe).await?;
        self.namespace.own_keys(&mut answer.keys);
        Ok(Response::new(answer))
    }

    /// Renews a lease, together with whoever else does.
    pub(crate) async fn renew(&self, token: &Bytes, id: i64) -> Answer {
        let (who, answer) = oneshot::channel();
        let session = self.session(token);
        let ended = || Status::unavailable("the proxy closed an idle session; try again");
        session.send(Order::Renew(id, who)).await.map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }

    fn session(&self, token: &Bytes) -> mpsc::Sender<Order> {
        let mut sessions = self.sessions();
        if let Some(session) = sessions.get(token).filter(|session| !session.is_closed()) {
            return session.clone();
        }
        sessions.retain(|_, session| !session.is_closed());
        let (orders, taken) = mpsc::channel(QUEUE);
        tokio::spawn(Session::new(self.pool.clone(), Context::of_token(token), taken).run());
        sessions.insert(token.clone(), orders.clone());
        orders
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<Bytes, mpsc::Sender<Order>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One client's stream.
struct Client {
    leases: Arc<Leases>,
    token: Bytes,
    requests: Option<Streaming<pb::LeaseKeepAliveRequest>>,
    leader: Following,
    under_way: FuturesOrdered<std::pin::Pin<Box<dyn Future<Output = Answer> + Send>>>,
}

/// Serves a client's stream of renewals.
pub(crate) fn serve(
    leases: &Arc<Leases>,
    request: Request<Streaming<pb::LeaseKeepAliveRequest>>,
) -> Result<Response<impl Stream<Item = Answer> + Send + use<>>, Status> {
    let context = Context::of(request.metadata());
    let leader = if context.requires_leader() { leases.leader.follow() } else { Following::nothing() };
    let client = Client {
        leases: leases.clone(),
        token: context.token(),
        requests: Some(request.into_inner()),
        leader,
        under_way: FuturesOrdered::new(),
    };
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

impl Client {
    /// The next answer, in the order of the requests; `None` when the client has asked for everything and got it.
    async fn next(&mut self) -> Option<Answer> {
        loop {
            if self.requests.is_none() && self.under_way.is_empty() {
                return None;
            }
            let takes_more = self.under_way.len() < UNDER_WAY;
            tokio::select! {
                why = self.leader.lost() => return Some(Err(why)),
                Some(answer) = self.under_way.next() => return Some(answer),
                request = next_of(&mut self.requests), if takes_more => match request {
                    Ok(Some(pb::LeaseKeepAliveRequest { id })) => {
                        let (leases, token) = (self.leases.clone(), self.token.clone());
                        self.under_way.push_back(Box::pin(async move { leases.renew(&token, id).await }));
                    }
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
