//! The program `conclave-bench`: command line in, report and exit code out.
//!
//! Must keep etcd's exit codes: 0, and 1 for anything that went wrong.

use conclave_bench::cmd::Failed;
use conclave_bench::dispatch;
use conclave_bench::flags::{self, Asked};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let given = match flags::parse(&args) {
        Ok(Asked::Run(given)) => given,
        Ok(Asked::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(why) => return failed(&why.to_string(), "conclave-bench --help lists commands and flags"),
    };
    match conclave_bench::on_this_thread(dispatch::run(&given)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(why)) => failed(&why.to_string(), hint(&why, given.text("endpoints"))),
        Err(why) => failed(&why.to_string(), ""),
    }
}

fn failed(why: &str, hint: &str) -> ExitCode {
    eprintln!("Error: {why}");
    if !hint.is_empty() {
        eprintln!("{hint}");
    }
    ExitCode::FAILURE
}

/// What to do next.
fn hint(why: &Failed, endpoints: &str) -> &'static str {
    let text = why.to_string();
    if text.contains("cannot connect") && text.contains("refused") {
        "Is the server running? --endpoints says where, --dial-timeout=30s waits for it."
    } else if text.contains("cannot connect") && !endpoints.contains("https") {
        "A server with TLS needs an https:// endpoint and --cacert."
    } else if text.contains("user name is empty") {
        "The server wants a user: --user name:password."
    } else {
        ""
    }
}
