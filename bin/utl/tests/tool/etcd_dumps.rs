//! `dump-db`, `dump-logs`, `dump-metrics`: what etcd's tools of release 3.7.1 printed of the same files is in `tests/golden/etcd`.

use crate::member::Member;
use crate::{arg, conclaveutl, good, refused};
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/etcd").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(golden(name)).expect("a golden file")
}

#[test]
fn rows_are_printed_as_etcd_dump_db_prints_them() {
    let (file, recorded) = (golden("3.7.1.db"), text("3.7.1.db-dump"));
    let mut compared = 0;
    for part in recorded.split("$ ").filter(|part| !part.is_empty()) {
        let (line, expected) = part.split_once('\n').expect("a command and what it printed");
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut args = vec!["dump-db", command, arg(&file)];
        args.extend(rest.split(' ').filter(|word| !word.is_empty()));
        if command == "iterate-bucket" && !rest.contains("--decode") {
            args.extend(["--limit", "5"]);
        }
        let mut printed = good(&args);
        if command == "hash" {
            let prefix = format!("db path: {}\n", file.display());
            printed = printed.strip_prefix(&prefix).expect("the path first").to_owned();
        }
        assert_eq!(printed, expected, "{line}");
        compared += 1;
    }
    assert_eq!(compared, 23);
}

#[test]
fn a_store_of_ours_is_dumped_as_etcds() {
    let member = Member::filled(300);
    let rows = good(&["dump-db", "iterate-bucket", arg(&member.data()), "key", "--decode", "--limit", "3"]);
    assert_eq!(rows.lines().count(), 3);
    assert!(rows.starts_with("rev={Revision:{Main:"), "{rows}");
    assert!(good(&["dump-db", "list-bucket", arg(&member.data())]).starts_with("alarm\nauth\n"));
    let nothing = refused(1, &["dump-db", "iterate-bucket", arg(&golden("3.7.1.db")), "nosuch"]);
    assert!(nothing.contains("got nil bucket for nosuch"), "{nothing}");
    let missing = refused(1, &["dump-db", "hash", "/nosuch"]);
    assert!(missing.contains("no such file"), "{missing}");
}

#[test]
fn metrics_are_printed_as_etcd_dump_metrics_prints_them() {
    let found = good(&["dump-metrics", arg(&golden("3.7.1.metrics"))]);
    let expected = text("3.7.1.metrics-dump");
    let first = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    assert!(found == expected, "the first line that differs: {first:?}");
    let refusal = refused(1, &["dump-metrics", "--addr", "https://127.0.0.1:1/metrics"]);
    assert!(refusal.contains("curl"), "{refusal}");
}

/// A record of etcd's log; the checksum runs on.
fn record(log: &mut Vec<u8>, crc: &mut u32, kind: u8, data: &[u8]) {
    if kind == 4 {
        *crc = 0;
    } else {
        *crc = crc32c::crc32c_append(*crc, data);
    }
    let mut body = vec![0x08, kind, 0x10];
    prost::encoding::encode_varint(u64::from(*crc), &mut body);
    if kind != 4 {
        body.push(0x1a);
        prost::encoding::encode_varint(data.len() as u64, &mut body);
        body.extend_from_slice(data);
    }
    let padding = (8 - body.len() % 8) % 8;
    let length = body.len() as u64 | if padding == 0 { 0 } else { (0x80 | padding as u64) << 56 };
    log.extend_from_slice(&length.to_le_bytes());
    log.extend_from_slice(&body);
    log.extend(std::iter::repeat_n(0, padding));
}

fn entry(kind: u8, term: u8, index: u8, data: &[u8]) -> Vec<u8> {
    [&[8, kind, 16, term, 24, index, 34, data.len() as u8], data].concat()
}

#[test]
fn entries_are_printed_as_etcd_dump_logs_means_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let (snap, wal) = (folder.path().join("member/snap"), folder.path().join("member/wal"));
    std::fs::create_dir_all(&snap).and_then(|()| std::fs::create_dir_all(&wal)).expect("folders");
    std::fs::copy(golden("3.7.1.db"), snap.join("db")).expect("a database");
    let (mut log, mut crc) = (Vec::new(), 0);
    record(&mut log, &mut crc, 4, &[]);
    record(&mut log, &mut crc, 1, &[8, 0xab, 1, 16, 5]);
    record(&mut log, &mut crc, 5, &[8, 0, 16, 0]);
    record(&mut log, &mut crc, 2, &entry(1, 1, 1, &[16, 3, 24, 0xff, 1]));
    record(&mut log, &mut crc, 2, &entry(0, 1, 2, b"\x22\x06\x0a\x01a\x12\x01z"));
    // the leader changed: this one is replaced
    record(&mut log, &mut crc, 2, &entry(0, 1, 3, b"\x22\x03\x0a\x01b"));
    record(&mut log, &mut crc, 2, &entry(0, 2, 3, b"\x2a\x06\x0a\x01k\x12\x01\x00"));
    record(&mut log, &mut crc, 2, &entry(0, 2, 4, b"\xff"));
    record(&mut log, &mut crc, 3, &[8, 2, 16, 0xab, 1, 24, 4]);
    log.resize(4096, 0);
    std::fs::write(wal.join("0000000000000000-0000000000000000.wal"), log).expect("a log");
    let data = arg(folder.path());
    let head = "Snapshot:\nempty\nStart dumping log entries from snapshot.\nWAL metadata:\n\
                nodeID=ab clusterID=5 term=2 commitIndex=4 vote=ab\nWAL entries: 4\nlastIndex=4\nterm\t     index\ttype\tdata\n";
    let conf = "   1\t         1\tconf\tmethod=ConfChangeAddLearnerNode id=ff\n";
    let put = "   1\t         2\tnorm\tput:{key:\"a\"  value:\"z\"}\n";
    let delete = "   2\t         3\tnorm\tdelete_range:{key:\"k\"  range_end:\"\\x00\"}\n";
    let old = "   2\t         4\tnorm\t???\n";
    assert_eq!(
        good(&["dump-logs", data]),
        format!("{head}{conf}{put}{delete}{old}\nEntry types (Normal,ConfigChange) count is : 4\n")
    );
    assert_eq!(
        good(&["dump-logs", data, "--entry-type", "IRRPut"]),
        format!("{head}{put}\nEntry types (IRRPut) count is : 1\n")
    );
    let some = good(&["dump-logs", data, "--start-index", "2", "--end-index", "4", "--entry-type", "Normal"]);
    assert!(some.starts_with("Start dumping log entries from index 2.\n"), "{some}");
    assert!(some.ends_with(&format!("data\n{put}{delete}\nEntry types (Normal) count is : 2\n")), "{some}");
    let decoded = good(&["dump-logs", data, "--entry-type", "IRRPut", "--stream-decoder", "sed -u s/^/OK|/"]);
    assert!(decoded.contains("value:\"z\"}\tOK\t22060a0161"), "{decoded}");
    let raw = good(&["dump-logs", data, "--raw"]);
    assert!(raw.starts_with("CRC: 0\nMetadata: NodeID:171  ClusterID:5\nSnapshot: index:0 term:0\n"), "{raw}");
    assert!(raw.contains("Entry: Term:1 Index:1 Type:EntryConfChange Data:\"\\020\\003\\030\\377\\001\" \n"), "{raw}");
    assert!(raw.ends_with("HardState: term:2  vote:171  commit:4\nEOF: All entries were processed.\n"), "{raw}");
    let unknown = conclaveutl(&["dump-logs", data, "--entry-type", "Foo,IRRPut"]);
    assert!(unknown.code == 0 && unknown.err.contains("[Foo] is not a valid entry-type, ignored."), "{unknown:?}");
    assert!(refused(1, &["dump-logs", data, "--start-snap", "nosuch.snap"]).contains("nosuch.snap"));
}
