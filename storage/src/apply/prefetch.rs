//! Decoding entries and fetching the heads they will need, ahead of applying them: one multi-get while the log syncs.
//!
//! May be called for entries that are not committed yet and never will be. Must never change a result: what it decodes is
//! found again by term and index, what it fetches is what a look-up would find.

use super::decoded::{Decoded, decode, decode_envelope};
use super::slot::Slot;
use super::{ApplyFatal, StateMachine};
use crate::engine::{Engine, Family, Snapshot};
use bytes::Bytes;
use model::Command;
use model::request::{RequestUnion, TxnRequest};
use raft::{Entry, EntryKind, LogId};

fn txn_keys(txn: &TxnRequest, out: &mut Vec<Bytes>) {
    out.extend(txn.compare.iter().filter(|c| c.range_end.is_empty()).map(|c| c.key.clone()));
    for op in txn.success.iter().chain(&txn.failure) {
        match &op.request {
            Some(RequestUnion::Put(put)) => out.push(put.key.clone()),
            Some(RequestUnion::Range(r)) if r.range_end.is_empty() && r.revision <= 0 => out.push(r.key.clone()),
            Some(RequestUnion::DeleteRange(d)) if d.range_end.is_empty() => out.push(d.key.clone()),
            Some(RequestUnion::Txn(nested)) => txn_keys(nested, out),
            _ => {}
        }
    }
}

fn keys_of(command: &Command, out: &mut Vec<Bytes>) {
    match command {
        Command::Put(put) => out.push(put.key.clone()),
        Command::DeleteRange(delete) if delete.range_end.is_empty() => out.push(delete.key.clone()),
        Command::Txn(txn) => txn_keys(txn, out),
        _ => {}
    }
}

impl<E: Engine> StateMachine<E> {
    /// Gets ready for entries that will probably be applied next, in order. What cannot be decoded is left for
    /// [`Self::apply`] to refuse.
    ///
    /// # Errors
    /// [`ApplyFatal`] when the engine cannot read.
    pub fn prefetch<'a>(&mut self, entries: impl IntoIterator<Item = &'a Entry>) -> Result<(), ApplyFatal> {
        let mut keys = Vec::new();
        for entry in entries {
            let id = LogId { term: entry.term, index: entry.index };
            if entry.kind != EntryKind::Normal || entry.data.is_empty() || id.index <= self.now.applied.index {
                continue;
            }
            let at = self.decoded.partition_point(|d| d.id.index < id.index);
            if self.decoded.get(at).is_some_and(|d| d.id == id) {
                continue;
            }
            // What was announced from here on lost against another leader's entries.
            self.decoded.truncate(at);
            let Ok(envelope) = decode_envelope(id, &entry.data) else { continue };
            let Ok((caller, command)) = decode(id, &envelope.command) else { continue };
            keys_of(&command, &mut keys);
            self.decoded.push_back(Decoded { id, envelope, caller, command });
        }
        keys.retain(|key| !self.heads.contains_key(key));
        if keys.len() < 2 {
            return Ok(());
        }
        let refs: Vec<&[u8]> = keys.iter().map(|key| key.as_ref()).collect();
        let rows = self.snapshot.multi_get(Family::Cur, &refs)?;
        for (key, row) in keys.into_iter().zip(rows) {
            let slot = match row {
                Some(row) => Some(Slot::from_row(&row)?),
                None => None,
            };
            self.heads.insert(key, slot);
        }
        Ok(())
    }

    /// An entry, decoded earlier or now.
    pub(super) fn take_decoded(&mut self, entry: &Entry) -> Result<Decoded, ApplyFatal> {
        let id = LogId { term: entry.term, index: entry.index };
        while self.decoded.front().is_some_and(|d| d.id.index <= id.index) {
            match self.decoded.pop_front() {
                Some(first) if first.id == id => return Ok(first),
                _ => {}
            }
        }
        let envelope = decode_envelope(id, &entry.data)?;
        let (caller, command) = decode(id, &envelope.command)?;
        Ok(Decoded { id, envelope, caller, command })
    }
}
