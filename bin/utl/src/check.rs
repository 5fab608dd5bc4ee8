//! `check`: the log, the store, and whether the two fit together; or a snapshot file. Prints what was found.
//!
//! Must never change anything: a torn tail is told, not cut.

use crate::failure::Failure;
use crate::print::{self, Format, quoted};
use crate::progress::{Meter, Unit};
use crate::target::{Target, open};
use model::{Command, Envelope};
use raft::{ConfChangeV2, Entry, EntryKind, LogId};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use storage::check::{Report, check};
use storage::disk::ReadOnlyDisk;
use storage::engine::Family;
use storage::member::Folders;
use storage::wal::{Inspection, LoggedRecord, inspect};
use units::size;

/// Problems of the log that are kept in words.
const KEPT: usize = 100;

/// What was found.
#[derive(Default)]
struct Findings {
    path: PathBuf,
    /// Length of a snapshot file.
    snapshot_bytes: Option<u64>,
    store: Option<Report>,
    log: Option<Inspection>,
    entries: u64,
    /// Where and what.
    problems: Vec<(&'static str, String)>,
    /// All of them, those included that were only counted.
    found: u64,
    notes: Vec<String>,
}

impl Findings {
    fn problem(&mut self, place: &'static str, what: impl Into<String>) {
        self.found += 1;
        self.problems.push((place, what.into()));
    }
}

/// Carries out the command.
///
/// # Errors
/// [`Failure`] when something is wrong, after it was printed.
pub fn run(path: &Path, wal_dir: Option<&Path>, timeout: Duration, write_out: &str) -> Result<(), Failure> {
    let format = Format::lines_or_json(write_out)?;
    let target = Target::of(path, wal_dir)?;
    let mut findings = Findings { path: path.to_owned(), ..Findings::default() };
    match open(&target, timeout) {
        Ok(opened) => {
            findings.snapshot_bytes = opened.summary.as_ref().map(|summary| summary.bytes);
            let mut meter = Meter::new("checking", Unit::Rows, None);
            match check(&opened.rows, &mut |rows| meter.at(rows)) {
                Ok(report) => findings.store = Some(report),
                Err(why) => findings.problem("store", why.to_string()),
            }
            drop(meter);
            if let Target::Member(folders) = &target {
                log(folders, &mut findings);
            }
        }
        // what cannot even be opened is a finding as well, unless it is in use
        Err(why) if why.in_use => return Err(why),
        Err(why) => {
            let place = if matches!(target, Target::Snapshot(_)) { "snapshot" } else { "store" };
            findings.problem(place, why.text());
            if let Target::Member(folders) = &target {
                log(folders, &mut findings);
            }
        }
    }
    settle(&mut findings);
    print::out(&match format {
        Format::Json => json(&findings),
        _ => lines(&findings),
    })?;
    match findings.found {
        0 => Ok(()),
        found => Err(Failure::new(format!("{} found in {}", counted(found), path.display()))),
    }
}

fn counted(problems: u64) -> String {
    if problems == 1 { "1 problem".into() } else { format!("{problems} problems") }
}

/// Reads the log, and compares it with the store.
fn log(folders: &Folders, findings: &mut Findings) {
    let applied = findings.store.as_ref().and_then(|report| report.state).map(|state| state.applied);
    let mut term_there = None;
    let (mut entries, mut wrong, mut found) = (0, Vec::new(), 0u64);
    let inspected = inspect(&ReadOnlyDisk, &folders.wal, |logged| {
        let LoggedRecord::Entry(entry) = logged.record else { return };
        entries += 1;
        if applied.is_some_and(|applied| applied.index == entry.index) {
            term_there = Some(entry.term);
        }
        if let Err(why) = readable(&entry) {
            found += 1;
            if wrong.len() < KEPT {
                wrong.push(format!("entry {}: {why}", entry.index));
            }
        }
    });
    findings.entries = entries;
    findings.found += found;
    findings.problems.extend(wrong.into_iter().map(|what| ("log", what)));
    let inspection = match inspected {
        Ok(inspection) => inspection,
        Err(why) => return findings.problem("log", why.to_string()),
    };
    if let Some(torn) = &inspection.torn {
        findings.notes.push(format!(
            "the log ends in a write that was cut off ({} at offset {}): it was never acknowledged, the next start removes it",
            torn.file.display(),
            torn.offset
        ));
    }
    if !inspection.leftover.is_empty() {
        let count = inspection.leftover.len();
        findings.notes.push(format!("{count} segments before a gap are left over, the next start removes them"));
    }
    together(&inspection, applied, term_there, findings);
    findings.log = Some(inspection);
}

/// Whether an entry says something this build understands.
fn readable(entry: &Entry) -> Result<(), String> {
    if entry.kind != EntryKind::Normal {
        return ConfChangeV2::from_entry(entry).map(|_| ()).map_err(|why| why.to_string());
    }
    if entry.data.is_empty() {
        return Ok(());
    }
    let envelope = Envelope::decode(&entry.data).map_err(|why| why.to_string())?;
    Command::decode(envelope.command).map(|_| ()).map_err(|why| why.to_string())
}

/// The rules by which a start refuses a log and a store, and a few more.
fn together(log: &Inspection, applied: Option<LogId>, term_there: Option<u64>, findings: &mut Findings) {
    let (last, truncated, hard_state) = (log.last, log.truncated, log.hard_state);
    if hard_state.commit > last.index {
        findings.problem("log", format!("it ends at entry {}, and {} is committed", last.index, hard_state.commit));
    }
    if hard_state.term < last.term {
        findings
            .problem("log", format!("its last entry is of term {}, its hard state of {}", last.term, hard_state.term));
    }
    let identity = findings.store.as_ref().and_then(|report| report.identity);
    if let Some(identity) = identity
        && (identity.cluster_id, identity.member_id) != (log.meta.cluster, log.meta.member)
    {
        let what = format!(
            "the log is of member {:x} in cluster {:x}, the store of member {:x} in cluster {:x}",
            log.meta.member, log.meta.cluster, identity.member_id, identity.cluster_id
        );
        findings.problem("log", what);
    }
    let Some(applied) = applied else { return };
    if last.index < applied.index {
        findings.problem("log", format!("it ends at entry {}, the store has applied {}", last.index, applied.index));
    }
    if truncated.index > applied.index {
        findings.problem(
            "log",
            format!("it begins behind entry {}, the store has applied {}", truncated.index, applied.index),
        );
    }
    if let Some(term) = term_there.filter(|term| *term != applied.term) {
        let what = format!("entry {} has term {term} in the log and {} in the store", applied.index, applied.term);
        findings.problem("log", what);
    }
    if last.index > applied.index {
        let count = last.index - applied.index;
        findings
            .notes
            .push(format!("{count} entries of the log are not in the store yet, the next start applies them"));
    }
}

/// Moves what the store's check found to the other findings.
fn settle(findings: &mut Findings) {
    let Some(report) = &findings.store else { return };
    let problems: Vec<_> = report.problems.iter().map(|p| (p.family.name(), p.what.clone())).collect();
    findings.found += report.found;
    findings.problems.extend(problems);
    if let Some(index) = report.unfinished {
        findings.notes.push(format!("entry {index} was written in part, the next start finishes it"));
    }
}

fn lines(findings: &Findings) -> String {
    let mut out = String::new();
    let mut line = |name: &str, text: String| writeln!(out, "{name:<9} {text}").expect("text grows in memory");
    line(if findings.snapshot_bytes.is_some() { "snapshot" } else { "folder" }, findings.path.display().to_string());
    if let Some(bytes) = findings.snapshot_bytes {
        line("stream", format!("{}, every block and the hash are sound", size(bytes)));
    }
    if let Some(log) = &findings.log {
        let bytes: u64 = log.segments.iter().map(|segment| segment.used).sum();
        let segments = log.segments.len();
        let segments = if segments == 1 { "1 segment".into() } else { format!("{segments} segments") };
        line("log", format!("{segments}, {} in use, {} spare files", size(bytes), log.spares));
        let (first, last) = (log.truncated.index + 1, log.last);
        line(
            "entries",
            match last.index < first {
                true => format!("none after {}", log.truncated.index),
                false => format!("{first} to {} (term {}), {} records read", last.index, last.term, findings.entries),
            },
        );
        let hard_state = log.hard_state;
        let (term, vote, commit) = (hard_state.term, hard_state.vote, hard_state.commit);
        line("state", format!("term {term}, vote {vote:x}, commit {commit}"));
    }
    if let Some(report) = &findings.store {
        if let Some(identity) = report.identity {
            let voters = report.conf_state.voters.len();
            line("member", format!("{:x} of cluster {:x}, {voters} voting", identity.member_id, identity.cluster_id));
        }
        if let Some(state) = report.state {
            let (index, term) = (state.applied.index, state.applied.term);
            line(
                "store",
                format!("applied {index} (term {term}), revision {}, compacted {}", state.revision, state.compact),
            );
        }
        let rows = Family::ALL.map(|family| format!("{} {}", family.name(), report.rows[family as usize]));
        let bytes: u64 = report.bytes.iter().sum();
        line("rows", format!("{}, {} in all", rows.join(", "), size(bytes)));
        line("leases", report.leases.to_string());
    }
    findings.notes.iter().for_each(|note| line("note", note.clone()));
    findings.problems.iter().for_each(|(place, what)| line("PROBLEM", format!("{place}: {what}")));
    match findings.found - findings.problems.len() as u64 {
        0 => {}
        more => line("PROBLEM", format!("and {more} more")),
    }
    if findings.found == 0 {
        line("sound", "no problems found".into());
    }
    out
}

fn json(findings: &Findings) -> String {
    let list = |texts: Vec<String>| format!("[{}]", texts.join(","));
    let mut parts = vec![format!("\"path\":{}", quoted(&findings.path.display().to_string()))];
    parts.push(format!("\"sound\":{},\"problemCount\":{}", findings.found == 0, findings.found));
    let problems = findings.problems.iter();
    let problems = problems.map(|(place, what)| format!("{{\"place\":\"{place}\",\"what\":{}}}", quoted(what)));
    parts.push(format!("\"problems\":{}", list(problems.collect())));
    parts.push(format!("\"notes\":{}", list(findings.notes.iter().map(|note| quoted(note)).collect())));
    if let Some(bytes) = findings.snapshot_bytes {
        parts.push(format!("\"snapshotBytes\":{bytes}"));
    }
    if let Some(log) = &findings.log {
        parts.push(format!(
            "\"log\":{{\"segments\":{},\"usedBytes\":{},\"first\":{},\"last\":{},\"lastTerm\":{},\"term\":{},\"vote\":{},\"commit\":{},\"torn\":{}}}",
            log.segments.len(),
            log.segments.iter().map(|segment| segment.used).sum::<u64>(),
            log.truncated.index + 1,
            log.last.index,
            log.last.term,
            log.hard_state.term,
            log.hard_state.vote,
            log.hard_state.commit,
            log.torn.is_some()
        ));
    }
    if let Some(report) = &findings.store {
        let rows = Family::ALL.map(|family| format!("\"{}\":{}", family.name(), report.rows[family as usize]));
        let mut store = format!("\"rows\":{{{}}},\"leases\":{}", rows.join(","), report.leases);
        if let Some(identity) = report.identity {
            store += &format!(",\"clusterId\":{},\"memberId\":{}", identity.cluster_id, identity.member_id);
        }
        if let Some(state) = report.state {
            let (index, term) = (state.applied.index, state.applied.term);
            store += &format!(
                ",\"applied\":{index},\"appliedTerm\":{term},\"revision\":{},\"compactRevision\":{}",
                state.revision, state.compact
            );
        }
        parts.push(format!("\"store\":{{{store}}}"));
    }
    format!("{{{}}}\n", parts.join(","))
}
