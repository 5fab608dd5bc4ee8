//! Saved, restored, compared: the same history under new ids.

use crate::member::Member;
use crate::{arg, conclaveutl, good, refused};

#[test]
fn a_restored_member_has_the_same_history_and_is_sound() {
    let member = Member::filled(3_000);
    let (file, data) = (member.save("snap.db"), member.path("restored"));
    let ran = conclaveutl(&["snapshot", "restore", arg(&file), "--data-dir", arg(&data)]);
    assert!(ran.code == 0 && ran.out.is_empty() && !ran.err.contains('\r'), "{ran:?}");
    assert!(ran.err.contains("member 8e9e05c52164694d of cluster cdf818194e3a8c32"), "{ran:?}");
    for rev in ["0", "3000", "3500"] {
        let hashes = [&member.data(), &file, &data].map(|path| good(&["hashkv", arg(path), "--rev", rev]));
        assert!(hashes[0] == hashes[1] && hashes[1] == hashes[2], "{rev}: {hashes:?}");
    }
    let check = good(&["check", arg(&data)]);
    assert!(check.contains("no problems found") && check.contains("applied 1 (term 1)"), "{check}");
    let again = refused(1, &["snapshot", "restore", arg(&file), "--data-dir", arg(&data)]);
    assert!(again.contains("not empty"), "{again}");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn members_of_one_cluster_agree_on_everything_but_who_they_are() {
    let member = Member::filled(100);
    let file = member.save("snap.db");
    let cluster = "a=http://10.0.0.1:2380,b=http://10.0.0.2:2380,b=http://10.0.0.2:2381,c=http://10.0.0.3:2380";
    let mut seen = Vec::new();
    for (name, urls) in [
        ("a", "http://10.0.0.1:2380"),
        ("b", "http://10.0.0.2:2381,http://10.0.0.2:2380"),
        ("c", "http://10.0.0.3:2380"),
    ] {
        let (data, wal) = (member.path(name), member.path(&format!("{name}-wal")));
        good(&[
            "snapshot",
            "restore",
            arg(&file),
            "--data-dir",
            arg(&data),
            "--wal-dir",
            arg(&wal),
            "--name",
            name,
            "--initial-cluster",
            cluster,
            "--initial-cluster-token",
            "tok",
            "--initial-advertise-peer-urls",
            urls,
            "--initial-memory-map-size",
            "1000",
        ]);
        assert!(!data.join("member/wal").exists() && wal.is_dir());
        let check = good(&["check", arg(&data), "--wal-dir", arg(&wal), "-w", "json"]);
        let check: serde_json::Value = serde_json::from_str(&check).unwrap();
        assert_eq!(
            (&check["sound"], &check["store"]["applied"], &check["log"]["commit"]),
            (&true.into(), &3.into(), &3.into())
        );
        let meta = good(&["dump", "store", arg(&data), "--family", "meta", "-w", "json"]);
        let rows: Vec<serde_json::Value> = meta.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let row = |name: &str| rows.iter().filter(|row| row["row"] == name).cloned().collect::<Vec<_>>();
        assert_eq!((row("member").len(), row("conf_state")[0]["voters"].as_array().unwrap().len()), (3, 3));
        seen.push((row("identity")[0].clone(), row("conf_state"), row("member"), row("lease")));
    }
    assert!(
        seen.iter().all(|s| s.0["cluster_id"] == seen[0].0["cluster_id"] && (&s.1, &s.2) == (&seen[0].1, &seen[0].2))
    );
    assert_ne!(seen[0].0["member_id"], seen[1].0["member_id"]);
    assert_eq!(seen[0].3.len(), 2, "leases stay");
}

#[test]
fn clusters_that_do_not_fit_are_refused_in_etcds_words() {
    let member = Member::filled(20);
    let (file, data) = (member.save("snap.db"), member.path("restored"));
    let said = |flags: &[&str]| {
        let args = [&["snapshot", "restore", arg(&file), "--data-dir", arg(&data)][..], flags].concat();
        let said = refused(1, &args);
        assert!(!data.exists());
        said["Error: ".len()..].trim_end().to_owned()
    };
    assert_eq!(said(&["--name", "zz"]), "couldn't find local name \"zz\" in the initial cluster configuration");
    assert_eq!(
        said(&["--initial-cluster", "default=foo:12"]),
        "URL scheme must be http, https, unix, or unixs: foo:12"
    );
    assert!(said(&["--initial-advertise-peer-urls", "http://127.0.0.1:1"]).starts_with(
        "--initial-cluster has default=http://localhost:2380 but missing from --initial-advertise-peer-urls="
    ));
    let twice = "default=http://localhost:2380,b=http://localhost:2380";
    assert!(said(&["--initial-cluster", twice]).ends_with("has duplicate url"));
}

#[test]
fn the_revision_jumps_and_everything_before_is_compacted() {
    let member = Member::filled(200);
    let (file, data) = (member.save("snap.db"), member.path("restored"));
    let status = good(&["snapshot", "status", arg(&file), "-w", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let revision = status["revision"].as_i64().unwrap();
    let (to, jump) = (arg(&data), "--bump-revision=1000000");
    good(&["snapshot", "restore", arg(&file), "--data-dir", to, jump, "--mark-compacted=true"]);
    let hash = good(&["hashkv", to, "-w", "json"]);
    let hash: serde_json::Value = serde_json::from_str(&hash).unwrap();
    let after = revision + 1_000_000;
    assert_eq!((hash["hashRevision"].as_i64(), hash["compactRevision"].as_i64()), (Some(after), Some(after)));
    let old = refused(1, &["hashkv", to, "--rev", &revision.to_string()]);
    assert!(old.contains("compacted"), "{old}");
    assert!(good(&["check", to]).contains("no problems found"));
    let far = member.path("far");
    let most = i64::MAX.to_string();
    let args =
        ["snapshot", "restore", arg(&file), "--data-dir", arg(&far), "--mark-compacted", "--bump-revision", &most];
    assert!(refused(128, &args).contains("leaves the range of revisions"));
    assert!(!far.exists());
}

#[test]
fn a_restore_that_takes_the_revision_back_says_what_clients_miss() {
    let member = Member::filled(20);
    let file = member.save("snap.db");
    let said = |name: &str, flags: &[&str]| {
        let data = member.path(name);
        let ran = conclaveutl(&[&["snapshot", "restore", arg(&file), "--data-dir", arg(&data)][..], flags].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.err
    };
    let plain = said("back", &[]);
    assert!(
        plain.contains("hint: ") && plain.contains("--bump-revision") && plain.contains("--mark-compacted"),
        "{plain}"
    );
    let bumped = said("ahead", &["--bump-revision", "1000", "--mark-compacted"]);
    assert!(!bumped.contains("hint: "), "{bumped}");
}
