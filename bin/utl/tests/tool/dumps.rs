//! `dump`: everything is there, filters take what they say, JSON lines are JSON.

use crate::member::{Member, put};
use crate::{arg, conclaveutl, good, refused};
use model::auth::{AuthRoleAddRequest, AuthRoleGrantPermissionRequest, AuthUserAddRequest, Permission, PermissionType};
use model::{AuthCommand, Command};

fn lines(args: &[&str]) -> Vec<serde_json::Value> {
    let text = good(&[&["dump"], args, &["-w", "json"]].concat());
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{line}: {why}"))).collect()
}

#[test]
fn rows_of_a_store_and_of_its_snapshot_are_the_same() {
    let member = Member::filled(300);
    let (file, data) = (member.save("snap.db"), member.data());
    let store = lines(&["store", arg(&data), "--family", "log,cur,hist,meta"]);
    assert_eq!(store, lines(&["snapshot", arg(&file)]), "a snapshot has everything but the counts");
    let of = |family: &str| store.iter().filter(|row| row["family"] == family).count();
    assert!(of("log") == of("cur") + of("hist") && of("meta") > 10, "{} {} {}", of("log"), of("cur"), of("hist"));
    assert!(store.iter().all(|row| row.get("damaged").is_none()));
    let counted: i64 = lines(&["store", arg(&data), "--family", "cnt"])
        .iter()
        .filter(|row| row["kind"] == "block")
        .map(|row| row["keys"].as_i64().unwrap())
        .sum();
    assert_eq!(counted, of("cur") as i64);
}

#[test]
fn filters_of_rows() {
    let member = Member::filled(300);
    let data = member.data();
    let with = |flags: &[&str]| lines(&[&["store", arg(&data)], flags].concat());
    let keys = with(&["--family", "cur", "--prefix", "key00020"]);
    assert_eq!(keys.len(), 10);
    assert!(keys.iter().all(|row| row["key"].as_str().unwrap().starts_with("key00020")));
    let range = with(&["--family", "log", "--from-rev", "310", "--to-rev", "312"]);
    let revisions: Vec<_> = range.iter().map(|row| row["revision"].as_str().unwrap()).collect();
    assert_eq!(revisions, ["310.0", "311.0", "312.0"]);
    assert_eq!(with(&["--limit", "7"]).len(), 7);
    assert!(with(&["--family", "log,cur", "--keys-only"]).iter().all(|row| row.get("value").is_none()));
    let attached = with(&["--family", "meta", "--prefix", "leased"]);
    assert_eq!(attached.len(), 5);
    assert!(attached.iter().all(|row| row["row"] == "attached" && row["lease"] == 77));
    assert!(refused(128, &["dump", "store", arg(&data), "--family", "nope"]).contains("unknown family"));
    assert!(refused(4, &["dump", "store", arg(&data), "-w", "table"]).contains("not supported"));
}

#[test]
fn readable_lines() {
    let mut member = Member::new();
    member.run([put("k\n1", "v\"1"), put("long", vec![b'x'; 100]), put(&b"\xff"[..], &b"\x00"[..])]);
    let member = member.stopped();
    let text = good(&["dump", "store", arg(&member.data()), "--family", "log"]);
    let shown: Vec<_> = text.lines().collect();
    assert_eq!(
        shown[0],
        "log revision=2.0 kind=create key=\"k\\n1\" create_revision=2 mod_revision=2 version=1 value=\"v\\\"1\""
    );
    assert!(shown[1].ends_with("…(100 bytes)"), "{text}");
    assert!(shown[2].contains("key=\"\\xff\"") && shown[2].ends_with("value=\"\\x00\""), "{text}");
    let full = good(&["dump", "store", arg(&member.data()), "--family", "log", "--full"]);
    assert!(full.contains(&"x".repeat(100)));
    let json = lines(&["store", arg(&member.data()), "--family", "log"]);
    assert_eq!((&json[2]["key_hex"], &json[2]["value"]), (&"ff".into(), &"\u{0}".into()));
}

#[test]
fn entries_of_the_log_by_index_kind_and_key() {
    let member = Member::filled(100);
    let data = member.data();
    let with = |flags: &[&str]| lines(&[&["wal", arg(&data)], flags].concat());
    let all = with(&[]);
    let indexes: Vec<_> = all.iter().map(|entry| entry["index"].as_u64().unwrap()).collect();
    assert!(indexes.windows(2).all(|pair| pair[0] + 1 == pair[1]) && indexes[0] == 2);
    assert_eq!(with(&["--start-index", "10", "--end-index", "13"]).len(), 3);
    let kinds = |kind: &str| with(&["--entry-type", kind]);
    assert!(kinds("IRRPut").iter().all(|entry| entry["kind"] == "put"));
    assert_eq!((kinds("IRRTxn").len(), kinds("IRRDeleteRange").len(), kinds("IRRLeaseGrant").len()), (1, 10, 2));
    assert_eq!((kinds("Normal").len(), kinds("ConfigChange").len(), kinds("Request").len()), (all.len(), 0, 0));
    assert_eq!(kinds("IRRTxn,IRRCompaction").len(), 2);
    assert_eq!(kinds("IRRTxn")[0]["success"][1]["key"], "txn2");
    let txn = with(&["--prefix", "txn2"]);
    assert!(txn.len() == 1 && txn[0]["success"].as_array().unwrap().len() == 1, "{txn:?}");
    let records = with(&["--records"]);
    assert_eq!(records[0]["record"], "head");
    assert!(records.iter().any(|record| record["record"] == "hard_state"));
    assert_eq!(lines(&["wal", arg(&data.join("member/wal"))]), all, "the log's own folder will do");
    let readable = good(&["dump", "wal", arg(&data), "--limit", "1"]);
    assert!(readable.starts_with("entry index=2 term=1 kind=put key=\"key000000\" value="), "{readable}");
    assert!(refused(128, &["dump", "wal", arg(&data), "--entry-type", "x"]).contains("unknown entry type"));
}

#[test]
fn a_reader_that_stops_reading_is_no_failure() {
    let member = Member::filled(3_000);
    let script = format!("{} dump store {} | head -1", env!("CARGO_BIN_EXE_conclaveutl"), arg(&member.data()));
    let ran = std::process::Command::new("bash").args(["-o", "pipefail", "-c", &script]).output().unwrap();
    assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
    let damaged = conclaveutl(&["dump", "snapshot", arg(&member.segments()[0])]);
    assert!(damaged.code == 1 && damaged.out.is_empty(), "{damaged:?}");
}

#[test]
fn users_and_roles_are_shown_and_no_hash_of_a_password() {
    let hash = "JDJhJDA0JG5vYm9keSBtYXkgc2VlIHRoaXM=";
    let mut member = Member::new();
    let user =
        |name: &str| AuthUserAddRequest { name: name.into(), hashed_password: hash.into(), ..Default::default() };
    let perm = Permission { perm_type: PermissionType::Write as i32, key: "a".into(), range_end: "c".into() };
    let grant = AuthRoleGrantPermissionRequest { name: "app".into(), perm: Some(perm) };
    member.run(
        [
            AuthCommand::UserAdd(user("alice")),
            AuthCommand::RoleAdd(AuthRoleAddRequest { name: "app".into() }),
            AuthCommand::RoleGrantPermission(grant),
        ]
        .map(Command::Auth),
    );
    let member = member.stopped();
    let data = member.data();
    let rows = lines(&["store", arg(&data), "--family", "meta"]);
    let of = |kind: &str| rows.iter().find(|row| row["row"] == kind).unwrap_or_else(|| panic!("no {kind} in {rows:?}"));
    assert_eq!((&of("auth")["enabled"], &of("auth")["revision"]), (&false.into(), &4.into()));
    assert_eq!(of("user")["name"], "alice");
    let permission = &of("role")["permissions"][0];
    assert_eq!(
        (&permission["type"], &permission["key"], &permission["range_end"]),
        (&"WRITE".into(), &"a".into(), &"c".into())
    );
    let entries = lines(&["wal", arg(&data), "--entry-type", "IRRAuthUserAdd"]);
    assert!(entries.len() == 1 && entries[0]["user"] == "alice", "{entries:?}");
    for shown in [good(&["dump", "store", arg(&data), "--full"]), good(&["dump", "wal", arg(&data), "--full"])] {
        assert!(shown.contains("alice") && !shown.contains(hash) && !shown.contains("nobody may"), "{shown}");
    }
}
