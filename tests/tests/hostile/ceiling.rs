//! The memory ceiling at a small scale, each scenario against a fresh daemon; `make ceiling` runs them at full size.
//!
//! Must never assert how long something takes: only that it ends right or is refused with etcd's error, and what it costs.

use harness::ceiling::{Kind, Outcome, Scale, Scenario};

/// What the whole process may hold: budgets and an idle process (docs/architecture.md, "Memory"), less that of answers that are
/// collected first, which nobody asks for here.
const CEILING: u64 = 576 << 20;
/// What it may hold in these small scenarios, few of which come near any budget.
const MOST: u64 = 400 << 20;

async fn run(scenario: Scenario) -> Outcome {
    // the kernel ends a process that goes beyond the documented ceiling, where this test may say so
    let done = scenario.run(&Kind::Conclave, Scale::Small, Some(CEILING)).await;
    println!("{done:?}");
    assert!(done.wrong.is_empty(), "{done:?}");
    assert!(done.right > 0, "{done:?}");
    assert!(done.peak < MOST, "{} MiB: {done:?}", done.peak >> 20);
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_list_everything_at_once() {
    let done = run(Scenario::Lists).await;
    assert_eq!(done.refused, 0, "a list is not refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_request_deletes_everything_under_watchers() {
    let done = run(Scenario::Delete).await;
    assert_eq!(done.refused, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_watchers_start_from_the_first_revision() {
    let done = run(Scenario::Watchers).await;
    assert_eq!(done.refused, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_never_read_cost_little_and_hold_up_nobody() {
    let done = run(Scenario::NeverReads).await;
    assert_eq!(done.refused, 0, "others are served");
    assert!(done.held < done.before + (160 << 20), "{} MiB are held", (done.held - done.before) >> 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_large_puts_wait_for_each_other() {
    let done = run(Scenario::LargePuts).await;
    assert_eq!(done.refused, 0, "they wait in their windows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_and_streams_cost_little() {
    let done = run(Scenario::Idle).await;
    // 200 connections, 1,000 streams
    assert!(done.held < done.before + (64 << 20), "{} MiB are held", (done.held - done.before) >> 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_of_big_ranges_are_read_while_they_are_sent() {
    let done = run(Scenario::ReadTxns).await;
    assert_eq!(done.refused, 0);
}

/// Budgets follow the cgroup: full lists that nobody reads and large writes cost refusals at most, never the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_in_a_small_cgroup_is_never_killed() {
    for limit in [128 << 20, 256 << 20] {
        let done = Scenario::Cramped.run(&Kind::Conclave, Scale::Small, Some(limit)).await;
        println!("{} MiB: {done:?}", limit >> 20);
        assert!(done.wrong.is_empty(), "{done:?}");
        assert!(done.right > 0, "{done:?}");
        // where no cgroup can be made, the machine's memory is the limit
        assert!(!done.limited || done.peak < limit, "{done:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_snapshots_are_taken_or_refused() {
    run(Scenario::Snapshots).await;
}
