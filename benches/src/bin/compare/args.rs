//! The command line of `compare`.
//!
//! Must name every figure in its help.

use crate::figures::FIGURES;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What to compare and how.
pub struct Args {
    pub conclave: Option<PathBuf>,
    pub etcd: Option<PathBuf>,
    /// `net/examples/echo.rs`, for the floor of one put.
    pub echo: Option<PathBuf>,
    /// Where data folders are made.
    pub dir: PathBuf,
    pub out: PathBuf,
    pub json: Option<PathBuf>,
    only: Vec<String>,
    big: bool,
    /// For one figure.
    pub limit: Duration,
    /// For the whole run.
    pub whole: Duration,
    pub keys: u64,
    /// Keys of the second restart.
    pub big_keys: u64,
    pub puts: u64,
    /// Load with transactions of 100 puts instead of single puts.
    pub batched: bool,
    /// Members of each side.
    pub members: usize,
    /// How often every figure is taken, the sides in turn.
    pub rounds: usize,
    /// Where the ratios are drawn.
    pub chart: Option<PathBuf>,
}

const USAGE: &str = "compare takes the same figures of Conclave and of etcd, one server at a time, and writes a table.

Usage:
  compare --conclave=FILE --etcd=FILE [flags]

Flags:
  --conclave=FILE   daemon of Conclave (leave out one of the two to take the other's figures alone)
  --etcd=FILE       etcd
  --echo=FILE       net's example `echo`: with it, the figure `one` has the echo of the door
  --dir=DIR         where data folders are made (default: the system's folder for temporary files)
  --out=FILE        table in Markdown (default compare.md)
  --json=FILE       the same as JSON
  --chart=FILE      the ratios as a drawing (SVG)
  --only=A,B        these figures alone
  --rounds=N        take every figure N times, the sides in turn, and report medians and spreads (default 1)
  --big             also the figures that take long
  --limit=SECONDS   longest time of one figure (default 240)
  --whole=SECONDS   longest time of the run; figures that do not fit are noted (default 900)
  --keys=N          keys that are loaded twice (default 1000000)
  --members=N       members of each side (default 1)
  --big-keys=N      keys of the figures `big` and `join` (default 3000000)
  --puts=N          writes of the figure `cpu`, for each kind of keys (default 200000)
  --batched         load with transactions of 100 writes (faster; etcd's memory differs a little)

Figures:
";

/// The help text.
pub fn help() -> String {
    let mut out = USAGE.to_owned();
    for figure in FIGURES {
        let note = if figure.optional { " (only with --big or --only)" } else { "" };
        out += &format!("  {:<10}{}{note}\n", figure.name, figure.about);
    }
    out
}

impl Args {
    /// Reads the command line; none: print the help.
    pub fn parse(words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut args = Self {
            conclave: None,
            etcd: None,
            echo: None,
            dir: std::env::temp_dir(),
            out: "compare.md".into(),
            json: None,
            only: Vec::new(),
            big: false,
            limit: Duration::from_secs(240),
            whole: Duration::from_secs(900),
            keys: 1_000_000,
            big_keys: 3_000_000,
            puts: 200_000,
            batched: false,
            members: 1,
            rounds: 1,
            chart: None,
        };
        for word in words {
            let (name, value) = word.split_once('=').unwrap_or((&word, ""));
            let number =
                || value.parse::<u64>().ok().filter(|n| *n > 0).ok_or(format!("{word}: not a number above zero"));
            let file = || {
                let path = PathBuf::from(value);
                if path.is_file() { Ok(Some(path)) } else { Err(format!("{word}: no such file")) }
            };
            match name {
                "--help" | "-h" => return Ok(None),
                "--conclave" => args.conclave = file()?,
                "--etcd" => args.etcd = file()?,
                "--echo" => args.echo = file()?,
                "--dir" => args.dir = value.into(),
                "--out" => args.out = value.into(),
                "--chart" => args.chart = Some(value.into()),
                "--json" => args.json = Some(value.into()),
                "--only" => args.only = known(value)?,
                "--big" => args.big = true,
                "--batched" => args.batched = true,
                "--limit" => args.limit = Duration::from_secs(number()?),
                "--whole" => args.whole = Duration::from_secs(number()?),
                "--members" => args.members = number()? as usize,
                "--rounds" => args.rounds = number()? as usize,
                "--keys" => args.keys = number()?,
                "--big-keys" => args.big_keys = number()?,
                "--puts" => args.puts = number()?,
                _ => return Err(format!("unknown flag {word}")),
            }
        }
        if args.sides().is_empty() {
            return Err("name at least one of --conclave=FILE and --etcd=FILE".into());
        }
        Ok(Some(args))
    }

    /// Names and binaries, ours first: if time runs out, ours is there.
    pub fn sides(&self) -> Vec<(&'static str, &Path)> {
        let both = [("conclave", &self.conclave), ("etcd", &self.etcd)];
        both.into_iter().filter_map(|(name, path)| Some((name, path.as_deref()?))).collect()
    }

    /// Whether a figure was asked for.
    pub fn wants(&self, name: &str, optional: bool) -> bool {
        match self.only.is_empty() {
            true => self.big || !optional,
            false => self.only.iter().any(|only| only == name),
        }
    }
}

fn known(list: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = list.split(',').map(str::to_owned).collect();
    match names.iter().find(|name| !FIGURES.iter().any(|figure| figure.name == *name)) {
        Some(unknown) => Err(format!("there is no figure {unknown:?}")),
        None => Ok(names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Args>, String> {
        Args::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn figures_are_chosen_by_name() {
        let line = format!("--etcd={}", std::env::current_exe().unwrap().display());
        let args = parse(&line).unwrap().unwrap();
        assert!(args.wants("cpu", false) && !args.wants("big", true));
        let args = parse(&format!("{line} --only=big,one --keys=5 --members=3 --rounds=2")).unwrap().unwrap();
        assert!(
            !args.wants("cpu", false) && args.wants("big", true) && (args.keys, args.members, args.rounds) == (5, 3, 2)
        );
        assert_eq!(args.sides().len(), 1);
    }

    #[test]
    fn mistakes() {
        for line in ["", "--etcd=/none", "--what", "--keys=0 --etcd=x", "--only=nothing"] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(parse("--help").unwrap().is_none());
        assert!(FIGURES.iter().all(|figure| help().contains(figure.name)));
    }
}
