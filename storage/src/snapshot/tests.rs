//! Streams there and back, and every way in which one can be bad.

use super::{CHUNK_BYTES, Hash, SnapshotSource, StreamEnd, StreamError, StreamHeader, restore, verify};
use crate::count::{Counts, count_present};
use crate::engine::sim::{SimEngine, SimSnapshot};
use crate::engine::{Direction, Engine, EngineError, Family, Op, Scan, Snapshot};
use crate::schema::meta;
use bytes::Bytes;
use model::KeyRange;
use proptest::prelude::*;
use std::ops::ControlFlow;

fn header() -> StreamHeader {
    StreamHeader {
        cluster_id: 0xcdf8_18f3_c7f0_1234,
        member_id: 7,
        revision: 12,
        compact_revision: -1,
        applied_index: 5,
        applied_term: 2,
        conf_state: Bytes::from_static(b"conf"),
        server_version: "3.6.0".into(),
    }
}

fn put(family: Family, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Op {
    Op::Put { family, key: key.into(), value: value.into() }
}

/// A store with these rows, and the rows of `meta` that the header repeats.
fn store(rows: Vec<Op>) -> SimEngine {
    let engine = SimEngine::new();
    engine.write(rows).unwrap();
    let applied = [5u64.to_be_bytes(), 2u64.to_be_bytes()].concat();
    let revisions = [12i64, -1, -1, 0, 0, 0].map(i64::to_be_bytes).concat();
    let (conf, format) = (put(Family::Meta, meta::CONF_STATE, "conf"), put(Family::Meta, meta::FORMAT, "0001"));
    let sizes = put(Family::Meta, meta::SIZES, vec![0; 40]);
    let (applied, revisions) =
        (put(Family::Meta, meta::APPLIED, applied), put(Family::Meta, meta::REVISIONS, revisions));
    let identity = [header().cluster_id.to_be_bytes(), header().member_id.to_be_bytes()].concat();
    engine.write(vec![conf, format, applied, revisions, sizes, put(Family::Meta, meta::IDENTITY, identity)]).unwrap();
    engine
}

/// The stream with its hash, as a file holds it.
fn stream(engine: &SimEngine) -> Vec<u8> {
    stream_with(engine, &header())
}

fn stream_with(engine: &SimEngine, header: &StreamHeader) -> Vec<u8> {
    let source = SnapshotSource::new(engine.snapshot(), header).unwrap();
    let total = source.total_bytes();
    let mut out = vec![];
    let end = source.send(|chunk| {
        assert!(!chunk.is_empty() && chunk.len() <= CHUNK_BYTES);
        out.extend_from_slice(&chunk);
        ControlFlow::Continue(())
    });
    assert_eq!((out.len() as u64, total % 512), (total, 0));
    let StreamEnd::Whole(hash) = end.unwrap() else { panic!("all was taken") };
    out.extend_from_slice(&hash);
    out
}

fn rows(snapshot: &SimSnapshot, family: Family) -> Vec<(Bytes, Bytes)> {
    let mut found = vec![];
    let mut scan = snapshot.scan(family, &[], None, Direction::Forward);
    while let Some((key, value)) = scan.next().unwrap() {
        found.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
    }
    found
}

fn some_rows(most: usize, value: usize) -> impl Strategy<Value = Vec<Op>> {
    let family = proptest::sample::select(&[Family::Log, Family::Cur, Family::Hist, Family::Meta][..]);
    let key = proptest::collection::vec(any::<u8>(), 1..6);
    let value = (any::<u8>(), 0..value).prop_map(|(byte, length)| vec![byte; length]);
    proptest::collection::vec((family, key, value).prop_map(|(f, k, v)| put(f, k, v)), 0..most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_went_in_comes_out(ops in prop_oneof![some_rows(200, 40), some_rows(30, 300_000)]) {
        let engine = store(ops);
        let bytes = stream(&engine);
        let restored = SimEngine::new();
        let summary = restore(&bytes[..], &restored, Hash::Check).unwrap();
        prop_assert_eq!(&summary, &verify(&bytes[..], Hash::Check).unwrap());
        prop_assert_eq!(summary.header, header());
        let (before, after) = (engine.snapshot(), restored.crash().snapshot());
        for family in [Family::Log, Family::Cur, Family::Hist, Family::Meta] {
            prop_assert_eq!(rows(&before, family), rows(&after, family));
        }
        let keys = rows(&before, Family::Cur).len() as i64;
        prop_assert_eq!(summary.rows[Family::Cur as usize] as i64, keys);
        prop_assert_eq!(count_present(&after, &KeyRange::new(Bytes::new(), Bytes::from_static(&[0]))).unwrap(), keys);
        prop_assert_eq!(Counts::new(&after).unwrap().total(), keys);
    }

    #[test]
    fn a_flipped_bit_is_always_found(ops in some_rows(60, 60), at: proptest::sample::Index, bit in 0u8..8) {
        let mut bytes = stream(&store(ops));
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        for hash in [Hash::Check, Hash::Skip] {
            if hash == Hash::Skip && at >= bytes.len() - 32 {
                continue; // a damaged hash is what skipping the check is for
            }
            refused(&bytes, hash);
        }
    }

    #[test]
    fn a_cut_is_always_found(ops in some_rows(60, 60), at: proptest::sample::Index) {
        let mut bytes = stream(&store(ops));
        bytes.truncate(at.index(bytes.len()));
        prop_assert!(verify(&bytes[..], Hash::Check).is_err());
        refused(&bytes, Hash::Check);
    }

    #[test]
    fn bytes_of_any_kind_never_panic(bytes: Vec<u8>, ops in some_rows(5, 9), cut: proptest::sample::Index) {
        refused(&bytes, Hash::Skip);
        let mut start = stream(&store(ops));
        start.truncate(cut.index(200)); // before the end block, wherever that is
        start.extend_from_slice(&bytes);
        refused(&start, Hash::Skip);
    }
}

/// The stream is refused, and leaves nothing that looks like a store.
fn refused(bytes: &[u8], hash: Hash) {
    let engine = SimEngine::new();
    let error = restore(bytes, &engine, hash).expect_err("a bad stream was taken");
    assert!(!error.to_string().is_empty());
    assert_eq!(engine.snapshot().get(Family::Meta, meta::APPLIED).unwrap(), None);
    assert_eq!(engine.crash().snapshot().get(Family::Meta, meta::APPLIED).unwrap(), None);
    assert!(verify(bytes, hash).is_err());
}

fn two_blocks() -> Vec<u8> {
    let rows = (0..400u32).map(|n| put(Family::Log, n.to_be_bytes().to_vec(), vec![n as u8; 1_000])).collect();
    stream(&store(rows))
}

#[test]
fn errors_name_what_is_wrong_and_where() {
    let good = two_blocks();
    let error = |bytes: &[u8], hash| verify(bytes, hash).unwrap_err();
    assert!(matches!(error(b"\0\0\0\0\0\0\0\0 something of bbolt", Hash::Check), StreamError::NotASnapshot));
    assert!(matches!(error(&good[..3], Hash::Check), StreamError::Truncated { offset: 3, part: "the header" }));
    assert!(matches!(error(&good[..good.len() - 32], Hash::Check), StreamError::HashMissing));
    assert!(matches!(error(&good[..good.len() - 5], Hash::Check), StreamError::Truncated { part: "the hash", .. }));
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    assert!(matches!(error(&bad, Hash::Check), StreamError::HashMismatch { .. }));
    assert!(verify(&bad[..], Hash::Skip).is_ok() && verify(&good[..good.len() - 32], Hash::Skip).is_ok());
    let mut bad = good.clone();
    bad[11] = 9;
    assert!(matches!(error(&bad, Hash::Check), StreamError::Version(v) if v != 1));
    let mut bad = good.clone();
    bad[200_000] ^= 1;
    let StreamError::Damaged { offset, block, .. } = error(&bad, Hash::Skip) else { panic!("not told as damage") };
    assert!(block == 1 && offset < 200_000, "block {block} at {offset}");
    let mut bad = good.clone();
    bad.push(0);
    assert!(matches!(error(&bad, Hash::Skip), StreamError::Damaged { .. }));
}

#[test]
fn the_header_repeats_the_rows_of_the_store() {
    assert_eq!(StreamHeader::read(&store(vec![]).snapshot(), "3.6.0").unwrap(), header());
    let empty = StreamHeader::read(&SimEngine::new().snapshot(), "");
    assert!(empty.is_err(), "a store without rows is nothing to send: {empty:?}");
    let engine = SimEngine::new();
    engine.write(vec![put(Family::Meta, meta::APPLIED, "short")]).unwrap();
    assert!(StreamHeader::read(&engine.snapshot(), "").is_err());
}

#[test]
fn a_doubled_block_is_found_by_its_number() {
    let good = two_blocks();
    let length = u32::from_be_bytes(good[12..16].try_into().unwrap()) as usize;
    let first = 20 + length;
    let block = 10 + u32::from_be_bytes(good[first + 2..first + 6].try_into().unwrap()) as usize;
    let mut bad = good[..first + block].to_vec();
    bad.extend_from_slice(&good[first..]);
    assert!(matches!(verify(&bad[..], Hash::Skip), Err(StreamError::Damaged { block: 1, .. })));
}

#[test]
fn a_store_that_is_not_empty_is_left_alone() {
    let good = two_blocks();
    let engine = store(vec![]);
    assert!(matches!(restore(&good[..], &engine, Hash::Check), Err(StreamError::NotEmpty)));
}

#[test]
fn a_header_that_contradicts_the_rows_is_refused() {
    let engine = store(vec![]);
    let wrong = StreamHeader { applied_index: 6, ..header() };
    let bytes = stream_with(&engine, &wrong);
    let into = SimEngine::new();
    assert!(matches!(restore(&bytes[..], &into, Hash::Check), Err(StreamError::Damaged { block: 0, .. })));
    assert_eq!(into.snapshot().get(Family::Meta, meta::APPLIED).unwrap(), None);
}

#[test]
fn a_stream_that_nobody_wants_any_more_ends() {
    let rows = (0..400u32).map(|n| put(Family::Log, n.to_be_bytes().to_vec(), vec![0; 4_000])).collect();
    let mut taken = 0;
    let end = SnapshotSource::new(store(rows).snapshot(), &header()).unwrap().send(|_| {
        taken += 1;
        if taken == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((end.unwrap(), taken), (StreamEnd::Broken, 2));
}

#[test]
fn a_store_that_counts_too_few_rows_breaks_the_stream_off() {
    let rows = (0..400u32).map(|n| put(Family::Log, n.to_be_bytes().to_vec(), vec![0; 4_000])).collect();
    let engine = store(rows);
    engine.write(vec![put(Family::Meta, meta::SIZES, vec![0; 64])]).unwrap();
    let end = SnapshotSource::new(engine.snapshot(), &header()).unwrap().send(|_| ControlFlow::Continue(()));
    assert!(matches!(&end, Err(EngineError::Corrupt(why)) if why.contains("SN-LENGTH")), "{end:?}");
}

#[test]
fn a_file_of_the_first_format_is_read() {
    let mut old = two_blocks();
    let length = u32::from_be_bytes(old[12..16].try_into().unwrap()) as usize;
    old[8..12].copy_from_slice(&1u32.to_be_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&old[8..16]), &old[20..20 + length]);
    old[16..20].copy_from_slice(&crc.to_be_bytes());
    assert_eq!(verify(&old[..], Hash::Skip).unwrap().rows[Family::Log as usize], 400);
}
