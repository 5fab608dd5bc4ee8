//! Keys of the v2 API over `kill -9`: what was answered is there, indices never go back, and the rows fit together.

use harness::Daemon;
use harness::daemon::Settings;
use harness::http::{Answer, get, request};
use harness::until;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinSet;

/// What one writer knows of its key.
#[derive(Clone, Debug, Default)]
struct Known {
    /// The last value that was answered.
    answered: u64,
    /// The last one that was sent.
    sent: u64,
    /// Index of the last answer.
    index: u64,
}

fn index_of(answer: &Answer) -> u64 {
    answer.header("x-etcd-index").and_then(|index| index.parse().ok()).expect("an index")
}

/// Writes ascending values until the member is gone.
async fn write(at: SocketAddr, key: String, mut known: Known, answers: Arc<AtomicU64>) -> Known {
    loop {
        known.sent += 1;
        let target = format!("/v2/keys/{key}?value={}", known.sent);
        // the helper panics when the connection breaks: that is the kill
        let asked = tokio::spawn(async move { request(at, "PUT", &target).await });
        match asked.await {
            Ok(answer) if matches!(answer.code, 200 | 201) => {
                let index = index_of(&answer);
                assert!(index > known.index, "{key}: index {index} after {}", known.index);
                (known.answered, known.index) = (known.sent, index);
                answers.fetch_add(1, Relaxed);
            }
            _ => return known,
        }
    }
}

/// The number behind a field of an answer.
fn number(answer: &Answer, field: &str) -> u64 {
    let rest = answer.body.split(field).nth(1).unwrap_or_else(|| panic!("no {field} in {}", answer.body));
    rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().expect("a number")
}

#[tokio::test]
async fn what_was_answered_is_there_after_kills() {
    let dir = TempDir::new().expect("a folder");
    let flags = vec!["--enable-v2".to_owned()];
    let mut next = Settings { flags, ..Settings::new(dir.path().join("data")) };
    let mut known = vec![Known::default(); 4];
    for round in 0..4u64 {
        let (daemon, _stubs) = Daemon::start(next).await;
        let at = daemon.settings.address();
        for (key, known) in known.iter_mut().enumerate().filter(|(_, known)| known.sent > 0) {
            let read = get(at, &format!("/v2/keys/k{key}")).await;
            let value = number(&read, "\"value\":\"");
            assert!((known.answered..=known.sent).contains(&value), "round {round}: {value}, known {known:?}");
            assert!(index_of(&read) >= known.index, "round {round}: the index went back");
            (known.answered, known.sent) = (value, value);
        }
        let answers = Arc::<AtomicU64>::default();
        let mut writers = JoinSet::new();
        for (key, known) in known.iter().cloned().enumerate() {
            let answers = answers.clone();
            writers.spawn(async move { (key, write(at, format!("k{key}"), known, answers).await) });
        }
        until("enough writes", async || (answers.load(Relaxed) >= 40).then_some(())).await;
        tokio::time::sleep(Duration::from_millis(20 + 30 * round)).await;
        next = daemon.kill();
        while let Some(ended) = writers.join_next().await {
            let (key, after) = ended.expect("a writer");
            known[key] = after;
        }
    }
    let (daemon, _stubs) = Daemon::start(next).await;
    let at = daemon.settings.address();
    let now = index_of(&get(at, "/v2/keys").await);
    // the history is as long as it was, and without a gap
    let past =
        get(at, &format!("/v2/keys?wait=true&recursive=true&waitIndex={}", now.saturating_sub(200).max(1))).await;
    assert_eq!(past.code, 200, "{}", past.body);
    drop(daemon);
}
