//! The v2 API's way to the owners: requests through the log, reads of the newest view, watchers of this connection thread.
//!
//! Futures, because its callers are HTTP handlers. Must never know HTTP, nor whom a request is from: that is looked at before.

use super::client_services::ClientServices;
use super::deferred::DeferredCall;
use super::quota::admit_cost;
use super::v2_watchers::{Interest, Registered};
use super::{member_urls, status};
use crate::door::Status;
use bytes::Bytes;
use messages::Token;
use messages::auth::{PasswordAnswer, PasswordJob};
use messages::read::Work;
use messages::v2::HeldListing;
use model::v2::{Count, Error, Event, Outcome, Request, code};
use model::{Caller, Command, MemberChange, MemberInfo};
use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot};

/// Live events that a watcher may be behind by; one that is further behind ends, as in etcd.
const LIVE_EVENTS: usize = 100;

/// Nanoseconds since 1970.
pub(crate) fn unix_nanos() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}

/// A request of this API that waits for one reply.
struct Waiting<T>(oneshot::Sender<Result<T, Status>>);

impl<T> Waiting<T> {
    fn end(self, result: Result<T, Status>) {
        // whoever asked may have gone
        let _ = self.0.send(result);
    }
}

/// Waits for a write.
struct Write(Waiting<Outcome>);

impl DeferredCall<ClientServices> for Write {
    fn applied(self: Box<Self>, _: &ClientServices, _: Token, _: i64, outcome: model::Outcome) {
        self.0.end(match outcome {
            model::Outcome::V2(outcome) => Ok(*outcome),
            _ => Err(status::UNEXPECTED_REPLY),
        });
    }

    fn failed(self: Box<Self>, _: &ClientServices, _: Token, why: Status) {
        self.0.end(Err(why));
    }
}

/// Waits for a change of the membership.
struct Change(Waiting<(u64, Vec<MemberInfo>)>);

impl DeferredCall<ClientServices> for Change {
    fn applied(self: Box<Self>, _: &ClientServices, _: Token, _: i64, outcome: model::Outcome) {
        self.0.end(match outcome {
            model::Outcome::Members { changed, members } => Ok((changed, members)),
            _ => Err(status::UNEXPECTED_REPLY),
        });
    }

    fn failed(self: Box<Self>, _: &ClientServices, _: Token, why: Status) {
        self.0.end(Err(why));
    }
}

/// Waits for a listing of the reader pool.
struct List(Waiting<HeldListing>);

impl DeferredCall<ClientServices> for List {
    fn v2_listed(self: Box<Self>, _: &ClientServices, _: Token, listing: HeldListing) {
        self.0.end(Ok(listing));
    }

    fn failed(self: Box<Self>, _: &ClientServices, _: Token, why: Status) {
        self.0.end(Err(why));
    }
}

/// Waits for the password pool.
struct Password(Waiting<PasswordAnswer>);

impl DeferredCall<ClientServices> for Password {
    fn password_done(self: Box<Self>, _: &ClientServices, _: Token, answer: PasswordAnswer) {
        self.0.end(Ok(answer));
    }

    fn failed(self: Box<Self>, _: &ClientServices, _: Token, why: Status) {
        self.0.end(Err(why));
    }
}

/// A watcher of the v2 tree. Dropping it ends the watch.
pub(crate) struct V2Watch {
    services: ClientServices,
    id: u64,
    path: Bytes,
    /// Indices of past events that it wants.
    past: VecDeque<u64>,
    live: mpsc::Receiver<u64>,
    /// Index of the tree when the watch began.
    pub(crate) start: u64,
}

impl V2Watch {
    /// The next event; `None` when the watch has ended: the member stops, or the watcher was too slow.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        let index = match self.past.pop_front() {
            Some(index) => index,
            None => self.live.recv().await?,
        };
        self.services.ports().reads.v2_event(index).ok()?
    }
}

impl Drop for V2Watch {
    fn drop(&mut self) {
        self.services.v2_watchers().remove(&self.path, self.id);
        self.services.count_v2_watchers(-1);
    }
}

impl ClientServices {
    /// The member may use what older ones do not know: the cluster has agreed on a version that does.
    fn v2_is_agreed(&self) -> Result<(), Status> {
        let version = self.ports().reads.cluster_version().map_err(|why| status::of_read(&why))?;
        if version.is_empty() { Err(status::NO_LEADER) } else { Ok(()) }
    }

    /// Proposes a write and waits until it is applied. A refusal of the tree is an outcome.
    ///
    /// # Errors
    /// The write was not carried out, or is not known to have been.
    pub(crate) async fn v2_write(&self, request: Request) -> Result<Outcome, Status> {
        self.v2_is_agreed()?;
        admit_cost(self, request.cost())?;
        let (sender, answer) = oneshot::channel();
        let token = self.internal_token();
        self.propose_for(Caller::Nobody, token, Command::V2(request), Write(Waiting(sender)));
        self.end_of_round();
        answer.await.unwrap_or(Err(status::STOPPED))
    }

    /// Waits until this member has applied all that was committed before the call.
    ///
    /// # Errors
    /// There is no leader, or it was not heard in time.
    pub(crate) async fn v2_catch_up(&self) -> Result<(), Status> {
        if self.reads_are_free() {
            return Ok(());
        }
        let (granted, wait) = oneshot::channel();
        self.probe_read_index(granted);
        wait.await.unwrap_or(Err(status::STOPPED))
    }

    /// A node of the newest view and what lies in it.
    ///
    /// # Errors
    /// The store cannot be read, or the listing needs more memory than there is.
    pub(crate) async fn v2_list(&self, path: &[u8], recursive: bool) -> Result<HeldListing, Status> {
        let now = unix_nanos();
        if let Some(listing) = self.ports().reads.v2_list(path, recursive, now) {
            let listing = listing.map_err(|why| status::of_read(&why))?;
            return Ok(HeldListing { listing, held: Box::new(()) });
        }
        let (sender, answer) = oneshot::channel();
        let work = Work::V2List { path: Bytes::copy_from_slice(path), recursive, now };
        self.query(self.internal_token(), work, List(Waiting(sender)));
        answer.await.unwrap_or(Err(status::STOPPED))
    }

    /// Counts a read that a client asked for.
    pub(crate) fn count_v2_read(&self, found: bool) {
        self.ports().gauges.v2.add(if found { Count::GetSuccess } else { Count::GetFail }, 1);
    }

    /// Watches from `since` on; zero is the next event.
    ///
    /// # Errors
    /// The first result: the store cannot be read. The second: events that are asked for are no longer kept.
    pub(crate) fn v2_watch(
        &self,
        path: Bytes,
        recursive: bool,
        stream: bool,
        since: u64,
    ) -> Result<Result<V2Watch, Error>, Status> {
        let reads = &self.ports().reads;
        // counted before the view is read: see the applier's side
        self.count_v2_watchers(1);
        let position = reads.v2_position();
        let since = if since == 0 { position.index + 1 } else { since };
        if since < position.first_event {
            self.count_v2_watchers(-1);
            let cause = format!("the requested history has been cleared [{}/{since}]", position.first_event);
            return Ok(Err(Error::new(code::EVENT_INDEX_CLEARED, cause, position.index)));
        }
        let (sender, live) = mpsc::channel(LIVE_EVENTS);
        let interest = Interest { recursive, stream, since: since.max(position.index + 1) };
        let Registered { id } = self.v2_watchers().add(path.clone(), interest, sender, position.index);
        let mut watch =
            V2Watch { services: self.clone(), id, path, past: VecDeque::new(), live, start: position.index };
        let mut next = since;
        while next <= position.index {
            let events = reads.v2_events(next).map_err(|why| status::of_read(&why))?;
            let Some(last) = events.last().map(Event::index) else { break };
            let wanted = events.iter().filter(|event| event.index() <= position.index);
            let wanted = wanted.filter(|event| Interest::wants_past(&watch.path, recursive, event));
            watch.past.extend(wanted.map(Event::index));
            if !stream && !watch.past.is_empty() {
                break;
            }
            next = last + 1;
        }
        Ok(Ok(watch))
    }

    fn count_v2_watchers(&self, more: i64) {
        use std::sync::atomic::{Ordering::SeqCst, fence};
        self.ports().gauges.v2.watchers.fetch_add(more as u64, SeqCst);
        fence(SeqCst);
    }

    /// Hands new events to the watchers of this connection thread.
    pub(super) fn v2_changed(&self) {
        let reads = &self.ports().reads;
        let position = reads.v2_position();
        let watchers = self.v2_watchers();
        while let Some(next) = watchers.next_index().filter(|next| *next <= position.index) {
            let events = match reads.v2_events(next) {
                Ok(events) if events.first().is_some_and(|first| first.index() == next) => events,
                // events were let go before this thread saw them, or cannot be read: nobody may believe that he has seen all
                _ => return watchers.end_all(),
            };
            events.iter().for_each(|event| watchers.tell(event));
        }
    }

    /// Changes the membership: the member that it was about, and all members.
    ///
    /// # Errors
    /// The change was refused, or is not known to have been made.
    pub(crate) async fn v2_change_members(&self, change: MemberChange) -> Result<(u64, Vec<MemberInfo>), Status> {
        let (sender, answer) = oneshot::channel();
        self.change_membership(self.internal_token(), change, Change(Waiting(sender)));
        self.end_of_round();
        answer.await.unwrap_or(Err(status::STOPPED))
    }

    /// Has the password pool compute something.
    ///
    /// # Errors
    /// Too much waits there.
    pub(crate) async fn v2_password(&self, job: PasswordJob) -> Result<PasswordAnswer, Status> {
        let (sender, answer) = oneshot::channel();
        self.run_password(self.internal_token(), job, Password(Waiting(sender)));
        answer.await.unwrap_or(Err(status::STOPPED))
    }
}

/// Peer URLs as members know them; `None` when one of them is none.
pub(crate) fn peer_urls(given: &[String]) -> Option<Vec<String>> {
    member_urls::checked(given).ok()
}
