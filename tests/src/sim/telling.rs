//! What clients ask and what they are told, and whether that was right. Must never accept an answer that another order of
//! events would have made wrong.

use super::clients::{Ask, Call};
use super::orders::FIRST_CHANGE;
use super::ports::HubMail;
use super::replay::FIRST_OP;
use super::running::{CLIENT_SINK, Running};
use super::violation::{Checked, hold, violated};
use super::world::World;
use messages::lease::{LeaseAsk, LeaseReply, LeaseRequests};
use messages::propose::{Proposal, Propose};
use messages::read::{INLINE_BYTES, ReadIndex, Reads};
use messages::watch::WatchRequests;
use messages::{Reply, ReplyBody, RequestError};
use model::request::RangeRequest;
use model::{Applied, Outcome, ReadError};
use std::sync::atomic::Ordering::{Acquire, Relaxed};

/// Mails of the hub beyond which watch clients wait.
const HUB_MAIL: usize = 12;

impl World {
    /// A client's turn.
    pub(super) fn client(&mut self, client: usize) -> Checked {
        if self.clients.begun >= self.params.operations || self.clients.list[client].call.is_some() {
            return Ok(());
        }
        self.move_client(client);
        let at = self.clients.list[client].at;
        let eager = self.clients.list[client].eager;
        let serving = self.machines[at].is_serving();
        if self.machines[at].run.is_none() || !(serving || eager) {
            self.client_later(client);
            return Ok(());
        }
        // what an owner inside the node does: it proposes for the term that it saw the last time it looked
        let seen = self.machines[at].run.as_ref().map_or(0, |run| run.gauges.term.load(Relaxed));
        let term = std::mem::replace(&mut self.clients.list[client].term, seen);
        let only_in_term = if self.rng.chance(12) { term } else { 0 };
        let call = self.clients.next_call(&mut self.rng, &self.params, &self.replay, self.now);
        self.trace.line(self.now, || format!("client {client} at m{at}: {:x} {:?}", call.op, call.ask));
        let Some(run) = &self.machines[at].run else { return Ok(()) };
        match &call.ask {
            // a door is closed before service; who is inside the node may propose, and is never given leave to read
            Ask::Read(_) if !serving => {
                self.client_later(client);
                return Ok(());
            }
            Ask::Write(command) => {
                let proposal = Proposal { token: call.op, command: command.clone().encode(call.op), only_in_term };
                // a full queue is met by trying again later, with another operation
                if run.port.propose(Propose { sink: CLIENT_SINK, proposals: vec![proposal] }).is_err() {
                    self.client_later(client);
                    return Ok(());
                }
            }
            Ask::Read(request) if run.gauges.sole_member.load(Acquire) => {
                let request = request.clone();
                return self.serve(client, &request, Some((call.revision, call.after)));
            }
            Ask::Read(_) => {
                if run.port.read(ReadIndex { sink: CLIENT_SINK, tokens: vec![call.op] }).is_err() {
                    self.client_later(client);
                    return Ok(());
                }
            }
            Ask::Peek(request) => {
                let request = request.clone();
                return self.serve(client, &request, None);
            }
            Ask::Renew(id) => {
                let asks = vec![(call.op, LeaseAsk::Renew { id: *id })];
                // the receiving end is ours
                let _ =
                    run.to_leases.send(super::ports::LeaseMail::Requests(LeaseRequests { sink: CLIENT_SINK, asks }));
            }
        }
        self.clients.list[client].call = Some(call);
        Ok(())
    }

    /// Goes to another member, now and then, and when its own is down.
    fn move_client(&mut self, client: usize) {
        let here = &self.machines[self.clients.list[client].at];
        // what is asked of a machine that stands still waits there, among all else that does
        let stays = if here.frozen_until <= self.now { 93 } else { 60 };
        if here.run.is_some() && self.rng.chance(stays) {
            return;
        }
        let all = self.serving();
        if !all.is_empty() {
            self.clients.list[client].at = self.rng.pick(&all);
        }
    }

    /// A range from the newest view; `fresh`: it must show everything told before this revision.
    fn serve(&mut self, client: usize, request: &RangeRequest, fresh: Option<(i64, u64)>) -> Checked {
        let at = self.clients.list[client].at;
        let Some(run) = &self.machines[at].run else { return Ok(()) };
        let view = run.views.load();
        let (told, entry) = fresh.unwrap_or((i64::MIN, 0));
        let is_fresh = view.status.revision >= told && view.status.applied_index >= entry;
        hold("SIM-READ-FRESH", is_fresh, || {
            let (revision, applied) = (view.status.revision, view.status.applied_index);
            format!("m{at}: a linearizable read at {revision}, entry {applied}; {told}, entry {entry} was told before")
        })?;
        let result = match run.reads.range(request, INLINE_BYTES) {
            Some(result) => result.map(|(_, outcome)| outcome),
            None => storage::read::range(&view, request),
        };
        let right = match request.revision {
            r if r > view.status.revision => Err(ReadError::FutureRevision),
            r if r > 0 && r < view.status.compact_revision => Err(ReadError::Compacted),
            0 => Ok(self.replay.range(&RangeRequest { revision: view.status.revision, ..request.clone() })),
            _ => Ok(self.replay.range(request)),
        };
        hold("SIM-READ-IS-REPLAY", result == right, || {
            format!("{request:?} at entry {}: {result:?}, not {right:?}", view.status.applied_index)
        })?;
        self.clients.answered += 1;
        if fresh.is_some() {
            self.clients.told_revision = self.clients.told_revision.max(view.status.revision);
            // whatever is begun after this answer stands behind what it showed
            self.clients.told_index = self.clients.told_index.max(view.status.applied_index);
        }
        self.client_later(client);
        Ok(())
    }

    /// A watch client's turn.
    pub(super) fn watch(&mut self) {
        let stream = self.watching.pick(&mut self.rng);
        let all = self.serving();
        if all.is_empty() {
            return;
        }
        if let Some(here) = self.watching.machine_of(stream) {
            let answers = all.contains(&here);
            if answers && (!self.is_cluster() || self.rng.chance(95)) {
                return self.watch_at(stream, here);
            }
            // a client gives up a member that does not answer, or goes to another one, and resumes there
            let closing = self.watching.abandon(stream);
            if let Some(run) = &self.machines[here].run {
                // the receiving end is ours
                let _ = run.to_hub.send(HubMail::Requests(WatchRequests(vec![closing])));
            }
        }
        let at = self.rng.pick(&all);
        self.watch_at(stream, at);
    }

    fn watch_at(&mut self, stream: usize, at: usize) {
        let Some(run) = &self.machines[at].run else { return };
        // requests of watch clients that wait for an answer
        if run.hub_mail.len() > HUB_MAIL {
            return;
        }
        let told = if self.is_cluster() { 0 } else { self.clients.told_revision };
        let requests = self.watching.act(stream, at, &mut self.rng, &self.params, &self.replay, told);
        // the receiving end is ours
        let _ = run.to_hub.send(HubMail::Requests(WatchRequests(requests)));
    }

    /// Answers arrive.
    pub(super) fn hear(&mut self, at: usize) -> Checked {
        let Some(run) = &self.machines[at].run else { return Ok(()) };
        for reply in run.replies.take() {
            let Reply { token, body } = reply;
            if !(FIRST_OP..FIRST_CHANGE).contains(&token) {
                self.operator_hears(at, token, body)?;
                continue;
            }
            match body {
                ReplyBody::Applied(result) => self.on_applied(token, result)?,
                ReplyBody::ReadGranted(result) => {
                    let Some((client, call)) = self.clients.take(token) else {
                        return violated(
                            "SIM-ANSWERED-ONCE",
                            format!("leave to read for {token:x}, who waits no more"),
                        );
                    };
                    match (result, call.ask) {
                        (Ok(()), Ask::Read(request)) => {
                            self.serve(client, &request, Some((call.revision, call.after)))?;
                        }
                        (Ok(()), ask) => return violated("SIM-REPLY-OWN", format!("leave to read for {ask:?}")),
                        (Err(_), _) => self.client_later(client),
                    }
                }
                ReplyBody::Lease(result) => self.on_lease(token, result)?,
                // frames of watch streams are taken from the hub itself
                _ => {}
            }
        }
        Ok(())
    }

    fn on_applied(&mut self, op: u64, result: Result<Applied, RequestError>) -> Checked {
        let Some((client, call)) = self.clients.take(op) else {
            return violated("SIM-ANSWERED-ONCE", format!("AI-10: an answer to {op:x}, who waits no more: {result:?}"));
        };
        self.trace.line(self.now, || format!("client {client}: {op:x} is told {result:?}"));
        self.client_later(client);
        match result {
            Ok(applied) => self.on_result(self.clients.list[client].at, &call, &applied),
            Err(
                RequestError::NoLeader
                | RequestError::LeaderChanged
                | RequestError::NotLeader
                | RequestError::TooManyRequests,
            ) => {
                self.refused.insert(op);
                Ok(())
            }
            // unknown: either way is right
            Err(_) => Ok(()),
        }
    }

    fn on_result(&mut self, at: usize, call: &Call, applied: &Applied) -> Checked {
        let Some(told) = self.replay.told(call.op).cloned() else {
            return violated(
                "SIM-REPLY-OWN",
                format!("AI-10: {:x} is told {applied:?} and was never applied", call.op),
            );
        };
        hold("SIM-REPLY-OWN", told.applied == *applied, || {
            format!("AI-10: {:x} {:?} is told {applied:?}, not {:?}", call.op, call.ask, told.applied)
        })?;
        hold("SIM-REAL-TIME", told.index > call.after, || {
            format!("{:x} stands at {}, entry {} was told before it was asked", call.op, told.index, call.after)
        })?;
        let durable = self.machines[at].book.durable.last();
        hold("SIM-ACK-DURABLE", told.index <= durable, || {
            format!("AI-9: m{at}: entry {} is acknowledged, {durable} is durable", told.index)
        })?;
        self.clients.answered += 1;
        self.clients.told_index = self.clients.told_index.max(told.index);
        self.clients.told_revision = self.clients.told_revision.max(applied.revision);
        // one that was revoked in the same batch is gone when its grant is told
        if let Ok(Outcome::LeaseGrant { id, ttl }) = applied.result
            && self.replay.now().leases.get(&id) == Some(&ttl)
        {
            let older = |run: &Running| run.leases.leases().time_to_live(id).is_some();
            if !self.is_cluster() && self.machines[at].run.as_ref().is_some_and(older) {
                self.promises.contest(id);
            }
            self.promises.told(id, ttl, call.since, self.now);
        }
        Ok(())
    }

    fn on_lease(&mut self, op: u64, result: Result<LeaseReply, RequestError>) -> Checked {
        let Some((client, call)) = self.clients.take(op) else {
            return violated("SIM-ANSWERED-ONCE", format!("a lease answer to {op:x}, who waits no more"));
        };
        self.trace.line(self.now, || format!("client {client}: {op:x} is told {result:?}"));
        self.client_later(client);
        if let (Ask::Renew(id), Ok(LeaseReply::Renewed { ttl })) = (&call.ask, &result)
            && *ttl > 0
        {
            let held = self.replay.now().leases.get(id) == Some(ttl);
            // a lease that went a moment ago, which its manager has not been told yet: the renewal came before
            let mail = |run: &Running| !run.lease_mail.is_empty();
            let at = self.clients.list[client].at;
            let late = self.machines[at].run.as_ref().is_some_and(mail) || self.promises.changed_since(*id, call.since);
            hold("SIM-LEASE-KNOWN", held || late, || {
                format!("lease {id} is renewed for {ttl} s, there is {:?}", self.replay.now().leases.get(id))
            })?;
            if held {
                self.promises.told(*id, *ttl, call.since, self.now);
            } else {
                self.promises.told_late(*id, *ttl, call.since)?;
            }
        }
        Ok(())
    }
}
