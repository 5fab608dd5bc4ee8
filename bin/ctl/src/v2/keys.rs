//! Commands about keys: get, ls, mk, mkdir, set, setdir, update, updatedir, rm, rmdir.
//!
//! Must never guess a value: what is not on the line is read from standard input.

use super::answer::{Answer, Node};
use super::api::{Api, Ask, Failure, bad_args, code};
use crate::cli::Input;
use crate::cli::spec::{Command, Flag, Group, Kind};
use crate::exit::Exit;
use crate::print::say;
use hyper::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use std::io::Read;

/// Bytes of a path that need no escape.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// Bytes of a query that need none.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

const TTL: Flag = Flag::new("ttl", Kind::Int, "0", "seconds until the key ends; 0 for never");
const SORT: Flag = Flag::switch("sort", "show keys in order");
const QUORUM: Flag = Flag::switch("quorum", "ask the quorum").letter('q');
const RECURSIVE: Flag = Flag::switch("recursive", "with everything below").letter('r');

/// `get`.
pub const GET: Command = command("get", "<key>", "Read the value of a key", &[SORT, QUORUM], crate::run!(get));
/// `ls`.
pub const LS: Command = command(
    "ls",
    "[key]",
    "List a directory",
    &[SORT, RECURSIVE, QUORUM, Flag::switch("p", "add a slash to directories").letter('p')],
    crate::run!(ls),
);
/// `mk`.
pub const MK: Command = command(
    "mk",
    "<key> <value>",
    "Make a key that does not exist",
    &[TTL, Flag::switch("in-order", "make a key in order in the directory <key>")],
    crate::run!(mk),
);
/// `mkdir`.
pub const MKDIR: Command =
    command("mkdir", "<key>", "Make a directory that does not exist", &[TTL], crate::run!(mkdir));
/// `set`.
pub const SET: Command = command(
    "set",
    "<key> <value>",
    "Set the value of a key",
    &[
        TTL,
        Flag::text("swap-with-value", "value that the key must have"),
        Flag::int("swap-with-index", "index that the key must have"),
    ],
    crate::run!(set),
);
/// `setdir`.
pub const SETDIR: Command =
    command("setdir", "<key>", "Make a directory, or change its TTL", &[TTL], crate::run!(setdir));
/// `update`.
pub const UPDATE: Command = command("update", "<key> <value>", "Change a key that exists", &[TTL], crate::run!(update));
/// `updatedir`.
pub const UPDATEDIR: Command =
    command("updatedir", "<key>", "Change the TTL of a directory", &[TTL], crate::run!(updatedir));
/// `rm`.
pub const RM: Command = command(
    "rm",
    "<key>",
    "Remove a key or a directory",
    &[
        Flag::switch("dir", "also an empty directory"),
        RECURSIVE,
        Flag::text("with-value", "value that the key must have"),
        Flag::int("with-index", "index that the key must have"),
    ],
    crate::run!(rm),
);
/// `rmdir`.
pub const RMDIR: Command = command("rmdir", "<key>", "Remove an empty directory or a key", &[], crate::run!(rmdir));

const fn command(
    name: &'static str,
    usage: &'static str,
    short: &'static str,
    flags: &'static [Flag],
    run: Option<crate::cli::spec::Run>,
) -> Command {
    Command { name, usage, short, flags, group: Group::Keys, run, ..Command::EMPTY }
}

/// The key that a command is about.
///
/// # Errors
/// There is none.
pub fn key(input: &Input) -> Result<Vec<u8>, Exit> {
    input.args.first().cloned().ok_or_else(|| bad_args("key required"))
}

/// Path of a key in requests.
pub fn path(key: &[u8]) -> String {
    let slash = if key.starts_with(b"/") { "" } else { "/" };
    format!("/v2/keys{slash}{}", percent_encode(key, PATH))
}

/// A query of these fields, the empty ones left out.
pub fn query(fields: &[(&str, &[u8])]) -> String {
    let field = |(name, value): &(&str, &[u8])| format!("{name}={}", percent_encode(value, QUERY));
    let fields: Vec<_> = fields.iter().filter(|(_, value)| !value.is_empty()).map(field).collect();
    if fields.is_empty() { String::new() } else { format!("?{}", fields.join("&")) }
}

/// A truth value as a field.
pub fn flag(on: bool) -> &'static [u8] {
    if on { b"true" } else { b"false" }
}

/// Asks and reads the answer.
///
/// # Errors
/// The error, which has been said.
async fn asked(input: &Input, ask: &Ask) -> Result<Answer, Exit> {
    let api = Api::new(input).await?;
    let answer = api.call(ask).await.and_then(|reply| Answer::read(&reply));
    answer.map_err(|why: Failure| why.exit(code::SERVER))
}

fn value(input: &Input) -> Result<Vec<u8>, Exit> {
    if let Some(value) = input.args.get(1) {
        return Ok(value.clone());
    }
    let mut value = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut value);
    if read.is_err() || value.is_empty() { Err(bad_args("value required")) } else { Ok(value) }
}

async fn get(input: Input) -> Result<(), Exit> {
    let key = key(&input)?;
    let fields = [("quorum", flag(input.on("quorum"))), ("recursive", flag(false)), ("sorted", flag(input.on("sort")))];
    let answer = asked(&input, &Ask::new(Method::GET, path(&key) + &query(&fields))).await?;
    if answer.node.dir {
        eprintln!("{}: is a directory", answer.node.key);
        return Err(Exit::silent(code::BAD_ARGS));
    }
    answer.print(&input.text("output"));
    Ok(())
}

async fn ls(input: Input) -> Result<(), Exit> {
    let key = input.args.first().cloned().unwrap_or_else(|| b"/".to_vec());
    let on = |name: &str| flag(input.on(name));
    let fields = [("quorum", on("quorum")), ("recursive", on("recursive")), ("sorted", on("sort"))];
    let answer = asked(&input, &Ask::new(Method::GET, path(&key) + &query(&fields))).await?;
    if input.text("output") != "simple" {
        answer.print(&input.text("output"));
        return Ok(());
    }
    let mut out = String::new();
    if !answer.node.dir {
        out.push_str(&format!("{}\n", answer.node.key));
    }
    list(&mut out, &answer.node, input.on("p"));
    say(out.as_bytes());
    Ok(())
}

/// The keys below a node, parents before their children.
fn list(out: &mut String, node: &Node, slash: bool) {
    let mut next: Vec<&Node> = node.nodes.iter().flatten().rev().collect();
    while let Some(node) = next.pop() {
        let slash = if slash && node.dir { "/" } else { "" };
        out.push_str(&format!("{}{slash}\n", node.key));
        next.extend(node.nodes.iter().flatten().rev());
    }
}

/// What a write says beside its key.
#[derive(Default)]
struct Write {
    method: Method,
    value: Option<Vec<u8>>,
    dir: bool,
    prev_exist: &'static [u8],
    prev_value: Vec<u8>,
    prev_index: i64,
}

async fn write(input: &Input, write: Write) -> Result<Answer, Exit> {
    let key = key(input)?;
    let index = if write.prev_index > 0 { write.prev_index.to_string() } else { String::new() };
    let fields = [
        ("dir", if write.dir { flag(true) } else { b"" }),
        ("prevExist", write.prev_exist),
        ("prevIndex", index.as_bytes()),
        ("prevValue", &write.prev_value),
    ];
    let ttl = input.int("ttl");
    let ttl = if ttl > 0 { ttl.to_string() } else { String::new() };
    let mut form = query(&[("ttl", ttl.as_bytes())]).trim_start_matches('?').to_owned();
    if let Some(value) = &write.value {
        let separator = if form.is_empty() { "" } else { "&" };
        form.push_str(&format!("{separator}value={}", percent_encode(value, QUERY)));
    }
    let ask = Ask::new(write.method, path(&key) + &query(&fields));
    asked(input, &Ask { body: Some(("application/x-www-form-urlencoded", form.into_bytes())), ..ask }).await
}

async fn mk(input: Input) -> Result<(), Exit> {
    key(&input)?;
    let value = Some(value(&input)?);
    let what = match input.on("in-order") {
        true => Write { method: Method::POST, value, ..Write::default() },
        false => Write { method: Method::PUT, value, prev_exist: b"false", ..Write::default() },
    };
    write(&input, what).await?.print(&input.text("output"));
    Ok(())
}

async fn set(input: Input) -> Result<(), Exit> {
    key(&input)?;
    let what = Write {
        method: Method::PUT,
        value: Some(value(&input)?),
        prev_value: input.bytes("swap-with-value"),
        prev_index: input.int("swap-with-index"),
        ..Write::default()
    };
    write(&input, what).await?.print(&input.text("output"));
    Ok(())
}

async fn update(input: Input) -> Result<(), Exit> {
    key(&input)?;
    let what = Write { method: Method::PUT, value: Some(value(&input)?), prev_exist: b"true", ..Write::default() };
    write(&input, what).await?.print(&input.text("output"));
    Ok(())
}

async fn mkdir(input: Input) -> Result<(), Exit> {
    directory(&input, b"false").await
}

async fn setdir(input: Input) -> Result<(), Exit> {
    directory(&input, b"").await
}

async fn updatedir(input: Input) -> Result<(), Exit> {
    directory(&input, b"true").await
}

async fn directory(input: &Input, prev_exist: &'static [u8]) -> Result<(), Exit> {
    let what = Write { method: Method::PUT, dir: true, prev_exist, ..Write::default() };
    let answer = write(input, what).await?;
    if input.text("output") != "simple" {
        answer.print(&input.text("output"));
    }
    Ok(())
}

async fn rm(input: Input) -> Result<(), Exit> {
    let index = input.int("with-index");
    let index = if index > 0 { index.to_string() } else { String::new() };
    let (recursive, dir) = (input.on("recursive"), input.on("dir"));
    let value = input.bytes("with-value");
    let on = |on: bool| if on { flag(true) } else { &b""[..] };
    let fields =
        [("dir", on(dir)), ("prevIndex", index.as_bytes()), ("prevValue", &value), ("recursive", on(recursive))];
    remove(&input, &fields).await
}

async fn rmdir(input: Input) -> Result<(), Exit> {
    remove(&input, &[("dir", flag(true))]).await
}

async fn remove(input: &Input, fields: &[(&str, &[u8])]) -> Result<(), Exit> {
    let key = key(input)?;
    let answer = asked(input, &Ask::new(Method::DELETE, path(&key) + &query(fields))).await?;
    if !answer.node.dir || input.text("output") != "simple" {
        answer.print(&input.text("output"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_escaped() {
        assert_eq!(path(b"a b/c?"), "/v2/keys/a%20b/c%3F");
        assert_eq!(path(b"/a"), "/v2/keys/a");
        assert_eq!(query(&[("a", b"x&y"), ("b", b""), ("c", b"1")]), "?a=x%26y&c=1");
        assert_eq!(query(&[("a", b"")]), "");
    }
}
