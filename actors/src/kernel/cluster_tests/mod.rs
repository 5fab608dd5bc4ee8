//! Three members in one process, all owners with their threads: a follower that was cut off comes back by a snapshot, and a member that
//! joins begins with one.
//!
//! Must never depend on how long anything takes: everything is waited for.

mod member;
mod network;

use member::{Machine, Member};
use model::Command;
use model::request::LeaseGrantRequest;
use network::Network;
use raft::{ConfState, LogId};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use storage::apply::{Bootstrap, MemberIds, MemberRow};
use storage::member::pointer::FIRST_STORE;

const CLUSTER: u64 = 7;
const LEARNER: u64 = 4;
const PATIENCE: Duration = Duration::from_secs(120);

fn founder(id: u64) -> Bootstrap {
    let row = |id: u64| (id, MemberRow { peer_urls: vec![format!("http://m{id}:1")], ..Default::default() });
    Bootstrap {
        identity: MemberIds { cluster_id: CLUSTER, member_id: id },
        applied: LogId { term: 1, index: 4 },
        conf_state: ConfState { voters: vec![1, 2, 3], learners: vec![LEARNER], ..ConfState::default() },
        members: (1..=4).map(row).collect(),
    }
}

fn start(network: &Network) -> Vec<Member> {
    let members: Vec<Member> = (1..=3).map(|id| Member::start(&founder(id), &Machine::default(), network)).collect();
    wait_for(&members, "a leader", || leader_of(&members).is_some());
    members
}

/// Waits until something is so.
fn wait_for(members: &[Member], what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        let states = || members.iter().map(Member::state).collect::<Vec<_>>();
        assert!(Instant::now() < end, "in vain: {what}; {:?}", states());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whom a majority follows.
fn leader_of(members: &[Member]) -> Option<u64> {
    let leaders = members.iter().map(Member::leader);
    (1..=3).find(|id| leaders.clone().filter(|leader| leader == id).count() >= 2)
}

fn find(members: &[Member], id: u64) -> &Member {
    members.iter().find(|member| member.id == id).expect("a member of the test")
}

/// Puts values through whoever leads, until there are so many more.
fn put(members: &[Member], next: &mut u64, count: usize, value: usize) {
    let mut done = 0;
    while done < count {
        *next += 1;
        let Some(leader) = leader_of(members) else {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        done += usize::from(find(members, leader).put(*next, value));
    }
}

fn names(member: &Member) -> Vec<String> {
    member.machine.stores.names()
}

fn stop(members: Vec<Member>) {
    members.into_iter().for_each(|member| member.kernel.stop());
}

/// Every revision from `from` on, each once, in order.
fn assert_gapless(events: &[i64], from: i64, to: i64) {
    assert_eq!(events, (from..=to).collect::<Vec<_>>());
}

#[test]
fn a_follower_that_the_log_does_not_reach_comes_back_by_a_snapshot_and_its_watchers_miss_nothing() {
    actix::System::new().block_on(async {
        let network = Network::default();
        let mut members = start(&network);
        let mut next = 0;
        put(&members, &mut next, 20, 100);
        let leader = leader_of(&members).expect("waited for");
        let behind = (1..=3).find(|id| *id != leader).expect("one of three");
        wait_for(&members, "all are level", || find(&members, behind).revision() == find(&members, leader).revision());

        let follower = find(&members, behind);
        let base = follower.revision();
        follower.watch(1, base + 1);
        follower.watch(2, base + 150);
        put(&members, &mut next, 5, 100);
        wait_for(&members, "the watcher is at the head", || find(&members, behind).events(1).len() >= 5);
        let granted = Command::LeaseGrant(LeaseGrantRequest { id: 77, ttl: 3_600 });
        network.cut(behind, true);
        let rest: Vec<&Member> = members.iter().filter(|member| member.id != behind).collect();
        wait_for(&members, "the others go on", || rest.iter().any(|member| member.leader() == member.id));
        let leads = rest.iter().find(|member| member.leader() == member.id).expect("waited for");
        assert!(leads.execute(900_001, granted));
        put(&members, &mut next, 300, 400);

        // reads of the member that was cut off go on meanwhile, and never go back
        let reads = find(&members, behind).kernel.ports().reads.clone();
        let ends = Arc::<AtomicBool>::default();
        let ended = ends.clone();
        let reader = std::thread::spawn(move || {
            let mut last = 0;
            while !ended.load(Relaxed) {
                let revision = reads.status().revision;
                assert!(revision >= last, "{revision} after {last}");
                last = revision;
            }
            last
        });
        network.break_next.store(true, Relaxed);
        network.cut(behind, false);
        wait_for(&members, "it is brought up to date", || names(find(&members, behind)) != [FIRST_STORE]);
        put(&members, &mut next, 30, 100);
        let level = || members.iter().all(|member| member.revision() == members[0].revision());
        wait_for(&members, "all are level again", level);
        let revision = members[0].revision();
        ends.store(true, Relaxed);
        assert!(reader.join().expect("revisions never went back") <= revision);

        assert!(network.resumed_at.load(Relaxed) > 0, "the transfer that broke was resumed");
        let follower = find(&members, behind);
        wait_for(&members, "the first watcher has everything", || follower.events(1).len() as i64 >= revision - base);
        assert_gapless(&follower.events(1), base + 1, revision);
        wait_for(&members, "the second one too", || follower.events(2).len() as i64 > revision - base - 150);
        assert_gapless(&follower.events(2), base + 150, revision);
        wait_for(&members, "the old store is removed", || {
            !names(find(&members, behind)).contains(&FIRST_STORE.to_owned())
        });

        // and a restart finds the new store, whatever the crash leaves
        let at = members.iter().position(|member| member.id == behind).expect("a member");
        let applied = members[at].applied();
        let machine = members.remove(at).crash(9);
        let again = Member::start(&founder(behind), &machine, &network);
        assert!(again.applied() > 300 && again.applied() <= applied + 1);
        assert_eq!(again.kernel.ports().identity.member_id, behind);
        members.push(again);
        put(&members, &mut next, 5, 10);
        wait_for(&members, "it takes part again", || members.iter().all(|m| m.revision() == members[0].revision()));
        stop(members);
    });
}

#[test]
fn a_member_that_joins_begins_with_a_snapshot() {
    actix::System::new().block_on(async {
        let network = Network::default();
        let mut members = start(&network);
        let mut next = 0;
        put(&members, &mut next, 40, 200);
        // as `storage::member::joiner` makes it
        let nothing = Bootstrap { applied: LogId::default(), conf_state: ConfState::default(), ..founder(LEARNER) };
        let joined = Member::start(&nothing, &Machine::default(), &network);
        joined.watch(1, 2);
        members.push(joined);
        let revision = members[0].revision();
        wait_for(&members, "it has everything", || find(&members, LEARNER).revision() >= revision);
        put(&members, &mut next, 10, 200);
        wait_for(&members, "all are level", || members.iter().all(|m| m.revision() == members[0].revision()));
        let revision = members[0].revision();
        let joined = find(&members, LEARNER);
        wait_for(&members, "its watcher has everything", || joined.events(1).len() as i64 >= revision - 1);
        assert_gapless(&joined.events(1), 2, revision);
        assert!(network.delivered.load(Relaxed) >= 1);
        assert!(joined.kernel.ports().gauges.learner.load(Relaxed));
        let known = joined.kernel.ports().reads.members().unwrap();
        assert_eq!(known.iter().map(|member| member.id).collect::<Vec<_>>(), [1, 2, 3, 4]);
        stop(members);
    });
}
