//! Defragmentation at the start keeps everything, and what is not in use is gone.

use embed::Node;
use harness::server::{in_system, quick_config};
use model::Command;
use model::request::{CompactionRequest, PutRequest};
use std::path::Path;
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

/// Bytes that no compression makes smaller.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    })
    .take(length)
    .collect()
}

/// Bytes of the sorted files of a member.
fn files(dir: &Path) -> u64 {
    let store = dir.join("member/store");
    let entries = std::fs::read_dir(store).expect("a store");
    let sorted = entries.flatten().filter(|entry| entry.path().extension().is_some_and(|end| end == "sst"));
    sorted.map(|entry| entry.metadata().expect("a file").len()).sum()
}

/// One run of a member: started with this threshold, stopped behind `work`.
async fn run(dir: &Path, threshold: u64, work: impl AsyncFnOnce(&Node)) {
    let mut config = quick_config("default", dir);
    config.defragment_at_start = threshold;
    let node = Node::start(config).await.unwrap_or_else(|why| panic!("the node does not start: {why}"));
    work(&node).await;
    node.stop().await;
}

#[test]
fn a_start_that_defragments_keeps_everything() {
    in_system(async {
        let dir = TempDir::new().expect("a folder");
        let write = async |node: &Node| {
            for n in 0..24_u64 {
                let value = noise(n + 1, MIB as usize).into();
                let put = PutRequest { key: "k".into(), value, ..PutRequest::default() };
                node.client().execute(Command::Put(put)).await.expect("a put");
            }
        };
        run(dir.path(), 0, write).await;
        let compact = async |node: &Node| {
            let request = CompactionRequest { revision: 25, physical: true };
            node.client().execute(Command::Compaction(request)).await.expect("compacted");
        };
        run(dir.path(), 0, compact).await;
        // RocksDB may have rewritten some of it by itself: whatever there is to free is freed
        let read = async |node: &Node| {
            let found = node.client().get("k").await.expect("a read").expect("the key");
            assert_eq!((found.version, found.value.as_ref()), (24, &noise(24, MIB as usize)[..]));
        };
        run(dir.path(), 1, read).await;
        let after = files(dir.path());
        assert!(after < 8 * MIB, "{after} bytes are left of 24 values, of which one is in use");
    });
}
