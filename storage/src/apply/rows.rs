//! What one put and one delete of one key do to the rows.
//!
//! The key-value is encoded once: `log`, `cur`, event and previous key-value share its bytes. Must never decide whether a
//! write is allowed.

use super::slot::Slot;
use super::{StateMachine, StoreEvent};
use crate::engine::{Engine, Family};
use crate::schema::{Head, HistRow, INLINE_MAX, Kind, LogRow, hist_key_into, meta};
use bytes::{BufMut, Bytes};
use model::{KeyValue, Revision};
use prost::Message;

/// Logical bytes of a row in `cur`.
fn cur_len(key: usize, kv: usize) -> i64 {
    (key + Head::LEN + if kv <= INLINE_MAX { kv } else { 0 }) as i64
}

/// The key-value that a put makes of a key. `old` is its slot before.
pub(super) fn key_value(key: Bytes, value: Bytes, lease: i64, version: Revision, old: Option<&Slot>) -> KeyValue {
    let (create_revision, count) = old.map_or((version.main, 1), |slot| (slot.head.create, slot.head.version + 1));
    KeyValue { key, create_revision, mod_revision: version.main, version: count, value, lease }
}

/// Head of a key-value that is `len` bytes when encoded.
pub(super) fn head_of(kv: &KeyValue, version: Revision, len: usize) -> Head {
    Head { create: kv.create_revision, modified: version, version: kv.version, lease: kv.lease, len: len as u32 }
}

impl<E: Engine> StateMachine<E> {
    /// The version that the next write of the entry at hand makes.
    fn next_version(&mut self) -> Revision {
        let version = Revision::new(self.now.revision + 1, self.sub);
        self.sub += 1;
        version
    }

    /// Writes a key. `old` is its slot before.
    pub(super) fn put_key(&mut self, key: Bytes, value: Bytes, lease: i64, old: Option<&Slot>) {
        let version = self.next_version();
        let kind = if old.is_some() { Kind::Update } else { Kind::Create };
        let kv = key_value(key.clone(), value, lease, version, old);
        let encoded = self.log_row(version, kind, old, &kv);
        let head = head_of(&kv, version, encoded.len());
        match old {
            Some(slot) => self.supersede(&key, &slot.head),
            None => {
                self.now.keys += 1;
                self.created.push(key.clone());
            }
        }
        let room = Head::LEN + encoded.len().min(INLINE_MAX);
        let row = self.batch.cut(room, |out| head.encode_into(&encoded, out));
        self.batch.put(Family::Cur, key.clone(), row);
        self.now.cur_bytes += cur_len(key.len(), encoded.len());
        self.now.live_log_bytes += LogRow::bytes(encoded.len());
        self.reattach(&key, old.map_or(0, |slot| slot.head.lease), lease);
        self.note(key, old.is_some(), Some(Slot { head, kv: Some(encoded) }));
    }

    /// Deletes a living key.
    pub(super) fn delete_key(&mut self, key: Bytes, old: &Slot) {
        let version = self.next_version();
        let kv = KeyValue { key: key.clone(), mod_revision: version.main, ..Default::default() };
        self.log_row(version, Kind::Delete, Some(old), &kv);
        self.supersede(&key, &old.head);
        self.hist_row(&key, version, HistRow { kind: Kind::Delete, create: 0, version: 0, lease: 0 });
        self.batch.delete(Family::Cur, key.clone());
        self.now.keys -= 1;
        self.deleted.push(key.clone());
        self.reattach(&key, old.head.lease, 0);
        self.note(key, true, None);
    }

    /// Writes the version into `log` and notes its event. Returns the encoded key-value.
    fn log_row(&mut self, version: Revision, kind: Kind, old: Option<&Slot>, kv: &KeyValue) -> Bytes {
        let len = kv.encoded_len();
        let mut row = Vec::with_capacity(LogRow::HEAD + len);
        let (superseded, superseded_len) = old.map_or_else(Default::default, |old| (old.head.modified, old.head.len));
        LogRow::encode_head(kind, superseded, superseded_len, &mut row);
        kv.encode_raw(&mut row);
        let row = Bytes::from(row);
        let encoded = row.slice(LogRow::HEAD..);
        let name = self.batch.cut(Revision::LEN, |out| out.put_slice(&version.to_bytes()));
        self.batch.put(Family::Log, name, row);
        self.now.log_bytes += LogRow::bytes(len);
        if let Some(history) = &mut self.now.history {
            history.log += 1;
        }
        self.changes.wrote(version, kind, &kv.key, LogRow::HEAD + len);
        if !self.chunked {
            // The key is the first field: one byte of tag, its length as a varint, then itself.
            let at = 1 + prost::encoding::encoded_len_varint(kv.key.len() as u64);
            let key = encoded.slice(at..at + kv.key.len());
            self.effects.events.push(StoreEvent { revision: version, kind, superseded, key, kv: encoded.clone() });
        }
        encoded
    }

    /// The newest version so far becomes history.
    fn supersede(&mut self, key: &Bytes, old: &Head) {
        let kind = if old.version == 1 { Kind::Create } else { Kind::Update };
        let row = HistRow { kind, create: old.create, version: old.version, lease: old.lease };
        self.hist_row(key, old.modified, row);
        self.now.cur_bytes -= cur_len(key.len(), old.len as usize);
        self.now.live_log_bytes -= LogRow::bytes(old.len as usize);
    }

    fn hist_row(&mut self, key: &Bytes, version: Revision, row: HistRow) {
        let room = 2 * key.len() + 2 + Revision::LEN;
        let name = self.batch.cut(room, |out| hist_key_into(key, version, out));
        let value = self.batch.cut(HistRow::LEN, |out| row.encode_into(out));
        if let Some(history) = &mut self.now.history {
            history.hist += 1;
            history.hist_bytes += (name.len() + value.len()) as i64;
        }
        self.batch.put(Family::Hist, name, value);
    }

    fn reattach(&mut self, key: &Bytes, old: i64, new: i64) {
        if old == new {
            return;
        }
        if old != 0 {
            self.reattached.insert(old);
            self.batch.delete(Family::Meta, meta::attached(old, key).into());
        }
        if new != 0 {
            self.reattached.insert(new);
            self.batch.put(Family::Meta, meta::attached(new, key).into(), Bytes::new());
        }
    }

    /// Remembers the newest version of a key for the rest of the batch.
    fn note(&mut self, key: Bytes, existed: bool, slot: Option<Slot>) {
        if let Some(written) = &mut self.written {
            written.note(&key, existed, slot.clone());
        }
        self.heads.insert(key, slot);
    }
}
