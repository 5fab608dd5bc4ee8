//! A report as a terminal shows it: headings, bars and failures stand out, and bars begin below each other.
//!
//! Must never be used for a pipe or a file: there the report is etcd's, byte for byte.

/// What separates a bar's edge and count from the bar.
const BAR: &str = "\t|";

fn wide(text: &str) -> usize {
    text.chars().count()
}

/// The report with colours.
pub fn painted(report: &str) -> String {
    let edges = report.lines().filter_map(|line| line.split_once(BAR));
    let widest = edges.map(|(edge, _)| wide(edge)).max().unwrap_or(0);
    let mut failures = false;
    let mut out = String::with_capacity(report.len() + 512);
    for line in report.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        if let Some((edge, bar)) = line.split_once(BAR) {
            out.push_str(&format!("{edge}{} │\x1b[36m{bar}\x1b[0m", " ".repeat(widest - wide(edge))));
        } else if line.ends_with(':') && !line.starts_with(' ') {
            failures = line == "Error distribution:";
            out.push_str(&format!("\x1b[1m{line}\x1b[0m"));
        } else if failures && line.starts_with("  [") {
            out.push_str(&format!("\x1b[31m{line}\x1b[0m"));
        } else if line.trim_start().starts_with("Requests/sec:") {
            out.push_str(&format!("\x1b[32m{line}\x1b[0m"));
        } else {
            out.push_str(line);
        }
        out.push_str(end);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_below_each_other_and_nothing_is_lost() {
        let report = "\nSummary:\n  Total:\t2.0000 secs.\n  Requests/sec:\t50.0000\n\nResponse time histogram:\n  \
                      0.0010 [1]\t|\n  0.0109 [1000]\t|∎∎∎\n\nError distribution:\n  [3]\tgone\n";
        let shown = painted(report);
        assert!(shown.contains("  0.0010 [1]    │\x1b[36m\x1b[0m\n  0.0109 [1000] │\x1b[36m∎∎∎\x1b[0m\n"), "{shown}");
        assert!(
            shown.contains("\n\x1b[1mSummary:\x1b[0m\n") && shown.contains("\x1b[31m  [3]\tgone\x1b[0m\n"),
            "{shown}"
        );
        assert_eq!(shown.lines().count(), report.lines().count());
        assert_eq!(painted(""), "");
    }
}
