//! Calls that took too long: deadlines, request messages that do not arrive.

use super::calls::{Entry, LoopCtx, Responder, State};
use super::respond::{answer, cancel_waiting};
use super::status::{Code, Status};
use super::stream;
use super::token::CallToken;
use h2::Reason;
use tokio::time::Instant;

/// Ends a call whose deadline passed, whatever it is doing.
pub(super) fn expire(ctx: &LoopCtx, token: CallToken, status: &Status) {
    let mut table = ctx.table.borrow_mut();
    match table.get(token).map(|e| &e.state) {
        Some(State::Waiting { .. }) => {
            drop(table);
            cancel_waiting(ctx, token, Some(status.clone()));
        }
        Some(State::Streaming(_)) => {
            drop(table);
            stream::abort(ctx, token, status);
        }
        Some(State::Reading(_) | State::Sending(_)) => {
            let entry = table.remove(token);
            drop(table);
            match entry {
                Some(Entry { open, state: State::Reading(r), .. }) => {
                    answer(ctx, open, Responder::H2(r.respond), status.clone().into());
                }
                Some(Entry { mut open, state: State::Sending(mut s), .. }) => {
                    open.code = status.code;
                    s.tx.send_reset(Reason::CANCEL);
                }
                _ => {}
            }
        }
        Some(State::Taken) | None => {}
    }
}

/// Ends reads that make no progress, those that wait in vain for a permit, and while others wait those that are slow.
pub(super) fn sweep_reads(ctx: &LoopCtx, now: Instant) {
    let limits = &ctx.limits;
    let crowded = !ctx.unassembled.borrow().is_empty();
    let mut stuck = Vec::new();
    let mut in_vain = Vec::new();
    let select = |e: &Entry| match &e.state {
        State::Reading(r) => match (&r.waits, &r.permit) {
            (Some(since), _) => now - *since > limits.assembly_wait,
            (None, Some(permit)) if crowded && now - permit.since > limits.body_idle => true,
            _ => now - r.last_progress > limits.body_idle,
        },
        _ => false,
    };
    let due = ctx.table.borrow().tokens(select);
    for token in due {
        let waits =
            matches!(ctx.table.borrow().get(token).map(|e| &e.state), Some(State::Reading(r)) if r.waits.is_some());
        if waits { in_vain.push(token) } else { stuck.push(token) }
    }
    for token in in_vain {
        expire(ctx, token, &limits.busy);
    }
    for token in stuck {
        let status = Status::new(Code::DeadlineExceeded, "the request message did not arrive in time");
        expire(ctx, token, &status);
    }
}
