//! `ETCDCTL_*` variables: values of the global flags that were not given.

use super::Input;
use crate::exit::{ERROR, Exit};
use crate::log;

const PREFIX: &str = "ETCDCTL_";

/// Name of a flag's variable.
pub fn variable(flag: &str) -> String {
    format!("{PREFIX}{}", flag.to_uppercase().replace('-', "_"))
}

/// Takes over what the environment says.
///
/// # Errors
/// When a variable and its flag are both given.
pub fn apply(input: &mut Input) -> Result<(), Exit> {
    let own: Vec<&str> = input.path.last().map(|c| c.flags).unwrap_or_default().iter().map(|f| f.name).collect();
    let above = input.path.split_last().map(|(_, above)| above).unwrap_or_default();
    let known: Vec<&'static str> = above.iter().flat_map(|c| c.shared).map(|flag| flag.name).collect();
    let watch = input.path.last().is_some_and(|command| command.name == "watch");
    let mut used = Vec::new();
    let mut shadowed = Vec::new();
    for name in known {
        let variable = variable(name);
        if input.changed(name) {
            shadowed.push(variable);
            continue;
        }
        let Some(value) = std::env::var_os(&variable).filter(|value| !value.is_empty()) else { continue };
        debug_assert!(!own.contains(&name), "a flag of the command itself has no variable");
        // a value that does not fit is passed over, as etcdctl does
        if let Err(why) = input.values.set(name, value.as_encoded_bytes()) {
            log::note(&format!("{variable} is ignored: {why}"));
        }
        used.push(variable);
    }
    for (name, value) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if used.contains(&name) || watch && ["ETCDCTL_WATCH_KEY", "ETCDCTL_WATCH_RANGE_END"].contains(&name.as_str()) {
            continue;
        }
        if shadowed.contains(&name) {
            let said = "conflicting environment variable is shadowed by corresponding command-line flag (either unset environment variable or disable flag))";
            log::line("fatal", said, &[("environment-variable", &name)]);
            return Err(Exit::silent(ERROR));
        }
        if name.starts_with(PREFIX) {
            let whole = format!("{name}={}", value.to_string_lossy());
            log::line("warn", "unrecognized environment variable", &[("environment-variable", &whole)]);
        }
    }
    Ok(())
}
