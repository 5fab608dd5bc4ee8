//! The deterministic crash simulator: the real raft core, log, store, lease and watch cores on one seeded queue of events, over a
//! disk and an engine that crash as real ones do. `docs/testing.md` says how to run it and how to repeat a seed.
//!
//! | file | idea |
//! |---|---|
//! | `world` | clock, queue, crash and start |
//! | `owners` | one step of each owner |
//! | `running`, `ports`, `recover` | the member: wiring, queues, opening log and store |
//! | `engine` | crash points inside the store |
//! | `trouble`, `coverage` | faults, and which state they met |
//! | `clients`, `watchers`, `leases` | who asks, and what they were promised |
//! | `replay`, `checks`, `telling`, `ending` | the judge |
//!
//! One member so far: a world holds one `Running`, one disk and one engine; several would be a list of them, and `SimPeers`
//! a network. Must never use a thread, a real clock, a real file or a hash map's order.

mod checks;
mod clients;
mod coverage;
mod ending;
mod engine;
mod leases;
mod owners;
mod params;
mod ports;
mod recover;
mod replay;
mod rng;
mod running;
mod telling;
mod trace;
mod trouble;
mod violation;
mod watchers;
mod world;

pub use coverage::{Coverage, Doing, Trouble};
pub use violation::Violation;
pub use world::Tally;

use std::panic::{AssertUnwindSafe, catch_unwind};
use trace::Trace;
use world::World;

/// Lines of the event log that a failure shows, unless `SIM_LINES` says otherwise.
const SHOWN: usize = 60;

/// Runs one seed.
///
/// # Errors
/// The first invariant that did not hold; a panic of an owner is one by itself.
pub fn run(seed: u64) -> Result<Tally, Violation> {
    run_traced(seed, Trace::default())
}

fn run_traced(seed: u64, trace: Trace) -> Result<Tally, Violation> {
    let run = catch_unwind(AssertUnwindSafe(|| World::new(seed, trace).run()));
    run.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned()));
        Err(Violation { name: "PANIC", text: text.unwrap_or_else(|| String::from("without a text")) })
    })
}

/// What a failing seed is reported with: the violation, how to repeat it, and what happened before.
pub fn report(seed: u64, violation: &Violation) -> String {
    let shown = std::env::var("SIM_LINES").ok().and_then(|n| n.parse().ok()).unwrap_or(SHOWN);
    let trace = Trace::kept();
    let again = run_traced(seed, trace.clone());
    let same = matches!(&again, Err(v) if v.name == violation.name);
    let note = if same { "" } else { "\n(it did not fail in the same way when it was repeated)" };
    let lines = trace.last(shown).join("\n");
    format!("seed {seed} violates {violation}{note}\nrepeat it: make sim SEED={seed}\nthe last events:\n{lines}\n")
}
