//! What is to be run, and the run of one epoch of it. Must never judge an answer.

use super::begin::begin;
use super::epoch::Failure;
use super::generate;
use super::judge::Judge;
use super::rules::Rules;
use super::step::Step;
use super::target::{Running, Target};
use std::time::Duration;

/// Steps of an epoch.
const EPOCH: usize = 4000;

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

impl Plan {
    /// The steps of an epoch, by their number in it.
    pub(super) fn steps(&self, epoch: u64, left: usize) -> Vec<Step> {
        let all = generate::steps(self.seed, epoch, EPOCH);
        match &self.keep {
            Some(keep) => keep.iter().filter_map(|at| all.get(*at).cloned()).collect(),
            None => all.into_iter().take(left.max(1)).collect(),
        }
    }
}

/// Runs the steps of one epoch.
pub(super) async fn one(running: &mut Running, rules: &Rules, steps: &[Step]) -> (Option<Judge>, Result<(), Failure>) {
    match begin(running, rules.clone()).await {
        Ok(mut epoch) => {
            let done = epoch.run(running, steps).await;
            (Some(epoch.judge), done)
        }
        Err(text) => (None, Err(Failure { step: 0, text })),
    }
}
