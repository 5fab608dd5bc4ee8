//! `migrate`: moves a running cluster into another one, with its history, leases, users and roles.

use super::lock::Stop;
use super::make_mirror::{self, TO_DESTINATION};
use super::session::Session;
use crate::cli::Input;
use crate::cli::spec::{Command, Flag, Group, Kind};
use crate::client::{Config, Login, connect};
use crate::exit::{Exit, INTERRUPTED};
use crate::migrate::{Cluster, Options, Passwords, run as go};
use crate::print::say_line;
use std::path::Path;

/// `migrate`.
pub const COMMAND: Command = Command {
    name: "migrate",
    usage: "[options] <destination>",
    short: "Move a running cluster into another one",
    long: "Copy everything of the cluster at --endpoints into an empty one, follow its changes, and say how far behind it is. Both may be etcd
or Conclave. Stop the writers and run it with --finish: it waits until nothing is behind, compares every key, and says when the
writers may be switched. It can be stopped or killed at any time, as can both clusters; started again it goes on where it was.",
    example: "  # follow an etcd cluster
  {} --endpoints=http://old:2379 migrate http://new:2379

  # the writers are stopped: finish
  {} --endpoints=http://old:2379 migrate --finish http://new:2379

  # with users on both sides
  {} --endpoints=https://old:2379 --cacert=old.crt --user=root:secret migrate --dest-cacert=new.crt \\
      --passwords-file=passwords --finish https://new:2379
",
    flags: &[
        Flag::int("rev", "copy the changes from this revision on one by one (0: from the oldest that the source has)"),
        Flag::switch("no-history", "copy the present keys only, and the changes from now on"),
        Flag::switch("exact-revisions", "give each revision of the source one of its own; otherwise several are put into one transaction when it is behind"),
        Flag::new("max-txn-ops", Kind::Uint, "128", "maximum number of operations in one transaction"),
        Flag::new("max-txn-bytes", Kind::Uint, "1048576", "maximum size of one transaction in bytes"),
        Flag::switch("finish", "end once nothing is behind and both clusters are equal"),
        Flag::new("quiet-for", Kind::Duration, "2s", "how long the source must not change before --finish compares"),
        Flag::new("report-every", Kind::Duration, "5s", "pause between two lines about progress"),
        Flag::switch("overwrite", "make the destination equal to the source, whatever it holds or somebody else wrote to it"),
        Flag::text("passwords-file", "file with lines of name:password for users; a cluster does not give passwords away"),
        TO_DESTINATION[0],
        TO_DESTINATION[1],
        TO_DESTINATION[2],
        TO_DESTINATION[3],
        TO_DESTINATION[4],
        TO_DESTINATION[5],
    ],
    group: Group::Utility,
    run: crate::run!(run),
    ..Command::EMPTY
};

async fn run(input: Input) -> Result<(), Exit> {
    input.exactly(1, "migrate takes one destination argument")?;
    if input.on("no-history") && input.changed("rev") {
        return Err(Exit::args("`--rev` and `--no-history` cannot be set at the same time, choose one"));
    }
    let to = make_mirror::destination(&input)?;
    let session = Session::new(input).await?;
    let options = options(&session, quiet(to))?;
    let source = Cluster::new("source", connect(&quiet(session.config.clone())).await?);
    let destination = Cluster::new("destination", connect(&options.destination).await?);
    let mut stop = Stop::new()?;
    tokio::select! {
        done = go(source, destination, &options) => done,
        () = stop.wait() => {
            say_line("stopped; run the command again to go on");
            // to follow until it is stopped is what was asked for
            if options.finish { Err(Exit::silent(INTERRUPTED)) } else { Ok(()) }
        }
    }
}

/// What is waited for is said by the migration, not by each attempt.
fn quiet(config: Config) -> Config {
    Config { on_failure: |_, _, _| (), ..config }
}

fn options(session: &Session, destination: Config) -> Result<Options, Exit> {
    let input = &session.input;
    let size = |name: &str| usize::try_from(input.int(name)).unwrap_or(usize::MAX);
    if size("max-txn-ops") < 2 || size("max-txn-bytes") == 0 {
        return Err(Exit::args("`--max-txn-ops` must be 2 at least, and `--max-txn-bytes` 1"));
    }
    let mut passwords = match &input.text("passwords-file")[..] {
        "" => Passwords::default(),
        path => Passwords::read(Path::new(path))?,
    };
    if let Login::Password(user, password) = &session.config.login {
        passwords.know(user, password);
    }
    Ok(Options {
        history: (!input.on("no-history")).then(|| input.int("rev")),
        max_ops: size("max-txn-ops"),
        max_bytes: size("max-txn-bytes"),
        exact: input.on("exact-revisions"),
        overwrite: input.on("overwrite"),
        finish: input.on("finish"),
        quiet: input.duration("quiet-for"),
        report_every: input.duration("report-every"),
        passwords,
        logged_in: !matches!(session.config.login, Login::None),
        destination,
    })
}
