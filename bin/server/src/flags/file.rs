//! The configuration file: YAML or JSON with the flags' names, and TLS settings nested.
//!
//! Lengths of time are whole nanoseconds as in etcd; texts such as `10m` are taken too.

use super::given::{self, Given};
use super::spec::Kind;
use serde_yaml_ng::Value;
use std::path::Path;

/// Sections whose keys are flags with another name: the section, its keys, the flags.
const SECTIONS: &[(&str, &[(&str, &str)])] = &[
    (
        "client-transport-security",
        &[
            ("cert-file", "cert-file"),
            ("key-file", "key-file"),
            ("client-cert-file", "client-cert-file"),
            ("client-key-file", "client-key-file"),
            ("client-cert-auth", "client-cert-auth"),
            ("trusted-ca-file", "trusted-ca-file"),
            ("auto-tls", "auto-tls"),
            ("allowed-hostname", "client-cert-allowed-hostname"),
            ("allowed-hostnames", "client-cert-allowed-hostname"),
        ],
    ),
    (
        "peer-transport-security",
        &[
            ("cert-file", "peer-cert-file"),
            ("key-file", "peer-key-file"),
            ("client-cert-file", "peer-client-cert-file"),
            ("client-key-file", "peer-client-key-file"),
            ("client-cert-auth", "peer-client-cert-auth"),
            ("trusted-ca-file", "peer-trusted-ca-file"),
            ("auto-tls", "peer-auto-tls"),
            ("allowed-cn", "peer-cert-allowed-cn"),
            ("allowed-cns", "peer-cert-allowed-cn"),
            ("allowed-hostname", "peer-cert-allowed-hostname"),
            ("allowed-hostnames", "peer-cert-allowed-hostname"),
            ("skip-client-san-verification", "peer-skip-client-san-verification"),
        ],
    ),
    ("socket-options", &[("reuse-port", "socket-reuse-port"), ("reuse-address", "socket-reuse-address")]),
    (
        "discovery-config",
        &[
            ("discovery-token", "discovery-token"),
            ("token", "discovery-token"),
            ("discovery-endpoints", "discovery-endpoints"),
            ("endpoints", "discovery-endpoints"),
        ],
    ),
];

/// Flags that are no keys of a file in etcd, although its sample file lists some of them.
const NO_KEYS: &[&str] = &["config-file", "discovery-fallback", "version"];

/// Reads a file.
///
/// # Errors
/// A sentence that names the file.
pub fn read(path: &Path) -> Result<Given, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|why| format!("cannot read configuration file {}: {why}", path.display()))?;
    parse(&text).map_err(|why| format!("configuration file {}: {why}", path.display()))
}

/// Reads a file's text.
///
/// # Errors
/// What is wrong, with the key.
pub fn parse(text: &str) -> Result<Given, String> {
    let mut given = Given::default();
    let top = match serde_yaml_ng::from_str(text).map_err(|why| why.to_string())? {
        Value::Mapping(top) => top,
        Value::Null => return Ok(given),
        _ => return Err("keys and values are expected, as in `name: n1`".into()),
    };
    for (key, value) in top {
        let key = key.as_str().ok_or("a key is not a text")?.to_owned();
        match SECTIONS.iter().find(|(section, _)| *section == key) {
            Some((_, names)) => section(&mut given, &key, names, value)?,
            None if NO_KEYS.contains(&key.as_str()) => {}
            None if given::kind(&key).is_some() => set(&mut given, &key, &key, value)?,
            None => given.warnings.push(format!("unknown key in the configuration file: {key}")),
        }
    }
    Ok(given)
}

fn section(given: &mut Given, section: &str, names: &[(&str, &str)], value: Value) -> Result<(), String> {
    let Value::Mapping(keys) = value else {
        return if value.is_null() { Ok(()) } else { Err(format!("{section}: keys and values are expected")) };
    };
    for (key, value) in keys {
        let key = key.as_str().ok_or_else(|| format!("{section}: a key is not a text"))?;
        match names.iter().find(|(name, _)| *name == key) {
            Some((_, flag)) => set(given, flag, &format!("{section}.{key}"), value)?,
            None => given.warnings.push(format!("unknown key in the configuration file: {section}.{key}")),
        }
    }
    Ok(())
}

fn set(given: &mut Given, flag: &str, key: &str, value: Value) -> Result<(), String> {
    let text = match plain(&value) {
        Some(text) if given::kind(flag) == Some(Kind::Duration) && value.is_number() => format!("{text}ns"),
        Some(text) => text,
        None if value.is_null() => return Ok(()),
        None => return Err(format!("{key}: a text, a number or a list of them is expected")),
    };
    // the sample file lists every key, most of them empty
    if text.is_empty() && given::kind(flag) != Some(Kind::Text) {
        return Ok(());
    }
    given.set(flag, &text).map_err(|why| format!("invalid value {text:?} for {key}: {why}"))
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(on) => Some(on.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Sequence(parts) => {
            let parts: Option<Vec<String>> = parts.iter().map(plain).collect();
            parts.map(|parts| parts.join(","))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_with_sections() {
        let text = "
name: 'n1'
data-dir:
heartbeat-interval: 50
watch-progress-notify-interval: 600000000000
grpc-keepalive-interval: 1m
listen-client-urls: http://127.0.0.1:1,http://127.0.0.1:2
log-outputs: [stdout, /tmp/x.log]
cipher-suites: [A, B]
strict-reconfig-check: false
discovery-fallback: 'proxy'
initial-cluster:
client-transport-security:
  cert-file: c.pem
  client-cert-auth: true
  allowed-hostname: [a, b]
peer-transport-security:
  auto-tls: true
socket-options:
  reuse-port: true
no-such-key: 1
";
        let given = parse(text).unwrap();
        assert_eq!(given.text("name"), "n1");
        assert_eq!(given.duration("watch-progress-notify-interval").as_secs(), 600);
        assert_eq!(given.duration("grpc-keepalive-interval").as_secs(), 60);
        assert_eq!(given.list("log-outputs"), ["stdout", "/tmp/x.log"]);
        assert_eq!(given.list("client-cert-allowed-hostname"), ["a", "b"]);
        assert!(given.flag("client-cert-auth") && given.flag("socket-reuse-port") && given.flag("peer-auto-tls"));
        assert_eq!(given.text("discovery-fallback"), "exit", "the sample file says proxy");
        assert!(!given.flag("strict-reconfig-check") && !given.is_set("initial-cluster"));
        assert_eq!(given.warnings, ["unknown key in the configuration file: no-such-key"]);
    }

    #[test]
    fn json_and_mistakes() {
        assert_eq!(parse("{\"name\": \"a\", \"snapshot-count\": 7}").unwrap().number::<u64>("snapshot-count"), 7);
        assert!(parse("").unwrap() == Given::default());
        assert!(parse("just text").is_err());
        let why = parse("heartbeat-interval: soon").unwrap_err();
        assert_eq!(why, "invalid value \"soon\" for heartbeat-interval: parse error");
        assert!(parse("name: {a: 1}").unwrap_err().starts_with("name: "));
    }
}
