//! Compares the v2 API of our daemon with that of a real etcd: `v2 <ours host:port> <theirs host:port> [count] [seed]`.
//!
//! Both must be new and run with `--enable-v2`. Ends with 1 when an answer differs.

use harness::v2::run::{Target, compare};
use std::net::SocketAddr;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let address = |at: usize| args.get(at).and_then(|text| text.parse::<SocketAddr>().ok());
    let (Some(ours), Some(theirs)) = (address(0), address(1)) else {
        eprintln!("v2 <ours host:port> <theirs host:port> [count] [seed]");
        return ExitCode::from(2);
    };
    let number = |at: usize, default| args.get(at).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (count, seed) = (number(2, 10_000), number(3, 1));
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
    };
    let found = runtime.block_on(async {
        let (ours, theirs) = (Target::find(ours).await?, Target::find(theirs).await?);
        Ok::<_, String>(compare(ours, theirs, seed, count).await)
    });
    match found {
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
        Ok(found) => {
            for ((method, code), count) in &found.kinds {
                println!("{method} {code}: {count}");
            }
            found.differing.iter().for_each(|difference| println!("{difference}"));
            println!("seed {seed}: {} requests, {} differences", found.asked, found.differing.len());
            if found.differing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}
