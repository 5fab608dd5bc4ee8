//! `watch` and `exec-watch`: waiting for changes of a key, one request for each.
//!
//! Must never lose an event in between: each request begins behind the event before it.

use super::answer::Answer;
use super::api::{Api, Ask, bad_args, code};
use super::keys::{flag, key, path, query};
use crate::cli::Input;
use crate::cli::spec::{Command, Flag, Group};
use crate::exit::Exit;
use crate::print::say;
use hyper::Method;
use tokio::process;

const AFTER_INDEX: Flag = Flag::int("after-index", "begin behind this index");
const RECURSIVE: Flag = Flag::switch("recursive", "with everything below").letter('r');

/// `watch`.
pub const WATCH: Command = Command {
    name: "watch",
    usage: "<key>",
    short: "Wait for a change of a key",
    flags: &[Flag::switch("forever", "until it is interrupted").letter('f'), AFTER_INDEX, RECURSIVE],
    group: Group::Keys,
    run: crate::run!(watch),
    ..Command::EMPTY
};

/// `exec-watch`.
pub const EXEC_WATCH: Command = Command {
    name: "exec-watch",
    usage: "<key> -- <command> [args...]",
    short: "Run a program at every change of a key",
    long: "Run a program at every change of a key. Its environment has ETCD_WATCH_ACTION, ETCD_WATCH_MODIFIED_INDEX, ETCD_WATCH_KEY and \
           ETCD_WATCH_VALUE.",
    flags: &[AFTER_INDEX, RECURSIVE],
    group: Group::Keys,
    run: crate::run!(exec_watch),
    ..Command::EMPTY
};

/// A watch that goes on.
struct Watcher {
    api: Api,
    key: Vec<u8>,
    recursive: bool,
    /// The next index; zero for the next event.
    next: u64,
}

impl Watcher {
    async fn new(input: &Input, key: Vec<u8>) -> Result<Self, Exit> {
        let after = u64::try_from(input.int("after-index")).unwrap_or_default();
        let next = if after > 0 { after + 1 } else { 0 };
        Ok(Self { api: Api::new(input).await?, key, recursive: input.on("recursive"), next })
    }

    async fn next(&mut self) -> Result<Answer, Exit> {
        loop {
            let index = if self.next > 0 { self.next.to_string() } else { String::new() };
            let recursive = if self.recursive { flag(true) } else { flag(false) };
            let fields = [("recursive", recursive), ("wait", flag(true)), ("waitIndex", index.as_bytes())];
            let ask = Ask::new(Method::GET, path(&self.key) + &query(&fields));
            let reply = self.api.wait(&ask).await.map_err(|why| why.exit(code::SERVER))?;
            // the server ended the wait without an event
            if reply.status == 200 && reply.body.is_empty() {
                continue;
            }
            let answer = Answer::read(&reply).map_err(|why| why.exit(code::SERVER))?;
            self.next = answer.node.modified + 1;
            return Ok(answer);
        }
    }
}

async fn watch(input: Input) -> Result<(), Exit> {
    let key = key(&input)?;
    let waited = async {
        let mut watcher = Watcher::new(&input, key).await?;
        loop {
            let answer = watcher.next().await?;
            if answer.node.dir {
                continue;
            }
            if input.on("recursive") {
                say(format!("[{}] {}\n", answer.action, answer.node.key).as_bytes());
            }
            answer.print(&input.text("output"));
            if !input.on("forever") {
                return Ok(());
            }
        }
    };
    until_interrupted(waited).await
}

async fn exec_watch(input: Input) -> Result<(), Exit> {
    let (key, program) = match input.args.split_first() {
        Some((key, program)) if !program.is_empty() => (key.clone(), program.to_vec()),
        _ => return Err(bad_args("key and command to exec required")),
    };
    let program: Vec<String> = program.iter().map(|part| crate::cli::text(part)).collect();
    let waited = async {
        let mut watcher = Watcher::new(&input, key).await?;
        loop {
            let answer = watcher.next().await?;
            if answer.node.dir {
                eprintln!("Ignored dir {} change", answer.node.key);
                continue;
            }
            let mut command = process::Command::new(&program[0]);
            command.args(&program[1..]).env("ETCD_WATCH_ACTION", &answer.action);
            command.env("ETCD_WATCH_MODIFIED_INDEX", answer.node.modified.to_string());
            command.env("ETCD_WATCH_KEY", &answer.node.key).env("ETCD_WATCH_VALUE", &answer.node.value);
            match command.spawn() {
                // it runs beside the next wait
                Ok(mut child) => drop(tokio::spawn(async move { child.wait().await })),
                Err(why) => {
                    eprintln!("{}: {why}", program[0]);
                    return Err(Exit::silent(code::BAD_ARGS));
                }
            }
        }
    };
    until_interrupted(waited).await
}

/// An interrupt ends a watch well.
async fn until_interrupted(waited: impl Future<Output = Result<(), Exit>>) -> Result<(), Exit> {
    tokio::select! {
        ended = waited => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}
