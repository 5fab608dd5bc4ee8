//! Several hundred command lines, and what must come of them.
//!
//! `golden` runs them through our tool against our daemon and compares with `expected.txt`. `UPDATE=1` writes that file anew.
//! `compare` (ignored; see docs/ctl.md) runs them through our tool and another one, each against a fresh server of its own, and prints what differs.
//! `v2` and `compare_v2` do the same with `v2.txt`, the tool of the v2 API, against servers that serve it.
//! `tls` and `compare_tls` do the same with `tls.txt`, against servers with and without certificates.

mod cases;
mod normal;
mod run;
mod server;
mod tls;

use cases::Step;
use run::{Outcome, Tool};
use server::Server;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    // Asked when it runs: a build folder shared by two clones keeps the binary of the other one.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.join("tests/golden")
}

/// Our tool under the name `etcdctl`, so that usage and version are its.
fn ours(links: &Path) -> PathBuf {
    let link = links.join("etcdctl");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_conclavectl"), &link).expect("a link to our tool");
    link
}

fn outcomes(steps: &[Step], tool: &Path, server: &Path) -> Vec<Outcome> {
    let work = tempfile::tempdir().expect("a folder");
    let server = Server::start(server, work.path(), &[]);
    let mut tool = Tool::new(tool, &server.endpoint(), work.path());
    steps.iter().filter_map(|step| tool.run(step)).collect()
}

fn text() -> String {
    std::fs::read_to_string(folder().join("cases.txt")).expect("cases.txt")
}

#[test]
fn golden() {
    let (steps, links) = (cases::read(cases::recorded(&text())), tempfile::tempdir().expect("a folder"));
    expect("expected.txt", &outcomes(&steps, &ours(links.path()), &server::daemon()));
}

#[test]
fn tls() {
    let links = tempfile::tempdir().expect("a folder");
    expect("tls_expected.txt", &tls::outcomes(&tls::steps(), &ours(links.path()), &server::daemon()));
}

/// Steps of the v2 API's tool. The first one only tells the member's id.
fn v2_steps() -> Vec<Step> {
    let text = std::fs::read_to_string(folder().join("v2.txt")).expect("v2.txt");
    let mut steps = cases::read(&text);
    for step in &mut steps {
        step.env.push(("ETCDCTL_API".into(), "2".into()));
        // an endpoint without a scheme is none there
        if std::mem::take(&mut step.endpoint) {
            step.args.insert(0, "--endpoints=http://{EP}".into());
        }
    }
    steps
}

fn v2_outcomes(tool: &Path, server: &Path) -> Vec<Outcome> {
    let work = tempfile::tempdir().expect("a folder");
    let server = Server::start_with(server, work.path(), &[], &["--enable-v2", "--bcrypt-cost=4"]);
    let mut tool = Tool::new(tool, &server.endpoint(), work.path());
    v2_steps().iter().filter_map(|step| tool.run(step)).skip(1).collect()
}

#[test]
fn v2() {
    let links = tempfile::tempdir().expect("a folder");
    expect("v2_expected.txt", &v2_outcomes(&ours(links.path()), &server::daemon()));
}

#[test]
#[ignore = "needs another tool: CTL_OTHER=/path/to/etcdctl-3.4 CTL_SERVER=/path/to/etcd-3.4 (docs/ctl.md)"]
fn compare_v2() {
    let (other, server) = given();
    let links = tempfile::tempdir().expect("a folder");
    differences(&v2_outcomes(&ours(links.path()), &server), &v2_outcomes(&other, &server));
}

/// What was found is what is written in `file`; or writes it.
fn expect(file: &str, found: &[Outcome]) {
    let file = folder().join(file);
    let shown: String = found.iter().map(Outcome::shown).collect();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, shown).expect("write what is expected");
        return;
    }
    let expected = std::fs::read_to_string(&file).expect("what is expected");
    let (mut wrong, all) = (String::new(), expected.split_inclusive("\n\n").collect::<Vec<_>>());
    for (at, outcome) in found.iter().enumerate() {
        let (is, was) = (outcome.shown(), all.get(at).copied().unwrap_or_default());
        if is != was {
            wrong.push_str(&format!("--- expected\n{was}--- found\n{is}"));
        }
    }
    assert!(wrong.is_empty() && all.len() == found.len(), "{} steps, {} expected\n{wrong}", found.len(), all.len());
}

#[test]
#[ignore = "needs another tool: CTL_OTHER=/path/to/etcdctl CTL_SERVER=/path/to/etcd (docs/ctl.md)"]
fn compare() {
    let (steps, (other, server)) = (cases::read(&text()), given());
    let links = tempfile::tempdir().expect("a folder");
    differences(&outcomes(&steps, &ours(links.path()), &server), &outcomes(&steps, &other, &server));
}

#[test]
#[ignore = "needs another tool: CTL_OTHER=/path/to/etcdctl CTL_SERVER=/path/to/etcd (docs/ctl.md)"]
fn compare_tls() {
    let (steps, (other, server)) = (tls::steps(), given());
    let links = tempfile::tempdir().expect("a folder");
    differences(&tls::outcomes(&steps, &ours(links.path()), &server), &tls::outcomes(&steps, &other, &server));
}

/// The other tool, and the server.
fn given() -> (PathBuf, PathBuf) {
    let path = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let other = path("CTL_OTHER").expect("CTL_OTHER: the other tool");
    (other, path("CTL_SERVER").unwrap_or_else(server::daemon))
}

/// Prints what differs; those without a reason are errors.
fn differences(mine: &[Outcome], theirs: &[Outcome]) {
    assert_eq!(mine.len(), theirs.len());
    let (mut known, mut unknown) = (0, 0);
    for (mine, theirs) in mine.iter().zip(theirs).filter(|(mine, theirs)| mine.shown() != theirs.shown()) {
        match &mine.reason {
            Some(reason) => {
                known += 1;
                println!("=== known difference: {reason}\n--- ours\n{}--- theirs\n{}", mine.shown(), theirs.shown());
            }
            None => {
                unknown += 1;
                println!("=== DIFFERENCE\n--- ours\n{}--- theirs\n{}", mine.shown(), theirs.shown());
            }
        }
    }
    println!(
        "{} command lines: {} equal, {known} known differences, {unknown} unknown",
        mine.len(),
        mine.len() - known - unknown
    );
    assert_eq!(unknown, 0, "differences without a reason");
}
