//! A whole run: epoch after epoch, until the operations are used up or something differs.
//!
//! Must never end on a difference without printing how to see it again.

use super::epoch::Failure;
use super::generate;
use super::judge::Judge;
use super::rules::{Allowance, Rules};
use super::shrink;
use super::step::Step;
use super::target::{Running, Target};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Steps of an epoch.
const EPOCH: usize = 4000;

/// Epochs after which a server of our own is replaced by a new one.
const RESTART: u64 = 8;

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Against what.
    pub target: Target,
    /// What the server is allowed.
    pub rules: Rules,
    /// Where the steps come from.
    pub seed: u64,
    /// Operations to run.
    pub operations: usize,
    /// Only this epoch.
    pub epoch: Option<u64>,
    /// Only these steps of it.
    pub keep: Option<Vec<usize>>,
    /// Longest time for making a failure small.
    pub shrink: Duration,
    /// Say something after every epoch.
    pub verbose: bool,
}

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

impl Plan {
    /// The steps of an epoch, by their number in it.
    fn steps(&self, epoch: u64, left: usize) -> Vec<Step> {
        let all = generate::steps(self.seed, epoch, EPOCH);
        match &self.keep {
            Some(keep) => keep.iter().filter_map(|at| all.get(*at).cloned()).collect(),
            None => all.into_iter().take(left.max(1)).collect(),
        }
    }
}

/// Runs the steps of one epoch.
pub(super) async fn one(running: &mut Running, rules: &Rules, steps: &[Step]) -> (Option<Judge>, Result<(), Failure>) {
    match running.epoch(rules.clone()).await {
        Ok(mut epoch) => {
            let done = epoch.run(steps).await;
            (Some(epoch.judge), done)
        }
        Err(text) => (None, Err(Failure { step: 0, text })),
    }
}
