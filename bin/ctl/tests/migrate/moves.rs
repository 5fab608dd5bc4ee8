//! What is kept: history, leases, the order of locks, users and roles.

use super::sides::{PATIENCE, Sides, content, history};
use conclave_client::{Access, Client, EventKind, Order, Put, SortBy, Txn};
use std::time::{Duration, Instant};

/// Values of a key in the order in which it was written.
async fn values(client: &Client, key: &str, since: i64) -> Vec<Option<String>> {
    let now = client.get(key).await.expect("an answer").revision;
    let mut watcher = client.watch("").prefix().since(since).await.expect("a watch");
    let (mut seen, mut reached) = (Vec::new(), 0);
    while reached < now {
        let changes = watcher.next().await.expect("it goes on").expect("nothing is compacted");
        reached = changes.revision;
        for event in changes.events.into_iter().filter(|event| event.kv.key == key.as_bytes()) {
            let value = String::from_utf8_lossy(&event.kv.value).into_owned();
            seen.push((event.kind == EventKind::Put).then_some(value));
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revisions_stay_what_they_are_when_nothing_is_compacted_and_that_is_asked_for() {
    let mut sides = Sides::start().await;
    let from = sides.source.client().await;
    for number in 0..50 {
        let key = format!("k{}", number % 9);
        if number % 5 == 4 {
            from.delete(&key).await.map(drop)
        } else {
            from.put(&key, number.to_string()).await.map(drop)
        }
        .expect("a write");
    }
    let two = (0..40).fold(Txn::new(), |txn, number| txn.then(Put::new(format!("many{number}"), "x")));
    from.txn().then(two).await.expect("a transaction");
    sides.finish(&["--exact-revisions"]);
    let to = sides.destination.client().await;
    let sorted = |client: Client| async move {
        let found = client.get("").prefix().sorted(SortBy::Key, Order::Ascending).await.expect("every key");
        found.kvs
    };
    assert_eq!(sorted(from.clone()).await, sorted(to.clone()).await, "with every revision and version");
    assert_eq!(history(&from).await, history(&to).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_compacted_is_copied_as_it_is_and_the_order_of_creation_is_kept() {
    let mut sides = Sides::start().await;
    let from = sides.source.client().await;
    let mut line = Vec::new();
    // those who wait for a lock: in this order, which is not that of their keys
    for id in [0x70_i64, 0x10, 0x50, 0x30] {
        let lease = from.grant_as(id, Duration::from_secs(300)).await.expect("a lease");
        let key = format!("lock/{:x}", lease.id());
        from.put(&key, "waits").lease(lease.id()).await.expect("a put");
        line.push(key);
    }
    for number in 0..20 {
        from.put("often", number.to_string()).await.expect("a put");
    }
    let revision = from.put("z", "old").await.expect("a put").revision;
    from.compact(revision, true).await.expect("a compaction");
    for value in ["a", "b", "c"] {
        from.put("z", value).await.expect("a put");
    }
    from.delete("z").await.expect("a delete");
    from.put("z", "d").await.expect("a put");
    let said = sides.finish(&[]);
    assert!(said.contains("copied 6 keys"), "{said}");
    let to = sides.destination.client().await;
    assert_eq!(content(&from).await, content(&to).await);
    let created = to.get("lock/").prefix().sorted(SortBy::Created, Order::Ascending).await.expect("the line");
    let there: Vec<_> = created.kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect();
    assert_eq!(there, line);
    let revisions: Vec<_> = created.kvs.iter().map(|kv| kv.create_revision).collect();
    assert!(revisions.windows(2).all(|two| two[0] < two[1]), "no two came at once: {revisions:?}");
    let kept = values(&to, "z", 2).await;
    assert_eq!(
        kept,
        ["old", "a", "b", "c"]
            .map(|value| Some(value.to_owned()))
            .into_iter()
            .chain([None, Some("d".to_owned())])
            .collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_keep_their_ids_and_times_and_end_when_they_end_at_the_source() {
    let mut sides = Sides::start().await;
    let (from, to) = (sides.source.client().await, sides.destination.client().await);
    let alive = from.grant(Duration::from_secs(4)).await.expect("a lease");
    let kept = alive.keep_alive();
    let dying = from.grant(Duration::from_secs(6)).await.expect("a lease");
    let empty = from.grant_as(77, Duration::from_secs(500)).await.expect("a lease");
    from.put("alive", "x").lease(alive.id()).await.expect("a put");
    from.put("dying", "x").lease(dying.id()).await.expect("a put");
    let mut run = sides.tool("migrate", &[]);
    run.says("0 behind").await;
    let start = Instant::now();
    // longer than any of them lives without a renewal
    while to.get("dying").await.expect("an answer").value().is_some() {
        assert!(start.elapsed() < PATIENCE, "the key of a lease that ended stays");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(from.get("dying").await.expect("an answer").value().is_none(), "it ended at the source first");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(to.get("alive").await.expect("an answer").value().is_some(), "it is renewed there too");
    run.terminate();
    let (code, said) = run.end();
    assert_eq!((code, said.contains("keys differed")), (Some(0), false), "{said}");
    sides.finish(&[]);
    assert!(!kept.is_lost());
    let there = to.lease(alive.id()).await.expect("a lease").state().await.expect("its state");
    assert_eq!(there.granted, Duration::from_secs(4));
    assert_eq!(
        to.lease(empty.id()).await.expect("a lease").state().await.expect("its state").granted,
        Duration::from_secs(500)
    );
    let mut ids = to.leases().await.expect("leases");
    ids.sort_unstable();
    let mut expected = vec![alive.id(), empty.id()];
    expected.sort_unstable();
    assert_eq!(ids, expected);
    assert_eq!(content(&from).await, content(&to).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_the_destination_lost_while_the_tool_was_away_are_put_back() {
    let mut sides = Sides::start().await;
    let (from, to) = (sides.source.client().await, sides.destination.client().await);
    let lease = from.grant(Duration::from_secs(3)).await.expect("a lease");
    let _kept = lease.keep_alive();
    from.put("held", "x").lease(lease.id()).await.expect("a put");
    let mut run = sides.tool("migrate", &[]);
    run.says("0 behind").await;
    drop(run);
    let start = Instant::now();
    while to.get("held").await.expect("an answer").value().is_some() {
        assert!(start.elapsed() < PATIENCE, "nobody renews it any more");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let said = sides.finish(&[]);
    assert!(said.contains("1 keys differed and were written again"), "{said}");
    assert_eq!(content(&from).await, content(&to).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_come_with_their_roles_and_with_passwords_from_a_file() {
    let sides = Sides::start().await;
    let from = sides.source.client().await;
    let auth = from.auth();
    auth.add_user("root", Some("secret")).await.expect("a user");
    auth.grant_role("root", "root").await.expect("a grant");
    auth.add_role("reader").await.expect("a role");
    auth.allow("reader", Access::Read, "app/").await.expect("a permission");
    for user in ["ann", "bob"] {
        auth.add_user(user, Some("pass")).await.expect("a user");
        auth.grant_role(user, "reader").await.expect("a grant");
    }
    from.put("app/k", "v").await.expect("a put");
    auth.enable().await.expect("users count");
    let file = sides.dir.path().join("passwords");
    std::fs::write(&file, "ann:other\n").expect("a file");
    let url = sides.source.url();
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_conclavectl"))
        .args([&format!("--endpoints={url}"), "--user=root:secret", "migrate", "--finish", "--quiet-for=100ms"])
        .arg(format!("--passwords-file={}", file.display()))
        .arg(sides.destination.url())
        .output()
        .expect("run the tool");
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{said}{}", String::from_utf8_lossy(&run.stderr));
    assert!(said.contains("--passwords-file): bob"), "bob alone has none: {said}");
    assert!(said.contains("authentication is on"), "{said}");
    let to = |user: &'static str, password: &'static str| {
        Client::builder([sides.destination.url()]).user(user, password).connect()
    };
    let ann = to("ann", "other").await.expect("ann logs in");
    assert_eq!(ann.get("app/k").await.expect("she may read").value(), Some(&b"v"[..]));
    assert!(ann.put("app/k", "w").await.is_err(), "she may not write");
    assert!(to("bob", "pass").await.is_err(), "nobody knows his password");
    let root = to("root", "secret").await.expect("root logs in");
    assert_eq!(content(&root).await, [("app/k".to_owned(), "v".to_owned(), 0)]);
}
