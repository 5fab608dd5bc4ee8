//! What a transaction is going to write, before it writes anything: so that its ranges can be measured first.
//!
//! Key-values and heads are those that the writes will make; a version's place inside its transaction is not known here and
//! nobody asks for it. Must never be written to the engine.

use super::StateMachine;
use super::failure::Run;
use super::overlay::Written;
use super::rows::{head_of, key_value};
use super::slot::Slot;
use crate::engine::Engine;
use crate::read::overlay::Touched;
use crate::read::{Overlay, Pending};
use bytes::Bytes;
use model::request::{DeleteRangeRequest, PutRequest};
use model::{KeyRange, Revision};
use prost::Message;

/// The writes so far.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// Keys that were named. Their state is the newest.
    named: Written,
    /// Deleted with all their keys, but for those named since.
    gone: Vec<KeyRange>,
}

impl Overlay for Ahead {
    fn get(&self, key: &[u8]) -> Option<Pending<'_>> {
        self.named.get(key)
    }

    fn touched<'a>(&'a self, lower: &[u8], upper: Option<&[u8]>) -> Touched<'a> {
        self.named.touched(lower, upper)
    }

    fn hides(&self, key: &[u8]) -> bool {
        self.gone.iter().any(|range| range.contains(key))
    }

    fn is_empty(&self) -> bool {
        self.named.is_empty() && self.gone.is_empty()
    }
}

impl<E: Engine> StateMachine<E> {
    /// A key as it will be after the writes so far.
    pub(super) fn slot_ahead(&mut self, ahead: &Ahead, key: &Bytes) -> Run<Option<Slot>> {
        match ahead.named.slot(key) {
            Some(slot) => Ok(slot.cloned()),
            None if ahead.hides(key) => Ok(None),
            None => Ok(self.slot(key)?),
        }
    }

    /// One more put; it has been checked.
    pub(super) fn put_ahead(&mut self, ahead: &mut Ahead, put: &PutRequest) -> Run<()> {
        let old = self.slot_ahead(ahead, &put.key)?;
        let (value, lease) = self.settled(put, old.as_ref())?;
        let version = Revision::new(self.now.revision + 1, 0);
        let kv = key_value(put.key.clone(), value, lease, version, old.as_ref());
        let encoded = Bytes::from(kv.encode_to_vec());
        let slot = Slot { head: head_of(&kv, version, encoded.len()), kv: Some(encoded) };
        ahead.named.note(&put.key, old.is_some(), Some(slot));
        Ok(())
    }

    /// One more delete.
    pub(super) fn delete_ahead(&mut self, ahead: &mut Ahead, delete: &DeleteRangeRequest) -> Run<()> {
        let range = KeyRange::new(delete.key.clone(), delete.range_end.clone());
        if range.is_single() {
            let existed = self.slot_ahead(ahead, &delete.key)?.is_some();
            ahead.named.note(&delete.key, existed, None);
        } else if !range.is_empty() {
            ahead.named.delete(&range);
            ahead.gone.push(range);
        }
        Ok(())
    }
}
