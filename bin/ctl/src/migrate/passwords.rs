//! Passwords of users, from a file: the API of a cluster does not give them away, not even as hashes.
//!
//! Must never print one.

use crate::exit::Exit;
use std::collections::BTreeMap;
use std::path::Path;

/// Users' passwords, by name.
#[derive(Clone, Default)]
pub struct Passwords(BTreeMap<String, String>);

impl Passwords {
    /// Reads lines of `name:password`. Empty lines and those that begin with `#` do not count.
    ///
    /// # Errors
    /// A file that cannot be read, or the number of a line that is none of these.
    pub fn read(path: &Path) -> Result<Self, Exit> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|why| Exit::args(format!("--passwords-file {shown} cannot be read: {why}")))?;
        Self::parse(&text).map_err(|line| {
            Exit::args(format!("line {line} of --passwords-file {shown} is not of the form name:password"))
        })
    }

    fn parse(text: &str) -> Result<Self, usize> {
        let mut found = BTreeMap::new();
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            match line.split_once(':') {
                Some((name, password)) if !name.is_empty() && !password.is_empty() => {
                    found.insert(name.to_owned(), password.to_owned());
                }
                _ => return Err(at + 1),
            }
        }
        Ok(Self(found))
    }

    /// Adds what is known from elsewhere; the file goes first.
    pub fn know(&mut self, name: &str, password: &str) {
        self.0.entry(name.to_owned()).or_insert_with(|| password.to_owned());
    }

    /// A user's password, if it is known.
    pub fn of(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_hold_colons_and_a_line_without_one_is_told() {
        let read = Passwords::parse("# ours\n\nroot:a:b\nann:x\n").expect("it is well formed");
        assert_eq!((read.of("root"), read.of("ann"), read.of("bob")), (Some("a:b"), Some("x"), None));
        assert_eq!(Passwords::parse("root:x\nann\n").err(), Some(2));
        assert_eq!(Passwords::parse("ann:\n").err(), Some(1));
    }
}
