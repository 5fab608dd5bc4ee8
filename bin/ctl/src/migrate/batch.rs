//! Changes that are written to the destination in one transaction, and which may be together in one.
//!
//! Pure. A revision of the source is never torn apart when it fits into one transaction. Must never put two changes of one key
//! into a batch, nor the keys of two sessions: locks and elections go by the revision in which a key was created.

use super::state;
use bytes::Bytes;
use std::collections::HashSet;

/// Bytes that a change costs beside its key and value.
const OVERHEAD: usize = 32;

/// What happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It was written, with the source's lease or 0.
    Put {
        /// The value.
        value: Bytes,
        /// The lease.
        lease: i64,
    },
    /// It was deleted.
    Delete,
    /// Nothing that is to be copied; its revision counts.
    Nothing,
}

/// One change of a key at a revision of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Revision of the source: what may not be reordered.
    pub revision: i64,
    /// The key.
    pub key: Bytes,
    /// What happened.
    pub kind: Kind,
}

impl Change {
    /// A put; one of the reserved key is none.
    pub fn put(revision: i64, key: Bytes, value: Bytes, lease: i64) -> Self {
        let kind = if key == state::KEY { Kind::Nothing } else { Kind::Put { value, lease } };
        Self { revision, key, kind }
    }

    /// A deletion; one of the reserved key is none.
    pub fn delete(revision: i64, key: Bytes) -> Self {
        let kind = if key == state::KEY { Kind::Nothing } else { Kind::Delete };
        Self { revision, key, kind }
    }

    /// That there is nothing up to a revision.
    pub fn nothing(revision: i64) -> Self {
        Self { revision, key: Bytes::new(), kind: Kind::Nothing }
    }

    fn size(&self) -> usize {
        match &self.kind {
            Kind::Put { value, .. } => self.key.len() + value.len() + OVERHEAD,
            Kind::Delete => self.key.len() + OVERHEAD,
            Kind::Nothing => 0,
        }
    }

    /// Whether it is a key of a lock, an election or a barrier: those end with the lease of the session that waits.
    pub fn is_of_session(&self) -> bool {
        let Kind::Put { lease, .. } = self.kind else { return false };
        lease != 0 && self.key.ends_with(format!("{lease:x}").as_bytes())
    }
}

/// What a transaction may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Operations, without the one that writes the state.
    pub ops: usize,
    /// Bytes.
    pub bytes: usize,
    /// Whether each revision of the source gets a transaction of its own.
    pub exact: bool,
}

/// See the file header.
#[derive(Debug)]
pub struct Batch {
    limits: Limits,
    /// In the order in which they happened.
    pub changes: Vec<Change>,
    keys: HashSet<Bytes>,
    ops: usize,
    bytes: usize,
    /// Revision of the session keys in it.
    session: Option<i64>,
}

impl Batch {
    /// An empty one.
    pub fn new(limits: Limits) -> Self {
        Self { limits, changes: Vec::new(), keys: HashSet::new(), ops: 0, bytes: 0, session: None }
    }

    /// Whether nothing is in it, not even a revision without changes.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Whether these changes of one revision can be added, all of them.
    pub fn fits(&self, group: &[Change]) -> bool {
        let Some(first) = group.first() else { return true };
        let written = group.iter().filter(|change| change.kind != Kind::Nothing).count();
        let other_revision = self.changes.last().is_some_and(|last| last.revision != first.revision);
        let second_session =
            self.session.is_some_and(|revision| revision != first.revision) && group.iter().any(Change::is_of_session);
        self.ops + written <= self.limits.ops
            && self.bytes + group.iter().map(Change::size).sum::<usize>() <= self.limits.bytes
            && !(self.limits.exact && self.ops > 0 && written > 0 && other_revision)
            && !second_session
            && !group.iter().any(|change| change.kind != Kind::Nothing && self.keys.contains(&change.key))
    }

    /// How many changes from the beginning of a group fit into an empty batch: at least one, however large it is.
    pub fn part_that_fits(limits: Limits, group: &[Change]) -> usize {
        let mut batch = Self::new(limits);
        for change in group {
            if !batch.fits(std::slice::from_ref(change)) {
                break;
            }
            batch.add([change.clone()]);
        }
        batch.changes.len().max(1)
    }

    /// Adds changes of one revision.
    pub fn add(&mut self, group: impl IntoIterator<Item = Change>) {
        for change in group {
            if change.kind != Kind::Nothing {
                self.ops += 1;
                self.bytes += change.size();
                self.keys.insert(change.key.clone());
            }
            if change.is_of_session() {
                self.session = Some(change.revision);
            }
            self.changes.push(change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { ops: 3, bytes: 400, exact: false };

    fn put(revision: i64, key: &'static str, lease: i64) -> Change {
        Change::put(revision, Bytes::from_static(key.as_bytes()), Bytes::from_static(b"v"), lease)
    }

    fn with(limits: Limits, changes: &[Change]) -> Batch {
        let mut batch = Batch::new(limits);
        batch.add(changes.iter().cloned());
        batch
    }

    #[test]
    fn revisions_are_merged_until_a_limit_or_a_key_that_comes_again() {
        let batch = with(LIMITS, &[put(5, "a", 0), put(6, "b", 0)]);
        assert!(batch.fits(&[put(7, "c", 0)]));
        assert!(!batch.fits(&[put(7, "c", 0), put(7, "d", 0)]), "four operations");
        assert!(!batch.fits(&[put(7, "a", 0)]), "a key that is there");
        assert!(!batch.fits(&[Change::delete(7, Bytes::from_static(b"b"))]), "a key that is there");
        let large = Change::put(7, Bytes::from_static(b"l"), vec![0; 400].into(), 0);
        assert!(!batch.fits(&[large]), "too many bytes");
    }

    #[test]
    fn each_revision_has_its_own_transaction_when_that_is_asked_for() {
        let batch = with(Limits { exact: true, ..LIMITS }, &[put(5, "a", 0)]);
        assert!(batch.fits(&[put(5, "b", 0)]));
        assert!(!batch.fits(&[put(6, "b", 0)]));
        assert!(batch.fits(&[Change::nothing(6)]), "what writes nothing costs no revision");
    }

    #[test]
    fn two_that_wait_for_a_lock_are_not_created_at_once() {
        let batch = with(LIMITS, &[put(5, "lock/3a", 0x3a)]);
        assert!(!batch.fits(&[put(6, "lock/3b", 0x3b)]));
        assert!(batch.fits(&[put(6, "other", 0x3b)]));
        assert!(batch.fits(&[put(5, "lock/3b", 0x3b)]), "they were created at once");
    }

    #[test]
    fn the_reserved_key_is_not_copied_but_its_revision_counts() {
        let skipped = Change::put(9, state::KEY, Bytes::from_static(b"{}"), 0);
        assert_eq!((skipped.kind.clone(), skipped.revision), (Kind::Nothing, 9));
        assert!(with(LIMITS, &[skipped]).fits(&[put(10, "a", 0), put(10, "b", 0), put(10, "c", 0)]));
    }

    #[test]
    fn a_revision_that_is_too_large_is_taken_apart_in_order() {
        let group: Vec<Change> = ["a", "b", "c", "d"].map(|key| put(5, key, 0)).to_vec();
        assert_eq!(Batch::part_that_fits(LIMITS, &group), 3);
        let huge = Change::put(5, Bytes::from_static(b"h"), vec![0; 1000].into(), 0);
        assert_eq!(Batch::part_that_fits(LIMITS, &[huge]), 1);
    }
}
