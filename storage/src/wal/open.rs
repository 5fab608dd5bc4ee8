//! Opening a log: from files that may hold anything to a writer and what it is known to contain.
//!
//! Must never report anything that is not durable, nor delete what it does not understand.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use raft::{HardState, LogId};

use super::error::WalError;
use super::format::{BLOCK, HEADER_LEN, Header, NoHeader};
use super::record::{Install, Record, SegmentHead, records};
use super::replay::Replay;
use super::scan::{Owner, TailVerdict, WINDOW, Window, batch_at, classify_tail};
use super::segment::{Name, Segment, Spares, lock, parse_name, segment_path};
use super::writer::{Opened, Wal};
use super::{WalConfig, WalMeta};
use crate::disk::{Disk, DiskLock};

/// A torn tail that was cut: a batch that had never been acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The segment.
    pub file: PathBuf,
    /// Where the batch began.
    pub offset: u64,
    /// Its number.
    pub batch: u64,
}

/// What a log contains. Its entries are read through [`Wal::reader`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Whose log it is.
    pub meta: WalMeta,
    /// Last hard state. Its commit may lag: start with the larger of it and the applied index.
    pub hard_state: HardState,
    /// Entries up to here are gone, or may be.
    pub truncated: LogId,
    /// Last entry; equal to `truncated` when there is none.
    pub last: LogId,
    /// First index of each term among the entries after `truncated`, ascending.
    pub terms: Vec<LogId>,
    /// An install that was begun and not finished: finish it (rename the pointer if needed), then [`Wal::finish_install`].
    pub install: Option<Install>,
    /// What was cut off the end.
    pub cut: Option<TornTail>,
}

/// A log whose heads were read, and nothing else checked: its only use is to be checked.
#[derive(Debug)]
pub struct UncheckedWal {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    config: WalConfig,
    lock: Box<dyn DiskLock>,
    /// Consecutive numbers, ascending, the last being the newest.
    segments: Vec<Found>,
    /// Segments left over from before a gap.
    leftover: Vec<PathBuf>,
    spares: Vec<u64>,
}

/// What the names in a log's folder say.
#[derive(Debug)]
pub(super) struct Listing {
    /// Segments left over from before a gap.
    pub(super) leftover: Vec<PathBuf>,
    /// The newest run of consecutive numbers, ascending; never empty.
    pub(super) segments: Vec<u64>,
    pub(super) spares: Vec<u64>,
    /// Preparations that were not finished.
    pub(super) partial: Vec<PathBuf>,
}

impl Listing {
    /// # Errors
    /// `Missing` when there is no segment; `Io`.
    pub(super) fn read(disk: &dyn Disk, dir: &Path) -> Result<Self, WalError> {
        let names = match disk.list(dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(WalError::Missing { dir: dir.to_owned() });
            }
            names => names.map_err(WalError::io("list", dir))?,
        };
        let (mut ids, mut spares, mut partial) = (Vec::new(), Vec::new(), Vec::new());
        for name in names {
            match parse_name(&name) {
                Name::Segment(id) => ids.push(id),
                Name::Spare(number) => spares.push(number),
                Name::Partial => partial.push(dir.join(&name)),
                Name::Foreign => {}
            }
        }
        if ids.is_empty() {
            return Err(WalError::Missing { dir: dir.to_owned() });
        }
        let broken = ids.windows(2).rposition(|pair| pair[0] + 1 != pair[1]).map_or(0, |at| at + 1);
        let leftover = ids[..broken].iter().map(|id| segment_path(dir, *id)).collect();
        Ok(Self { leftover, segments: ids.split_off(broken), spares, partial })
    }
}

/// Reads the heads of these segments.
pub(super) fn open_segments(disk: &dyn Disk, dir: &Path, ids: &[u64]) -> Result<Vec<Found>, WalError> {
    ids.iter().map(|id| Found::open(disk, segment_path(dir, *id), *id)).collect()
}

/// A segment whose head was read.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: u64,
    pub(super) window: Window,
    pub(super) head: SegmentHead,
    pub(super) header: Header,
}

/// What a scan of all segments found at the end of the newest.
struct End {
    offset: u64,
    number: u64,
    last_batch: (u64, u64),
    max_indexes: Vec<u64>,
}

/// A log that was read to its end.
pub(super) struct Contents {
    pub(super) replay: Replay,
    /// First index of each term among the entries after the truncation, ascending.
    pub(super) terms: Vec<LogId>,
    end: End,
    rest: TailVerdict,
    /// What a start cuts off the end.
    pub(super) torn: Option<TornTail>,
}

impl UncheckedWal {
    /// Locks the folder and reads the segments' heads.
    ///
    /// # Errors
    /// `Locked`, `Missing`, `NewerFormat`, `Io`; `Corrupt` for a segment without a valid head.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, config: WalConfig) -> Result<Self, WalError> {
        Listing::read(disk.as_ref(), dir)?;
        let lock = lock(disk.as_ref(), dir)?;
        // What is seen may not be durable yet: after this it is.
        disk.sync_dir(dir).map_err(WalError::io("sync", dir))?;
        let Listing { leftover, segments, spares, partial } = Listing::read(disk.as_ref(), dir)?;
        for path in partial {
            disk.remove(&path).map_err(WalError::io("remove", &path))?;
        }
        let segments = open_segments(disk.as_ref(), dir, &segments)?;
        Ok(Self { disk, dir: dir.to_owned(), config, lock, segments, leftover, spares })
    }

    /// Whose log it says it is.
    pub fn meta(&self) -> WalMeta {
        self.newest().head.meta
    }

    /// Refuses the log of another cluster or member.
    ///
    /// # Errors
    /// `WrongCluster`, `WrongMember`.
    pub fn expect(&self, cluster: u64, member: u64) -> Result<(), WalError> {
        let found = self.meta();
        if found.cluster != cluster {
            return Err(WalError::WrongCluster { found: found.cluster, expected: cluster });
        }
        if found.member != member {
            return Err(WalError::WrongMember { found: found.member, expected: member });
        }
        Ok(())
    }

    fn newest(&self) -> &Found {
        self.segments.last().expect("WAL invariant: an open log has a segment")
    }

    /// Checks everything, cuts a torn tail, makes what is left durable, and hands out the writer.
    ///
    /// # Errors
    /// `Corrupt` when anything that had been durable is damaged or missing; `Io`.
    pub fn recover(mut self) -> Result<(Wal, Recovered), WalError> {
        let Contents { replay, terms, end, rest, torn } =
            read(&mut self.segments, self.config.mark_every, |_, _, _| {})?;
        self.settle_tail(&end, rest)?;
        let recovered = Recovered {
            meta: replay.meta,
            hard_state: replay.state.hard_state,
            truncated: replay.state.truncated,
            last: replay.state.last,
            terms,
            install: replay.state.install.clone(),
            cut: torn,
        };
        let mut spares = Spares::new(&self.dir, self.config.spare_bytes());
        for number in &self.spares {
            spares.adopt(self.disk.as_ref(), *number)?;
        }
        for path in &self.leftover {
            self.disk.remove(path).map_err(WalError::io("remove", path))?;
        }
        let mut segments: VecDeque<Segment> = VecDeque::with_capacity(self.segments.len());
        for (found, max_index) in self.segments.into_iter().zip(&end.max_indexes) {
            let Window { file, path, size, .. } = found.window;
            segments.push_back(Segment { id: found.id, path, file, size, max_index: *max_index, records: size });
        }
        let opened = Opened {
            disk: self.disk,
            dir: self.dir,
            config: self.config,
            meta: replay.meta,
            lock: self.lock,
            segments,
            offset: end.offset,
            next_number: end.number,
            state: replay.state,
            index: replay.index,
            spares,
        };
        Ok((Wal::from_opened(opened)?, recovered))
    }

    /// Clears what lies behind the last whole batch, writes that batch once more, and syncs.
    fn settle_tail(&mut self, end: &End, rest: TailVerdict) -> Result<(), WalError> {
        let window = &mut self.segments.last_mut().expect("WAL invariant: an open log has a segment").window;
        let path = window.path.clone();
        let (at, len) = end.last_batch;
        let again = window.get(at, len as usize)?.to_vec();
        let file = &window.file;
        file.fill_zero(end.offset, rest.wipe_to).map_err(WalError::io("clear the torn tail of", &path))?;
        file.write_all_at(&again, at).map_err(WalError::io("rewrite the last batch of", &path))?;
        file.sync_data().map_err(WalError::io("sync", &path))
    }
}

/// What all segments say, the oldest at first, and what was made of the end. `each` is shown as [`scan`] says.
///
/// # Errors
/// `Corrupt` when anything that had been durable is damaged or missing; `Io`.
pub(super) fn read(
    segments: &mut [Found],
    mark_every: u64,
    each: impl FnMut(&Header, u64, &[u8]),
) -> Result<Contents, WalError> {
    let mut replay = Replay::new(&segments[0].head, mark_every);
    let end = scan(segments, &mut replay, each)?;
    let terms = replay.finish().map_err(|why| WalError::corrupt(&segments[0].window.path, 0, why))?;
    let newest = segments.last_mut().expect("WAL invariant: a listed log has a segment");
    let rest = newest.behind(&end)?;
    let torn = TornTail { file: newest.window.path.clone(), offset: end.offset, batch: end.number };
    Ok(Contents { replay, terms, end, rest, torn: rest.torn.then_some(torn) })
}

/// Replays all segments in order. `each` is shown every whole batch: its header, where it lies, and its payload; nothing of a head's.
fn scan(
    segments: &mut [Found],
    replay: &mut Replay,
    mut each: impl FnMut(&Header, u64, &[u8]),
) -> Result<End, WalError> {
    let mut end = End { offset: 0, number: 0, last_batch: (0, 0), max_indexes: Vec::new() };
    let firsts: Vec<u64> = segments.iter().map(|s| s.header.number).collect();
    for (at, found) in segments.iter_mut().enumerate() {
        let until = firsts.get(at + 1).copied();
        let path = found.window.path.clone();
        let corrupt = |offset, why| WalError::corrupt(&path, offset, why);
        if at > 0 {
            replay.head(&found.head).map_err(|why| corrupt(0, why))?;
        }
        each(&found.header, 0, &[]);
        let owner = found.owner();
        found.window.set_step(WINDOW);
        let (mut offset, mut number) = (found.header.extent(), found.header.number + 1);
        let mut last_batch = (0, offset);
        while until.is_none_or(|until| number < until) {
            match batch_at(&mut found.window, owner, number, offset)? {
                Ok((header, payload)) => {
                    replay.batch(&header, payload, offset).map_err(|why| corrupt(offset, why))?;
                    each(&header, offset, payload);
                    last_batch = (offset, header.extent());
                    offset += header.extent();
                    number += 1;
                }
                Err(_) if until.is_some() => {
                    return Err(corrupt(offset, "a batch is damaged or missing although a later segment exists"));
                }
                Err(_) => break,
            }
        }
        if until.is_some_and(|until| number != until) {
            return Err(corrupt(0, "the next segment begins with a batch that this one holds already"));
        }
        if until.is_some() {
            found.window.forget();
        }
        end.max_indexes.push(replay.max_index);
        (end.offset, end.number, end.last_batch) = (offset, number, last_batch);
    }
    Ok(end)
}

impl Found {
    fn open(disk: &dyn Disk, path: PathBuf, id: u64) -> Result<Self, WalError> {
        let file = disk.open(&path).map_err(WalError::io("open", &path))?;
        let mut window = Window::new(file, path.clone())?.with_step(2 * BLOCK);
        let corrupt = |why| WalError::corrupt(&path, 0, why);
        if window.size < BLOCK {
            return Err(corrupt("the segment is shorter than a head"));
        }
        let header = match Header::decode(window.get(0, HEADER_LEN)?) {
            Ok(header) => header,
            Err(NoHeader::Newer(found)) => return Err(WalError::newer(found)),
            Err(NoHeader::Unrecognised) => return Err(corrupt("the segment's head is damaged")),
        };
        if header.segment != id {
            return Err(corrupt("the segment's head carries another number than its name"));
        }
        let owner = Owner { log_id: header.log_id, segment: id };
        let Ok((header, payload)) = batch_at(&mut window, owner, header.number, 0)? else {
            return Err(corrupt("the segment's head is damaged"));
        };
        let head = match records(payload).next() {
            Some(Ok(Record::Head(head))) if head.meta.log_id == header.log_id => *head,
            _ => return Err(corrupt("the segment does not begin with its head")),
        };
        Ok(Self { id, window, head, header })
    }

    /// Judges what lies behind the last whole batch of the newest segment.
    fn behind(&mut self, end: &End) -> Result<TailVerdict, WalError> {
        let (owner, recycled) = (self.owner(), self.head.recycled);
        match batch_at(&mut self.window, owner, end.number, end.offset)? {
            Ok(_) => Err(WalError::corrupt(&self.window.path, end.offset, "a batch changed while it was read")),
            Err(damage) => classify_tail(&mut self.window, owner, end.number, end.offset, damage, recycled),
        }
    }

    fn owner(&self) -> Owner {
        Owner { log_id: self.head.meta.log_id, segment: self.id }
    }
}
