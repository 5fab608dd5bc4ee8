//! What the soak has written, so that every answer and event can be checked.
//!
//! A value names its key and its sequence number and is otherwise computed from both. Must not trust the server for anything.

use crate::load::keys;
use crate::load::rng::Rng;
use api::mvccpb::{Event, EventType, KeyValue};
use bytes::{BufMut, Bytes, BytesMut};
use std::cell::{Cell, RefCell};
use std::ops::Range;

/// Key number, sequence number.
const HEAD: usize = 12;

/// Everything written so far. Each key has one writer, which writes sequence numbers 0, 1, 2 …
pub(super) struct Ledger {
    prefix: String,
    lease_base: i64,
    leases: u64,
    value_size: usize,
    sent: Vec<Cell<u32>>,
    acked: Vec<Cell<u32>>,
    /// Sum of `acked`: writes that were acknowledged, the first of each key aside.
    pub(super) writes: Cell<u64>,
    /// The greatest revision of any answer.
    pub(super) revision: Cell<i64>,
    /// From this revision on every key is there.
    pub(super) loaded: Cell<i64>,
    faults: RefCell<Faults>,
}

#[derive(Default)]
struct Faults {
    count: u64,
    first: Vec<String>,
}

/// Faults that are kept with their words.
const KEPT: usize = 20;

impl Ledger {
    /// For `keys` keys that nobody else writes.
    pub(super) fn new(keys: usize, leases: u64, value_size: usize, seed: u64) -> Self {
        let cells = || (0..keys).map(|_| Cell::new(0)).collect();
        Self {
            prefix: format!("soak/{:08x}/", seed as u32),
            // ids of the client's choice, all positive and far from those of other runs
            lease_base: ((seed & 0x3f_ffff) as i64 + 1) << 40,
            leases,
            value_size: value_size.max(HEAD),
            sent: cells(),
            acked: cells(),
            writes: Cell::new(0),
            revision: Cell::new(0),
            loaded: Cell::new(i64::MAX),
            faults: RefCell::default(),
        }
    }

    pub(super) fn keys(&self) -> usize {
        self.sent.len()
    }

    pub(super) fn key(&self, number: usize) -> Bytes {
        keys::named(&self.prefix, number as u64, self.prefix.len() + 8)
    }

    /// The key range of these numbers.
    pub(super) fn range(&self, numbers: &Range<usize>) -> (Bytes, Bytes) {
        let end =
            if numbers.end >= self.keys() { keys::prefix_end(self.prefix.as_bytes()) } else { self.key(numbers.end) };
        (self.key(numbers.start), end)
    }

    /// The lease of a key; zero: none.
    pub(super) fn lease(&self, number: usize) -> i64 {
        if (number as u64) < self.leases { self.lease_base + number as i64 } else { 0 }
    }

    pub(super) fn value(&self, number: usize, sequence: u32) -> Bytes {
        let mut value = BytesMut::with_capacity(self.value_size + 8);
        value.put_u64(number as u64);
        value.put_u32(sequence);
        let mut rng = Rng::new((number as u64) << 32 | u64::from(sequence));
        while value.len() < self.value_size {
            value.put_u64(rng.draw());
        }
        value.truncate(self.value_size);
        value.freeze()
    }

    /// The next write of a key begins.
    pub(super) fn send(&self, number: usize) -> u32 {
        let sequence = self.sent[number].get() + 1;
        self.sent[number].set(sequence);
        sequence
    }

    /// A write was acknowledged at this revision.
    pub(super) fn ack(&self, number: usize, sequence: u32, revision: i64) {
        self.acked[number].set(sequence);
        self.writes.set(self.writes.get() + 1);
        self.saw(revision);
    }

    pub(super) fn saw(&self, revision: i64) {
        self.revision.set(self.revision.get().max(revision));
    }

    pub(super) fn acked(&self, number: usize) -> u32 {
        self.acked[number].get()
    }

    /// Something is wrong; printed at once.
    pub(super) fn fault(&self, words: String) {
        let mut faults = self.faults.borrow_mut();
        faults.count += 1;
        if faults.first.len() < KEPT {
            eprintln!("FAULT: {words}");
            faults.first.push(words);
        }
    }

    pub(super) fn faults(&self) -> (u64, Vec<String>) {
        let faults = self.faults.borrow();
        (faults.count, faults.first.clone())
    }

    /// Checks a key-value by itself; returns key and sequence number.
    pub(super) fn check(&self, kv: &KeyValue) -> Result<(usize, u32), String> {
        let words = || format!("key {:?} at revision {}", String::from_utf8_lossy(&kv.key), kv.mod_revision);
        let head = kv.value.first_chunk::<HEAD>().ok_or_else(|| format!("{}: short value", words()))?;
        let number =
            u64::from_be_bytes([head[0], head[1], head[2], head[3], head[4], head[5], head[6], head[7]]) as usize;
        let sequence = u32::from_be_bytes([head[8], head[9], head[10], head[11]]);
        if number >= self.keys() || self.key(number) != kv.key {
            return Err(format!("{}: holds the value of key {number}", words()));
        }
        if self.value(number, sequence) != kv.value {
            return Err(format!("{}: damaged value", words()));
        }
        if kv.version != i64::from(sequence) + 1 {
            return Err(format!("{}: version {} with sequence {sequence}", words(), kv.version));
        }
        if kv.lease != self.lease(number) {
            return Err(format!("{}: lease {:x}", words(), kv.lease));
        }
        Ok((number, sequence))
    }

    /// Checks what a linearizable read of a key gave; `before` is what was acknowledged when it began.
    pub(super) fn check_read(&self, number: usize, before: u32, kv: Option<&KeyValue>) -> Result<(), String> {
        let kv = kv.ok_or_else(|| format!("key {number} is gone"))?;
        let (found, sequence) = self.check(kv)?;
        if found != number {
            return Err(format!("asked for key {number}, got key {found}"));
        }
        let sent = self.sent[number].get();
        if sequence < before || sequence > sent {
            return Err(format!("key {number}: read {sequence}, but {before} was acknowledged and {sent} sent"));
        }
        Ok(())
    }
}

/// What one watcher must see: every write of its keys, each once, in order.
pub(super) struct Seen {
    pub(super) numbers: Range<usize>,
    last: Vec<u32>,
    revision: i64,
    pub(super) events: u64,
}

impl Seen {
    pub(super) fn new(numbers: Range<usize>) -> Self {
        Self { last: vec![0; numbers.len()], numbers, revision: 0, events: 0 }
    }

    /// Checks the next event.
    pub(super) fn check(&mut self, ledger: &Ledger, event: &Event) -> Result<(), String> {
        let kv = event.kv.as_ref().ok_or("event without a key")?;
        if event.r#type == EventType::Delete as i32 {
            return Err(format!("key {:?} was deleted", String::from_utf8_lossy(&kv.key)));
        }
        let (number, sequence) = ledger.check(kv)?;
        let at = number.checked_sub(self.numbers.start).filter(|at| *at < self.last.len());
        let at = at.ok_or_else(|| format!("event of key {number} outside of {:?}", self.numbers))?;
        if kv.mod_revision <= self.revision {
            return Err(format!("event of revision {} after {}", kv.mod_revision, self.revision));
        }
        if sequence != self.last[at] + 1 {
            return Err(format!("key {number}: event {sequence} after {}", self.last[at]));
        }
        self.last[at] = sequence;
        self.revision = kv.mod_revision;
        self.events += 1;
        Ok(())
    }

    /// Acknowledged writes whose events have not come.
    pub(super) fn missing(&self, ledger: &Ledger) -> u64 {
        let numbers = self.numbers.clone().zip(&self.last);
        numbers.map(|(number, last)| u64::from(ledger.acked(number).saturating_sub(*last))).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kv(ledger: &Ledger, number: usize, sequence: u32, revision: i64) -> KeyValue {
        KeyValue {
            key: ledger.key(number),
            value: ledger.value(number, sequence),
            mod_revision: revision,
            version: i64::from(sequence) + 1,
            lease: ledger.lease(number),
            ..Default::default()
        }
    }

    fn event(ledger: &Ledger, number: usize, sequence: u32, revision: i64) -> Event {
        Event { kv: Some(kv(ledger, number, sequence, revision)), ..Default::default() }
    }

    #[test]
    fn what_a_good_server_says_passes() {
        let ledger = Ledger::new(10, 5, 64, 99);
        for revision in 1..=20 {
            let number = revision as usize % 10;
            let sequence = ledger.send(number);
            ledger.ack(number, sequence, revision);
        }
        ledger.check_read(3, 2, Some(&kv(&ledger, 3, 2, 13))).unwrap();
        let mut seen = Seen::new(2..5);
        for revision in [2, 3, 4, 12, 13, 14] {
            seen.check(&ledger, &event(&ledger, revision as usize % 10, revision as u32 / 10 + 1, revision)).unwrap();
        }
        assert_eq!((seen.missing(&ledger), seen.events), (0, 6));
    }

    #[test]
    fn lies_are_found() {
        let ledger = Ledger::new(10, 5, 64, 99);
        for _ in 0..3 {
            let sequence = ledger.send(1);
            ledger.ack(1, sequence, i64::from(sequence) + 10);
        }
        let said = |kv: Option<&KeyValue>| ledger.check_read(1, 3, kv).unwrap_err();
        assert!(said(None).contains("gone"));
        assert!(said(Some(&kv(&ledger, 1, 2, 12))).contains("read 2, but 3"));
        assert!(said(Some(&kv(&ledger, 1, 4, 14))).contains("3 sent"));
        assert!(said(Some(&kv(&ledger, 2, 3, 13))).contains("got key 2"));
        assert!(said(Some(&KeyValue { lease: 1, ..kv(&ledger, 1, 3, 13) })).contains("lease"));
        assert!(said(Some(&KeyValue { version: 9, ..kv(&ledger, 1, 3, 13) })).contains("version 9"));
        let mut bytes = ledger.value(1, 3).to_vec();
        bytes[40] ^= 1;
        assert!(said(Some(&KeyValue { value: bytes.into(), ..kv(&ledger, 1, 3, 13) })).contains("damaged"));

        let mut seen = Seen::new(0..5);
        seen.check(&ledger, &event(&ledger, 1, 1, 11)).unwrap();
        assert!(seen.check(&ledger, &event(&ledger, 1, 3, 13)).unwrap_err().contains("event 3 after 1"));
        assert!(seen.check(&ledger, &event(&ledger, 1, 2, 11)).unwrap_err().contains("revision 11 after 11"));
        assert!(seen.check(&ledger, &event(&ledger, 7, 1, 20)).unwrap_err().contains("outside"));
        assert_eq!(seen.missing(&ledger), 2);
    }
}
