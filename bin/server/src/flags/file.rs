//! The configuration file: YAML or JSON with the flags' names, and TLS settings nested.
//!
//! Lengths of time are whole nanoseconds as in etcd; texts such as `10m` are taken too.

use super::env;
use super::given::{self, Given};
use super::spec::Kind;
use super::yaml::Node;
use std::collections::HashSet;
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

/// Whatever a file says of it, etcd enforces the default.
const OVERRIDDEN: &str = "v2-deprecation";

/// Reads a file.
///
/// # Errors
/// A sentence that names the file.
pub fn read(path: &Path) -> Result<Given, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|why| format!("cannot read configuration file {}: {why}", path.display()))?;
    parse(&text).map_err(|why| format!("configuration file {}: {why}", path.display()))
}

/// A sentence about the flags and variables that a configuration file puts out of force, if there are any.
pub fn ignored(file: &Path, flags: &Given, vars: &[(String, String)]) -> Option<String> {
    let flags = flags.names().filter(|name| *name != "config-file").map(|name| format!("--{name}"));
    let vars = vars.iter().filter(|(_, text)| !text.is_empty()).map(|(key, _)| key);
    let vars = vars.filter(|key| env::flag_of(key).is_some_and(|name| !NO_KEYS.contains(&name.as_str()))).cloned();
    let names: Vec<String> = flags.chain(vars).collect();
    (!names.is_empty()).then(|| {
        format!(
            "ignored, because all settings are read from the configuration file {}: {}",
            file.display(),
            names.join(", ")
        )
    })
}

/// Reads a file's text.
///
/// # Errors
/// What is wrong, with the key.
pub fn parse(text: &str) -> Result<Given, String> {
    let mut given = Given::of_file();
    let top = match Node::parse(text)? {
        Node::Map(top) => top,
        Node::Null => return Ok(given),
        _ => return Err("keys and values are expected, as in `name: n1`".into()),
    };
    let mut seen = HashSet::new();
    for (key, value) in top {
        let key = name_of(&key);
        if !seen.insert(key.clone()) {
            given.warnings.push(format!("the configuration file has the key {key} twice, the last one counts"));
        }
        match SECTIONS.iter().find(|(section, _)| *section == key) {
            Some((_, names)) => section(&mut given, &key, names, value)?,
            None if NO_KEYS.contains(&key.as_str()) => {}
            None if given::kind(&key).is_some() => set(&mut given, &key, &key, &value)?,
            None => given.warnings.push(format!("unknown key in the configuration file: {key}")),
        }
    }
    Ok(given)
}

/// A key. Those of etcd are found whatever their case.
fn name_of(key: &Node) -> String {
    key.text().unwrap_or_else(|| format!("{key:?}")).to_ascii_lowercase()
}

fn section(given: &mut Given, section: &str, names: &[(&str, &str)], value: Node) -> Result<(), String> {
    let keys = match value {
        Node::Map(keys) => keys,
        Node::Null => return Ok(()),
        _ => return Err(format!("{section}: keys and values are expected")),
    };
    for (key, value) in keys {
        let key = name_of(&key);
        match names.iter().find(|(name, _)| *name == key) {
            Some((_, flag)) => set(given, flag, &format!("{section}.{key}"), &value)?,
            None => given.warnings.push(format!("unknown key in the configuration file: {section}.{key}")),
        }
    }
    Ok(())
}

fn set(given: &mut Given, flag: &str, key: &str, value: &Node) -> Result<(), String> {
    let kind = given::kind(flag);
    let text = match kind {
        Some(Kind::Bool) => value.boolean(),
        // etcd's are whole nanoseconds
        Some(Kind::Duration) if value.is_number() => value.text().map(|number| format!("{number}ns")),
        _ => value.text(),
    };
    let text = match text {
        Some(text) => text,
        None if *value == Node::Null => return Ok(()),
        None => return Err(format!("{key}: a text, a number or a list of them is expected")),
    };
    // the sample file lists every key, most of them empty
    if text.is_empty() && kind != Some(Kind::Text) {
        return Ok(());
    }
    if flag == OVERRIDDEN {
        given
            .warnings
            .extend(given.clone().set(flag, &text).err().map(|why| format!("{key}={text} is ignored: {why}")));
        return Ok(());
    }
    given.set_from(key, flag, &text).map_err(|why| format!("invalid value {text:?} for {key}: {why}"))
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
        assert_eq!(parse("").unwrap().names().count(), 0);
        assert!(parse("just text").is_err());
        let why = parse("heartbeat-interval: soon").unwrap_err();
        assert_eq!(why, "invalid value \"soon\" for heartbeat-interval: parse error");
        assert!(parse("name: {a: 1}").unwrap_err().starts_with("name: "));
    }

    /// etcd 3.7.1 starts with each of these: it knows the key no more, or its YAML library reads the value.
    #[test]
    fn files_that_etcd_takes_are_taken() {
        let cases = [
            ("enable-v2: true", 0),
            ("proxy: 'on'", 1),
            ("proxy: on", 1),
            ("experimental-enable-v2v3: /x", 1),
            ("experimental-compaction-batch-limit: many", 1),
            ("discovery: https://discovery.etcd.io/x", 1),
            ("v2-deprecation: not-yet", 1),
            ("no-such-key: {a: [1, 2]}", 1),
            ("7: 7", 1),
            ("name: a\nname: b", 1),
            ("enable-v2: false\nproxy: 'off'", 0),
            ("name: a\n---\nbogus", 0),
        ];
        for (yaml, warnings) in cases {
            let given = parse(yaml).unwrap_or_else(|why| panic!("{yaml}: {why}"));
            assert_eq!(given.warnings.len(), warnings, "{yaml}: {:?}", given.warnings);
        }
        let given = parse(
            "Name: n\nQUOTA-BACKEND-BYTES: 8.0e9\nsnapshot-count: 1e4\nauto-compaction-retention: 1\n\
             watch-progress-notify-interval: 6e11\nsocket-options: {Reuse-Port: yes}\npre-vote: off\nlog-level: WARN\n",
        );
        let given = given.unwrap();
        assert_eq!((given.text("name"), given.text("auto-compaction-retention")), ("n", "1"));
        assert_eq!(
            (given.number("quota-backend-bytes"), given.number("snapshot-count")),
            (8_000_000_000u64, 10_000u64)
        );
        assert_eq!(given.duration("watch-progress-notify-interval").as_secs(), 600);
        assert!(given.flag("socket-reuse-port") && !given.flag("pre-vote"));
        assert!(given.warnings.is_empty(), "{:?}", given.warnings);
        assert!(parse("quota-backend-bytes: 0.5").is_err());
    }
}
