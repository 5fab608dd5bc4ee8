//! A broken promise, by the name of its invariant. The names are those of `docs/architecture.md`; the simulator's own begin
//! with `SIM-` and are listed in `docs/testing.md`.

use std::fmt;

/// See the file header.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The invariant.
    pub name: &'static str,
    /// What was seen.
    pub text: String,
}

/// A check that may fail.
pub type Checked<T = ()> = Result<T, Violation>;

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.text)
    }
}

/// A violation of `name`.
pub fn violated<T>(name: &'static str, text: impl Into<String>) -> Checked<T> {
    Err(Violation { name, text: text.into() })
}

/// Fails with `name` unless it holds; the text is made only then.
pub fn hold(name: &'static str, holds: bool, text: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { violated(name, text()) }
}
