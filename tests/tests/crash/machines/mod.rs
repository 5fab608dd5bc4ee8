//! Bad machines: damaged, foreign, full, read-only and failing disks, stopped processes, jumping clocks.
//!
//! Every case names the exact sentence that tells the operator what to do, and proves that nothing acknowledged is lost.

mod damage;
mod faults;
mod foreign;
mod full_disk;
mod pauses;
mod repair;

use harness::compare::chance::Chance;
use harness::daemon::Settings;
use harness::request::{get, put};
use harness::{Stubs, soon};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tonic::Status;

/// Longest that a process may take to notice that it cannot go on.
const END_PATIENCE: Duration = Duration::from_secs(20);

/// What was acknowledged, and must be there for ever.
#[derive(Default)]
struct Ledger {
    acknowledged: BTreeMap<String, u8>,
    /// Attempts without an answer: there or not, but never half.
    next: usize,
}

impl Ledger {
    /// Value of a key: its fill and its length say whose it is. Does not compress, so that it takes its length on a disk.
    fn value(fill: u8, length: usize) -> Vec<u8> {
        let mut chance = Chance::new(fill.into());
        let mut value: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| chance.draw().to_le_bytes()).collect();
        value.truncate(length);
        value
    }

    /// These bytes are the value of a key with this fill.
    fn is_value(bytes: &[u8], fill: u8) -> bool {
        bytes == Self::value(fill, bytes.len())
    }

    /// Puts `count` new keys with values of `length`; the first refusal ends it.
    async fn write(&mut self, stubs: &Stubs, count: usize, length: usize) -> Result<(), Status> {
        for _ in 0..count {
            self.next += 1;
            let (key, fill) = (format!("ledger/{:06}", self.next), self.next as u8);
            let answer = soon("a put", stubs.kv.clone().put(put(&key, Self::value(fill, length)))).await;
            answer?;
            self.acknowledged.insert(key, fill);
        }
        Ok(())
    }

    /// Everything acknowledged is there.
    async fn check(&self, stubs: &Stubs) {
        for (key, fill) in &self.acknowledged {
            let answer = soon("a get", stubs.range(get(key))).await.expect("get");
            let kv = answer.kvs.first().unwrap_or_else(|| panic!("acknowledged and lost: {key}"));
            assert!(Self::is_value(&kv.value, *fill), "{key} has another value");
        }
    }
}

/// A start that must fail by itself: exit code 1, one last line of level fatal whose error is `sentence`, or contains it where it
/// begins or ends with `…`.
fn refused(name: &str, settings: &Settings, sentence: &str) {
    let (status, said) = settings.run_to_end(END_PATIENCE);
    assert_eq!(status.code(), Some(1), "{name}: {said}");
    assert!(!said.contains("panicked"), "{name}: a refusal is no panic:\n{said}");
    let error = fatal(&said);
    assert!(fits(&error, sentence), "{name}:\n  said   {error}\n  wanted {sentence}");
}

/// The error of the last line, which says why the process ends.
fn fatal(said: &str) -> String {
    let line = said
        .lines()
        .rfind(|line| line.contains("\"level\":\"fatal\""))
        .unwrap_or_else(|| panic!("no last word:\n{said}"));
    let from = line.find("\"error\":\"").map(|at| at + "\"error\":\"".len()).expect("an error in the last word");
    let rest = &line[from..];
    // what follows an unescaped quote is another field
    let mut end = rest.len();
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    rest[..end].replace("\\\"", "\"")
}

/// `…` stands for anything.
fn fits(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().expect("split gives one part at least");
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut last = first;
    for part in parts {
        let Some(at) = (if part.is_empty() { Some(rest.len()) } else { rest.find(part) }) else { return false };
        rest = &rest[at + part.len()..];
        last = part;
    }
    rest.is_empty() || (last.is_empty() && pattern.ends_with('…'))
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp runs");
    assert!(status.success(), "cp -a {} {}: {status}", from.display(), to.display());
}
