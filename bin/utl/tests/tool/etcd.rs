//! Files of etcd's: in, out, and what is refused. What real releases of etcd wrote is in `tests/golden/etcd`.

use crate::member::Member;
use crate::{arg, good, refused};
use std::path::{Path, PathBuf};

/// Revision, hash, compacted revision, as etcd said them.
type Hashes = [(i64, u32, i64); 3];

/// The recorded snapshots: release, version of the storage, hashes.
const RECORDED: [(&str, &str, Hashes); 3] = [
    ("3.4.23", "", [(25, 2_693_021_565, 24), (27, 2_419_068_521, 24), (32, 856_550_718, 24)]),
    ("3.5.1", "", [(25, 762_376_152, 24), (27, 4_172_796_958, 24), (32, 1_712_902_371, 24)]),
    ("3.7.1", "3.7.0", [(25, 4_290_378_804, 24), (27, 4_029_798_415, 24), (32, 4_148_699_979, 24)]),
];

fn hash(path: &Path, revision: i64) -> String {
    good(&["hashkv", arg(path), "--rev", &revision.to_string(), "-w", "json"])
}

fn recorded(release: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/golden/etcd/{release}.db"))
}

#[test]
fn snapshots_of_etcds_releases_keep_their_hashes() {
    let folder = tempfile::tempdir().unwrap();
    for (release, version, hashes) in RECORDED {
        let file = recorded(release);
        let told: serde_json::Value =
            serde_json::from_str(&good(&["snapshot", "status", arg(&file), "-w", "json"])).unwrap();
        assert_eq!(told["version"], version, "{release}");
        let data = folder.path().join(release);
        good(&["snapshot", "restore", arg(&file), "--data-dir", arg(&data)]);
        let back = folder.path().join(format!("{release}.back"));
        good(&["snapshot", "convert", arg(&data), arg(&back)]);
        for (revision, hash_of_etcd, compacted) in hashes {
            let expected =
                format!("{{\"hash\":{hash_of_etcd},\"hashRevision\":{revision},\"compactRevision\":{compacted}}}\n");
            for path in [&file, &data, &back] {
                assert_eq!(hash(path, revision), expected, "{release}: {} at {revision}", path.display());
            }
        }
        let check = good(&["check", arg(&data)]);
        assert!(check.contains("no problems found"), "{release}: {check}");
        let users = good(&["dump", "store", arg(&data), "--family", "meta"]);
        assert!(users.contains("alice") && users.contains("user") && users.contains("role"), "{release}: {users}");
    }
}

#[test]
fn a_snapshot_goes_into_etcds_format_and_back() {
    let member = Member::filled(2_000);
    let ours = member.save("ours.db");
    let (theirs, back, data) = (member.path("theirs.db"), member.path("back.db"), member.path("restored"));
    good(&["snapshot", "convert", arg(&ours), arg(&theirs)]);
    good(&["snapshot", "convert", arg(&theirs), arg(&back), "--format", "conclave"]);
    good(&["snapshot", "restore", arg(&theirs), "--data-dir", arg(&data)]);
    for revision in [0, 2_000, 2_500] {
        let hashes = [&ours, &theirs, &back, &data].map(|path| hash(path, revision));
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{revision}: {hashes:?}");
    }
    for path in [&theirs, &back, &data] {
        assert!(good(&["check", arg(path)]).contains("no problems found"), "{}", path.display());
    }
    let told = |path: &Path| good(&["snapshot", "status", arg(path), "-w", "json"]);
    let keys = |path: &Path| serde_json::from_str::<serde_json::Value>(&told(path)).unwrap()["totalKey"].clone();
    assert_eq!((keys(&ours), keys(&theirs)), (keys(&back), keys(&back)));
    let again = refused(1, &["snapshot", "convert", arg(&ours), arg(&theirs)]);
    assert!(again.contains("exists"), "{again}");
    let left = std::fs::read_dir(member.dir.path()).unwrap().count();
    assert_eq!(left, 5, "data, three files, the restored member; nothing else");
}

#[test]
fn damaged_files_of_etcds_leave_nothing_behind() {
    let member = Member::filled(500);
    let theirs = member.path("theirs.db");
    good(&["snapshot", "convert", arg(&member.save("ours.db")), arg(&theirs)]);
    let bytes = std::fs::read(&theirs).unwrap();
    let length = bytes.len();
    let edit = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        bytes
    };
    let cases = [
        ("bit in a page", edit(length / 2), "expected sha256 ["),
        ("zeros in the first page", [vec![0; 512], bytes[512..].to_vec()].concat(), "expected sha256 ["),
        ("bit in the hash", edit(length - 1), "expected sha256 ["),
        ("cut", bytes[..length - 4096 - 32].to_vec(), "snapshot missing hash but --skip-hash-check=false"),
    ];
    for (name, bytes, said) in cases {
        let (file, data) = (member.path("bad.db"), member.path("data-of-bad"));
        std::fs::write(&file, bytes).unwrap();
        let refusal = refused(1, &["snapshot", "restore", arg(&file), "--data-dir", arg(&data)]);
        assert!(refusal.contains(said), "{name}: {refusal}");
        assert!(!data.exists(), "{name}");
    }
    let (cut, data) = (member.path("cut.db"), member.path("data-of-cut"));
    std::fs::write(&cut, &bytes[..length - 4096 - 32]).unwrap();
    let restore = ["snapshot", "restore", arg(&cut), "--data-dir", arg(&data), "--skip-hash-check"];
    assert!(refused(1, &restore).contains("the database is cut"));
    // without the hash, which a database of a data folder does not have
    std::fs::write(&cut, &bytes[..length - 32]).unwrap();
    good(&restore);
}
