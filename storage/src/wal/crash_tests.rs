//! Random histories, stopped in the middle of any write, sync or rename: after power loss everything synced is there, nothing is half
//! there, and the order is kept; over several lives of the same log.

use proptest::prelude::*;
use raft::{Entry, HardState, LogId};

use super::tests::{EVEN, META, all, dir, entries, install_at};
use super::*;
use crate::disk::SimDisk;
use crate::disk::sim::Faults;

fn create(disk: &SimDisk) -> Wal {
    Wal::create(disk.shared(), dir(), EVEN, META, Start::default()).unwrap()
}

fn open(disk: &SimDisk) -> Result<(Wal, Recovered), WalError> {
    UncheckedWal::open(disk.shared(), dir(), EVEN)?.recover()
}

/// What a log should hold.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    truncated: LogId,
    entries: Vec<Entry>,
    hard_state: HardState,
    install: Option<Install>,
}

#[derive(Clone, Debug)]
enum Step {
    /// Go back by some entries, append some of some length, in a term raised by some; sync.
    Append { back: u64, count: u64, len: usize, raise: u64 },
    /// Move the commit, staged only.
    Commit,
    /// Release all but some entries.
    Release { keep: u64 },
    /// Let the other thread prepare a segment.
    Prepare,
    /// Install a snapshot some entries ahead, both steps.
    Install { ahead: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = prop_oneof![3 => 0usize..300, 2 => 1000usize..6000, 1 => 20_000usize..40_000];
    let step = prop_oneof![
        10 => (0u64..4, 1u64..6, len, 0u64..2)
            .prop_map(|(back, count, len, raise)| Step::Append { back, count, len, raise }),
        3 => Just(Step::Commit),
        3 => (0u64..6).prop_map(|keep| Step::Release { keep }),
        2 => Just(Step::Prepare),
        1 => (0u64..20).prop_map(|ahead| Step::Install { ahead }),
    ];
    prop::collection::vec(step, 1..40)
}

impl Model {
    fn last(&self) -> LogId {
        self.entries.last().map_or(self.truncated, |e| LogId { term: e.term, index: e.index })
    }

    fn append(&mut self, entries: &[Entry]) {
        let first = entries[0].index;
        self.entries.retain(|e| e.index < first);
        self.entries.extend_from_slice(entries);
    }

    fn release(&mut self, to: LogId) {
        self.truncated = to;
        self.entries.retain(|e| e.index > to.index);
    }

    fn reset(&mut self, install: &Install) {
        let at = LogId { term: install.meta.term, index: install.meta.index };
        let commit = self.hard_state.commit.max(at.index);
        *self = Self { truncated: at, hard_state: HardState { commit, ..self.hard_state }, ..Self::default() };
    }

    fn read(wal: &Wal, recovered: &Recovered) -> Self {
        Self {
            truncated: recovered.truncated,
            entries: all(wal),
            hard_state: recovered.hard_state,
            install: recovered.install.clone(),
        }
    }
}

/// Carries `step` out on both. After each call that makes something durable `allowed` holds just the model; while one runs, also
/// what it is on the way to.
fn carry_out(
    step: &Step,
    disk: &SimDisk,
    wal: &mut Wal,
    allowed: &mut Vec<Model>,
    next: &mut Model,
) -> Result<(), WalError> {
    match step {
        Step::Append { back, count, len, raise } => {
            let last = next.last();
            let first = (last.index + 1).saturating_sub(*back).max(next.truncated.index + 1);
            let term = last.term.max(1) + raise;
            let entries = entries(term, first..=first + count - 1, *len);
            next.append(&entries);
            next.hard_state.term = next.hard_state.term.max(term);
            wal.stage(&Batch { entries: &entries, hard_state: Some(next.hard_state) })?;
            allowed.push(next.clone());
            wal.write()?;
            wal.sync()?;
        }
        Step::Commit => {
            next.hard_state.commit = next.last().index.max(next.hard_state.commit);
            return wal.stage(&Batch { entries: &[], hard_state: Some(next.hard_state) });
        }
        Step::Release { keep } => {
            let entry = next.entries.iter().rev().nth(*keep as usize);
            if let Some(to) = entry.map(|e| LogId { term: e.term, index: e.index }) {
                next.release(to);
                return wal.release_to(to);
            }
            return Ok(());
        }
        Step::Prepare => {
            if let Some(request) = wal.wants_segment() {
                wal.offer_prepared(Some(prepare_segment(disk.shared().as_ref(), &request, &mut || {})?))?;
            }
            return Ok(());
        }
        Step::Install { ahead } => {
            let last = next.last();
            let install = install_at(last.index + 1 + ahead, last.term.max(1));
            next.install = Some(install.clone());
            allowed.push(next.clone());
            wal.begin_install(&install)?;
            *allowed = vec![next.clone()];
            next.reset(&install);
            allowed.push(next.clone());
            wal.finish_install()?;
        }
    }
    *allowed = vec![next.clone()];
    Ok(())
}

/// One life: opens, compares, goes on until the machine stops. Returns what may be found afterwards.
fn live(disk: &SimDisk, steps: &[Step], allowed: Vec<Model>, stop_after: u64, seed: u64) -> Vec<Model> {
    let faults = Faults { stop_after: Some(stop_after), ..Faults::default() };
    let (mut wal, recovered) = open(disk).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    let mut model = Model::read(&wal, &recovered);
    assert!(allowed.contains(&model), "seed {seed}: found {model:#?}\nallowed {allowed:#?}");
    let mut allowed = vec![model.clone()];
    disk.set_faults(faults, seed);
    if let Some(install) = recovered.install {
        model.reset(&install);
        allowed.push(model.clone());
        if wal.finish_install().is_err() {
            return allowed;
        }
        allowed = vec![model.clone()];
    }
    for step in steps {
        if carry_out(step, disk, &mut wal, &mut allowed, &mut model).is_err() {
            break;
        }
    }
    allowed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn nothing_synced_is_lost_and_nothing_is_half_there(
        lives in prop::collection::vec((steps(), 0u64..120, any::<u64>(), any::<bool>()), 1..6)
    ) {
        let disk = SimDisk::new();
        drop(create(&disk));
        let mut allowed = vec![Model::default()];
        for (steps, stop_after, seed, power) in &lives {
            allowed = live(&disk, steps, allowed, *stop_after, *seed);
            if *power { disk.crash(*seed) } else { disk.kill_process() }
        }
        live(&disk, &[], allowed, 0, 0);
    }
}

/// One history with everything in it, stopped at every single change it makes, under several seeds.
#[test]
fn one_history_stopped_at_every_point() {
    let mut steps = Vec::new();
    for round in 0..12u64 {
        steps.push(Step::Append { back: round % 3, count: 2, len: 2500 + round as usize * 300, raise: round % 2 });
        steps.push(Step::Commit);
        if round % 2 == 1 {
            steps.push(Step::Release { keep: 1 });
        }
        if round % 4 == 2 {
            steps.push(Step::Prepare);
        }
    }
    steps.insert(20, Step::Install { ahead: 3 });
    let first = SimDisk::new();
    drop(create(&first));
    let whole = first.fork();
    whole.kill_process();
    live(&whole, &steps, vec![Model::default()], u64::MAX, 0);
    let changes = whole.change_count();
    for stop_after in 0..changes {
        for seed in 0..4 {
            let disk = first.fork();
            disk.kill_process();
            let allowed = live(&disk, &steps, vec![Model::default()], stop_after, seed);
            if seed == 3 {
                disk.kill_process()
            } else {
                disk.crash(seed * 1000 + stop_after)
            }
            // A crash while opening, too.
            let again = disk.fork();
            again.set_faults(Faults { stop_after: Some(seed), ..Faults::default() }, seed);
            if let Err(error) = open(&again) {
                assert!(matches!(error, WalError::Io { .. }), "{error}");
            }
            again.crash(seed);
            live(&again, &[], allowed.clone(), 0, seed);
            // Going on in what was found must not lose it either.
            let more = [Step::Append { back: 0, count: 1, len: 10, raise: 0 }];
            let allowed = live(&disk, &more, allowed, u64::MAX, seed);
            disk.crash(seed);
            live(&disk, &[], allowed, 0, seed);
        }
    }
}

/// The making of a log, stopped at every point: afterwards there is none, or a whole one.
#[test]
fn creation_stopped_at_every_point() {
    for stop_after in 0..12 {
        for seed in 0..8 {
            let disk = SimDisk::new();
            disk.set_faults(Faults { stop_after: Some(stop_after), ..Faults::default() }, seed);
            let created = Wal::create(disk.shared(), dir(), EVEN, META, Start::default()).is_ok();
            disk.crash(seed);
            match open(&disk) {
                Ok((_, recovered)) => assert_eq!((recovered.last, recovered.meta), (LogId::default(), META)),
                Err(WalError::Missing { .. }) => {
                    assert!(!created, "a log that was reported is there");
                    create(&disk);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}
