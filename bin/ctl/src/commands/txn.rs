//! `txn`: compares and requests, read from standard input.

use super::session::Session;
use super::txn_line;
use crate::cli::Input;
use crate::cli::spec::{Command, Flag, Group};
use crate::client::Until;
use crate::client::method::TXN;
use crate::exit::{Exit, INVALID_INPUT};
use crate::print::{Answer, say_line};
use api::etcdserverpb as pb;
use std::io::BufRead;

/// `txn`.
pub const COMMAND: Command = Command {
    name: "txn",
    usage: "[options]",
    short: "Run several requests as one transaction",
    long: "Read a transaction from standard input: three parts, each ended by an empty line.

1) comparisons, all of which must be true
2) requests to run if they are
3) requests to run if they are not

A comparison is target(\"key\") op \"value\": the target is c[reate], m[od], ver[sion], val[ue] or lease, op is one of < > = !=.
Requests are put, get and del with their flags.

  {} txn -i
  compares:
  mod(\"key1\") > \"0\"

  success requests (get, put, del):
  put key1 \"overwrote-key1\"

  failure requests (get, put, del):
  put key1 \"created-key1\"
  put key2 \"some extra key\"
",
    flags: &[Flag::switch("interactive", "prompt for each part").letter('i')],
    group: Group::Keys,
    run: crate::run!(run),
    ..Command::EMPTY
};

async fn run(input: Input) -> Result<(), Exit> {
    if !input.args.is_empty() {
        return Err(Exit::args("txn command does not accept argument"));
    }
    let session = Session::new(input).await?;
    let client = session.client().await?;
    let ask = |prompt: &str| {
        if session.input.on("interactive") {
            say_line(prompt);
        }
    };
    ask("compares:");
    let compare = read_part(txn_line::compare)?;
    ask("success requests (get, put, del):");
    let success = read_part(txn_line::request)?;
    ask("failure requests (get, put, del):");
    let failure = read_part(txn_line::request)?;
    let request = pb::TxnRequest { compare, success, failure };
    let answer: pb::TxnResponse = client.unary(TXN, request, Until::NEVER).await?;
    session.printer.show(&Answer::Txn(&answer))
}

/// Lines up to an empty one.
fn read_part<T>(each: impl Fn(&[u8]) -> Result<T, Exit>) -> Result<Vec<T>, Exit> {
    let mut part = Vec::new();
    let mut input = std::io::stdin().lock();
    loop {
        let mut line = Vec::new();
        let read = input.read_until(b'\n', &mut line).map_err(|why| Exit::new(INVALID_INPUT, why.to_string()))?;
        if read == 0 || line.last() != Some(&b'\n') {
            return Err(Exit::new(INVALID_INPUT, "EOF"));
        }
        let line = line.trim_ascii();
        if line.is_empty() {
            return Ok(part);
        }
        part.push(each(line)?);
    }
}
