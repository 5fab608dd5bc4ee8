//! Four servers, three with certificates, and the command lines of `tls.txt` against them.

use crate::cases::{self, Step};
use crate::run::{Outcome, Tool};
use crate::server::Server;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use std::path::Path;

/// What is run.
pub fn steps() -> Vec<Step> {
    cases::read(&std::fs::read_to_string(crate::folder().join("tls.txt")).expect("tls.txt"))
}

/// Runs it all through one tool, in the folder in which the certificates are.
pub fn outcomes(steps: &[Step], tool: &Path, server: &Path) -> Vec<Outcome> {
    let work = tempfile::tempdir().expect("a folder");
    certificates(work.path());
    let path = |name: &str| work.path().join(name).display().to_string();
    let pair = |name: &str| [format!("--cert-file={}.pem", path(name)), format!("--key-file={}.key", path(name))];
    let mutual = ["--client-cert-auth".to_owned(), format!("--trusted-ca-file={}", path("ca.pem"))];
    let servers = [
        ("PLAIN", Vec::new()),
        ("TLS", pair("server").to_vec()),
        ("MUTUAL", pair("server").into_iter().chain(mutual).collect()),
        ("ELSEWHERE", pair("elsewhere").to_vec()),
        ("EXPIRED", pair("expired").to_vec()),
    ]
    .map(|(name, tls)| {
        let folder = work.path().join(name);
        std::fs::create_dir(&folder).expect("a folder for the server");
        (name, Server::start(server, &folder, &tls))
    });
    let mut tool = Tool::new(tool, &servers[0].1.endpoint(), work.path());
    for (name, server) in &servers {
        let endpoint = server.endpoint();
        tool.name(name, &endpoint);
        tool.name(&format!("{name}_PORT"), endpoint.rsplit(':').next().expect("a port"));
    }
    steps.iter().filter_map(|step| tool.run(step)).collect()
}

/// Two authorities, `ca` and `other`, and what they signed; each as `NAME.pem` and `NAME.key`.
fn certificates(folder: &Path) {
    let write = |name: &str, pem: String, key: &KeyPair| {
        std::fs::write(folder.join(format!("{name}.pem")), pem).expect("write a certificate");
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).expect("write a key");
    };
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
        write(name, issuer.pem(), issuer.key());
        issuer
    };
    let signed = |name: &str, names: &[&str], issuer: &CertifiedIssuer<'_, KeyPair>| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        if name == "expired" {
            params.not_after = rcgen::date_time_ymd(2020, 1, 2);
        }
        let key = KeyPair::generate().expect("a key");
        write(name, params.signed_by(&key, issuer).expect("a certificate").pem(), &key);
    };
    let (ca, other) = (authority("ca"), authority("other"));
    signed("server", &["localhost", "127.0.0.1"], &ca);
    signed("expired", &["localhost", "127.0.0.1"], &ca);
    signed("elsewhere", &["elsewhere.example"], &ca);
    signed("client", &["client"], &ca);
    signed("stranger", &["stranger"], &other);
}
