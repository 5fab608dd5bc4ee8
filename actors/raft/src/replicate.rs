//! Sending the log to members: appends, and snapshots where the log no longer reaches.
//!
//! Flow control is the progress' business; this only obeys it. Must never wait: what storage cannot give now is
//! skipped.

use crate::message::{Append, Body};
use crate::node::Node;
use crate::progress::ProgressState;
use crate::storage::{Storage, StorageError};
use crate::trace::{Trace, TraceEvent, trace};
use crate::types::{EntryKind, Index, LogId, NodeId, payload_len};

impl<S: Storage, T: Trace> Node<S, T> {
    /// Visits all members but this one, ascending by id.
    pub(crate) fn for_each_peer(&mut self, mut visit: impl FnMut(&mut Self, NodeId)) {
        for position in 0..self.tracker.progress.len() {
            if let Some(peer) = self.tracker.progress.id_at(position)
                && peer != self.config.id
            {
                visit(self, peer);
            }
        }
    }

    /// Sends to all what they lack, and the commit index in any case.
    pub(crate) fn broadcast_append(&mut self) {
        self.for_each_peer(|node, peer| {
            node.maybe_send_append(peer, true);
        });
    }

    /// Tells all how far the log is committed now.
    pub(crate) fn broadcast_commit(&mut self) {
        if self.config.tell_probed_of_changes && self.is_change_committed() {
            self.for_each_peer(|node, peer| {
                if let Some(progress) = node.tracker.progress.get_mut(peer)
                    && progress.state == ProgressState::Probe
                {
                    progress.flow_paused = false;
                }
            });
        }
        self.broadcast_append();
    }

    /// The newest change of the membership that this leader has appended is committed, and not applied yet.
    fn is_change_committed(&mut self) -> bool {
        let index = self.pending_conf_index;
        if index <= self.log.applied() || index > self.log.committed() {
            return false;
        }
        // one that cannot be read now could not be sent either
        let entries = self.log.entries(index, 1).unwrap_or_default();
        entries.first().is_some_and(|entry| entry.index == index && entry.kind != EntryKind::Normal)
    }

    /// Sends one append to `peer` if flow control allows it; false if nothing was sent. Without entries only if
    /// `send_if_empty`.
    pub(crate) fn maybe_send_append(&mut self, peer: NodeId, send_if_empty: bool) -> bool {
        let Some(progress) = self.tracker.progress.get(peer) else {
            return false;
        };
        if progress.is_paused() {
            return false;
        }
        let next = progress.next;
        // With a full window only an empty append goes out: its answer tells what became of those in flight.
        let may_fill = progress.state != ProgressState::Replicate || !progress.inflights.is_full();
        let Ok(prev_term) = self.log.term(next - 1) else {
            return self.maybe_send_snapshot(peer);
        };
        let entries = if may_fill { self.log.entries(next, self.config.max_size_per_msg) } else { Ok(Vec::new()) };
        let entries = match entries {
            Ok(entries) if entries.is_empty() && !send_if_empty => return false,
            Ok(entries) => entries,
            Err(StorageError::TemporarilyUnavailable) => {
                self.wait_for_entries(peer, next);
                return false;
            }
            Err(_) => return send_if_empty && self.maybe_send_snapshot(peer),
        };
        let commit = self.log.committed();
        if let Some(progress) = self.tracker.progress.get_mut(peer) {
            progress.sent_entries(entries.len(), payload_len(&entries));
            progress.sent_commit(commit);
        }
        self.send(peer, Body::Append(Append { prev_index: next - 1, prev_term, commit, entries }));
        true
    }

    fn wait_for_entries(&mut self, peer: NodeId, from: Index) {
        trace!(self, TraceEvent::EntriesNotReady { peer, from });
        if let Some(progress) = self.tracker.progress.get_mut(peer) {
            progress.waits_for_entries = true;
        }
    }

    /// Goes on with peers whose entries were not in memory.
    pub(crate) fn resume_replication(&mut self) {
        if !self.is_leader() {
            return;
        }
        self.for_each_peer(|node, peer| {
            let waited = node.tracker.progress.get_mut(peer).is_some_and(|p| std::mem::take(&mut p.waits_for_entries));
            if waited {
                while node.maybe_send_append(peer, false) {}
            }
        });
    }

    fn maybe_send_snapshot(&mut self, peer: NodeId) -> bool {
        let Some(progress) = self.tracker.progress.get_mut(peer) else {
            return false;
        };
        if !progress.recent_active {
            trace!(self, TraceEvent::SnapshotToInactive { peer });
            return false;
        }
        let snapshot = match self.log.snapshot_for(peer) {
            Ok(snapshot) => snapshot,
            Err(StorageError::TemporarilyUnavailable) => {
                trace!(self, TraceEvent::SnapshotNotReady { peer });
                return false;
            }
            Err(why) => panic!("RI-7 a compacted log has a snapshot: {why}"),
        };
        assert!(!snapshot.is_empty(), "RI-7 a compacted log has a snapshot");
        let id = LogId { term: snapshot.meta.term, index: snapshot.meta.index };
        let (first, committed) = (self.log.first_index(), self.log.committed());
        trace!(self, TraceEvent::SentSnapshot { first, committed, snapshot: id, peer, progress });
        progress.become_snapshot(id.index);
        trace!(self, TraceEvent::PausedForSnapshot { peer, progress });
        self.send(peer, Body::Snapshot(Box::new(snapshot)));
        true
    }
}
