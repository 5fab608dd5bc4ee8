//! Starts of a member on a simulated disk: new, again, interrupted, with an install at each of its steps.

use super::*;
use crate::apply::{Committed, MemberIds};
use crate::disk::SimDisk;
use crate::disk::sim::Faults;
use crate::engine::sim::SimEngine;
use crate::member::pointer::store_name;
use crate::wal::Batch;
use model::{Command, Envelope, Origin};
use raft::{ConfState, Entry, EntryKind, HardState, Index, SnapshotMeta, Term};
use std::collections::BTreeMap;
use std::sync::Mutex;

const IDENTITY: MemberIds = MemberIds { cluster_id: 0xc, member_id: 1 };

/// Stores in memory. Clones share them.
#[derive(Clone, Default)]
struct MemoryStores(Arc<Mutex<BTreeMap<String, Arc<SimEngine>>>>);

impl MemoryStores {
    /// What a restart after a crash finds.
    fn crash(&self) {
        for engine in self.0.lock().unwrap().values_mut() {
            *engine = Arc::new(engine.crash());
        }
    }

    fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().keys().cloned().collect()
    }
}

impl Stores for MemoryStores {
    type Engine = SimEngine;

    fn open(&self, name: &str) -> Result<Arc<SimEngine>, EngineError> {
        Ok(self.0.lock().unwrap().entry(name.to_owned()).or_default().clone())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.lock().unwrap().remove(name);
        Ok(())
    }
}

#[derive(Clone, Default)]
struct Machine {
    disk: SimDisk,
    stores: MemoryStores,
}

impl Machine {
    fn crash(&self, seed: u64) {
        self.disk.crash(seed);
        self.stores.crash();
    }

    fn boot(&self) -> Result<Booted<SimEngine>, BootError> {
        self.boot_as(|| Ok(founder(IDENTITY)))
    }

    fn force_new(&self) -> Result<Booted<SimEngine>, BootError> {
        Boot { force_new_cluster: true, ..self.prepared() }.start(|| panic!("it is a member already"))
    }

    fn boot_as(&self, first: impl FnOnce() -> Result<Bootstrap, ClusterError>) -> Result<Booted<SimEngine>, BootError> {
        self.prepared().start(first)
    }

    fn prepared(&self) -> Boot<'_, MemoryStores> {
        Boot {
            disk: self.disk.shared(),
            member: Path::new("/data/member"),
            wal_dir: Path::new("/data/member/wal"),
            stores: &self.stores,
            wal: WalConfig { min_segment: 16 << 10, max_segment: 32 << 10, ..WalConfig::default() },
            chunk_bytes: crate::apply::CHUNK_BYTES,
            log_id: 99,
            force_new_cluster: false,
            rebuild: None,
            epoch_floor: 0,
        }
    }
}

fn founder(identity: MemberIds) -> Bootstrap {
    Bootstrap {
        identity,
        applied: LogId { term: 1, index: 1 },
        conf_state: ConfState { voters: vec![identity.member_id], ..ConfState::default() },
        members: Vec::new(),
    }
}

fn entry(index: Index, term: Term) -> Entry {
    let command = Command::ClusterVersionSet(Default::default()).encode(index);
    let data = Envelope { origin: Origin::default(), only_in_term: 0, command }.encode();
    Entry { term, index, kind: EntryKind::Normal, data }
}

/// Entries `2..=last` in the log, those up to `applied` in the store for good.
fn live(booted: &mut Booted<SimEngine>, last: Index, applied: Index) {
    let entries: Vec<Entry> = (2..=last).map(|index| entry(index, 2)).collect();
    let hard_state = Some(HardState { term: 2, vote: 1, commit: applied });
    booted.wal.append(&Batch { entries: &entries, hard_state }).unwrap();
    booted.wal.sync().unwrap();
    let committed: Vec<Committed> =
        entries.into_iter().take(applied as usize - 1).map(|entry| Committed { entry }).collect();
    booted.store.apply(&committed).unwrap();
    booted.engine.flush().unwrap();
}

#[test]
fn a_member_is_made_once_and_found_again() {
    let machine = Machine::default();
    let mut booted = machine.boot().unwrap();
    assert_eq!((booted.log.last, booted.store.applied().index, booted.boot_epoch), (1, 1, 1));
    live(&mut booted, 9, 6);
    drop(booted);
    machine.crash(5);
    let booted = machine.boot_as(|| panic!("it is a member already")).unwrap();
    assert_eq!((booted.store.applied().index, booted.log.last, booted.boot_epoch), (6, 9, 2));
    assert_eq!(booted.log.entries.iter().map(|e| e.index).collect::<Vec<_>>(), [7, 8, 9]);
    assert_eq!((booted.log.hard_state.term, booted.log.hard_state.commit), (2, 6));
    assert_eq!(booted.store_name, FIRST_STORE);
}

#[test]
fn a_first_start_is_finished_wherever_it_was_interrupted() {
    let mut interrupted = 0;
    for steps in 0..40 {
        let machine = Machine::default();
        machine.disk.set_faults(Faults { stop_after: Some(steps), ..Faults::default() }, steps);
        interrupted += u32::from(machine.boot().is_err());
        machine.crash(steps);
        machine.disk.set_faults(Faults::default(), 0);
        let booted = machine.boot().unwrap_or_else(|why| panic!("stopped at step {steps}: {why}"));
        assert_eq!(booted.store.applied(), LogId { term: 1, index: 1 });
    }
    assert!(interrupted > 8, "{interrupted} starts were interrupted");
}

#[test]
fn a_store_without_its_log_is_refused() {
    let machine = Machine::default();
    drop(machine.boot().unwrap());
    let moved = Machine { stores: machine.stores.clone(), ..Machine::default() };
    let why = moved.boot().err().expect("no log").to_string();
    assert!(why.contains("there is no log in /data/member/wal"), "{why}");
}

#[test]
fn the_log_of_another_member_is_refused_and_left_alone() {
    let machine = Machine::default();
    drop(machine.boot().unwrap());
    let other = MemberIds { member_id: 2, ..IDENTITY };
    let moved = Machine { disk: machine.disk.clone(), ..Machine::default() };
    let changes = machine.disk.change_count();
    let refused = moved.boot_as(|| Ok(founder(other)));
    assert!(matches!(refused, Err(BootError::Wal(WalError::WrongMember { found: 1, expected: 2 }))));
    // syncing its folder changes nothing in it
    assert!(machine.disk.change_count() <= changes + 1);
}

#[test]
fn a_store_that_applied_another_entry_than_the_log_has_is_refused() {
    let machine = Machine::default();
    let mut booted = machine.boot().unwrap();
    live(&mut booted, 9, 6);
    drop(booted);
    let other = Machine::default();
    let mut booted = other.boot().unwrap();
    let entries: Vec<Entry> = (2..=9).map(|index| entry(index, 3)).collect();
    booted.wal.append(&Batch { entries: &entries, hard_state: None }).unwrap();
    booted.wal.sync().unwrap();
    drop(booted);
    let mixed = Machine { disk: other.disk, stores: machine.stores };
    let why = mixed.boot().err().expect("they differ").to_string();
    assert!(why.contains("entry 6 is of term 3 in the log and of term 2 in the store"), "{why}");
}

#[test]
fn a_pointer_to_a_store_that_is_gone_is_refused() {
    let machine = Machine::default();
    drop(machine.boot().unwrap());
    pointer::write(&machine.disk, Path::new("/data/member"), &store_name(7)).unwrap();
    let why = machine.boot().err().expect("it is gone").to_string();
    assert!(why.contains("store-0000000000000007"), "{why}");
}

/// A staged store at entry 50 of term 4, which the log is told of.
fn stage(machine: &Machine) -> Install {
    let at = LogId { term: 4, index: 50 };
    let staged = Bootstrap { applied: at, ..founder(IDENTITY) };
    let engine = machine.stores.open(&store_name(at.index)).unwrap();
    crate::apply::bootstrap(engine.as_ref(), &staged).unwrap();
    let meta = SnapshotMeta { conf_state: staged.conf_state, index: at.index, term: at.term };
    Install { meta, store: store_name(at.index) }
}

fn assert_installed(machine: &Machine, name: &str) {
    let booted = machine.boot().unwrap_or_else(|why| panic!("{name}: {why}"));
    assert_eq!(booted.store.applied(), LogId { term: 4, index: 50 }, "{name}");
    assert_eq!((booted.log.truncated.index, booted.log.last), (50, 50), "{name}");
    assert_eq!(booted.log.hard_state.commit, 50, "{name}");
    assert!(booted.log.entries.is_empty() && booted.log.terms.is_empty(), "{name}");
    assert_eq!(booted.store_name, store_name(50), "{name}");
    assert_eq!(machine.stores.names(), [store_name(50)], "{name}: the old store is removed");
}

#[test]
fn an_install_is_finished_from_each_of_its_steps() {
    for step in 0..3 {
        let machine = Machine::default();
        let mut booted = machine.boot().unwrap();
        live(&mut booted, 9, 6);
        let install = stage(&machine);
        booted.wal.begin_install(&install).unwrap();
        if step > 0 {
            pointer::write(&machine.disk, Path::new("/data/member"), &install.store).unwrap();
        }
        if step > 1 {
            booted.wal.finish_install().unwrap();
        }
        drop(booted);
        machine.crash(step);
        assert_installed(&machine, &format!("step {step}"));
        assert_installed(&machine, &format!("again after step {step}"));
    }
}

#[test]
fn a_start_that_finishes_an_install_may_itself_be_interrupted_anywhere() {
    let mut interrupted = 0;
    for steps in 0..30 {
        let machine = Machine::default();
        let mut booted = machine.boot().unwrap();
        live(&mut booted, 9, 6);
        let install = stage(&machine);
        booted.wal.begin_install(&install).unwrap();
        drop(booted);
        machine.crash(1);
        machine.disk.set_faults(Faults { stop_after: Some(steps), ..Faults::default() }, steps);
        interrupted += u32::from(machine.boot().is_err());
        machine.crash(steps);
        machine.disk.set_faults(Faults::default(), 0);
        assert_installed(&machine, &format!("stopped at step {steps}"));
    }
    assert!(interrupted > 8, "{interrupted} starts were interrupted");
}

#[test]
fn a_transfer_that_was_not_installed_leaves_nothing() {
    let machine = Machine::default();
    drop(machine.boot().unwrap());
    stage(&machine);
    machine.crash(3);
    let booted = machine.boot().unwrap();
    assert_eq!((booted.store_name.as_str(), booted.store.applied().index), (FIRST_STORE, 1));
    assert_eq!(machine.stores.names(), [FIRST_STORE]);
}

/// A member of three whose log holds, behind what is applied, an entry and two changes of membership.
fn one_of_three(machine: &Machine) {
    let three = Bootstrap {
        conf_state: ConfState { voters: vec![1, 2], learners: vec![3], ..ConfState::default() },
        members: [1, 2, 3].map(|id| (id, crate::apply::MemberRow::default())).to_vec(),
        ..founder(IDENTITY)
    };
    let mut booted = machine.boot_as(|| Ok(three)).unwrap();
    live(&mut booted, 4, 3);
    let change = |index, node_id| {
        let change =
            raft::ConfChange { id: 0, kind: raft::ConfChangeKind::AddNode, node_id, context: bytes::Bytes::new() };
        let data = raft::confchange_codec::encode_v1(&change);
        Entry { term: 2, index, kind: EntryKind::ConfChange, data }
    };
    let entries = [change(5, 8), entry(6, 2), change(7, 9), entry(8, 2)];
    booted.wal.append(&Batch { entries: &entries, hard_state: None }).unwrap();
    booted.wal.sync().unwrap();
}

#[test]
fn a_forced_new_cluster_has_one_member_and_all_entries_but_changes_of_membership() {
    let machine = Machine::default();
    one_of_three(&machine);
    for forced in [true, true, false] {
        machine.crash(1);
        let booted = if forced { machine.force_new() } else { machine.boot() }.unwrap();
        assert_eq!(*booted.store.conf_state(), ConfState { voters: vec![1], ..ConfState::default() });
        assert_eq!(booted.log.conf_state, *booted.store.conf_state());
        assert_eq!(booted.store.members().unwrap().iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1]);
        assert_eq!(booted.store.removed_members().unwrap(), [2, 3], "who comes back is told so");
        let kinds: Vec<_> = booted.log.entries.iter().map(|e| (e.index, e.kind, e.data.is_empty())).collect();
        let normal = |index, empty| (index, EntryKind::Normal, empty);
        assert_eq!(kinds, [normal(4, false), normal(5, true), normal(6, false), normal(7, true), normal(8, false)]);
    }
}

#[test]
fn a_forced_new_cluster_that_crashes_is_forced_again() {
    for stop in 0..40 {
        let machine = Machine::default();
        one_of_three(&machine);
        machine.disk.set_faults(Faults { stop_after: Some(stop), ..Default::default() }, stop);
        let forced = machine.force_new().is_ok();
        machine.crash(stop);
        machine.disk.set_faults(Faults::default(), 0);
        let booted = machine.force_new().unwrap_or_else(|why| panic!("stopped after {stop}: {why}"));
        assert_eq!(booted.log.entries.len(), 5, "stopped after {stop}: nothing was cut");
        assert_eq!(booted.store.conf_state().voters, [1]);
        if forced {
            return;
        }
    }
    panic!("no start was whole");
}

/// The store opens and says nothing that can be read: a row that every store has is damaged.
fn damage_store(machine: &Machine) {
    let engine = machine.stores.open(FIRST_STORE).unwrap();
    let row = crate::engine::Op::Put {
        family: crate::engine::Family::Meta,
        key: crate::schema::meta::REVISIONS.into(),
        value: "damaged".into(),
    };
    engine.write(vec![row]).unwrap();
    engine.flush().unwrap();
}

fn rebuilding(machine: &Machine, members: crate::boot::MembersOf<'_>) -> Result<Booted<SimEngine>, BootError> {
    Boot { rebuild: Some(members), ..machine.prepared() }.start(|| panic!("it is a member already"))
}

#[test]
fn an_empty_store_stands_in_for_one_that_does_not_open_and_the_log_stays() {
    let machine = Machine::default();
    let mut booted = machine.boot().unwrap();
    live(&mut booted, 9, 6);
    booted.wal.append(&Batch { entries: &[], hard_state: Some(HardState { term: 7, vote: 3, commit: 8 }) }).unwrap();
    booted.wal.sync().unwrap();
    drop(booted);
    damage_store(&machine);
    assert!(matches!(machine.boot(), Err(BootError::Store(_))), "without the order it is refused");
    let rows = vec![(1, crate::apply::MemberRow::default()), (3, crate::apply::MemberRow::default())];
    let members = |own: MemberIds| {
        assert_eq!(own, IDENTITY);
        Ok(rows.clone())
    };
    for start in 0..3 {
        let booted = rebuilding(&machine, &members).unwrap_or_else(|why| panic!("start {start}: {why}"));
        assert_eq!((booted.store.identity(), booted.store_name.as_str()), (IDENTITY, store_name(0).as_str()));
        assert_eq!(booted.store.applied(), LogId { term: 1, index: 1 }, "where the log begins");
        assert_eq!(*booted.store.conf_state(), ConfState::default(), "it knows no voters");
        assert_eq!(booted.store.members().unwrap(), rows, "and whom it can ask");
        assert_eq!(booted.log.entries.len(), 8, "every entry is there");
        assert_eq!(booted.log.hard_state, HardState { term: 7, vote: 3, commit: 8 });
        drop(booted);
        assert_eq!(machine.stores.names(), [FIRST_STORE.to_owned(), store_name(0)], "the damaged one is kept");
        machine.crash(start);
    }
    assert!(matches!(machine.boot(), Err(BootError::Store(_))), "the pointer leads to the damaged store");
    let nobody = |_| Err(ClusterError::NoAnswer("nobody".to_owned()));
    assert!(matches!(rebuilding(&machine, &nobody), Err(BootError::NotInCluster(ClusterError::NoAnswer(_)))));
}

#[test]
fn a_store_that_opens_is_not_replaced_at_the_start_and_a_first_start_is_one() {
    let nobody = |_| panic!("nobody has to be asked");
    let machine = Machine::default();
    let first = Boot { rebuild: Some(&nobody), ..machine.prepared() }.start(|| Ok(founder(IDENTITY)));
    assert_eq!(first.expect("a first start").store_name, FIRST_STORE);
    machine.crash(1);
    assert_eq!(rebuilding(&machine, &nobody).expect("it opens").store_name, FIRST_STORE);
}
