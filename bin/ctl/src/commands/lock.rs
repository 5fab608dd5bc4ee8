//! `lock`: holds a lock until a signal, or while a command runs.

use super::session::Session;
use crate::cli::Input;
use crate::cli::spec::{Command, Flag, Group, Kind};
use crate::client::method::RANGE;
use crate::client::recipes::{self, Place, Session as Lease};
use crate::client::{Failure, Until};
use crate::exit::{ERROR, Exit};
use crate::print::Answer;
use api::etcdserverpb as pb;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Life of the lease when `--ttl` is no time.
const DEFAULT_TTL: i64 = 60;

/// `lock`.
pub const COMMAND: Command = Command {
    name: "lock",
    usage: "<lockname> [exec-command arg1 arg2 ...]",
    short: "Acquire a named lock",
    long: "Acquire a lock and hold it until the command is interrupted or the given program ends. The key of the
lock is printed. The program finds it in ETCD_LOCK_KEY and its revision in ETCD_LOCK_REV. The exit code is the program's.",
    flags: &[Flag::new("ttl", Kind::Int, "10", "time to live of the lock's lease in seconds, should this client disappear")],
    group: Group::Concurrency,
    run: crate::run!(run),
    ..Command::EMPTY
};

async fn run(input: Input) -> Result<(), Exit> {
    if input.args.is_empty() {
        return Err(Exit::args("lock takes a lock name argument and an optional command to execute"));
    }
    let session = Session::new(input).await?;
    let mut stop = Stop::new()?;
    let ttl = Some(session.input.int("ttl")).filter(|ttl| *ttl > 0).unwrap_or(DEFAULT_TTL);
    let mut lease = Lease::open(session.client().await?, ttl, session.config.dial_timeout).await?;
    let (mut place, name) = (None, session.input.args[0].clone());
    let locked = tokio::select! {
        locked = recipes::wait_in_line(&lease, &name, b"", &mut place) => locked,
        () = stop.wait() => Err(Failure::Cancelled),
    };
    let ended = match locked {
        Ok(()) => hold(&session, &mut lease, place.as_ref(), &mut stop).await,
        Err(why) => Err(why.into()),
    };
    if let Some(place) = &place {
        let unlocked = recipes::unlock(&lease.client, place).await;
        lease.close().await;
        ended?;
        return Ok(unlocked?);
    }
    ended
}

async fn hold(session: &Session, lease: &mut Lease, place: Option<&Place>, stop: &mut Stop) -> Result<(), Exit> {
    let Some(place) = place else { return Ok(()) };
    let command = &session.input.args[1..];
    if !command.is_empty() {
        return execute(command, place).await;
    }
    let request = pb::RangeRequest { key: place.key.clone(), ..Default::default() };
    let held: pb::RangeResponse = lease.client.unary(RANGE, request, Until::NEVER).await?;
    if held.kvs.is_empty() {
        return Err(Exit::new(ERROR, "lock lost on init"));
    }
    session.printer.show(&Answer::Get(&held))?;
    tokio::select! {
        () = stop.wait() => Ok(()),
        () = lease.lost() => Err(Exit::new(ERROR, "session expired")),
    }
}

async fn execute(command: &[Vec<u8>], place: &Place) -> Result<(), Exit> {
    let mut child = process(command);
    child.env("ETCD_LOCK_KEY", std::ffi::OsStr::from_bytes(&place.key));
    child.env("ETCD_LOCK_REV", place.header.revision.to_string());
    match child.status().await {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => {
            let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX);
            Err(Exit::new(code, status_text(status)))
        }
        Err(why) => Err(Exit::new(ERROR, start_text(command, &why))),
    }
}

/// A command with its arguments; it shares our output, not our input.
pub fn process(command: &[Vec<u8>]) -> tokio::process::Command {
    let mut words = command.iter().cloned().map(OsString::from_vec);
    let mut process = tokio::process::Command::new(words.next().unwrap_or_default());
    process.args(words).stdin(std::process::Stdio::null());
    process
}

/// How a command ended, in Go's words.
pub fn status_text(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(9)) => "signal: killed".into(),
        (None, Some(15)) => "signal: terminated".into(),
        (None, Some(2)) => "signal: interrupt".into(),
        (None, signal) => format!("signal: {}", signal.unwrap_or_default()),
    }
}

/// Why a command did not start, in Go's words.
pub fn start_text(command: &[Vec<u8>], why: &std::io::Error) -> String {
    let name = crate::cli::text(command.first().map_or(&[], Vec::as_slice));
    match why.kind() {
        std::io::ErrorKind::NotFound if name.contains('/') => format!("fork/exec {name}: no such file or directory"),
        std::io::ErrorKind::NotFound => format!("exec: {name:?}: executable file not found in $PATH"),
        std::io::ErrorKind::PermissionDenied => format!("fork/exec {name}: permission denied"),
        _ => format!("fork/exec {name}: {why}"),
    }
}

/// SIGINT or SIGTERM.
pub struct Stop(Signal, Signal);

impl Stop {
    /// From now on these signals do not end the program.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> Result<Self, Exit> {
        let listen = |kind| signal(kind).map_err(|why| Exit::new(ERROR, why.to_string()));
        Ok(Self(listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?))
    }

    /// Comes back when one arrives.
    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {},
            _ = self.1.recv() => {},
        }
    }
}
