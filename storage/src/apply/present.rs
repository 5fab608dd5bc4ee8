//! Living keys of a range, own writes of the transaction included, in pieces.
//!
//! Must never hold a scan across a write: each piece is collected, then acted upon.

use super::slot::Slot;
use super::{ApplyFatal, StateMachine};
use crate::count::{AroundScan, KeyBounds};
use crate::engine::{Direction, Engine};
use crate::schema::Head;
use bytes::Bytes;

/// Most keys in a piece. Small in unit tests, so that few keys make many pieces.
const PIECE_KEYS: usize = if cfg!(test) { 3 } else { 1024 };
/// Bytes of a chunk that stand for one key of a piece: small chunks, as the simulator has them, come with small pieces.
const CHUNK_PER_KEY: usize = 4 << 10;
/// Bytes of keys and key-values after which a piece ends.
pub(super) const PIECE_BYTES: usize = 1 << 20;

/// Some living keys of a range, ascending.
pub(super) struct Piece {
    pub(super) keys: Vec<(Bytes, Slot)>,
    /// Where the next piece starts; `None` behind the last one.
    pub(super) next: Option<Vec<u8>>,
}

impl<E: Engine> StateMachine<E> {
    /// Keys in a piece. Outcomes do not depend on it.
    pub(super) fn piece_keys(&self) -> usize {
        (self.chunk_bytes / CHUNK_PER_KEY).clamp(2, PIECE_KEYS)
    }

    /// The next living keys with `lower <= key < upper`. `with_kv` keeps the small key-values at hand.
    pub(super) fn living(&self, lower: &[u8], upper: Option<&[u8]>, with_kv: bool) -> Result<Piece, ApplyFatal> {
        let mut piece = Piece { keys: Vec::new(), next: None };
        if upper.is_some_and(|upper| lower >= upper) {
            return Ok(piece);
        }
        let bounds = KeyBounds { lower, upper, direction: Direction::Forward };
        let mut scan = AroundScan::living(&self.snapshot, bounds);
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
            if piece.keys.len() >= self.piece_keys() || bytes >= PIECE_BYTES {
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
