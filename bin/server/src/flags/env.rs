//! `ETCD_*` variables: one for every flag.

use super::given::{self, Given};
use super::parse::FlagError;

/// Variables that mean something besides flags, or to other programs.
const OTHERS: &[&str] = &["ETCD_UNSUPPORTED_ARCH", "ETCD_VERIFY", "ETCD_CLIENT_DEBUG"];

/// Adds what the environment says. Empty variables count as not set.
///
/// # Errors
/// A variable whose flag was given as well, or with a value that its flag would not take.
pub fn apply(given: &mut Given, vars: impl Iterator<Item = (String, String)>) -> Result<(), FlagError> {
    let mut found: Vec<_> = vars.filter(|(key, _)| key.starts_with("ETCD_")).collect();
    found.sort();
    // two old and new names of one flag do not shadow each other
    let from_flags = given.clone();
    for (key, text) in found {
        let name = key["ETCD_".len()..].to_ascii_lowercase().replace('_', "-");
        if given::kind(&name).is_none() || key != variable(&name) {
            if !OTHERS.contains(&key.as_str()) {
                given.warnings.push(format!("unrecognized environment variable: {key}={text}"));
            }
            continue;
        }
        if text.is_empty() {
            continue;
        }
        if from_flags.is_set(&name) {
            return Err(FlagError::Conflict(key));
        }
        given.set(&name, &text).map_err(|why| FlagError::Wrong(format!("invalid value {text:?} for {key}: {why}")))?;
    }
    Ok(())
}

/// The variable of a flag.
pub fn variable(name: &str) -> String {
    format!("ETCD_{}", name.to_ascii_uppercase().replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(flags: &[(&str, &str)], vars: &[(&str, &str)]) -> Result<Given, FlagError> {
        let mut given = Given::default();
        for (name, text) in flags {
            given.set(name, text).unwrap();
        }
        apply(&mut given, vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))?;
        Ok(given)
    }

    #[test]
    fn variables_set_what_flags_did_not() {
        let given = with(&[("name", "a")], &[("ETCD_DATA_DIR", "d"), ("ETCD_CERT_FILE", ""), ("HOME", "x")]).unwrap();
        assert_eq!((given.text("name"), given.text("data-dir")), ("a", "d"));
        assert!(!given.is_set("cert-file") && given.warnings.is_empty());
    }

    #[test]
    fn shadowed_bad_and_unknown_variables() {
        let twice = with(&[("name", "a")], &[("ETCD_NAME", "a")]);
        assert_eq!(twice, Err(FlagError::Conflict("ETCD_NAME".into())));
        let bad = with(&[], &[("ETCD_HEARTBEAT_INTERVAL", "x")]).unwrap_err().to_string();
        assert_eq!(bad, "invalid value \"x\" for ETCD_HEARTBEAT_INTERVAL: parse error");
        let unknown = with(&[], &[("ETCD_FOO", "1"), ("ETCD_VERIFY", "all")]).unwrap();
        assert_eq!(unknown.warnings, ["unrecognized environment variable: ETCD_FOO=1"]);
    }
}
