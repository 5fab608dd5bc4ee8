//! One stream of renewals to the cluster, for all clients with the same token.
//!
//! Ends when nobody has asked for a while. Must never leave anybody waiting: when no member answers in time, all are told.

use super::renewals::{RenewalStep, Renewals};
use crate::upstream::{Context, Pool};
use api::etcdserverpb as pb;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tonic::{Status, Streaming};

/// A session that is not used is ended after this.
const IDLE: Duration = Duration::from_secs(60);
/// How long renewals may wait while streams break.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause before a stream is opened again.
const PAUSE: Duration = Duration::from_millis(50);
/// Orders that wait for the session.
pub(super) const QUEUE: usize = 1024;

/// How it ended for one renewal.
pub(super) type Answer = Result<pb::LeaseKeepAliveResponse, Status>;

pub(super) enum Order {
    Renew(i64, oneshot::Sender<Answer>),
    Forget(i64),
}

pub(super) struct Session {
    pool: Pool,
    context: Context,
    orders: mpsc::Receiver<Order>,
    renewals: Renewals<oneshot::Sender<Answer>>,
}

/// Requests of the stream that is open.
type Out = mpsc::UnboundedSender<pb::LeaseKeepAliveRequest>;

impl Session {
    pub(super) fn new(pool: Pool, context: Context, orders: mpsc::Receiver<Order>) -> Self {
        Self { pool, context, orders, renewals: Renewals::new() }
    }

    /// Runs until it is idle.
    pub(super) async fn run(mut self) {
        let mut waiting_since: Option<Instant> = None;
        loop {
            if self.renewals.asked().is_empty() {
                waiting_since = None;
                let Ok(Some(order)) = tokio::time::timeout(IDLE, self.orders.recv()).await else { break };
                self.take(order, None);
                continue;
            }
            let why = match self.open().await {
                Ok((out, answers)) => self.serve(&out, answers, &mut waiting_since).await,
                Err(why) => why,
            };
            let Some(why) = why else { break };
            let since = *waiting_since.get_or_insert_with(Instant::now);
            if !is_passing(&why) || since.elapsed() > PATIENCE {
                self.renewals.give_up().into_iter().for_each(|who| drop(who.send(Err(why.clone()))));
                waiting_since = None;
            }
            tokio::time::sleep(PAUSE).await;
        }
        // orders that came in the last moment are refused: their clients try again
        self.orders.close();
        while let Ok(order) = self.orders.try_recv() {
            if let Order::Renew(_, who) = order {
                drop(who.send(Err(Status::unavailable("the proxy closed an idle session; try again"))));
            }
        }
    }

    /// Opens a stream, and asks again for everything that is still waited for.
    async fn open(&self) -> Result<(Out, Streaming<pb::LeaseKeepAliveResponse>), Option<Status>> {
        let (out, mut requests) = mpsc::unbounded_channel();
        for id in self.renewals.asked() {
            let _ = out.send(pb::LeaseKeepAliveRequest { id });
        }
        let requests = futures_util::stream::poll_fn(move |cx| requests.poll_recv(cx));
        let answers = self.pool.talk("/etcdserverpb.Lease/LeaseKeepAlive", &self.context, requests).await;
        answers.map(|answers| (out, answers)).map_err(Some)
    }

    /// Serves one stream until it ends (why) or is idle (`None`).
    async fn serve(
        &mut self,
        out: &Out,
        mut answers: Streaming<pb::LeaseKeepAliveResponse>,
        waiting_since: &mut Option<Instant>,
    ) -> Option<Status> {
        loop {
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => self.take(order, Some(out)),
                    None => return None,
                },
                answer = answers.message() => match answer {
                    Ok(Some(answer)) => {
                        *waiting_since = None;
                        for who in self.renewals.answered(&answer, Instant::now()) {
                            // whoever has gone does not want it any more
                            let _ = who.send(Ok(answer));
                        }
                    }
                    Ok(None) => return Some(Status::unavailable("the member ended the stream of renewals")),
                    Err(why) => return Some(crate::upstream::told(why)),
                },
                () = tokio::time::sleep(IDLE) => return None,
            }
        }
    }

    fn take(&mut self, order: Order, out: Option<&Out>) {
        match order {
            Order::Forget(id) => self.renewals.forget(id),
            Order::Renew(id, who) => match self.renewals.renew(id, who, Instant::now()) {
                RenewalStep::Answer(who, answer) => drop(who.send(Ok(answer))),
                RenewalStep::Wait => {}
                // without a stream, it is asked for when one opens
                RenewalStep::Ask => drop(out.map(|out| out.send(pb::LeaseKeepAliveRequest { id }))),
            },
        }
    }
}

/// Whether another member, or the same one later, may answer.
fn is_passing(why: &Status) -> bool {
    why.code() == tonic::Code::Unavailable
}
