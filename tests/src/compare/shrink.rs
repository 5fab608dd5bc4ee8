//! A failure made small: steps are left out as long as it still fails, by delta debugging on fresh servers.
//!
//! Must never report a list that was not seen to fail.

use super::begin::begin;
use super::epoch::Failure;
use super::plan::{Plan, one};
use super::step::Step;
use std::fmt::Write as _;
use std::time::Instant;

/// A step and its number in the epoch.
type Numbered = (usize, Step);

/// How often the whole list is tried before a failure counts as one of timing.
const TRIES: usize = 3;

/// Makes the failure small, and says what fails and how to run it again.
pub(super) async fn report(plan: &Plan, epoch: u64, steps: Vec<Step>, failure: Failure) -> String {
    let numbers: Vec<usize> = plan.keep.clone().unwrap_or_else(|| (0..steps.len()).collect());
    let mut list: Vec<Numbered> = numbers.into_iter().zip(steps).collect();
    let number = list.get(failure.step).map_or(0, |(number, _)| *number);
    let mut text = format!("seed {}, epoch {epoch}, step {number}: {}\n", plan.seed, failure.text);
    list.truncate(failure.step + 1);
    let start = Instant::now();
    let mut found = false;
    for _ in 0..TRIES {
        if fails(plan, &list).await {
            found = true;
            break;
        }
    }
    if !found {
        let _ =
            writeln!(text, "It did not happen again in {TRIES} runs: a matter of timing. Run the epoch again with:");
        let _ = writeln!(text, "  make model SEED={} EPOCH={epoch}", plan.seed);
        return text;
    }
    list = smaller(plan, list, start).await;
    let _ = writeln!(text, "{} steps are enough, found in {:.1} s:", list.len(), start.elapsed().as_secs_f64());
    for line in transcript(plan, &list).await {
        let _ = writeln!(text, "{line}");
    }
    let keep: Vec<String> = list.iter().map(|(number, _)| number.to_string()).collect();
    let _ = writeln!(text, "again with:\n  make model SEED={} EPOCH={epoch} KEEP={}", plan.seed, keep.join(","));
    text
}

/// Leaves out chunks, from halves down to single steps.
async fn smaller(plan: &Plan, mut list: Vec<Numbered>, start: Instant) -> Vec<Numbered> {
    let mut chunk = list.len().div_ceil(2);
    while chunk > 0 {
        let before = list.len();
        // the end of the list is what fails: its beginning goes first
        let mut from = 0;
        while from < list.len() {
            if start.elapsed() > plan.shrink {
                return list;
            }
            let mut less = list.clone();
            less.drain(from..(from + chunk).min(list.len()));
            if !less.is_empty() && fails(plan, &less).await {
                list = less;
            } else {
                from += chunk;
            }
        }
        if chunk == 1 && list.len() == before {
            return list;
        }
        chunk = if chunk == 1 { 1 } else { chunk.div_ceil(2) };
    }
    list
}

async fn fails(plan: &Plan, list: &[Numbered]) -> bool {
    let steps: Vec<Step> = list.iter().map(|(_, step)| step.clone()).collect();
    let mut running = plan.target.start().await;
    let (_, done) = one(&mut running, &plan.rules, &steps).await;
    running.stop().await;
    done.is_err()
}

/// What is sent and answered in a run of the list.
async fn transcript(plan: &Plan, list: &[Numbered]) -> Vec<String> {
    let steps: Vec<Step> = list.iter().map(|(_, step)| step.clone()).collect();
    let mut running = plan.target.start().await;
    let mut lines = Vec::new();
    match begin(&mut running, plan.rules.clone()).await {
        Ok(mut epoch) => {
            epoch.transcript = Some(Vec::new());
            let done = epoch.run(&mut running, &steps).await;
            lines = epoch.transcript.take().unwrap_or_default();
            lines.push(match done {
                Ok(()) => "  (this time it went well)".into(),
                Err(failure) => format!("  {}", failure.text),
            });
        }
        Err(text) => lines.push(text),
    }
    running.stop().await;
    lines
}
