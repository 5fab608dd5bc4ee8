//! Handing work out and taking its completions back.
//!
//! There are four things to take: messages and granted reads, which can leave at any time, an append for the log and an
//! apply for the state machine, which the shell takes when it has room for them. Each is handed out once; must never hand
//! out a promise (vote, acknowledgement) before the state it is about is on its way to the disk in the same or an earlier
//! append.

use crate::message::Message;
use crate::node::Node;
use crate::ready::{Append, AppliedToken, Apply, PersistedToken, Ready};
use crate::storage::Storage;
use crate::trace::{Trace, TraceEvent, trace};
use crate::types::{HardState, ReadState, encoded_len, payload_len};

impl<S: Storage, T: Trace> Node<S, T> {
    /// Whether [`ready`](Self::ready) has anything to say. Cheap.
    pub fn has_ready(&self) -> bool {
        !self.messages.is_empty()
            || !self.after_append.is_empty()
            || !self.read_states.is_empty()
            || self.soft_state() != self.previous_soft
            || self.hard_state_is_due()
            || self.log.has_next_unstable()
            || self.log.has_next_committed(!self.config.async_storage_writes)
    }

    /// Takes messages to other members, to be sent at once. Neither a full disk queue nor a slow state machine may keep
    /// them: they carry signs of life, requests for votes and answers to heartbeats. Order per receiver should be kept.
    pub fn take_messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages)
    }

    /// Takes the reads granted since the last call.
    pub fn take_reads(&mut self) -> Vec<ReadState> {
        std::mem::take(&mut self.read_states)
    }

    /// Takes everything there is to do at once: the four takes, and whether leader or role changed. For shells that carry
    /// a whole out before they take the next one. With `async_storage_writes`, parts are carried out independently and
    /// completed by [`on_persisted`](Self::on_persisted) and [`on_applied`](Self::on_applied); otherwise the whole is
    /// carried out (append, then apply, then responses) and completed by [`advance`](Self::advance) before the next
    /// one is taken.
    pub fn ready(&mut self) -> Ready {
        let mut ready = Ready { messages: self.take_messages(), ..Ready::default() };
        let soft = self.soft_state();
        if soft != self.previous_soft {
            ready.soft_state = Some(soft);
            self.previous_soft = soft;
        }
        ready.read_states = self.take_reads();
        // Entries to apply are chosen before the unstable ones are accepted, as both look at the same log.
        ready.apply = self.take_apply();
        ready.append = self.take_append();
        ready
    }

    /// Says that an append, and all before it, are durable. Tokens come back in the order in which they were handed
    /// out.
    pub fn on_persisted(&mut self, token: PersistedToken) {
        self.persisted(token, true);
        self.check_invariants();
    }

    /// Says that entries are applied. Tokens come back in the order in which they were handed out.
    pub fn on_applied(&mut self, token: AppliedToken) {
        self.applied_to(token.index, token.encoded);
        self.uncommitted_size = self.uncommitted_size.saturating_sub(token.payload);
        self.take_deferred_snapshot();
        self.check_invariants();
    }

    /// Completes a whole [`Ready`] in synchronous mode.
    pub fn advance(&mut self, append: Option<PersistedToken>, apply: Option<AppliedToken>) {
        assert!(!self.config.async_storage_writes, "RI-10 advance belongs to synchronous storage writes only");
        if let Some(token) = append {
            self.persisted(token, false);
        }
        if let Some(token) = apply {
            self.on_applied(token);
        }
        self.check_invariants();
    }

    /// Says that entries which were [`TemporarilyUnavailable`](crate::StorageError::TemporarilyUnavailable) can be
    /// read now: what waited for them goes on.
    pub fn on_entries_loaded(&mut self) {
        self.log.resume_apply();
        self.resume_replication();
        self.check_invariants();
    }

    /// Takes committed entries to be applied, if there are any and fewer bytes are being applied than the configuration
    /// allows.
    pub fn take_apply(&mut self) -> Option<Apply> {
        let allow_unstable = !self.config.async_storage_writes;
        let entries = self.log.next_committed(allow_unstable);
        let index = entries.last()?.index;
        let token = AppliedToken { index, encoded: encoded_len(&entries), payload: payload_len(&entries) };
        self.log.accept_applying(index, token.encoded, allow_unstable);
        Some(Apply { entries, token })
    }

    /// Whether term, vote or commit alone are worth an append.
    fn hard_state_is_due(&self) -> bool {
        let (hard, previous) = (self.hard_state(), self.previous_hard);
        let moved = (hard.term, hard.vote) != (previous.term, previous.vote);
        moved || self.commit_due || (hard.commit != previous.commit && !self.config.lazy_commit)
    }

    /// Takes what is to be written to the log, if there is anything, with the promises to be released once it is durable.
    pub fn take_append(&mut self) -> Option<Append> {
        if !self.log.has_next_unstable() && !self.hard_state_is_due() && self.after_append.is_empty() {
            return None;
        }
        let hard = self.hard_state();
        let previous = std::mem::replace(&mut self.previous_hard, hard);
        let commit_due = std::mem::take(&mut self.commit_due);
        let hard_state: Option<HardState> = (hard != previous || commit_due).then_some(hard);
        let (entries, snapshot) = self.log.take_unstable();
        let must_sync = !entries.is_empty() || commit_due || hard.vote != previous.vote || hard.term != previous.term;
        if must_sync {
            self.synced_commit = hard.commit;
        }
        let (responses, local) = self.split_after_append();
        let token = PersistedToken {
            sequence: self.appends_out,
            term: self.term,
            stable: self.log.has_unstable_entries().then(|| self.log.last_id()),
            snapshot: snapshot.as_ref().map(|s| s.meta.index),
            local,
        };
        self.appends_out += 1;
        Some(Append { hard_state, entries, snapshot, must_sync, responses, token })
    }

    fn split_after_append(&mut self) -> (Vec<Message>, Vec<(usize, Message)>) {
        let (mut responses, mut local) = (Vec::new(), Vec::new());
        for message in self.after_append.drain(..) {
            if message.to == self.config.id {
                local.push((responses.len(), message));
            } else {
                responses.push(message);
            }
        }
        (responses, local)
    }

    /// With `merge`, of several own acknowledgements in a row only the last is handled: it covers the others.
    fn persisted(&mut self, token: PersistedToken, merge: bool) {
        if token.is_acknowledgement() {
            assert!(
                token.sequence >= self.appends_back,
                "RI-9 appends complete in the order in which they were handed out"
            );
            self.appends_back = token.sequence + 1;
        }
        let mut local = token.local.into_iter().map(|(_, message)| message).peekable();
        while let Some(message) = local.next() {
            let covered = merge && local.peek().is_some_and(|next| covers(next, &message));
            if !covered {
                // An own promise may be outdated by now (removed, other term); the rules for stale messages drop it.
                let _ = self.handle(message);
            }
        }
        if token.term < self.term {
            if token.stable.is_some() {
                trace!(self, TraceEvent::IgnoredStaleAppend { term: self.term, append_term: token.term });
            }
        } else if let Some(id) = token.stable {
            let outcome = self.log.stable_to(id);
            self.trace_stable(id, outcome);
        }
        // A snapshot is committed state: it stays applied whatever the term is by now.
        if let Some(index) = token.snapshot {
            self.log.stable_snapshot_to(index);
            self.applied_to(index, 0);
        }
    }
}

/// Whether handling `later` alone has the same effect as handling `earlier` before it.
fn covers(later: &Message, earlier: &Message) -> bool {
    use crate::message::Body::AppendAccepted;
    match (&later.body, &earlier.body) {
        (AppendAccepted { index: new }, AppendAccepted { index: old }) => later.term == earlier.term && new >= old,
        _ => false,
    }
}
