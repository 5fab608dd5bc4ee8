//! `raftexample`: a replicated key-value store over HTTP, as small as one can be that survives `kill -9`.
//!
//! | file | what it does |
//! |---|---|
//! | `args` | the command line |
//! | `state` | what is replicated: keys, and where members are |
//! | `member` | the loop around the raft core: the one place that calls it |
//! | `waiting` | who waits for which entry or read |
//! | `disk` | log and snapshot |
//! | `peers` | messages to other members |
//! | `http` | messages from other members, and clients |
//!
//! `docs/raft.md` walks through it. Must never use a crate of ours but `raft` and the log of `storage`.

mod args;
mod disk;
mod http;
mod input;
mod member;
mod peers;
mod state;
mod waiting;

use args::Args;
use clap::Parser;
use disk::Disk;
use input::{Input, QUEUE};
use member::{Ended, Member};
use peers::Peers;
use state::State;
use std::process::ExitCode;
use tokio::runtime::Builder;
use tokio::sync::mpsc;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(Ended::Removed) => {
            eprintln!("raftexample: this member was removed from the cluster");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("raftexample: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Sockets live on the runtime's threads, consensus and disk on this one.
fn run(args: &Args) -> Result<Ended, Box<dyn std::error::Error>> {
    let cluster = args.cluster()?;
    let founding = (!args.join).then(|| State::founding(&cluster).snapshot_of_founders());
    let (disk, recovered) = Disk::open(&args.data_dir(), args.id, founding.as_ref())?;
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (inputs, taken) = mpsc::channel::<Input>(QUEUE);
    let own_url = cluster.get(&args.id).ok_or("--id is not a place in --cluster")?;
    runtime.block_on(http::serve(own_url, args.port, inputs.clone()))?;
    runtime.spawn(input::tick(inputs.clone()));
    let peers = Peers::new(args.id, runtime.handle().clone(), inputs);
    Ok(Member::new(args, disk, recovered, peers)?.run(taken)?)
}
