//! Starts that fail and nodes that die: errors say what to do, `stopped()` resolves, nothing else is touched.

use embed::{Config, Node, NodeExit, StartError};
use harness::server::{in_system, quick_config};
use harness::{Stubs, soon};
use model::Command;
use model::request::PutRequest;
use std::path::Path;
use tempfile::TempDir;

async fn refusal(config: Config) -> String {
    match Node::start(config).await {
        Ok(_) => panic!("started"),
        Err(why) => why.to_string(),
    }
}

#[test]
fn a_folder_belongs_to_one_node() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let node = Node::start(quick_config("a", dir.path())).await.expect("start");
        let text = refusal(quick_config("a", dir.path())).await;
        assert!(text.contains(&*dir.path().to_string_lossy()), "does not name the folder: {text}");
        let put = PutRequest { key: "k".into(), value: "v".into(), ..PutRequest::default() };
        node.client().execute(Command::Put(put)).await.expect("the first goes on");
        node.stop().await;
    });
}

#[test]
fn a_taken_port_is_named_and_the_folder_stays_free() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("its address");
        let config = Config { client_urls: vec![format!("http://{address}")], ..quick_config("a", dir.path()) };
        let text = refusal(config.clone()).await;
        assert!(text.contains(&address.to_string()), "{text}");
        drop(taken);
        Node::start(config).await.expect("starts now").stop().await;
    });
}

#[test]
fn a_name_outside_its_cluster_gets_etcds_text() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let config = Config { name: "other".into(), ..quick_config("a", dir.path()) };
        let text = refusal(config).await;
        assert_eq!(text, "couldn't find local name \"other\" in the initial cluster configuration");
    });
}

fn first_segment(dir: &Path) -> std::path::PathBuf {
    let wal = dir.join("member/wal");
    let mut files: Vec<_> = std::fs::read_dir(wal).expect("the log").map(|f| f.expect("a file").path()).collect();
    files.retain(|f| f.is_file() && f.metadata().is_ok_and(|m| m.len() > 4096));
    files.sort();
    files.remove(0)
}

#[test]
fn a_damaged_log_is_refused_with_file_and_reason() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let node = Node::start(quick_config("a", dir.path())).await.expect("start");
        for i in 0..50 {
            let put = PutRequest { key: format!("k{i}").into(), value: vec![7; 5000].into(), ..Default::default() };
            node.client().execute(Command::Put(put)).await.expect("put");
        }
        node.stop().await;
        let file = first_segment(dir.path());
        let mut bytes = std::fs::read(&file).expect("the segment");
        // inside an early, acknowledged batch: later ones follow, so this is no torn tail
        for byte in &mut bytes[8192..8192 + 64] {
            *byte ^= 0xff;
        }
        std::fs::write(&file, bytes).expect("damage");
        let text = refusal(quick_config("a", dir.path())).await;
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(text.contains(&name), "does not name {name}: {text}");
    });
}

#[test]
fn a_lost_log_is_refused() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let node = Node::start(quick_config("a", dir.path())).await.expect("start");
        let put = PutRequest { key: "k".into(), value: "v".into(), ..PutRequest::default() };
        node.client().execute(Command::Put(put)).await.expect("put");
        node.stop().await;
        std::fs::remove_dir_all(dir.path().join("member/wal")).expect("lose the log");
        let why = Node::start(quick_config("a", dir.path())).await.err().expect("refused");
        assert!(matches!(why, StartError::Bootstrap(_)), "{why}");
    });
}

#[test]
fn stopped_resolves_for_everybody_who_waits() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let node = Node::start(quick_config("a", dir.path())).await.expect("start");
        let stubs = Stubs::connect(&node.addresses()[0].to_string(), harness::PATIENCE).await.expect("connect");
        stubs.put("k", "v").await;
        let waiting: Vec<_> = (0..3).map(|_| node.exit()).collect();
        let waiting: Vec<_> = waiting.into_iter().map(|e| actix_rt::spawn(async move { e.wait().await })).collect();
        let start = std::time::Instant::now();
        node.stop().await;
        assert!(start.elapsed() < std::time::Duration::from_millis(1500), "took {:?}", start.elapsed());
        for wait in waiting {
            assert_eq!(soon("the reason", wait).await.expect("a task"), NodeExit::Stopped);
        }
        stubs.range(harness::request::get("k")).await.expect_err("the door is closed");
    });
}

#[test]
fn a_disk_that_fails_ends_the_node_and_nobody_else() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let node = Node::start(quick_config("a", &dir.path().join("a"))).await.expect("start");
        let other = Node::start(quick_config("b", &dir.path().join("b"))).await.expect("start");
        // the next log segment cannot be made
        std::fs::remove_dir_all(dir.path().join("a/member/wal")).expect("lose the disk");
        let client = node.client();
        let writing = async {
            loop {
                let put = PutRequest { key: "k".into(), value: vec![1; 1 << 20].into(), ..PutRequest::default() };
                if client.execute(Command::Put(put)).await.is_err() {
                    // whoever asks again and again is refused again and again
                    tokio::task::yield_now().await;
                }
            }
        };
        let exit = tokio::select! {
            exit = soon("the end", node.stopped()) => exit,
            () = writing => unreachable!("writes for ever"),
        };
        let NodeExit::Failed { actor, why } = exit else { panic!("{exit}") };
        assert!(!actor.is_empty() && why.contains("wal"), "{actor}: {why}");
        soon("the stop of a dead node", node.stop()).await;
        let put = PutRequest { key: "k".into(), value: "v".into(), ..PutRequest::default() };
        other.client().execute(Command::Put(put)).await.expect("the other node goes on");
        other.stop().await;
    });
}
