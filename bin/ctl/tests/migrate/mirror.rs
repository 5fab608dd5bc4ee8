//! `make-mirror --resume` goes on where it was.

use super::sides::{PATIENCE, Sides, content};
use conclave_client::Client;
use std::time::{Duration, Instant};

async fn arrives(client: &Client, key: &str, value: &str) {
    let start = Instant::now();
    while client.get(key).await.expect("an answer").value() != Some(value.as_bytes()) {
        assert!(start.elapsed() < PATIENCE, "{key} does not arrive");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_that_was_killed_goes_on_without_copying_again() {
    let mut sides = Sides::start().await;
    let (from, to) = (sides.source.client().await, sides.destination.client().await);
    from.put("app/a", "1").await.expect("a put");
    from.put("app/gone", "1").await.expect("a put");
    let run = sides.tool("make-mirror", &["--prefix=app/", "--resume"]);
    arrives(&to, "app/a", "1").await;
    from.put("app/a", "2").await.expect("a put");
    arrives(&to, "app/a", "2").await;
    drop(run);
    let before = to.get("app/a").await.expect("an answer").kvs[0].version;
    from.delete("app/gone").await.expect("a delete");
    from.put("app/b", "3").await.expect("a put");
    let _run = sides.tool("make-mirror", &["--prefix=app/", "--resume"]);
    arrives(&to, "app/b", "3").await;
    assert!(to.get("app/gone").await.expect("an answer").value().is_none(), "it was deleted meanwhile");
    assert_eq!(to.get("app/a").await.expect("an answer").kvs[0].version, before, "it was not copied again");
    let there = content(&to).await;
    let theirs: Vec<_> = there.iter().filter(|(key, ..)| key.starts_with('\0')).collect();
    assert_eq!(theirs.len(), 1, "one note: {theirs:?}");
}
