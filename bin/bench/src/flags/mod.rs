//! Flags in the manner of etcd's tools: `--name=value` or `--name value`, anywhere after the command.
//!
//! Must check every value while parsing, so that a getter cannot fail later.

mod help;
mod spec;

pub use help::{command_help, overview};
pub use spec::{COMMANDS, Command, GLOBAL, Kind, Spec};

use std::collections::BTreeMap;
use std::time::Duration;

/// What the command line says.
#[derive(Debug)]
pub enum Asked {
    /// Run this command.
    Run(Given),
    /// Print this text and succeed.
    Print(String),
}

/// A command line that makes no sense, with the words for the user.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Misused(pub String);

/// A command with its flags and arguments.
#[derive(Debug)]
pub struct Given {
    /// The command.
    pub command: &'static Command,
    values: BTreeMap<&'static str, String>,
    /// What is not a flag.
    pub args: Vec<String>,
}

fn wrong(text: impl Into<String>) -> Misused {
    Misused(text.into())
}

/// Reads a command line without the program's name.
///
/// # Errors
/// Unknown commands and flags, missing or malformed values.
pub fn parse(args: &[String]) -> Result<Asked, Misused> {
    let name = args.iter().position(|arg| !arg.starts_with('-'));
    let wants_help = |args: &[String]| args.iter().any(|arg| arg == "--help" || arg == "-h");
    let Some(at) = name_position(args).or(name) else {
        return Ok(Asked::Print(overview()));
    };
    let command = match args[at].as_str() {
        "help" => {
            let known = args.get(at + 1).and_then(|name| find(name));
            return Ok(Asked::Print(known.map_or_else(overview, command_help)));
        }
        "version" => return Ok(Asked::Print(format!("conclave-bench {}\n", env!("CARGO_PKG_VERSION")))),
        name => find(name)
            .ok_or_else(|| wrong(format!("unknown command {name:?}; conclave-bench --help lists the commands")))?,
    };
    if wants_help(args) {
        return Ok(Asked::Print(command_help(command)));
    }
    let mut given = Given { command, values: BTreeMap::new(), args: Vec::new() };
    let mut rest = args[..at].iter().chain(&args[at + 1..]);
    while let Some(arg) = rest.next() {
        match arg.strip_prefix("--") {
            Some("") => given.args.extend(rest.by_ref().cloned()),
            Some(flag) => given.take(flag, &mut rest)?,
            None if arg.len() > 1 && arg.starts_with('-') => {
                return Err(wrong(format!("unknown flag {arg}; flags have two dashes")));
            }
            None => given.args.push(arg.clone()),
        }
    }
    Ok(Asked::Run(given))
}

/// The first word that is neither a flag nor the value of a flag.
fn name_position(args: &[String]) -> Option<usize> {
    let mut at = 0;
    while let Some(arg) = args.get(at) {
        let Some(flag) = arg.strip_prefix("--") else { return Some(at) };
        let takes_next =
            !flag.contains('=') && GLOBAL.iter().any(|spec| spec.name == flag && !matches!(spec.kind, Kind::Bool));
        at += if takes_next { 2 } else { 1 };
    }
    None
}

fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

impl Given {
    fn spec(&self, name: &str) -> Option<&'static Spec> {
        self.command.flags.iter().chain(GLOBAL).find(|spec| spec.name == name)
    }

    fn take<'a>(&mut self, flag: &str, rest: &mut impl Iterator<Item = &'a String>) -> Result<(), Misused> {
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        let unknown =
            || wrong(format!("unknown flag --{name}; conclave-bench {} --help lists its flags", self.command.name));
        let spec = self.spec(name).ok_or_else(unknown)?;
        let value = match (value, spec.kind) {
            (Some(value), _) => value,
            (None, Kind::Bool) => "true".into(),
            (None, _) => rest.next().cloned().ok_or_else(|| wrong(format!("--{name} needs a value")))?,
        };
        spec.kind.check(&value).map_err(|what| wrong(format!("--{name}={value}: {what}")))?;
        self.values.insert(spec.name, value);
        Ok(())
    }

    /// The value of a flag, or its default. Empty for a flag that the command does not have.
    pub fn text(&self, name: &str) -> &str {
        let default = || self.spec(name).map_or("", |spec| spec.default);
        self.values.get(name).map_or_else(default, String::as_str)
    }

    /// A whole number.
    pub fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or(0)
    }

    /// A whole number as a count of things in memory.
    pub fn count(&self, name: &str) -> usize {
        usize::try_from(self.number(name)).unwrap_or(usize::MAX)
    }

    /// A number with a fraction.
    pub fn fraction(&self, name: &str) -> f64 {
        self.text(name).parse().unwrap_or(0.0)
    }

    /// A switch.
    pub fn flag(&self, name: &str) -> bool {
        spec::truth(self.text(name)).unwrap_or(false)
    }

    /// A time.
    pub fn duration(&self, name: &str) -> Duration {
        units::duration(self.text(name)).unwrap_or_default()
    }

    /// A file, when named.
    pub fn path(&self, name: &str) -> Option<std::path::PathBuf> {
        Some(self.text(name)).filter(|path| !path.is_empty()).map(Into::into)
    }

    /// Flags that were given, for reports.
    pub fn spoken(&self) -> Vec<(String, String)> {
        let shown = |(name, value): (&&str, &String)| match *name {
            // a password is nobody's business
            "user" => ("user".into(), value.split(':').next().unwrap_or_default().into()),
            name => (name.to_owned(), value.clone()),
        };
        self.values.iter().map(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(line: &str) -> Result<Given, Misused> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match parse(&args)? {
            Asked::Run(given) => Ok(given),
            Asked::Print(text) => panic!("{text}"),
        }
    }

    #[test]
    fn flags_may_stand_anywhere() {
        let given = given("--conns 7 --precise put --clients=9 --total 5 --sequential-keys --user a:b").unwrap();
        assert_eq!(given.command.name, "put");
        assert_eq!((given.count("conns"), given.count("clients"), given.number("total")), (7, 9, 5));
        assert!(given.flag("precise") && given.flag("sequential-keys") && !given.flag("sample"));
        assert_eq!((given.number("val-size"), given.text("endpoints")), (8, "127.0.0.1:2379"));
        assert!(given.spoken().contains(&("user".into(), "a".into())));
    }

    #[test]
    fn arguments_and_switches_with_values() {
        let given = given("range --sample=false foo --limit 3 -- --bar").unwrap();
        assert_eq!(given.args, ["foo", "--bar"]);
        assert!(!given.flag("sample"));
    }

    #[test]
    fn mistakes_name_the_flag() {
        for (line, words) in [
            ("boot", "unknown command \"boot\""),
            ("put --bogus", "unknown flag --bogus"),
            ("put --total", "--total needs a value"),
            ("put --total=x", "--total=x: not a whole number"),
            ("put --compact-interval=5", "--compact-interval=5: not a duration"),
            ("put -x", "unknown flag -x"),
            ("put --sample=maybe", "--sample=maybe: neither true nor false"),
        ] {
            let said = given(line).unwrap_err().0;
            assert!(said.contains(words), "{line}: {said}");
        }
    }

    #[test]
    fn every_default_passes_its_own_check_and_every_command_has_help() {
        for command in COMMANDS {
            for spec in command.flags.iter().chain(GLOBAL) {
                assert!(spec.default.is_empty() || spec.kind.check(spec.default).is_ok(), "{}", spec.name);
                assert!(command_help(command).contains(&format!("--{}", spec.name)));
            }
            assert!(overview().contains(command.name));
        }
    }
}
