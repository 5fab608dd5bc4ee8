//! Where directives and log lines of the core write to: one text per directive, with a level and indentation.
//!
//! Shared between the environment and the trace sinks of its nodes.

use std::cell::RefCell;
use std::rc::Rc;

/// Levels in ascending order; the last one silences everything.
const LEVELS: [&str; 6] = ["DEBUG", "INFO", "WARN", "ERROR", "FATAL", "NONE"];

/// Importance of a log line, an index of [`LEVELS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Debug = 0,
    Info = 1,
    Warn = 2,
    Error = 3,
}

#[derive(Debug, Default)]
struct Inner {
    text: String,
    level: usize,
}

/// See the file header.
#[derive(Clone, Debug, Default)]
pub(crate) struct Output(Rc<RefCell<Inner>>);

impl Output {
    /// Writes, unless silenced.
    pub(crate) fn write(&self, text: &str) {
        if !self.is_quiet() {
            self.0.borrow_mut().text.push_str(text);
        }
    }

    /// Writes with a line break, unless silenced.
    pub(crate) fn line(&self, text: &str) {
        self.write(text);
        self.write("\n");
    }

    /// Writes a log line, if its level is on.
    pub(crate) fn log(&self, level: Level, text: &str) {
        if self.level() <= level as usize {
            self.line(&format!("{} {text}", LEVELS[level as usize]));
        }
    }

    /// Runs `f` and indents what it writes by two spaces.
    pub(crate) fn indented<R>(&self, f: impl FnOnce() -> R) -> R {
        let outer = self.take();
        let result = f();
        let inner = self.take();
        let mut text = outer;
        for line in inner.lines() {
            text.push_str("  ");
            text.push_str(line);
            text.push('\n');
        }
        self.0.borrow_mut().text = text;
        result
    }

    /// Takes everything written.
    pub(crate) fn take(&self) -> String {
        std::mem::take(&mut self.0.borrow_mut().text)
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.level() == LEVELS.len() - 1
    }

    pub(crate) fn level(&self) -> usize {
        self.0.borrow().level
    }

    pub(crate) fn set_level(&self, level: usize) {
        self.0.borrow_mut().level = level;
    }

    /// Sets the level by name, in any case.
    pub(crate) fn set_level_by_name(&self, name: &str) -> Result<(), String> {
        let level = LEVELS.iter().position(|level| level.eq_ignore_ascii_case(name));
        self.set_level(level.ok_or_else(|| format!("log levels must be either of [{}]", LEVELS.join(" ")))?);
        Ok(())
    }
}
