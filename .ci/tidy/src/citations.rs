//! Comments and pages cite only files that are in the tree. Must never change a file.

use crate::source;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// One sentence for every cited file that is not there, and for every citation of a page that is not ours.
pub fn check(root: &Path) -> Vec<String> {
    let all = source::files(root, &["rs", "md", "sh", "proto", "toml", "c", "py", "txt", "yml", "yaml"]);
    let known: BTreeSet<String> = all
        .iter()
        .filter_map(|path| path.strip_prefix(root).ok())
        .flat_map(|path| suffixes(&path.to_string_lossy()))
        .collect();
    let texts = all.iter().filter(|path| path.extension().is_some_and(|e| e == "rs" || e == "md"));
    let mut out = Vec::new();
    for path in texts {
        let shown = path.strip_prefix(root).unwrap_or(path).display().to_string();
        let text = fs::read_to_string(path).unwrap_or_default();
        let page = shown.ends_with(".md");
        out.extend(offences(&text, page, &known).into_iter().map(|(line, what)| format!("{shown}:{line}: {what}")));
    }
    out
}

/// The path, and what remains of it when folders are taken off its front.
fn suffixes(path: &str) -> Vec<String> {
    let parts: Vec<_> = path.split('/').collect();
    (0..parts.len()).map(|from| parts[from..].join("/")).collect()
}

fn offences(text: &str, page: bool, known: &BTreeSet<String>) -> Vec<(usize, String)> {
    let mut out = Vec::new();
    let mut fenced = false;
    for (at, line) in text.lines().enumerate() {
        fenced ^= page && line.trim_start().starts_with("```");
        let prose = match page {
            // what a user types may name files of the user's own
            true if fenced || line.starts_with("    ") => "",
            true => line,
            false => comment_of(line),
        };
        if prose.contains("design §") || prose.contains("design.md") {
            out.push((at + 1, "cites the design page, which is not in the tree".into()));
        }
        let missing = cited(prose).filter(|file| !known.contains(*file));
        out.extend(missing.map(|file| (at + 1, format!("cites {file}, which is not in the tree"))));
    }
    out
}

fn comment_of(line: &str) -> &str {
    let start = line.trim_start();
    if start.starts_with("//") { start } else { "" }
}

/// Words that look like a Rust file or a page of ours, without dots and folders before them.
fn cited(prose: &str) -> impl Iterator<Item = &str> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let words = prose.split(move |c: char| !is_path(c)).filter(|word| !word.contains("//"));
    let words = words.map(|word| word.trim_start_matches("../").trim_start_matches("./").trim_end_matches('.'));
    words.filter(|word| word.ends_with(".rs") || word.ends_with(".md")).filter(|word| !word.starts_with(['.', '/']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_the_end_of_its_path() {
        let known = suffixes("storage/src/wal/scan.rs").into_iter().collect();
        let text = "// see `wal/scan.rs`, (scan.rs) and lost.rs\nlet x = \"gone.rs\";\n//! as design §6 says";
        let found = offences(text, false, &known);
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 3], "{found:?}");
    }
}
