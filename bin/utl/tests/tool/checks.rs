//! `check` and `defrag` on sound and on damaged members; reading changes nothing.

use crate::member::{Member, contents, put};
use crate::{arg, conclaveutl, good, refused};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Writes one byte differently.
fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

/// Where the last batch of a segment begins: the last block that begins as one.
fn last_batch(path: &Path) -> u64 {
    let bytes = std::fs::read(path).unwrap();
    let mut starts = (0..bytes.len()).step_by(4096).filter(|at| bytes[*at..].starts_with(b"CONCLWAL"));
    starts.next_back().unwrap() as u64
}

fn json(args: &[&str]) -> serde_json::Value {
    let ran = conclaveutl(&[args, &["-w", "json"]].concat());
    serde_json::from_str(&ran.out).unwrap_or_else(|why| panic!("{args:?}: {why}: {ran:?}"))
}

#[test]
fn a_sound_member_is_sound_and_nothing_is_changed_by_looking() {
    let member = Member::filled(1_000);
    let data = member.data();
    let before = contents(&data);
    let said = good(&["check", arg(&data)]);
    assert!(said.contains("no problems found") && !said.contains("note"), "{said}");
    let found = json(&["check", arg(&data)]);
    assert_eq!((&found["sound"], &found["log"]["torn"]), (&true.into(), &false.into()));
    assert_eq!(found["store"]["applied"], found["log"]["last"]);
    good(&["hashkv", arg(&data)]);
    good(&["dump", "store", arg(&data)]);
    good(&["dump", "wal", arg(&data)]);
    assert_eq!(contents(&data), before);
    let file = member.save("snap.db");
    let said = good(&["check", arg(&file)]);
    assert!(said.contains("every block and the hash are sound") && said.contains("no problems found"), "{said}");
}

#[test]
fn a_torn_tail_is_told_and_stays() {
    let mut member = Member::filled(100);
    let segment = member.segments().pop().unwrap();
    let sound = json(&["check", arg(&member.data())]);
    flip(&segment, last_batch(&segment) + 100);
    let before = contents(&member.data());
    let found = json(&["check", arg(&member.data())]);
    assert_eq!((&found["log"]["torn"], &found["sound"]), (&true.into(), &false.into()));
    let last = |found: &serde_json::Value| found["log"]["last"].as_u64().unwrap();
    assert!(last(&found) < last(&sound), "what is torn does not count");
    // the store has applied it, which a start refuses
    let said = conclaveutl(&["check", arg(&member.data())]);
    assert!(said.code == 1 && said.out.contains("the store has applied"), "{said:?}");
    let dumped = conclaveutl(&["dump", "wal", arg(&member.data())]);
    assert!(dumped.code == 0 && dumped.err.contains("cut off"), "{dumped:?}");
    assert_eq!(contents(&member.data()), before);

    // a torn write that was never applied is no problem
    member = Member::filled(100);
    let segment = member.segments().pop().unwrap();
    let end = json(&["check", arg(&member.data())])["log"]["usedBytes"].as_u64().unwrap();
    let file = File::options().write(true).open(&segment).unwrap();
    file.write_all_at(b"half a batch", end).unwrap();
    let found = json(&["check", arg(&member.data())]);
    assert_eq!((&found["log"]["torn"], &found["sound"]), (&true.into(), &true.into()), "{found}");
    assert!(found["notes"][0].as_str().unwrap().contains("never acknowledged"), "{found}");
}

#[test]
fn a_rotten_log_is_told_with_file_and_offset() {
    let member = Member::filled(500);
    let segment = member.segments().remove(0);
    flip(&segment, 3 * 4096 + 80);
    let ran = conclaveutl(&["check", arg(&member.data())]);
    assert!(ran.code == 1 && ran.out.contains("PROBLEM   log:") && ran.out.contains("is corrupt at offset"), "{ran:?}");
    assert!(ran.out.contains(arg(&segment)), "{ran:?}");
    assert!(ran.err.contains("1 problem found in"), "{ran:?}");
    let dumped = conclaveutl(&["dump", "wal", arg(&member.data())]);
    assert!(dumped.code == 1 && dumped.err.contains("is corrupt at offset"), "{dumped:?}");
}

#[test]
fn a_rotten_store_is_told() {
    let member = Member::filled(3_000);
    let store = member.data().join("member/store");
    let tables = || {
        let files = std::fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|e| e == "sst"))
    };
    let largest = tables().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    flip(&largest, largest.metadata().unwrap().len() / 3);
    let ran = conclaveutl(&["check", arg(&member.data())]);
    assert!(ran.code == 1 && ran.out.contains("orrupt"), "{ran:?}");
    for table in tables() {
        std::fs::write(&table, b"").unwrap();
    }
    let ran = conclaveutl(&["check", arg(&member.data())]);
    assert!(ran.code == 1 && ran.out.contains("PROBLEM"), "{ran:?}");
}

#[test]
fn a_store_and_a_log_of_different_members_are_told() {
    let member = Member::filled(20);
    let other = member.path("other");
    let file = member.save("snap.db");
    good(&["snapshot", "restore", arg(&file), "--data-dir", arg(&other), "--initial-cluster-token", "another"]);
    let wal = other.join("member/wal");
    let ran = conclaveutl(&["check", arg(&member.data()), "--wal-dir", arg(&wal)]);
    assert!(ran.code == 1 && ran.out.contains("the log is of member"), "{ran:?}");
    assert!(ran.out.contains("the store has applied"), "{ran:?}");
    let gone = member.path("gone");
    let ran = conclaveutl(&["check", arg(&member.data()), "--wal-dir", arg(&gone)]);
    assert!(ran.code == 1 && ran.out.contains("there is no log in"), "{ran:?}");
}

#[test]
fn defrag_keeps_the_history() {
    let mut member = Member::new();
    member.run((0..40_000).map(|n| put(format!("k{:03}", n % 300), format!("{n:0200}"))));
    member.run([model::Command::Compaction(model::request::CompactionRequest { revision: 40_000, physical: true })]);
    let member = member.stopped();
    let hash = good(&["hashkv", arg(&member.data())]);
    let ran = conclaveutl(&["defrag", "--data-dir", arg(&member.data())]);
    assert!(ran.code == 0 && ran.out.is_empty() && ran.err.contains("defragmented"), "{ran:?}");
    assert_eq!(good(&["hashkv", arg(&member.data())]), hash);
    assert!(good(&["check", arg(&member.data())]).contains("no problems found"));
    let file = member.save("snap.db");
    assert!(refused(1, &["defrag", "--data-dir", arg(&file)]).contains("is a file, not a data folder"));
}
