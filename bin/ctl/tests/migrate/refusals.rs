//! What a migration refuses, and what it says then.

use super::sides::{PATIENCE, Sides, content};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_holds_something_else_is_left_alone_until_that_is_asked_for() {
    let mut sides = Sides::start().await;
    let (from, to) = (sides.source.client().await, sides.destination.client().await);
    from.put("k", "v").await.expect("a put");
    to.put("theirs", "x").await.expect("a put");
    let (code, said) = sides.tool("migrate", &["--finish"]).end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("holds 1 keys and no unfinished migration"), "{said}");
    assert_eq!(content(&to).await.len(), 1);
    sides.finish(&["--overwrite"]);
    assert_eq!(content(&from).await, content(&to).await);
    let (code, said) = sides.tool("migrate", &["--finish"]).end();
    assert_eq!((code, said.contains("no unfinished migration")), (Some(1), true), "it was finished: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_at_the_destination_is_noticed_and_not_written_over() {
    let mut sides = Sides::start().await;
    let (from, to) = (sides.source.client().await, sides.destination.client().await);
    from.put("k", "v").await.expect("a put");
    let mut run = sides.tool("migrate", &[]);
    run.says("0 behind").await;
    to.put("k", "of a client that was switched too early").await.expect("a put");
    from.put("other", "v").await.expect("a put");
    let (code, said) = run.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("somebody else writes to the destination: key \"k\""), "{said}");
    let (code, said) = sides.tool("migrate", &["--finish"]).end();
    assert_eq!(code, Some(1), "{said}");
    sides.finish(&["--overwrite"]);
    assert_eq!(content(&from).await, content(&to).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_is_written_to_is_not_finished() {
    let mut sides = Sides::start().await;
    let from = sides.source.client().await;
    let mut run = sides.tool("migrate", &["--finish", "--quiet-for=300ms"]);
    let start = Instant::now();
    for number in 0.. {
        // slower than a change arrives, faster than the source would count as quiet
        from.put("k", number.to_string()).await.expect("a put");
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(run.is_running() && start.elapsed() < PATIENCE, "{}", run.said());
        if run.said().contains("the source is still written to") {
            break;
        }
    }
    let (code, said) = run.end();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(content(&from).await, content(&sides.destination.client().await).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_not_migrated_into_itself() {
    let mut sides = Sides::start().await;
    sides.source.client().await.put("k", "v").await.expect("a put");
    let there = sides.source.url();
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_conclavectl"))
        .args([&format!("--endpoints={there}"), "migrate", "--overwrite", "--finish", &there])
        .output()
        .expect("run the tool");
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!((run.status.code(), said.contains("the same cluster")), (Some(128), true), "{said}");
    assert_eq!(content(&sides.source.client().await).await.len(), 1);
    let (code, said) = sides.tool("migrate", &["--rev=900"]).end();
    assert_eq!(
        (code, said.contains("has the changes from revision 1 to 4, not from 900 on")),
        (Some(1), true),
        "{said}"
    );
}
