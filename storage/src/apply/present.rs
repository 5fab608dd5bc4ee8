//! Living keys of a range, own writes of the transaction included, in pieces.
//!
//! Must never hold a scan across a write: each piece is collected, then acted upon.

use super::heads::Slot;
use super::{Applier, ApplyFatal};
use crate::engine::{Direction, Engine, Family, Scan, Snapshot};
use crate::schema::Head;
use bytes::Bytes;

/// Keys in a piece. Small in unit tests, so that few keys make many pieces.
pub(super) const PIECE_KEYS: usize = if cfg!(test) { 3 } else { 1024 };
/// Bytes of keys and key-values after which a piece ends.
pub(super) const PIECE_BYTES: usize = 1 << 20;

/// Some living keys of a range, ascending.
pub(super) struct Piece {
    pub(super) keys: Vec<(Bytes, Slot)>,
    /// Where the next piece starts; `None` behind the last one.
    pub(super) next: Option<Vec<u8>>,
}

impl<E: Engine> Applier<E> {
    /// The next living keys with `lower <= key < upper`. `with_kv` keeps the small key-values at hand.
    pub(super) fn living(&self, lower: &[u8], upper: Option<&[u8]>, with_kv: bool) -> Result<Piece, ApplyFatal> {
        let mut piece = Piece { keys: Vec::new(), next: None };
        if upper.is_some_and(|upper| lower >= upper) {
            return Ok(piece);
        }
        let mut scan = self.snapshot.scan(Family::Cur, lower, upper, Direction::Forward);
        let mut written = self.written.iter().flat_map(|w| w.from(lower, upper)).peekable();
        let mut bytes = 0;
        while let Some((key, row)) = scan.next()? {
            while let Some((own, state)) = written.next_if(|(own, _)| own.as_ref() < key) {
                if let Some(slot) = &state.slot {
                    piece.keys.push((own.clone(), slot.clone()));
                }
            }
            let slot = match written.next_if(|(own, _)| own.as_ref() == key) {
                Some((_, state)) => state.slot.clone(),
                None => {
                    let kv = Head::inline(row).filter(|_| with_kv).map(Bytes::copy_from_slice);
                    Some(Slot { head: Head::decode(row)?, kv })
                }
            };
            if let Some(slot) = slot {
                bytes += key.len() + slot.kv.as_ref().map_or(0, Bytes::len);
                piece.keys.push((Bytes::copy_from_slice(key), slot));
            }
            if piece.keys.len() >= PIECE_KEYS || bytes >= PIECE_BYTES {
                let mut next = key.to_vec();
                next.push(0);
                piece.next = Some(next);
                return Ok(piece);
            }
        }
        let rest = written.filter_map(|(own, state)| Some((own.clone(), state.slot.clone()?)));
        piece.keys.extend(rest);
        Ok(piece)
    }
}
