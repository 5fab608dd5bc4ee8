//! The sending side: a snapshot of the engine as chunks, pulled one at a time.
//!
//! Must never hold more than one block of rows in memory, nor depend on how fast it is pulled.

use super::{BLOCK_BYTES, BLOCK_HEAD, END, FAMILIES, HASH_BYTES, ROW_HEAD, ROWS, StreamHeader, block_crc, padding};
use crate::engine::{Direction, EngineError, Family, Scan, Snapshot};
use bytes::{BufMut, Bytes};
use aws_lc_rs::digest;

/// Largest chunk, as etcd's.
pub const CHUNK_BYTES: usize = 32 << 10;

/// Where the stream stands.
#[derive(Clone, Debug)]
enum Next {
    /// Rows of the family with this place in `FAMILIES`, from this key on.
    Rows(usize, Vec<u8>),
    /// The end block and the padding.
    End,
    /// All is out.
    Done,
}

/// A snapshot stream being produced.
pub struct SnapshotSource<S> {
    snapshot: S,
    next: Next,
    block: u64,
    rows: [u64; Family::ALL.len()],
    ready: Bytes,
    total: u64,
    sent: u64,
    hash: digest::Context,
}

impl<S: Snapshot> SnapshotSource<S> {
    /// The stream of `snapshot`. Walks over all rows once to learn the total length: not for a latency-critical thread.
    ///
    /// # Errors
    /// [`EngineError`] when the rows cannot be read.
    pub fn new(snapshot: S, header: &StreamHeader) -> Result<Self, EngineError> {
        let length = header.encode(0).len() as u64 + measure(&snapshot)?;
        let total = length + padding(length);
        Ok(Self {
            snapshot,
            next: Next::Rows(0, vec![]),
            block: 0,
            rows: [0; Family::ALL.len()],
            ready: header.encode(total).into(),
            total,
            sent: 0,
            hash: digest::Context::new(&digest::SHA256),
        })
    }

    /// Length of the stream without its hash, a multiple of 512.
    pub fn total_bytes(&self) -> u64 {
        self.total
    }

    /// What [`SnapshotSource::next_chunk`] will still yield.
    pub fn remaining_bytes(&self) -> u64 {
        self.total - self.sent
    }

    /// The next chunk, at most [`CHUNK_BYTES`]; `None` when the stream is out.
    ///
    /// # Errors
    /// [`EngineError`] when rows cannot be read; the stream is then broken off.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>, EngineError> {
        if self.ready.is_empty() {
            self.refill()?;
        }
        let chunk = self.ready.split_to(self.ready.len().min(CHUNK_BYTES));
        self.sent += chunk.len() as u64;
        self.hash.update(&chunk);
        assert!(self.sent <= self.total, "SN-LENGTH: a snapshot grew while it was read");
        Ok((!chunk.is_empty()).then_some(chunk))
    }

    /// SHA-256 of all chunks so far: behind the last chunk, what is sent as the last message and ends a file.
    pub fn hash(&self) -> [u8; HASH_BYTES] {
        self.hash.clone().finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    fn refill(&mut self) -> Result<(), EngineError> {
        let (place, from) = match &self.next {
            Next::Rows(place, from) => (*place, from),
            Next::End => {
                self.ready = self.end();
                self.next = Next::Done;
                return Ok(());
            }
            Next::Done => return Ok(()),
        };
        let family = FAMILIES[place];
        let Filled { mut bytes, rows, after } = fill(&self.snapshot, family, from)?;
        self.rows[family as usize] += rows;
        self.next = match after {
            Some(after) => Next::Rows(place, after),
            None if place + 1 < FAMILIES.len() => Next::Rows(place + 1, vec![]),
            None => Next::End,
        };
        if rows == 0 {
            return self.refill();
        }
        let head = self.head(ROWS, family as u8, &bytes[BLOCK_HEAD..]);
        bytes[..BLOCK_HEAD].copy_from_slice(&head);
        self.ready = bytes.into();
        Ok(())
    }

    /// The end block and the padding.
    fn end(&mut self) -> Bytes {
        let contents = self.rows.map(u64::to_be_bytes).concat();
        let mut out = self.head(END, 0, &contents);
        out.extend_from_slice(&contents);
        out.resize(out.len() + padding(self.sent + out.len() as u64) as usize, 0);
        assert!(self.sent + out.len() as u64 == self.total, "SN-LENGTH: a snapshot shrank while it was read");
        out.into()
    }

    /// Head of the next block.
    fn head(&mut self, kind: u8, family: u8, contents: &[u8]) -> Vec<u8> {
        let mut head = Vec::with_capacity(BLOCK_HEAD);
        head.put_u8(kind);
        head.put_u8(family);
        head.put_u32(u32::try_from(contents.len()).expect("a row is far below 4 GiB"));
        head.put_u32(block_crc(self.block, kind, family, contents));
        self.block += 1;
        head
    }
}

impl<S> std::fmt::Debug for SnapshotSource<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SnapshotSource({} of {}, {:?})", self.sent, self.total, self.next)
    }
}

/// Bytes of all blocks, the end block included.
fn measure<S: Snapshot>(snapshot: &S) -> Result<u64, EngineError> {
    let mut total = (BLOCK_HEAD + 8 * Family::ALL.len()) as u64;
    for family in FAMILIES {
        let mut scan = snapshot.scan_once(family, &[], None, Direction::Forward);
        let mut block = 0;
        while let Some((key, value)) = scan.next()? {
            block += ROW_HEAD + key.len() + value.len();
            if block >= BLOCK_BYTES {
                total += (BLOCK_HEAD + block) as u64;
                block = 0;
            }
        }
        if block > 0 {
            total += (BLOCK_HEAD + block) as u64;
        }
    }
    Ok(total)
}

/// Rows of one block.
struct Filled {
    /// Room for the head, then the rows.
    bytes: Vec<u8>,
    rows: u64,
    /// Where the next block starts, if the family may go on.
    after: Option<Vec<u8>>,
}

/// One block of rows from `from` on, cut as [`measure`] expects it.
fn fill<S: Snapshot>(snapshot: &S, family: Family, from: &[u8]) -> Result<Filled, EngineError> {
    let mut scan = snapshot.scan_once(family, from, None, Direction::Forward);
    let mut bytes = vec![0; BLOCK_HEAD];
    let mut rows = 0;
    while let Some((key, value)) = scan.next()? {
        bytes.put_u32(key.len() as u32);
        bytes.put_u32(value.len() as u32);
        bytes.put_slice(key);
        bytes.put_slice(value);
        rows += 1;
        if bytes.len() - BLOCK_HEAD >= BLOCK_BYTES {
            let after = Some([key, &[0]].concat());
            return Ok(Filled { bytes, rows, after });
        }
    }
    Ok(Filled { bytes, rows, after: None })
}
