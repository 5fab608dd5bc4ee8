//! What other members ask of the leader for their clients: answered as a whole, after a round of read index where one is needed.
//!
//! A lease that has to wait for something (its end, the clearing of its checkpoint) delays nobody else of the same call: the other
//! member asks again. Must never answer a renewal that another leader might not know of.

use super::service::LeaseService;
use super::table::Renewal;
use super::waiting::PeerAsk;
use crate::calls::kinds::{ASK_AGAIN, Renewals, TimesLeft};
use crate::wiring::leases::LeaseCall;

fn ids_of(call: &LeaseCall) -> &[i64] {
    match call {
        LeaseCall::Renew(asked) => &asked.ask.ids,
        LeaseCall::Times(asked) => &asked.ask.ids,
    }
}

fn patience_of(call: &LeaseCall) -> u64 {
    let patience = match call {
        LeaseCall::Renew(asked) => asked.patience,
        LeaseCall::Times(asked) => asked.patience,
    };
    patience.as_millis() as u64
}

impl LeaseService {
    /// A question of another member.
    pub fn peer_call(&mut self, call: LeaseCall, now: u64) {
        self.leases.tick(now);
        self.answer_peer_or_wait(call, now, false);
        self.finish(now);
    }

    fn answer_peer_or_wait(&mut self, call: LeaseCall, now: u64, confirmed: bool) {
        let ids = ids_of(&call);
        // a grant may be on its way from the applier: a round comes after it
        let unknown = ids.iter().any(|id| !self.leases.exists(*id));
        let wants_round = !confirmed && (unknown || !self.is_confirmed(now));
        if self.leases.leading().is_some() && wants_round {
            // a round that is out began before this question
            let round = self.confirmation.round() + 1;
            let until = now + patience_of(&call);
            self.peers.push(PeerAsk { call, until, round });
            return;
        }
        match call {
            LeaseCall::Renew(asked) => {
                let ttls = self.renew_all(&asked.ask.ids);
                asked.answer(&Renewals { ttls });
            }
            LeaseCall::Times(asked) => {
                let times = self.times_of(&asked.ask.ids);
                asked.answer(&times);
            }
        }
    }

    fn renew_all(&mut self, ids: &[i64]) -> Vec<i64> {
        let mut checkpointed = Vec::new();
        let ttls = ids.iter().map(|id| match self.leases.renew(*id) {
            Renewal::Renewed { ttl } => ttl,
            Renewal::Unknown => 0,
            Renewal::Checkpointed => {
                checkpointed.push(*id);
                ASK_AGAIN
            }
            Renewal::Ended | Renewal::NotLeader => ASK_AGAIN,
        });
        let ttls = ttls.collect();
        self.clear_checkpoints(checkpointed);
        ttls
    }

    fn times_of(&self, ids: &[i64]) -> TimesLeft {
        let leads = self.leases.leading().is_some();
        let times = ids.iter().map(|id| match self.leases.time_to_live(*id) {
            _ if !leads => (ASK_AGAIN, 0),
            Some(times) => times,
            None => (0, 0),
        });
        let (granted, left) = times.unzip();
        TimesLeft { granted, left }
    }

    /// Looks at all of them again: the role changed.
    pub(super) fn retry_peers(&mut self, now: u64) {
        for ask in std::mem::take(&mut self.peers) {
            self.answer_peer_or_wait(ask.call, now, false);
        }
    }

    /// A round ended.
    pub(super) fn end_peers_round(&mut self, round: u64, granted: bool, now: u64) {
        for ask in std::mem::take(&mut self.peers) {
            if ask.round > round {
                self.peers.push(ask);
            } else if granted {
                self.answer_peer_or_wait(ask.call, now, true);
            }
            // without a grant the question is dropped, and answered with "could not": the other member asks again
        }
    }

    /// Drops those that nobody waits for any more.
    pub(super) fn time_out_peers(&mut self, now: u64) {
        self.peers.retain(|ask| now < ask.until);
    }
}
