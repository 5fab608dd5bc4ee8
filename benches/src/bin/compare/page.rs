//! The table and its files: written again after every figure.
//!
//! Must show a figure that failed as failed, not leave it out.

use crate::args::Args;
use crate::chart::{self, Bar};
use crate::figures::{Figure, Value};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// One line of the table. Several rounds are reported as their median and spread.
struct Line {
    figure: &'static str,
    value: &'static str,
    unit: &'static str,
    target: &'static str,
    /// What each round gave.
    sides: BTreeMap<&'static str, Vec<f64>>,
}

impl Line {
    fn median(&self, side: &str) -> Option<f64> {
        let mut sorted = self.sides.get(side)?.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    }

    fn ratio(&self) -> Option<f64> {
        let (ours, theirs) = (self.median("conclave")?, self.median("etcd")?);
        (theirs != 0.0).then(|| ours / theirs)
    }

    /// The least and the greatest ratio that any two rounds have.
    fn spread(&self) -> Option<(f64, f64)> {
        let (ours, theirs) = (self.sides.get("conclave")?, self.sides.get("etcd")?);
        let least = |of: &[f64]| of.iter().copied().min_by(f64::total_cmp);
        let most = |of: &[f64]| of.iter().copied().max_by(f64::total_cmp);
        Some((least(ours)? / most(theirs)?, most(ours)? / least(theirs)?))
    }

    fn cell(&self, side: &str) -> String {
        let rounds = self.sides.get(side).map_or(&[][..], Vec::as_slice);
        let mut out = shown(self.median(side).as_ref());
        if rounds.len() > 1 {
            let mut sorted = rounds.to_vec();
            sorted.sort_unstable_by(f64::total_cmp);
            out += &format!(" ({} to {})", shown(sorted.first()), shown(sorted.last()));
        }
        out
    }
}

/// The results so far.
pub struct Page {
    out: PathBuf,
    json: Option<PathBuf>,
    chart: Option<PathBuf>,
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
        let (out, json, chart) = (args.out.clone(), args.json.clone(), args.chart.clone());
        Self { out, json, chart, lines: Vec::new(), notes: Vec::new(), closed: false }
    }

    /// Adds what a figure gave for a side.
    pub fn put(&mut self, figure: &Figure, side: &'static str, values: &[Value], took: Duration) {
        for value in values {
            eprintln!("{side}: {} {} = {} {}", figure.name, value.name, shown(Some(&value.number)), value.unit);
            let same = |line: &&mut Line| line.figure == figure.name && line.value == value.name;
            match self.lines.iter_mut().find(same) {
                Some(line) => line.sides.entry(side).or_default().push(value.number),
                None => self.lines.push(Line {
                    figure: figure.name,
                    value: value.name,
                    unit: value.unit,
                    target: value.target,
                    sides: BTreeMap::from([(side, vec![value.number])]),
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
        if let Some(path) = &self.chart {
            fs::write(path, chart::draw(&self.bars()))?;
        }
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
            out += &format!(
                "| {} | {} | {} | {} | {} | {} | {} |\n",
                line.figure,
                line.value,
                line.unit,
                line.cell("conclave"),
                line.cell("etcd"),
                line.ratio().map_or("–".into(), |ratio| format!("{ratio:.3}")),
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

    /// A bar for each line that has both sides and of which less is better.
    fn bars(&self) -> Vec<Bar> {
        let less_is_better = self.lines.iter().filter(|line| !line.unit.ends_with("/s"));
        let bar = |line: &Line| {
            let label = format!("{}: {}", line.figure, line.value);
            Some(Bar { label, ratio: line.ratio()?, spread: line.spread()? })
        };
        less_is_better.filter_map(bar).collect()
    }

    fn as_json(&self) -> Json {
        let lines = self.lines.iter().map(|line| {
            let sides: Map<String, Json> = line.sides.iter().map(|(side, n)| ((*side).to_owned(), json!(n))).collect();
            json!({ "figure": line.figure, "value": line.value, "unit": line.unit, "wanted": line.target, "sides": sides })
        });
        json!({ "complete": self.closed, "lines": lines.collect::<Vec<_>>(), "notes": self.notes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_shown_as_median_and_spread_and_only_costs_are_drawn() {
        let line = |unit, ours: &[f64], theirs: &[f64]| Line {
            figure: "cpu",
            value: "sequential keys",
            unit,
            target: "",
            sides: BTreeMap::from([("conclave", ours.to_vec()), ("etcd", theirs.to_vec())]),
        };
        let page = Page {
            out: PathBuf::new(),
            json: None,
            chart: None,
            lines: vec![line("µs", &[30.0, 10.0, 20.0], &[80.0, 40.0, 50.0]), line("puts/s", &[9.0], &[3.0])],
            notes: Vec::new(),
            closed: true,
        };
        let table = page.markdown();
        assert!(table.contains("| 20.00 (10.00 to 30.00) | 50.00 (40.00 to 80.00) | 0.400 |"), "{table}");
        assert!(table.contains("| 9.00 | 3.00 | 3.000 |"), "{table}");
        let bars = page.bars();
        assert_eq!(bars.len(), 1, "more puts a second are better, and no bar says so");
        assert_eq!((bars[0].ratio, bars[0].spread), (0.4, (0.125, 0.75)));
    }
}
