//! The fuzz targets without a fuzzer: every kept input, and seeded mutations of them.
//!
//! `FUZZ_SEED` replays a run, `FUZZ_ROUNDS` multiplies its length. `CORPUS=write` adds the seeds of the targets to the corpus.

use harness::fuzz::mutate::{Random, mutate};
use harness::fuzz::{Target, close, corpus, corpus_dir, target};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// A fixed seed would try the same inputs for ever.
fn seed() -> u64 {
    number("FUZZ_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |since| since.as_nanos() as u64)
    })
}

/// Fails with the input kept in a file.
fn run(target: &Target, what: &str, input: &[u8]) {
    let failed = catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err();
    if failed {
        let path = std::env::temp_dir().join(format!("conclave-fuzz-{}-{}", target.name, std::process::id()));
        std::fs::write(&path, input).expect("keep the input");
        panic!("{} fails on {what}; the input is kept in {}", target.name, path.display());
    }
}

fn kept_and_mutated(name: &str, rounds: u64) {
    let target = target(name);
    if std::env::var("CORPUS").is_ok_and(|what| what == "write") {
        std::fs::create_dir_all(corpus_dir(name)).expect("a folder for the corpus");
        for (number, input) in (target.seeds)().iter().enumerate() {
            std::fs::write(corpus_dir(name).join(format!("seed-{number:02}")), input).expect("write a seed");
        }
    }
    let kept = corpus(name);
    assert!(!kept.is_empty(), "no corpus for {name}");
    for (file, input) in &kept {
        run(&target, file, input);
    }
    let (seed, rounds) = (seed(), rounds * number("FUZZ_ROUNDS").unwrap_or(1));
    println!("{name}: {} kept inputs, {rounds} mutations; replay with FUZZ_SEED={seed}", kept.len());
    let mut random = Random::new(seed);
    for round in 0..rounds {
        let mut input = kept[random.below(kept.len())].1.clone();
        let other = &kept[random.below(kept.len())].1;
        mutate(&mut random, &mut input, other);
        run(&target, &format!("round {round} of FUZZ_SEED={seed}"), &input);
    }
}

#[test]
fn wal_files() {
    kept_and_mutated("wal", 1_500);
}

#[test]
fn log_entries() {
    kept_and_mutated("entry", 200_000);
}

#[test]
fn peer_frames() {
    kept_and_mutated("peer", 100_000);
}

#[test]
fn requests() {
    kept_and_mutated("request", 20_000);
}

#[test]
fn raw_connections() {
    kept_and_mutated("door", 1_000);
    close();
}

#[test]
fn flags_and_files() {
    kept_and_mutated("flags", 3_000);
}

#[test]
fn json_of_clients() {
    kept_and_mutated("json", 100_000);
}

#[test]
fn snapshot_streams() {
    kept_and_mutated("snapshot", 8_000);
}

#[test]
fn databases_of_etcd() {
    kept_and_mutated("etcd", 1_500);
}

#[test]
fn signed_tokens_and_keys() {
    kept_and_mutated("jwt", 5_000);
}

#[test]
fn rows_of_users_and_roles() {
    kept_and_mutated("users", 50_000);
}

#[test]
fn discovery_services() {
    kept_and_mutated("registry", 20_000);
}

#[test]
fn answers_of_name_servers() {
    kept_and_mutated("srv", 100_000);
}

#[test]
fn every_seed_of_every_target_is_kept() {
    for target in harness::fuzz::TARGETS {
        let kept = corpus(target.name);
        for (number, input) in (target.seeds)().iter().enumerate() {
            let missing = "run once with CORPUS=write";
            assert!(kept.iter().any(|(_, bytes)| bytes == input), "{} seed {number}: {missing}", target.name);
        }
    }
}
