//! `make sim`: runs seeds of the crash simulator until a time is up or one fails, and says how many, how fast, and which
//! faults met which states. `make mutants` runs it against each deliberate bug instead. Must never decide what is right.

use harness::sim::{self, Tally, Violation};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const HELP: &str = "\
sim [--seconds N] [--seeds N] [--from SEED] [--seed SEED] [--threads N] [--mutants]

  --seconds N   run on for so long (default 60; 0: no limit)
  --seeds N     run so many seeds
  --from SEED   the first seed (default: from the clock)
  --seed SEED   run this one seed, and show its events when it fails
  --threads N   seeds at once (default 1)
  --mutants     look for each deliberate bug (needs --features mutants)";

#[derive(Clone, Copy)]
struct Ask {
    seconds: u64,
    seeds: u64,
    from: u64,
    threads: u64,
    mutants: bool,
}

fn main() -> ExitCode {
    let ask = match ask(std::env::args().skip(1)) {
        Ok(ask) => ask,
        Err(why) => {
            eprintln!("{why}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    // a panic of an owner is a violation, and is reported as one
    std::panic::set_hook(Box::new(|_| {}));
    if ask.mutants {
        return mutants(ask);
    }
    println!("from seed {}", ask.from);
    let run = run(ask);
    run.print();
    match run.failed {
        None => ExitCode::SUCCESS,
        Some((seed, violation)) => {
            print!("{}", sim::report(seed, &violation));
            ExitCode::FAILURE
        }
    }
}

fn ask(mut args: impl Iterator<Item = String>) -> Result<Ask, String> {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |d| d.as_secs());
    let mut ask = Ask { seconds: 60, seeds: u64::MAX, from: clock << 16, threads: 1, mutants: false };
    while let Some(arg) = args.next() {
        let mut number = || {
            let value = args.next().ok_or_else(|| format!("{arg} needs a number"))?;
            value.parse::<u64>().map_err(|_| format!("{arg}: {value:?} is no number"))
        };
        match arg.as_str() {
            "--seconds" => ask.seconds = number()?,
            "--seeds" => ask.seeds = number()?,
            "--from" => ask.from = number()?,
            "--threads" => ask.threads = number()?.max(1),
            "--seed" => (ask.from, ask.seeds) = (number()?, 1),
            "--mutants" => ask.mutants = true,
            _ => return Err(format!("what is {arg:?}?")),
        }
    }
    Ok(ask)
}

/// What a row of seeds came to.
#[derive(Default)]
struct Run {
    seeds: u64,
    took: Duration,
    sum: Tally,
    failed: Option<(u64, Violation)>,
}

impl Run {
    fn add(&mut self, seeds: u64, tally: &Tally) {
        self.seeds += seeds;
        let sum = &mut self.sum;
        sum.events += tally.events;
        sum.crashes += tally.crashes;
        sum.starts += tally.starts;
        sum.operations += tally.operations;
        sum.answered += tally.answered;
        sum.entries += tally.entries;
        sum.watched += tally.watched;
        sum.promises += tally.promises;
        sum.views += tally.views;
        sum.snapshots += tally.snapshots;
        sum.coverage.add(&tally.coverage);
    }

    fn print(&self) {
        let seconds = self.took.as_secs_f64().max(0.001);
        let Tally {
            events, crashes, starts, operations, answered, entries, watched, promises, views, snapshots, ..
        } = &self.sum;
        println!(
            "{} seeds in {seconds:.1} s: {:.0} seeds/s, {:.0} events/s",
            self.seeds,
            self.seeds as f64 / seconds,
            *events as f64 / seconds
        );
        println!(
            "{crashes} crashes, {starts} starts, {operations} operations ({answered} answered), {entries} entries"
        );
        println!(
            "{watched} watch events, {promises} promises of progress, {views} views compared, {snapshots} snapshots"
        );
        println!("{}", self.sum.coverage);
        println!("{} cells are not empty", self.sum.coverage.cells());
    }
}

/// Seeds from `from` on, on so many threads.
fn run(ask: Ask) -> Run {
    let (next, over, start) = (AtomicU64::new(0), AtomicBool::new(false), Instant::now());
    let limit = Duration::from_secs(ask.seconds);
    let worker = || {
        let mut part = Run::default();
        while !over.load(Relaxed) && (ask.seconds == 0 || start.elapsed() < limit) {
            let nth = next.fetch_add(1, Relaxed);
            if nth >= ask.seeds {
                break;
            }
            let seed = ask.from.wrapping_add(nth);
            match sim::run(seed) {
                Ok(tally) => part.add(1, &tally),
                Err(violation) => {
                    over.store(true, Relaxed);
                    part.failed = Some((seed, violation));
                }
            }
        }
        part
    };
    let mut all = Run::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..ask.threads).map(|_| scope.spawn(worker)).collect();
        for part in threads.into_iter().filter_map(|thread| thread.join().ok()) {
            all.add(part.seeds, &part.sum);
            all.failed = all.failed.take().or(part.failed);
        }
    });
    all.took = start.elapsed();
    all
}

#[cfg(feature = "mutants")]
fn mutants(ask: Ask) -> ExitCode {
    use model::mutant::{self, Mutant};
    let mut missed = 0;
    println!("| mutant | seed | seeds tried | seconds | found as |\n|---|---|---|---|---|");
    for mutant in Mutant::ALL {
        mutant::set(Some(mutant));
        let start = Instant::now();
        let mut found = None;
        let mut tried = 0;
        while found.is_none() && tried < ask.seeds && start.elapsed() < Duration::from_secs(ask.seconds.max(1)) {
            let seed = ask.from.wrapping_add(tried);
            tried += 1;
            found = sim::run(seed).err().map(|violation| (seed, violation));
        }
        mutant::set(None);
        let seconds = start.elapsed().as_secs_f64();
        match found {
            Some((seed, v)) => println!("| {} | {seed} | {tried} | {seconds:.2} | {} |", mutant.name(), v.name),
            None => {
                missed += 1;
                println!("| {} | - | {tried} | {seconds:.2} | not found |", mutant.name());
            }
        }
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(not(feature = "mutants"))]
fn mutants(_: Ask) -> ExitCode {
    eprintln!("this build has no mutants: build it with --features mutants");
    ExitCode::from(2)
}
