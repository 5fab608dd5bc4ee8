//! The embedded node beside the specification in `harness::spec`: a hundred thousand random operations, every answer compared.
//!
//! Must never run without printing its seed.

use harness::compare::rules::Rules;
use harness::compare::target::Target;
use harness::compare::{Plan, run};
use std::str::FromStr;
use std::time::Duration;

/// A number from the environment: how a failure is replayed.
/// The same stream of requests in every run, so that a change that breaks nothing fails nothing; `make model` draws seeds.
const SEED: u64 = 20_261_124;

fn given<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn the_server_does_what_the_specification_says() {
    let plan = Plan {
        target: Target::Embedded,
        rules: Rules::conclave(),
        seed: given("CONCLAVE_MODEL_SEED").unwrap_or(SEED),
        operations: given("CONCLAVE_MODEL_OPS").unwrap_or(100_000),
        epoch: given("CONCLAVE_MODEL_EPOCH"),
        keep: None,
        shrink: Duration::from_secs(given("CONCLAVE_MODEL_SHRINK").unwrap_or(120)),
        verbose: false,
    };
    println!("CONCLAVE_MODEL_SEED={} CONCLAVE_MODEL_OPS={}", plan.seed, plan.operations);
    let outcome = actix_rt::System::new().block_on(run(&plan));
    println!("{} operations in {:?}", outcome.operations, outcome.elapsed);
    if let Some(report) = outcome.failure {
        panic!("{report}");
    }
    assert!(outcome.operations >= plan.operations || plan.epoch.is_some(), "{} operations only", outcome.operations);
}
