//! Tables for the deadlines of leases.

use super::table::{Leases, Renewal, Revoke};
use crate::wiring::leases::{RoleChanged, StoredLease};
use storage::apply::LeaseChange;

const ELECTION: u64 = 1_000;

fn leader(stored: impl IntoIterator<Item = (i64, i64, i64)>) -> Leases {
    let stored = stored.into_iter().map(|(id, ttl, remaining)| StoredLease { id, ttl, remaining });
    let mut leases = Leases::new(stored, ELECTION, 0);
    leases.role(RoleChanged { leading: true, term: 2, leader: 1 });
    leases
}

/// Lets time pass in ticks and returns what was proposed, with the time.
fn run(leases: &mut Leases, from: u64, to: u64) -> Vec<(u64, i64)> {
    let mut out = Vec::new();
    for now in (from..=to).step_by(250) {
        leases.tick(now);
        out.extend(leases.take_revokes().into_iter().map(|r| (now, r.id)));
    }
    out
}

#[test]
fn a_new_leader_gives_everybody_the_full_ttl_and_an_election_timeout() {
    let mut leases = leader([(1, 5, 0), (2, 5, 3)]);
    let ended = run(&mut leases, 0, 8_000);
    assert_eq!(ended.iter().map(|e| e.1).take(2).collect::<Vec<_>>(), [2, 1]);
    assert!((4_000..=4_500).contains(&ended[0].0) && (6_000..=6_500).contains(&ended[1].0), "{ended:?}");
}

#[test]
fn a_grant_ends_after_its_ttl_and_a_renewal_starts_it_anew() {
    let mut leases = leader([]);
    leases.change(LeaseChange::Granted { id: 7, ttl: 3 });
    assert_eq!(leases.time_to_live(7), Some((3, 3)));
    assert!(run(&mut leases, 0, 2_000).is_empty());
    assert_eq!(leases.time_to_live(7), Some((3, 1)));
    assert_eq!(leases.renew(7), Renewal::Renewed { ttl: 3 });
    let ended = run(&mut leases, 2_250, 6_000);
    assert!(matches!(ended[..], [(5_000..=5_500, 7)]), "{ended:?}");
    assert_eq!((leases.renew(7), leases.time_to_live(7)), (Renewal::Ended, Some((3, 0))));
    leases.change(LeaseChange::Revoked { id: 7 });
    assert_eq!((leases.renew(7), leases.time_to_live(7)), (Renewal::Unknown, None));
}

#[test]
fn only_the_leader_renews_and_ends_leases() {
    let mut leases = leader([(1, 2, 0)]);
    leases.role(RoleChanged { leading: false, term: 3, leader: 2 });
    assert!(run(&mut leases, 0, 60_000).is_empty());
    assert_eq!((leases.renew(1), leases.time_to_live(1)), (Renewal::NotLeader, Some((2, 2))));
    leases.role(RoleChanged { leading: true, term: 4, leader: 1 });
    let now = 60_000;
    assert!(run(&mut leases, now, now + 2_900).is_empty());
    leases.tick(now + 3_500);
    assert_eq!(leases.take_revokes(), [Revoke { id: 1, term: 4 }]);
}

#[test]
fn a_checkpoint_is_cleared_before_a_renewal() {
    let mut leases = leader([(1, 100, 10)]);
    assert_eq!(leases.time_to_live(1), Some((100, 11)));
    assert_eq!(leases.renew(1), Renewal::Checkpointed);
    leases.change(LeaseChange::Checkpoint { id: 1, remaining_ttl: 0 });
    assert_eq!(leases.renew(1), Renewal::Renewed { ttl: 100 });
    assert_eq!(leases.time_to_live(1), Some((100, 100)));
}

#[test]
fn a_paused_process_gives_the_pause_back() {
    let mut leases = leader([]);
    leases.change(LeaseChange::Granted { id: 1, ttl: 10 });
    run(&mut leases, 0, 5_000);
    assert!(run(&mut leases, 65_000, 69_750).is_empty(), "five seconds are left after the pause");
    assert_eq!(run(&mut leases, 70_000, 70_500).len(), 1);
}

#[test]
fn a_clock_that_stands_or_runs_back_ends_nothing() {
    let mut leases = leader([]);
    leases.tick(10_000);
    leases.change(LeaseChange::Granted { id: 1, ttl: 2 });
    for now in [9_000, 0, 10_000, 11_900] {
        leases.tick(now);
        assert!(leases.take_revokes().is_empty());
    }
}

#[test]
fn sixteen_are_in_flight_and_one_that_failed_is_tried_again_later() {
    let mut leases = leader([]);
    (0..100).for_each(|id| leases.change(LeaseChange::Granted { id, ttl: 1 }));
    let out = run(&mut leases, 0, 1_500);
    assert_eq!(out.len(), 16);
    leases.revoke_failed(out[0].1);
    leases.change(LeaseChange::Revoked { id: out[1].1 });
    let more = leases.take_revokes();
    assert_eq!(more.len(), 2, "two places are free");
    let again = run(&mut leases, 1_750, 3_750);
    assert!(again.is_empty(), "nothing is answered: {again:?}");
    let next = run(&mut leases, 4_000, 4_000);
    assert!(next.is_empty(), "what is not answered stands in the log and is not proposed twice: {next:?}");
    let out = out[2..].iter().map(|(_, id)| *id).chain(more.iter().map(|r| r.id));
    out.for_each(|id| leases.change(LeaseChange::Revoked { id }));
    for now in (4_250..60_000).step_by(250) {
        leases.tick(now);
        for revoke in leases.take_revokes() {
            leases.change(LeaseChange::Revoked { id: revoke.id });
        }
    }
    assert!(leases.is_empty());
}

#[test]
fn a_pile_up_is_spread_and_ends_in_order() {
    let mut leases = leader((0..3_000).map(|id| (id, 5, 0)));
    let mut now = 0;
    let mut per_second = vec![0; 20];
    while now < 12_000 {
        leases.tick(now);
        loop {
            let out = leases.take_revokes();
            for revoke in &out {
                per_second[(now / 1_000) as usize] += 1;
                leases.change(LeaseChange::Revoked { id: revoke.id });
            }
            if out.is_empty() {
                break;
            }
        }
        now += 100;
    }
    assert!(leases.is_empty(), "all end by the bound");
    assert!(per_second.iter().all(|n| *n <= 750 + 500), "{per_second:?}");
    assert_eq!(per_second[..6].iter().sum::<i32>(), 0);
}

#[test]
fn the_list_is_ordered_by_expiry() {
    let mut leases = leader([]);
    for (id, ttl) in [(1, 30), (2, 10), (3, 20)] {
        leases.change(LeaseChange::Granted { id, ttl });
    }
    assert_eq!(leases.list(), [2, 3, 1]);
    leases.renew(2);
    leases.tick(1_000);
    leases.renew(3);
    assert_eq!(leases.list(), [2, 3, 1]);
}

/// Resident bytes of this process; zero where the system does not tell.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok()).map_or(0, |pages| pages * 4096)
}

#[test]
fn a_million_leases_cost_little_and_a_tick_costs_what_ended() {
    let memory = resident();
    let before = std::time::Instant::now();
    let mut leases = leader([]);
    (0..1_000_000).for_each(|id| leases.change(LeaseChange::Granted { id, ttl: 60 + id % 1_000 }));
    let granted = before.elapsed();
    let each = resident().saturating_sub(memory) / 1_000_000;
    let before = std::time::Instant::now();
    (1..=100).for_each(|n| leases.tick(n * 500));
    let ticked = before.elapsed() / 100;
    let before = std::time::Instant::now();
    (0..100_000).for_each(|id| assert!(matches!(leases.renew(id), Renewal::Renewed { .. })));
    let renewed = before.elapsed() / 100_000;
    // other tests run beside, so the figure is only printed
    println!("{each} bytes per lease, grant {:?} each, idle tick {ticked:?}, renewal {renewed:?}", granted / 1_000_000);
    assert!(ticked.as_millis() < 5, "a tick without an end looks at nothing");
}
