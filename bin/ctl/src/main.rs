//! `conclavectl`: every command of etcdctl, for Conclave and etcd alike.
//!
//! The only place that ends the process. Answers go to standard output, everything else to standard error.

mod cli;
mod client;
mod commands;
mod exit;
mod log;
mod migrate;
mod print;
mod term;
mod v2;

use cli::spec::Command;
use cli::{Misuse, help};
use exit::{ERROR, Exit};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

fn main() -> ExitCode {
    let line: Vec<Vec<u8>> = std::env::args_os().skip(1).map(OsStringExt::into_vec).collect();
    let root = if v2::is_asked_for() { &v2::root::ROOT } else { &commands::root::ROOT };
    let input = match cli::read(root, &line) {
        Ok(input) => input,
        Err((path, why)) => return misused(&path, &why),
    };
    let Some(run) = input.path.last().and_then(|command| command.run) else { return ExitCode::SUCCESS };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => {
            let ended = runtime.block_on(run(input));
            // a read of standard input that nobody waits for any more must not hold the program
            runtime.shutdown_background();
            ended
        }
        Err(why) => Err(Exit::new(ERROR, why.to_string())),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => failed(&why),
    }
}

fn failed(why: &Exit) -> ExitCode {
    if let Some(text) = &why.text {
        let shown = if term::stderr_is_terminal() { term::bad("Error:") } else { "Error:".to_owned() };
        eprintln!("{shown} {text}");
    }
    if let (Some(hint), true) = (&why.hint, term::stderr_is_terminal()) {
        eprintln!("{}", term::hint(&format!("Hint: {hint}")));
    }
    ExitCode::from(why.code)
}

fn misused(path: &[&'static Command], why: &Misuse) -> ExitCode {
    match why {
        Misuse::Help => {
            print::say(help::full(path).as_bytes());
            return ExitCode::SUCCESS;
        }
        Misuse::Usage(text) => eprintln!("Error: {text}\n{}", help::usage(path)),
        Misuse::Unknown(text) => eprintln!("Error: {text}\nRun '{} --help' for usage.", cli::program()),
    }
    ExitCode::from(ERROR)
}
