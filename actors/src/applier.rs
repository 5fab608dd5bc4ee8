//! The applier's shell: committed entries in; one write batch, one published view, one list of answers per sink out.
//!
//! The order is fixed: write, publish, tokens, tell the lease manager, answer, signal (AI-APPLY-ORDER). Own thread, the only one that writes
//! the store. The lease manager hears before the client does: a renewal sent after the answer of a revocation finds no lease.
//! Must never wait for another owner: what a consumer cannot take now it reads later from the store.

use crate::apply_meter;
use crate::clock;
use crate::death_watch::DeathWatch;
use crate::held_batches::Rebuilding;
use crate::mailbox::Mailbox;
use crate::raft_core::inbox::InnerPort;
use crate::simple_tokens::SimpleTokens;
use crate::store_cell::StoreCell;
use crate::wiring::advance::{Advance, AppliedUpTo};
use crate::wiring::apply::{ApplyBatch, CommittedEntry, ToApplier};
use crate::wiring::events::{Advanced, EVENT_OVERHEAD, WatchEvent, WatchRevision};
use crate::wiring::flush::ToFlusher;
use crate::wiring::hashes::CompactionScheduled;
use crate::wiring::leases::{LeasesAdvanced, RebuildLeases};
use crate::wiring::snapshots::ToSnapshotter;
use crate::wiring::wal::ToWal;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use messages::peer::{PeerAddress, Peers};
use messages::reply::Outbox;
use messages::{Gauges, Reply, ReplyBody, RequestError, SinkId, Sinks, Token};
use model::mutant::{self, Mutant};
use model::v2::{Count, Operation};
use model::{Applied, Command, Envelope, Origin, Outcome};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::time::{Duration, Instant};
use storage::apply::{
    ApplyFatal, Committed, CompactionProgress, LeaseChange, Membership, Report, ScheduledCompaction,
    StateMachine as Store, StoreEvent, V2Applied,
};
use storage::auth::TokenChange;
use storage::disk::Disk;
use storage::engine::Engine;
use storage::schema::Kind;
use storage::view::Views;

/// Ends the applier talks to.
pub struct ApplierParts<E: Engine> {
    /// Its queue.
    pub inbox: Receiver<ToApplier>,
    /// Completions go here.
    pub core: InnerPort,
    /// Views are published here.
    pub views: Arc<Views<E::Snapshot>>,
    /// Answers.
    pub sinks: Arc<Sinks>,
    /// To the hasher, before the rows of a compaction go. What it cannot take has no hash.
    pub hasher: Sender<CompactionScheduled<E::Snapshot>>,
    /// To the watch hub.
    pub hub: Box<dyn Mailbox<Advanced>>,
    /// Bytes of events the hub has not taken yet; the hub subtracts what it took.
    pub hub_backlog: Arc<AtomicUsize>,
    /// To the lease manager.
    pub leases: Box<dyn Mailbox<LeasesAdvanced>>,
    /// Who the members are, after each change.
    pub members: Box<dyn Mailbox<Peers>>,
    /// To the flusher, which watches what is durable.
    pub flusher: Sender<ToFlusher>,
    /// Tokens that clients may show.
    pub tokens: Arc<SimpleTokens>,
    /// Shared counters.
    pub gauges: Arc<Gauges>,
    /// How much it does at once.
    pub pace: ApplierPace,
    /// What an install needs.
    pub install: ApplierInstall<E>,
}

/// Ends that only an install talks to.
pub struct ApplierInstall<E> {
    /// Where the other owners find the engine.
    pub cell: Arc<StoreCell<E>>,
    /// To the lease manager.
    pub leases: Box<dyn Mailbox<RebuildLeases>>,
    /// File system of the store pointer.
    pub disk: Arc<dyn Disk>,
    /// The folder it is in.
    pub member: PathBuf,
    /// To the WAL writer, which waits for it.
    pub wal: Sender<ToWal>,
    /// To the snapshotter, which removes the old store.
    pub snapshots: Sender<ToSnapshotter>,
}

/// How much the applier does at once. Outcomes do not depend on it.
#[derive(Clone, Copy, Debug)]
pub struct ApplierPace {
    /// Pause between two compaction steps, so that compaction never takes more than a share of the disk.
    pub compaction_pause: Duration,
    /// Rows one compaction step may look at.
    pub compaction_rows: usize,
    /// Applied entries between two looks at what is durable in the store.
    pub durable_check: u64,
    /// Bytes of events that may be on their way to the watch hub; beyond it the hub reads the store.
    pub hub_backlog: usize,
    /// Events of one revision with more bytes than this are left for the hub to read.
    pub oversized_revision: usize,
    /// A list of entries that takes longer is a warning in the log.
    pub slow_apply: Duration,
}

/// Who waits for a compaction to be finished.
struct Physical {
    revision: i64,
    sink: SinkId,
    reply: Reply,
}

/// The applier.
pub struct Applier<E: Engine> {
    pub(crate) store: Store<E>,
    pub(crate) parts: ApplierParts<E>,
    physical: Vec<Physical>,
    pub(crate) compacting: bool,
    pub(crate) next_step: Instant,
    /// When the first step of the compaction under way was taken.
    compacting_since: Option<Instant>,
    since_check: u64,
    /// Revision that the watch hub knows of.
    pub(crate) shown: i64,
    /// Nobody was told what the last entries did.
    silent: bool,
    /// What waits for another store.
    pub(crate) rebuilding: Rebuilding,
}

impl<E: Engine> Applier<E> {
    /// Around an opened store.
    pub fn new(store: Store<E>, parts: ApplierParts<E>) -> Self {
        // a compaction that a crash interrupted goes on; an idle store says so at the first step
        let shown = store.revision();
        Self {
            store,
            parts,
            shown,
            silent: false,
            physical: Vec::new(),
            compacting: true,
            next_step: Instant::now(),
            compacting_since: None,
            since_check: 0,
            rebuilding: Rebuilding::default(),
        }
    }

    /// Runs until it is told to stop or the store fails.
    pub fn run(mut self, mut watch: DeathWatch) {
        match self.serve() {
            Ok(()) => watch.finish(),
            Err(why) => watch.fail(why),
        }
    }

    fn serve(&mut self) -> Result<(), ApplyFatal> {
        loop {
            let first = match self.next() {
                Some(message) => message,
                None if self.compacting => {
                    self.compact()?;
                    continue;
                }
                None => return Ok(()),
            };
            let mut stop = false;
            let mut batches = Vec::new();
            let inbox = self.parts.inbox.clone();
            for message in std::iter::once(first).chain(inbox.try_iter()) {
                match message {
                    ToApplier::Apply(batch) => batches.push(batch),
                    ToApplier::Install(staged) => {
                        self.apply_all(&mut batches)?;
                        self.install(staged)?;
                    }
                    ToApplier::Hold => {
                        self.apply_all(&mut batches)?;
                        self.hold();
                    }
                    ToApplier::Rebuild(staged) => {
                        self.apply_all(&mut batches)?;
                        self.rebuild(staged)?;
                    }
                    ToApplier::Resume => {
                        self.apply_all(&mut batches)?;
                        self.resume()?;
                    }
                    ToApplier::Stop => stop = true,
                }
            }
            self.apply_all(&mut batches)?;
            if stop {
                // the compaction is decided, its rows are deleted by the next run
                self.answer_compacted(i64::MAX);
                return Ok(());
            }
            if self.compacting && Instant::now() >= self.next_step {
                self.compact()?;
            }
        }
    }

    /// The next message; `None` when a compaction step is due (or everybody is gone).
    fn next(&self) -> Option<ToApplier> {
        if !self.compacting {
            return self.parts.inbox.recv().ok();
        }
        match self.parts.inbox.recv_deadline(self.next_step) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(ToApplier::Stop),
        }
    }

    fn apply_all(&mut self, batches: &mut Vec<ApplyBatch>) -> Result<(), ApplyFatal> {
        let batches = self.passes(std::mem::take(batches))?;
        if batches.is_empty() { Ok(()) } else { self.apply(batches) }
    }

    /// Applies what was committed: write, publish, answer, signal, report.
    ///
    /// # Errors
    /// [`ApplyFatal`]: the node must stop.
    pub fn apply(&mut self, batches: Vec<ApplyBatch>) -> Result<(), ApplyFatal> {
        let sequence = batches.last().expect("not empty").sequence;
        let count = batches.iter().map(|b| b.entries.len()).sum();
        let mut entries = Vec::with_capacity(count);
        let mut waiters = Vec::with_capacity(count);
        for CommittedEntry { entry, waiter } in batches.into_iter().flat_map(|b| b.entries) {
            entries.push(Committed { entry });
            waiters.push(waiter);
        }
        let before = mutant::on(Mutant::ViewEarly).then(|| self.store.view().snapshot);
        let begun = Instant::now();
        let mut report = self.store.apply(&entries)?;
        let took = begun.elapsed();
        if let Some(snapshot) = before {
            report.view.snapshot = snapshot;
        }
        // before the view: who sees that the entry of a token is applied, and does not find the token, takes it for none
        self.change_tokens(std::mem::take(&mut report.tokens));
        self.parts.views.publish(report.view.clone(), false);
        let membership = report.membership.take();
        if let Some(membership) = &membership {
            self.parts.members.send(peers_of(membership));
        }
        let hashes = std::mem::take(&mut report.hashes);
        let verdicts = self.rebuilding.with_passed(std::mem::take(&mut report.verdicts));
        self.schedule_hashes(&report);
        self.tell_leases(std::mem::take(&mut report.leases));
        let replies = std::mem::take(&mut report.replies);
        apply_meter::note(&self.parts.gauges, &entries, &replies, &report.events, took);
        apply_meter::warn_of_slow(&self.parts.gauges, &entries, took, self.parts.pace.slow_apply);
        self.answer(&entries, &waiters, replies, (begun, took));
        self.tell_v2(&report.v2);
        let index = report.view.status.applied_index;
        self.signal(report);
        self.parts.core.advance(Advance::Applied(AppliedUpTo { sequence, index, verdicts, membership, hashes }));
        self.since_check += entries.len() as u64;
        if self.since_check >= self.parts.pace.durable_check && self.parts.flusher.try_send(ToFlusher::Flush).is_ok() {
            self.since_check = 0;
        }
        Ok(())
    }

    fn answer(
        &mut self,
        entries: &[Committed],
        waiters: &[Option<(SinkId, Token)>],
        replies: Vec<Option<(Origin, Applied)>>,
        times: (Instant, Duration),
    ) {
        let mut out = Outbox::default();
        let fenced = self.is_fenced();
        let is_traced = self.parts.gauges.traced_calls.load(Ordering::Relaxed) > 0;
        let mut told = Vec::new();
        for ((waiter, reply), committed) in waiters.iter().zip(replies).zip(entries) {
            let (Some((sink, token)), Some((_, applied))) = (waiter, reply) else { continue };
            let physical = physical_compaction(&applied, committed);
            if is_traced && !told.contains(sink) {
                told.push(*sink);
                out.push(*sink, Reply { token: Token::MAX, body: ReplyBody::AppliedBetween(times.0, times.1) });
            }
            // what it did here is not to be trusted
            let applied = if fenced && tells_of_data(&applied) { Err(RequestError::Timeout) } else { Ok(applied) };
            let answer = Reply { token: *token, body: ReplyBody::Applied(applied) };
            match physical {
                Some(revision) => self.physical.push(Physical { revision, sink: *sink, reply: answer }),
                None => out.push(*sink, answer),
            }
        }
        out.flush(&self.parts.sinks);
    }

    /// True while the data of this member is not that of the others: nobody hears what entries did here.
    fn is_fenced(&self) -> bool {
        self.parts.gauges.fenced.load(Ordering::Acquire)
    }

    /// Takes in what became of tokens. Those of an earlier run ended with it: what is replayed before service begins gives none.
    fn change_tokens(&self, changes: Vec<TokenChange>) {
        let serving = self.parts.gauges.serving.load(Ordering::Acquire);
        for change in changes {
            if serving || !matches!(change, TokenChange::Given { .. }) {
                self.parts.tokens.change(change, clock::since_boot());
            }
        }
    }

    /// Lets the hasher see what compactions are about to delete, before their callers are answered.
    fn schedule_hashes(&self, report: &Report<E::Snapshot>) {
        for &ScheduledCompaction { before, target } in &report.compactions {
            // without a place there HashKV at this revision is computed from what is left
            let _ = self.parts.hasher.try_send(CompactionScheduled { view: report.view.clone(), before, target });
        }
    }

    /// Counts what the v2 API did, and tells its watchers. What is replayed before service begins was counted by an earlier run.
    fn tell_v2(&self, applied: &[V2Applied]) {
        if applied.is_empty() || !self.parts.gauges.serving.load(Ordering::Acquire) {
            return;
        }
        let stats = &self.parts.gauges.v2;
        for V2Applied { operation, refused, events } in applied {
            stats.note(*operation, refused.as_ref());
            if *operation == Operation::Sync {
                stats.add(Count::Expired, *events);
            }
        }
        if applied.iter().any(|applied| applied.events > 0) {
            self.wake_v2_watchers();
        }
    }

    /// Tells the connection threads that the v2 tree has new events, if anybody watches. Whoever begins to watch counts himself first
    /// and reads the view then, so that one of the two sees the other.
    pub(crate) fn wake_v2_watchers(&self) {
        fence(Ordering::SeqCst);
        if self.parts.gauges.v2.watchers.load(Ordering::SeqCst) > 0 {
            self.parts.sinks.tell_all(|| ReplyBody::V2Changed);
        }
    }

    /// Tells the lease manager what changed.
    fn tell_leases(&self, changes: Vec<LeaseChange>) {
        if !changes.is_empty() {
            for change in &changes {
                if let LeaseChange::Granted { ttl, .. } = change {
                    self.parts.gauges.measured.lease_ttls.observe(Duration::from_secs(ttl.max(&0).unsigned_abs()));
                }
            }
            self.parts.gauges.lease_notices.fetch_add(1, Ordering::AcqRel);
            self.parts.leases.send(LeasesAdvanced { changes });
        }
    }

    /// Tells the watch hub what changed. It runs behind an unbounded mailbox, so what waits there is counted.
    fn signal(&mut self, report: Report<E::Snapshot>) {
        if !report.compactions.is_empty() {
            self.compacting = true;
            self.next_step = Instant::now();
        }
        // the view of these entries was there before: what it shows may be known
        let fenced = self.is_fenced();
        if !std::mem::replace(&mut self.silent, fenced) {
            self.shown = report.view.status.revision;
        }
        if self.silent {
            return;
        }
        if report.events.is_empty() && report.unlisted.is_empty() && report.compactions.is_empty() {
            return;
        }
        let bytes: usize = report.events.iter().map(|e| e.kv.len() + EVENT_OVERHEAD).sum();
        let fits = self.parts.hub_backlog.load(Ordering::Relaxed) + bytes <= self.parts.pace.hub_backlog;
        let listed = report.unlisted.is_empty() && !holds_oversized(&report.events, self.parts.pace.oversized_revision);
        let events = (fits && listed).then(|| by_revision(report.events));
        if events.is_some() {
            self.parts.hub_backlog.fetch_add(bytes, Ordering::Relaxed);
        }
        self.parts.hub.send(Advanced {
            revision: report.view.status.revision,
            compact_revision: report.view.status.compact_revision,
            events,
            restored: false,
        });
    }

    /// True while rows that compactions have forgotten wait to be deleted.
    pub fn compacting(&self) -> bool {
        self.compacting
    }

    /// One step of the compaction that is under way.
    ///
    /// # Errors
    /// [`ApplyFatal`]: the node must stop.
    pub fn compact(&mut self) -> Result<(), ApplyFatal> {
        let (begun, before) = (Instant::now(), self.store.state().history);
        let progress = self.store.compaction_step(self.parts.pace.compaction_rows)?;
        let deleted = before.zip(self.store.state().history).map_or(0, |(before, after)| before.log - after.log);
        let measured = &self.parts.gauges.measured;
        measured.compaction_steps.observe(begun.elapsed());
        measured.compacted.fetch_add(deleted.max(0) as u64, Ordering::Relaxed);
        let since = *self.compacting_since.get_or_insert(begun);
        self.next_step = Instant::now() + self.parts.pace.compaction_pause;
        let finished = match progress {
            CompactionProgress::More => return Ok(()),
            CompactionProgress::Finished(revision) => revision,
            CompactionProgress::Idle => i64::MAX,
        };
        self.compacting = progress != CompactionProgress::Idle;
        self.parts.views.publish(self.store.view(), false);
        self.compacting_since = None;
        if progress != CompactionProgress::Idle {
            self.parts.gauges.measured.compactions.observe(since.elapsed());
            self.parts.gauges.measured.last_compaction.store(clock::unix_seconds(), Ordering::Relaxed);
            tracing::info!("compact-revision" = finished, took = ?since.elapsed(), "finished scheduled compaction");
        }
        self.answer_compacted(finished);
        Ok(())
    }

    /// Answers who waits for a compaction up to `finished`.
    fn answer_compacted(&mut self, finished: i64) {
        let mut out = Outbox::default();
        let (done, waiting) = std::mem::take(&mut self.physical).into_iter().partition(|p| p.revision <= finished);
        self.physical = waiting;
        let done: Vec<Physical> = done;
        for Physical { sink, reply, .. } in done {
            out.push(sink, reply);
        }
        out.flush(&self.parts.sinks);
    }
}

/// The members and those that were removed, as the peer transport needs them.
pub fn peers_of(membership: &Membership) -> Peers {
    let members = membership.members.iter();
    let members = members.map(|(member, row)| PeerAddress { member: *member, urls: row.peer_urls.clone() }).collect();
    Peers { members, removed: membership.removed.clone() }
}

/// Whether an answer says something about keys or leases.
fn tells_of_data(applied: &Applied) -> bool {
    !matches!(applied.result, Ok(Outcome::Alarm(_) | Outcome::Members { .. } | Outcome::Auth(_) | Outcome::Done))
}

/// The revision of a compaction whose answer has to wait until its rows are gone.
fn physical_compaction(applied: &Applied, committed: &Committed) -> Option<i64> {
    if applied.result != Ok(Outcome::Compaction) {
        return None;
    }
    let envelope = Envelope::decode(&committed.entry.data).ok()?;
    match Command::decode(envelope.command).ok()? {
        Command::Compaction(request) if request.physical => Some(request.revision),
        _ => None,
    }
}

/// True when one revision has so many bytes of events that the hub would rather read them.
fn holds_oversized(events: &[StoreEvent], most: usize) -> bool {
    let mut revisions = events.chunk_by(|a, b| a.revision.main == b.revision.main);
    revisions.any(|r| r.len() > 1 && r.iter().map(|e| e.kv.len()).sum::<usize>() > most)
}

/// Events as the hub takes them: grouped by main revision.
pub(crate) fn by_revision(events: Vec<StoreEvent>) -> Arc<[WatchRevision]> {
    let mut out: Vec<WatchRevision> = Vec::new();
    for event in events {
        let revision = event.revision.main;
        let log = WatchEvent {
            delete: event.kind == Kind::Delete,
            create: event.kind == Kind::Create,
            key: event.key,
            kv: event.kv,
            superseded: (event.superseded.main, event.superseded.sub),
        };
        match out.last_mut() {
            Some(last) if last.revision == revision => last.events.push(log),
            _ => out.push(WatchRevision { revision, events: vec![log] }),
        }
    }
    out.into()
}
