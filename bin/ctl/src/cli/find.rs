//! Finds the command a line names.

use super::spec::{Command, Flag, Kind, flags_of};
use super::{program, text};

/// What was found.
pub struct Found {
    /// From the root to the command.
    pub path: Vec<&'static Command>,
    /// The line without the names of the path.
    pub rest: Vec<Vec<u8>>,
    /// What to say about a name nobody has.
    pub unknown: Option<String>,
}

/// Walks down the names of a line.
pub fn find(root: &'static Command, line: &[Vec<u8>]) -> Found {
    let mut path = vec![root];
    let mut rest = line.to_vec();
    loop {
        let here = *path.last().expect("the root at least");
        let flags = flags_of(&path);
        let Some(at) = first_word(&flags, &rest) else { break };
        if here.below.is_empty() {
            break;
        }
        let Some(next) = below(here, &rest[at]) else {
            let unknown = (path.len() == 1).then(|| unknown(here, &text(&rest[at])));
            return Found { path, rest, unknown };
        };
        rest.remove(at);
        path.push(next);
    }
    Found { path, rest, unknown: None }
}

/// Names of a path, the program's first.
pub fn path_text(path: &[&Command]) -> String {
    // the tree of a transaction's requests has a root without a name
    let root = if path.first().is_some_and(|root| root.name.is_empty()) { "" } else { program() };
    path.iter().skip(1).fold(root.to_owned(), |text, command| format!("{text} {}", command.name))
}

/// The command of this name, or the only one that begins with it.
fn below(here: &'static Command, name: &[u8]) -> Option<&'static Command> {
    if let Some(found) = here.below.iter().find(|command| command.name.as_bytes() == name) {
        return Some(found);
    }
    let mut begun = here.below.iter().filter(|command| command.name.as_bytes().starts_with(name));
    let first = begun.next()?;
    if begun.next().is_some() { None } else { Some(first) }
}

/// Place of the first word that is neither a flag nor the value of one.
fn first_word(flags: &[&'static Flag], line: &[Vec<u8>]) -> Option<usize> {
    let mut at = 0;
    while let Some(word) = line.get(at) {
        match word.as_slice() {
            b"--" => return None,
            [b'-', b'-', long @ ..] => {
                let alone = flags.iter().any(|flag| flag.kind == Kind::Bool && flag.name.as_bytes() == long);
                at += if long.contains(&b'=') || alone { 1 } else { 2 };
            }
            [b'-', letter] => {
                let alone = flags.iter().any(|flag| flag.kind == Kind::Bool && flag.short == Some(char::from(*letter)));
                at += if alone { 1 } else { 2 };
            }
            [b'-', _, ..] | [] => at += 1,
            _ => return Some(at),
        }
    }
    None
}

fn unknown(root: &Command, name: &str) -> String {
    let mut said = format!("unknown command {name:?} for {:?}", program());
    let mut close: Vec<&str> = root
        .below
        .iter()
        .map(|command| command.name)
        .filter(|known| distance(name, known) <= 2 || known.to_lowercase().starts_with(&name.to_lowercase()))
        .collect();
    close.sort_unstable();
    if !close.is_empty() {
        said.push_str("\n\nDid you mean this?\n");
        for known in close {
            said.push_str(&format!("\t{known}\n"));
        }
    }
    said
}

/// Levenshtein's distance, without regard to case.
fn distance(one: &str, other: &str) -> usize {
    let (one, other) = (one.to_lowercase(), other.to_lowercase());
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.chars().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if a == b { diagonal } else { 1 + diagonal.min(above).min(row[j]) };
            diagonal = above;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance("gt", "get"), 1);
        assert_eq!(distance("PUT", "put"), 0);
        assert_eq!(distance("", "put"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
