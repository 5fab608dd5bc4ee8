//! The table: written again after every figure.
//!
//! Must show a figure that failed as failed, not leave it out.

use crate::args::Args;
use crate::figures::{Figure, Value};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// One line of the table.
struct Line {
    figure: &'static str,
    value: &'static str,
    unit: &'static str,
    target: &'static str,
    sides: BTreeMap<&'static str, f64>,
}

/// The results so far.
pub struct Page {
    out: PathBuf,
    json: Option<PathBuf>,
    lines: Vec<Line>,
    notes: Vec<String>,
    closed: bool,
}

fn shown(value: Option<&f64>) -> String {
    match value {
        None => "–".into(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 1.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.4}"),
    }
}

impl Page {
    pub fn new(args: &Args) -> Self {
        Self { out: args.out.clone(), json: args.json.clone(), lines: Vec::new(), notes: Vec::new(), closed: false }
    }

    /// Adds what a figure gave for a side.
    pub fn put(&mut self, figure: &Figure, side: &'static str, values: &[Value], took: Duration) {
        for value in values {
            eprintln!("{side}: {} {} = {} {}", figure.name, value.name, shown(Some(&value.number)), value.unit);
            let same = |line: &&mut Line| line.figure == figure.name && line.value == value.name;
            match self.lines.iter_mut().find(same) {
                Some(line) => drop(line.sides.insert(side, value.number)),
                None => self.lines.push(Line {
                    figure: figure.name,
                    value: value.name,
                    unit: value.unit,
                    target: value.target,
                    sides: BTreeMap::from([(side, value.number)]),
                }),
            }
        }
        self.notes.push(format!("{side}: {} took {:.1} s", figure.name, took.as_secs_f64()));
    }

    /// A figure that could not be taken.
    pub fn failed(&mut self, figure: &Figure, side: &str, why: &str) {
        self.notes.push(format!("**{side}: {} FAILED: {why}**", figure.name));
    }

    /// The run is over.
    pub fn close(&mut self) -> io::Result<()> {
        self.closed = true;
        self.write()
    }

    /// Writes both files.
    pub fn write(&self) -> io::Result<()> {
        fs::write(&self.out, self.markdown())?;
        match &self.json {
            Some(path) => fs::write(path, format!("{:#}\n", self.as_json())),
            None => Ok(()),
        }
    }

    fn markdown(&self) -> String {
        let mut out = String::from(
            "| figure | value | unit | conclave | etcd | conclave / etcd | wanted |\n|---|---|---|---|---|---|---|\n",
        );
        for line in &self.lines {
            let (ours, theirs) = (line.sides.get("conclave"), line.sides.get("etcd"));
            let ratio = ours.zip(theirs).filter(|(_, theirs)| **theirs != 0.0).map(|(ours, theirs)| ours / theirs);
            out += &format!(
                "| {} | {} | {} | {} | {} | {} | {} |\n",
                line.figure,
                line.value,
                line.unit,
                shown(ours),
                shown(theirs),
                ratio.map_or("–".into(), |ratio| format!("{ratio:.3}")),
                line.target
            );
        }
        out += "\n";
        for note in &self.notes {
            out += &format!("- {note}\n");
        }
        if !self.closed {
            out += "- not complete: the run is under way or was cut short\n";
        }
        out
    }

    fn as_json(&self) -> Json {
        let lines = self.lines.iter().map(|line| {
            let sides: Map<String, Json> = line.sides.iter().map(|(side, n)| ((*side).to_owned(), json!(n))).collect();
            json!({ "figure": line.figure, "value": line.value, "unit": line.unit, "wanted": line.target, "sides": sides })
        });
        json!({ "complete": self.closed, "lines": lines.collect::<Vec<_>>(), "notes": self.notes })
    }
}
