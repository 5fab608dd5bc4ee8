//! The records inside a batch, as rkyv payloads.
//!
//! Must never be read without validation: bytes with a right checksum may still come from a broken or newer writer. The `…1` structs
//! belong to format version 1 and must never change.

use bytes::Bytes;
use raft::{ConfState, Entry, EntryKind, HardState, Index, LogId, SnapshotMeta};
use rkyv::rancor::Error;
use rkyv::{Archive, Deserialize, Serialize};

use super::WalMeta;
use super::format::{COUNTABLE, Frames, close_record, open_record};

const KIND_HEAD: u8 = 1;
const KIND_ENTRY: u8 = 2;
const KIND_HARD_STATE: u8 = 3;
const KIND_TRUNCATED: u8 = 4;
const KIND_INSTALL: u8 = 5;

/// A snapshot about to replace the store: written before the pointer to the store is renamed, in force until the log is reset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Install {
    /// Place of the snapshot in the log, and the membership there.
    pub meta: SnapshotMeta,
    /// Name of the staged, verified store, as the owner of the pointer knows it.
    pub store: String,
}

/// First record of every segment: all that older segments said and is still in force, so that they can be released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentHead {
    pub(super) meta: WalMeta,
    /// True when this segment does not continue the one before: the log was reset to `truncated`.
    pub(super) reset: bool,
    /// True when the file may hold bytes of an earlier use, so that what lies behind the last batch says nothing.
    pub(super) recycled: bool,
    pub(super) state: LogState,
}

/// What the records so far add up to, entries aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LogState {
    pub(super) hard_state: HardState,
    /// Entries up to here are not needed any more.
    pub(super) truncated: LogId,
    /// Last entry, or `truncated`.
    pub(super) last: LogId,
    pub(super) install: Option<Install>,
}

/// A record read back; entry data is borrowed from the batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    Head(Box<SegmentHead>),
    Entry(EntryRef<'a>),
    HardState(HardState),
    Truncated(LogId),
    Install(Install),
}

/// An entry whose data lies in the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryRef<'a> {
    pub(super) id: LogId,
    pub(super) kind: EntryKind,
    pub(super) data: &'a [u8],
}

impl EntryRef<'_> {
    /// The entry, its data a slice of `batch`, which must hold the bytes this was read from.
    pub(super) fn to_entry(self, batch: &Bytes) -> Entry {
        let data = if self.data.is_empty() { Bytes::new() } else { batch.slice_ref(self.data) };
        Entry { term: self.id.term, index: self.id.index, kind: self.kind, data }
    }
}

/// Fixed part of an entry; its data follows.
#[derive(Archive, Serialize, Deserialize)]
struct Entry1 {
    term: u64,
    index: u64,
    kind: u8,
}

#[derive(Archive, Serialize, Deserialize)]
struct HardState1 {
    term: u64,
    vote: u64,
    commit: u64,
}

#[derive(Archive, Serialize, Deserialize)]
struct LogId1 {
    term: u64,
    index: u64,
}

#[derive(Archive, Serialize, Deserialize)]
struct Install1 {
    at: LogId1,
    voters: Vec<u64>,
    learners: Vec<u64>,
    voters_outgoing: Vec<u64>,
    learners_next: Vec<u64>,
    auto_leave: bool,
    store: String,
}

#[derive(Archive, Serialize, Deserialize)]
struct Head1 {
    cluster: u64,
    member: u64,
    log_id: u64,
    reset: bool,
    recycled: bool,
    hard_state: HardState1,
    truncated: LogId1,
    last: LogId1,
    install: Option<Install1>,
}

impl From<LogId> for LogId1 {
    fn from(id: LogId) -> Self {
        Self { term: id.term, index: id.index }
    }
}

impl From<LogId1> for LogId {
    fn from(id: LogId1) -> Self {
        Self { term: id.term, index: id.index }
    }
}

impl From<HardState> for HardState1 {
    fn from(h: HardState) -> Self {
        Self { term: h.term, vote: h.vote, commit: h.commit }
    }
}

impl From<HardState1> for HardState {
    fn from(h: HardState1) -> Self {
        Self { term: h.term, vote: h.vote, commit: h.commit }
    }
}

impl From<&Install> for Install1 {
    fn from(install: &Install) -> Self {
        let conf = &install.meta.conf_state;
        Self {
            at: LogId1 { term: install.meta.term, index: install.meta.index },
            voters: conf.voters.clone(),
            learners: conf.learners.clone(),
            voters_outgoing: conf.voters_outgoing.clone(),
            learners_next: conf.learners_next.clone(),
            auto_leave: conf.auto_leave,
            store: install.store.clone(),
        }
    }
}

impl From<Install1> for Install {
    fn from(i: Install1) -> Self {
        let conf_state = ConfState {
            voters: i.voters,
            learners: i.learners,
            voters_outgoing: i.voters_outgoing,
            learners_next: i.learners_next,
            auto_leave: i.auto_leave,
        };
        Self { meta: SnapshotMeta { conf_state, index: i.at.index, term: i.at.term }, store: i.store }
    }
}

/// Appends the bytes of a struct of plain integers: no allocation, no padding.
macro_rules! put_plain {
    ($out:expr, $value:expr) => {
        rkyv::api::serialize_using::<_, Error>(&$value, $out).expect("plain integers always archive into memory")
    };
}

pub(super) fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    let at = open_record(out, KIND_ENTRY);
    put_plain!(out, Entry1 { term: entry.term, index: entry.index, kind: entry.kind as u8 });
    out.extend_from_slice(&entry.data);
    close_record(out, at);
}

pub(super) fn put_hard_state(out: &mut Vec<u8>, state: HardState) {
    let at = open_record(out, KIND_HARD_STATE);
    put_plain!(out, HardState1::from(state));
    close_record(out, at);
}

pub(super) fn put_truncated(out: &mut Vec<u8>, id: LogId) {
    let at = open_record(out, KIND_TRUNCATED);
    put_plain!(out, LogId1::from(id));
    close_record(out, at);
}

pub(super) fn put_install(out: &mut Vec<u8>, install: &Install) {
    let bytes = rkyv::to_bytes::<Error>(&Install1::from(install)).expect("lists of integers always archive");
    let at = open_record(out, KIND_INSTALL);
    out.extend_from_slice(&bytes);
    close_record(out, at);
}

pub(super) fn put_head(out: &mut Vec<u8>, head: &SegmentHead) {
    let state = &head.state;
    let flat = Head1 {
        cluster: head.meta.cluster,
        member: head.meta.member,
        log_id: head.meta.log_id,
        reset: head.reset,
        recycled: head.recycled,
        hard_state: state.hard_state.into(),
        truncated: state.truncated.into(),
        last: state.last.into(),
        install: state.install.as_ref().map(Install1::from),
    };
    let bytes = rkyv::to_bytes::<Error>(&flat).expect("a segment head always archives");
    let at = open_record(out, KIND_HEAD);
    out.extend_from_slice(&bytes);
    close_record(out, at);
}

/// Bytes of a hard state and a truncation record together: what a batch may gain when it is closed.
pub(super) const TRAILER_MAX: usize = 32 + 24;

/// Reads a struct of plain integers that fills `bytes`.
macro_rules! plain {
    ($type:ty, $bytes:expr) => {
        rkyv::from_bytes::<$type, Error>($bytes).map_err(|_| "a record does not validate")
    };
}

fn entry(payload: &[u8]) -> Result<EntryRef<'_>, &'static str> {
    let fixed = payload.get(..size_of::<ArchivedEntry1>()).ok_or("an entry is shorter than its fixed part")?;
    let archived = rkyv::access::<ArchivedEntry1, Error>(fixed).map_err(|_| "an entry does not validate")?;
    let kind = match archived.kind {
        0 => EntryKind::Normal,
        1 => EntryKind::ConfChange,
        2 => EntryKind::ConfChangeV2,
        _ => return Err("an entry is of no known kind"),
    };
    let id = LogId { term: archived.term.to_native(), index: archived.index.to_native() };
    Ok(EntryRef { id, kind, data: &payload[fixed.len()..] })
}

fn head(payload: &[u8]) -> Result<SegmentHead, &'static str> {
    let h = plain!(Head1, payload)?;
    Ok(SegmentHead {
        meta: WalMeta { cluster: h.cluster, member: h.member, log_id: h.log_id },
        reset: h.reset,
        recycled: h.recycled,
        state: LogState {
            hard_state: h.hard_state.into(),
            truncated: h.truncated.into(),
            last: h.last.into(),
            install: h.install.map(Install::from),
        },
    })
}

/// The records of a payload whose checksum was right.
pub(super) fn records(payload: &[u8]) -> impl Iterator<Item = Result<Record<'_>, &'static str>> {
    Frames::new(payload).map(|frame| {
        let (kind, payload) = frame.map_err(|()| "the records of a batch do not add up")?;
        let record = match kind {
            KIND_HEAD => Record::Head(Box::new(head(payload)?)),
            KIND_ENTRY => Record::Entry(entry(payload)?),
            KIND_HARD_STATE => Record::HardState(plain!(HardState1, payload)?.into()),
            KIND_TRUNCATED => Record::Truncated(plain!(LogId1, payload)?.into()),
            KIND_INSTALL => Record::Install(plain!(Install1, payload)?.into()),
            _ => return Err("a record is of no known kind"),
        };
        let countable = highest_index(&record) <= COUNTABLE;
        countable.then_some(record).ok_or("an index is larger than any log gets")
    })
}

/// The largest index that is counted on from.
fn highest_index(record: &Record<'_>) -> Index {
    let of_install = |install: &Install| install.meta.index;
    match record {
        Record::Head(head) => {
            let LogState { truncated, last, install, .. } = &head.state;
            truncated.index.max(last.index).max(install.as_ref().map_or(0, of_install))
        }
        Record::Entry(entry) => entry.id.index,
        Record::HardState(_) => 0,
        Record::Truncated(id) => id.index,
        Record::Install(install) => of_install(install),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install() -> Install {
        let conf_state = ConfState { voters: vec![1, 2], learners: vec![9], auto_leave: true, ..ConfState::default() };
        Install { meta: SnapshotMeta { conf_state, index: 10, term: 3 }, store: "store-7".into() }
    }

    #[test]
    fn every_record_round_trips_at_any_alignment() {
        let id = LogId { term: 4, index: 11 };
        let hard_state = HardState { term: 5, vote: 2, commit: 11 };
        let state = LogState { hard_state, truncated: id, last: id, install: Some(install()) };
        let meta = WalMeta { cluster: 1, member: 2, log_id: 3 };
        let head = SegmentHead { meta, reset: true, recycled: false, state };
        let kind = EntryKind::ConfChangeV2;
        let entry = Entry { term: 4, index: 12, kind, data: Bytes::from_static(b"x") };
        let mut out = Vec::new();
        put_head(&mut out, &head);
        put_entry(&mut out, &entry);
        let before = out.len();
        put_hard_state(&mut out, hard_state);
        put_truncated(&mut out, id);
        assert_eq!(out.len() - before, TRAILER_MAX);
        put_install(&mut out, &install());
        let entry = EntryRef { id: LogId { term: 4, index: 12 }, kind, data: b"x" };
        let want = [
            Record::Head(Box::new(head)),
            Record::Entry(entry),
            Record::HardState(hard_state),
            Record::Truncated(id),
            Record::Install(install()),
        ];
        for shift in 0..4 {
            let mut shifted = vec![0; shift];
            shifted.extend_from_slice(&out);
            let got: Vec<_> = records(&shifted[shift..]).map(Result::unwrap).collect();
            assert_eq!(got, want);
        }
    }

    #[test]
    fn what_does_not_validate_is_refused() {
        for (kind, len) in [(KIND_ENTRY, 5), (KIND_HARD_STATE, 7), (KIND_INSTALL, 3), (KIND_HEAD, 20), (77, 0)] {
            let mut out = Vec::new();
            let at = open_record(&mut out, kind);
            out.extend_from_slice(&vec![0xff; len]);
            close_record(&mut out, at);
            assert!(records(&out).next().unwrap().is_err(), "kind {kind}");
        }
    }
}
