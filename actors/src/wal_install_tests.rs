//! An install in the log's shell: its order, what waits behind it, and a crash at each of its steps.

use crate::memory_stores::MemoryStores;
use crate::peers::NoPeers;
use crate::raft_core::inbox::{Inbox, InnerPort};
use crate::wal_writer::{WalInstall, WalParts, WalWriter};
use crate::wiring::advance::{Advance, Persisted};
use crate::wiring::apply::ToApplier;
use crate::wiring::snapshots::StagedStore;
use crate::wiring::wal::{AppendBatch, ToWal};
use crossbeam_channel::{Receiver, bounded};
use raft::{ConfState, Entry, EntryKind, HardState, LogId, SnapshotMeta};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::apply::{Bootstrap, CHUNK_BYTES, MemberIds, bootstrap};
use storage::boot::{Boot, Booted, Stores};
use storage::disk::SimDisk;
use storage::disk::sim::Faults;
use storage::engine::sim::SimEngine;
use storage::member::pointer::{FIRST_STORE, store_name};
use storage::wal::{Wal, WalConfig};

const MEMBER: &str = "/data/member";
const SNAPSHOT: LogId = LogId { term: 4, index: 50 };

#[derive(Clone, Default)]
struct Machine {
    disk: SimDisk,
    stores: MemoryStores,
}

fn first(applied: LogId) -> Bootstrap {
    Bootstrap {
        identity: MemberIds { cluster_id: 7, member_id: 1 },
        applied,
        conf_state: ConfState { voters: vec![1, 2, 3], ..ConfState::default() },
        members: Vec::new(),
    }
}

impl Machine {
    fn boot(&self) -> Booted<SimEngine> {
        let boot = Boot {
            disk: self.disk.shared(),
            member: Path::new(MEMBER),
            wal_dir: Path::new("/data/member/wal"),
            stores: &self.stores,
            wal: WalConfig { min_segment: 16 << 10, max_segment: 32 << 10, ..WalConfig::default() },
            chunk_bytes: CHUNK_BYTES,
            log_id: 9,
            force_new_cluster: false,
            rebuild: None,
            epoch_floor: 0,
        };
        boot.start(|| Ok(first(LogId { term: 1, index: 3 }))).unwrap()
    }

    fn crash(&self, seed: u64) {
        self.disk.crash(seed);
        self.stores.crash();
        self.disk.set_faults(Faults::default(), 0);
    }
}

/// A store at the place of the snapshot, as it is staged.
fn staged(machine: &Machine) -> StagedStore {
    let name = store_name(SNAPSHOT.index);
    let engine = machine.stores.open(&name).unwrap();
    bootstrap(engine.as_ref(), &first(SNAPSHOT)).unwrap();
    let conf_state = first(SNAPSHOT).conf_state;
    let meta = SnapshotMeta { conf_state, index: SNAPSHOT.index, term: SNAPSHOT.term };
    StagedStore { meta, name, store: Box::new(()), hash: None, membership: Default::default() }
}

fn entry(index: u64, term: u64) -> Entry {
    Entry { term, index, kind: EntryKind::Normal, data: vec![b'x'; 300].into() }
}

fn append(sequence: u64, entries: Vec<Entry>, install: Option<StagedStore>) -> ToWal {
    let install = install.map(Box::new);
    let hard_state = Some(HardState { term: 5, vote: 2, commit: entries.first().map_or(0, |e| e.index) });
    ToWal::Append(AppendBatch { sequence, entries, hard_state, must_sync: true, release: Vec::new(), install })
}

struct Rig {
    writer: WalWriter,
    inbox: Inbox,
    swaps: Receiver<ToApplier>,
    _core: InnerPort,
}

impl Rig {
    fn new(machine: &Machine, wal: Wal) -> Self {
        let (inbox, _, core) = Inbox::new();
        let (applier, swaps) = bounded(4);
        let install = WalInstall { disk: machine.disk.shared(), member: PathBuf::from(MEMBER), applier };
        let parts = WalParts {
            inbox: bounded(1).1,
            core: core.clone(),
            peers: Arc::new(NoPeers),
            flusher: bounded(0).0,
            gauges: Arc::default(),
            install,
        };
        Self { writer: WalWriter::new(wal, parts), inbox, swaps, _core: core }
    }

    /// One round; false when the disk failed.
    fn round(&mut self, messages: Vec<ToWal>) -> bool {
        self.writer.begin(messages.into_iter()).is_ok() && self.writer.finish().is_ok()
    }

    fn persisted(&self) -> Option<u64> {
        self.inbox.advance.try_iter().last().map(|advance| match advance {
            Advance::Persisted(Persisted { sequence }) => sequence,
            other => panic!("{other:?}"),
        })
    }
}

#[test]
fn what_comes_behind_an_install_waits_for_the_applier() {
    let machine = Machine::default();
    let mut rig = Rig::new(&machine, machine.boot().wal);
    let install = append(2, vec![entry(51, 5)], Some(staged(&machine)));
    let messages = vec![append(1, vec![entry(4, 2), entry(5, 2)], None), install, append(3, vec![entry(52, 5)], None)];
    assert!(rig.round(messages));
    assert_eq!(rig.persisted(), Some(1), "what came before it is durable");
    assert!(matches!(rig.swaps.try_recv(), Ok(ToApplier::Install(store)) if store.meta.index == 50));
    assert!(rig.round(vec![append(4, vec![entry(53, 5)], None)]));
    assert_eq!(rig.persisted(), None);
    assert!(rig.round(vec![ToWal::Installed]));
    assert_eq!(rig.persisted(), Some(4));
    drop(rig);
    machine.crash(1);
    let booted = machine.boot();
    assert_eq!((booted.store.applied(), booted.store_name.as_str()), (SNAPSHOT, store_name(50).as_str()));
    assert_eq!(booted.log.entries.iter().map(|e| e.index).collect::<Vec<_>>(), [51, 52, 53]);
    assert_eq!((booted.log.hard_state.term, booted.log.hard_state.vote), (5, 2));
}

#[test]
fn what_is_committed_behind_a_snapshot_is_not_found_without_its_entries() {
    let machine = Machine::default();
    let mut rig = Rig::new(&machine, machine.boot().wal);
    // entry 51 is committed already, and waits for the applier
    assert!(rig.round(vec![append(1, vec![entry(51, 5)], Some(staged(&machine)))]));
    drop(rig);
    machine.crash(1);
    let booted = machine.boot();
    assert_eq!((booted.log.last, booted.log.hard_state.commit), (50, 50), "a member with more could never start");
}

#[test]
fn a_crash_at_any_step_of_an_install_leaves_the_old_store_or_the_new_one_with_its_log() {
    let (mut old, mut new) = (0, 0);
    for (steps, seed) in (0..14).flat_map(|steps| (0..6).map(move |seed| (steps, seed))) {
        let machine = Machine::default();
        let mut rig = Rig::new(&machine, machine.boot().wal);
        assert!(rig.round(vec![append(1, vec![entry(4, 2), entry(5, 2)], None)]));
        let install = staged(&machine);
        machine.disk.set_faults(Faults { stop_after: Some(steps), ..Faults::default() }, seed);
        let done = rig.round(vec![append(2, Vec::new(), Some(install))]);
        let swapped = rig.swaps.try_recv().is_ok();
        assert_eq!(done, swapped, "the applier swaps when the log is done, and not before");
        drop(rig);
        machine.crash(seed);
        let booted = machine.boot();
        let at = booted.store.applied();
        if at == SNAPSHOT {
            new += 1;
            assert_eq!((booted.log.truncated, booted.log.last), (SNAPSHOT, 50), "stopped at step {steps}");
            assert_eq!(machine.stores.names(), [store_name(50)]);
        } else {
            old += 1;
            assert!(!done, "stopped at step {steps}: an install that was done is lost");
            assert_eq!((at.index, booted.log.last), (3, 5));
            assert_eq!(machine.stores.names(), [FIRST_STORE], "what was staged is removed");
        }
    }
    assert!(old > 5 && new > 30, "{old} old, {new} new");
}
