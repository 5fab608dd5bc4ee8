//! Reading the durable part of a log while its writer goes on: so that damage at rest is found while the store still has what the log held.
//!
//! Batches are numbered without gaps, so what a segment should hold is known: up to the head of the next one, or to the end that was durable
//! when its reading began. Must never write, and never call a segment damaged that was released and reused meanwhile: the writer says so
//! before it lets a file go.

use super::error::WalError;
use super::format::{HEADER_LEN, Header};
use super::index::View;
use super::scan::{Owner, Window, batch_at};
use super::segment::segment_path;
use crate::disk::Disk;
use arc_swap::ArcSwap;
use raft::Index;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes read at once.
const STEP: u64 = 256 << 10;

/// A batch that was durable and cannot be read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDamage {
    /// The segment.
    pub file: PathBuf,
    /// Where the batch begins.
    pub offset: u64,
    /// The last durable entry when it was found: nothing behind it is damaged.
    pub last: Index,
    /// In the disk's words, or ours.
    pub why: String,
}

/// Walks over a log. See the file header.
#[derive(Debug)]
pub struct WalScrub {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    log_id: u64,
    view: Arc<ArcSwap<View>>,
}

/// How the reading of one segment ended.
enum Read {
    /// It is whole; the next segment begins with this batch.
    Whole(u64),
    /// What was durable has been read.
    End,
    /// It is not what it should be from here on: released meanwhile, or damaged.
    Broken { offset: u64, why: String },
    /// The caller wants no more.
    Stopped,
}

impl Read {
    fn broken(offset: u64) -> Self {
        Self::Broken { offset, why: "a durable batch is damaged or missing".to_owned() }
    }

    fn unreadable(offset: u64, why: &WalError) -> Self {
        Self::Broken { offset, why: why.to_string() }
    }
}

impl WalScrub {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: PathBuf, log_id: u64, view: Arc<ArcSwap<View>>) -> Self {
        Self { disk, dir, log_id, view }
    }

    /// Reads everything once, up to the first damage. `between` is called with the bytes of each batch and may end the walk.
    pub fn walk(&self, between: &mut dyn FnMut(u64) -> ControlFlow<()>) -> Option<LogDamage> {
        let mut id = self.view.load().oldest;
        let mut number = None;
        loop {
            match self.segment(id, number, between).unwrap_or_else(|why| Read::unreadable(0, &why)) {
                Read::Whole(next) => (id, number) = (id + 1, Some(next)),
                Read::End | Read::Stopped => return None,
                Read::Broken { offset, why } => {
                    let view = self.view.load();
                    if view.oldest <= id {
                        return Some(LogDamage { file: segment_path(&self.dir, id), offset, last: view.last, why });
                    }
                    (id, number) = (view.oldest, None);
                }
            }
        }
    }

    /// Reads the segment `id`, which begins with batch `number` if that is known.
    fn segment(
        &self,
        id: u64,
        number: Option<u64>,
        between: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Read, WalError> {
        let view = self.view.load_full();
        let Some(mut window) = self.open(id)? else { return Ok(Read::broken(0)) };
        let Some(first) = self.head(&mut window, id)? else { return Ok(Read::broken(0)) };
        if number.is_some_and(|number| number != first) {
            return Ok(Read::broken(0));
        }
        let owner = Owner { log_id: self.log_id, segment: id };
        let durable_end = (id == view.newest).then_some(view.end);
        let (mut next, mut offset) = (first, 0);
        while durable_end.is_none_or(|end| offset < end) {
            let extent = match batch_at(&mut window, owner, next, offset) {
                Ok(Ok((header, _))) => header.extent(),
                Ok(Err(_)) => break,
                Err(why) => return Ok(Read::unreadable(offset, &why)),
            };
            next += 1;
            offset += extent;
            if between(extent).is_break() {
                return Ok(Read::Stopped);
            }
        }
        match durable_end {
            Some(end) if offset >= end => Ok(Read::End),
            Some(_) => Ok(Read::broken(offset)),
            None => self.follows(id + 1, next, offset),
        }
    }

    /// A segment was read up to `offset`, where batch `next` would be: it is whole if the one behind it begins with that.
    fn follows(&self, id: u64, next: u64, offset: u64) -> Result<Read, WalError> {
        let head = match self.open(id)? {
            Some(mut window) => self.head(&mut window, id)?,
            None => None,
        };
        Ok(if head.is_some_and(|first| first > next) { Read::broken(offset) } else { Read::Whole(next) })
    }

    /// Number of the batch that a segment begins with; none where no head of ours is.
    fn head(&self, window: &mut Window, id: u64) -> Result<Option<u64>, WalError> {
        if window.size < HEADER_LEN as u64 {
            return Ok(None);
        }
        let header = Header::decode(window.get(0, HEADER_LEN)?);
        Ok(header
            .ok()
            .filter(|header| (header.log_id, header.segment) == (self.log_id, id))
            .map(|header| header.number))
    }

    fn open(&self, id: u64) -> Result<Option<Window>, WalError> {
        let path = segment_path(&self.dir, id);
        match self.disk.open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            file => Ok(Some(Window::new(file.map_err(WalError::io("open", &path))?, path)?.with_step(STEP))),
        }
    }
}
