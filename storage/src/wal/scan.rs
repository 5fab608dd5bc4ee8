//! Reading a segment's batches in order, and deciding what a damaged one means.
//!
//! Must never write. The rule it decides by is argued in the header of [`super`].

use std::path::PathBuf;
use std::sync::Arc;

use super::error::WalError;
use super::format::{BLOCK, HEADER_LEN, Header, NoHeader};
use crate::disk::DiskFile;
use model::mutant::{self, Mutant};

/// Bytes read at once when a whole segment is read.
pub(super) const WINDOW: u64 = 1 << 20;

/// A part of a file in memory.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) path: PathBuf,
    pub(super) size: u64,
    bytes: Vec<u8>,
    start: u64,
    step: u64,
}

impl Window {
    pub(super) fn new(file: Arc<dyn DiskFile>, path: PathBuf) -> Result<Self, WalError> {
        let size = file.len().map_err(WalError::io("measure", &path))?;
        Ok(Self { file, path, size, bytes: Vec::new(), start: 0, step: WINDOW })
    }

    /// The same with `step` bytes read at once.
    pub(super) fn with_step(mut self, step: u64) -> Self {
        self.step = step;
        self
    }

    pub(super) fn set_step(&mut self, step: u64) {
        self.step = step;
    }

    /// Bytes `offset..offset + len`, which must lie within the file.
    pub(super) fn get(&mut self, offset: u64, len: usize) -> Result<&[u8], WalError> {
        let end = offset + len as u64;
        if offset < self.start || end > self.start + self.bytes.len() as u64 {
            let want = (len as u64).max(self.step).min(self.size.saturating_sub(offset)).max(len as u64);
            self.bytes.resize(want as usize, 0);
            self.start = offset;
            let read = self.file.read_exact_at(&mut self.bytes, offset);
            if read.is_err() {
                // What the buffer holds now is unknown.
                self.bytes.clear();
            }
            read.map_err(WalError::io("read", &self.path))?;
        }
        let at = (offset - self.start) as usize;
        Ok(&self.bytes[at..at + len])
    }

    /// Reads anew what is asked for next.
    pub(super) fn expire(&mut self) {
        self.bytes.clear();
    }

    /// Forgets what was read, and the memory it took.
    pub(super) fn forget(&mut self) {
        self.bytes = Vec::new();
    }
}

/// Whose batches count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) log_id: u64,
    pub(super) segment: u64,
}

/// Why there is no batch at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// No header of ours.
    NoHeader,
    /// A header of ours with another number.
    Number(u64),
    /// The header is right, its payload is not.
    Payload(Header),
    /// The file ends.
    End,
}

/// Reads the batch at `offset`, if it is batch `number` of `owner` and whole.
pub(super) fn batch_at(
    window: &mut Window,
    owner: Owner,
    number: u64,
    offset: u64,
) -> Result<Result<(Header, &[u8]), Damage>, WalError> {
    if offset + BLOCK > window.size {
        return Ok(Err(Damage::End));
    }
    let Some(header) = header_at(window, owner, offset)? else { return Ok(Err(Damage::NoHeader)) };
    if header.number != number {
        return Ok(Err(Damage::Number(header.number)));
    }
    let len = header.payload_len as usize;
    if offset + HEADER_LEN as u64 + len as u64 > window.size {
        return Ok(Err(Damage::Payload(header)));
    }
    let payload = window.get(offset + HEADER_LEN as u64, len)?;
    if crc32c::crc32c(payload) == header.payload_crc {
        Ok(Ok((header, payload)))
    } else {
        Ok(Err(Damage::Payload(header)))
    }
}

/// The header at `offset`, if it is one of `owner`'s.
fn header_at(window: &mut Window, owner: Owner, offset: u64) -> Result<Option<Header>, WalError> {
    match Header::decode(window.get(offset, HEADER_LEN)?) {
        Ok(header) if header.log_id == owner.log_id && header.segment == owner.segment => Ok(Some(header)),
        // All batches of a segment have the version of its head: another one is old bytes in a recycled file.
        Ok(_) | Err(NoHeader::Unrecognised | NoHeader::Newer(_)) => Ok(None),
    }
}

/// What lies behind the last whole batch of the last segment, none of which was ever acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TailVerdict {
    /// Something of batch k was recognised.
    pub(super) torn: bool,
    /// End of what can be recognised, in whole blocks; at least the first block unless that is zero or beyond the file.
    pub(super) wipe_to: u64,
}

/// Judges a damaged batch `number` at `offset` of the last segment: [`TailVerdict`] when it is a torn tail or simply the end of the log.
///
/// # Errors
/// [`WalError::Corrupt`] when a header above `number` proves that it had been durable.
pub(super) fn classify_tail(
    window: &mut Window,
    owner: Owner,
    number: u64,
    offset: u64,
    damage: Damage,
    recycled: bool,
) -> Result<TailVerdict, WalError> {
    let mut verdict = TailVerdict { torn: false, wipe_to: offset };
    if let Damage::Payload(header) = damage {
        verdict = TailVerdict { torn: true, wipe_to: (offset + header.extent()).min(window.size) };
    }
    let mut at = offset;
    while at + BLOCK <= window.size {
        let block = window.get(at, BLOCK as usize)?;
        let zero = block.iter().all(|b| *b == 0);
        if !zero {
            // In a file that began as zeros, only batch k can have written here; in a recycled one only its own place is cleared.
            if !recycled || at == offset {
                verdict.wipe_to = verdict.wipe_to.max(at + BLOCK);
            }
            verdict.torn |= !recycled;
            // A header of another version cannot stand behind ours in one segment: it is old bytes.
            if let Ok(h) = Header::decode(block)
                && (h.log_id, h.segment) == (owner.log_id, owner.segment)
                && h.number > number + u64::from(mutant::on(Mutant::TornTail))
            {
                let why = "a batch is damaged although a later one exists, so it had been durable";
                return Err(WalError::corrupt(&window.path, offset, why));
            }
        }
        at += BLOCK;
    }
    Ok(verdict)
}
