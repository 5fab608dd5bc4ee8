//! Who may send a snapshot, where a broken transfer goes on, and what is left of one that came to nothing.

use super::about::About;
use super::staging::{ReceiveSnapshots, Staging, StagingParts};
use crate::applier_install::OpenedStore;
use crate::memory_stores::MemoryStores;
use crate::raft_core::inbox::Inbox;
use crate::wiring::snapshots::SnapshotStaged;
use messages::Gauges;
use messages::peer::{BulkHeader, BulkSink};
use model::request::PutRequest;
use model::{Command, Envelope, Origin};
use raft::{Body, ConfState, Entry, EntryKind, LogId, SnapshotMeta};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};
use storage::apply::{Bootstrap, CHUNK_BYTES, Committed, MemberIds, StateMachine, bootstrap};
use storage::disk::SimDisk;
use storage::engine::sim::SimEngine;
use storage::member::pointer::{FIRST_STORE, store_name};
use storage::snapshot::{SnapshotSource, StreamHeader, StreamReader};

const OWNER: MemberIds = MemberIds { cluster_id: 7, member_id: 1 };
const LONG: Duration = Duration::from_secs(20);

/// A snapshot of member 2, and what it says about itself.
struct Sent {
    bytes: Vec<u8>,
    about: About,
}

fn sent(entries: u64) -> Sent {
    let engine = Arc::new(SimEngine::new());
    let first = Bootstrap {
        identity: MemberIds { member_id: 2, ..OWNER },
        applied: LogId { term: 1, index: 3 },
        conf_state: ConfState { voters: vec![1, 2, 3], ..ConfState::default() },
        members: Vec::new(),
    };
    bootstrap(engine.as_ref(), &first).unwrap();
    let mut store = StateMachine::open(engine).unwrap();
    for index in 4..4 + entries {
        let put = PutRequest { key: format!("key-{index}").into(), value: vec![1; 900].into(), ..Default::default() };
        let data = Envelope { origin: Origin::default(), only_in_term: 0, command: Command::Put(put).encode(1) };
        let entry = Entry { term: 2, index, kind: EntryKind::Normal, data: data.encode() };
        store.apply(&[Committed { entry }]).unwrap();
    }
    let snapshot = store.view().snapshot;
    let header = StreamHeader::read(&snapshot, "").unwrap();
    let mut reader = StreamReader::new(SnapshotSource::new(snapshot, &header).unwrap());
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < reader.length() {
        bytes.extend_from_slice(&reader.read_at(bytes.len() as u64, 1 << 20).unwrap());
    }
    let LogId { term, index } = store.applied();
    Sent { bytes, about: About { term: 5, meta: SnapshotMeta { conf_state: first.conf_state, index, term } } }
}

impl Sent {
    fn header(&self, from: u64, transfer: u64, term: u64) -> BulkHeader {
        let about = About { term, ..self.about.clone() }.encode();
        BulkHeader { from, transfer, length: self.bytes.len() as u64, about }
    }
}

struct Rig {
    staging: Arc<Staging<SimEngine>>,
    stores: MemoryStores,
    inbox: Inbox,
    gauges: Arc<Gauges>,
}

fn rig() -> Rig {
    let (inbox, _, core) = Inbox::new();
    let stores = MemoryStores::default();
    let gauges = Arc::<Gauges>::default();
    let parts = StagingParts {
        stores: Arc::new(stores.clone()),
        disk: SimDisk::new().shared(),
        member: PathBuf::from("/member"),
        owner: OWNER,
        chunk_bytes: CHUNK_BYTES,
        core,
        gauges: gauges.clone(),
    };
    let staging = Arc::new(Staging::new(parts, FIRST_STORE.to_owned()));
    Rig { staging, stores, inbox, gauges }
}

impl Rig {
    fn begin(&self, header: &BulkHeader) -> Result<Box<dyn BulkSink>, String> {
        self.staging.clone().begin(header)
    }

    /// What the core is told, which says that raft was told in turn.
    fn told(&self, stepped: bool) -> SnapshotStaged {
        let staged = self.inbox.staged.recv_timeout(LONG).expect("a store");
        staged.stepped.send(stepped).expect("somebody waits");
        staged
    }
}

#[test]
fn a_snapshot_is_called_received_when_raft_was_told_of_its_store() {
    let (rig, sent) = (rig(), sent(300));
    let mut sink = rig.begin(&sent.header(2, 9, 5)).unwrap();
    assert_eq!(sink.progress().unwrap(), (0, 0));
    sent.bytes.chunks(70_000).for_each(|part| sink.write(part).unwrap());
    assert!(rig.gauges.receiving_snapshot.load(Acquire));
    let finish = std::thread::spawn(move || sink.finish());
    let staged = rig.inbox.staged.recv_timeout(LONG).expect("a store");
    std::thread::sleep(Duration::from_millis(50));
    assert!(!finish.is_finished(), "raft was not told yet");
    staged.stepped.send(true).expect("somebody waits");
    finish.join().unwrap().unwrap();
    let SnapshotStaged { from, term, staged, .. } = staged;
    assert_eq!((from, term, &staged.meta, &staged.name), (2, 5, &sent.about.meta, &store_name(303)));
    let opened = staged.store.downcast::<OpenedStore<SimEngine>>().expect("a store of this engine");
    assert_eq!((opened.store.identity(), opened.store.applied().index), (OWNER, 303));
    // it is the core's now
    let refused = rig.begin(&sent.header(3, 1, 9)).err().expect("refused");
    assert!(refused.contains("being installed"), "{refused}");
    rig.staging.taken(&store_name(303));
    assert!(!rig.gauges.receiving_snapshot.load(Acquire));
}

#[test]
fn the_store_that_was_just_installed_is_not_received_again_before_the_core_has_heard_of_it() {
    let (rig, sent) = (rig(), sent(300));
    let mut sink = rig.begin(&sent.header(2, 9, 5)).unwrap();
    sink.write(&sent.bytes).unwrap();
    let finish = std::thread::spawn(move || sink.finish());
    drop(rig.told(true));
    finish.join().unwrap().unwrap();
    rig.staging.taken(&store_name(303));
    // the leader comes again with the same checkpoint: the store is in use, and applied is what the core has last heard of
    assert!(rig.gauges.applied.load(Acquire) < 303);
    let refused = rig.begin(&sent.header(2, 9, 5)).err().expect("refused");
    assert!(refused.contains("303 already"), "{refused}");
    assert_eq!(rig.stores.names(), [store_name(303)]);
    assert!(rig.inbox.peer_data.try_recv().is_ok(), "raft only has to say so");
}

#[test]
fn a_broken_transfer_goes_on_from_the_same_sender_and_checkpoint_alone() {
    let (rig, sent) = (rig(), sent(300));
    let half = sent.bytes.len() / 2;
    let mut sink = rig.begin(&sent.header(2, 9, 5)).unwrap();
    sink.write(&sent.bytes[..half]).unwrap();
    drop(sink);
    assert!(rig.staging.is_parked());
    let mut sink = rig.begin(&sent.header(2, 9, 5)).unwrap();
    assert_eq!(sink.progress().unwrap(), (half as u64, crc32c::crc32c(&sent.bytes[..half])));
    sink.write(&sent.bytes[half..]).unwrap();
    let finish = std::thread::spawn(move || sink.finish());
    drop(rig.told(true));
    finish.join().unwrap().unwrap();
    rig.staging.remove(&store_name(303));

    for other in [sent.header(2, 10, 5), sent.header(3, 9, 5)] {
        let mut sink = rig.begin(&sent.header(2, 9, 5)).unwrap();
        sink.write(&sent.bytes[..half]).unwrap();
        drop(sink);
        assert_eq!(rig.begin(&other).unwrap().progress().unwrap(), (0, 0), "another checkpoint");
    }
}

#[test]
fn what_is_not_what_the_sender_means_is_begun_again() {
    let (rig, sent) = (rig(), sent(50));
    let mut sink = rig.begin(&sent.header(2, 9, 5)).unwrap();
    sink.write(&sent.bytes[..1_000]).unwrap();
    sink.restart().unwrap();
    assert_eq!(sink.progress().unwrap(), (0, 0));
    sink.write(&sent.bytes).unwrap();
    let finish = std::thread::spawn(move || sink.finish());
    rig.told(true);
    finish.join().unwrap().unwrap();
}

#[test]
fn a_damaged_snapshot_leaves_nothing_behind() {
    let (rig, sent) = (rig(), sent(300));
    let mut bytes = sent.bytes.clone();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    let mut sink = rig.begin(&sent.header(2, 9, 5)).unwrap();
    assert!(sink.write(&bytes).is_err());
    drop(sink);
    assert!(rig.stores.names().is_empty() && !rig.staging.is_parked());
    // one that ends too early is found at its end
    let mut sink = rig.begin(&sent.header(2, 9, 5)).unwrap();
    sink.write(&sent.bytes[..at]).unwrap();
    assert!(sink.finish().is_err());
    assert!(rig.stores.names().is_empty() && !rig.gauges.receiving_snapshot.load(Acquire));
}

#[test]
fn a_snapshot_of_a_newer_leader_ends_the_older_one() {
    let (rig, sent) = (rig(), sent(50));
    let mut older = rig.begin(&sent.header(2, 9, 5)).unwrap();
    older.write(&sent.bytes[..500]).unwrap();
    assert!(rig.begin(&sent.header(3, 1, 5)).is_err(), "of the same term");
    older.write(&sent.bytes[500..600]).unwrap();
    assert!(rig.begin(&sent.header(3, 1, 6)).is_err(), "the older one has to end first");
    assert!(older.write(&sent.bytes[600..700]).is_err());
    drop(older);
    assert!(rig.begin(&sent.header(3, 1, 6)).is_ok());
}

#[test]
fn what_this_member_has_already_is_answered_and_not_received() {
    let (rig, sent) = (rig(), sent(50));
    rig.gauges.applied.store(53, Release);
    assert!(rig.begin(&sent.header(2, 9, 5)).err().expect("refused").contains("already"));
    let heard = rig.inbox.peer_data.try_recv().expect("raft is asked to say so");
    assert!(matches!(&heard.messages[0].body, Body::Snapshot(snapshot) if snapshot.meta == sent.about.meta));
    assert!(rig.stores.names().is_empty());
}

#[test]
fn a_core_that_does_not_take_it_is_not_waited_for_without_end() {
    let (rig, sent) = (rig(), sent(10));
    let mut sink = rig.begin(&sent.header(2, 9, 5)).unwrap();
    sink.write(&sent.bytes).unwrap();
    let finish = std::thread::spawn(move || sink.finish());
    let SnapshotStaged { staged, .. } = rig.told(false);
    assert!(finish.join().unwrap().is_err());
    assert_eq!(rig.stores.names(), [store_name(13)], "the core has it removed");
    drop(staged);
    rig.staging.remove(&store_name(13));
    assert!(rig.stores.names().is_empty());
}

#[test]
fn a_stop_ends_everything() {
    let (rig, sent) = (rig(), sent(50));
    let mut sink = rig.begin(&sent.header(2, 9, 5)).unwrap();
    sink.write(&sent.bytes[..500]).unwrap();
    rig.staging.close();
    assert!(sink.write(&sent.bytes[500..]).is_err());
    drop(sink);
    assert!(rig.stores.names().is_empty());
    assert!(rig.begin(&sent.header(2, 9, 5)).err().expect("refused").contains("stopping"));
}

#[test]
fn a_defragmentation_ends_before_a_store_is_handed_over() {
    let (rig, sent) = (rig(), sent(10));
    rig.gauges.defragmenting.store(true, Release);
    let mut sink = rig.begin(&sent.header(2, 9, 5)).unwrap();
    sink.write(&sent.bytes).unwrap();
    let begun = Instant::now();
    let finish = std::thread::spawn(move || sink.finish());
    assert!(rig.inbox.staged.recv_timeout(Duration::from_millis(100)).is_err());
    rig.gauges.defragmenting.store(false, Release);
    rig.told(true);
    finish.join().unwrap().unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(100));
}
