//! A stopped member made through the storage layer alone, and snapshots of it.
//!
//! Must never take short cuts: log, store and snapshot are those the daemon would have written.

use bytes::Bytes;
use model::request::*;
use model::{Command, Envelope, Origin};
use raft::{Entry, EntryKind, HardState};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::apply::{Committed, CompactionProgress, StateMachine};
use storage::disk::OsDisk;
use storage::engine::rocks::{RocksEngine, RocksOptions};
use storage::member::{Folders, Founders, InitialMember, create_log, founders};
use storage::snapshot::{SnapshotSource, StreamEnd, StreamHeader};
use storage::wal::{Batch, Wal, WalConfig};
use tempfile::TempDir;

/// A member that does not run, in a folder that goes with this.
pub struct Member {
    /// Around the data folder.
    pub dir: TempDir,
    applier: Option<StateMachine<RocksEngine>>,
    wal: Option<Wal>,
    index: u64,
}

impl Member {
    /// A new member that waits for commands.
    pub fn new() -> Self {
        let dir = TempDir::new().expect("a folder");
        let folders = Folders::of(&dir.path().join("data"), None);
        std::fs::create_dir_all(&folders.store).expect("the folder of the store");
        let urls = vec!["http://localhost:2380".to_owned()];
        let cluster = [InitialMember { name: "default".into(), peer_urls: urls }];
        let first =
            founders(Founders { cluster: &cluster, token: "etcd-cluster", name: "default" }).expect("a cluster");
        let options = RocksOptions { cache_bytes: 1 << 20, write_buffer_bytes: 4 << 20, ..RocksOptions::default() };
        let engine = Arc::new(RocksEngine::open(&folders.store, &options).expect("a store"));
        let applier = StateMachine::bootstrap(engine, &first).expect("a store");
        let (wal, ..) =
            create_log(OsDisk::shared(), &folders.wal, WalConfig::default(), &first, 0x1234_5678).expect("a log");
        Self { dir, applier: Some(applier), wal: Some(wal), index: first.applied.index }
    }

    /// A member with `keys` keys and some of everything: history, deletions, leases, a transaction, a compaction.
    pub fn filled(keys: usize) -> Self {
        let mut member = Self::new();
        member.run((0..keys).map(|n| put(format!("key{n:06}"), vec![b'a' + (n % 26) as u8; 20 + n % 900])));
        member.run([grant(77), grant(78)]);
        let lease = |n: usize| PutRequest { lease: 77, ..request(format!("leased{n}"), "x") };
        member.run((0..5).map(|n| Command::Put(lease(n))));
        member.run((0..keys / 2).map(|n| put(format!("key{n:06}"), "new")));
        let delete = |n: usize| DeleteRangeRequest { key: format!("key{n:06}").into(), ..Default::default() };
        member.run((0..keys / 10).map(|n| Command::DeleteRange(delete(n))));
        let ops = ["txn1", "txn2"].map(|key| RequestOp { request: Some(RequestUnion::Put(request(key, "t"))) });
        member.run([Command::Txn(TxnRequest { success: ops.to_vec(), ..Default::default() })]);
        member.run([Command::Compaction(CompactionRequest { revision: keys as i64, physical: false })]);
        member.compact();
        member.stopped()
    }

    /// Writes commands to the log, one batch for all, and applies them.
    pub fn run(&mut self, commands: impl IntoIterator<Item = Command>) {
        let entries: Vec<Entry> = commands
            .into_iter()
            .map(|command| {
                self.index += 1;
                let origin = Origin { member: 1, epoch: 2, sequence: self.index };
                let data = Envelope { origin, only_in_term: 0, command: command.encode(self.index) }.encode();
                Entry { term: 1, index: self.index, kind: EntryKind::Normal, data }
            })
            .collect();
        let wal = self.wal.as_mut().expect("not stopped");
        let hard_state = Some(HardState { term: 1, vote: 0x8e9e_05c5_2164_694d, commit: self.index });
        for entries in entries.chunks(64) {
            wal.stage(&Batch { entries, hard_state }).expect("stage");
            wal.write().expect("write");
            wal.sync().expect("sync");
        }
        let committed: Vec<_> = entries.into_iter().map(|entry| Committed { entry }).collect();
        self.applier.as_mut().expect("not stopped").apply(&committed).expect("apply");
    }

    fn compact(&mut self) {
        let applier = self.applier.as_mut().expect("not stopped");
        while applier.compaction_step(1 << 20).expect("a step") != CompactionProgress::Idle {}
    }

    /// Closes store and log.
    pub fn stopped(mut self) -> Self {
        (self.applier, self.wal) = (None, None);
        self
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Another path beside it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The segments of the log.
    pub fn segments(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.data().join("member/wal")).expect("the log");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let mut segments: Vec<_> = paths.filter(|path| path.extension().is_some_and(|e| e == "wal")).collect();
        segments.sort();
        segments
    }

    /// Saves a snapshot of the stopped member, as a client would.
    pub fn save(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, stream(&self.data())).expect("write the snapshot");
        path
    }
}

/// The snapshot stream of a stopped member, with its hash.
pub fn stream(data: &Path) -> Vec<u8> {
    let rows = RocksEngine::read_only(&data.join("member/store"), &RocksOptions::default()).expect("a store");
    let header = StreamHeader::read(&rows, "3.7.0").expect("a header");
    let mut bytes = Vec::new();
    let end = SnapshotSource::new(rows, &header).expect("a source").send(|chunk| {
        bytes.extend_from_slice(&chunk);
        ControlFlow::Continue(())
    });
    let Ok(StreamEnd::Whole(hash)) = end else { panic!("the stream ended with {end:?}") };
    bytes.extend_from_slice(&hash);
    bytes
}

fn request(key: impl Into<Bytes>, value: impl Into<Bytes>) -> PutRequest {
    PutRequest { key: key.into(), value: value.into(), ..Default::default() }
}

/// A put.
pub fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Command {
    Command::Put(request(key, value))
}

fn grant(id: i64) -> Command {
    Command::LeaseGrant(LeaseGrantRequest { id, ttl: 1000 })
}

/// Every file below a folder with its contents, but for lock files, which have none.
pub fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(contents(&path)),
            false => found.push((path.clone(), std::fs::read(&path).expect("a file"))),
        }
    }
    found.sort();
    found
}
