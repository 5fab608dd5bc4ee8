//! Own certificates: what is said before they end and when they do not fit, what is made again, and members that meet each other.

use crate::verify::AllowedNames;
use crate::{AutoTls, Identity, Side, TlsSettings, client_config, error_text, server_config};
use rustls::{ClientConnection, ServerConnection};
use std::fmt::Debug;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

/// Warnings of one thread.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    fn while_doing(work: impl FnOnce()) -> Vec<String> {
        let warnings = Self::default();
        tracing::subscriber::with_default(warnings.clone(), work);
        let said = warnings.0.lock().unwrap();
        said.clone()
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                self.0 += &format!("{}={value:?} ", field.name());
            }
        }
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// A pair that ends in so many days, as `--auto-tls` makes it or of another name.
fn pair(folder: &Path, days: i64, organization: &str) {
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::OrganizationName, organization);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let at = |days: i64| {
        let seconds = u64::try_from(i64::try_from(now).unwrap() + days * 24 * 3600).unwrap();
        rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(seconds)
    };
    params.not_before = at(-400);
    params.not_after = at(days);
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("cert.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
}

fn given(folder: &Path) -> Identity {
    Identity::new(folder.join("cert.pem"), folder.join("key.pem")).unwrap()
}

#[test]
fn a_certificate_that_ends_is_warned_about_once_a_day() {
    let dir = tempfile::tempdir().unwrap();
    for (days, text) in [(-3, "has expired"), (12, "expires soon"), (29, "expires soon")] {
        pair(dir.path(), days, "somebody");
        let said = Warnings::while_doing(|| {
            let identity = given(dir.path());
            for _ in 0..100 {
                identity.look();
            }
        });
        assert_eq!(said.len(), 1, "{days}: {said:?}");
        assert!(said[0].contains(text) && said[0].contains("cert.pem"), "{said:?}");
    }
    pair(dir.path(), 31, "somebody");
    assert_eq!(Warnings::while_doing(|| given(dir.path()).look()), Vec::<String>::new());
}

#[test]
fn one_that_ends_is_warned_about_when_it_comes_by_a_reload() {
    let dir = tempfile::tempdir().unwrap();
    pair(dir.path(), 100, "somebody");
    let identity = given(dir.path());
    let ended = identity.not_after();
    pair(dir.path(), -1, "somebody");
    let said = Warnings::while_doing(|| identity.look());
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(identity.not_after() < ended);
}

#[test]
fn files_that_do_not_fit_are_one_warning_however_often_they_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    pair(dir.path(), 100, "somebody");
    pair(other.path(), 100, "somebody");
    let identity = given(dir.path());
    std::fs::copy(other.path().join("key.pem"), dir.path().join("key.pem")).unwrap();
    let said = Warnings::while_doing(|| (0..1_000).for_each(|_| identity.look()));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("does not belong to certificate"), "{said:?}");
    std::fs::remove_file(dir.path().join("cert.pem")).unwrap();
    let said = Warnings::while_doing(|| (0..1_000).for_each(|_| identity.look()));
    assert_eq!(said.len(), 1, "another trouble is told too: {said:?}");
}

#[test]
fn a_self_made_pair_is_made_again_before_it_ends_and_no_other_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let auto = AutoTls { dir: dir.path().to_owned(), years: 1 };
    let hosts = ["localhost".to_owned()];
    for (days, organization, renewed) in
        [(-1, "etcd", true), (6, "etcd", true), (8, "etcd", false), (300, "etcd", false), (-1, "somebody", false)]
    {
        pair(dir.path(), days, organization);
        let before = given(dir.path()).not_after();
        let mut after = before;
        let said = Warnings::while_doing(|| after = Identity::self_made(&auto, &hosts).unwrap().not_after());
        assert_eq!(after > before, renewed, "{days} {organization}");
        assert_eq!(said.iter().any(|text| text.contains("expired")), organization == "somebody", "{said:?}");
    }
    // while it runs, too
    pair(dir.path(), 300, "etcd");
    let identity = Identity::self_made(&auto, &hosts).unwrap();
    pair(dir.path(), 6, "etcd");
    identity.look();
    let left = identity.not_after() - given(dir.path()).not_after();
    assert_eq!(left, 0, "the files hold what is shown");
    assert!(server_config(&TlsSettings { auto: Some(auto), ..TlsSettings::default() }, &hosts).is_ok());
}

#[test]
fn halves_that_a_crash_left_are_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let auto = AutoTls { dir: dir.path().to_owned(), years: 1 };
    pair(dir.path(), 100, "etcd");
    pair(other.path(), 100, "etcd");
    std::fs::copy(other.path().join("key.pem"), dir.path().join("key.pem")).unwrap();
    Identity::self_made(&auto, &[]).unwrap();
    given(dir.path());
}

/// Two members with these settings meet; what the one that was dialled says, and the one that dials.
fn meet(dialled: &TlsSettings, dials: &TlsSettings) -> Result<(), String> {
    let server = server_config(dialled, &["localhost".into()]).unwrap().config;
    let client = client_config(dials, &["localhost".into()]).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), "localhost".try_into().unwrap()).unwrap();
    for _ in 0..6 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().map_err(|why| format!("dialled: {}", error_text(&why)))?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().map_err(|why| format!("dials: {}", error_text(&why)))?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(())
}

/// An authority and two members that it signed, of other common names.
fn members(folder: &Path) -> [TlsSettings; 2] {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
    std::fs::write(folder.join("ca.pem"), issuer.pem()).unwrap();
    ["one", "two"].map(|name| {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = rcgen::KeyPair::generate().unwrap();
        let path = |ending: &str| folder.join(format!("{name}.{ending}"));
        std::fs::write(path("pem"), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
        std::fs::write(path("key"), key.serialize_pem()).unwrap();
        TlsSettings {
            side: Side::Peer,
            cert_file: Some(path("pem")),
            key_file: Some(path("key")),
            client_cert_auth: true,
            trusted_ca_file: Some(folder.join("ca.pem")),
            ..TlsSettings::default()
        }
    })
}

#[test]
fn members_judge_each_other_in_both_directions() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let [one, two] = members(dir.path());
    let [stranger, _] = members(elsewhere.path());
    meet(&one, &two).unwrap();
    let unknown = "tls: failed to verify certificate: x509: certificate signed by unknown authority";
    assert!(meet(&one, &stranger).unwrap_err().contains("dials: "), "who dials checks first");
    let lax = TlsSettings { trusted_ca_file: one.trusted_ca_file.clone(), ..stranger };
    assert!(meet(&one, &lax).unwrap_err().starts_with(&format!("dialled: {unknown}")));

    let named = |names: &[&str]| AllowedNames {
        common_names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..AllowedNames::default()
    };
    let only_two = TlsSettings { allowed: named(&["two"]), ..one.clone() };
    meet(&only_two, &two).unwrap();
    assert!(meet(&only_two, &one).unwrap_err().contains("client certificate authentication failed"));
    let only_one = TlsSettings { allowed: named(&["one"]), ..two.clone() };
    meet(&one, &only_one).unwrap();
    let refused = meet(&two, &only_one).unwrap_err();
    assert!(refused.starts_with("dials: ") && refused.contains("has none of the allowed names one"), "{refused}");
}

#[test]
fn a_member_may_show_another_certificate_when_it_dials() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = members(dir.path());
    let only_one = TlsSettings {
        allowed: AllowedNames { common_names: vec!["one".into()], ..AllowedNames::default() },
        ..one.clone()
    };
    assert!(meet(&only_one, &two).is_err());
    let with_other = TlsSettings { client_cert_file: one.cert_file.clone(), client_key_file: one.key_file, ..two };
    meet(&only_one, &with_other).unwrap();
    let half = TlsSettings { client_key_file: None, ..with_other };
    assert!(client_config(&half, &[]).unwrap_err().to_string().contains("--peer-cert-file and --peer-key-file"));
}

#[test]
fn self_made_members_take_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let auto = |name: &str| TlsSettings {
        side: Side::Peer,
        auto: Some(AutoTls { dir: dir.path().join(name), years: 1 }),
        ..TlsSettings::default()
    };
    meet(&auto("one"), &auto("two")).unwrap();
}
