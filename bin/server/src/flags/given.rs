//! Values as they were given, and defaults for the rest.

use super::spec::{Here, Kind};
use super::table;
use super::table_legacy::{EXPERIMENTAL, Now, is_gone};
use super::{gates, syntax, value};
use std::collections::BTreeMap;
use std::time::Duration;

/// Checked values by flag name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    values: BTreeMap<String, String>,
    /// The values come from a configuration file, for which etcd has some rules of its own.
    pub from_file: bool,
    /// Sentences to log as warnings once there is a logger.
    pub warnings: Vec<String>,
}

impl Given {
    /// Nothing yet, of a configuration file.
    pub fn of_file() -> Self {
        Self { from_file: true, ..Self::default() }
    }

    /// Sets a value; the last one wins. `experimental-*` names set what they are called now.
    ///
    /// # Errors
    /// What is wrong with the value, in Go's words.
    ///
    /// # Panics
    /// For a name that no flag has: callers look it up first.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        match renamed(name) {
            Some(Now::Flag(now)) => {
                self.warnings.push(format!("--{name} is deprecated, please use --{now} instead"));
                return self.set(now, text);
            }
            Some(Now::Gate(gate)) => {
                let on = syntax::boolean(text).ok_or("parse error")?;
                self.warnings.push(format!("--{name} is deprecated, please use --feature-gates={gate}={on} instead"));
                let mut all = self.text("feature-gates").to_owned();
                if !all.is_empty() {
                    all.push(',');
                }
                self.values.insert("feature-gates".into(), all + &format!("{gate}={on}"));
                return Ok(());
            }
            None => {}
        }
        let flag = table::find(name).expect("the name of a flag");
        value::check(flag.kind, text)?;
        match name {
            _ if let Some((_, why)) = DEPRECATED.iter().find(|(deprecated, _)| *deprecated == name) => {
                self.warnings.push((*why).to_owned());
            }
            _ if flag.kind == Kind::Ignored => {
                self.warnings.push(format!("flag is no longer supported - ignoring: --{name}"));
            }
            _ => {}
        }
        self.values.insert(name.to_owned(), text.to_owned());
        Ok(())
    }

    /// Sets a value that a variable or a file carries. As [`Self::set`], but a flag that etcd 3.7 has no more never fails: a value
    /// that cannot be used is warned about, and forgotten. `source` is what the user wrote: the variable's or the key's name.
    ///
    /// # Errors
    /// As [`Self::set`].
    ///
    /// # Panics
    /// As [`Self::set`].
    pub fn set_from(&mut self, source: &str, name: &str, text: &str) -> Result<(), String> {
        let gone = renamed(name).is_some() || table::find(name).is_some_and(|flag| is_gone(&flag));
        if !gone {
            return self.set(name, text);
        }
        if let Err(why) = refusal(name, text) {
            self.warnings.push(format!("{source}={text} has no effect: {why}"));
            return Ok(());
        }
        self.set(name, text)
    }

    /// Names of the flags that were given, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Whether it was given at all.
    pub fn is_set(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Given and different from the default.
    pub fn is_changed(&self, name: &str) -> bool {
        let Some(flag) = table::find(name) else { return false };
        let Some(given) = self.values.get(name) else { return false };
        match flag.kind {
            Kind::Bool => syntax::boolean(given) != syntax::boolean(flag.default),
            Kind::Duration => units::duration(given) != units::duration(flag.default),
            _ => given != flag.default,
        }
    }

    /// The value, or the default.
    ///
    /// # Panics
    /// For a name that no flag has.
    pub fn text(&self, name: &str) -> &str {
        match self.values.get(name) {
            Some(value) => value,
            None => table::find(name).expect("the name of a flag").default,
        }
    }

    /// A boolean.
    pub fn flag(&self, name: &str) -> bool {
        syntax::boolean(self.text(name)).unwrap_or(false)
    }

    /// A whole number; those out of range were refused when they were set.
    pub fn number<T: TryFrom<i128> + Default>(&self, name: &str) -> T {
        syntax::number(self.text(name)).unwrap_or_default()
    }

    /// A number of bytes, none when empty.
    pub fn size(&self, name: &str) -> Option<u64> {
        units::parse_size(self.text(name)).ok()
    }

    /// A length of time.
    pub fn duration(&self, name: &str) -> Duration {
        units::duration(self.text(name)).unwrap_or_default()
    }

    /// Parts of a list.
    pub fn list(&self, name: &str) -> Vec<String> {
        syntax::list(self.text(name)).map(str::to_owned).collect()
    }

    /// A path, none when empty.
    pub fn path(&self, name: &str) -> Option<std::path::PathBuf> {
        Some(self.text(name)).filter(|p| !p.is_empty()).map(Into::into)
    }

    /// The gates that were named.
    pub fn gates(&self) -> gates::Chosen {
        gates::parse(self.text("feature-gates")).unwrap_or_default()
    }
}

/// Flags of 3.7 that etcd warns about wherever they come from, and its texts.
const DEPRECATED: &[(&str, &str)] = &[
    ("max-snapshots", "--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8."),
    (
        "v2-deprecation",
        "--v2-deprecation is deprecated and scheduled for removal in v3.8. The default value is enforced, ignoring user input.",
    ),
];

/// Why a value of a flag would not be taken, or would end the start.
fn refusal(name: &str, text: &str) -> Result<(), String> {
    let mut trial = Given::default();
    trial.set(name, text)?;
    match table::find(name).map(|flag| flag.here) {
        Some(Here::Refused(why)) if trial.is_changed(name) => Err(why.to_owned()),
        _ => Ok(()),
    }
}

/// What an `experimental-*` name is called now.
pub fn renamed(name: &str) -> Option<Now> {
    let short = name.strip_prefix("experimental-")?;
    EXPERIMENTAL.iter().find(|(old, _)| *old == short).map(|(_, now)| *now)
}

/// The kind of a flag, `experimental-*` names included.
pub fn kind(name: &str) -> Option<Kind> {
    match renamed(name) {
        Some(Now::Flag(now)) => table::find(now).map(|flag| flag.kind),
        Some(Now::Gate(_)) => Some(Kind::Bool),
        None => table::find(name).map(|flag| flag.kind),
    }
}
