//! Formats, texts and exit codes of etcdutl: what a script would see.

use crate::member::{Member, put};
use crate::{arg, conclaveutl, good, refused};

/// A member whose every byte is known: three keys, one changed, one deleted.
fn small() -> Member {
    let mut member = Member::new();
    member.run([put("k1", "v1"), put("k2", "v2"), put("k3", "v3"), put("k1", "v1b")]);
    member.run([model::Command::DeleteRange(model::request::DeleteRangeRequest {
        key: "k2".into(),
        ..Default::default()
    })]);
    member.stopped()
}

#[test]
fn snapshot_status_in_every_format() {
    let member = small();
    let file = member.save("snap.db");
    let size = std::fs::metadata(&file).unwrap().len() - 32;
    let status = |format| good(&["snapshot", "status", arg(&file), "-w", format]);
    let json: serde_json::Value = serde_json::from_str(&status("json")).unwrap();
    let hash = json["hash"].as_u64().unwrap();
    assert_eq!(
        status("json"),
        format!("{{\"hash\":{hash},\"revision\":6,\"totalKey\":2,\"totalSize\":{size},\"version\":\"3.7.0\"}}\n")
    );
    let human = format!("{:.1} kB", size as f64 / 1000.0);
    assert_eq!(status("simple"), format!("{hash:x}, 6, 2, {human}, 3.7.0\n"));
    assert_eq!(
        status("fields"),
        format!("\"Hash\" : {hash}\n\"Revision\" : 6\n\"Keys\" : 2\n\"Size\" : {size}\n\"Version\" : 3.7.0\n")
    );
    let table = status("table");
    let lines: Vec<_> = table.lines().collect();
    let words =
        |line: &str| line.split('│').map(|cell| cell.trim().to_owned()).filter(|c| !c.is_empty()).collect::<Vec<_>>();
    assert_eq!(words(lines[1]), ["HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE", "VERSION"]);
    assert_eq!(words(lines[3]), [&format!("{hash:x}"), "6", "2", &human, "3.7.0"]);
    assert!(lines.iter().all(|line| line.chars().count() == lines[0].chars().count()), "{table}");
}

#[test]
fn hashkv_in_every_format_is_etcds() {
    // etcd 3.7.1 prints these for the same five writes
    let member = small();
    let (file, data) = (member.save("snap.db"), member.data());
    for path in [&file, &data, &data.join("member"), &data.join("member/store")] {
        assert_eq!(good(&["hashkv", arg(path)]), "240541544, 6, -1\n", "{}", path.display());
    }
    assert_eq!(good(&["hashkv", arg(&data), "--rev", "3"]), "1282520646, 3, -1\n");
    assert_eq!(good(&["hashkv", arg(&data), "--rev=-5"]), "1084519789, -5, -1\n");
    let json = "{\"hash\":240541544,\"hashRevision\":6,\"compactRevision\":-1}\n";
    assert_eq!(good(&["-w", "json", "hashkv", arg(&file)]), json);
    let fields = "\"Hash\" : 240541544\n\"Hash revision\" : 6\n\"Compact revision\" : -1\n";
    assert_eq!(good(&["hashkv", arg(&file), "--write-out=fields"]), fields);
    let table = "\
┌───────────┬───────────────┬──────────────────┐
│   HASH    │ HASH REVISION │ COMPACT REVISION │
├───────────┼───────────────┼──────────────────┤
│ 240541544 │             6 │               -1 │
└───────────┴───────────────┴──────────────────┘
";
    assert_eq!(good(&["hashkv", arg(&file), "-w", "table"]), table);
    let future = refused(1, &["hashkv", arg(&file), "--rev", "99"]);
    assert_eq!(future, "Error: mvcc: required revision is a future revision\n");
}

#[test]
fn what_cannot_be_done_ends_as_in_etcdutl() {
    let member = small();
    let file = member.save("snap.db");
    let first = |code, args: &[&str]| refused(code, args).lines().next().unwrap()["Error: ".len()..].to_owned();
    assert_eq!(first(128, &["snapshot", "status"]), "snapshot status requires exactly one argument");
    assert_eq!(first(128, &["snapshot", "status", "a", "b"]), "snapshot status requires exactly one argument");
    assert_eq!(first(1, &["snapshot", "status", "nofile"]), "stat nofile: no such file or directory");
    assert_eq!(first(4, &["snapshot", "status", arg(&file), "-w", "bad"]), "unsupported output format");
    assert_eq!(
        first(4, &["snapshot", "status", arg(&file), "-w", "protobuf"]),
        "protobuf not supported as output format"
    );
    assert_eq!(first(128, &["snapshot", "restore"]), "snapshot restore requires exactly one argument");
    for flag in ["--bump-revision=5", "--mark-compacted"] {
        assert_eq!(first(128, &["snapshot", "restore", "x", flag]), "--mark-compacted required if --revision-bump > 0");
    }
    assert_eq!(first(1, &["hashkv"]), "accepts 1 arg(s), received 0");
    assert_eq!(first(1, &["hashkv", "a", "b"]), "accepts 1 arg(s), received 2");
    assert_eq!(first(1, &["hashkv", "nofile"]), "stat nofile: no such file or directory");
    assert_eq!(first(1, &["defrag"]), "required flag(s) \"data-dir\" not set");
    assert_eq!(
        first(1, &["defrag", "--data-dir", "nodir"]),
        "Failed to defragment etcd data[nodir] (stat nodir: no such file or directory)"
    );
    assert_eq!(
        first(128, &["migrate", "--data-dir", "x", "--target-version", "3.4"]),
        "target version \"3.4\" not supported. Minimal \"3.5\""
    );
    assert_eq!(first(1, &["nosuch"]), "unknown command \"nosuch\" for \"conclaveutl\"");
}

#[test]
fn help_version_and_completion() {
    for args in [&[][..], &["--help"], &["help"], &["snapshot"], &["snapshot", "restore", "--help"], &["dump"]] {
        let help = good(args);
        assert!(help.contains("Usage: conclaveutl"), "{args:?}: {help}");
    }
    let version = format!("conclaveutl version: {}\nAPI version: 3.7\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(good(&["version"]), version);
    assert_eq!(good(&["-w", "json", "version", "extra"]), version);
    assert_eq!(good(&["vers"]), version, "a command may be abbreviated");
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = good(&["completion", shell]);
        assert!(script.contains("conclaveutl") && script.contains("bump-revision"), "{shell}");
    }
}

#[test]
fn migrate_looks_and_changes_nothing() {
    let member = small();
    let data = member.data();
    let before = crate::member::contents(&data);
    for version in ["3.5", "3.7"] {
        let ran = conclaveutl(&["migrate", "--data-dir", arg(&data), "--target-version", version]);
        assert!(ran.code == 0 && ran.err.contains("up-to-date"), "{ran:?}");
    }
    let newer = refused(1, &["migrate", "--data-dir", arg(&data), "--target-version", "3.99"]);
    assert!(newer.contains("newer than 3.7"), "{newer}");
    assert_eq!(crate::member::contents(&data), before);
}
