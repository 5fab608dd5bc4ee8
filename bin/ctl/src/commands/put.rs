//! `put`.

use super::session::Session;
use crate::cli::spec::{Command, Flag, Group, Kind};
use crate::cli::{Input, number_exit, value};
use crate::client::method::PUT;
use crate::exit::Exit;
use crate::print::Answer;
use api::etcdserverpb as pb;
use std::io::Read;

/// `put`.
pub const COMMAND: Command = Command {
    name: "put",
    usage: "[options] <key> <value> (<value> can also be given from stdin)",
    short: "Put a key-value pair",
    long: "
Put a key-value pair into the store.

A value that begins with '-' would be taken for a flag. Put '--' before it:

  put <key> -- <value>
  put -- <key> <value>

If no value is given, and '--ignore-value' is not set, the value is read from standard input:

  cat file | {} put <key>
",
    flags: FLAGS,
    group: Group::Keys,
    run: crate::run!(run),
    ..Command::EMPTY
};

/// Its flags; `txn` reads them as well.
pub const FLAGS: &[Flag] = &[
    Flag::new("lease", Kind::Text, "0", "lease id in hexadecimal to attach to the key"),
    Flag::switch("prev-kv", "print the previous key-value pair"),
    Flag::switch("ignore-value", "keep the current value of the key"),
    Flag::switch("ignore-lease", "keep the current lease of the key"),
];

async fn run(input: Input) -> Result<(), Exit> {
    let request = request(&input, stdin)?;
    let session = Session::new(input).await?;
    let answer: pb::PutResponse = session.client().await?.unary(PUT, request, session.until()).await?;
    session.printer.show(&Answer::Put(&answer))
}

/// What the flags and arguments ask for; `rest` gives the value when it is not among them.
///
/// # Errors
/// What does not go together.
pub fn request(input: &Input, rest: impl Fn() -> Option<Vec<u8>>) -> Result<pb::PutRequest, Exit> {
    const NEEDS: &str = "put command needs 1 argument and input from stdin or 2 arguments";
    let Some(key) = input.args.first() else { return Err(Exit::args(NEEDS)) };
    let ignore_value = input.on("ignore-value");
    if ignore_value && input.args.len() > 1 {
        return Err(Exit::args("put command needs only 1 argument when 'ignore-value' is set"));
    }
    let value = match input.args.get(1) {
        _ if ignore_value => Vec::new(),
        Some(value) => value.clone(),
        None => rest().ok_or_else(|| Exit::args(NEEDS))?,
    };
    let lease = input.text("lease");
    let lease = value::integer(&lease, 16)
        .map_err(|why| number_exit("bad lease ID ({}), expecting ID in Hex", "ParseInt", &lease, why))?;
    Ok(pb::PutRequest {
        key: key.clone().into(),
        value: value.into(),
        lease,
        prev_kv: input.on("prev-kv"),
        ignore_value,
        ignore_lease: input.on("ignore-lease"),
    })
}

fn stdin() -> Option<Vec<u8>> {
    let mut all = Vec::new();
    std::io::stdin().lock().read_to_end(&mut all).ok()?;
    if all.is_empty() { None } else { Some(all) }
}
