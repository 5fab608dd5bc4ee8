//! etcd's write-ahead log, releases 3.4 to 3.7: its files, its records, and where each entry stands.
//!
//! A file is a row of records: a length (8, little-endian; its highest byte says how many bytes of padding follow), then protobuf with
//! kind, checksum and data. Checksums run on over all data of all files; a file begins with a record that says the one so far. Entries
//! are read twice: once for their places, so that a log of any length fits into memory, and again when they are applied. Must never
//! take a cut-off record at the end of the last file for damage, nor one before it for the end.

use super::EtcdError;
use bytes::Bytes;
use prost::Message;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Longest record that is read. etcd's own limit for a request is far below.
const MAX_RECORD: u64 = 512 << 20;
/// What a disk writes at once: a record that was cut off has one of zeros.
const SECTOR: usize = 512;

const METADATA: i64 = 1;
const ENTRY: i64 = 2;
const STATE: i64 = 3;
const CRC: i64 = 4;
const SNAPSHOT: i64 = 5;

/// `walpb.Record`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Record {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(uint32, tag = "2")]
    crc: u32,
    #[prost(bytes = "bytes", optional, tag = "3")]
    data: Option<Bytes>,
}

/// `raftpb.Entry`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct LogEntry {
    /// 0 normal, 1 a change of the membership, 2 such a change in several steps.
    #[prost(int32, tag = "1")]
    pub(super) kind: i32,
    #[prost(uint64, tag = "2")]
    pub(super) term: u64,
    #[prost(uint64, tag = "3")]
    pub(super) index: u64,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) data: Bytes,
}

/// `raftpb.HardState`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
struct HardState {
    #[prost(uint64, tag = "1")]
    term: u64,
    #[prost(uint64, tag = "2")]
    vote: u64,
    #[prost(uint64, tag = "3")]
    commit: u64,
}

/// `etcdserverpb.Metadata`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
struct Metadata {
    #[prost(uint64, tag = "1")]
    node: u64,
    #[prost(uint64, tag = "2")]
    cluster: u64,
}

/// `walpb.Snapshot`, without its membership.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
struct Saved {
    #[prost(uint64, tag = "1")]
    index: u64,
    #[prost(uint64, tag = "2")]
    term: u64,
}

/// Where a record's data stand.
#[derive(Clone, Copy, Debug)]
struct Place {
    file: usize,
    offset: u64,
    length: u32,
}

/// What a log holds behind an index.
#[derive(Debug)]
pub(super) struct EtcdLog {
    /// The cluster and the member it belongs to; zero when it does not say so.
    pub(super) ids: (u64, u64),
    /// Up to where entries are known to be committed.
    pub(super) commit: u64,
    /// Index of the first entry in `places`.
    first: u64,
    places: Vec<Place>,
    files: Vec<(PathBuf, File)>,
}

impl EtcdLog {
    /// Reads the records of a folder. Entries up to `applied` are left out.
    ///
    /// # Errors
    /// [`EtcdError`].
    pub(super) fn read(dir: &Path, applied: u64) -> Result<Self, EtcdError> {
        let files = open_from(dir, applied)?;
        let mut log = Self { ids: (0, 0), commit: 0, first: applied + 1, places: Vec::new(), files: Vec::new() };
        log.files = files;
        let mut crc = None;
        for file in 0..log.files.len() {
            if !log.scan(file, &mut crc, applied)? {
                break;
            }
        }
        Ok(log)
    }

    /// Index of the last entry; that of what is applied when there is none behind it.
    pub(super) fn last(&self) -> u64 {
        self.first + self.places.len() as u64 - 1
    }

    /// An entry behind what is applied, up to [`Self::last`].
    ///
    /// # Errors
    /// [`EtcdError`].
    pub(super) fn entry(&self, index: u64) -> Result<LogEntry, EtcdError> {
        let place = self.places[(index - self.first) as usize];
        let (path, file) = &self.files[place.file];
        let mut data = vec![0; place.length as usize];
        file.read_exact_at(&mut data, place.offset).map_err(|source| EtcdError::File { path: path.clone(), source })?;
        LogEntry::decode(Bytes::from(data)).map_err(|_| self.damaged(place.file, place.offset, "no entry"))
    }

    fn damaged(&self, file: usize, offset: u64, why: &'static str) -> EtcdError {
        EtcdError::Log { path: self.files[file].0.clone(), offset, why }
    }

    /// Reads one file. False when it ends in a record that was cut off, behind which nothing can follow.
    fn scan(&mut self, file: usize, crc: &mut Option<u32>, applied: u64) -> Result<bool, EtcdError> {
        let is_last = file + 1 == self.files.len();
        let (path, handle) = &self.files[file];
        let (path, handle) = (path.clone(), handle.try_clone().map_err(|why| self.unreadable(file, why))?);
        scan(&path, &handle, is_last, crc, &mut |record, data, offset| {
            self.take(&record, data, Place { file, offset, length: 0 }, applied)
        })
    }

    fn unreadable(&self, file: usize, source: io::Error) -> EtcdError {
        EtcdError::File { path: self.files[file].0.clone(), source }
    }

    fn take(&mut self, record: &Record, data: Bytes, place: Place, applied: u64) -> Result<(), EtcdError> {
        let bad = |log: &Self, why| log.damaged(place.file, place.offset, why);
        let length = data.len() as u32;
        match record.kind {
            ENTRY => {
                let entry = LogEntry::decode(data).map_err(|_| bad(self, "no entry"))?;
                if entry.index <= applied {
                    // it replaces what stood at its index and behind it
                    self.places.clear();
                    return Ok(());
                }
                let next = self.first + self.places.len() as u64;
                if entry.index > next {
                    return Err(match self.places.is_empty() {
                        true => EtcdError::Gap { first: entry.index, applied },
                        false => bad(self, "an entry is missing before it"),
                    });
                }
                // an entry replaces what stood at its index and behind it
                self.places.truncate((entry.index - self.first) as usize);
                self.places.push(Place { length, ..place });
            }
            STATE => {
                let state = HardState::decode(data).map_err(|_| bad(self, "no hard state"))?;
                self.commit = self.commit.max(state.commit);
            }
            METADATA => {
                let metadata = Metadata::decode(data).map_err(|_| bad(self, "no metadata"))?;
                self.ids = (metadata.cluster, metadata.node);
            }
            CRC | SNAPSHOT => {}
            _ => return Err(bad(self, "a record of an unknown kind")),
        }
        Ok(())
    }
}

/// Reads the records of one file: each with its data, and where those stand. False when the file ends in a record that was cut
/// off, which only the last one of a log may.
fn scan(
    path: &Path,
    file: &File,
    is_last: bool,
    crc: &mut Option<u32>,
    take: &mut dyn FnMut(Record, Bytes, u64) -> Result<(), EtcdError>,
) -> Result<bool, EtcdError> {
    let io = |source: io::Error| EtcdError::File { path: path.to_owned(), source };
    let damaged = |offset, why| EtcdError::Log { path: path.to_owned(), offset, why };
    let length = file.metadata().map_err(io)?.len();
    let mut at = 0;
    while at + 8 <= length {
        let Some(framed) = Framed::read(file, at, length).map_err(io)? else {
            break; // room that was prepared and not written
        };
        let cut = |why| if is_last { Ok(false) } else { Err(damaged(at, why)) };
        let Some(bytes) = framed.bytes else { return cut("a record runs past the end of the file") };
        let is_torn = is_torn(&bytes, at + 8);
        let Ok(record) = Record::decode(bytes.slice(..framed.record)) else {
            return if is_torn { cut("no record") } else { Err(damaged(at, "no record")) };
        };
        let data = record.data.clone().unwrap_or_default();
        if record.kind == CRC {
            if crc.is_some_and(|crc| crc != 0 && crc != record.crc) {
                return Err(damaged(at, "its file does not follow the one before"));
            }
            *crc = Some(record.crc);
        } else {
            let sum = crc32c::crc32c_append(crc.unwrap_or(0), &data);
            if sum != record.crc {
                let why = "its checksum does not fit";
                return if is_torn { cut(why) } else { Err(damaged(at, why)) };
            }
            *crc = Some(sum);
        }
        // the data stand at the end of the record: it is its last field
        let offset = at + 8 + (framed.record - data.len()) as u64;
        take(record, data, offset)?;
        at += framed.total;
    }
    Ok(true)
}

/// A record of a log, as it stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EtcdRecord {
    /// Whose log it is.
    Metadata {
        /// Id of the member.
        node: u64,
        /// Id of its cluster.
        cluster: u64,
    },
    /// An entry. It replaces those at its index and behind it.
    Entry {
        /// 0 normal, 1 a change of the membership, 2 such a change in several steps.
        kind: i32,
        /// Its term.
        term: u64,
        /// Its index.
        index: u64,
        /// What it says.
        data: Bytes,
    },
    /// What the member knows of term, vote and commit.
    State {
        /// The term.
        term: u64,
        /// Whom it voted for.
        vote: u64,
        /// Up to where entries are committed.
        commit: u64,
    },
    /// The checksum at the beginning of a file.
    Crc(u32),
    /// That there is a snapshot.
    Snapshot {
        /// Its index.
        index: u64,
        /// Its term.
        term: u64,
    },
}

/// Shows all records of the log in a folder that are behind an index, and some before it: files are shown whole. False when
/// the log ends in a record that was cut off.
///
/// # Errors
/// [`EtcdError`]; records before the damage are shown.
pub fn records(dir: &Path, index: u64, each: &mut dyn FnMut(EtcdRecord)) -> Result<bool, EtcdError> {
    let files = open_from(dir, index)?;
    let mut crc = None;
    for (at, (path, file)) in files.iter().enumerate() {
        let whole = scan(path, file, at + 1 == files.len(), &mut crc, &mut |record, data, offset| {
            each(EtcdRecord::read(&record, data).map_err(|why| EtcdError::Log { path: path.clone(), offset, why })?);
            Ok(())
        });
        if !whole? {
            return Ok(false);
        }
    }
    Ok(true)
}

impl EtcdRecord {
    fn read(record: &Record, data: Bytes) -> Result<Self, &'static str> {
        Ok(match record.kind {
            ENTRY => {
                let LogEntry { kind, term, index, data } = LogEntry::decode(data).map_err(|_| "no entry")?;
                Self::Entry { kind, term, index, data }
            }
            STATE => {
                let HardState { term, vote, commit } = HardState::decode(data).map_err(|_| "no hard state")?;
                Self::State { term, vote, commit }
            }
            METADATA => {
                let Metadata { node, cluster } = Metadata::decode(data).map_err(|_| "no metadata")?;
                Self::Metadata { node, cluster }
            }
            SNAPSHOT => {
                let Saved { index, term } = Saved::decode(data).map_err(|_| "no snapshot")?;
                Self::Snapshot { index, term }
            }
            CRC => Self::Crc(record.crc),
            _ => return Err("a record of an unknown kind"),
        })
    }
}

/// A record with its length.
struct Framed {
    /// Record and padding; `None` when the file ends before.
    bytes: Option<Bytes>,
    /// Bytes of the record alone.
    record: usize,
    /// All bytes, the length included.
    total: u64,
}

impl Framed {
    /// The record at an offset; `None` where nothing was written.
    fn read(file: &File, at: u64, end: u64) -> io::Result<Option<Self>> {
        let mut length = [0; 8];
        file.read_exact_at(&mut length, at)?;
        let length = u64::from_le_bytes(length);
        if length == 0 {
            return Ok(None);
        }
        let record = length & (u64::MAX >> 8);
        let padding = if length >> 63 == 1 { (length >> 56) & 7 } else { 0 };
        let whole = record + padding;
        if whole > MAX_RECORD || whole > end - at - 8 {
            return Ok(Some(Self { bytes: None, record: 0, total: 0 }));
        }
        let mut bytes = vec![0; whole as usize];
        file.read_exact_at(&mut bytes, at + 8)?;
        Ok(Some(Self { bytes: Some(bytes.into()), record: record as usize, total: 8 + whole }))
    }
}

/// True when a sector that the bytes at this offset lie in was never written.
fn is_torn(bytes: &[u8], offset: u64) -> bool {
    let first = SECTOR - (offset % SECTOR as u64) as usize;
    let (first, rest) = bytes.split_at(first.min(bytes.len()));
    let is_empty = |sector: &[u8]| !sector.is_empty() && sector.iter().all(|byte| *byte == 0);
    is_empty(first) || rest.chunks(SECTOR).any(is_empty)
}

/// The files of a log from the one on that holds the entry behind `applied`, in order.
fn open_from(dir: &Path, applied: u64) -> Result<Vec<(PathBuf, File)>, EtcdError> {
    let fail = |path: &Path, source| EtcdError::File { path: path.to_owned(), source };
    let mut named = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|why| fail(dir, why))? {
        let entry = entry.map_err(|why| fail(dir, why))?;
        if let Some((number, index)) = entry.file_name().to_str().and_then(numbers) {
            named.push((number, index, entry.path()));
        }
    }
    named.sort();
    let first = named.iter().rposition(|(_, index, _)| *index <= applied + 1).unwrap_or(0);
    let wanted = named.split_off(first);
    for pair in wanted.windows(2) {
        if pair[0].0 + 1 != pair[1].0 {
            return Err(EtcdError::Log { path: pair[1].2.clone(), offset: 0, why: "the file before it is missing" });
        }
    }
    let open = |(_, _, path): (u64, u64, PathBuf)| {
        let file = File::open(&path).map_err(|why| fail(&path, why))?;
        Ok((path, file))
    };
    wanted.into_iter().map(open).collect()
}

/// Number of a file and index of its first entry: `0000000000000001-0000000000000af3.wal`.
fn numbers(name: &str) -> Option<(u64, u64)> {
    let (number, index) = name.strip_suffix(".wal")?.split_once('-')?;
    let hex = |text: &str| u64::from_str_radix(text, 16).ok().filter(|_| text.len() == 16);
    Some((hex(number)?, hex(index)?))
}
