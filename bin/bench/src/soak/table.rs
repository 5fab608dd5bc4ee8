//! The table of a soak and the verdict over it.
//!
//! Must judge from rows alone, so that a verdict can be tested.

/// One window.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    /// Seconds since the start, at its end.
    pub(super) at: u64,
    /// Writes per second.
    pub(super) puts: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p999_ms: f64,
    pub(super) max_ms: f64,
    /// Reads per second.
    pub(super) reads: f64,
    pub(super) read_p99_ms: f64,
    /// Events per second, of all watchers.
    pub(super) events: f64,
    /// Acknowledged writes that the watcher of everything had not seen at the end.
    pub(super) lag: u64,
    /// Resident memory of the server, bytes; zero: not known.
    pub(super) rss: u64,
    /// Bytes of its data folder; zero: not known.
    pub(super) disk: u64,
    /// Server CPU microseconds for each write, everything else of the window included.
    pub(super) cpu_us: f64,
    /// Compactions, defragmentations and snapshots that ended in the window.
    pub(super) work: String,
    pub(super) faults: u64,
}

pub(super) const HEAD: &str = "\
| s | puts/s | p50 ms | p99 | p99.9 | max | reads/s | read p99 | events/s | lag | RSS MiB | disk MiB | CPU µs/put | work | faults |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
";

const MIB: f64 = (1 << 20) as f64;

impl Row {
    pub(super) fn line(&self) -> String {
        format!(
            "| {} | {:.0} | {:.2} | {:.2} | {:.2} | {:.1} | {:.0} | {:.2} | {:.0} | {} | {:.0} | {:.0} | {:.1} | {} | {} |\n",
            self.at,
            self.puts,
            self.p50_ms,
            self.p99_ms,
            self.p999_ms,
            self.max_ms,
            self.reads,
            self.read_p99_ms,
            self.events,
            self.lag,
            self.rss as f64 / MIB,
            self.disk as f64 / MIB,
            self.cpu_us,
            self.work,
            self.faults
        )
    }
}

/// Limits in bytes; zero: none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    pub(super) rss: u64,
    pub(super) disk: u64,
}

/// One question and its answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Finding {
    pub(super) passed: bool,
    pub(super) words: String,
}

fn middle(values: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = values.collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(0.0)
}

/// Judges what must not grow: by a factor and so many MiB from the first third to the last, and by a limit in bytes if there is one.
fn growth(name: &str, rows: &[Row], get: fn(&Row) -> u64, (factor, slack): (f64, f64), limit: u64) -> Vec<Finding> {
    let (first, last) = thirds(rows);
    let top = |rows: &[Row]| rows.iter().map(get).max().unwrap_or(0) as f64 / MIB;
    let (before, after, peak) = (top(first), top(last), top(rows));
    let mut out = Vec::new();
    if peak == 0.0 {
        return out;
    }
    let words = format!(
        "{name}: at most {before:.0} MiB in the first third, {after:.0} MiB in the last (at most {factor} times and {slack} MiB)"
    );
    out.push(Finding { passed: after <= factor * before + slack, words });
    if limit > 0 {
        let limit = limit as f64 / MIB;
        out.push(Finding { passed: peak <= limit, words: format!("{name}: peak {peak:.0} MiB, limit {limit:.0} MiB") });
    }
    out
}

fn thirds(rows: &[Row]) -> (&[Row], &[Row]) {
    let third = (rows.len() / 3).max(1).min(rows.len());
    (&rows[..third], &rows[rows.len() - third..])
}

/// Judges a run from its rows. Thirds are compared, because a single window may be anything.
pub(super) fn verdict(rows: &[Row], limits: Limits, missing: u64, faults: u64) -> Vec<Finding> {
    let (first, last) = thirds(rows);
    let mut out = Vec::new();
    let mut say = |passed: bool, words: String| out.push(Finding { passed, words });
    say(faults == 0, format!("{faults} faults in writes, reads, events, compactions, defragmentations and snapshots"));
    say(missing == 0, format!("{missing} events missing at the end"));

    let of = |rows: &[Row], get: fn(&Row) -> f64| middle(rows.iter().map(get));
    let (before, after, all) = (of(first, |r| r.puts), of(last, |r| r.puts), of(rows, |r| r.puts));
    let least = rows.iter().map(|r| r.puts).fold(f64::MAX, f64::min);
    say(
        after >= 0.85 * before,
        format!("throughput: {before:.0}/s in the first third, {after:.0}/s in the last (at least 85 %)"),
    );
    say(least >= 0.5 * all, format!("slowest window {least:.0}/s, median {all:.0}/s (at least half)"));

    let (before, after, all) = (of(first, |r| r.p99_ms), of(last, |r| r.p99_ms), of(rows, |r| r.p99_ms));
    let most = rows.iter().map(|r| r.p99_ms).fold(0.0, f64::max);
    say(
        after <= 1.5 * before,
        format!("p99: {before:.1} ms in the first third, {after:.1} ms in the last (at most 1.5 times)"),
    );
    say(most <= 3.0 * all, format!("worst p99 of a window {most:.1} ms, median {all:.1} ms (at most 3 times)"));

    out.extend(growth("memory", rows, |r| r.rss, (1.10, 32.0), limits.rss));
    out.extend(growth("files", rows, |r| r.disk, (1.15, 64.0), limits.disk));
    out
}

/// The findings as text; the last line is the verdict.
pub(super) fn rendered(findings: &[Finding]) -> String {
    let mut out = String::from("\n");
    for finding in findings {
        out += &format!("- {}: {}\n", if finding.passed { "ok" } else { "FAILED" }, finding.words);
    }
    let failed = findings.iter().filter(|finding| !finding.passed).count();
    out += &match failed {
        0 => "\nVerdict: passed\n".to_owned(),
        failed => format!("\nVerdict: FAILED ({failed} of {})\n", findings.len()),
    };
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(change: impl Fn(u64, &mut Row)) -> Vec<Row> {
        let row = |at| {
            let mut row = Row { at, puts: 30_000.0, p99_ms: 40.0, rss: 400 << 20, disk: 900 << 20, ..Row::default() };
            change(at, &mut row);
            row
        };
        (0..30).map(row).collect()
    }

    fn failed(rows: &[Row], limits: Limits, missing: u64, faults: u64) -> Vec<String> {
        let findings = verdict(rows, limits, missing, faults);
        findings.into_iter().filter(|f| !f.passed).map(|f| f.words).collect()
    }

    #[test]
    fn a_flat_run_passes() {
        let flat = rows(|_, _| {});
        assert!(failed(&flat, Limits { rss: 500 << 20, disk: 1 << 30 }, 0, 0).is_empty());
        assert!(rendered(&verdict(&flat, Limits::default(), 0, 0)).ends_with("\nVerdict: passed\n"));
    }

    #[test]
    fn each_drift_fails_alone() {
        let none = Limits::default();
        let one = |rows: &[Row], limits, missing, faults, words: &str| {
            let said = failed(rows, limits, missing, faults);
            assert!(said.len() == 1 && said[0].contains(words), "{words}: {said:?}");
        };
        one(&rows(|at, r| r.puts -= at as f64 * 250.0), none, 0, 0, "throughput");
        one(&rows(|at, r| r.puts /= if at == 15 { 3.0 } else { 1.0 }), none, 0, 0, "slowest window");
        one(&rows(|at, r| r.p99_ms += at as f64 * 1.5), none, 0, 0, "p99: ");
        one(&rows(|at, r| r.p99_ms *= if at == 15 { 4.0 } else { 1.0 }), none, 0, 0, "worst p99");
        one(&rows(|at, r| r.rss += at << 22), none, 0, 0, "memory");
        one(&rows(|at, r| r.disk += at << 24), none, 0, 0, "files");
        let flat = rows(|_, _| {});
        one(&flat, Limits { rss: 300 << 20, disk: 0 }, 0, 0, "peak 400 MiB");
        one(&flat, none, 1, 0, "missing");
        one(&flat, none, 0, 1, "faults");
        assert_eq!(HEAD.lines().next().unwrap().matches('|').count(), flat[0].line().matches('|').count());
    }
}
