//! The command line: what may be given, and what was.
//!
//! Flags follow the rules that etcdctl's users know: `--flag v`, `--flag=v`, `-w json`, anywhere on the line, `--` ends them, the last one
//! wins (lists grow). Names of commands may be cut short as long as they are unique.

pub mod env;
pub mod find;
pub mod help;
pub mod parse;
pub mod spec;
pub mod value;

use crate::exit::{BAD_ARGS, ERROR, Exit};
use spec::Command;
use std::time::Duration;
use value::Values;

/// What a command was started with.
pub struct Input {
    /// From the root to the command itself.
    pub path: Vec<&'static Command>,
    /// Flags.
    pub values: Values,
    /// What is not a flag.
    pub args: Vec<Vec<u8>>,
    /// The whole line after the program's name.
    pub raw: Vec<Vec<u8>>,
}

impl Input {
    /// A switch.
    pub fn on(&self, name: &str) -> bool {
        self.values.on(name)
    }

    /// A whole number.
    pub fn int(&self, name: &str) -> i64 {
        self.values.int(name)
    }

    /// A length of time.
    pub fn duration(&self, name: &str) -> Duration {
        self.values.duration(name)
    }

    /// A text, bytes that are no UTF-8 replaced.
    pub fn text(&self, name: &str) -> String {
        text(self.values.bytes(name))
    }

    /// A text as it was given.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        self.values.bytes(name).to_vec()
    }

    /// Whether a flag was given, here or in the environment.
    pub fn changed(&self, name: &str) -> bool {
        self.values.changed(name)
    }

    /// Exactly these many arguments, or these words.
    ///
    /// # Errors
    /// The words, with the code for arguments.
    pub fn exactly(&self, count: usize, words: &str) -> Result<(), Exit> {
        if self.args.len() == count { Ok(()) } else { Err(Exit::new(BAD_ARGS, words)) }
    }

    /// An argument as text.
    pub fn arg(&self, at: usize) -> String {
        self.args.get(at).map(|arg| text(arg)).unwrap_or_default()
    }

    /// `l` or `s`.
    ///
    /// # Errors
    /// For any other letter; `told` is what the error shows (etcdctl shows another flag's value for members).
    pub fn serializable(&self, told: &str) -> Result<bool, Exit> {
        match self.text("consistency").as_str() {
            "s" => Ok(true),
            "l" => Ok(false),
            _ => Err(Exit::new(crate::exit::BAD_FEATURE, format!("unknown consistency flag {told:?}"))),
        }
    }
}

/// Bytes as text, those that are no UTF-8 replaced.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Why a line was not understood.
#[derive(Debug, PartialEq, Eq)]
pub enum Misuse {
    /// `--help` was asked for.
    Help,
    /// Said, followed by the usage of the command.
    Usage(String),
    /// Said, followed by where help is.
    Unknown(String),
}

/// Name under which the program presents itself: a link called `etcdctl` is a drop-in for it.
pub fn program() -> &'static str {
    static NAME: std::sync::OnceLock<&'static str> = std::sync::OnceLock::new();
    NAME.get_or_init(|| {
        let own = std::env::args_os().next().unwrap_or_default();
        let name = std::path::Path::new(&own).file_name().unwrap_or_default();
        if name == "etcdctl" { "etcdctl" } else { "conclavectl" }
    })
}

/// Reads a line into the command it names and its input.
///
/// # Errors
/// What to say, with the command whose usage belongs to it.
pub fn read(root: &'static Command, line: &[Vec<u8>]) -> Result<Input, (Vec<&'static Command>, Misuse)> {
    let found = find::find(root, line);
    let path = found.path;
    let fail = |why| (path.clone(), why);
    let here = *path.last().expect("the root at least");
    if let Some(unknown) = found.unknown {
        return Err(fail(Misuse::Unknown(unknown)));
    }
    let flags = spec::flags_of(&path);
    let parsed = parse::parse(&flags, &found.rest).map_err(fail)?;
    if parsed.values.on("help") || here.run.is_none() {
        return Err(fail(Misuse::Help));
    }
    if let Some(words) = here.words {
        check_word(&path, words, &parsed.args).map_err(|why| fail(Misuse::Usage(why)))?;
    }
    Ok(Input { path, values: parsed.values, args: parsed.args, raw: line.to_vec() })
}

fn check_word(path: &[&Command], words: &[&str], args: &[Vec<u8>]) -> Result<(), String> {
    let [word] = args else {
        return Err(format!("accepts 1 arg(s), received {}", args.len()));
    };
    if words.iter().any(|known| known.as_bytes() == word.as_slice()) {
        return Ok(());
    }
    Err(format!("invalid argument {:?} for {:?}", text(word), find::path_text(path)))
}

/// A text that the flag parser of etcdctl would have refused, said in its words.
pub fn bad_number(function: &str, given: &str, why: value::NumberError) -> String {
    format!("strconv.{function}: parsing {given:?}: {why}")
}

/// Ends with etcdctl's words about a number.
pub fn number_exit(words: &str, function: &str, given: &str, why: value::NumberError) -> Exit {
    Exit::new(BAD_ARGS, words.replace("{}", &bad_number(function, given, why)))
}

/// Without words around it.
pub fn plain_error(text: impl Into<String>) -> Exit {
    Exit::new(ERROR, text)
}
