//! Sizes and headers of source files: 600 lines a file, 70 a function, a `//!` header on each.

use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;
const SKIP: &[&str] = &["target", ".git", "node_modules"];

/// Every file or function that is too large, and every file without a header.
pub fn check(root: &Path) -> Vec<String> {
    let mut files = Vec::new();
    collect(root, &mut files);
    files.sort();
    files.iter().flat_map(|path| offences(root, path)).collect()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if !SKIP.iter().any(|skip| name == *skip) {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
}

fn offences(root: &Path, path: &Path) -> Vec<String> {
    let shown = path.strip_prefix(root).unwrap_or(path).display();
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(why) => return vec![format!("{shown}: {why}")],
    };
    let lines: Vec<_> = text.lines().collect();
    let mut out = Vec::new();
    if !lines.iter().any(|line| line.starts_with("//!")) {
        out.push(format!("{shown}: no //! header"));
    }
    if lines.len() > FILE_LINES {
        out.push(format!("{shown}: {} lines, at most {FILE_LINES}", lines.len()));
    }
    out.extend(
        long_functions(&lines)
            .map(|(at, length)| format!("{shown}:{at}: function of {length} lines, at most {FUNCTION_LINES}")),
    );
    out
}

/// Functions as rustfmt lays them out: from the line with `fn` to the closing brace at the same indentation.
fn long_functions<'a>(lines: &'a [&'a str]) -> impl Iterator<Item = (usize, usize)> + 'a {
    lines.iter().enumerate().filter(|(_, line)| is_function(line)).filter_map(|(at, line)| {
        let indent = &line[..line.len() - line.trim_start().len()];
        let close = format!("{indent}}}");
        let length = lines[at..]
            .iter()
            .position(|l| *l == close || (l.trim_end().ends_with(';') && l.starts_with(&format!("{indent}fn "))))?
            + 1;
        (length > FUNCTION_LINES).then_some((at + 1, length))
    })
}

fn is_function(line: &str) -> bool {
    let mut words = line.split_whitespace().take_while(|w| !w.contains('=') && !w.starts_with("//"));
    line.trim_end().ends_with('{') && words.any(|w| w == "fn")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_measured_to_its_closing_brace() {
        let mut text = vec!["    pub fn long() {"];
        text.extend(std::iter::repeat_n("        work();", FUNCTION_LINES - 1));
        text.extend(["    }", "    fn short() {", "    }"]);
        assert_eq!(long_functions(&text).collect::<Vec<_>>(), [(1, FUNCTION_LINES + 1)]);
    }
}
