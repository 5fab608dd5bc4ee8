//! `del`.

use super::session::Session;
use crate::cli::Input;
use crate::cli::spec::{Command, Flag, Group};
use crate::client::method::DELETE_RANGE;
use crate::client::range;
use crate::exit::Exit;
use crate::print::Answer;
use crate::print::quote::quote;
use api::etcdserverpb as pb;
use bytes::Bytes;
use std::time::Duration;

/// Time to think again before a range is deleted.
const SECOND_THOUGHTS: Duration = Duration::from_secs(2);

/// `del`.
pub const COMMAND: Command = Command {
    name: "del",
    usage: "[options] <key> [range_end]",
    short: "Delete a key, or the keys in the range [key, range_end)",
    flags: FLAGS,
    group: Group::Keys,
    run: crate::run!(run),
    ..Command::EMPTY
};

/// Its flags; `txn` reads them as well.
pub const FLAGS: &[Flag] = &[
    Flag::switch("prefix", "delete all keys with the prefix <key>"),
    Flag::switch("prev-kv", "print the deleted key-value pairs"),
    Flag::switch("from-key", "delete all keys greater than or equal to <key> in byte order"),
    Flag::switch("range", "delete the range [key, range_end) without the pause that guards against mistakes"),
];

async fn run(input: Input) -> Result<(), Exit> {
    let request = request(&input)?;
    let session = Session::new(input).await?;
    let answer: pb::DeleteRangeResponse = session.client().await?.unary(DELETE_RANGE, request, session.until()).await?;
    session.printer.show(&Answer::Del(&answer))
}

/// What the flags and arguments ask for. Two keys without `--range` are announced, and wait two seconds.
///
/// # Errors
/// What does not go together.
pub fn request(input: &Input) -> Result<pb::DeleteRangeRequest, Exit> {
    let (prefix, from_key) = (input.on("prefix"), input.on("from-key"));
    let (key, end) = match &input.args[..] {
        [key] => (key, None),
        [key, end] => (key, Some(end)),
        _ => {
            return Err(Exit::args("del command needs one argument as key and an optional argument as range_end"));
        }
    };
    if prefix && from_key {
        return Err(Exit::args("`--prefix` and `--from-key` cannot be set at the same time, choose one"));
    }
    if end.is_some() && (prefix || from_key) {
        let said = "too many arguments, only accept one argument when `--prefix` or `--from-key` is set";
        return Err(Exit::args(said));
    }
    if let Some(end) = end.filter(|_| !input.on("range")) {
        eprintln!(
            "Warning: Keys between {} and {} will be deleted. Please interrupt the command within next 2 seconds to cancel. You can provide `--range` flag to avoid the delay.",
            quote(key),
            quote(end)
        );
        std::thread::sleep(SECOND_THOUGHTS);
    }
    let (key, range_end) = match (prefix, from_key) {
        (true, _) => range::prefix(key),
        (_, true) => range::from_key(key),
        _ => (Bytes::copy_from_slice(key), end.map(|end| Bytes::copy_from_slice(end)).unwrap_or_default()),
    };
    Ok(pb::DeleteRangeRequest { key, range_end, prev_kv: input.on("prev-kv") })
}
