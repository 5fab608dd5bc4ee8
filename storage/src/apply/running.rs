//! The running hash: one number after every entry that says what all entries up to there did to the store.
//!
//! Members that have applied the same entries to the same data have the same hash at the same index, so two hashes at one index that differ
//! show that a member went its own way, at that entry or before. It covers place and effects of each entry (rows of `log`, and those rows of
//! `meta` that entries write) and the numbers of the store after it. It does not read data at rest: that is the scrubber's.
//!
//! It begins anew with the first entry of a cluster and with every entry that sets the version of the cluster: at that moment all members
//! run builds that compute it, and compute it alike. The algorithm may therefore change together with the version of the cluster, and not
//! otherwise. Must never cover what differs between correct members: rows of a member's own pace, grouping of entries, or the text of
//! addresses.

use crate::engine::Family;
use crate::schema::{Damaged, meta};
use bytes::{Buf, BufMut, Bytes};
use raft::LogId;
use twox_hash::XxHash3_64;

/// Version of the algorithm. A stored hash of another version counts as unknown.
const VERSION: u64 = 1;
/// Length of the row: version, index, hash.
const ROW: usize = 24;
/// Arbitrary odd numbers: the fractions of pi.
const FLIP: u64 = 0x243f_6a88_85a3_08d3;
const SPREAD: u64 = 0x1319_8a2e_0370_7345;
/// Stands for a row that is removed.
const REMOVED: u64 = 0xa409_3822_299f_31d0;

/// Takes a word into a hash; the order of words counts.
fn mix(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash.rotate_left(23) ^ word ^ FLIP) * u128::from(SPREAD);
    (product as u64) ^ ((product >> 64) as u64)
}

/// What the entry at hand has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest(u64);

impl Digest {
    /// As it was when an earlier life of this process stopped in the middle of the entry.
    pub(super) fn resumed(word: u64) -> Self {
        Self(word)
    }

    /// To be kept with a half-applied entry.
    pub(super) fn word(self) -> u64 {
        self.0
    }

    /// A row is written.
    pub(super) fn put(&mut self, family: Family, key: &[u8], value: &[u8]) {
        if is_covered(family, key) {
            self.0 = mix(mix(mix(self.0, family as u64), XxHash3_64::oneshot(key)), XxHash3_64::oneshot(value));
        }
    }

    /// A row is removed.
    pub(super) fn delete(&mut self, family: Family, key: &[u8]) {
        if is_covered(family, key) {
            self.0 = mix(mix(mix(self.0, family as u64), XxHash3_64::oneshot(key)), REMOVED);
        }
    }
}

/// `cur` and `hist` follow from `log`, which is covered. How members are reached is left out: founders are told it one by one, and may be
/// told it in another order.
fn is_covered(family: Family, key: &[u8]) -> bool {
    match family {
        Family::Log => true,
        Family::Meta => key.first() != Some(&meta::MEMBER),
        Family::Cur | Family::Hist | Family::Cnt => false,
    }
}

/// What all entries up to one did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunningHash(u64);

impl RunningHash {
    /// Behind the entry at `index`, whatever was before it.
    pub(super) fn start(index: u64) -> Self {
        Self(mix(FLIP, index))
    }

    /// Behind one more entry. `numbers` are those of the store behind it.
    pub(super) fn next(self, entry: LogId, effects: Digest, numbers: [i64; 5]) -> Self {
        let hash = [entry.index, entry.term, effects.0].into_iter().fold(self.0, mix);
        Self(numbers.into_iter().fold(hash, |hash, number| mix(hash, number as u64)))
    }

    /// The number that members compare.
    pub fn value(self) -> u64 {
        self.0
    }

    /// The row `meta::RUNNING_HASH`.
    pub(super) fn encode(self, index: u64) -> Bytes {
        let mut row = Vec::with_capacity(ROW);
        [VERSION, index, self.0].into_iter().for_each(|word| row.put_u64(word));
        row.into()
    }

    /// Reads that row. `None` for one that a build left behind which does not compute it: it is of another index; or one that computes it
    /// in another way.
    ///
    /// # Errors
    /// [`Damaged`].
    pub(super) fn decode(mut bytes: &[u8], applied: u64) -> Result<Option<Self>, Damaged> {
        if bytes.len() != ROW {
            return Err(Damaged { family: "meta", why: "bad running hash" });
        }
        let [version, index, hash] = std::array::from_fn(|_| bytes.get_u64());
        Ok((version == VERSION && index == applied).then_some(Self(hash)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(digest: Digest, revision: i64) -> u64 {
        RunningHash::start(3).next(LogId { term: 1, index: 4 }, digest, [revision, -1, 0, 0, 0]).value()
    }

    fn put(key: &[u8], value: &[u8]) -> Digest {
        let mut digest = Digest::default();
        digest.put(Family::Log, key, value);
        digest
    }

    #[test]
    fn every_part_of_an_entry_counts() {
        let mut removed = Digest::default();
        removed.delete(Family::Log, b"k");
        let mut twice = put(b"k", b"v");
        twice.put(Family::Log, b"k", b"v");
        let (mut one, mut other) = (put(b"a", b"1"), put(b"b", b"2"));
        one.put(Family::Log, b"b", b"2");
        other.put(Family::Log, b"a", b"1");
        let digests =
            [Digest::default(), put(b"k", b"v"), put(b"k", b"w"), put(b"kv", b""), removed, twice, one, other];
        let mut all: Vec<u64> = digests.into_iter().map(|digest| behind(digest, 2)).collect();
        all.push(behind(put(b"k", b"v"), 3));
        all.push(RunningHash::start(4).value());
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn what_may_differ_between_correct_members_is_left_out() {
        let mut digest = Digest::default();
        digest.put(Family::Meta, &[meta::MEMBER, 0, 1], b"urls in some order");
        digest.put(Family::Cnt, b"k", b"v");
        assert_eq!(digest, Digest::default());
    }

    #[test]
    fn a_row_of_another_index_or_algorithm_is_unknown() {
        let hash = RunningHash::start(9);
        assert_eq!(RunningHash::decode(&hash.encode(9), 9), Ok(Some(hash)));
        assert_eq!(RunningHash::decode(&hash.encode(9), 12), Ok(None), "applied by a build without it");
        assert_eq!(RunningHash::decode(&[2_u64, 9, 5].map(u64::to_be_bytes).concat(), 9), Ok(None));
        assert!(RunningHash::decode(b"short", 9).is_err());
    }
}
