//! Compares a server with the specification of etcd's data API, for as many operations as asked for.
//!
//! Run by `make model`. Must never be run against a server whose data somebody needs: it empties the keyspace.

use harness::compare::rules::Rules;
use harness::compare::target::Target;
use harness::compare::{Plan, run};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

const HELP: &str = "\
Usage: model [--ops N] [--endpoint HOST:PORT] [--server conclave|etcd] [--seed N] [--epoch N] [--keep N,N,...] [--shrink SECONDS]

Sends random requests to a server and compares every answer with the specification in tests/src/spec.
Without an endpoint the daemon (CONCLAVE_BIN) is started; `--endpoint embedded` is a node in this process.
The keyspace, leases and history of an endpoint are LOST.";

fn main() -> ExitCode {
    let plan = match plan() {
        Ok(plan) => plan,
        Err(why) => {
            eprintln!("{why}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    println!("seed {}, {} operations against {:?}", plan.seed, plan.operations, plan.target);
    let outcome = actix_rt::System::new().block_on(run(&plan));
    let rate = outcome.operations as f64 / outcome.elapsed.as_secs_f64();
    let took = outcome.elapsed.as_secs_f64();
    println!("{} operations in {took:.1} s, {rate:.0} per second, seed {}", outcome.operations, plan.seed);
    for (what, count) in &outcome.tally {
        println!("{count:>9}  {what}");
    }
    for (what, count) in &outcome.used {
        println!("allowed: {what:?} {count} times");
    }
    match outcome.failure {
        None => {
            println!("no difference");
            ExitCode::SUCCESS
        }
        Some(text) => {
            println!("DIFFERENT: {text}");
            ExitCode::FAILURE
        }
    }
}

fn plan() -> Result<Plan, String> {
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(|why| why.to_string())?;
    let mut plan = Plan {
        target: Target::Daemon,
        rules: Rules::conclave(),
        seed: clock.as_nanos() as u64 % 1_000_000_007,
        operations: 100_000,
        epoch: None,
        keep: None,
        shrink: Duration::from_secs(120),
        verbose: true,
    };
    let mut args = std::env::args().skip(1);
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|why| format!("{flag} {value}: {why}"));
        match flag.as_str() {
            "--ops" => plan.operations = number()? as usize,
            "--seed" => plan.seed = number()?,
            "--epoch" => plan.epoch = Some(number()?),
            "--shrink" => plan.shrink = Duration::from_secs(number()?),
            "--endpoint" if value == "embedded" => plan.target = Target::Embedded,
            "--endpoint" => plan.target = Target::Endpoint(value),
            "--server" if value == "etcd" => plan.rules = Rules::etcd(),
            "--server" if value == "conclave" => plan.rules = Rules::conclave(),
            "--keep" => {
                let list: Result<Vec<usize>, _> = value.split(',').map(str::parse).collect();
                plan.keep = Some(list.map_err(|why| format!("--keep {value}: {why}"))?);
            }
            _ => return Err(format!("unknown: {flag} {value}")),
        }
    }
    if plan.keep.is_some() {
        plan.epoch = plan.epoch.or(Some(0));
    }
    Ok(plan)
}
