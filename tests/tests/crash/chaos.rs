//! A short run of `make chaos`: two rounds of faults with a judged history, in namespaces of its own where the machine has them.

use harness::daemon::binary;
use std::process::Command;

#[test]
fn a_cluster_survives_random_faults_with_a_right_history() {
    let mut run = Command::new(env!("CARGO_BIN_EXE_chaos"));
    run.args(["--rounds", "4", "--seconds", "60", "--seed", "20261201"]).env("CONCLAVE_BIN", binary());
    let output = run.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("operations judged"), "{said}");
}
