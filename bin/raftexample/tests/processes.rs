//! Processes of raftexample, killed, removed and added under load.
//!
//! Must never end a process that it did not start.

mod cluster;

use cluster::{Cluster, get, put};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

/// What one writer did: keys whose value was acknowledged, and how often a request had no good answer.
#[derive(Default)]
struct Written {
    acknowledged: BTreeMap<String, String>,
    failures: usize,
}

/// Stores a new key with each request, at one member after the other, and reads it at the next: what was acknowledged by one
/// is seen by all.
fn write(ports: &[u16], writer: usize, stop: &AtomicBool) -> Written {
    let mut written = Written::default();
    let mut number = 0;
    while !stop.load(Relaxed) {
        number += 1;
        let (here, there) = (ports[(number + writer) % ports.len()], ports[(number + writer + 1) % ports.len()]);
        let (key, value) = (format!("w{writer}-{number}"), number.to_string());
        if put(here, &key, &value) != Some(204) {
            written.failures += 1;
            continue;
        }
        match get(there, &key) {
            Some((200, seen)) => assert_eq!(seen, value, "{key}"),
            Some((404, _)) => panic!("a stale read: {key} was acknowledged"),
            _ => written.failures += 1,
        }
        written.acknowledged.insert(key, value);
    }
    written
}

#[test]
fn nothing_acknowledged_is_lost_and_no_read_is_stale_when_members_are_killed_in_turn() {
    let mut cluster = Cluster::start(3, &[]);
    let ports = cluster.client_ports();
    let stop = AtomicBool::new(false);
    let written: Vec<Written> = thread::scope(|scope| {
        let ports = &ports;
        let stop = &stop;
        let writers: Vec<_> = (0..4).map(|writer| scope.spawn(move || write(ports, writer, stop))).collect();
        for member in [0, 1, 2, 0, 1, 2] {
            thread::sleep(Duration::from_millis(700));
            cluster.kill(member);
            thread::sleep(Duration::from_millis(1500));
            cluster.start_again(member);
            cluster.wait_until_all_serve();
        }
        cluster.kill_all();
        cluster.start_all_again();
        cluster.wait_until_all_serve();
        stop.store(true, Relaxed);
        writers.into_iter().map(|writer| writer.join().expect("a writer")).collect()
    });
    let mut count = 0;
    for (key, value) in written.iter().flat_map(|one| &one.acknowledged) {
        let port = ports[count % ports.len()];
        assert_eq!(get(port, key), Some((200, value.clone())), "{key} was acknowledged");
        count += 1;
    }
    let failures: usize = written.iter().map(|one| one.failures).sum();
    println!("{count} acknowledged values are there; {failures} requests failed while members were down");
    assert!(count > 200, "too little load to prove anything: {count}");
}

#[test]
fn a_member_that_was_away_for_longer_than_the_log_reaches_gets_a_snapshot() {
    let mut cluster = Cluster::start(3, &["--snapshot-count", "50"]);
    let ports = cluster.client_ports();
    cluster.kill(2);
    for number in 0..300 {
        cluster.put_somewhere(&ports[..2], &format!("k{number}"), &number.to_string());
    }
    cluster.start_again(2);
    cluster.wait_until_all_serve();
    for number in 0..300 {
        assert_eq!(get(ports[2], &format!("k{number}")), Some((200, number.to_string())));
    }
    // and what it got is durable
    cluster.kill(2);
    cluster.start_again(2);
    cluster.wait_until_all_serve();
    assert_eq!(get(ports[2], "k299"), Some((200, "299".to_owned())));
}

#[test]
fn members_are_added_and_removed_while_the_cluster_serves() {
    let mut cluster = Cluster::start(3, &[]);
    let ports = cluster.client_ports();
    cluster.put_somewhere(&ports, "before", "1");

    let added = cluster.new_member();
    cluster.change(&ports, "POST", added + 1, &cluster.url(added), 204);
    cluster.join(added);
    cluster.wait_until_all_serve();
    let all = cluster.client_ports();
    assert_eq!(get(all[added], "before"), Some((200, "1".to_owned())), "the new member has what was before it");

    cluster.change(&all, "DELETE", 3, "", 204);
    assert!(cluster.ends(2).success(), "a member that is removed ends by itself");
    cluster.change(&[all[0], all[1], all[added]], "POST", 3, "http://127.0.0.1:1", 409);

    // of three members one may be down: the new one counts
    cluster.kill(0);
    cluster.put_somewhere(&[all[1], all[added]], "after", "2");
    cluster.kill(added);
    cluster.start_again(0);
    cluster.wait_for(&[0, 1]);
    assert_eq!(get(all[0], "after"), Some((200, "2".to_owned())));
}

#[test]
fn wrong_requests_are_answered_with_what_is_right() {
    let cluster = Cluster::start(1, &[]);
    let port = cluster.client_ports()[0];
    assert_eq!(get(port, "nothing").map(|(status, _)| status), Some(404));
    for (method, path, body, status, says) in [
        ("POST", "/x", "http://127.0.0.1:1", 400, "id of a member"),
        ("DELETE", "/0", "", 400, "number above 0"),
        ("POST", "/2", "nonsense", 400, "http://host:port"),
        ("DELETE", "/1", "", 409, "removed all voters"),
        ("PATCH", "/k", "", 405, "GET, PUT, POST or DELETE"),
    ] {
        let (found, text) = cluster::request(port, method, path, body).expect("an answer");
        assert_eq!(found, status, "{method} {path}: {text}");
        assert!(text.contains(says), "{method} {path}: {text}");
    }
    assert_eq!(put(port, "big", &"x".repeat((1 << 20) + 1)), Some(413));
    assert_eq!(put(port, "big", &"x".repeat(1 << 20)), Some(204));
}
