//! Requests that ran together: their order is found from the revisions in their answers.
//!
//! Each revision was written by one request. A read is as of the revision in its header, exactly. A refusal carries no revision:
//! one of the states the group went through must explain it. Must never accept an answer that is older than the group.

use super::judge::Judge;
use crate::spec::{Answer, Op, Refusal, Spec};
use std::collections::BTreeMap;
use std::time::Instant;

/// A request of a group, its step, and what the server said.
pub(super) struct Asked {
    pub(super) step: usize,
    pub(super) op: Op,
    pub(super) got: Result<Answer, Refusal>,
}

/// Takes the specification through a group.
///
/// # Errors
/// The first step that cannot be explained, and why.
pub(super) fn replay(spec: &mut Spec, judge: &mut Judge, group: Vec<Asked>) -> Result<(), (usize, String)> {
    let start = spec.history.revision;
    let mut by_revision: BTreeMap<i64, Vec<Asked>> = BTreeMap::new();
    let mut refused = Vec::new();
    for mut asked in group {
        match &mut asked.got {
            Ok(answer) => {
                let Some(header) = answer.header() else { return Err((asked.step, "no header".into())) };
                by_revision.entry(header.revision).or_default().push(asked);
            }
            Err(_) => refused.push(asked),
        }
    }
    refused.retain(|asked| !explains(spec, judge, asked));
    for (revision, mut list) in by_revision {
        // who wrote the revision comes first, the others saw it written
        list.sort_by_key(|asked| !asked.got.as_ref().is_ok_and(Answer::has_written));
        for asked in list {
            let writes = asked.got.as_ref().is_ok_and(Answer::has_written);
            let at = spec.history.revision + i64::from(writes);
            if revision != at {
                let text = format!(
                    "answered at revision {revision}, but it must be {at} (the group began at {start}): {:?}",
                    asked.got
                );
                return Err((asked.step, text));
            }
            judge_one(spec, judge, &asked).map_err(|why| (asked.step, why))?;
            if writes {
                refused.retain(|asked| !explains(spec, judge, asked));
            }
        }
    }
    match refused.first() {
        None => Ok(()),
        Some(asked) => {
            let text = match spec.clone().execute(&asked.op, 0, Instant::now()) {
                Ok(answer) => format!("expected {answer:?}\n     got {:?}", asked.got),
                Err(refusal) => format!("expected the refusal {refusal}\n     got {:?}", asked.got),
            };
            Err((asked.step, text))
        }
    }
}

fn explains(spec: &Spec, judge: &mut Judge, asked: &Asked) -> bool {
    let Some(refusal) = spec.refusal(&asked.op).filter(|refusal| asked.got.as_ref().err() == Some(refusal)) else {
        return false;
    };
    judge.count(asked.op.name(), &refusal.text);
    true
}

fn judge_one(spec: &mut Spec, judge: &mut Judge, asked: &Asked) -> Result<(), String> {
    let wanted = spec.execute(&asked.op, 0, Instant::now());
    // only reads are compared with the state they met, and those do not change it
    judge.compare(spec, &asked.op, wanted, &asked.got)
}
