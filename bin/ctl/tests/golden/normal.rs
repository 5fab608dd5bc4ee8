//! What differs from run to run, replaced by names: ids, ports, times, sizes. And prose, which each tool has its own.

use regex::Regex as Text;
use regex::bytes::{Captures, Regex};
use std::sync::OnceLock;

/// Names and the values that they stand for.
#[derive(Default)]
pub struct Names(Vec<(String, String)>);

impl Names {
    /// Remembers a value; a number also in its other base.
    pub fn add(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
        if let Ok(number) = value.parse::<u64>().map(|number| format!("{number:016x}")) {
            self.0.push((format!("{name}x"), number));
        } else if let (16, Ok(number)) = (value.len(), u64::from_str_radix(value, 16)) {
            self.0.push((format!("{name}d"), number.to_string()));
        }
    }

    /// `{NAME}` replaced by values.
    pub fn fill(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    /// Values replaced by `<NAME>`, and everything else that is never the same twice.
    pub fn normal(&self, text: &[u8]) -> Vec<u8> {
        let mut text = text.to_vec();
        for (name, value) in &self.0 {
            text = replace(&text, value.as_bytes(), format!("<{name}>").as_bytes());
        }
        for (pattern, with) in patterns() {
            text = pattern.replace_all(&text, *with).into_owned();
        }
        text = log_lines(&text);
        prose(text)
    }
}

fn replace(text: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        match rest.strip_prefix(old) {
            Some(tail) => {
                out.extend_from_slice(new);
                rest = tail;
            }
            None => {
                out.push(rest[0]);
                rest = &rest[1..];
            }
        }
    }
    out
}

fn patterns() -> &'static [(Regex, &'static [u8])] {
    // bytes first: the ids of a header are varints of nine or ten bytes, behind their field numbers
    const RULES: [(&str, &[u8]); 27] = [
        (r"(?-u)(\n[\x10-\x30])?\x08[\x80-\xff]{7,9}[\x01-\x7f]\x10[\x80-\xff]{7,9}[\x01-\x7f]", b"<IDS>"),
        (r"(?-u)\x12[\x20-\x60]\x08[\x80-\xff]{7,9}[\x01-\x7f]\x12\x07default", b"<ID>default"),
        (r"(?-u)0[\x80-\xff]{7,9}[\x01-\x7f] ", b"<LEASE> "),
        (r"(?-u)\x20[\x02-\x09](\x12|\x18|Z|$)", b"<TERM>$1"),
        (r"(took|remaining)( = |\(|[.] took | )[0-9.]+(ns|µs|ms|s)", b"$1<TIME>"),
        (r"current time [0-9TZ:-]+ is", b"current time <NOW> is"),
        (r#""took":"[^"]*""#, b"\"took\":\"<TIME>\""),
        (r#""Took" : .*"#, b"\"Took\" : <TIME>"),
        (r"│ +[0-9.]+(µs|ms|s) │", "│ <TIME> │".as_bytes()),
        (r"(raft_term|raftTerm|raftIndex|raftAppliedIndex|dbSize|dbSizeInUse|hash)\x22:[0-9]+", b"$1\":<N>"),
        (r"(RaftTerm|RaftIndex|RaftAppliedIndex|DBSize|DBSizeInUse|Hash)\x22 : [0-9]+", b"$1\" : <N>"),
        (r"(cluster_id|member_id|leader|memberID|ID|id|lease)\x22:\x22?[0-9a-f]{8,20}\x22?", b"$1\":<ID>"),
        (r"(ClusterID|MemberID|Leader|ID|Lease)\x22 : ([0-9]{12,20}|[0-9a-f]{13,16})", b"$1\" : <ID>"),
        (r"(lease|l1/|e1/|Member|cluster) *[0-9a-f]{13,16}\b", b"$1 <ID>"),
        // rows: sizes, share, term and indexes are never the same
        (
            r", [0-9.]+ [kMG]?B, [0-9.]+ [kMG]?B, -?[0-9]+%, ([0-9.]+ GB), (true|false), (true|false), [0-9]+, [0-9]+, [0-9]+,",
            b", <SIZE>, <SIZE>, <N>%, $1, $2, $3, <N>, <N>, <N>,",
        ),
        (
            r"│ +[0-9.]+ [kM]?B │ +[0-9.]+ [kM]?B │ +[0-9]+% │ ([0-9.]+ GB) │ +(true|false) │ +(true|false) │ +[0-9]+ │ +[0-9]+ │ +[0-9]+ │",
            "│ <SIZE> │ <SIZE> │ <N>% │ $1 │ $2 │ $3 │ <N> │ <N> │ <N> │".as_bytes(),
        ),
        (r"(?m)^([^,\n]*<EP>), [0-9]{4,}, ", b"$1, <HASH>, "),
        (r"│ +[0-9]{4,} │ ", "│ <HASH> │ ".as_bytes()),
        (r"(?m)([,│] |^)[0-9a-f]{13,16}( │|,)", b"$1<ID>$2"),
        (r"http://127\.0\.0\.1:[0-9]+", b"http://<ADDRESS>"),
        // who of the two notices the end of the time first
        (r"stream terminated by RST_STREAM with error code: CANCEL", b"context deadline exceeded"),
        (r"\x22ttl\x22:[0-9]+", b"\"ttl\":<N>"),
        (r"(?m)\x22TTL\x22 : 9[0-9]$", b"\"TTL\" : <N>"),
        (r"larger than max \([0-9]+ vs", b"larger than max (<N> vs"),
        (r"─+", "─".as_bytes()),
        (r"│ +", "│ ".as_bytes()),
        (r" +│", " │".as_bytes()),
    ];
    static COMPILED: OnceLock<Vec<(Regex, &'static [u8])>> = OnceLock::new();
    COMPILED.get_or_init(|| RULES.iter().map(|(rule, with)| (Regex::new(rule).expect("a pattern"), *with)).collect())
}

/// Of a log line only what it says, not when and where.
fn log_lines(text: &[u8]) -> Vec<u8> {
    static LINE: OnceLock<Regex> = OnceLock::new();
    static FIELD: OnceLock<Text> = OnceLock::new();
    let line = LINE.get_or_init(|| Regex::new(r#"(?m)^\{"level":"(info|warn|fatal|error)".*\}$"#).expect("a pattern"));
    let field = FIELD.get_or_init(|| {
        Text::new(r#""(level|msg|method|attempt|error|environment-variable)":("(?:[^"\\]|\\.)*"|[0-9]+)"#)
            .expect("a pattern")
    });
    let kept = line.replace_all(text, |found: &Captures<'_>| {
        let whole = String::from_utf8_lossy(&found[0]);
        let fields: Vec<&str> = field.find_iter(&whole).map(|field| field.as_str()).collect();
        // a number may be a text elsewhere
        format!(
            "LOG {}",
            fields.join(" ").replace("\"attempt\":\"", "\"attempt\":").replace("0\" \"error", "0 \"error")
        )
    });
    // what a copy of the store logs on its way is not compared
    let text = kept.into_owned();
    let lines: Vec<&[u8]> =
        text.split_inclusive(|b| *b == b'\n').filter(|line| !line.starts_with(b"LOG \"level\":\"info\"")).collect();
    lines.concat()
}

/// Of a usage text only its shape: commands, flags, their kinds and defaults.
fn prose(text: Vec<u8>) -> Vec<u8> {
    let Ok(all) = std::str::from_utf8(&text) else { return text };
    const HEADS: [&str; 2] = ["Usage:\n", "The following options can be passed to any command:\n"];
    let Some(start) = HEADS.iter().find(|head| all.contains(**head)) else { return text };
    static FLAG: OnceLock<Text> = OnceLock::new();
    let flag = FLAG.get_or_init(|| {
        Text::new(r"^  (    |-., )--([a-z-]+)( string| strings| int| uint| duration)?(?:  .*?)?( \(default .*\))?$")
            .expect("a pattern")
    });
    let (head, rest) = all.split_once(start).expect("found above");
    let head: String = head.split_inclusive('\n').filter(|line| line.starts_with("Error:")).collect();
    let (mut out, mut example) = (format!("{head}{start}"), false);
    for line in rest.lines() {
        example = line == "Examples:" || example && !matches!(line, "Available Commands:" | "Flags:");
        if example {
            continue;
        }
        if let Some(found) = flag.captures(line) {
            let part = |at: usize| found.get(at).map_or("", |part| part.as_str());
            out.push_str(&format!("{}--{}{}{}\n", part(1), part(2), part(3), part(4)));
        } else if let Some(command) = line.strip_prefix("  ").filter(|line| !line.starts_with("etcdctl")) {
            out.push_str(&format!("  {}\n", command.split(' ').next().unwrap_or_default()));
        } else {
            out.push_str(&format!("{line}\n"));
        }
    }
    out.into_bytes()
}
