//! Beside the real daemon: what it saves is restored, what is restored it runs, and what it has open is left alone.

use crate::{arg, conclaveutl, good, refused};
use harness::daemon::{Daemon, Settings};
use harness::server::in_system;
use harness::{Stubs, Watching, request, watch};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

async fn fill(stubs: &Stubs) {
    for i in 0..400 {
        stubs.put(format!("k{:03}", i % 100), vec![i as u8; 1 + (i * 37) % 3000]).await;
    }
    stubs.delete("k010", "k020").await;
}

/// What a daemon held that is gone, and the snapshot that was saved of it.
struct Saved {
    file: PathBuf,
    kvs: Vec<api::mvccpb::KeyValue>,
    hash: u32,
    revision: i64,
}

async fn saved(dir: &Path) -> Saved {
    let (daemon, stubs) = Daemon::start(Settings::new(dir.join("first"))).await;
    fill(&stubs).await;
    let (bytes, _) = stubs.snapshot().await.unwrap();
    let file = dir.join("snap.db");
    std::fs::write(&file, bytes).unwrap();
    let kvs = stubs.range(request::all()).await.unwrap().kvs;
    let (hash, revision) = (stubs.hash_kv(0).await.unwrap().hash, stubs.revision().await);
    daemon.kill();
    Saved { file, kvs, hash, revision }
}

/// A daemon on the folder `name`, restored from `file` with these flags.
async fn restored(dir: &Path, name: &str, file: &Path, flags: &[&str]) -> (Daemon, Stubs) {
    let settings = Settings::new(dir.join(name));
    let peer = format!("http://127.0.0.1:{}", settings.peer);
    let cluster = format!("default={peer}");
    let fixed = ["snapshot", "restore", arg(file), "--data-dir", arg(&settings.data), "--initial-cluster", &cluster];
    let args = [&fixed[..], &["--initial-advertise-peer-urls", &peer], flags].concat();
    good(&args);
    Daemon::start(settings).await
}

#[test]
fn saved_by_a_client_restored_and_running_again() {
    in_system(async {
        let dir = TempDir::new().unwrap();
        let Saved { file, kvs, hash, revision } = saved(dir.path()).await;
        let shown = good(&["hashkv", arg(&file)]);
        assert!(shown.starts_with(&format!("{hash}, ")), "{shown} for {hash}");
        let (daemon, stubs) = restored(dir.path(), "second", &file, &[]).await;
        assert_eq!(stubs.range(request::all()).await.unwrap().kvs, kvs);
        assert_eq!((stubs.hash_kv(0).await.unwrap().hash, stubs.revision().await), (hash, revision));
        // history is there for watchers, and goes on
        let mut watching = Watching::open(&stubs, watch::create("k000", "", 2)).await;
        assert_eq!(watching.events(4).await.len(), 4);
        assert_eq!(stubs.put("k000", "again").await.header.unwrap().revision, revision + 1);
        assert_eq!(watching.events(1).await[0].kv.as_ref().unwrap().value, "again");
        let settings = daemon.terminate();
        assert!(settings.1.success());
        assert!(good(&["check", arg(&dir.path().join("second"))]).contains("no problems found"));
    });
}

#[test]
fn after_a_jump_of_the_revision_watchers_from_before_are_told() {
    in_system(async {
        let dir = TempDir::new().unwrap();
        let Saved { file, kvs, revision, .. } = saved(dir.path()).await;
        let jump = ["--bump-revision", "1000", "--mark-compacted"];
        let (daemon, stubs) = restored(dir.path(), "second", &file, &jump).await;
        assert_eq!(stubs.revision().await, revision + 1000);
        assert_eq!(stubs.range(request::all()).await.unwrap().kvs, kvs);
        let mut old = Watching::open(&stubs, watch::create_all(revision)).await;
        let told = old.next().await;
        assert!(told.canceled && told.compact_revision == revision + 1000, "{told:?}");
        let past = stubs.range(api_range(revision)).await.unwrap_err();
        assert_eq!(past.message(), "etcdserver: mvcc: required revision has been compacted");
        assert_eq!(stubs.put("new", "x").await.header.unwrap().revision, revision + 1001);
        // the deletion behind the compaction runs to its end, and a restart finds everything in order
        let settings = daemon.kill();
        let (daemon, stubs) = Daemon::start(settings).await;
        assert_eq!(stubs.revision().await, revision + 1001);
        daemon.terminate();
        assert!(good(&["check", arg(&dir.path().join("second"))]).contains("no problems found"));
    });
}

#[test]
fn a_restore_that_was_interrupted_is_not_started_as_an_empty_member() {
    let dir = TempDir::new().unwrap();
    let settings = Settings::new(dir.path().join("data"));
    std::fs::create_dir_all(settings.data.join("member.restoring/store")).unwrap();
    let (status, said) = settings.run_to_end(Duration::from_secs(60));
    assert!(!status.success() && said.contains("left over from a restore that was interrupted"), "{said}");
    assert!(!settings.data.join("member").exists());
}

fn api_range(revision: i64) -> api::etcdserverpb::RangeRequest {
    api::etcdserverpb::RangeRequest { revision, ..request::all() }
}

#[test]
fn a_folder_that_a_daemon_has_open_is_refused_and_left_alone() {
    in_system(async {
        let dir = TempDir::new().unwrap();
        let (daemon, stubs) = Daemon::start(Settings::new(dir.path().join("live"))).await;
        fill(&stubs).await;
        let data = dir.path().join("live");
        for args in [
            &["hashkv", arg(&data)][..],
            &["check", arg(&data)],
            &["defrag", "--data-dir", arg(&data)],
            &["dump", "store", arg(&data)],
            &["dump", "wal", arg(&data)],
            &["migrate", "--data-dir", arg(&data), "--target-version", "3.7"],
        ] {
            let said = refused(1, &[args, &["--timeout", "100ms"]].concat());
            assert!(said.contains("is in use by a running process") && said.contains("LOCK"), "{args:?}: {said}");
        }
        // by the store's lock alone, when the log is elsewhere
        let said = refused(1, &["hashkv", arg(&data.join("member/store")), "--timeout", "1ms"]);
        assert!(said.contains("store/LOCK"), "{said}");
        stubs.put("still", "alive").await;
        daemon.kill();
        // what a crash leaves is sound, its log ahead of its store
        let ran = conclaveutl(&["check", arg(&data)]);
        assert!(ran.code == 0 && ran.out.contains("the next start applies them"), "{ran:?}");
    });
}
