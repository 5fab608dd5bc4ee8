//! Folders that are not this member's: another's log, a newer version's, a living process's, one nobody may read; and files that
//! are nobody's.

use super::{Ledger, copy, refused};
use harness::daemon::Settings;
use harness::{Daemon, Stubs};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tempfile::TempDir;

/// A stopped member with some data.
async fn member(data: &Path, token: &str) -> (Settings, Ledger) {
    let mut settings = Settings::new(data);
    settings.flags = vec!["--initial-cluster-token".into(), token.into()];
    let (daemon, stubs) = Daemon::start(settings).await;
    let mut ledger = Ledger::default();
    ledger.write(&stubs, 20, 100).await.expect("writes");
    (stop(daemon).await, ledger)
}

async fn stop(daemon: Daemon) -> Settings {
    let settings = daemon.settings.clone();
    tokio::task::spawn_blocking(|| daemon.terminate()).await.expect("terminate");
    settings
}

async fn refuses(name: &'static str, settings: &Settings, sentence: String) {
    let settings = settings.clone();
    tokio::task::spawn_blocking(move || refused(name, &settings, &sentence)).await.expect("a thread");
}

async fn serves(settings: Settings, ledger: &Ledger) -> (Daemon, Stubs) {
    let (daemon, stubs) = Daemon::start(settings).await;
    ledger.check(&stubs).await;
    (daemon, stubs)
}

#[tokio::test]
async fn the_log_of_another_cluster_or_member_is_refused() {
    let dir = TempDir::new().expect("a folder");
    let (a, b, c) = (dir.path().join("a"), dir.path().join("b"), dir.path().join("c"));
    let (mine, ledger) = member(&a, "one").await;
    member(&b, "two").await;
    let foreign = "write-ahead log: written for cluster …, this member is of cluster …; check the data folder and the initial cluster token";
    let wal = |of: &Path| of.join("member/wal");
    let mut mixed = mine.clone();
    mixed.flags.extend(["--wal-dir".into(), wal(&b).display().to_string()]);
    refuses("another cluster's log", &mixed, foreign.into()).await;
    // an empty folder in the place of the log: a forgotten mount
    std::fs::create_dir(&c).expect("a folder");
    mixed.flags[3] = c.display().to_string();
    let sentence = format!(
        "log and store in {} do not fit together: there is no log in {}; is its disk mounted, is --wal-dir right?; \
         restore this member from a snapshot, or remove it from the cluster and add it again",
        a.display(),
        c.display()
    );
    refuses("no log", &mixed, sentence).await;
    serves(mine, &ledger).await;
}

#[tokio::test]
async fn a_newer_versions_log_is_refused_and_untouched() {
    let dir = TempDir::new().expect("a folder");
    let (settings, ledger) = member(&dir.path().join("a"), "one").await;
    let segment = settings.data.join("member/wal/0000000000000001.wal");
    let sound = std::fs::read(&segment).expect("the segment");
    let mut newer = sound.clone();
    newer[8] = 9;
    let sum = crc32c::crc32c(&newer[..60]);
    newer[60..64].copy_from_slice(&sum.to_le_bytes());
    std::fs::write(&segment, &newer).expect("a newer log");
    let sentence = "write-ahead log: format version 9, this program reads up to 1; run the newer version";
    refuses("a newer log", &settings, sentence.into()).await;
    assert!(std::fs::read(&segment).expect("the segment") == newer, "a refusal changes nothing");
    std::fs::write(&segment, &sound).expect("the log again");
    serves(settings, &ledger).await;
}

#[tokio::test]
async fn a_folder_in_use_is_refused_with_the_same_sentence_every_time() {
    let dir = TempDir::new().expect("a folder");
    let data = dir.path().join("a");
    let (daemon, stubs) = Daemon::start(Settings::new(&data)).await;
    let mut ledger = Ledger::default();
    ledger.write(&stubs, 5, 100).await.expect("writes");
    let second = Settings::new(&data);
    let sentence = format!(
        "store is locked by another process: …{}/member/store/LOCK…; is another member running on this data folder?",
        data.display()
    );
    for _ in 0..2 {
        refuses("a second process", &second, sentence.clone()).await;
    }
    // killed, it leaves no lock behind
    let settings = daemon.kill();
    serves(settings, &ledger).await;
}

#[tokio::test]
async fn a_folder_of_another_user_is_named() {
    // root may read anything: the daemon runs as somebody else
    let dir = TempDir::new().expect("a folder");
    let id = std::process::Command::new("id").arg("-u").output().expect("id runs").stdout;
    if id != b"0\n" {
        return println!("skipped: only root can start a process as another user");
    }
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("others may look in");
    let data = dir.path().join("data");
    let (settings, ledger) = member(&data, "one").await;
    let mut other = settings.clone();
    other.within =
        ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"].map(String::from).to_vec();
    // a copy where that user may execute it
    let binary = harness::daemon::binary();
    let reachable = binary
        .ancestors()
        .all(|dir| dir.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0 || meta.is_file()));
    if !reachable {
        let public = dir.path().join("conclave");
        copy(&binary, &public);
        other.within.extend([
            "sh".into(),
            "-c".into(),
            format!("shift; exec {} \"$@\"", public.display()),
            "sh".into(),
        ]);
    }
    let sentence = format!(
        "cannot use data folder {}: Permission denied (os error 13); check that it exists, is writable and belongs to this user",
        data.join("member/store").display()
    );
    refuses("another user's folder", &other, sentence).await;
    serves(settings, &ledger).await;
}

#[tokio::test]
async fn files_that_are_nobodys_are_left_alone() {
    let dir = TempDir::new().expect("a folder");
    let (settings, ledger) = member(&dir.path().join("a"), "one").await;
    let foreign = [
        "lost+found/x",
        "member/notes.txt",
        "member/wal/README",
        "member/wal/0000000000000001.wal.bak",
        "member/wal/00000000000000ZZ.wal",
        "member/store/readme.txt",
        "member/snap/db",
    ];
    for name in foreign {
        let path = settings.data.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("its folder");
        std::fs::write(&path, name).expect("a foreign file");
    }
    // half-made files of an earlier run are ours, and go
    let partial = settings.data.join("member/wal/0000000000000009.partial");
    std::fs::write(&partial, b"half").expect("a partial");
    let scratch = settings.data.join("member/scratch/checkpoint-1");
    std::fs::create_dir_all(&scratch).expect("an old checkpoint");
    let (daemon, stubs) = serves(settings, &ledger).await;
    stubs.snapshot().await.expect("a snapshot");
    let settings = stop(daemon).await;
    for name in foreign {
        let found = std::fs::read_to_string(settings.data.join(name));
        assert_eq!(found.ok().as_deref(), Some(name), "{name} was touched");
    }
    assert!(!partial.exists() && !scratch.exists(), "our own remains are cleared");
    serves(settings, &ledger).await;
}

/// Every file below a folder: its path, its length, its last change.
fn listing(dir: &Path) -> Vec<(PathBuf, u64, SystemTime)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a folder") {
        let entry = entry.expect("an entry");
        let about = entry.metadata().expect("what it is");
        all.push((entry.path(), about.len(), about.modified().expect("when it was changed")));
        if about.is_dir() {
            all.extend(listing(&entry.path()));
        }
    }
    all.sort();
    all
}

/// Founding an empty store beside etcd's files would make whoever follows the keys delete everything.
#[tokio::test]
async fn folders_of_etcd_are_refused_before_anything_is_written() {
    const SENTENCE: &str = "…is a file of etcd: conclave does not start on etcd's files, and has changed nothing; to move the data, …\
                            `conclaveutl snapshot restore …--data-dir <new folder>`…";
    let segment = "0000000000000000-0000000000000000.wal";
    // as 3.4 to 3.7 leave them: a fresh member, one with snapshots, one with its log elsewhere, and that log alone
    let snapshot = "member/snap/0000000000000002-00000000000186a1.snap";
    let cases: [(&str, &[&str], Option<&str>); 5] = [
        ("fresh", &["member/snap/db", "member/wal/SEGMENT", "member/wal/0.tmp"], None),
        ("with snapshots", &["member/snap/db", snapshot, "member/wal/SEGMENT"], None),
        ("its log elsewhere", &["member/snap/db", "log/SEGMENT"], Some("log")),
        ("the log alone", &["log/SEGMENT"], Some("log")),
        ("its inner folder", &["snap/db", "wal/SEGMENT"], None),
    ];
    for (name, files, log) in cases {
        let dir = TempDir::new().expect("a folder");
        let data = dir.path().join("data");
        std::fs::create_dir(&data).expect("a folder");
        for file in files {
            let root = if file.starts_with("log/") { dir.path() } else { &data };
            let path = root.join(file.replace("SEGMENT", segment));
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("its folder");
            std::fs::write(&path, [7; 4096]).expect("a file of etcd");
        }
        let mut settings = Settings::new(&data);
        // a certificate of its own would be written into the data folder
        settings.flags.push("--auto-tls".into());
        if let Some(log) = log {
            settings.flags.extend(["--wal-dir".into(), dir.path().join(log).display().to_string()]);
        }
        let before = listing(dir.path());
        refuses(name, &settings, SENTENCE.into()).await;
        assert_eq!(listing(dir.path()), before, "{name}: something was changed");
    }
}
