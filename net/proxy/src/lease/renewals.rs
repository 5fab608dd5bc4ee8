//! Which renewals of leases need a call, who waits for it, and which are answered from the last one. Pure: time is given.
//!
//! Renewals of one lease that come while a call is under way share it, and so do those that come soon after: they are told what is
//! left of the time that the member gave. Must never tell more than that.

use api::etcdserverpb::LeaseKeepAliveResponse;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Longest that an answer is used again.
const LONGEST: Duration = Duration::from_secs(2);
/// Share of the time to live for which an answer is used again. Clients renew after a third.
const SHARE: u32 = 6;
/// Leases that are looked through when it is time to forget some.
const SWEEP: usize = 1024;

struct Lease<W> {
    last: Option<(Instant, LeaseKeepAliveResponse)>,
    waiting: Vec<W>,
    is_asked: bool,
}

/// Leases, and who waits for them.
pub(super) struct Renewals<W> {
    leases: HashMap<i64, Lease<W>>,
    since_sweep: usize,
}

/// What becomes of a renewal.
pub(super) enum RenewalStep<W> {
    /// Answered, with whoever asked.
    Answer(W, LeaseKeepAliveResponse),
    /// A call is to be made.
    Ask,
    /// A call is under way.
    Wait,
}

impl<W> Renewals<W> {
    pub(super) fn new() -> Self {
        Self { leases: HashMap::new(), since_sweep: 0 }
    }

    /// Somebody renews a lease.
    pub(super) fn renew(&mut self, id: i64, who: W, now: Instant) -> RenewalStep<W> {
        self.sweep(now);
        let lease = self.leases.entry(id).or_insert_with(|| Lease { last: None, waiting: Vec::new(), is_asked: false });
        if let Some(answer) = lease.last.as_ref().and_then(|(at, answer)| again(*at, answer, now)) {
            return RenewalStep::Answer(who, answer);
        }
        lease.waiting.push(who);
        if std::mem::replace(&mut lease.is_asked, true) { RenewalStep::Wait } else { RenewalStep::Ask }
    }

    /// The member answered: whoever waits for it.
    pub(super) fn answered(&mut self, answer: &LeaseKeepAliveResponse, now: Instant) -> Vec<W> {
        let Some(lease) = self.leases.get_mut(&answer.id) else { return Vec::new() };
        lease.is_asked = false;
        lease.last = (answer.ttl > 0).then_some((now, *answer));
        let waiting = std::mem::take(&mut lease.waiting);
        if answer.ttl <= 0 {
            self.leases.remove(&answer.id);
        }
        waiting
    }

    /// A lease has ended, or may have: nothing is answered from memory.
    pub(super) fn forget(&mut self, id: i64) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.last = None;
        }
    }

    /// Leases that calls are under way for.
    pub(super) fn asked(&self) -> Vec<i64> {
        self.leases.iter().filter(|(_, lease)| lease.is_asked).map(|(id, _)| *id).collect()
    }

    /// Everybody who waits: there will be no answer.
    pub(super) fn give_up(&mut self) -> Vec<W> {
        self.leases.drain().flat_map(|(_, lease)| lease.waiting).collect()
    }

    /// Forgets what would not be used again, now and then.
    fn sweep(&mut self, now: Instant) {
        self.since_sweep += 1;
        if self.since_sweep > SWEEP {
            self.since_sweep = 0;
            let is_used =
                |lease: &Lease<W>| lease.last.as_ref().is_some_and(|(at, answer)| again(*at, answer, now).is_some());
            self.leases.retain(|_, lease| lease.is_asked || is_used(lease));
        }
    }
}

/// An answer with the time that has passed taken off, while it is young enough.
fn again(at: Instant, answer: &LeaseKeepAliveResponse, now: Instant) -> Option<LeaseKeepAliveResponse> {
    let age = now.saturating_duration_since(at);
    let ttl = Duration::from_secs(u64::try_from(answer.ttl).ok()?);
    if age > (ttl / SHARE).min(LONGEST) {
        return None;
    }
    // whole seconds: what has begun counts as over
    let passed = i64::try_from(age.as_nanos().div_ceil(1_000_000_000)).ok()?;
    Some(LeaseKeepAliveResponse { ttl: (answer.ttl - passed).max(1), ..*answer })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(id: i64, ttl: i64) -> LeaseKeepAliveResponse {
        LeaseKeepAliveResponse { header: None, id, ttl }
    }

    #[test]
    fn renewals_share_a_call_and_then_its_answer_for_a_while() {
        let (mut renewals, start) = (Renewals::new(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert!(matches!(renewals.renew(1, "a", at(0)), RenewalStep::Ask));
        assert!(matches!(renewals.renew(1, "b", at(0)), RenewalStep::Wait));
        assert!(matches!(renewals.renew(2, "c", at(0)), RenewalStep::Ask));
        assert_eq!(renewals.answered(&answer(1, 6), at(10)), ["a", "b"]);
        let RenewalStep::Answer("d", again) = renewals.renew(1, "d", at(500)) else { panic!("from memory") };
        assert_eq!(again.ttl, 5, "half a second has gone");
        assert!(matches!(renewals.renew(1, "e", at(1100)), RenewalStep::Ask), "a sixth of the time is over");
        assert_eq!(renewals.give_up().len(), 2);
    }

    #[test]
    fn nothing_is_remembered_of_a_lease_that_ended_or_was_revoked() {
        let (mut renewals, now) = (Renewals::new(), Instant::now());
        renewals.renew(1, (), now);
        renewals.answered(&answer(1, 60), now);
        renewals.forget(1);
        assert!(matches!(renewals.renew(1, (), now), RenewalStep::Ask));
        assert_eq!(renewals.answered(&answer(1, 0), now).len(), 1);
        assert!(matches!(renewals.renew(1, (), now), RenewalStep::Ask));
        assert_eq!(renewals.asked(), [1]);
    }

    #[test]
    fn leases_that_nobody_renews_any_more_are_forgotten() {
        let (mut renewals, start) = (Renewals::new(), Instant::now());
        for id in 0..1000 {
            renewals.renew(id, (), start);
            renewals.answered(&answer(id, 60), start);
        }
        let later = start + Duration::from_secs(30);
        for _ in 0..100 {
            let _ = renewals.renew(5000, (), later);
        }
        assert!(renewals.leases.len() < 10, "{}", renewals.leases.len());
    }
}
