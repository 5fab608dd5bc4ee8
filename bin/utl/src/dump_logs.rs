//! `dump-logs`: entries of etcd's write-ahead log as etcd-dump-logs prints them.
//!
//! That tool of release 3.7.1 ends in a panic on every log whose entries do not name their kind, which is what etcd writes; this is
//! what its source means, and what the tool of 3.6 prints but for the new form of requests. Must never show a password.

use crate::cli::DumpLogs;
use crate::failure::Failure;
use crate::print::finish;
use crate::proto_text::{REQUEST, has, show};
use crate::unpack::etcds_folder;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use storage::etcd::{EtcdFolder, EtcdRecord, records};

/// Kinds of changes of the membership, by number.
const CHANGES: [&str; 4] =
    ["ConfChangeAddNode", "ConfChangeRemoveNode", "ConfChangeUpdateNode", "ConfChangeAddLearnerNode"];
/// `raftpb.ConfChange`.
const CHANGE: &[crate::proto_text::Field] =
    &[(2, "method", crate::proto_text::Kind::Enum(&CHANGES)), (3, "id", crate::proto_text::Kind::Uint)];
/// Kinds of requests that can be asked for, and the field that each is in.
const REQUESTS: [(&str, u32); 8] = [
    ("IRRRange", 3),
    ("IRRPut", 4),
    ("IRRDeleteRange", 5),
    ("IRRTxn", 6),
    ("IRRCompaction", 7),
    ("IRRLeaseGrant", 8),
    ("IRRLeaseRevoke", 9),
    ("IRRLeaseCheckpoint", 11),
];

/// An entry.
struct Entry {
    kind: i32,
    term: u64,
    index: u64,
    data: bytes::Bytes,
}

/// What the log says besides its entries.
#[derive(Default)]
struct About {
    node: u64,
    cluster: u64,
    term: u64,
    vote: u64,
    commit: u64,
}

/// Carries out the command.
///
/// # Errors
/// [`Failure`]; what was read before is printed.
pub fn run(options: &DumpLogs) -> Result<(), Failure> {
    let folder = etcds_folder(&options.path, options.wal_dir.as_deref())?;
    let mut out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    if options.raw {
        raw(&folder, options.start_index.unwrap_or(0), &mut out)?;
        return finish(out.flush());
    }
    let behind = begin(&folder, options, &mut out)?;
    let (about, entries) = read(&folder, behind, options.end_index.unwrap_or(u64::MAX))?;
    let About { node, cluster, term, vote, commit } = about;
    let mut head = format!(
        "WAL metadata:\nnodeID={node:x} clusterID={cluster:x} term={term} commitIndex={commit} vote={vote:x}\nWAL entries: {}\n",
        entries.len()
    );
    if let Some(last) = entries.last() {
        head += &format!("lastIndex={}\n", last.index);
    }
    let more = if options.stream_decoder.is_some() { "\tdecoder_status\tdecoded_data" } else { "" };
    head += &format!("{:>4}\t{:>10}\ttype\tdata{more}\n", "term", "index");
    finish(out.write_all(head.as_bytes()))?;
    list(options, &entries, &mut out)?;
    finish(out.flush())
}

/// Says where it begins: behind which index.
fn begin(folder: &EtcdFolder, options: &DumpLogs, out: &mut impl Write) -> Result<u64, Failure> {
    if let Some(start) = options.start_index {
        finish(writeln!(out, "Start dumping log entries from index {start}."))?;
        return Ok(start.saturating_sub(1));
    }
    let saved = folder.saved(options.start_snap.as_deref())?;
    let text = match &saved {
        None => "Snapshot:\nempty\n".to_owned(),
        Some(saved) => {
            let nodes: Vec<String> = saved.voters.iter().map(|id| format!("{id:x}")).collect();
            let mut conf = serde_json::json!({ "voters": saved.voters });
            if !saved.learners.is_empty() {
                conf["learners"] = saved.learners.clone().into();
            }
            conf["auto_leave"] = false.into();
            let (term, index) = (saved.term, saved.index);
            format!("Snapshot:\nterm={term} index={index} nodes=[{}] confstate={conf}\n", nodes.join(" "))
        }
    };
    finish(writeln!(out, "{text}Start dumping log entries from snapshot."))?;
    Ok(saved.map_or(0, |saved| saved.index))
}

/// Entries behind an index and before another one, as they count in the end.
fn read(folder: &EtcdFolder, behind: u64, before: u64) -> Result<(About, Vec<Entry>), Failure> {
    let (mut about, mut entries) = (About::default(), Vec::<Entry>::new());
    let whole = records(folder.log(), behind, &mut |record| match record {
        EtcdRecord::Metadata { node, cluster } => (about.node, about.cluster) = (node, cluster),
        EtcdRecord::State { term, vote, commit } => (about.term, about.vote, about.commit) = (term, vote, commit),
        EtcdRecord::Entry { kind, term, index, data } => {
            // it replaces what stood at its index and behind it
            entries.truncate(entries.partition_point(|entry| entry.index < index));
            if index > behind {
                entries.push(Entry { kind, term, index, data });
            }
        }
        EtcdRecord::Crc(_) | EtcdRecord::Snapshot { .. } => {}
    })?;
    if !whole {
        eprintln!("note: the log ends in a record that was cut off; etcd leaves it out as well");
    }
    entries.retain(|entry| entry.index < before);
    Ok((about, entries))
}

fn list(options: &DumpLogs, entries: &[Entry], out: &mut impl Write) -> Result<(), Failure> {
    let kinds: Vec<&str> = options.entry_type.iter().map(String::as_str).filter(|kind| is_kind(kind)).collect();
    let mut decoder = options.stream_decoder.as_deref().map(Decoder::start).transpose()?;
    let mut count = 0;
    for entry in entries {
        let Some(line) = line(entry, &kinds) else { continue };
        count += 1;
        let decoded = decoder.as_mut().map(|decoder| decoder.decode(&entry.data)).transpose()?;
        finish(match decoded {
            Some(decoded) => write!(out, "{line}\t{decoded}"),
            None => writeln!(out, "{line}"),
        })?;
    }
    if let Some(decoder) = decoder {
        decoder.end()?;
    }
    finish(writeln!(out, "\nEntry types ({}) count is : {count}", options.entry_type.join(",")))
}

/// Says so when it is none, and leaves it out, as the tool of etcd's does.
fn is_kind(kind: &str) -> bool {
    let known = ["ConfigChange", "Normal", "Request", "InternalRaftRequest"];
    let is = known.contains(&kind) || REQUESTS.iter().any(|(name, _)| *name == kind);
    if !is {
        eprintln!(
            "[{kind}] is not a valid entry-type, ignored.\nPlease set entry-type to one or more of the following:\n\
             ConfigChange, Normal, Request, InternalRaftRequest,\nIRRRange, IRRPut, IRRDeleteRange, IRRTxn,\n\
             IRRCompaction, IRRLeaseGrant, IRRLeaseRevoke, IRRLeaseCheckpoint"
        );
    }
    is
}

/// The line of an entry, if it is of one of these kinds.
fn line(entry: &Entry, kinds: &[&str]) -> Option<String> {
    let head = format!("{:>4}\t{:>10}", entry.term, entry.index);
    if entry.kind == 1 {
        let wanted = kinds.contains(&"ConfigChange");
        return wanted.then(|| format!("{head}\tconf\t{}", change(&entry.data)));
    }
    if entry.kind != 0 {
        return None;
    }
    let Some(request) = show(&entry.data, REQUEST) else {
        // what the API of v2 wrote, before 3.6
        let wanted = kinds.contains(&"Normal") || kinds.contains(&"Request");
        return wanted.then(|| format!("{head}\tnorm\t???"));
    };
    let is = |(name, number): &(&str, u32)| kinds.contains(name) && has(&entry.data, *number);
    let wanted = kinds.contains(&"Normal") || kinds.contains(&"InternalRaftRequest") || REQUESTS.iter().any(is);
    wanted.then(|| format!("{head}\tnorm\t{request}"))
}

fn change(data: &[u8]) -> String {
    let Some(text) = show(data, CHANGE) else { return "???".to_owned() };
    let field = |name: &str| text.split("  ").find_map(|part| part.strip_prefix(name)).map(str::to_owned);
    let method = field("method:").unwrap_or_else(|| CHANGES[0].to_owned());
    let id = field("id:").and_then(|id| id.parse::<u64>().ok()).unwrap_or(0);
    format!("method={method} id={id:x}")
}

/// Every record as it stands in the files.
fn raw(folder: &EtcdFolder, from: u64, out: &mut impl Write) -> Result<(), Failure> {
    let mut printed = Ok(());
    let whole = records(folder.log(), 0, &mut |record| {
        if printed.is_ok()
            && let Some(line) = raw_line(&record, from)
        {
            printed = writeln!(out, "{line}");
        }
    });
    finish(printed)?;
    let end = match whole? {
        true => "EOF: All entries were processed.",
        false => "ErrUnexpectedEOF: The last record might be corrupted, error: unexpected EOF.",
    };
    finish(writeln!(out, "{end}"))
}

fn raw_line(record: &EtcdRecord, from: u64) -> Option<String> {
    Some(match record {
        EtcdRecord::Metadata { node, cluster } => format!("Metadata: NodeID:{node}  ClusterID:{cluster}"),
        EtcdRecord::Crc(crc) => format!("CRC: {crc}"),
        EtcdRecord::Entry { kind, term, index, data } if *index >= from => {
            let kind = match kind {
                0 => "",
                1 => " Type:EntryConfChange",
                _ => " Type:EntryConfChangeV2",
            };
            let data = if data.is_empty() { String::new() } else { format!(" Data:{} ", octal(data)) };
            format!("Entry: Term:{term} Index:{index}{kind}{data}")
        }
        EtcdRecord::Snapshot { index, term } if *index >= from => format!("Snapshot: index:{index} term:{term}"),
        EtcdRecord::State { term, vote, commit } if *commit >= from => {
            format!("HardState: term:{term}  vote:{vote}  commit:{commit}")
        }
        EtcdRecord::Entry { .. } | EtcdRecord::Snapshot { .. } | EtcdRecord::State { .. } => return None,
    })
}

/// Bytes in quotes, those that are no printable letters in octal.
fn octal(data: &[u8]) -> String {
    let mut out = String::from("\"");
    for byte in data {
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            32..127 => out.push(char::from(*byte)),
            _ => out.push_str(&format!("\\{byte:03o}")),
        }
    }
    out.push('"');
    out
}

/// A program that says what data mean.
struct Decoder {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Decoder {
    fn start(command: &str) -> Result<Self, Failure> {
        let fail = |why: io::Error| Failure::new(format!("the decoder {command:?} does not start: {why}"));
        let mut words = command.split(' ');
        let mut child = Command::new(words.next().unwrap_or_default())
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(fail)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::new(format!("the decoder {command:?} has no input or output")));
        };
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    /// Its status and what it says, with the end of its line.
    fn decode(&mut self, data: &[u8]) -> Result<String, Failure> {
        let fail = |why: io::Error| Failure::new(format!("the decoder ended: {why}"));
        let hex: String = data.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(self.input, "{hex}").and_then(|()| self.input.flush()).map_err(fail)?;
        let mut line = String::new();
        if self.output.read_line(&mut line).map_err(fail)? == 0 {
            return Err(Failure::new("the decoder ended before the last entry"));
        }
        let parts: Vec<&str> = line.split('|').collect();
        Ok(match parts[..] {
            [whole] => format!("decoder output format is not right, print output anyway\t{whole}"),
            [status, data] => format!("{status}\t{data}"),
            _ => format!(
                "{}(*WARNING: data might contain deliminator used by etcd-dump-logs)\t{}",
                parts[0],
                parts[1..].concat()
            ),
        })
    }

    fn end(mut self) -> Result<(), Failure> {
        drop(self.input);
        match self.child.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Failure::new(format!("the decoder failed: {status}"))),
            Err(why) => Err(Failure::new(format!("the decoder cannot be waited for: {why}"))),
        }
    }
}
