//! What a transfer says about itself: the place of the snapshot, the membership there, and the term of the leader that sends it.
//!
//! | what | bytes, little-endian |
//! |---|---|
//! | version of this description | 1 |
//! | term of the message | 8 |
//! | index of the snapshot, term of that index | 8, 8 |
//! | leave the joint membership by itself | 1 |
//! | voters, learners, outgoing voters, next learners | 4 each for how many, then 8 for each |
//!
//! Must never be believed before the stream says the same: it comes from outside.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use raft::{ConfState, NodeId, SnapshotMeta, Term};

const VERSION: u8 = 1;

/// See the file header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Term of the leader that sends it.
    pub term: Term,
    /// Place and membership.
    pub meta: SnapshotMeta,
}

impl About {
    /// As it travels.
    pub fn encode(&self) -> Bytes {
        let ConfState { voters, learners, voters_outgoing, learners_next, auto_leave } = &self.meta.conf_state;
        let mut out = BytesMut::with_capacity(64);
        out.put_u8(VERSION);
        out.put_u64_le(self.term);
        out.put_u64_le(self.meta.index);
        out.put_u64_le(self.meta.term);
        out.put_u8(u8::from(*auto_leave));
        for members in [voters, learners, voters_outgoing, learners_next] {
            out.put_u32_le(members.len() as u32);
            members.iter().for_each(|member| out.put_u64_le(*member));
        }
        out.freeze()
    }

    /// `None` for bytes that are none, or of another version.
    pub fn decode(mut from: &[u8]) -> Option<Self> {
        if from.try_get_u8().ok()? != VERSION {
            return None;
        }
        let term = from.try_get_u64_le().ok()?;
        let index = from.try_get_u64_le().ok()?;
        let at = from.try_get_u64_le().ok()?;
        let auto_leave = from.try_get_u8().ok()? != 0;
        let voters = members(&mut from)?;
        let learners = members(&mut from)?;
        let voters_outgoing = members(&mut from)?;
        let learners_next = members(&mut from)?;
        let conf_state = ConfState { voters, learners, voters_outgoing, learners_next, auto_leave };
        let about = Self { term, meta: SnapshotMeta { conf_state, index, term: at } };
        (from.is_empty() && index > 0).then_some(about)
    }
}

/// As many as are there, whatever is promised.
fn members(from: &mut &[u8]) -> Option<Vec<NodeId>> {
    let count = from.try_get_u32_le().ok()?;
    (0..count).map(|_| from.try_get_u64_le().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_reads_back_and_a_cut_one_does_not() {
        let conf_state = ConfState {
            voters: vec![1, 2],
            learners: vec![9],
            voters_outgoing: vec![3],
            learners_next: vec![],
            auto_leave: true,
        };
        let about = About { term: 7, meta: SnapshotMeta { conf_state, index: 50, term: 6 } };
        let bytes = about.encode();
        assert_eq!(About::decode(&bytes), Some(about));
        for cut in 0..bytes.len() {
            assert_eq!(About::decode(&bytes[..cut]), None);
        }
        assert_eq!(About::decode(&[&bytes[..], &[0]].concat()), None);
    }
}
