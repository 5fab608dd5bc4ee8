//! Answers, as the five formats of etcdctl print them.
//!
//! Pure: an answer goes in, bytes come out. Must never ask a server anything.

pub mod answer;
mod fields;
pub mod json;
mod json_messages;
mod line;
mod protobuf;
pub mod quote;
mod roles;
mod simple;
pub mod table;

use crate::exit::{BAD_FEATURE, Exit};
pub use answer::Answer;
use std::io::Write;

/// `--write-out`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people and small scripts.
    Simple,
    /// One field a line.
    Fields,
    /// JSON, as Go encodes the messages.
    Json,
    /// A frame of lines.
    Table,
    /// The bytes of the message.
    Protobuf,
}

/// How answers are printed.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    /// The format.
    pub format: Format,
    /// `--hex`.
    pub hex: bool,
    /// `--print-value-only`.
    pub values_only: bool,
    /// Colours, for a person.
    pub colour: bool,
    /// Columns of the terminal that shows it; tables are turned to fit. None in a pipe.
    pub width: Option<usize>,
}

impl Printer {
    /// From the flags.
    ///
    /// # Errors
    /// For a format nobody knows.
    pub fn new(format: &str, hex: bool, colour: bool) -> Result<Self, Exit> {
        let format = match format {
            "simple" => Format::Simple,
            "fields" => Format::Fields,
            "json" => Format::Json,
            "table" => Format::Table,
            "protobuf" => Format::Protobuf,
            _ => return Err(Exit::new(BAD_FEATURE, "unsupported output format")),
        };
        Ok(Self { format, hex, values_only: false, colour, width: None })
    }

    /// The bytes of an answer for standard output.
    ///
    /// # Errors
    /// When the format does not offer this answer.
    pub fn bytes(&self, answer: &Answer<'_>) -> Result<Vec<u8>, Exit> {
        let mut out = Vec::new();
        match self.format {
            Format::Simple => simple::print(self, answer, &mut out),
            Format::Fields => fields::print(self, answer, &mut out)?,
            Format::Json => json_messages::print(self, answer, &mut out),
            Format::Table => table::print(self, answer, &mut out)?,
            Format::Protobuf => protobuf::print(answer, &mut out)?,
        }
        Ok(out)
    }

    /// Prints an answer at once.
    ///
    /// # Errors
    /// As [`Self::bytes`].
    pub fn show(&self, answer: &Answer<'_>) -> Result<(), Exit> {
        say(&self.bytes(answer)?);
        Ok(())
    }
}

/// Writes to standard output at once; a reader that is gone ends the program quietly, as a signal would.
pub fn say(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(bytes).and_then(|()| out.flush());
    if written.is_err() {
        std::process::exit(141);
    }
}

/// A line on standard output.
pub fn say_line(text: &str) {
    say(format!("{text}\n").as_bytes());
}
