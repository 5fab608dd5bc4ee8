//! Reports on stdout in the formats of etcdutl: simple, json, fields, table.
//!
//! Must never decorate what goes into a pipe, and never panic because nobody reads on.

use crate::failure::Failure;
use std::io::{self, Write};

/// How a report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Values, separated by commas.
    Simple,
    /// One line of JSON.
    Json,
    /// One `"name" : value` a line.
    Fields,
    /// A box.
    Table,
}

impl Format {
    /// Reads `--write-out`.
    ///
    /// # Errors
    /// [`Failure`] with etcdutl's texts and exit code 4.
    pub fn of(text: &str) -> Result<Self, Failure> {
        match text {
            "simple" => Ok(Self::Simple),
            "json" => Ok(Self::Json),
            "fields" => Ok(Self::Fields),
            "table" => Ok(Self::Table),
            "protobuf" => Err(Failure::unsupported("protobuf not supported as output format")),
            _ => Err(Failure::unsupported("unsupported output format")),
        }
    }

    /// As [`Self::of`], for what is no table: simple or json.
    ///
    /// # Errors
    /// [`Failure`] with exit code 4.
    pub fn lines_or_json(text: &str) -> Result<Self, Failure> {
        match Self::of(text)? {
            format @ (Self::Simple | Self::Json) => Ok(format),
            _ => Err(Failure::unsupported(format!("{text} not supported as output format"))),
        }
    }
}

/// One value of a report, under its names in the different formats.
#[derive(Debug)]
pub struct Column {
    /// In tables, before upper-casing.
    pub title: &'static str,
    /// In `fields`.
    pub field: &'static str,
    /// In JSON.
    pub json: &'static str,
    /// As people read it.
    pub shown: String,
    /// As it is; text is quoted in JSON.
    pub exact: Exact,
}

/// A value as it is.
#[derive(Debug)]
pub enum Exact {
    /// A number.
    Number(i128),
    /// A text.
    Text(String),
}

/// Prints a report of one row.
///
/// # Errors
/// [`Failure`] when stdout cannot be written.
pub fn report(format: Format, columns: &[Column]) -> Result<(), Failure> {
    out(&match format {
        Format::Simple => columns.iter().map(|c| c.shown.as_str()).collect::<Vec<_>>().join(", ") + "\n",
        Format::Fields => columns.iter().map(|c| format!("\"{}\" : {}\n", c.field, plain(&c.exact))).collect(),
        Format::Json => {
            let pairs = columns.iter().map(|c| match &c.exact {
                Exact::Number(n) => format!("\"{}\":{n}", c.json),
                Exact::Text(text) => format!("\"{}\":{}", c.json, quoted(text)),
            });
            format!("{{{}}}\n", pairs.collect::<Vec<_>>().join(","))
        }
        Format::Table => table(columns),
    })
}

fn plain(value: &Exact) -> String {
    match value {
        Exact::Number(n) => n.to_string(),
        Exact::Text(text) => text.clone(),
    }
}

/// A JSON string.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The box that etcdutl's table writer draws: titles centred, values to the right.
fn table(columns: &[Column]) -> String {
    let titles: Vec<String> = columns.iter().map(|c| c.title.to_uppercase()).collect();
    let width = |n: usize| titles[n].chars().count().max(columns[n].shown.chars().count());
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |left: &str, middle: &str, right: &str| {
        let bars: Vec<String> = widths.iter().map(|w| "─".repeat(w + 2)).collect();
        format!("{left}{}{right}\n", bars.join(middle))
    };
    let row = |cells: Vec<String>| format!("│ {} │\n", cells.join(" │ "));
    let centred = titles.iter().zip(&widths).map(|(title, w)| {
        let left = (w - title.chars().count()) / 2;
        format!("{:w$}", format!("{}{title}", " ".repeat(left)), w = *w)
    });
    let values = columns.iter().zip(&widths).map(|(c, w)| format!("{:>w$}", c.shown, w = *w));
    [line("┌", "┬", "┐"), row(centred.collect()), line("├", "┼", "┤"), row(values.collect()), line("└", "┴", "┘")]
        .concat()
}

/// Writes to stdout. A reader that went away is no failure.
///
/// # Errors
/// [`Failure`] when it cannot be written otherwise.
pub fn out(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    finish(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// What a write to stdout comes to.
///
/// # Errors
/// [`Failure`] for everything but a reader that went away.
pub fn finish(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::new(format!("write stdout: {error}"))),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_drawn_as_etcdutl_does() {
        let column =
            |title, shown: &str| Column { title, field: "", json: "", shown: shown.into(), exact: Exact::Number(0) };
        let drawn =
            table(&[column("hash", "240541544"), column("hash revision", "6"), column("compact revision", "-1")]);
        let expected = "\
┌───────────┬───────────────┬──────────────────┐
│   HASH    │ HASH REVISION │ COMPACT REVISION │
├───────────┼───────────────┼──────────────────┤
│ 240541544 │             6 │               -1 │
└───────────┴───────────────┴──────────────────┘
";
        assert_eq!(drawn, expected);
    }
}
