//! What a command and a flag are made of.
//!
//! Must never read anything: these are tables.

use super::Input;
use crate::exit::Exit;
use std::future::Future;
use std::pin::Pin;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A switch; alone it means true.
    Bool,
    /// A whole number.
    Int,
    /// A whole number that is not negative.
    Uint,
    /// A length of time, as Go writes it.
    Duration,
    /// Any text.
    Text,
    /// Texts between commas; given again it grows.
    List,
}

/// A flag.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Its long name.
    pub name: &'static str,
    /// Its letter, if it has one.
    pub short: Option<char>,
    /// What it takes.
    pub kind: Kind,
    /// Value when it is not given.
    pub default: &'static str,
    /// One line of help.
    pub help: &'static str,
}

impl Flag {
    /// A flag without a letter.
    pub const fn new(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Self {
        Self { name, short: None, kind, default, help }
    }

    /// A switch that is off.
    pub const fn switch(name: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Bool, "false", help)
    }

    /// A whole number, 0.
    pub const fn int(name: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Int, "0", help)
    }

    /// A text, empty.
    pub const fn text(name: &'static str, help: &'static str) -> Self {
        Self::new(name, Kind::Text, "", help)
    }

    /// The same with a letter.
    pub const fn letter(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }
}

/// `-h`, which every command has.
pub const HELP: Flag = Flag::switch("help", "show this text").letter('h');

/// Where a command is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Keys, leases, watches.
    Keys,
    /// Members and their files.
    Cluster,
    /// Locks and elections.
    Concurrency,
    /// Users and roles.
    Authentication,
    /// The rest.
    Utility,
    /// Below another command.
    None,
}

impl Group {
    /// In the order of the help, with their titles.
    pub const TITLES: [(Self, &'static str); 5] = [
        (Self::Keys, "Key-value commands"),
        (Self::Cluster, "Cluster maintenance commands"),
        (Self::Concurrency, "Concurrency commands"),
        (Self::Authentication, "Authentication commands"),
        (Self::Utility, "Utility commands"),
    ];
}

/// What runs a command.
pub type Run = fn(Input) -> Pin<Box<dyn Future<Output = Result<(), Exit>>>>;

/// A command, or a group of them.
pub struct Command {
    /// Its name.
    pub name: &'static str,
    /// What follows the name in the usage line.
    pub usage: &'static str,
    /// One line.
    pub short: &'static str,
    /// What `--help` begins with; the short text when empty.
    pub long: &'static str,
    /// Examples, `{}` for the program's name.
    pub example: &'static str,
    /// Its own flags.
    pub flags: &'static [Flag],
    /// Flags of it and of everything below it.
    pub shared: &'static [Flag],
    /// Commands below it.
    pub below: &'static [Command],
    /// Where it is listed.
    pub group: Group,
    /// What runs it; without, its help is shown.
    pub run: Option<Run>,
    /// Exactly one argument out of these.
    pub words: Option<&'static [&'static str]>,
}

impl Command {
    /// For the fields that are not given.
    pub const EMPTY: Self = Self {
        name: "",
        usage: "",
        short: "",
        long: "",
        example: "",
        flags: &[],
        shared: &[],
        below: &[],
        group: Group::None,
        run: None,
        words: None,
    };
}

/// Every flag that the last command of a path knows.
pub fn flags_of(path: &[&'static Command]) -> Vec<&'static Flag> {
    let own = path.last().map(|command| command.flags).unwrap_or_default();
    let mut all: Vec<&'static Flag> = path.iter().flat_map(|command| command.shared).collect();
    all.extend(own);
    all.push(&HELP);
    all
}
