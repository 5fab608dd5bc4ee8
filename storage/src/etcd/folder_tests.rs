//! Data folders as a killed etcd leaves them: the database behind the log, the log in several files, its end torn.

use super::tests::exported;
use super::{EtcdError, EtcdFolder};
use crate::apply::StateMachine;
use crate::apply::tests::{Node, put, random};
use crate::engine::Engine;
use crate::engine::sim::SimEngine;
use crate::read::hash::hash_kv;
use ::model::{Caller, Command};
use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// A record of etcd's log, for encoding.
#[derive(Clone, PartialEq, prost::Message)]
struct Record {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(uint32, tag = "2")]
    crc: u32,
    #[prost(bytes = "bytes", optional, tag = "3")]
    data: Option<Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct State {
    #[prost(uint64, tag = "1")]
    term: u64,
    #[prost(uint64, tag = "3")]
    commit: u64,
}

/// etcd's log on its way into a folder.
struct Writer {
    file: Vec<u8>,
    crc: u32,
    number: u64,
    first: u64,
}

impl Writer {
    fn new() -> Self {
        let mut writer = Self { file: Vec::new(), crc: 0, number: 0, first: 0 };
        writer.record(4, None);
        writer.record(1, Some(Bytes::from_static(b"\x08\x07\x10\x09")));
        writer
    }

    fn record(&mut self, kind: i64, data: Option<Bytes>) {
        self.crc = data.as_ref().map_or(self.crc, |data| crc32c::crc32c_append(self.crc, data));
        let mut bytes = Record { kind, crc: self.crc, data }.encode_to_vec();
        let padding = (8 - bytes.len() % 8) % 8;
        let mut length = bytes.len() as u64;
        if padding > 0 {
            length |= (0x80 | padding as u64) << 56;
        }
        bytes.resize(bytes.len() + padding, 0);
        self.file.extend_from_slice(&length.to_le_bytes());
        self.file.extend_from_slice(&bytes);
    }

    fn entry(&mut self, index: u64, term: u64, data: Bytes) {
        let entry = super::log::LogEntry { kind: 0, term, index, data };
        self.record(2, Some(entry.encode_to_vec().into()));
    }

    fn commit(&mut self, commit: u64) {
        self.record(3, Some(State { term: 1, commit }.encode_to_vec().into()));
    }

    /// Ends the file, with room that was prepared behind it, and begins the next one.
    fn cut(&mut self, wal: &Path, next: u64) {
        self.file.resize(self.file.len() + 512, 0);
        self.write(wal);
        (self.number, self.first, self.file) = (self.number + 1, next, Vec::new());
        self.record(4, None);
    }

    fn write(&self, wal: &Path) {
        std::fs::write(wal.join(format!("{:016x}-{:016x}.wal", self.number, self.first)), &self.file).unwrap();
    }
}

/// A folder with the database of a store, and an empty log.
fn folder(database: &[u8]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for name in ["snap", "wal"] {
        std::fs::create_dir_all(dir.path().join("member").join(name)).unwrap();
    }
    std::fs::write(dir.path().join("member/snap/db"), database).unwrap();
    dir
}

fn filled(dir: &Path) -> Result<(StateMachine<SimEngine>, super::Replayed), EtcdError> {
    let engine = Arc::new(SimEngine::new());
    let found = EtcdFolder::find(dir, None)?.expect("a folder of etcd's");
    let (_, replayed) = found.fill(&engine, &mut |_| ())?;
    Ok((StateMachine::open(engine)?, replayed))
}

/// The bytes that etcd's entry would have.
fn request(command: Command, index: u64) -> Bytes {
    command.encode_for(Caller::Nobody, index)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_the_database_lacks_comes_from_the_log(
        commands in proptest::collection::vec(random::command(), 2..40),
        behind: proptest::sample::Index,
        cut: proptest::sample::Index,
        torn in 0_usize..40,
    ) {
        let (behind, cut) = (behind.index(commands.len()), cut.index(commands.len()));
        let (mut node, mut log) = (Node::new(), Writer::new());
        let mut database = exported(node.engine.snapshot());
        let dir = folder(&database);
        let wal = dir.path().join("member/wal");
        let first = node.applier.applied().index + 1;
        for (n, command) in commands.into_iter().enumerate() {
            let index = first + n as u64;
            if n == cut {
                log.cut(&wal, index);
            }
            log.entry(index, 1, request(command.clone(), index));
            node.run(command);
            if n == behind {
                database = exported(node.engine.snapshot());
            }
        }
        // a record that was being written
        let whole = log.file.len();
        log.entry(1_000, 1, Bytes::from(vec![7; 40]));
        log.file.truncate(whole + torn);
        log.write(&wal);
        std::fs::write(dir.path().join("member/snap/db"), &database).unwrap();
        let (store, _) = filled(dir.path()).unwrap();
        let (ours, theirs) = (node.applier.view(), store.view());
        prop_assert_eq!(ours.status.revision, theirs.status.revision);
        prop_assert_eq!(ours.status.compact_revision, theirs.status.compact_revision);
        prop_assert_eq!(ours.status.applied_index, theirs.status.applied_index);
        prop_assert_eq!((ours.status.keys, &ours.status.alarms), (theirs.status.keys, &theirs.status.alarms));
        for revision in ours.status.compact_revision.max(1)..=ours.status.revision {
            prop_assert_eq!(hash_kv(&ours, revision), hash_kv(&theirs, revision));
        }
    }
}

/// A folder of a fresh store, whose log `write` fills from the first entry on.
fn logged(write: impl FnOnce(&mut Writer, u64, &Path)) -> TempDir {
    let node = Node::new();
    let dir = folder(&exported(node.engine.snapshot()));
    let (mut log, wal) = (Writer::new(), dir.path().join("member/wal"));
    write(&mut log, node.applier.applied().index + 1, &wal);
    log.write(&wal);
    dir
}

#[test]
fn entries_that_were_replaced_do_not_count() {
    let dir = logged(|log, first, _| {
        log.entry(first, 1, request(put("a", "old"), 1));
        log.entry(first + 1, 1, request(put("b", "old"), 2));
        log.entry(first, 2, request(put("a", "new"), 3));
    });
    let (store, replayed) = filled(dir.path()).unwrap();
    assert_eq!((store.revision(), replayed.entries), (2, 1));
    assert_eq!(store.applied().term, 2);
}

#[test]
fn requests_of_the_old_api_have_no_effect_and_unknown_ones_are_refused() {
    // a member of 3.4 publishes itself: method and path
    let old = Bytes::from_static(b"\x08\x05\x12\x03PUT\x1a\x16/0/members/1/attribute");
    let dir = logged(|log, first, _| {
        log.entry(first, 1, old.clone());
        log.entry(first + 1, 1, Bytes::new());
        log.entry(first + 2, 1, request(put("a", "1"), 3));
    });
    let (store, replayed) = filled(dir.path()).unwrap();
    assert_eq!((store.revision(), replayed.entries, replayed.without_effect), (2, 3, 2));
    // field 2000: of a release to come
    let dir = logged(|log, first, _| log.entry(first, 1, Bytes::from_static(b"\x82\x7d\x01x")));
    assert!(matches!(filled(dir.path()), Err(EtcdError::Entry { .. })));
}

#[test]
fn damage_before_the_end_and_a_gap_are_refused() {
    let dir = logged(|log, first, wal| {
        log.entry(first, 1, request(put("a", "1"), 1));
        let damaged = log.file.len() - 20;
        log.entry(first + 1, 1, request(put("b", "2"), 2));
        log.file[damaged] ^= 1;
        log.cut(wal, first + 2);
        log.entry(first + 2, 1, request(put("c", "3"), 3));
    });
    assert!(matches!(filled(dir.path()), Err(EtcdError::Log { .. })));
    let dir = logged(|log, first, _| log.entry(first + 1, 1, Bytes::new()));
    assert!(matches!(filled(dir.path()), Err(EtcdError::Gap { .. })));
    let dir = logged(|log, first, wal| {
        log.entry(first, 1, Bytes::new());
        log.cut(wal, first + 1);
        log.number += 1;
    });
    assert!(matches!(filled(dir.path()), Err(EtcdError::Log { .. })), "a file is missing");
}

#[test]
fn a_member_of_several_takes_what_it_knows_to_be_committed() {
    let node = Node::new();
    let mut database = exported(node.engine.snapshot());
    // three voters instead of one
    let (one, three) = (&b"{\"auto_leave\":false,\"voters\":[1]}"[..], &b"{\"voters\":[1,2,3]}"[..]);
    let at = database.windows(one.len()).position(|part| part == one).expect("the row");
    let mut row = three.to_vec();
    row.resize(one.len(), b' ');
    database[at..at + one.len()].copy_from_slice(&row);
    let dir = folder(&database);
    let (mut log, first) = (Writer::new(), node.applier.applied().index + 1);
    for n in 0..5 {
        log.entry(first + n, 1, request(put("a", "1"), n));
    }
    log.commit(first + 1);
    log.write(&dir.path().join("member/wal"));
    let (store, replayed) = filled(dir.path()).unwrap();
    assert_eq!((store.revision(), replayed.entries, replayed.uncommitted), (3, 2, 3));
}

#[test]
fn a_folder_that_is_in_use_and_one_of_others_are_told() {
    let dir = folder(b"");
    let held = std::fs::File::open(dir.path().join("member/snap/db")).unwrap();
    held.lock().unwrap();
    assert!(matches!(EtcdFolder::find(dir.path(), None), Err(EtcdError::InUse(_))));
    drop(held);
    assert!(EtcdFolder::find(dir.path(), None).unwrap().is_some());
    assert!(EtcdFolder::find(&dir.path().join("member"), None).unwrap().is_some(), "the inner folder");
    assert!(EtcdFolder::find(&dir.path().join("member/wal"), None).unwrap().is_none());
}
