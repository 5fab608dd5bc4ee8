//! Settings: defaults, and every refusal with its words.

use crate::flags::Given;
use crate::settings::{Settings, resolve};
use embed::CorruptionChecks;
use embed::config::AutoCompaction;
use embed::tokens::{JwtFiles, SignMethod, TokenSettings};
use std::time::Duration;

fn with(pairs: &[(&str, &str)]) -> Result<Settings, String> {
    let mut given = Given::default();
    for (flag, text) in pairs {
        given.set(flag, text).unwrap();
    }
    resolve(given)
}

fn words(pairs: &[(&str, &str)]) -> String {
    with(pairs).expect_err(&format!("{pairs:?} is accepted"))
}

#[test]
fn defaults_are_etcds() {
    let settings = with(&[]).unwrap();
    let node = settings.node;
    assert_eq!((node.name.as_str(), node.data_dir.to_str().unwrap()), ("default", "default.etcd"));
    assert_eq!(node.initial_cluster[0].peer_urls, ["http://localhost:2380"]);
    assert_eq!(node.client_urls, ["http://localhost:2379"]);
    assert_eq!((node.quota_bytes, node.max_request_bytes, node.max_txn_ops), (2 << 30, 1536 << 10, 128));
    assert_eq!((node.heartbeat, node.election), (Duration::from_millis(100), Duration::from_secs(1)));
    assert_eq!((node.catch_up_entries, node.auto_compaction), (5000, None));
    assert_eq!(node.snapshot_format, embed::SnapshotFormat::Etcd);
    assert!(node.client_tls.is_none() && node.pre_vote);
}

#[test]
fn what_start_up_scripts_pass() {
    let settings = with(&[
        ("name", "n1"),
        ("listen-client-urls", "http://localhost:20000"),
        ("advertise-client-urls", "http://localhost:20000"),
        ("listen-peer-urls", "http://localhost:20001"),
        ("initial-advertise-peer-urls", "http://localhost:20001"),
        ("initial-cluster-token", "new"),
        ("data-dir", "/tmp/no-such-conclave"),
        ("snapshot-count", "10000"),
        ("initial-cluster", "n1=http://localhost:20001"),
        ("initial-cluster-state", "new"),
        ("strict-reconfig-check", "false"),
        ("feature-gates", "InitialCorruptCheck=true"),
        ("peer-auto-tls", "true"),
    ]);
    let settings = settings.unwrap();
    assert_eq!(settings.node.initial_cluster[0].name, "n1");
    assert_eq!(settings.warnings, [""; 0]);
    assert!(settings.node.corruption_checks.initial);
}

#[test]
fn comparisons_of_data_are_chosen_by_flags_and_gates() {
    let checks = |given: &[(&str, &str)]| with(given).unwrap().node.corruption_checks;
    assert_eq!(checks(&[]), CorruptionChecks::default());
    assert_eq!(checks(&[("corrupt-check-time", "5s")]).periodic, Some(Duration::from_secs(5)));
    assert_eq!(checks(&[("compact-hash-check-time", "5s")]).compaction, None, "its gate is off");
    let gates = ("feature-gates", "CompactHashCheck=true");
    assert_eq!(checks(&[gates]).compaction, Some(Duration::from_secs(60)));
    assert_eq!(checks(&[gates, ("compact-hash-check-time", "5s")]).compaction, Some(Duration::from_secs(5)));
}

#[test]
fn members_dial_from_the_first_address_that_others_see() {
    let address = |urls| {
        let mut given = Given::default();
        given.set("initial-advertise-peer-urls", urls).unwrap();
        crate::settings::local_address(&given).map(|address| address.to_string())
    };
    assert_eq!(address("http://127.0.0.1:2380,http://10.0.0.7:2380").as_deref(), Some("10.0.0.7"));
    assert_eq!(address("http://[fe80::1]:2380").as_deref(), Some("fe80::1"));
    assert_eq!(address("http://0.0.0.0:2380,http://localhost:2380"), None);
}

#[test]
fn timing() {
    assert_eq!(words(&[("heartbeat-interval", "0")]), "--heartbeat-interval must be >0 (set to 0ms)");
    assert_eq!(words(&[("election-timeout", "0")]), "--election-timeout must be >0 (set to 0ms)");
    assert_eq!(
        words(&[("heartbeat-interval", "1000")]),
        "--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[1000ms]"
    );
    assert_eq!(
        words(&[("election-timeout", "60000")]),
        "--election-timeout[60000ms] is too long, and should be set less than 50000ms"
    );
}

#[test]
fn urls() {
    assert_eq!(
        words(&[("listen-client-urls", "http://127.0.0.1:1")]),
        "--advertise-client-urls is required when --listen-client-urls is set explicitly"
    );
    assert_eq!(
        words(&[("listen-client-urls", "http://foo.com:1")]),
        "expected IP in URL for binding (http://foo.com:1)"
    );
    assert_eq!(words(&[("listen-peer-urls", "http://foo.com:1")]), "expected IP in URL for binding (http://foo.com:1)");
    assert_eq!(
        words(&[("advertise-client-urls", "http://:23")]),
        "--advertise-client-urls \"http://:23\" must be in the format \"host:port\", \"unix:/path/to/socket\" or \"unixs:/path/to/socket\" (unexpected empty host (http://:23))"
    );
}

#[test]
fn compaction() {
    let chosen = |mode, keep| {
        with(&[("auto-compaction-mode", mode), ("auto-compaction-retention", keep)]).map(|s| s.node.auto_compaction)
    };
    let hours = |n: u64| Ok(Some(AutoCompaction::Periodic(Duration::from_secs(n * 3600))));
    assert_eq!(chosen("periodic", "2"), hours(2));
    assert_eq!(chosen("periodic", "1h"), hours(1));
    assert_eq!(chosen("periodic", "0"), Ok(None));
    assert_eq!(chosen("revision", "1000"), Ok(Some(AutoCompaction::Revision(1000))));
    assert_eq!(chosen("foo", "1").unwrap_err(), "unknown auto-compaction-mode \"foo\"");
    let bad = chosen("periodic", "x").unwrap_err();
    assert_eq!(bad, "error parsing CompactionRetention: time: invalid duration \"x\"");
    assert!(chosen("revision", "1h").is_err());
}

#[test]
fn tls_and_gates() {
    let text = words(&[("tls-min-version", "TLS1.4")]);
    assert_eq!(text, "unexpected TLS version \"TLS1.4\" (must be one of: TLS1.2, TLS1.3)");
    assert_eq!(words(&[("cipher-suites", "foo")]), "unexpected TLS cipher suite \"foo\"");
    let https = [("listen-client-urls", "https://127.0.0.1:1"), ("advertise-client-urls", "https://127.0.0.1:1")];
    assert!(words(&https).starts_with("TLS key/cert (--cert-file, --key-file) must be provided for client url"));
    let metrics = words(&[("listen-metrics-urls", "https://127.0.0.1:1")]);
    assert!(
        metrics.starts_with("client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url")
    );
    assert!(with(&[https[0], https[1], ("auto-tls", "true")]).unwrap().node.client_tls.unwrap().auto.is_some());
    let secure = ("listen-peer-urls", "https://127.0.0.1:2380");
    let without = words(&[secure]);
    let text = "TLS key/cert (--peer-cert-file, --peer-key-file) must be provided for peer url https://127.0.0.1:2380";
    assert!(without.starts_with(text), "{without}");
    let names = [secure, ("peer-auto-tls", "true"), ("peer-cert-allowed-cn", "a"), ("peer-cert-allowed-hostname", "b")];
    assert!(words(&names).contains("exclude each other"), "{}", words(&names));
    let files = [secure, ("peer-cert-file", "c"), ("peer-key-file", "k"), ("peer-client-cert-auth", "true")];
    let tls = with(&files).unwrap().node.peer_tls.unwrap();
    assert!(tls.client_cert_auth && tls.auto.is_none() && tls.cert_file == Some("c".into()), "{tls:?}");
    let unused = with(&[("peer-cert-file", "/nowhere")]).expect("etcd ignores the files of plain URLs").node.peer_tls;
    assert_eq!(unused, None);
    let gate = words(&[("feature-gates", "LeaseCheckpointPersist=true")]);
    assert_eq!(gate, "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint");
}

#[test]
fn what_is_not_offered_says_so() {
    for (flag, text) in [("discovery", "https://discovery.etcd.io/x"), ("proxy", "on")] {
        let said = words(&[(flag, text)]);
        assert!(said.starts_with(&format!("--{flag}={text}: ")), "{said}");
    }
    let twice = words(&[("discovery-srv", "a"), ("initial-cluster", "default=http://localhost:2380")]);
    assert!(twice.starts_with("multiple discovery or bootstrap flags are set."));
    assert!(!with(&[("auth-token", "simple"), ("enable-v2", "false")]).unwrap().node.enable_v2);
    assert!(with(&[("enable-v2", "true")]).unwrap().node.enable_v2);
}

#[test]
fn the_gateway_has_its_switch_and_its_hosts() {
    let node = with(&[]).unwrap().node;
    assert_eq!((node.json_gateway, node.host_whitelist), (true, vec!["*".to_owned()]));
    let pairs = [("enable-grpc-gateway", "false"), ("host-whitelist", "a.example,127.0.0.1")];
    let node = with(&pairs).unwrap().node;
    assert_eq!((node.json_gateway, node.host_whitelist), (false, vec!["a.example".to_owned(), "127.0.0.1".to_owned()]));
}

#[test]
fn tokens_are_etcds() {
    let tokens = |text| with(&[("auth-token", text)]).unwrap().node.tokens;
    let ttl = |seconds| TokenSettings::Simple { ttl: Duration::from_secs(seconds) };
    assert_eq!(tokens("simple"), ttl(300));
    assert_eq!(with(&[("auth-token-ttl", "7")]).unwrap().node.tokens, ttl(7));
    assert_eq!(with(&[("auth-token-ttl", "0")]).unwrap().node.tokens, ttl(300));
    assert_eq!(tokens(""), TokenSettings::None);
    let jwt = tokens("jwt,sign-method=RS256,pub-key=a,priv-key=b,ttl=1m30s");
    let files = JwtFiles {
        method: SignMethod::by_name("RS256").unwrap(),
        public_key: Some("a".into()),
        private_key: Some("b".into()),
        ttl: Duration::from_secs(90),
    };
    assert_eq!(jwt, TokenSettings::Jwt(files));
    let unknown = with(&[("auth-token", "jwt,sign-method=HS256,priv-key=b,colour=red")]).unwrap().warnings;
    assert!(unknown.iter().any(|text| text.contains("colour")), "{unknown:?}");
    for wrong in ["token", "simple,ttl", "jwt,sign-method=none", "jwt", "jwt,ttl=1,sign-method=HS256", "simple,a=1,a=2"]
    {
        let said = words(&[("auth-token", wrong)]);
        assert!(said.starts_with("auth: invalid auth options"), "{wrong}: {said}");
    }
    let cost = |text| with(&[("bcrypt-cost", text)]).unwrap();
    assert_eq!(cost("4").node.bcrypt_cost, 4);
    for wrong in ["3", "32", "-1"] {
        let settings = cost(wrong);
        assert_eq!(settings.node.bcrypt_cost, 10);
        let said = format!("use default bcrypt cost 10 instead of the invalid given cost {wrong}");
        assert!(settings.warnings.contains(&said), "{:?}", settings.warnings);
    }
}

/// What promises less than this server gives, or only lets somebody look on, is no reason not to serve.
#[test]
fn switches_without_effect_are_said_and_never_refuse_a_start() {
    for flag in ["unsafe-no-fsync", "memory-mlock"] {
        let warnings = with(&[(flag, "true")]).unwrap_or_else(|why| panic!("--{flag}: {why}")).warnings;
        assert!(warnings.iter().any(|text| text.starts_with(&format!("--{flag} has no effect: "))), "{warnings:?}");
        let silent = with(&[(flag, "false")]).unwrap().warnings;
        assert!(!silent.iter().any(|text| text.contains(flag)), "{silent:?}");
    }
    for empty in ["host-whitelist", "auth-token", "discovery-srv", "discovery"] {
        assert!(with(&[(empty, "")]).is_ok(), "--{empty} is empty");
    }
}

#[test]
fn discovery_is_about_the_first_start_alone() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let pairs = [("discovery-srv", "example.com"), ("data-dir", data.to_str().unwrap())];
    assert!(with(&pairs).unwrap().discovery.is_some());
    std::fs::create_dir_all(data.join("member/store")).unwrap();
    let warnings = with(&pairs).expect("a member with data ignores it").warnings;
    assert!(warnings.iter().any(|text| text.starts_with("discovery token is ignored")), "{warnings:?}");
}

#[test]
fn addresses_that_others_cannot_use_are_said() {
    let warned = |listen: &str, advertise: &str| {
        let pairs = [("listen-client-urls", listen), ("advertise-client-urls", advertise)];
        let warnings = with(&pairs).unwrap().warnings;
        warnings.into_iter().filter(|text| text.contains("advertise-client-urls names")).count()
    };
    assert_eq!(warned("http://0.0.0.0:2379", "http://localhost:2379"), 1);
    assert_eq!(warned("http://[::]:2379", "http://127.0.0.1:2379,http://[::1]:2379"), 2);
    assert_eq!(warned("http://10.0.0.1:2379", "http://localhost:2379"), 1);
    assert_eq!(warned("http://0.0.0.0:2379", "http://0.0.0.0:2379"), 1);
    assert_eq!(warned("http://127.0.0.1:2379", "http://[::]:2379"), 1);
    assert_eq!(warned("http://0.0.0.0:2379", "http://etcd-0.example:2379"), 0);
    assert_eq!(warned("http://localhost:2379", "http://127.0.0.1:2379"), 0);
    assert_eq!(warned("unix:///tmp/x", "unix:///tmp/x"), 0);
}

/// etcd takes its default for what is advertised there.
#[test]
fn a_file_need_not_say_what_is_advertised() {
    let given = crate::flags::file::parse("listen-client-urls: http://0.0.0.0:2379\nenable-v2: true").unwrap();
    let settings = resolve(given).expect("etcd starts with it");
    assert_eq!(settings.node.advertise_client_urls, ["http://localhost:2379"]);
    assert_eq!(settings.warnings.iter().filter(|text| text.contains("localhost is that machine itself")).count(), 1);
}
