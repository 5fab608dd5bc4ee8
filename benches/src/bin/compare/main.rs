//! `compare`: the same figures of Conclave and of an etcd binary, measured in one run on one machine.
//!
//! Each figure is a function with a name. Results are written after every figure, so that a run that is cut short keeps what
//! it has. Must not share a server between the two sides, nor run both at once.

mod args;
mod chart;
mod figures;
mod leading;
mod load;
mod page;
mod server;
mod side;

use args::Args;
use figures::FIGURES;
use page::Page;
use side::Side;
use std::process::ExitCode;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => {
            print!("{}", args::help());
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("Error: {why}\ncompare --help lists the flags");
            return ExitCode::FAILURE;
        }
    };
    match bench::on_this_thread(run(&args)) {
        Ok(Ok(0)) => ExitCode::SUCCESS,
        Ok(Ok(failed)) => {
            eprintln!("{failed} figures could not be taken");
            ExitCode::FAILURE
        }
        Ok(Err(why)) | Err(why) => {
            eprintln!("Error: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Takes every figure that was asked for, one side after the other; returns how many failed.
async fn run(args: &Args) -> std::io::Result<usize> {
    let mut page = Page::new(args);
    let (mut failed, begin) = (0, Instant::now());
    let rounds = (0..args.rounds).flat_map(|_| args.sides());
    for (name, binary) in rounds {
        let mut side = Side::new(binary, args)?;
        for figure in FIGURES.iter().filter(|figure| args.wants(figure.name, figure.optional)) {
            let start = Instant::now();
            eprintln!("{name}: {} …", figure.name);
            let limit = args.limit.min(args.whole.saturating_sub(begin.elapsed()));
            let outcome = match tokio::time::timeout(limit, (figure.take)(&mut side)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(format!("not done within {} s", limit.as_secs())),
            };
            let took = start.elapsed();
            match outcome {
                Ok(values) => page.put(figure, name, &values, took),
                Err(why) => {
                    failed += 1;
                    eprintln!("{name}: {}: {why}", figure.name);
                    page.failed(figure, name, &why);
                    // whatever state the server is in, the next figure begins with another one
                    side.forget();
                }
            }
            page.write()?;
        }
    }
    page.close()?;
    Ok(failed)
}
