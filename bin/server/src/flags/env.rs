//! `ETCD_*` variables: one for every flag.

use super::given::{self, Given};
use super::parse::FlagError;

/// Variables that mean something besides flags, or to other programs.
const OTHERS: &[&str] = &["ETCD_UNSUPPORTED_ARCH", "ETCD_VERIFY", "ETCD_CLIENT_DEBUG"];
/// Images of containers carry their release in it. It would stand for `--version`.
const RELEASE: &str = "ETCD_VERSION";

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
        if key == RELEASE {
            given.warnings.push(format!("cannot set special environment variable: {key}={text}"));
            continue;
        }
        let Some(name) = flag_of(&key) else {
            if !OTHERS.contains(&key.as_str()) {
                given.warnings.push(format!("unrecognized environment variable: {key}={text}"));
            }
            continue;
        };
        if text.is_empty() {
            continue;
        }
        if from_flags.is_set(&name) {
            return Err(FlagError::Conflict(key));
        }
        let set = given.set_from(&key, &name, &text);
        set.map_err(|why| FlagError::Wrong(format!("invalid value {text:?} for {key}: {why}")))?;
    }
    Ok(())
}

/// The flag of a variable, if it is one's.
pub fn flag_of(key: &str) -> Option<String> {
    let name = key.strip_prefix("ETCD_")?.to_ascii_lowercase().replace('_', "-");
    (given::kind(&name).is_some() && key == variable(&name)).then_some(name)
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

    /// etcd 3.7 knows none of these any more and starts; images and unit files still carry them.
    #[test]
    fn variables_of_older_releases_never_refuse_a_start() {
        let cases = [
            ("ETCD_PROXY", "on"),
            ("ETCD_PROXY_FAILURE_WAIT", "soon"),
            ("ETCD_EXPERIMENTAL_ENABLE_V2V3", "/x"),
            ("ETCD_EXPERIMENTAL_COMPACTION_BATCH_LIMIT", "many"),
            ("ETCD_EXPERIMENTAL_INITIAL_CORRUPT_CHECK", "perhaps"),
            ("ETCD_EXPERIMENTAL_MAX_LEARNERS", "-"),
            ("ETCD_DISCOVERY", "https://discovery.etcd.io/x"),
            ("ETCD_VERSION", "v3.5.9"),
            ("ETCD_DEBUG", "true"),
            ("ETCD_LOG_PACKAGE_LEVELS", "etcdserver=WARNING"),
            ("ETCD_CA_FILE", "/x"),
        ];
        for (key, text) in cases {
            let given = with(&[], &[(key, text)]).unwrap_or_else(|why| panic!("{key}={text}: {why}"));
            assert_eq!(given.warnings.len(), 1, "{key}={text}: {:?}", given.warnings);
            assert!(given.warnings[0].contains(&format!("{key}={text}")), "{:?}", given.warnings);
            assert_eq!(given.names().count(), 0, "{key}={text} is set");
        }
        let harmless = with(&[], &[("ETCD_ENABLE_V2", "false"), ("ETCD_PROXY", "off")]).unwrap();
        assert!(harmless.warnings.is_empty());
        let moved = with(&[], &[("ETCD_EXPERIMENTAL_WATCH_PROGRESS_NOTIFY_INTERVAL", "5s")]).unwrap();
        assert_eq!(moved.duration("watch-progress-notify-interval").as_secs(), 5);
    }
}
