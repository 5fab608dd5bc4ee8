//! Certificates of every kind between processes: our tool and our daemon take and refuse what the matrix of `conclave-tls` says,
//! and whoever is refused is found in the daemon's log, with address and cause.
//!
//! Skipped, with a line that says so, where there is no `openssl`.

#[path = "../../../../net/tls/tests/matrix/pki.rs"]
mod pki;
#[path = "../golden/server.rs"]
#[allow(dead_code)]
mod server;

use server::Server;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const EXPECTED: &str = include_str!("../../../../net/tls/tests/matrix/expected.txt");

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// With these certificates, or with all. `None`: no `openssl`.
    fn with(wanted: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../net/tls/tests/matrix");
        if pki::make(folder.path(), &keys, wanted).is_none() {
            eprintln!("SKIPPED: there is no `openssl` on this machine");
            return None;
        }
        Some(Self { folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn copy(&self, from: &str, to: &str) {
        // whole or not at all: the daemon reads it at any time
        std::fs::copy(self.path(from), self.path("copy.new")).expect("a copy");
        std::fs::rename(self.path("copy.new"), self.path(to)).expect("in place");
    }

    /// A daemon that shows `shown.pem`, with these flags besides.
    fn server(&self, flags: &[&str]) -> Server {
        let mut all = vec![
            format!("--cert-file={}", self.path("shown.pem").display()),
            format!("--key-file={}", self.path("shown.key").display()),
        ];
        all.extend(flags.iter().map(|flag| flag.replace("DIR", &self.folder.path().display().to_string())));
        Server::start(&server::daemon(), self.folder.path(), &all)
    }

    fn show(&self, name: &str) {
        self.copy(&format!("{name}.key"), "shown.key");
        self.copy(&format!("{name}.pem"), "shown.pem");
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("server.log")).expect("the log")
    }

    /// Lines of the log with this text, once there is one.
    fn logged(&self, text: &str) -> Vec<String> {
        for _ in 0..200 {
            let found: Vec<String> = self.log().lines().filter(|line| line.contains(text)).map(str::to_owned).collect();
            if !found.is_empty() {
                return found;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("not in the log: {text}\n{}", self.log());
    }

    /// What the tool says of `get k`; empty when it worked.
    fn ctl(&self, endpoint: &str, flags: &[&str]) -> String {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_conclavectl"));
        tool.current_dir(self.folder.path()).args(["--command-timeout=2s", "--endpoints", endpoint]).args(flags);
        let run = tool.args(["get", "k"]).stdin(Stdio::null()).output().expect("the tool runs");
        if run.status.success() { String::new() } else { String::from_utf8_lossy(&run.stderr).into_owned() }
    }

    /// What `openssl s_client` is told.
    fn openssl(&self, endpoint: &str, flags: &[&str]) -> String {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-connect", endpoint]).args(flags).stdin(Stdio::null());
        let run = client.current_dir(self.folder.path()).output().expect("openssl runs");
        format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr))
    }
}

/// Verdicts on each certificate: as a server's, as a client's.
fn verdicts() -> HashMap<&'static str, [&'static str; 2]> {
    let mut all = HashMap::new();
    let mut name = "";
    for line in EXPECTED.lines() {
        if let Some(text) = line.strip_prefix("  server: ") {
            all.entry(name).or_insert(["", ""])[0] = text;
        } else if let Some(text) = line.strip_prefix("  client: ") {
            all.entry(name).or_insert(["", ""])[1] = text;
        } else if !line.starts_with([' ', '#']) {
            name = line;
        }
    }
    all
}

/// The text without what the log and the tool write in another way: times and quotation marks.
fn core(verdict: &str) -> String {
    let verdict = verdict.strip_prefix("load: ").unwrap_or(verdict);
    let verdict = verdict.split("current time T").next().unwrap_or(verdict);
    verdict.split('"').next().unwrap_or(verdict).trim_end_matches(['(', ' ']).to_owned()
}

#[test]
fn servers_are_judged_by_the_tool_as_the_matrix_says() {
    let Some(place) = Place::with(&[]) else { return };
    let verdicts = verdicts();
    place.show("good");
    let server = place.server(&[]);
    let port = server.endpoint().rsplit(':').next().expect("a port").to_owned();
    let endpoint = format!("https://localhost:{port}");
    for one in pki::SHOWN {
        let verdict = verdicts[one.name][0];
        place.show(one.name);
        if verdict.starts_with("load: ") {
            // the pair before it stays in use
            place.ctl(&endpoint, &["--insecure-skip-tls-verify"]);
            place.logged(&core(verdict));
            place.show("good");
            continue;
        }
        let said = place.ctl(&endpoint, &["--cacert", &format!("{}.leaf.pem", one.trust)]);
        match verdict {
            "taken" => assert_eq!(said, "", "{}", one.name),
            _ => assert!(said.contains(&core(verdict)), "{}: {said}\nwanted: {verdict}", one.name),
        }
    }
}

#[test]
fn clients_are_judged_by_the_daemon_as_the_matrix_says_and_found_in_its_log() {
    let Some(place) = Place::with(&[]) else { return };
    let verdicts = verdicts();
    place.show("good");
    place.copy("ca.leaf.pem", "trusted.pem");
    let server = place.server(&["--client-cert-auth", "--trusted-ca-file=DIR/trusted.pem"]);
    let endpoint = format!("https://{}", server.endpoint());
    for one in pki::SHOWN {
        let verdict = verdicts[one.name][1];
        place.copy(&format!("{}.leaf.pem", one.trust), "trusted.pem");
        let pair = [format!("--cert={}.pem", one.name), format!("--key={}.key", one.name)];
        let said = place.ctl(&endpoint, &["--cacert=ca.leaf.pem", &pair[0], &pair[1]]);
        match verdict {
            "taken" => assert_eq!(said, "", "{}", one.name),
            _ if verdict.starts_with("load: ") => assert!(said.contains(&core(verdict)), "{}: {said}", one.name),
            _ => {
                assert!(!said.is_empty(), "{} was taken", one.name);
                let lines = place.logged(&core(verdict));
                assert!(lines[0].contains("127.0.0.1:"), "no address: {}", lines[0]);
                assert!(lines[0].contains("rejected connection on client endpoint"), "{}", lines[0]);
            }
        }
    }
    assert!(!place.log().contains("peer certificate"), "an own certificate is nobody's peer's");
}

#[test]
fn clients_that_are_refused_again_and_again_have_one_line_each() {
    let Some(place) = Place::with(&["good", "expired", "foreign"]) else { return };
    place.show("good");
    let server = place.server(&["--client-cert-auth", "--trusted-ca-file=DIR/ca.leaf.pem"]);
    let endpoint = format!("https://{}", server.endpoint());
    for _ in 0..20 {
        place.openssl(&server.endpoint(), &["-brief"]);
        place.openssl(&server.endpoint(), &["-brief", "-cert", "expired.pem", "-key", "expired.key"]);
        place.ctl(
            &endpoint,
            &["--cacert=ca.leaf.pem", "--cert=foreign.pem", "--key=foreign.key", "--command-timeout=300ms"],
        );
    }
    let causes = ["client didn't provide a certificate", "has expired", "signed by unknown authority"];
    for cause in causes {
        let lines = place.logged(cause);
        // one per cause in five seconds, and this machine may be slow
        assert!(lines.len() <= 6, "{} lines: {}", lines.len(), lines[0]);
    }
}

#[test]
fn revoked_clients_are_logged_also_for_a_revoked_authority_in_between() {
    let Some(place) = Place::with(&["good", "in-between", "p384"]) else { return };
    place.show("good");
    let revoke = |name: &str| {
        let run = Command::new("openssl")
            .args(["ca", "-config", "crl.conf", "-cert", "ca.leaf.pem", "-keyfile", "ca.key", "-md", "sha256"])
            .args(["-revoke", name])
            .current_dir(place.folder.path())
            .output()
            .expect("openssl runs");
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    };
    let list = || {
        let run = Command::new("openssl")
            .args(["ca", "-config", "crl.conf", "-cert", "ca.leaf.pem", "-keyfile", "ca.key", "-md", "sha256"])
            .args(["-gencrl", "-crldays", "30", "-out", "crl.new"])
            .current_dir(place.folder.path())
            .output()
            .expect("openssl runs");
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        std::fs::rename(place.path("crl.new"), place.path("crl.pem")).expect("in place");
    };
    let settings = "[ca]\ndefault_ca=a\n[a]\ndatabase=crl.txt\npolicy=p\n[p]\ncommonName=supplied\n";
    std::fs::write(place.path("crl.conf"), settings).expect("settings");
    std::fs::write(place.path("crl.txt"), "").expect("an index");
    list();
    let server = place.server(&["--trusted-ca-file=DIR/ca.leaf.pem", "--client-crl-file=DIR/crl.pem"]);
    let endpoint = format!("https://{}", server.endpoint());
    let ask = |name: &str| {
        let pair = [format!("--cert={name}.pem"), format!("--key={name}.key")];
        place.ctl(&endpoint, &["--cacert=ca.leaf.pem", &pair[0], &pair[1]])
    };
    assert_eq!([ask("good"), ask("in-between")], [String::new(), String::new()]);
    revoke("good.leaf.pem");
    list();
    assert_eq!(ask("in-between"), "");
    assert_ne!(ask("good"), "");
    place.logged("is revoked (serial number");
    revoke("between.leaf.pem");
    list();
    assert_ne!(ask("in-between"), "", "the authority in between is revoked");
    std::fs::write(place.path("crl.pem"), "damaged").expect("a damaged list");
    assert_ne!(ask("p384"), "");
    place.logged("cannot be checked against the revocation list");
}

#[test]
fn a_pair_that_does_not_fit_is_one_warning_and_the_last_good_one_stays() {
    let Some(place) = Place::with(&["good", "p384"]) else { return };
    place.show("good");
    let server = place.server(&[]);
    place.copy("p384.key", "shown.key");
    for _ in 0..30 {
        assert!(place.openssl(&server.endpoint(), &["-brief"]).contains("CONNECTION ESTABLISHED"));
    }
    assert_eq!(place.logged("does not belong to certificate").len(), 1);
    place.show("p384");
    place.openssl(&server.endpoint(), &["-brief"]);
    place.logged("files of TLS were renewed");
}

#[test]
fn an_own_certificate_that_expired_is_said_at_the_start_and_measured() {
    let Some(place) = Place::with(&["expired"]) else { return };
    place.show("expired");
    let server = place.server(&[]);
    let lines = place.logged("own certificate has expired");
    assert!(lines[0].contains("2021-01-01T00:00:00Z"), "{}", lines[0]);
    let page = place.openssl(&server.endpoint(), &["-brief"]);
    assert!(page.contains("CONNECTION ESTABLISHED"), "{page}");
}

#[test]
fn suites_and_groups_that_are_not_offered_are_refused_with_what_is() {
    let Some(place) = Place::with(&["rsa-2048"]) else { return };
    place.show("rsa-2048");
    let server = place.server(&[]);
    let endpoint = server.endpoint();
    for good in ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"] {
        let said = place.openssl(&endpoint, &["-brief", "-tls1_2", "-cipher", good]);
        assert!(said.contains("CONNECTION ESTABLISHED"), "{good}: {said}");
    }
    for group in ["X25519", "P-256", "P-384"] {
        let said = place.openssl(&endpoint, &["-brief", "-groups", group]);
        assert!(said.contains("CONNECTION ESTABLISHED"), "{group}: {said}");
    }
    place.openssl(&endpoint, &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA"]);
    place.logged("no cipher suite supported by both sides");
    place.openssl(&endpoint, &["-groups", "P-521"]);
    place.logged("no key exchange group supported by both sides");
}
