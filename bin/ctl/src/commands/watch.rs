//! `watch`: once, from lines of standard input, or with a command run at every event.

use super::session::Session;
use super::watch_line::{self, Asked, FLAGS};
use crate::cli::spec::{Command, Group};
use crate::cli::{Input, text};
use crate::client::range::prefix_end;
use crate::client::watch::{Spec, Watches};
use crate::exit::{ERROR, Exit, INTERRUPTED, INVALID_INPUT};
use crate::print::answer::Watched;
use crate::print::quote::quote;
use crate::print::{Answer, Printer, say_line};
use api::mvccpb::Event;
use bytes::Bytes;
use std::os::unix::ffi::OsStringExt;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::mpsc;

/// `watch`.
pub const COMMAND: Command = Command {
    name: "watch",
    usage: "[options] [key or prefix] [range_end] [--] [exec-command arg1 arg2 ...]",
    short: "Watch events on keys or prefixes",
    long: "Watch events on a key or a range of keys until the command is interrupted.

If a program follows '--', it is run for every event with ETCD_WATCH_REVISION, ETCD_WATCH_EVENT_TYPE, ETCD_WATCH_KEY and
ETCD_WATCH_VALUE (quoted) in its environment.

The key can also be given by ETCDCTL_WATCH_KEY, and the end of the range by ETCDCTL_WATCH_RANGE_END.

With -i, requests are read from the lines of standard input: 'watch' with options and keys, or 'progress', which asks for a
progress notification.
",
    flags: FLAGS,
    group: Group::Keys,
    run: crate::run!(run),
    ..Command::EMPTY
};

async fn run(input: Input) -> Result<(), Exit> {
    let variable = |name: &str| std::env::var_os(name).map(OsStringExt::into_vec).unwrap_or_default();
    let (key, end) = (variable("ETCDCTL_WATCH_KEY"), variable("ETCDCTL_WATCH_RANGE_END"));
    if key.is_empty() && !end.is_empty() {
        let said = format!("ETCDCTL_WATCH_KEY is empty but got ETCDCTL_WATCH_RANGE_END={}", quote(&end));
        return Err(Exit::args(said));
    }
    if input.on("interactive") {
        return interactive(input, &key, &end).await;
    }
    let asked = watch_line::from_arguments(&input, &key, &end).map_err(Exit::args)?;
    let session = Session::new(input).await?;
    let client = session.client().await?;
    let spec = spec(&asked).map_err(Exit::args)?;
    let answers = Watches::start(client, true).watch(spec);
    follow(&session.printer, answers, &asked.command).await?;
    Err(Exit::new(INTERRUPTED, "watch is canceled by the server"))
}

async fn interactive(input: Input, key: &[u8], end: &[u8]) -> Result<(), Exit> {
    let session = Session::new(input).await?;
    let watches = Watches::start(session.client().await?, true);
    let mut lines = BufReader::new(tokio::io::stdin());
    let (failed, mut failures) = mpsc::unbounded_channel();
    loop {
        let mut line = Vec::new();
        let read = tokio::select! {
            read = lines.read_until(b'\n', &mut line) => read,
            Some(why) = failures.recv() => return Err(why),
        };
        if !matches!(read, Ok(1..)) || line.last() != Some(&b'\n') {
            return Err(Exit::new(INVALID_INPUT, "error reading watch request line: EOF"));
        }
        line.pop();
        let shown = text(&line);
        let words = super::txn_line::words(&line)?;
        match words.first().map(Vec::as_slice) {
            None => eprintln!("Invalid command: {shown} (watch and progress supported)"),
            Some(b"watch") if words.len() < 2 && key.is_empty() => {
                eprintln!("Invalid command {shown} (command type or key is not provided)");
            }
            Some(b"watch") => {
                let asked = watch_line::from_words(&words[1..], key, end).map_err(Exit::args)?;
                match spec(&asked) {
                    Ok(spec) => {
                        let (answers, printer, failed) = (watches.watch(spec), session.printer, failed.clone());
                        tokio::spawn(async move {
                            if let Err(why) = follow(&printer, answers, &asked.command).await {
                                // nobody listens any more when the program ends
                                let _ = failed.send(why);
                            }
                        });
                    }
                    Err(why) => eprintln!("Invalid command {shown} ({why})"),
                }
            }
            Some(b"progress") => watches.progress(),
            Some(_) => eprintln!("Invalid command {shown} (only support watch)"),
        }
    }
}

fn spec(asked: &Asked) -> Result<Spec, String> {
    let Some(key) = asked.keys.first() else { return Err(watch_line::BAD_NUMBER.into()) };
    let key = Bytes::copy_from_slice(key);
    let range_end = match asked.keys.get(1) {
        Some(_) if asked.prefix => return Err("`range_end` and `--prefix` are mutually exclusive".into()),
        Some(end) if asked.keys.len() == 2 => Bytes::copy_from_slice(end),
        _ if asked.prefix => prefix_end(&key),
        _ => Bytes::new(),
    };
    // a prefix of nothing is every key, and a watch has no empty key
    let key = if asked.prefix && key.is_empty() { crate::client::range::OPEN } else { key };
    Ok(Spec { key, range_end, revision: asked.revision, prev_kv: asked.prev_kv, progress: asked.progress })
}

/// Prints what comes, and runs the command at every event.
async fn follow(printer: &Printer, mut answers: mpsc::Receiver<Watched>, command: &[Vec<u8>]) -> Result<(), Exit> {
    while let Some(answer) = answers.recv().await {
        if answer.canceled {
            eprintln!("watch was canceled ({})", answer.reason());
        }
        if answer.is_progress() {
            say_line(&format!("progress notify: {}", answer.header.revision));
        }
        printer.show(&Answer::Watch(&answer))?;
        if !command.is_empty() {
            for event in answer.events.iter().flatten() {
                execute(command, answer.header.revision, event).await?;
            }
        }
    }
    Ok(())
}

async fn execute(command: &[Vec<u8>], revision: i64, event: &Event) -> Result<(), Exit> {
    let kv = event.kv.clone().unwrap_or_default();
    let kind = if event.r#type == 0 { "\"PUT\"" } else { "\"DELETE\"" };
    let mut child = super::lock::process(command);
    child.env("ETCD_WATCH_REVISION", revision.to_string());
    child.env("ETCD_WATCH_EVENT_TYPE", kind);
    child.env("ETCD_WATCH_KEY", quote(&kv.key));
    child.env("ETCD_WATCH_VALUE", quote(&kv.value));
    let why = match child.status().await {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => super::lock::status_text(status),
        Err(why) => super::lock::start_text(command, &why),
    };
    let shown: Vec<String> = command.iter().map(|word| quote(word)).collect();
    eprintln!("command [{}] error ({why})", shown.join(" "));
    Err(Exit::silent(ERROR))
}
