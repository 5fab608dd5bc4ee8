//! Rust files of the tree, and their text without comments and literals. Must never change a file.

use std::fs;
use std::path::{Path, PathBuf};

const SKIP: &[&str] = &["target", ".git", "node_modules"];

/// Every file below `root` with one of these endings, sorted by path.
pub fn files(root: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    collect(root, endings, &mut files);
    files.sort();
    files
}

fn collect(dir: &Path, endings: &[&str], files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if !SKIP.iter().any(|skip| name == *skip) {
                collect(&path, endings, files);
            }
        } else if path.extension().and_then(|e| e.to_str()).is_some_and(|e| endings.contains(&e)) {
            files.push(path);
        }
    }
}

/// The code with comments removed and string and character literals emptied; line breaks stay.
pub fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = skip_from(bytes, at);
        if end == at {
            out.push(if bytes[at].is_ascii() { bytes[at] as char } else { '_' });
            at += 1;
        } else {
            out.extend(bytes[at..end].iter().filter(|b| **b == b'\n').map(|_| '\n'));
            out.push(' ');
            at = end;
        }
    }
    out
}

/// End of the comment or literal that begins at `at`, or `at` when none does.
fn skip_from(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let end_of = |needle: &[u8], from: usize| {
        bytes[from..].windows(needle.len()).position(|w| w == needle).map_or(bytes.len(), |p| from + p + needle.len())
    };
    if rest.starts_with(b"//") {
        return bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |p| at + p);
    }
    if rest.starts_with(b"/*") {
        return end_of(b"*/", at + 2);
    }
    if rest[0] == b'"' {
        return end_of_string(bytes, at + 1);
    }
    let in_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if rest[0] == b'r' && !in_word {
        let hashes = rest[1..].iter().take_while(|b| **b == b'#').count();
        if rest.get(1 + hashes) == Some(&b'"') {
            let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
            return end_of(&close, at + 2 + hashes);
        }
    }
    if rest[0] == b'\'' {
        // a lifetime has no closing quote two characters on
        let escaped = rest.get(1) == Some(&b'\\');
        let close = if escaped { rest.iter().skip(3).position(|b| *b == b'\'').map(|p| p + 3) } else { Some(2) };
        if let Some(close) = close.filter(|close| rest.get(*close) == Some(&b'\'')) {
            return at + close + 1;
        }
    }
    at
}

fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// The code without the modules and items that exist in test builds only.
pub fn without_tests(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..at]);
        let item = &rest[at..];
        let open = item.find('{');
        let end = item.find(';');
        let length = match (open, end) {
            (Some(open), Some(end)) if end < open => end + 1,
            (Some(open), _) => open + balanced(&item[open..]),
            (None, Some(end)) => end + 1,
            (None, None) => item.len(),
        };
        rest = &item[length..];
    }
    out.push_str(rest);
    out
}

/// Length of the block that begins with the first brace of `text`.
fn balanced(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_no_code() {
        let code = code_only(
            "use a; // use b;\nlet s = \"use c; \\\" {\"; let r = r#\"use d \"x\"#; let q = '{'; fn f<'a>() {}",
        );
        assert!(code.contains("use a;") && code.contains("fn f<'a>() {}"), "{code}");
        assert!(!code.contains("use b") && !code.contains("use c") && !code.contains("use d"), "{code}");
        assert_eq!(code.matches('{').count(), 1, "{code}");
    }

    #[test]
    fn items_of_test_builds_are_left_out() {
        let code = without_tests("use a;\n#[cfg(test)]\nmod tests { use b; mod c { } }\n#[cfg(test)]\nmod d;\nuse e;");
        assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["use", "a;", "use", "e;"]);
    }
}
