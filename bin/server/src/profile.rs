//! A CPU profile of this process, in the format of pprof: what `/debug/pprof/profile` answers.
//!
//! Samples are taken by a signal handler, which is the crate `pprof`'s: a timer of the kernel interrupts whatever thread runs, its
//! stack is walked, and equal stacks are counted. Nothing is armed until a profile is asked for, so that it costs nothing otherwise;
//! while one is made, a hundred samples a second cost about a hundredth of a core. Must never be used but by the daemon: signal
//! handlers are the process'.

use embed::config::Profiler;
use flate2::Compression;
use flate2::write::GzEncoder;
use pprof::{ProfilerGuardBuilder, Report};
use prost::Message;
use std::collections::HashMap;
use std::future::Future;
use std::io::Write as _;
use std::pin::Pin;
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::oneshot;

/// Samples a second of CPU, as in Go.
const FREQUENCY: i32 = 100;
/// Libraries in which a thread that is interrupted may hold a lock that a walk of its stack needs.
const NOT_WALKED: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];

/// Makes profiles of this process, one at a time.
pub struct CpuProfiler;

impl Profiler for CpuProfiler {
    fn cpu(&self, length: Duration) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send>> {
        let (done, made) = oneshot::channel();
        let thread = std::thread::Builder::new().name("profile".into());
        let started = thread.spawn(move || {
            // a client that gave up has dropped the other end
            let _ = done.send(record(length));
        });
        Box::pin(async move {
            match started {
                Ok(_) => made.await.unwrap_or_else(|_| Err("the profiler has failed".into())),
                Err(why) => Err(why.to_string()),
            }
        })
    }
}

fn record(length: Duration) -> Result<Vec<u8>, String> {
    let builder = ProfilerGuardBuilder::default().frequency(FREQUENCY).blocklist(&NOT_WALKED);
    let guard = builder.build().map_err(|why| match why {
        pprof::Error::Running => "cpu profiling already in use".to_owned(),
        other => other.to_string(),
    })?;
    std::thread::sleep(length);
    let report = guard.report().build().map_err(|why| why.to_string())?;
    drop(guard);
    let mut zipped = GzEncoder::new(Vec::new(), Compression::fast());
    zipped.write_all(&encode(&report).encode_to_vec()).map_err(|why| why.to_string())?;
    zipped.finish().map_err(|why| why.to_string())
}

/// From stacks to tables, as the format wants it.
fn encode(report: &Report) -> Profile {
    let mut tables = Tables::default();
    // the first text is empty by the rules of the format
    tables.text("");
    let period = 1_000_000_000 / i64::from(report.timing.frequency.max(1));
    let (samples, count) = (tables.text("samples"), tables.text("count"));
    let (cpu, nanoseconds, thread) = (tables.text("cpu"), tables.text("nanoseconds"), tables.text("thread"));
    let mut sample = Vec::with_capacity(report.data.len());
    for (stack, count) in &report.data {
        let symbols = stack.frames.iter().flatten();
        let location_id = symbols.map(|s| tables.location(&s.name(), &s.filename(), s.lineno().into())).collect();
        let name = tables.text(&stack.thread_name);
        let count = *count as i64;
        sample.push(Sample {
            location_id,
            value: vec![count, count * period],
            label: vec![Label { key: thread, str: name }],
        });
    }
    let started = report.timing.start_time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Profile {
        sample_type: vec![ValueType { r#type: samples, unit: count }, ValueType { r#type: cpu, unit: nanoseconds }],
        sample,
        location: tables.locations,
        function: tables.functions,
        string_table: tables.texts,
        time_nanos: started.as_nanos() as i64,
        duration_nanos: report.timing.duration.as_nanos() as i64,
        period_type: Some(ValueType { r#type: cpu, unit: nanoseconds }),
        period,
    }
}

/// What samples refer to by number.
#[derive(Default)]
struct Tables {
    texts: Vec<String>,
    known_texts: HashMap<String, i64>,
    functions: Vec<Function>,
    known_functions: HashMap<(i64, i64), u64>,
    locations: Vec<Location>,
    known_locations: HashMap<(u64, i64), u64>,
}

impl Tables {
    fn text(&mut self, text: &str) -> i64 {
        if let Some(known) = self.known_texts.get(text) {
            return *known;
        }
        let number = self.texts.len() as i64;
        self.texts.push(text.to_owned());
        self.known_texts.insert(text.to_owned(), number);
        number
    }

    /// A line of a function. Numbers begin at one.
    fn location(&mut self, function: &str, file: &str, line: i64) -> u64 {
        let (name, filename) = (self.text(function), self.text(file));
        let functions = &mut self.functions;
        let function_id = *self.known_functions.entry((name, filename)).or_insert_with(|| {
            let id = functions.len() as u64 + 1;
            functions.push(Function { id, name, system_name: name, filename });
            id
        });
        let locations = &mut self.locations;
        *self.known_locations.entry((function_id, line)).or_insert_with(|| {
            let id = locations.len() as u64 + 1;
            locations.push(Location { id, line: vec![Line { function_id, line }] });
            id
        })
    }
}

/// `perftools.profiles.Profile`, the part in use; its numbers are the format's.
#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    r#type: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    label: Vec<Label>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(int64, tag = "1")]
    key: i64,
    #[prost(int64, tag = "2")]
    str: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lines_are_one_location_and_texts_begin_with_the_empty_one() {
        let mut tables = Tables::default();
        assert_eq!(tables.text(""), 0);
        let first = tables.location("f", "a.rs", 7);
        assert_eq!(tables.location("f", "a.rs", 7), first);
        let second = tables.location("f", "a.rs", 8);
        assert_eq!((first, second), (1, 2));
        assert_eq!((tables.functions.len(), tables.locations.len()), (1, 2));
        assert_eq!(tables.texts, ["", "f", "a.rs"]);
    }
}
