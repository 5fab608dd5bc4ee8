//! The raft core's queues and their order: completions, ticks, control, peer control, peer data, reads, proposals.
//!
//! Hides that they are crossbeam channels with one bell. A later class never delays an earlier one by more than
//! [`TAKE_PER_TURN`] lists.

use crate::limits::{
    COMPLETIONS, CONTROLS, DURABLES_IN_FLIGHT, LOG_READS, PEER_REPORTS, PROPOSAL_LISTS, READ_LISTS, RECEIVES,
    SNAPSHOT_NOTICES, STAGED_STORES, TAKE_PER_TURN, TICKS, VITALS,
};
use crate::wiring::advance::Advance;
use crate::wiring::log::LogRead;
use crate::wiring::peers::PeerReport;
use crate::wiring::snapshots::{SnapshotNotice, SnapshotStaged};
use crate::wiring::tick::Tick;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use messages::admin::Control;
use messages::peer::Vitals;
use messages::ports::{Bell, CorePort};
use messages::propose::Propose;
use messages::read::ReadIndex;
use messages::receive::Receive;
use raft::NodeId;

/// Receiving ends.
pub struct Inbox {
    woken: Receiver<()>,
    pub(crate) advance: Receiver<Advance>,
    pub(crate) durable: Receiver<Advance>,
    pub(crate) log: Receiver<LogRead>,
    pub(crate) snapshots: Receiver<SnapshotNotice>,
    pub(crate) staged: Receiver<SnapshotStaged>,
    pub(crate) reports: Receiver<PeerReport>,
    pub(crate) vitals: Receiver<(NodeId, Vitals)>,
    pub(crate) tick: Receiver<Tick>,
    pub(crate) control: Receiver<Control>,
    pub(crate) peer_control: Receiver<Receive>,
    pub(crate) peer_data: Receiver<Receive>,
    pub(crate) read: Receiver<ReadIndex>,
    pub(crate) propose: Receiver<Propose>,
}

/// Sending ends of owners inside the node. What is frequent rings; what is rare, and may be said by somebody who holds a lock of his own,
/// wakes the core's thread.
#[derive(Clone)]
pub struct InnerPort {
    bell: Bell,
    advance: Sender<Advance>,
    durable: Sender<Advance>,
    log: Sender<LogRead>,
    snapshots: Sender<SnapshotNotice>,
    staged: Sender<SnapshotStaged>,
    reports: Sender<PeerReport>,
    vitals: Sender<(NodeId, Vitals)>,
    tick: Sender<Tick>,
    peer_control: Sender<Receive>,
    peer_data: Sender<Receive>,
}

impl InnerPort {
    /// Reports a completion.
    ///
    /// # Panics
    /// When the queue is full: credits make that impossible (AI-CREDITS).
    pub fn advance(&self, completion: Advance) {
        match self.advance.try_send(completion) {
            Err(TrySendError::Full(_)) => panic!("AI-CREDITS: more completions than work was handed out"),
            Err(TrySendError::Disconnected(_)) | Ok(()) => self.bell.ring(),
        }
    }

    /// Reports how far the store is durable. Only a notice: one that meets a full queue is repeated with the next flush.
    pub fn durable(&self, notice: Advance) {
        if self.durable.try_send(notice).is_ok() {
            self.bell.wake();
        }
    }

    /// Hands over what was read of the log.
    ///
    /// # Panics
    /// When the queue is full: no more reads are asked for than it holds (AI-CREDITS).
    pub fn log_read(&self, read: LogRead) {
        match self.log.try_send(read) {
            Err(TrySendError::Full(_)) => panic!("AI-CREDITS: more reads of the log than were asked for"),
            Err(TrySendError::Disconnected(_)) | Ok(()) => self.bell.wake(),
        }
    }

    /// What became of a checkpoint or a transfer.
    ///
    /// # Panics
    /// When the queue is full: no more is ordered than it holds (AI-CREDITS).
    pub fn snapshot(&self, notice: SnapshotNotice) {
        match self.snapshots.try_send(notice) {
            Err(TrySendError::Full(_)) => panic!("AI-CREDITS: more ends of snapshots than beginnings"),
            Err(TrySendError::Disconnected(_)) | Ok(()) => self.bell.wake(),
        }
    }

    /// Hands over a store that was received. One that meets a full queue, or a core that has ended, is given back.
    ///
    /// # Errors
    /// The store.
    pub fn staged(&self, staged: SnapshotStaged) -> Result<(), Box<SnapshotStaged>> {
        self.staged.try_send(staged).map_err(|refused| Box::new(refused.into_inner()))?;
        self.bell.wake();
        Ok(())
    }

    /// Reports something of a peer; dropped when the core has too much to do.
    pub fn report(&self, report: PeerReport) {
        if self.reports.try_send(report).is_ok() {
            self.bell.wake();
        }
    }

    /// Tells how a peer is. The core looks at it with the next tick; dropped when it has too much to do.
    pub fn vitals(&self, from: NodeId, vitals: Vitals) {
        // the next notice is never far
        let _ = self.vitals.try_send((from, vitals));
    }

    /// Lets time pass. A tick that meets a full queue is given back to be merged into the next one.
    pub fn tick(&self, tick: Tick) -> Result<(), Tick> {
        self.tick.try_send(tick).map_err(TrySendError::into_inner)?;
        self.bell.ring();
        Ok(())
    }

    /// Hands over messages of a peer; false when they were dropped.
    pub fn receive(&self, messages: Receive, control: bool) -> bool {
        let queue = if control { &self.peer_control } else { &self.peer_data };
        let taken = queue.try_send(messages).is_ok();
        self.bell.ring();
        taken
    }
}

impl Inbox {
    /// The queues: receiving ends, ends for clients, ends for owners.
    pub fn new() -> (Self, CorePort, InnerPort) {
        let (bell, woken) = Bell::new();
        let (advance, advance_in) = bounded(COMPLETIONS);
        let (durable, durable_in) = bounded(DURABLES_IN_FLIGHT);
        let (log, log_in) = bounded(LOG_READS);
        let (snapshots, snapshots_in) = bounded(SNAPSHOT_NOTICES);
        let (staged, staged_in) = bounded(STAGED_STORES);
        let (reports, reports_in) = bounded(PEER_REPORTS);
        let (vitals, vitals_in) = bounded(VITALS);
        let (tick, tick_in) = bounded(TICKS);
        let (control, control_in) = bounded(CONTROLS);
        let (peer_control, peer_control_in) = bounded(RECEIVES);
        let (peer_data, peer_data_in) = bounded(RECEIVES);
        let (read, read_in) = bounded(READ_LISTS);
        let (propose, propose_in) = bounded(PROPOSAL_LISTS);
        let inbox = Self {
            woken,
            advance: advance_in,
            durable: durable_in,
            log: log_in,
            snapshots: snapshots_in,
            staged: staged_in,
            reports: reports_in,
            vitals: vitals_in,
            tick: tick_in,
            control: control_in,
            peer_control: peer_control_in,
            peer_data: peer_data_in,
            read: read_in,
            propose: propose_in,
        };
        let port = CorePort { propose, read, control, bell: bell.clone() };
        let inner = InnerPort {
            bell,
            advance,
            durable,
            log,
            snapshots,
            staged,
            reports,
            vitals,
            tick,
            peer_control,
            peer_data,
        };
        (inbox, port, inner)
    }

    /// What the owner's thread sleeps on.
    pub(super) fn woken(&self) -> Receiver<()> {
        self.woken.clone()
    }

    /// Whether lists were left behind by a turn that took its share.
    pub fn has_more(&self) -> bool {
        !self.propose.is_empty() || !self.read.is_empty() || !self.peer_data.is_empty() || !self.peer_control.is_empty()
    }

    /// Whether anything waits at all.
    pub fn has_work(&self) -> bool {
        self.has_more()
            || !self.advance.is_empty()
            || !self.durable.is_empty()
            || !self.log.is_empty()
            || !self.snapshots.is_empty()
            || !self.staged.is_empty()
            || !self.reports.is_empty()
            || !self.tick.is_empty()
            || !self.control.is_empty()
    }

    /// Up to [`TAKE_PER_TURN`] lists of a class.
    pub fn take<T>(queue: &Receiver<T>) -> impl Iterator<Item = T> + '_ {
        queue.try_iter().take(TAKE_PER_TURN)
    }
}
