//! Many clients that each send one request after the other, until the tickets are used up.
//!
//! Must measure from the due time in an open loop: a request that had to wait for a free client was late for its user.

use super::pacer::Pacer;
use crate::client::{CallError, Channel};
use crate::report::Recorder;
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How much load, by whom.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Clients that work at the same time.
    pub clients: usize,
    /// Requests in all.
    pub total: u64,
    /// Requests per second, zero: as many as go.
    pub rate: f64,
    /// Measure from the sending even with a rate, as etcd's tool does.
    pub from_send: bool,
    /// Stop after this time even if tickets are left.
    pub duration: Option<Duration>,
}

/// Numbers of requests, each given once.
pub struct Tickets {
    next: Cell<u64>,
    total: u64,
    end: Cell<Option<Instant>>,
}

impl Tickets {
    /// Tickets `0..total`.
    pub fn new(total: u64, duration: Option<Duration>) -> Rc<Self> {
        let end = duration.map(|duration| Instant::now() + duration);
        Rc::new(Self { next: Cell::new(0), total, end: Cell::new(end) })
    }

    /// The next one; none when they are used up or the time is over.
    pub fn take(&self) -> Option<u64> {
        let ticket = self.next.get();
        if ticket >= self.total || self.end.get().is_some_and(|end| Instant::now() >= end) {
            return None;
        }
        self.next.set(ticket + 1);
        Some(ticket)
    }

    /// No more tickets from now on.
    pub fn stop(&self) {
        self.end.set(Some(Instant::now()));
    }
}

/// Runs `op(client, channel, ticket)` for every ticket of the plan and records it under the index it returns.
///
/// Ctrl-C stops the load early; what was measured until then is kept.
///
/// # Errors
/// No timer for the rate.
pub async fn drive<F>(plan: &Plan, channels: &[Rc<Channel>], recorders: &[Rc<Recorder>], op: F) -> io::Result<()>
where
    F: AsyncFn(usize, &Channel, u64) -> (usize, Result<(), CallError>) + 'static,
{
    let pacer = (plan.rate > 0.0).then(|| Pacer::new(plan.rate));
    let _ticking = pacer.as_ref().map(Pacer::run).transpose()?;
    let tickets = Tickets::new(plan.total, plan.duration);
    let op = Rc::new(op);
    recorders.iter().for_each(|recorder| recorder.start());
    let mut clients = JoinSet::new();
    for client in 0..plan.clients.max(1) {
        let (channel, tickets, pacer) = (channels[client % channels.len()].clone(), tickets.clone(), pacer.clone());
        let (recorders, op, from_send) = (recorders.to_vec(), op.clone(), plan.from_send);
        clients.spawn_local(async move {
            while let Some(ticket) = tickets.take() {
                let due = match &pacer {
                    Some(pacer) => {
                        let due = pacer.due(ticket);
                        pacer.until(due).await;
                        Some(due)
                    }
                    None => None,
                };
                let sent = Instant::now();
                let (kind, outcome) = op(client, &channel, ticket).await;
                let start = if from_send { sent } else { due.unwrap_or(sent) };
                recorders[kind].record(start, sent, Instant::now(), outcome.as_ref().err());
            }
        });
    }
    let mut interrupted = false;
    loop {
        tokio::select! {
            done = clients.join_next() => match done {
                Some(Err(why)) if why.is_panic() => std::panic::resume_unwind(why.into_panic()),
                Some(_) => {}
                None => break,
            },
            _ = tokio::signal::ctrl_c() => {
                if interrupted {
                    clients.abort_all();
                }
                interrupted = true;
                tickets.stop();
            }
        }
    }
    recorders.iter().for_each(|recorder| recorder.stop());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_are_given_once_and_end() {
        let tickets = Tickets::new(3, None);
        assert_eq!([tickets.take(), tickets.take()], [Some(0), Some(1)]);
        tickets.stop();
        assert_eq!(tickets.take(), None);
        assert_eq!(Tickets::new(5, Some(Duration::ZERO)).take(), None);
    }
}
