//! Stop by signal, and starts that must fail with a clear text.

use harness::daemon::Settings;
use harness::request::{all, get};
use harness::{Daemon, Watching, watch};
use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tempfile::TempDir;

#[tokio::test]
async fn sigterm_ends_it_quickly_and_the_restart_is_clean() {
    let dir = TempDir::new().expect("a folder");
    let (daemon, stubs) = Daemon::start(Settings::new(dir.path().join("data"))).await;
    for i in 0..500 {
        stubs.put(format!("k{}", i % 50), i.to_string()).await;
    }
    // an idle connection, a watch and a half sent request do not hold it up
    let mut watching = Watching::open(&stubs, watch::create_all(0)).await;
    let mut half = harness::wire::Wire::open(daemon.settings.address(), &[]).await;
    let headers = harness::wire::call_headers("/etcdserverpb.KV/Put");
    let frame = harness::wire::frame(harness::wire::kind::HEADERS, harness::wire::END_HEADERS, 1, &headers);
    assert!(half.send(&frame).await);
    let hash = stubs.hash_kv(0).await.expect("hash").hash;
    let settings = daemon.settings.clone();
    let (took, status) = tokio::task::spawn_blocking(|| daemon.terminate()).await.expect("terminate");
    assert!(took < Duration::from_millis(1500), "took {took:?}");
    println!("ended after {took:?} with {status}");
    assert!(watching.try_next().await.map_or(true, |answer| answer.is_none()), "the watch ends with the server");
    let (daemon, stubs) = Daemon::start(settings).await;
    assert_eq!(stubs.revision().await, 501);
    assert_eq!(stubs.hash_kv(0).await.expect("hash").hash, hash);
    assert_eq!(stubs.range(all()).await.expect("range").count, 50);
    assert_eq!(stubs.range(get("k49")).await.expect("get").kvs[0].value, "499");
    stubs.put("after", "x").await;
    drop(daemon);
}

#[tokio::test]
async fn slow_calls_are_warned_about_and_at_debug_every_call_has_a_line_without_its_value() {
    let dir = TempDir::new().expect("a folder");
    let mut settings = Settings::new(dir.path().join("data"));
    settings.flags = vec!["--warning-unary-request-duration=1ns".into()];
    let (daemon, stubs) = Daemon::start(settings.clone()).await;
    stubs.put("a key", "a secret").await;
    let lines = request_stats(&daemon, "warn").await;
    assert!(lines.iter().any(|line| line.contains("/etcdserverpb.KV/Put") && line.contains("127.0.0.1:")), "{lines:?}");
    drop(daemon);
    settings.flags = vec!["--log-level=debug".into(), "--warning-unary-request-duration=1h".into()];
    let (daemon, stubs) = Daemon::start(settings).await;
    stubs.put("a key", "a secret").await;
    let lines = request_stats(&daemon, "debug").await;
    let content = r#""request content":"key:\"a key\" value_size:8 ""#;
    assert!(lines.iter().any(|line| line.contains(content)), "{lines:?}");
    assert!(!daemon.log().contains("a secret"), "no line has a value");
}

/// The lines "request stats" of that level, once there is one about a Put.
async fn request_stats(daemon: &Daemon, level: &str) -> Vec<String> {
    let level = format!("{{\"level\":\"{level}\"");
    for _ in 0..200 {
        let log = daemon.log();
        let lines = log.lines().filter(|line| line.starts_with(&level) && line.contains("\"msg\":\"request stats\""));
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        if lines.iter().any(|line| line.contains("KV/Put")) {
            return lines;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no line about a Put: {}", daemon.log());
}

/// A start that fails must end by itself, not with success, and say why and what about.
fn refused(settings: &Settings, words: &[&str]) {
    let (status, said) = settings.run_to_end(Duration::from_secs(20));
    assert!(!status.success(), "ended with {status}:\n{said}");
    assert!(!said.contains("panicked"), "a refusal is no panic:\n{said}");
    for word in words {
        assert!(said.contains(word), "does not say {word:?}:\n{said}");
    }
}

#[tokio::test]
async fn a_second_process_on_the_same_folder_is_refused() {
    let dir = TempDir::new().expect("a folder");
    let data = dir.path().join("data");
    let (first, stubs) = Daemon::start(Settings::new(&data)).await;
    stubs.put("k", "v").await;
    let second = Settings::new(&data);
    let text = data.to_string_lossy().into_owned();
    tokio::task::spawn_blocking(move || refused(&second, &[&text])).await.expect("the second");
    assert_eq!(stubs.range(get("k")).await.expect("get").kvs[0].value, "v", "the first goes on");
    stubs.put("k", "w").await;
    drop(first);
}

#[test]
fn a_port_in_use_is_named() {
    let dir = TempDir::new().expect("a folder");
    let settings = Settings::new(dir.path().join("data"));
    let _taken = TcpListener::bind(settings.address()).expect("take the port");
    refused(&settings, &[&settings.address().to_string(), "in use"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let dir = TempDir::new().expect("a folder");
    // root may write anywhere: a file in the place of the folder stands for it there
    let data = dir.path().join("data");
    std::fs::create_dir(&data).expect("the folder");
    std::fs::set_permissions(&data, Permissions::from_mode(0o500)).expect("read only");
    if std::fs::write(data.join("probe"), b"").is_ok() {
        std::fs::remove_dir_all(&data).expect("remove the folder");
        std::fs::write(&data, b"not a folder").expect("a file");
    }
    let settings = Settings::new(&data);
    refused(&settings, &[&data.to_string_lossy()]);
}

#[tokio::test]
async fn a_kill_during_the_first_start_leaves_a_folder_that_starts() {
    let dir = TempDir::new().expect("a folder");
    for delay in [0, 2, 5, 10, 20, 40, 80] {
        let settings = Settings::new(dir.path().join(format!("data{delay}")));
        let killed = settings.clone();
        tokio::task::spawn_blocking(move || killed.kill_after(Duration::from_millis(delay))).await.expect("kill");
        let (_daemon, stubs) = Daemon::start(settings).await;
        stubs.put("k", "v").await;
        assert_eq!(stubs.revision().await, 2);
    }
}
