//! `make ceiling`: the scenarios of the memory ceiling at full size, ours and, with `ETCD_BIN`, an etcd's in the same run.
//!
//! Arguments are names of scenarios; none means all. `CEILING_SCALE=small` runs them as the tests do.

use harness::ceiling::{Kind, Scale, Scenario};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let small = std::env::var("CEILING_SCALE").is_ok_and(|scale| scale == "small");
    let scale = if small { Scale::Small } else { Scale::Full };
    let limit = std::env::var("CEILING_LIMIT_MIB").ok().and_then(|mib| mib.parse::<u64>().ok()).map(|mib| mib << 20);
    let mut kinds = Vec::new();
    if std::env::var("CEILING_ONLY").map_or(true, |only| only == "conclave") {
        kinds.push(Kind::Conclave);
    }
    if let Some(path) = std::env::var_os("ETCD_BIN") {
        kinds.push(Kind::Etcd(path.into()));
    }
    println!("scenario      server    before   peak   held (MiB)   right  refused  wrong   seconds   cpu");
    let mut failed = false;
    for scenario in Scenario::ALL.into_iter().filter(|s| names.is_empty() || names.iter().any(|n| n == s.name())) {
        for kind in &kinds {
            let ours = *kind == Kind::Conclave;
            let done = scenario.run(kind, scale, limit.filter(|_| ours)).await;
            let mib = |bytes: u64| bytes >> 20;
            println!(
                "{:12}  {:8}  {:6}  {:5}  {:5}  {:12}  {:7}  {:5}  {:8.1}  {:5.1}{}",
                done.name,
                if ours { "conclave" } else { "etcd" },
                mib(done.before),
                mib(done.peak),
                mib(done.held),
                done.right,
                done.refused,
                done.wrong.values().sum::<u64>(),
                done.seconds,
                done.cpu,
                if done.limited { "  in a cgroup" } else { "" },
            );
            for (what, count) in &done.wrong {
                println!("    {count} x {what}");
            }
            failed |= ours && !done.wrong.is_empty();
        }
    }
    std::process::exit(i32::from(failed));
}
