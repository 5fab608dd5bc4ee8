//! Reading entries back while the writer goes on: for followers that lag, and for replay at start.
//!
//! Must never return an entry that is not durable, nor bytes of a file that was recycled under its feet.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use raft::{Entry, Index};

use super::error::WalError;
use super::format::{BLOCK, HEADER_LEN, Header};
use super::index::{Mark, View};
use super::record::{Record, records};
use super::scan::Window;
use super::segment::segment_path;
use crate::disk::Disk;

/// Bytes read at once: a lagging follower reads forward.
const STEP: u64 = 128 << 10;

/// Why entries cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// They were released. The caller needs a snapshot instead.
    #[error("write-ahead log: entries before {first} are released")]
    Released {
        /// First index that can be read.
        first: Index,
    },
    /// They are not durable yet, or were never written.
    #[error("write-ahead log: entries after {last} are not durable yet")]
    Unavailable {
        /// Last index that can be read.
        last: Index,
    },
    /// The log is damaged or unreadable.
    #[error(transparent)]
    Wal(#[from] WalError),
}

/// Reads durable entries by index. Cheap to clone; each clone has its own open file.
#[derive(Debug)]
pub struct WalReader {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    log_id: u64,
    view: Arc<ArcSwap<View>>,
    /// The segment read last.
    open: Option<(u64, Window)>,
}

impl Clone for WalReader {
    fn clone(&self) -> Self {
        Self::new(self.disk.clone(), self.dir.clone(), self.log_id, self.view.clone())
    }
}

/// How one stretch of the log, from a mark to the next, ended.
enum Stretch {
    /// All of it was read, or the budget is used up.
    Done,
    /// A batch that should be there is not: the segment was released meanwhile, or is damaged.
    Broken { offset: u64 },
}

impl WalReader {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: PathBuf, log_id: u64, view: Arc<ArcSwap<View>>) -> Self {
        Self { disk, dir, log_id, view, open: None }
    }

    /// First index that can be read.
    pub fn first_index(&self) -> Index {
        self.view.load().first
    }

    /// Last durable index; below [`Self::first_index`] when there is none.
    pub fn last_index(&self) -> Index {
        self.view.load().last
    }

    /// Entries `lo..hi` in order, a prefix of them when their data exceeds `max_bytes`, but at least one.
    ///
    /// Entries of one batch share one buffer of that batch's size.
    ///
    /// # Errors
    /// [`ReadError`]; which of the three says what to do.
    pub fn read(&mut self, lo: Index, hi: Index, max_bytes: usize) -> Result<Vec<Entry>, ReadError> {
        let view = self.view.load_full();
        if lo < view.first {
            return Err(ReadError::Released { first: view.first });
        }
        if hi > view.last + 1 {
            return Err(ReadError::Unavailable { last: view.last });
        }
        let mut sink = Sink { next: lo, hi, left: max_bytes, entries: Vec::new() };
        let mut at = if lo < hi { view.covering(lo) } else { None };
        while let Some(position) = at
            && sink.next < hi
            && sink.left > 0
        {
            let mark = view.marks[position];
            let upto = view.marks.get(position + 1).map_or(view.last + 1, |m| m.first);
            match self.stretch(&mark, upto.min(hi), &mut sink)? {
                Stretch::Done => at = (position + 1 < view.marks.len()).then_some(position + 1),
                Stretch::Broken { offset } => return Err(self.broken(&mark, offset)),
            }
        }
        if lo < hi && sink.entries.is_empty() {
            return Err(ReadError::Released { first: self.view.load().first });
        }
        Ok(sink.entries)
    }

    /// Reads forward from `mark` until the entry before `upto` is there.
    fn stretch(&mut self, mark: &Mark, upto: Index, sink: &mut Sink) -> Result<Stretch, WalError> {
        let log_id = self.log_id;
        let Some(window) = self.window(mark.segment)? else { return Ok(Stretch::Broken { offset: mark.offset }) };
        let mut offset = mark.offset;
        while sink.next < upto && sink.left > 0 {
            if offset + BLOCK > window.size {
                return Ok(Stretch::Broken { offset });
            }
            let header = match Header::decode(window.get(offset, HEADER_LEN)?) {
                Ok(h) if h.log_id == log_id && h.segment == mark.segment => h,
                _ => return Ok(Stretch::Broken { offset }),
            };
            if header.first_index + u64::from(header.span) > sink.next {
                let len = (header.payload_len as usize).min((window.size - offset) as usize - HEADER_LEN);
                let payload = Bytes::copy_from_slice(window.get(offset + HEADER_LEN as u64, len)?);
                if crc32c::crc32c(&payload) != header.payload_crc || sink.batch(&payload, upto).is_err() {
                    return Ok(Stretch::Broken { offset });
                }
            }
            offset += header.extent();
        }
        Ok(Stretch::Done)
    }

    /// The open segment `id`; none when it is gone.
    fn window(&mut self, id: u64) -> Result<Option<&mut Window>, WalError> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != id) {
            let path = segment_path(&self.dir, id);
            let file = match self.disk.open(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                file => file.map_err(WalError::io("open", &path))?,
            };
            self.open = Some((id, Window::new(file, path)?.with_step(STEP)));
        }
        let Some((_, window)) = &mut self.open else { return Ok(None) };
        // The writer has gone on since: what was read before may be old.
        window.expire();
        Ok(Some(window))
    }

    /// Tells a segment that was released while it was read from one that is damaged.
    fn broken(&mut self, mark: &Mark, offset: u64) -> ReadError {
        self.open = None;
        let view = self.view.load();
        if view.marks.contains(mark) {
            let path = segment_path(&self.dir, mark.segment);
            return WalError::corrupt(&path, offset, "a durable batch cannot be read back").into();
        }
        ReadError::Released { first: view.first }
    }
}

/// Collects entries in order.
struct Sink {
    next: Index,
    hi: Index,
    left: usize,
    entries: Vec<Entry>,
}

impl Sink {
    /// Takes from a batch what is wanted below `upto`. Inside a batch, too, a later entry replaces an earlier one.
    fn batch(&mut self, payload: &Bytes, upto: Index) -> Result<(), &'static str> {
        let start = self.next;
        let mut found: Vec<Entry> = Vec::new();
        for record in records(payload) {
            let Record::Entry(entry) = record? else { continue };
            if entry.id.index < start + found.len() as u64 {
                found.truncate(entry.id.index.saturating_sub(start) as usize);
            }
            if entry.id.index == start + found.len() as u64 {
                found.push(entry.to_entry(payload));
            }
        }
        for entry in found {
            if entry.index >= upto.min(self.hi) || self.left == 0 {
                break;
            }
            if entry.data.len() > self.left && !self.entries.is_empty() {
                self.left = 0;
                break;
            }
            self.left = self.left.saturating_sub(entry.data.len().max(1));
            self.next += 1;
            self.entries.push(entry);
        }
        Ok(())
    }
}
