//! Files there and back, and every way in which one can be damaged.

use super::page::{ELEMENT, HEAD, Head, Kind, Meta, NO_FREE_LIST, PAGE};
use super::{BoltError, Bucket, Checked, Database, FileWriter, Pages, Scanned, WriteError, leaf_pages_at_most};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;
type Buckets = BTreeMap<Vec<u8>, Rows>;

/// A file of these buckets, of as many pages as are announced for them at most, and `spare` more.
fn file(buckets: &Buckets, spare: u64) -> Vec<u8> {
    let bound = |rows: &Rows| {
        let bytes = rows.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum();
        leaf_pages_at_most(rows.len() as u64, bytes, rows.keys().map(Vec::len).max().unwrap_or(0) as u64)
    };
    let total = FileWriter::<Vec<u8>>::OWN_PAGES + buckets.values().map(bound).sum::<u64>() + spare;
    let mut writer = FileWriter::begin(Vec::new(), total).unwrap();
    for (name, rows) in buckets {
        let filled = writer.bucket(name, |bucket| rows.iter().try_for_each(|(key, value)| bucket.put(key, value)));
        filled.unwrap();
    }
    let bytes = writer.finish().unwrap();
    assert_eq!(bytes.len() as u64, total * PAGE as u64, "as long as announced");
    bytes
}

/// All rows by bucket, as the reader sees them.
fn read(bytes: &[u8]) -> Result<Buckets, BoltError> {
    let database = Database::open(bytes)?;
    let mut found = Buckets::new();
    let mut names = database.rows(&database.root());
    while let Some(row) = names.next()? {
        let Some(bucket) = row.bucket else { continue };
        let mut rows = Rows::new();
        let mut all = database.rows(&bucket);
        while let Some(row) = all.next()? {
            rows.insert(row.key.to_vec(), row.value.to_vec());
        }
        assert_eq!(backwards(&database, &bucket), Ok(rows.clone().into_iter().rev().collect()), "as forwards");
        found.insert(row.key.to_vec(), rows);
    }
    Ok(found)
}

type Pair = (Vec<u8>, Vec<u8>);

/// The rows of a bucket from its last to its first.
fn backwards(database: &Database<&[u8]>, bucket: &Bucket) -> Result<Vec<Pair>, String> {
    let (mut walk, mut found) = (database.rows_back(bucket), Vec::new());
    while let Some(row) = walk.next().map_err(|why| why.to_string())? {
        found.push((row.key.to_vec(), row.value.to_vec()));
    }
    Ok(found)
}

/// Keys on all leaf pages, and how many pages and elements cannot be read.
fn scanned(bytes: &[u8]) -> (BTreeSet<Vec<u8>>, usize) {
    let (mut keys, mut damaged) = (BTreeSet::new(), 0);
    let Ok(database) = Database::open(bytes) else { return (keys, damaged) };
    database.scan(&mut |scanned| {
        match scanned {
            Scanned::Row { key, .. } => drop(keys.insert(key.to_vec())),
            Scanned::Damaged(_) => damaged += 1,
        }
        true
    });
    (keys, damaged)
}

fn check(bytes: &[u8]) -> Result<Checked, BoltError> {
    Database::open(bytes)?.check(&mut |_| ())
}

fn some_rows(most: usize, value: usize) -> impl Strategy<Value = Rows> {
    let key = proptest::collection::vec(any::<u8>(), 1..9);
    let value = (any::<u8>(), 0..value).prop_map(|(byte, length)| vec![byte; length]);
    proptest::collection::btree_map(key, value, 0..most)
}

fn some_buckets() -> impl Strategy<Value = Buckets> {
    let name = proptest::collection::vec(any::<u8>(), 1..5);
    let rows = prop_oneof![some_rows(300, 60), some_rows(40, 9_000), some_rows(4, 300_000)];
    proptest::collection::btree_map(name, rows, 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_went_in_comes_out_and_is_sound(buckets in some_buckets(), spare in 0_u64..3) {
        let bytes = file(&buckets, spare);
        prop_assert_eq!(&read(&bytes).unwrap(), &buckets);
        let checked = check(&bytes).unwrap();
        prop_assert_eq!(checked.buckets, buckets.len() as u64);
        prop_assert_eq!(checked.rows, buckets.values().map(|rows| rows.len() as u64).sum::<u64>());
        prop_assert_eq!((checked.used_pages + checked.free_pages) * PAGE as u64, bytes.len() as u64);
    }

    #[test]
    fn damage_never_panics_and_a_walk_always_ends(
        buckets in some_buckets(),
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), any::<bool>()), 1..12),
    ) {
        let mut bytes = file(&buckets, 1);
        for (at, value, in_heads) in edits {
            // half of the edits go where lengths and numbers stand
            let pages = bytes.len() / PAGE;
            let at = if in_heads { at.index(pages) * PAGE + usize::from(value) % 80 } else { at.index(bytes.len()) };
            bytes[at] ^= value;
        }
        if let Ok(found) = read(&bytes) {
            let rows: usize = found.values().map(Rows::len).sum();
            prop_assert!(rows <= bytes.len() / ELEMENT, "more rows than there is room for");
        }
        let _ = check(&bytes);
        let _ = scanned(&bytes);
    }

    #[test]
    fn a_cut_is_always_found(buckets in some_buckets(), at: proptest::sample::Index) {
        let mut bytes = file(&buckets, 0);
        bytes.truncate(at.index(bytes.len()));
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn bytes_of_any_kind_never_panic(bytes: Vec<u8>) {
        prop_assert!(read(&bytes).is_err());
    }
}

fn numbered(rows: u32, value: usize) -> Rows {
    (0..rows).map(|n| (n.to_be_bytes().to_vec(), vec![n as u8; value])).collect()
}

fn one(rows: Rows) -> Buckets {
    Buckets::from([(b"key".to_vec(), rows)])
}

#[test]
fn trees_of_three_levels_are_written_and_read() {
    // a row to a leaf: more than a thousand of them
    let buckets = one(numbered(1_100, 65_536));
    let bytes = file(&buckets, 0);
    assert_eq!(read(&bytes).unwrap(), buckets);
    assert_eq!(check(&bytes).unwrap().rows, 1_100);
}

#[test]
fn a_scan_finds_rows_that_no_tree_leads_to_any_more() {
    let buckets = one(numbered(500, 200));
    let mut bytes = file(&buckets, 0);
    let all: BTreeSet<_> = buckets[&b"key".to_vec()].keys().cloned().chain([b"key".to_vec()]).collect();
    assert_eq!(scanned(&bytes), (all.clone(), 0));
    // the page of the tree's root is gone
    let root = Database::open(&bytes[..]).unwrap().meta().root as usize;
    bytes[root * PAGE..][..HEAD].fill(0xff);
    let (found, damaged) = scanned(&bytes);
    assert!(read(&bytes).is_err());
    assert_eq!((found.len(), damaged), (all.len() - 1, 1), "all but the name of the bucket");
}

#[test]
fn the_bound_of_pages_is_close() {
    for (rows, value) in [(200_000, 100), (50_000, 1_500), (3_000, 30_000)] {
        let bytes = u64::from(rows) * (4 + value as u64);
        let mut pages = Pages::new(std::io::sink(), 0);
        let mut bucket = super::BucketWriter::new(&mut pages);
        (0..rows).try_for_each(|n: u32| bucket.put(&n.to_be_bytes(), &vec![0; value])).unwrap();
        bucket.finish().unwrap();
        let (used, most) = (pages.next(), leaf_pages_at_most(u64::from(rows), bytes, 4));
        assert!(used <= most && most - used <= used / 15 + 1, "{rows} rows of {value}: {used} of {most} pages");
    }
}

#[test]
fn the_newer_meta_page_counts_and_the_older_one_helps_out() {
    let buckets = one(numbered(10, 10));
    let good = file(&buckets, 0);
    for torn in [0, PAGE] {
        let mut bytes = good.clone();
        bytes[torn + HEAD + 20] ^= 1;
        assert_eq!(read(&bytes).unwrap(), buckets, "the other one is sound");
    }
    let mut bytes = good.clone();
    bytes[HEAD] ^= 1;
    bytes[PAGE + HEAD] ^= 1;
    assert!(matches!(read(&bytes), Err(BoltError::NotADatabase { .. })));
    // the older one leads elsewhere: nobody follows it
    let mut bytes = good.clone();
    let meta = Meta::decode(bytes[HEAD..][..64].try_into().unwrap()).unwrap();
    bytes[HEAD..][..64].copy_from_slice(&Meta { root: 3, ..meta }.encode());
    assert_eq!(read(&bytes).unwrap(), buckets);
}

#[test]
fn a_hash_behind_the_last_page_is_left_alone() {
    let buckets = one(numbered(10, 10));
    let bytes = [file(&buckets, 0), vec![7; 32]].concat();
    assert_eq!(read(&bytes).unwrap(), buckets);
    check(&bytes).unwrap();
}

#[test]
fn a_page_that_two_others_refer_to_is_found() {
    let buckets = Buckets::from([(b"a".to_vec(), numbered(3, 5)), (b"b".to_vec(), numbered(3, 5))]);
    let mut bytes = file(&buckets, 0);
    let root = bytes.len() - PAGE;
    let [first, second] = [0, 1].map(|n| {
        let values = root + HEAD + 2 * ELEMENT;
        // each bucket: one byte of name, sixteen of value
        values + n * 17 + 1
    });
    bytes.copy_within(first..first + 8, second);
    let Err(BoltError::Damaged { page, why, .. }) = check(&bytes) else { panic!("taken for sound") };
    assert_eq!((page, why), (2, "more than one other page refers to it"));
}

#[test]
fn a_branch_that_leads_back_ends_in_an_error() {
    let buckets = one(numbered(40, 9_000));
    let mut bytes = file(&buckets, 0);
    let pages = bytes.len() / PAGE;
    let head = |bytes: &[u8], page: usize| Head::decode(bytes[page * PAGE..][..HEAD].try_into().unwrap());
    let branch = (2..pages - 1).find(|page| head(&bytes, *page).is_some_and(|head| head.kind == Kind::Branch));
    let branch = branch.expect("a tree of two levels");
    // its last child becomes its first one
    let at = branch * PAGE + HEAD;
    let count = usize::from(head(&bytes, branch).unwrap().count);
    bytes.copy_within(at + 8..at + 16, at + (count - 1) * ELEMENT + 8);
    assert!(read(&bytes).is_err() && check(&bytes).is_err());
    // and itself
    bytes[at + 8..at + 16].copy_from_slice(&(branch as u64).to_le_bytes());
    assert!(read(&bytes).is_err() && check(&bytes).is_err());
}

#[test]
fn a_free_list_must_say_what_is_free() {
    // pages: two of meta, a leaf of rows, the free list, a free page, the root
    let mut bytes = file(&one(numbered(3, 5)), 2);
    assert_eq!(bytes.len(), 6 * PAGE);
    let list = |bytes: &mut Vec<u8>, ids: &[u64]| {
        for meta in [0, PAGE] {
            let old = Meta::decode(bytes[meta + HEAD..][..64].try_into().unwrap()).unwrap();
            bytes[meta + HEAD..][..64].copy_from_slice(&Meta { free_list: 3, ..old }.encode());
        }
        let head = Head { id: 3, kind: Kind::FreeList, count: ids.len() as u16, overflow: 0 };
        bytes[3 * PAGE..][..HEAD].copy_from_slice(&head.encode());
        for (n, id) in ids.iter().enumerate() {
            bytes[3 * PAGE + HEAD + n * 8..][..8].copy_from_slice(&id.to_le_bytes());
        }
    };
    list(&mut bytes, &[4]);
    assert_eq!(check(&bytes).unwrap().free_pages, 1);
    for bad in [&[][..], &[4, 4], &[2], &[0], &[99], &[3]] {
        list(&mut bytes, bad);
        assert!(check(&bytes).is_err(), "{bad:?}");
    }
    let meta = Meta::decode(bytes[HEAD..][..64].try_into().unwrap()).unwrap();
    assert_ne!(meta.free_list, NO_FREE_LIST);
}

#[test]
fn rows_that_no_file_can_hold_are_refused() {
    let refused = |key: &[u8]| {
        let mut writer = FileWriter::begin(Vec::new(), 9).unwrap();
        writer.bucket(b"b", |bucket| {
            bucket.put(b"m", b"")?;
            bucket.put(key, b"")
        })
    };
    for key in [&b""[..], b"m", b"a", &[b'z'; 40_000]] {
        assert!(matches!(refused(key), Err(WriteError::Row(_))), "{}", key.len());
    }
    let mut writer = FileWriter::begin(Vec::new(), 3).unwrap();
    writer.bucket(b"b", |bucket| bucket.put(b"k", b"v")).unwrap();
    assert!(matches!(writer.finish(), Err(WriteError::TooLong(3))));
}
