//! Calls that fail: a sync, a write, an allocation, on the log's files and on the store's. The process ends by itself with one
//! sentence, or goes on and says what it could not do; after a restart everything acknowledged is there.

use super::{END_PATIENCE, Ledger, fatal, fits};
use api::etcdserverpb::DefragmentRequest;
use harness::daemon::Settings;
use harness::machine::Shim;
use harness::{Daemon, Stubs, expect_status, soon};
use tempfile::TempDir;
use tonic::Code;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// What makes the process meet the fault.
#[derive(Clone, Copy)]
enum Provoke {
    /// Writes.
    Puts,
    /// A snapshot, for which the store is flushed.
    Snapshot,
}

struct Case {
    name: &'static str,
    rule: String,
    provoke: Provoke,
    /// The last word of the process; none when it has to live on.
    last_word: Option<&'static str>,
}

fn cases() -> Vec<Case> {
    let case = |name, rule: String, provoke, last_word| Case { name, rule, provoke, last_word };
    vec![
        case(
            "a sync of the log fails",
            format!("sync {EIO} .wal"),
            Provoke::Puts,
            Some(
                "WAL writer failed: write-ahead log: cannot sync …/member/wal/0000000000000001.wal: Input/output error (os error 5); \
                 check the disk and the permissions, then start the member again",
            ),
        ),
        case(
            "a write of the log fails",
            format!("write {EIO} .wal"),
            Provoke::Puts,
            Some(
                "WAL writer failed: write-ahead log: cannot write …/member/wal/0000000000000001.wal: Input/output error (os error 5); \
                 check the disk and the permissions, then start the member again",
            ),
        ),
        case(
            "a write of the log finds no space",
            format!("write {ENOSPC} .wal"),
            Provoke::Puts,
            Some(
                "WAL writer failed: write-ahead log: no space left for …/member/wal/0000000000000001.wal; \
                 free disk space or grow the volume",
            ),
        ),
        case("no segment can be prepared", format!("write {ENOSPC} .partial"), Provoke::Puts, None),
        case(
            "a flush finds no space",
            format!("write {ENOSPC} .sst"),
            Provoke::Snapshot,
            Some("…the disk is full: …; free space under the data folder, then start the member again"),
        ),
        case(
            "a flush fails",
            format!("sync {EIO} .sst"),
            Provoke::Snapshot,
            Some("…the node stops, nothing acknowledged is lost: check the disk, then start it again"),
        ),
        case(
            "the store's manifest cannot be written",
            format!("write {EIO} MANIFEST"),
            Provoke::Snapshot,
            Some("…the node stops, nothing acknowledged is lost: check the disk, then start it again"),
        ),
    ]
}

async fn provoke(how: Provoke, ledger: &mut Ledger, stubs: &Stubs) {
    if matches!(how, Provoke::Snapshot) {
        let refused =
            soon("an answer", stubs.snapshot()).await.expect_err("a snapshot of a store that cannot be flushed");
        assert!(matches!(refused.code(), Code::Unavailable | Code::Unknown | Code::Internal), "{refused:?}");
    }
    for _ in 0..200 {
        if let Err(refused) = ledger.write(stubs, 1, 1000).await {
            let known = matches!(refused.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled);
            assert!(known, "{refused:?}");
            return;
        }
    }
}

async fn run(case: &Case) {
    let dir = TempDir::new().expect("a folder");
    let Some(shim) = Shim::new(dir.path()) else { return };
    let mut settings = Settings::new(dir.path().join("data"));
    settings.variables = shim.variables();
    let (mut daemon, stubs) = Daemon::start(settings).await;
    let mut ledger = Ledger::default();
    ledger.write(&stubs, 50, 1000).await.expect("writes before the fault");
    shim.set(&case.rule);
    provoke(case.provoke, &mut ledger, &stubs).await;
    let settings = match case.last_word {
        Some(sentence) => {
            let (status, said, settings) = daemon.ends(END_PATIENCE).await;
            assert_eq!(status.code(), Some(1), "{}:\n{said}", case.name);
            let error = fatal(&said);
            assert!(fits(&error, sentence), "{}:\n  said   {error}\n  wanted {sentence}", case.name);
            settings
        }
        None => {
            ledger.check(&stubs).await;
            assert!(daemon.ended().is_none(), "{}: it ended", case.name);
            daemon.kill()
        }
    };
    shim.set("");
    let (_daemon, stubs) = Daemon::start(settings).await;
    ledger.check(&stubs).await;
    ledger.write(&stubs, 5, 1000).await.expect("writes after it");
}

#[tokio::test]
async fn calls_that_fail_end_the_process_with_one_sentence_and_lose_nothing() {
    for case in cases() {
        println!("{}", case.name);
        run(&case).await;
    }
}

#[tokio::test]
async fn a_defragmentation_without_space_fails_alone() {
    let dir = TempDir::new().expect("a folder");
    let Some(shim) = Shim::new(dir.path()) else { return };
    let mut settings = Settings::new(dir.path().join("data"));
    settings.variables = shim.variables();
    let (_daemon, stubs) = Daemon::start(settings).await;
    let mut ledger = Ledger::default();
    for _ in 0..3 {
        ledger.write(&stubs, 50, 1000).await.expect("writes");
        stubs.snapshot().await.expect("a flush");
    }
    shim.set(&format!("write {ENOSPC} .sst"));
    let answer = soon("an answer", stubs.maintenance.clone().defragment(DefragmentRequest {})).await;
    expect_status(
        "a defragmentation",
        answer,
        Code::Unknown,
        "etcdserver: the job failed, the log of this member says why",
    );
    shim.set("");
    ledger.check(&stubs).await;
}
