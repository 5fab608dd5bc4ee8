//! A store of one member becomes the store of another: equal in everything but its owner, resumed at any place, refused when it is
//! damaged or not what was announced.

use super::{Hash, SnapshotSource, Stage, StageError, StreamError, StreamHeader, StreamReader, restore};
use crate::apply::{Bootstrap, Committed, MemberIds, MemberRow, StateMachine, bootstrap};
use crate::count::count_present;
use crate::engine::rocks::{RocksEngine, RocksOptions};
use crate::engine::sim::{SimEngine, SimSnapshot};
use crate::engine::{Engine, Family, Op, Snapshot};
use crate::read::hash::hash_kv;
use crate::read::meta::{leases, members};
use crate::schema::meta;
use bytes::Bytes;
use model::request::{CompactionRequest, DeleteRangeRequest, LeaseGrantRequest, PutRequest};
use model::{Command, Envelope, KeyRange, Origin};
use proptest::prelude::*;
use raft::{ConfState, Entry, EntryKind, LogId, SnapshotMeta};
use std::sync::Arc;

const SENDER: MemberIds = MemberIds { cluster_id: 7, member_id: 1 };
const OWNER: MemberIds = MemberIds { cluster_id: 7, member_id: 2 };
const CHUNK: usize = crate::apply::CHUNK_BYTES;

/// A store with history, leases, a compaction and garbage.
fn sender(keys: usize, value: usize) -> StateMachine<SimEngine> {
    let engine = Arc::new(SimEngine::new());
    let row = |url: &str| MemberRow { peer_urls: vec![url.into()], ..Default::default() };
    let first = Bootstrap {
        identity: SENDER,
        applied: LogId { term: 1, index: 2 },
        conf_state: ConfState { voters: vec![1, 2], learners: vec![9], ..ConfState::default() },
        members: vec![(1, row("http://a:1")), (2, row("http://b:1")), (9, row("http://c:1"))],
    };
    bootstrap(engine.as_ref(), &first).unwrap();
    let mut store = StateMachine::open(engine).unwrap();
    let mut index = 2;
    let mut run = |command: Command| {
        index += 1;
        let origin = Origin { member: 1, epoch: 2, sequence: index };
        let data = Envelope { origin, only_in_term: 0, command: command.encode(index) }.encode();
        let entry = Entry { term: 3, index, kind: EntryKind::Normal, data };
        store.apply(&[Committed { entry }]).unwrap();
    };
    run(Command::LeaseGrant(LeaseGrantRequest { id: 5, ttl: 60 }));
    for n in 0..keys {
        let lease = if n % 3 == 0 { 5 } else { 0 };
        let key = Bytes::from(format!("key-{n:05}"));
        let value = Bytes::from(vec![n as u8; value]);
        run(Command::Put(PutRequest { key: key.clone(), value: value.clone(), lease, ..Default::default() }));
        run(Command::Put(PutRequest { key, value, ..Default::default() }));
    }
    run(Command::DeleteRange(DeleteRangeRequest { key: "key-00001".into(), ..Default::default() }));
    run(Command::Compaction(CompactionRequest { revision: 5, physical: false }));
    store
}

fn reader(store: &StateMachine<SimEngine>) -> (StreamReader<SimSnapshot>, SnapshotMeta) {
    let snapshot = store.view().snapshot;
    let header = StreamHeader::read(&snapshot, "3.7.0").unwrap();
    let at = store.applied();
    let meta = SnapshotMeta { conf_state: store.conf_state().clone(), index: at.index, term: at.term };
    (StreamReader::new(SnapshotSource::new(snapshot, &header).unwrap()), meta)
}

fn all(reader: &mut StreamReader<SimSnapshot>) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        match reader.read_at(out.len() as u64, 64 << 10).unwrap() {
            bytes if bytes.is_empty() => return out,
            bytes => out.extend_from_slice(&bytes),
        }
    }
}

fn stage<E: Engine>(engine: Arc<E>, bytes: &[u8], meta: &SnapshotMeta) -> Result<StateMachine<E>, StageError> {
    let mut stage = Stage::new(engine.as_ref())?;
    for piece in bytes.chunks(100_003) {
        stage.feed(piece)?;
    }
    stage.finish(engine, OWNER, meta, CHUNK)
}

fn assert_same<E: Engine>(staged: &StateMachine<E>, sender: &StateMachine<SimEngine>) {
    assert_eq!(staged.identity(), OWNER, "the sender's identity is not the receiver's");
    let (view, of_sender) = (staged.view(), sender.view());
    assert_eq!(view.status, of_sender.status);
    assert_eq!(staged.conf_state(), sender.conf_state());
    assert_eq!(hash_kv(&view, 0).unwrap(), hash_kv(&of_sender, 0).unwrap());
    assert_eq!(members(&view).unwrap(), members(&of_sender).unwrap());
    assert_eq!(leases(&view).unwrap(), leases(&of_sender).unwrap());
    let everything = KeyRange::new(Bytes::from_static(&[0]), Bytes::from_static(&[0]));
    assert_eq!(count_present(&view.snapshot, &everything).unwrap(), of_sender.status.keys);
}

#[test]
fn a_staged_store_equals_its_source_and_belongs_to_the_receiver() {
    let sender = sender(2_000, 300);
    let (mut reader, meta) = reader(&sender);
    let bytes = all(&mut reader);
    assert_eq!(bytes.len() as u64, reader.length());
    let engine = Arc::new(SimEngine::new());
    let staged = stage(engine.clone(), &bytes, &meta).unwrap();
    assert_same(&staged, &sender);
    // the machine may stop right after: the store is durable before it is announced
    let again = StateMachine::open(Arc::new(engine.crash())).unwrap();
    assert_same(&again, &sender);
}

#[test]
fn a_staged_store_of_rocksdb_goes_through_sorted_files_and_survives_a_crash() {
    let sender = sender(3_000, 700);
    let (mut reader, meta) = reader(&sender);
    let bytes = all(&mut reader);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("store-1");
    // small files, so that there are several of each family, and no flush at the end that could hide a loss
    let options = RocksOptions {
        cache_bytes: 1 << 20,
        write_buffer_bytes: 1 << 20,
        file_bytes: 128 << 10,
        flush_on_close: false,
        ..RocksOptions::default()
    };
    let engine = Arc::new(RocksEngine::open(&dir, &options).unwrap());
    let closed = engine.closed();
    let staged = stage(engine, &bytes, &meta).unwrap();
    assert_same(&staged, &sender);
    assert!(!dir.join("load").exists(), "files on their way in are gone");
    assert!(!closed());
    drop(staged);
    assert!(closed(), "nobody has it open any more");
    let again = StateMachine::open(Arc::new(RocksEngine::open(&dir, &options).unwrap())).unwrap();
    assert_same(&again, &sender);
}

#[test]
fn a_staged_store_goes_on_with_the_next_entry() {
    let sender = sender(10, 10);
    let (mut reader, meta) = reader(&sender);
    let mut staged = stage(Arc::new(SimEngine::new()), &all(&mut reader), &meta).unwrap();
    let command = Command::Put(PutRequest { key: "new".into(), value: "1".into(), ..Default::default() });
    let data = Envelope { origin: Origin::default(), only_in_term: 0, command: command.encode(1) }.encode();
    let entry = Entry { term: 3, index: meta.index + 1, kind: EntryKind::Normal, data };
    let report = staged.apply(&[Committed { entry }]).unwrap();
    assert_eq!(report.view.status.revision, sender.revision() + 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_stream_reads_the_same_from_any_place_and_is_taken_in_pieces_of_any_size(
        keys in 0usize..400,
        value in 0usize..2_000,
        places in proptest::collection::vec(any::<proptest::sample::Index>(), 1..5),
        piece in 1usize..70_000,
    ) {
        let sender = sender(keys, value);
        let (mut reader, meta) = reader(&sender);
        let bytes = all(&mut reader);
        for place in places {
            let offset = place.index(bytes.len());
            let read = reader.read_at(offset as u64, piece).unwrap();
            prop_assert!(!read.is_empty() && read.len() <= piece);
            prop_assert!(bytes[offset..].starts_with(&read));
        }
        let engine = Arc::new(SimEngine::new());
        let mut stage = Stage::new(engine.as_ref()).unwrap();
        for part in bytes.chunks(piece) {
            stage.feed(part).unwrap();
        }
        prop_assert_eq!(stage.progress(), (bytes.len() as u64, crc32c::crc32c(&bytes)));
        assert_same(&stage.finish(engine, OWNER, &meta, CHUNK).unwrap(), &sender);
        // a file of it is one that the tools restore
        prop_assert!(restore(&bytes[..], &SimEngine::new(), Hash::Check).is_ok());
    }

    #[test]
    fn damage_and_cuts_are_refused_and_leave_no_store(
        at: proptest::sample::Index,
        bit in 0u8..8,
        cut in any::<bool>(),
    ) {
        let sender = sender(120, 100);
        let (mut reader, meta) = reader(&sender);
        let mut bytes = all(&mut reader);
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << bit;
        }
        let engine = Arc::new(SimEngine::new());
        prop_assert!(stage(engine.clone(), &bytes, &meta).is_err());
        prop_assert_eq!(engine.snapshot().get(Family::Meta, meta::APPLIED).unwrap(), None);
        prop_assert!(StateMachine::open(engine).is_err(), "nobody takes it for a store");
    }
}

#[test]
fn what_was_not_announced_is_refused() {
    let sender = sender(5, 5);
    let (mut reader, meta) = reader(&sender);
    let bytes = all(&mut reader);
    let refused = |meta: &SnapshotMeta| stage(Arc::new(SimEngine::new()), &bytes, meta).err().expect("refused");
    let other = SnapshotMeta { index: meta.index + 1, ..meta.clone() };
    assert!(matches!(refused(&other), StageError::OtherPlace { .. }));
    let other = SnapshotMeta { term: meta.term + 1, ..meta.clone() };
    assert!(matches!(refused(&other), StageError::OtherPlace { .. }));
    let other = SnapshotMeta { conf_state: ConfState::default(), ..meta.clone() };
    assert!(matches!(refused(&other), StageError::OtherPlace { .. }));
    let engine = Arc::new(SimEngine::new());
    let mut stage = Stage::new(engine.as_ref()).unwrap();
    stage.feed(&bytes).unwrap();
    let stranger = MemberIds { cluster_id: 8, ..OWNER };
    let refused = stage.finish(engine, stranger, &meta, CHUNK).err().expect("refused");
    assert!(matches!(refused, StageError::OtherCluster { theirs: 7, ours: 8 }));
}

#[test]
fn a_snapshot_of_half_an_entry_is_refused() {
    let sender = sender(5, 5);
    let engine = SimEngine::new();
    let (mut whole, meta) = reader(&sender);
    restore(&all(&mut whole)[..], &engine, Hash::Check).unwrap();
    let cursor = Op::Put { family: Family::Meta, key: Bytes::from_static(meta::CHUNK), value: Bytes::new() };
    engine.write(vec![cursor]).unwrap();
    let header = StreamHeader::read(&engine.snapshot(), "3.7.0").unwrap();
    let mut half = StreamReader::new(SnapshotSource::new(engine.snapshot(), &header).unwrap());
    let refused = stage(Arc::new(SimEngine::new()), &all(&mut half), &meta).err().expect("refused");
    assert!(matches!(refused, StageError::Unfinished), "{refused}");
}

#[test]
fn a_store_that_holds_rows_is_not_staged_into() {
    let engine = SimEngine::new();
    engine.write(vec![Op::Put { family: Family::Cur, key: "a".into(), value: "1".into() }]).unwrap();
    assert!(matches!(Stage::new(&engine), Err(StreamError::NotEmpty)));
}
