//! Sizes and headers of source files: 600 lines a file, 70 a function, a `//!` header on each. Must never change a file.

use crate::source;
use std::fs;
use std::path::Path;

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;

/// Every file or function that is too large, and every file without a header.
pub fn check(root: &Path) -> Vec<String> {
    source::files(root, &["rs"]).iter().flat_map(|path| offences(root, path)).collect()
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
    let long = long_functions(&lines);
    out.extend(long.map(|(at, length)| format!("{shown}:{at}: function of {length} lines, at most {FUNCTION_LINES}")));
    out
}

/// Functions as rustfmt lays them out: from the line with `fn`, through a signature of any number of lines, to the
/// closing brace at the same indentation.
fn long_functions<'a>(lines: &'a [&'a str]) -> impl Iterator<Item = (usize, usize)> + 'a {
    lines.iter().enumerate().filter(|(_, line)| is_function(line)).filter_map(|(at, line)| {
        let indent = &line[..line.len() - line.trim_start().len()];
        let close = format!("{indent}}}");
        let length = body_end(&lines[at..], &close)? + 1;
        (length > FUNCTION_LINES).then_some((at + 1, length))
    })
}

/// Index of the closing line, `None` for a declaration and for a function of one line.
fn body_end(lines: &[&str], close: &str) -> Option<usize> {
    let opened = lines.iter().position(|line| line.ends_with(['{', ';', '}']))?;
    if !lines[opened].ends_with('{') {
        return None;
    }
    lines.iter().skip(opened).position(|line| *line == close).map(|after| opened + after)
}

fn is_function(line: &str) -> bool {
    const BEFORE: &[&str] = &["pub", "async", "const", "extern", "default"];
    let mut words = line.split_whitespace();
    let word = words.find(|word| !BEFORE.contains(word) && !word.starts_with("pub(") && *word != "\"C\"");
    word == Some("fn")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_body(signature: &[&'static str], lines: usize) -> Vec<&'static str> {
        let mut text = signature.to_vec();
        text.extend(std::iter::repeat_n("        work();", lines));
        text.extend(["    }", "    fn short() {", "    }"]);
        text
    }

    #[test]
    fn a_function_is_measured_to_its_closing_brace() {
        let text = with_body(&["    pub(crate) async fn long() {"], FUNCTION_LINES - 1);
        assert_eq!(long_functions(&text).collect::<Vec<_>>(), [(1, FUNCTION_LINES + 1)]);
    }

    #[test]
    fn a_signature_of_several_lines_counts() {
        let signature = [
            "    fn long(",
            "        &self,",
            "        a: u8,",
            "    ) -> u8",
            "    where",
            "        u8: Copy,",
            "    {",
        ];
        let text = with_body(&signature, FUNCTION_LINES - 7);
        assert_eq!(long_functions(&text).collect::<Vec<_>>(), [(1, FUNCTION_LINES + 1)]);
    }

    #[test]
    fn a_declaration_has_no_body() {
        let mut text = vec!["    fn declared(&self, a: u8);", "    fn wrapped(", "        &self,", "    ) -> u8;"];
        text.extend(std::iter::repeat_n("    // words", FUNCTION_LINES));
        text.extend(["    impl X {", "    }"]);
        assert_eq!(long_functions(&text).count(), 0);
    }
}
