//! A whole run: epoch after epoch, until the operations are used up or something differs.
//!
//! Must never end on a difference without printing how to see it again.

use super::plan::{Plan, one};
use super::rules::Allowance;
use super::shrink;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Epochs after which a server of our own is replaced by a new one.
const RESTART: u64 = 8;

/// How a run went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Operations that were compared.
    pub operations: usize,
    /// Time they took.
    pub elapsed: Duration,
    /// Allowances that were needed.
    pub used: BTreeMap<Allowance, u64>,
    /// How often each kind of answer was compared.
    pub tally: BTreeMap<String, u64>,
    /// The report of a difference.
    pub failure: Option<String>,
}

/// Runs a plan. Must be called inside an actix system when the target is a node of this process.
pub async fn run(plan: &Plan) -> Outcome {
    let start = Instant::now();
    let mut outcome = Outcome {
        operations: 0,
        elapsed: Duration::ZERO,
        used: BTreeMap::new(),
        tally: BTreeMap::new(),
        failure: None,
    };
    let mut running = plan.target.start().await;
    let mut epoch = plan.epoch.unwrap_or(0);
    while outcome.operations < plan.operations {
        if running.is_ours() && epoch.is_multiple_of(RESTART) && outcome.operations > 0 {
            running.stop().await;
            running = plan.target.start().await;
        }
        let steps = plan.steps(epoch, plan.operations - outcome.operations);
        let (judge, done) = one(&mut running, &plan.rules, &steps).await;
        for (what, count) in judge.iter().flat_map(|judge| &judge.rules.used) {
            *outcome.used.entry(*what).or_default() += count;
        }
        for (what, count) in judge.into_iter().flat_map(|judge| judge.tally) {
            *outcome.tally.entry(what).or_default() += count;
        }
        outcome.elapsed = start.elapsed();
        if let Err(failure) = done {
            outcome.operations += failure.step;
            running.stop().await;
            outcome.failure = Some(shrink::report(plan, epoch, steps, failure).await);
            return outcome;
        }
        outcome.operations += steps.len();
        if plan.verbose {
            let rate = outcome.operations as f64 / outcome.elapsed.as_secs_f64();
            println!("epoch {epoch}: {} operations, {rate:.0} per second", outcome.operations);
        }
        epoch += 1;
        if plan.epoch.is_some() {
            break;
        }
    }
    running.stop().await;
    outcome
}
