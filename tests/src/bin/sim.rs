//! `make sim`: runs seeds of the crash simulator until a time is up or one fails, and says how many, how fast, and which
//! faults met which states. `make mutants` runs it against each deliberate bug instead. Must never decide what is right.

use harness::sim::{self, Shape, Tally, Violation};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const HELP: &str = "\
sim [--one|--cluster] [--seconds N] [--seeds N] [--from SEED] [--seed SEED] [--threads N] [--html FILE] [--mutants]

  --one         one member
  --cluster     several members (default: a cluster, and one member with every fourth seed)
  --seconds N   run on for so long (default 60; 0: no limit)
  --seeds N     run so many seeds
  --from SEED   the first seed (default: from the clock)
  --seed SEED   run this one seed, and show its events when it fails
  --threads N   seeds at once (default 1)
  --all         go on behind a failure, and name all of them; with --mutants: all invariants that break
  --html FILE   with --seed: draw its run as a page
  --mutant NAME with --mutants: this one alone
  --mutants     look for each deliberate bug (needs --features mutants)";

#[derive(Clone)]
struct Ask {
    shape: Option<Shape>,
    html: Option<String>,
    only: Option<String>,
    seconds: u64,
    seeds: u64,
    from: u64,
    threads: u64,
    mutants: bool,
    all: bool,
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
        return mutants(&ask);
    }
    println!("from seed {}", ask.from);
    if let Some(file) = &ask.html {
        return draw(&ask, file);
    }
    let run = run(&ask);
    run.print();
    match run.failed {
        None => ExitCode::SUCCESS,
        Some((shape, seed, violation)) => {
            print!("{}", sim::report(shape, seed, &violation));
            ExitCode::FAILURE
        }
    }
}

fn draw(ask: &Ask, file: &str) -> ExitCode {
    let page = sim::draw(ask.shape_of(ask.from), ask.from);
    match std::fs::write(file, page) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{file}: {why}");
            ExitCode::FAILURE
        }
    }
}

impl Ask {
    /// One member with every fourth seed, unless it was said.
    fn shape_of(&self, seed: u64) -> Shape {
        let usual = if seed.is_multiple_of(4) { Shape::One } else { Shape::Cluster };
        self.shape.unwrap_or(usual)
    }
}

fn ask(mut args: impl Iterator<Item = String>) -> Result<Ask, String> {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |d| d.as_secs());
    let mut ask = Ask {
        shape: None,
        html: None,
        only: None,
        seconds: 60,
        seeds: u64::MAX,
        from: clock << 16,
        threads: 1,
        mutants: false,
        all: false,
    };
    while let Some(arg) = args.next() {
        if let "--html" | "--mutant" = arg.as_str() {
            let value = Some(args.next().ok_or_else(|| format!("{arg} needs a value"))?);
            if arg == "--html" {
                ask.html = value
            } else {
                ask.only = value
            }
            continue;
        }
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
            "--one" => ask.shape = Some(Shape::One),
            "--cluster" => ask.shape = Some(Shape::Cluster),
            "--all" => ask.all = true,
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
    failed: Option<(Shape, u64, Violation)>,
}

impl Run {
    fn add(&mut self, seeds: u64, tally: &Tally) {
        self.seeds += seeds;
        let sum = &mut self.sum;
        sum.events += tally.events;
        sum.micros += tally.micros;
        sum.crashes += tally.crashes;
        sum.starts += tally.starts;
        sum.operations += tally.operations;
        sum.answered += tally.answered;
        sum.entries += tally.entries;
        sum.watched += tally.watched;
        sum.promises += tally.promises;
        sum.views += tally.views;
        sum.snapshots += tally.snapshots;
        sum.installs += tally.installs;
        sum.terms += tally.terms;
        sum.changes += tally.changes;
        sum.carried.add(&tally.carried);
        sum.coverage.add(&tally.coverage);
    }

    fn print(&self) {
        let seconds = self.took.as_secs_f64().max(0.001);
        let sum = &self.sum;
        println!(
            "{} seeds in {seconds:.1} s: {:.1} seeds/s, {:.0} events/s, {:.2} simulated hours",
            self.seeds,
            self.seeds as f64 / seconds,
            sum.events as f64 / seconds,
            sum.micros as f64 / 3.6e9
        );
        println!(
            "{} crashes, {} starts, {} operations ({} answered), {} entries, {} terms with a leader, {} changes of the membership",
            sum.crashes, sum.starts, sum.operations, sum.answered, sum.entries, sum.terms, sum.changes
        );
        println!(
            "{} frames over {} connections, {} snapshots delivered ({} resumed), {} installed",
            sum.carried.frames, sum.carried.sessions, sum.carried.snapshots, sum.carried.resumed, sum.installs
        );
        println!(
            "{} watch events, {} promises of progress, {} views compared, {} snapshots for clients",
            sum.watched, sum.promises, sum.views, sum.snapshots
        );
        println!("{}", sum.coverage);
        println!("{} cells are not empty", sum.coverage.cells());
    }
}

/// Seeds from `from` on, on so many threads.
fn run(ask: &Ask) -> Run {
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
            let shape = ask.shape_of(seed);
            match sim::run(shape, seed) {
                Ok(tally) => part.add(1, &tally),
                Err(violation) if ask.all => {
                    println!("seed {seed} ({shape:?}) violates {violation}");
                    part.failed = Some((shape, seed, violation));
                }
                Err(violation) => {
                    over.store(true, Relaxed);
                    part.failed = Some((shape, seed, violation));
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
fn mutants(ask: &Ask) -> ExitCode {
    use model::mutant::{self, Mutant};
    let mut missed = 0;
    println!("| mutant | seed | seeds tried | seconds | found as |\n|---|---|---|---|---|");
    let chosen = |mutant: &Mutant| ask.only.as_ref().is_none_or(|name| name == mutant.name());
    for mutant in Mutant::ALL.into_iter().filter(chosen) {
        mutant::set(Some(mutant));
        let start = Instant::now();
        // by name: the first seed, and how many there are
        let mut found: Vec<(&'static str, u64, u64)> = Vec::new();
        let mut tried = 0;
        let limit = Duration::from_secs(ask.seconds.max(1));
        while (ask.all || found.is_empty()) && tried < ask.seeds && start.elapsed() < limit {
            let seed = ask.from.wrapping_add(tried);
            tried += 1;
            let Err(violation) = sim::run(ask.shape_of(seed), seed) else { continue };
            match found.iter_mut().find(|(name, ..)| *name == violation.name) {
                Some((_, _, count)) => *count += 1,
                None => found.push((violation.name, seed, 1)),
            }
        }
        mutant::set(None);
        let seconds = start.elapsed().as_secs_f64();
        missed += u32::from(found.is_empty());
        let names: Vec<_> =
            found.iter().map(|(name, seed, count)| format!("{name} (seed {seed}, {count} times)")).collect();
        let (seed, names) = match found.first() {
            Some((name, seed, _)) if !ask.all => (seed.to_string(), (*name).to_owned()),
            Some((_, seed, _)) => (seed.to_string(), names.join(", ")),
            None => ("-".to_owned(), "not found".to_owned()),
        };
        println!("| {} | {seed} | {tried} | {seconds:.2} | {names} |", mutant.name());
    }
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(not(feature = "mutants"))]
fn mutants(_: &Ask) -> ExitCode {
    eprintln!("this build has no mutants: build it with --features mutants");
    ExitCode::from(2)
}
