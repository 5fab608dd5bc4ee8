//! `make chaos SECONDS=600 SEED=7`: three processes under random faults, clients, watchers and leases whose history is judged.
//!
//! `--seconds`, `--rounds`, `--seed`, `--only FAULT` (a name of the table). Where the machine allows it, the run puts itself into a network
//! namespace of its own, so that links can be cut. Ends with code 1 when something was found, and says how to see it again.

use harness::chaos::network::ALONE;
use harness::chaos::plan::FAULTS;
use harness::chaos::run::{Settings, run};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn given(name: &str) -> Option<String> {
    let mut args = std::env::args().skip(1);
    args.find(|arg| arg == name).and_then(|_| args.next())
}

fn number(name: &str) -> Result<Option<u64>, String> {
    let text = given(name);
    text.map(|text| text.parse().map_err(|_| format!("{name} wants a number, not {text}"))).transpose()
}

fn settings() -> Result<Settings, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let only = given("--only");
    let fault = only.as_ref().map(|only| {
        let known = FAULTS.into_iter().find(|fault| format!("{fault:?}") == *only);
        known.ok_or_else(|| format!("there is no fault {only}; there are {FAULTS:?}"))
    });
    Ok(Settings {
        seed: number("--seed")?.unwrap_or(now),
        time: Duration::from_secs(number("--seconds")?.unwrap_or(60)),
        rounds: number("--rounds")?.map_or(usize::MAX, |rounds| rounds as usize),
        only: fault.transpose()?,
    })
}

/// Runs this program again, alone in a network namespace, if the machine has any.
fn be_alone() {
    if std::env::var_os(ALONE).is_some() {
        return;
    }
    let allowed = Command::new("unshare").args(["--net", "true"]).stdin(Stdio::null()).stderr(Stdio::null()).status();
    if let (Ok(status), Ok(program)) = (allowed, std::env::current_exe())
        && status.success()
    {
        let args = std::env::args_os().skip(1);
        // without the namespace it goes on as it is
        let why = Command::new("unshare").arg("--net").arg(program).args(args).env(ALONE, "1").exec();
        println!("skipped: faults of the network: {why}");
    }
}

fn main() -> ExitCode {
    let settings = match settings() {
        Ok(settings) => settings,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    be_alone();
    println!("seed {}", settings.seed);
    let dir = tempfile::TempDir::new().expect("a folder");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    match runtime.block_on(run(settings, dir.path())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            println!(
                "\nFOUND: {why}\n\nthe same plan again: make chaos SEED={} SECONDS={}",
                settings.seed,
                settings.time.as_secs()
            );
            println!("data and logs are kept in {}", dir.keep().display());
            ExitCode::FAILURE
        }
    }
}
