//! Steps against one server, from a known state to the first difference.
//!
//! Must never go on after a difference: the specification knows nothing of what comes then.

use super::client::{Client, PATIENCE};
use super::group::{self, Asked};
use super::judge::Judge;
use super::place;
use super::rules::Allowance;
use super::step::{Action, Step};
use super::target::Running;
use crate::spec::watch::{Progress, Stream};
use crate::spec::{Answer, Op, Refusal, Spec};
use api::etcdserverpb::watch_request::RequestUnion;
use api::etcdserverpb::{
    LeaseGrantRequest, LeaseRevokeRequest, PutRequest, WatchCancelRequest, WatchCreateRequest, WatchProgressRequest,
    WatchRequest, WatchResponse,
};
use futures_util::future::join_all;
use std::time::{Duration, Instant};

/// Events that a stream may be owed before the run waits for them. etcd keeps 128 responses for a stream and does not call a
/// watcher caught up when there are more.
const MOST_OWED: usize = 60;

/// Where a run differed.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// Index into the steps.
    pub(super) step: usize,
    /// What was expected and what came.
    pub(super) text: String,
}

/// A client, the specification, and what was done so far.
pub(super) struct Epoch {
    pub(super) client: Client,
    pub(super) spec: Spec,
    pub(super) judge: Judge,
    /// Time after which an idle watcher is told of progress; unknown where the server's settings are.
    pub(super) notice: Option<Duration>,
    /// What was sent and answered, when it is to be shown.
    pub(super) transcript: Option<Vec<String>>,
    at: usize,
}

impl Epoch {
    pub(super) fn new(client: Client, mut spec: Spec, judge: Judge, notice: Option<Duration>) -> Self {
        for stream in 0..client.lines.len() {
            spec.open_stream(stream);
        }
        Self { client, spec, judge, notice, transcript: None, at: 0 }
    }

    /// Runs all steps, then waits for everything that is owed.
    pub(super) async fn run(&mut self, running: &mut Running, steps: &[Step]) -> Result<(), Failure> {
        let done = self.run_steps(running, steps).await;
        done.map_err(|text| Failure { step: self.at, text })
    }

    async fn run_steps(&mut self, running: &mut Running, steps: &[Step]) -> Result<(), String> {
        let mut rest = steps;
        while let Some(first) = rest.first() {
            self.at = steps.len() - rest.len();
            let joined = rest[1..].iter().take_while(|s| s.together && first.may_join()).count();
            let (now, later) = rest.split_at(1 + joined);
            rest = later;
            if first.may_join() {
                self.together(now).await?;
            } else if first.action == Action::Restart {
                self.restart(running).await?;
            } else if let Some(action) = place::fill(&self.spec, &first.action, self.spares()) {
                self.alone(action).await?;
            }
            for stream in 0..self.client.lines.len() {
                self.drain(stream)?;
                if self.spec.streams[&stream].owed(&self.spec.history, MOST_OWED) >= MOST_OWED {
                    self.settle(stream).await?;
                }
            }
        }
        self.at = steps.len().saturating_sub(1);
        self.finish().await
    }

    /// Everything owed must come, and nothing more; watchers that asked for notices get them.
    async fn finish(&mut self) -> Result<(), String> {
        for stream in 0..self.client.lines.len() {
            self.settle(stream).await?;
        }
        let Some(notice) = self.notice else { return Ok(()) };
        let start = Instant::now();
        while !self.all_noticed() {
            if start.elapsed() > PATIENCE {
                return Err(format!("a watcher got no notice of progress, though the interval is {notice:?}"));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            for stream in 0..self.client.lines.len() {
                self.drain(stream)?;
            }
        }
        Ok(())
    }

    fn all_noticed(&self) -> bool {
        let revision = self.spec.history.revision;
        self.spec.streams.values().flat_map(|s| s.watchers.values()).all(|w| w.is_noticed(revision))
    }

    fn spares(&self) -> bool {
        self.judge.rules.allows(Allowance::LostPut)
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(transcript) = &mut self.transcript {
            transcript.push(format!("{:>5}  {}", self.at, line()));
        }
    }

    /// KV requests that run at the same time.
    async fn together(&mut self, steps: &[Step]) -> Result<(), String> {
        let filled = steps.iter().filter_map(|s| match place::fill(&self.spec, &s.action, false) {
            Some(Action::Call(op)) => Some(op),
            _ => None,
        });
        let ops: Vec<Op> = filled.collect();
        let calls = ops.iter().map(|op| self.client.kv(op.clone()));
        let answers = join_all(calls).await;
        let first = self.at;
        for (op, got) in ops.iter().zip(&answers) {
            self.note(|| format!("{op:?}\n       -> {got:?}"));
            self.at += 1;
        }
        self.at = first;
        let asked = ops.into_iter().zip(answers).enumerate();
        let group = asked.map(|(at, (op, got))| Asked { step: first + at, op, got }).collect();
        group::replay(&mut self.spec, &mut self.judge, group).map_err(|(step, text)| {
            self.at = step;
            text
        })
    }

    async fn alone(&mut self, action: Action) -> Result<(), String> {
        self.note(|| format!("{action:?}"));
        match action {
            Action::Call(op) => self.call(op).await.map(drop),
            Action::Watch(stream, request) => self.watch(stream, request).await,
            Action::Cancel { stream, id, patient } => self.cancel(stream, id, patient).await,
            Action::Progress { stream, patient } => self.progress(stream, patient).await,
            Action::Reopen(stream) => {
                self.drain(stream)?;
                self.client.reopen(stream);
                self.spec.open_stream(stream);
                Ok(())
            }
            Action::Settle => {
                for stream in 0..self.client.lines.len() {
                    self.settle(stream).await?;
                }
                Ok(())
            }
            Action::Expire(id) => self.expire(id).await,
            Action::Restart => Err("restarted elsewhere".into()),
        }
    }

    /// Nothing that was answered may be lost: the revision is the same, and everything after it is compared as ever.
    async fn restart(&mut self, running: &mut Running) -> Result<(), String> {
        if !running.is_ours() {
            return Ok(());
        }
        self.note(|| "the server is restarted".into());
        self.client.close();
        running.restart().await;
        self.client = running.connect().await?;
        let header = running.header(&self.client).await?;
        self.judge.restarted(&header)?;
        if header.revision != self.spec.history.revision {
            return Err(format!(
                "revision {} after a restart, before it {}",
                header.revision, self.spec.history.revision
            ));
        }
        for stream in 0..self.client.lines.len() {
            self.spec.open_stream(stream);
        }
        self.spec.renew_leases(Instant::now());
        self.judge.count("restart", "nothing lost");
        Ok(())
    }

    /// Any unary request. A lease that would end soon is revoked at once.
    async fn call(&mut self, op: Op) -> Result<(), String> {
        let got = self.ask(op.clone()).await?;
        match (&op, got) {
            (Op::Grant(request), Ok(Answer::Grant(answer))) if request.ttl < 60 => {
                self.ask(Op::Revoke(LeaseRevokeRequest { id: answer.id })).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    async fn ask(&mut self, op: Op) -> Result<Result<Answer, Refusal>, String> {
        let got = self.client.call(op.clone()).await;
        self.note(|| format!("{op:?}\n       -> {got:?}"));
        let chosen = match &got {
            // an id of the server's choice must be a new one above zero, or it is compared with one that is wrong
            Ok(Answer::Grant(answer)) if answer.id > 0 && !self.spec.leases.exists(answer.id) => answer.id,
            _ => 0,
        };
        let wanted = self.spec.execute(&op, chosen, Instant::now());
        self.judge.compare(&self.spec, &op, wanted, &got)?;
        Ok(got)
    }

    /// A lease with a key ends by itself; nothing else happens meanwhile.
    async fn expire(&mut self, id: i64) -> Result<(), String> {
        self.ask(Op::Grant(LeaseGrantRequest { ttl: 1, id })).await?.map_err(|why| why.to_string())?;
        let put = PutRequest { key: "foo".into(), value: "soon gone".into(), lease: id, ..PutRequest::default() };
        self.ask(Op::Put(put)).await?.map_err(|why| why.to_string())?;
        let start = Instant::now();
        loop {
            let answer = self.client.probe().await.map_err(|why| format!("{why:?}"))?;
            if answer.header.is_some_and(|h| h.revision > self.spec.history.revision) {
                self.spec.expire(id);
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("lease {id} of at most two seconds has not ended after {PATIENCE:?}"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn send(&self, stream: usize, union: RequestUnion) {
        self.client.lines[stream].send(WatchRequest { request_union: Some(union) });
    }

    async fn watch(&mut self, stream: usize, request: WatchCreateRequest) -> Result<(), String> {
        self.send(stream, RequestUnion::CreateRequest(request.clone()));
        let wanted = self.spec.watch(stream, &request);
        self.stream(stream).opening = (!wanted.canceled).then_some(wanted.watch_id);
        let judged = self.control(stream, wanted).await;
        self.stream(stream).opening = None;
        judged
    }

    async fn cancel(&mut self, stream: usize, watch_id: i64, patient: bool) -> Result<(), String> {
        if patient {
            self.settle(stream).await?;
        }
        self.send(stream, RequestUnion::CancelRequest(WatchCancelRequest { watch_id }));
        if !self.spec.streams[&stream].watchers.contains_key(&watch_id) {
            return self.barrier(stream).await;
        }
        loop {
            let response = self.next(stream).await?;
            if response.canceled && response.compact_revision == 0 {
                let wanted = self.spec.cancel_watch(stream, watch_id).expect("it exists");
                return self.same(wanted, &response);
            }
            self.observe(stream, &response)?;
        }
    }

    /// A create that is refused: when its answer is there, every request before it has been looked at.
    async fn barrier(&mut self, stream: usize) -> Result<(), String> {
        self.watch(stream, WatchCreateRequest { start_revision: -1, ..WatchCreateRequest::default() }).await
    }

    async fn progress(&mut self, stream: usize, patient: bool) -> Result<(), String> {
        if patient {
            self.settle(stream).await?;
        }
        self.drain(stream)?;
        let start = Instant::now();
        loop {
            let due = self.spec.streams[&stream].progress(&self.spec.history);
            let revision = self.spec.history.revision;
            let before = self.asked(stream).len();
            if due != Progress::Never {
                self.asked(stream).push(revision);
            }
            self.send(stream, RequestUnion::ProgressRequest(WatchProgressRequest {}));
            if due == Progress::Certain {
                while self.asked(stream).len() > before {
                    let response = self.next(stream).await?;
                    self.observe(stream, &response)?;
                }
                return Ok(());
            }
            // the answer, if any, comes right behind that of a request made after it
            self.barrier(stream).await?;
            self.barrier(stream).await?;
            self.drain(stream)?;
            let answered = due == Progress::Open && self.asked(stream).len() <= before;
            if !self.judge.rules.allows(Allowance::LateProgress) {
                self.asked(stream).truncate(before);
            }
            if due == Progress::Never || answered || !patient {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("no progress within {PATIENCE:?}"));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn asked(&mut self, stream: usize) -> &mut Vec<i64> {
        &mut self.stream(stream).asked
    }

    fn stream(&mut self, stream: usize) -> &mut Stream {
        self.spec.streams.get_mut(&stream).expect("an open stream")
    }

    /// The answer to a create request.
    async fn control(&mut self, stream: usize, wanted: WatchResponse) -> Result<(), String> {
        loop {
            let response = self.next(stream).await?;
            if response.created {
                return self.same(wanted, &response);
            }
            self.observe(stream, &response)?;
        }
    }

    fn same(&mut self, mut wanted: WatchResponse, got: &WatchResponse) -> Result<(), String> {
        wanted.header = wanted.header.map(|h| self.judge.header(h.revision));
        if wanted != *got {
            return Err(format!("expected {wanted:?}\n     got {got:?}"));
        }
        let how = if got.created { "created" } else { "canceled" };
        self.judge.count("Watch", if got.cancel_reason.is_empty() { how } else { &got.cancel_reason });
        Ok(())
    }

    async fn next(&mut self, stream: usize) -> Result<WatchResponse, String> {
        let response = self.client.lines[stream].next().await;
        let response = response.map_err(|why| format!("watch stream {stream}: {why}"))?;
        self.note(|| format!("   stream {stream} <- {response:?}"));
        Ok(response)
    }

    /// Judges what has come by itself.
    fn drain(&mut self, stream: usize) -> Result<(), String> {
        while let Ok(next) = self.client.lines[stream].answers.try_recv() {
            let response = next.map_err(|why| format!("watch stream {stream} ended: {why:?}"))?;
            self.note(|| format!("   stream {stream} <- {response:?}"));
            self.observe(stream, &response)?;
        }
        Ok(())
    }

    /// Waits until everything that is certain to come has come.
    async fn settle(&mut self, stream: usize) -> Result<(), String> {
        self.drain(stream)?;
        while !self.spec.streams[&stream].is_settled(&self.spec.history) {
            let response = self.next(stream).await;
            let response = response.map_err(|why| format!("{why}; owed: {:?}", self.spec.missing(stream)))?;
            self.observe(stream, &response)?;
        }
        Ok(())
    }

    fn observe(&mut self, stream: usize, response: &WatchResponse) -> Result<(), String> {
        let judged = self.spec.observe(stream, response).and_then(|()| {
            let header = response.header.unwrap_or_default();
            let wanted = self.judge.header(header.revision);
            if header == wanted { Ok(()) } else { Err(format!("expected the header {wanted:?}")) }
        });
        match response {
            _ if judged.is_err() => {}
            WatchResponse { canceled: true, .. } => self.judge.count("Watch", "ended by a compaction"),
            WatchResponse { watch_id: -1, .. } => self.judge.count("Watch", "progress on request"),
            WatchResponse { events, .. } if events.is_empty() => self.judge.count("Watch", "notice of progress"),
            WatchResponse { events, .. } => {
                let count = if events.len() == 1 { "one event" } else { "several events" };
                self.judge.count("Watch", count);
            }
        }
        judged.map_err(|why| format!("watch stream {stream}: {why}\n     got {response:?}"))
    }
}
