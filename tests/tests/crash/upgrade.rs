//! A rolling upgrade with two programs: members of an old build are replaced one by one by members of this one while clients write, and
//! one of them goes back again. Whatever was acknowledged is there at the end, on every member.
//!
//! `CONCLAVE_OLD_BIN` names the old program; without it the old and the new one are the same, and the test shows a rolling restart.

use harness::daemon::{Settings, binary};
use harness::request::{get, put};
use harness::{Daemon, Stubs, until};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::time::Duration;

const MEMBERS: usize = 3;
const SIGTERM: i32 = 15;
/// Writes between two steps.
const BATCH: usize = 40;
/// More than the server's own limit of seven seconds.
const PATIENCE: Duration = Duration::from_secs(15);

fn old_program() -> PathBuf {
    std::env::var_os("CONCLAVE_OLD_BIN").map_or_else(binary, PathBuf::from)
}

/// What was acknowledged so far: keys are numbers, and their own values.
struct Written(usize);

impl Written {
    /// Writes through every member in turn; what is refused is written again, through the next one.
    async fn more(&mut self, members: &[Stubs]) {
        for number in self.0..self.0 + BATCH {
            let key = format!("{number:06}");
            let mut turn = number;
            until("a write", async || {
                turn += 1;
                let mut kv = members[turn % members.len()].kv.clone();
                let answer = tokio::time::timeout(PATIENCE, kv.put(put(&key, &key))).await;
                answer.is_ok_and(|answer| answer.is_ok()).then_some(())
            })
            .await;
        }
        self.0 += BATCH;
    }

    async fn are_there(&self, members: &[Stubs]) {
        for (member, stubs) in members.iter().enumerate() {
            for number in 0..self.0 {
                let key = format!("{number:06}");
                let found = until("a read", async || stubs.range(get(&key)).await.ok()).await;
                assert_eq!(found.kvs.first().map(|kv| &kv.value[..]), Some(key.as_bytes()), "{key} on member {member}");
            }
        }
    }
}

/// Ends a member in good order and starts its next run with this program.
async fn replace(cluster: &mut Vec<Daemon>, member: usize, program: PathBuf) -> Vec<Stubs> {
    let settings = Settings { program: Some(program), ..cluster[member].settings.clone() };
    let (_, status) = cluster.remove(member).terminate();
    // as etcd, by the signal that asked for it, behind an orderly end
    assert_eq!(status.signal(), Some(SIGTERM), "member {member} ended with {status}");
    cluster.insert(member, Daemon::spawn(settings));
    serve(cluster).await
}

async fn serve(cluster: &mut [Daemon]) -> Vec<Stubs> {
    let mut stubs = Vec::new();
    for member in cluster {
        stubs.push(member.serves().await);
    }
    stubs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_an_old_program_are_replaced_one_by_one_and_nothing_is_lost() {
    let dir = tempfile::tempdir().expect("a folder");
    let old = old_program();
    let settings = Settings::of_cluster(dir.path(), MEMBERS);
    let begin = |one| Daemon::spawn(Settings { program: Some(old.clone()), ..one });
    let mut cluster: Vec<Daemon> = settings.into_iter().map(begin).collect();
    let mut stubs = serve(&mut cluster).await;
    let mut written = Written(0);
    written.more(&stubs).await;
    for member in 0..MEMBERS {
        stubs = replace(&mut cluster, member, binary()).await;
        written.more(&stubs).await;
        if member == 1 {
            // back, and here again: the version of the cluster is still the old one's
            stubs = replace(&mut cluster, member, old.clone()).await;
            written.more(&stubs).await;
            stubs = replace(&mut cluster, member, binary()).await;
            written.more(&stubs).await;
        }
    }
    written.are_there(&stubs).await;
}
