//! The tool as a process, on folders and files that this test makes, and beside the real daemon.

mod checks;
mod daemon;
mod damage;
mod dumps;
mod etcd;
mod etcd_dumps;
mod member;
mod reports;
mod restores;

use std::path::Path;
use std::process::{Command, Stdio};

/// What a run of the tool came to.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// The tool, with arguments and without a terminal.
fn conclaveutl(args: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conclaveutl"));
    let output = command.args(args).stdin(Stdio::null()).output().expect("the tool runs");
    Ran {
        code: output.status.code().expect("an exit code"),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

/// What a run prints that must succeed.
#[track_caller]
fn good(args: &[&str]) -> String {
    let ran = conclaveutl(args);
    assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
    ran.out
}

/// What a run says that must fail with this code.
#[track_caller]
fn refused(code: i32, args: &[&str]) -> String {
    let ran = conclaveutl(args);
    assert!(ran.code == code && ran.err.starts_with("Error: "), "{args:?}: {ran:?}");
    ran.err
}

/// A path as an argument.
fn arg(path: &Path) -> &str {
    path.to_str().expect("a path of a test")
}
