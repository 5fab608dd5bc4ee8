//! Files of the log: their names, their preparation, and the pool of spare ones.
//!
//! Must never write to a file that a crash could bring back as a live segment: see [`Spares::settle`].

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::WalError;
use super::format::{BLOCK, COUNTABLE, HEADER_LEN, Header, padded};
use super::record::{SegmentHead, put_head};
use crate::disk::{Disk, DiskFile, DiskLock};

/// The lock file's name.
const LOCK: &str = "LOCK";

/// What a name in the log's folder says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Segment(u64),
    Spare(u64),
    /// A preparation that was not finished.
    Partial,
    Foreign,
}

pub(super) fn segment_path(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("{id:016x}.wal"))
}

fn spare_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016x}.spare"))
}

/// Reads a name; only names exactly as written here are ours.
pub(super) fn parse_name(name: &str) -> Name {
    let Some((stem, ext)) = name.split_once('.') else { return Name::Foreign };
    let lower_hex = stem.len() == 16 && stem.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let (true, Ok(number)) = (lower_hex, u64::from_str_radix(stem, 16)) else { return Name::Foreign };
    match ext {
        _ if number > COUNTABLE => Name::Foreign,
        "wal" => Name::Segment(number),
        "spare" => Name::Spare(number),
        "partial" => Name::Partial,
        _ => Name::Foreign,
    }
}

/// A file to be made ready for the log, on a thread that may wait for the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrepareRequest {
    /// The log's folder.
    pub(super) dir: PathBuf,
    /// Number in the file's name.
    pub(super) number: u64,
    /// Bytes to fill with zeros, where the disk has room for twice as many.
    pub size: u64,
    /// Bytes that will do where it has not.
    pub least: u64,
}

impl PrepareRequest {
    /// The size on a disk that has so many bytes left: it never takes more than half of them, down to what will do. A log that
    /// takes the last room for zeros fills a small disk before anybody can refuse a write.
    fn fitting(&self, free: Option<u64>) -> u64 {
        let mut size = self.size.max(self.least);
        while size > self.least && free.is_some_and(|free| size > free / 2) {
            size = (size / 2).next_multiple_of(BLOCK).max(self.least);
        }
        size
    }
}

/// A file ready to become a segment: allocated, and durable as such.
#[derive(Debug)]
pub struct Prepared {
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) size: u64,
    /// It may hold bytes of an earlier use.
    pub(super) recycled: bool,
}

/// Bytes filled and synced at once: what the disk has to take in between two syncs of the log.
const FILL_STEP: u64 = 256 << 10;

/// Makes the file asked for, zero-filled and synced; a smaller one on a disk that is nearly full. A half-made one is removed on
/// failure, and at the next start.
/// `between` is called between two steps: a caller that is in no hurry pauses there, because every byte the disk has not yet
/// taken in delays the next sync of the log.
///
/// # Errors
/// [`WalError::NoSpace`] and [`WalError::Io`]; the log itself is untouched by either.
pub fn prepare_segment(
    disk: &dyn Disk,
    request: &PrepareRequest,
    between: &mut dyn FnMut(),
) -> Result<Prepared, WalError> {
    let size = request.fitting(disk.free(&request.dir));
    match prepare(disk, request, size, between) {
        // nobody could say how much is left, or somebody else took it
        Err(WalError::NoSpace { .. }) if size > request.least => prepare(disk, request, request.least, between),
        result => result,
    }
}

fn prepare(
    disk: &dyn Disk,
    request: &PrepareRequest,
    size: u64,
    between: &mut dyn FnMut(),
) -> Result<Prepared, WalError> {
    let path = spare_path(&request.dir, request.number);
    let partial = path.with_extension("partial");
    match disk.remove(&partial) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(WalError::io("remove", &partial)(error));
        }
        _ => {}
    }
    let file = disk.create(&partial).map_err(WalError::io("create", &partial))?;
    let filled = fill(file.as_ref(), size, between);
    let named = filled.and_then(|()| disk.rename(&partial, &path));
    if let Err(error) = named {
        // The first error is the one to report; what cannot be removed now is removed at the next start.
        let _ = disk.remove(&partial);
        return Err(WalError::io("prepare", &partial)(error));
    }
    Ok(Prepared { path, file, size, recycled: false })
}

fn fill(file: &dyn DiskFile, size: u64, between: &mut dyn FnMut()) -> std::io::Result<()> {
    let mut at = 0;
    while at < size {
        let end = (at + FILL_STEP).min(size);
        file.fill_zero(at, end)?;
        file.sync_data()?;
        at = end;
        if at < size {
            between();
        }
    }
    Ok(())
}

/// Files waiting to become segments.
#[derive(Debug)]
pub(super) struct Spares {
    dir: PathBuf,
    ready: VecDeque<Prepared>,
    /// Bytes that they may take.
    max: u64,
    next_number: u64,
    /// A request is out and not yet answered.
    asked: bool,
    /// The folder was synced since the last rename into the pool.
    settled: bool,
}

impl Spares {
    pub(super) fn new(dir: &Path, max: u64) -> Self {
        Self { dir: dir.to_owned(), ready: VecDeque::new(), max, next_number: 1, asked: false, settled: false }
    }

    /// Takes over a spare found at start. What it holds is unknown.
    pub(super) fn adopt(&mut self, disk: &dyn Disk, number: u64) -> Result<(), WalError> {
        self.next_number = self.next_number.max(number + 1);
        let path = spare_path(&self.dir, number);
        let file = disk.open(&path).map_err(WalError::io("open", &path))?;
        let size = file.len().map_err(WalError::io("measure", &path))?;
        self.put(disk, Prepared { path, file, size, recycled: true })
    }

    fn has_room(&self, size: u64) -> bool {
        self.ready.iter().map(|file| file.size).sum::<u64>() + size <= self.max
    }

    fn put(&mut self, disk: &dyn Disk, file: Prepared) -> Result<(), WalError> {
        // smaller ones were left by a time of small batches
        while !self.has_room(file.size)
            && let Some(at) = self.ready.iter().position(|other| other.size < file.size)
        {
            let small = self.ready.remove(at).expect("position is within the queue");
            disk.remove(&small.path).map_err(WalError::io("remove", &small.path))?;
        }
        if !self.has_room(file.size) {
            return disk.remove(&file.path).map_err(WalError::io("remove", &file.path));
        }
        self.ready.push_back(file);
        Ok(())
    }

    /// Takes over a released segment, if it is of a useful size.
    pub(super) fn recycle(
        &mut self,
        disk: &dyn Disk,
        path: &Path,
        file: Arc<dyn DiskFile>,
        size: u64,
        useful: std::ops::RangeInclusive<u64>,
    ) -> Result<(), WalError> {
        if !self.has_room(size) || !useful.contains(&size) {
            return disk.remove(path).map_err(WalError::io("remove", path));
        }
        let number = self.take_number();
        let spare = spare_path(&self.dir, number);
        disk.rename(path, &spare).map_err(WalError::io("rename", path))?;
        self.settled = false;
        self.ready.push_back(Prepared { path: spare, file, size, recycled: true });
        Ok(())
    }

    fn take_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    /// What should be prepared now, if anything: of `size`, or of `least` where room is short. Nothing while a spare is there that is as
    /// large.
    pub(super) fn wanted(&mut self, size: u64, least: u64) -> Option<PrepareRequest> {
        if self.asked || self.max == 0 || self.ready.iter().any(|file| file.size >= size) {
            return None;
        }
        self.asked = true;
        Some(PrepareRequest { dir: self.dir.clone(), number: self.take_number(), size, least })
    }

    pub(super) fn offer(&mut self, disk: &dyn Disk, file: Prepared) -> Result<(), WalError> {
        self.asked = false;
        self.put(disk, file)
    }

    pub(super) fn declined(&mut self) {
        self.asked = false;
    }

    /// A file of at least `need` bytes, of `size` if there is one; made on the spot when there is none: of `size`, or of `need` where room is
    /// short.
    pub(super) fn take(&mut self, disk: &dyn Disk, need: u64, size: u64) -> Result<Prepared, WalError> {
        self.settle(disk)?;
        let of = |least: u64| self.ready.iter().position(|file| file.size >= least);
        if let Some(at) = of(size.max(need)).or_else(|| of(need)) {
            return Ok(self.ready.remove(at).expect("position is within the queue"));
        }
        let least = need.next_multiple_of(BLOCK);
        let request = PrepareRequest { dir: self.dir.clone(), number: self.take_number(), size, least };
        // the log waits for it
        prepare_segment(disk, &request, &mut || {})
    }

    /// Makes renames into the pool durable before any spare is written to: otherwise a crash could undo the rename and show new bytes
    /// under the old segment's name.
    fn settle(&mut self, disk: &dyn Disk) -> Result<(), WalError> {
        if !self.settled {
            disk.sync_dir(&self.dir).map_err(WalError::io("sync", &self.dir))?;
            self.settled = true;
        }
        Ok(())
    }
}

/// A segment that has a durable head and name.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) id: u64,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) size: u64,
    /// Highest index of an entry ever written to it.
    pub(super) max_index: u64,
    /// Bytes of records in it, without heads and padding. After a start, when nobody knows, all that was written.
    pub(super) records: u64,
}

/// The bytes of a segment's first batch.
pub(super) fn encode_head(head: &SegmentHead, segment: u64, number: u64) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_LEN];
    put_head(&mut bytes, head);
    let payload = &bytes[HEADER_LEN..];
    let header = Header {
        records: 1,
        log_id: head.meta.log_id,
        segment,
        number,
        payload_len: payload.len() as u32,
        payload_crc: crc32c::crc32c(payload),
        first_index: 0,
        span: 0,
    };
    header.encode(&mut bytes);
    bytes.resize(padded(bytes.len()) as usize, 0);
    bytes
}

/// Turns `prepared` into segment `id`: head, sync, name, sync of the folder. Returns the segment and where its second batch goes.
pub(super) fn start_segment(
    disk: &dyn Disk,
    dir: &Path,
    prepared: Prepared,
    head: &SegmentHead,
    id: u64,
    number: u64,
) -> Result<(Segment, u64), WalError> {
    let bytes = encode_head(head, id, number);
    let Prepared { path: from, file, size, .. } = prepared;
    file.write_all_at(&bytes, 0).map_err(WalError::io("write", &from))?;
    file.sync_data().map_err(WalError::io("sync", &from))?;
    let path = segment_path(dir, id);
    disk.rename(&from, &path).map_err(WalError::io("rename", &from))?;
    disk.sync_dir(dir).map_err(WalError::io("sync", dir))?;
    Ok((Segment { id, path, file, size, max_index: 0, records: 0 }, bytes.len() as u64))
}

/// Takes the folder's lock.
pub(super) fn lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn DiskLock>, WalError> {
    let path = dir.join(LOCK);
    disk.lock(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::WouldBlock => WalError::Locked { path },
        _ => WalError::io("lock", &path)(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_takes_no_more_than_half_of_what_is_left_and_never_less_than_will_do() {
        const MIB: u64 = 1 << 20;
        let request = PrepareRequest { dir: PathBuf::new(), number: 1, size: 64 * MIB, least: 4 * MIB };
        let sizes = [(None, 64), (Some(1_000), 64), (Some(128), 64), (Some(127), 32), (Some(20), 8), (Some(1), 4)];
        for (free, size) in sizes {
            assert_eq!(request.fitting(free.map(|free: u64| free * MIB)), size * MIB, "{free:?} MiB are free");
        }
        let large = PrepareRequest { least: 90 * MIB + BLOCK, ..request };
        assert_eq!(large.fitting(Some(0)), 90 * MIB + BLOCK, "a batch above the usual size");
    }

    #[test]
    fn only_our_own_names_are_ours() {
        assert_eq!(parse_name("00000000000000ff.wal"), Name::Segment(255));
        assert_eq!(parse_name("0000000000000001.spare"), Name::Spare(1));
        assert_eq!(parse_name("0000000000000001.partial"), Name::Partial);
        for name in ["LOCK", "ff.wal", "00000000000000FF.wal", "+0000000000000ff.wal", "00000000000000ff.wal.bak"] {
            assert_eq!(parse_name(name), Name::Foreign, "{name}");
        }
    }
}
