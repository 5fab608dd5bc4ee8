//! The deterministic simulator: the real raft cores, logs, stores, snapshots, lease and watch cores of one or several members on one
//! seeded queue of events, over disks and engines that crash as real ones do, and a network that loses, delays and cuts.
//! `docs/testing.md` says how to run it and how to repeat a seed.
//!
//! | file | idea |
//! |---|---|
//! | `world` | clock, queue, what happens next |
//! | `machine`, `log_book`, `stores` | a machine: disk, stores, clocks, what its log holds for good |
//! | `lives`, `recover` | crash and start |
//! | `owners` | one step of each owner |
//! | `running`, `ports`, `wires` | a member: wiring, queues, what it says to others |
//! | `network` | sessions, lanes, calls, snapshots under way |
//! | `engine` | crash points inside the store |
//! | `trouble`, `between`, `operator`, `versions`, `coverage` | faults, and which state and role they met |
//! | `clients`, `watchers`, `leases` | who asks, and what they were promised |
//! | `replay`, `replay_members`, `checks`, `look`, `telling`, `ending` | the judge |
//! | `trace`, `story`, `html` | what a run looked like |
//!
//! Must never use a thread, a real clock, a real file or a hash map's order.

mod between;
mod checks;
mod clients;
mod coverage;
mod ending;
mod engine;
mod html;
mod leases;
mod lives;
mod log_book;
mod look;
mod machine;
mod network;
mod operator;
mod orders;
mod owner;
mod owners;
mod params;
mod ports;
mod recover;
mod replay;
mod replay_members;
mod replay_users;
mod rng;
mod running;
mod stores;
mod story;
mod telling;
mod trace;
mod trouble;
mod versions;
mod violation;
mod watchers;
mod wires;
mod world;

pub use coverage::{Coverage, Doing, Role, Trouble};
pub use params::Shape;
pub use violation::Violation;
pub use world::Tally;

use std::panic::{AssertUnwindSafe, catch_unwind};
use story::Story;
use trace::Trace;
use world::World;

/// Lines of the event log that a failure shows, unless `SIM_LINES` says otherwise.
const SHOWN: usize = 60;
/// Lines of each member that it shows beside them.
const SHOWN_EACH: usize = 12;

/// Runs one seed.
///
/// # Errors
/// The first invariant that did not hold; a panic of an owner is one by itself.
pub fn run(shape: Shape, seed: u64) -> Result<Tally, Violation> {
    run_traced(shape, seed, Trace::default(), Story::default())
}

fn run_traced(shape: Shape, seed: u64, trace: Trace, story: Story) -> Result<Tally, Violation> {
    let run = catch_unwind(AssertUnwindSafe(|| World::new(seed, shape, trace, story).run()));
    run.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned()));
        Err(Violation { name: "PANIC", text: text.unwrap_or_else(|| String::from("without a text")) })
    })
}

/// What a failing seed is reported with: the violation, how to repeat it, and what happened before.
pub fn report(shape: Shape, seed: u64, violation: &Violation) -> String {
    let shown = std::env::var("SIM_LINES").ok().and_then(|n| n.parse().ok()).unwrap_or(SHOWN);
    let trace = Trace::kept();
    let again = run_traced(shape, seed, trace.clone(), Story::default());
    let same = matches!(&again, Err(v) if v.name == violation.name);
    let note = if same { "" } else { "\n(it did not fail in the same way when it was repeated)" };
    let lines = trace.last(shown).join("\n");
    let args = if shape == Shape::One { " ARGS=--one" } else { " ARGS=--cluster" };
    let mut members = String::new();
    for (name, lines) in trace.by_member(SHOWN_EACH) {
        members.push_str(&format!("the last lines of {name}:\n{}\n", lines.join("\n")));
    }
    format!(
        "seed {seed} violates {violation}{note}\nrepeat it: make sim SEED={seed}{args}\n{members}the last events:\n{lines}\n"
    )
}

/// A page that draws the run of a seed.
pub fn draw(shape: Shape, seed: u64) -> String {
    let story = Story::kept();
    let result = run_traced(shape, seed, Trace::default(), story.clone());
    let why = result.err().map_or_else(|| String::from("nothing is wrong"), |violation| violation.to_string());
    let title = format!("seed {seed}");
    story.pages().map_or_else(String::new, |pages| html::page(&title, &why, &pages))
}
