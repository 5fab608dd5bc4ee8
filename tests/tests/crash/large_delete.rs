//! A delete too large for one batch is applied in chunks: killed in the middle, it is whole after the restart or was never made.

use api::etcdserverpb::RangeRequest;
use harness::daemon::Settings;
use harness::request::{all, put_op, txn};
use harness::{Daemon, Stubs};
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinSet;

const TXNS: usize = 500;
const KEYS: i64 = TXNS as i64 * 128;

async fn fill(stubs: &Stubs) {
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let stubs = stubs.clone();
        tasks.spawn(async move {
            for i in (task..TXNS).step_by(8) {
                let ops = (0..128).map(|k| put_op(format!("some/long/prefix/of/a/key/{i:04}/{k:03}"), "v")).collect();
                stubs.txn(txn(ops)).await.expect("fill");
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_delete_is_whole_or_absent() {
    let dir = TempDir::new().expect("a folder");
    let mut settings = Settings::new(dir.path().join("data"));
    let (mut whole, mut absent) = (0, 0);
    for delay in [5, 30, 60, 100, 160, 250] {
        let (daemon, stubs) = Daemon::start(settings).await;
        if count(&stubs).await == 0 {
            fill(&stubs).await;
        }
        assert_eq!(count(&stubs).await, KEYS);
        let before = stubs.revision().await;
        let killing = async {
            tokio::time::sleep(Duration::from_millis(delay)).await;
            daemon.kill()
        };
        let request = harness::request::delete([0], [0]);
        let mut kv = stubs.kv.clone();
        let (killed, answer) = tokio::join!(killing, kv.delete_range(request));
        settings = killed;

        let (daemon, stubs) = Daemon::start(settings).await;
        let present = stubs.range(RangeRequest { keys_only: true, ..all() }).await.expect("range");
        assert_eq!(present.kvs.len() as i64, present.count, "the count is what is there");
        let after = stubs.revision().await;
        let acknowledged = answer.is_ok();
        match answer {
            Ok(answer) => assert_eq!((answer.into_inner().deleted, present.count), (KEYS, 0), "acknowledged"),
            Err(_) => assert!(present.count == 0 || present.count == KEYS, "{} of {KEYS} left", present.count),
        }
        assert_eq!(after - before, i64::from(present.count == 0), "one revision or none");
        let past = stubs.range(RangeRequest { revision: before, count_only: true, ..all() }).await.expect("the past");
        assert_eq!(past.count, KEYS);
        println!("killed after {delay} ms: acknowledged {acknowledged}, {} keys left", present.count);
        if present.count == 0 {
            whole += 1
        } else {
            absent += 1
        }
        settings = daemon.kill();
    }
    println!("{whole} deletes survived the kill, {absent} did not");
}

async fn count(stubs: &Stubs) -> i64 {
    stubs.range(RangeRequest { count_only: true, ..all() }).await.expect("count").count
}
