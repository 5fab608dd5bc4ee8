//! Ten kinds of damaged snapshot files and more: each is refused with what is wrong and where, and nothing is left behind.

use crate::member::Member;
use crate::{arg, good, refused};
use std::path::Path;

/// Length of the start of a stream and of the head of a block.
const START: usize = 20;
const BLOCK_HEAD: usize = 10;

fn int(bytes: &[u8], at: usize) -> usize {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

/// Where the blocks begin, and the end of the last one.
fn blocks(bytes: &[u8]) -> Vec<usize> {
    let mut at = START + int(bytes, 12);
    let mut found = vec![at];
    while bytes[at] == 1 {
        at += BLOCK_HEAD + int(bytes, at + 2);
        found.push(at);
    }
    found
}

/// A page as etcd's database begins: page head, then magic, version, page size.
fn bbolt() -> Vec<u8> {
    let mut page = vec![0; 4096];
    page[8] = 4;
    page[16..20].copy_from_slice(&0xed0c_daed_u32.to_le_bytes());
    page[20] = 2;
    page
}

#[test]
fn each_damage_is_refused_with_what_is_wrong_and_where() {
    let member = Member::filled(2_000);
    let good_bytes = std::fs::read(member.save("snap.db")).unwrap();
    let length = good_bytes.len();
    let at = blocks(&good_bytes);
    assert!(at.len() > 4, "several blocks: {at:?}");
    let edit = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good_bytes.clone();
        change(&mut bytes);
        bytes
    };
    let without = [&good_bytes[..at[1]], &good_bytes[at[2]..]].concat();
    let doubled = [&good_bytes[..at[2]], &good_bytes[at[1]..]].concat();
    let cases: Vec<(&str, Vec<u8>, String)> = vec![
        ("truncated", good_bytes[..length / 2].to_vec(), format!("truncated at offset {}", length / 2)),
        ("truncated by one byte", good_bytes[..length - 1].to_vec(), "within the hash".into()),
        ("without hash", good_bytes[..length - 32].to_vec(), "has no hash at its end".into()),
        ("extended", edit(&|b| b.extend_from_slice(b"more")), format!("offset {length} ")),
        ("bit in the header", edit(&|b| b[30] ^= 1), "at offset 0 (block 0): the header's checksum".into()),
        ("bit in a block", edit(&|b| b[at[1] + 500] ^= 4), format!("at offset {} (block 1): its checksum", at[1])),
        ("bit in a block's head", edit(&|b| b[at[2] + 5] ^= 1), format!("at offset {} (block 2)", at[2])),
        ("bit in the end block", edit(&|b| b[at[at.len() - 1] + 14] ^= 1), format!("at offset {}", at[at.len() - 1])),
        ("bit in the hash", edit(&|b| b[length - 5] ^= 1), format!("SHA-256 at offset {}", length - 32)),
        ("missing block", without, format!("at offset {} (block 1)", at[1])),
        ("doubled block", doubled, format!("at offset {} (block 2)", at[2])),
        ("wrong magic", edit(&|b| b[3] ^= 0x20), "its first bytes are not those of one".into()),
        ("newer format", edit(&|b| b[11] = 3), "has format 3, this build reads formats 1 and 2".into()),
        ("empty", Vec::new(), "it is empty".into()),
        ("a few bytes", good_bytes[..7].to_vec(), "truncated at offset 7 within the header".into()),
        ("a text", b"apiVersion: v1\nkind: ConfigMap\n".to_vec(), "is it the right file".into()),
    ];
    for (name, bytes, words) in cases {
        let (file, data) = (member.path("bad.db"), member.path("restored"));
        std::fs::write(&file, bytes).unwrap();
        for args in [
            &["snapshot", "restore", arg(&file), "--data-dir", arg(&data)][..],
            &["snapshot", "status", arg(&file)],
            &["hashkv", arg(&file)],
        ] {
            let said = refused(1, args);
            assert!(said.contains(&words) && said.contains("bad.db"), "{name}: {args:?} says {said}");
        }
        assert!(!data.exists(), "{name}: something is left in the data folder");
    }
}

#[test]
fn a_hash_that_is_missing_or_wrong_can_be_skipped() {
    let member = Member::filled(50);
    let bytes = std::fs::read(member.save("snap.db")).unwrap();
    let hash = good(&["hashkv", arg(&member.data())]);
    let mut wrong = bytes.clone();
    *wrong.last_mut().unwrap() ^= 1;
    for (n, bytes) in [&bytes[..bytes.len() - 32], &wrong[..]].into_iter().enumerate() {
        let (file, data) = (member.path("odd.db"), member.path(&format!("restored{n}")));
        std::fs::write(&file, bytes).unwrap();
        good(&["snapshot", "restore", arg(&file), "--data-dir", arg(&data), "--skip-hash-check"]);
        assert_eq!(good(&["hashkv", arg(&data)]), hash);
    }
}

#[test]
fn folders_that_hold_something_are_left_alone() {
    let member = Member::filled(50);
    let (file, data) = (member.save("snap.db"), member.data());
    let before = crate::member::contents(&data);
    let restore = |data: &Path, more: &[&str]| {
        let args = [&["snapshot", "restore", arg(&file), "--data-dir", arg(data)][..], more].concat();
        refused(1, &args)
    };
    let said = restore(&data, &[]);
    assert!(said.contains(&format!("data-dir {:?} not empty or could not be read", arg(&data))), "{said}");
    assert_eq!(crate::member::contents(&data), before);
    let (fresh, wal) = (member.path("fresh"), member.path("wal"));
    std::fs::create_dir(&wal).unwrap();
    let said = restore(&fresh, &["--wal-dir", arg(&wal)]);
    assert!(said.contains("exists") && !fresh.exists(), "{said}");
    std::fs::create_dir_all(fresh.join("member.restoring/store")).unwrap();
    let said = restore(&fresh, &[]);
    assert!(said.contains("left over from a restore that was interrupted"), "{said}");
    let etcds = member.path("etcds");
    std::fs::create_dir_all(etcds.join("member/snap")).unwrap();
    std::fs::write(etcds.join("member/snap/db"), bbolt()).unwrap();
    // what is told in full is that its database is none
    let said = refused(1, &["hashkv", arg(&etcds)]);
    assert!(said.contains("not a bbolt database"), "{said}");
    let said = refused(1, &["defrag", "--data-dir", arg(&etcds)]);
    assert!(said.contains("data folder of etcd's") && said.contains("conclaveutl snapshot restore"), "{said}");
}
