//! Certificates of every kind, made by the `openssl` command as people make them.

use std::path::Path;
use std::process::Command;

/// A certificate and how it is made.
pub struct Made {
    /// Name of its files: `NAME.pem` with the chain, `NAME.key`.
    pub name: &'static str,
    /// The authority that signs it; empty: itself.
    issuer: &'static str,
    /// What is trusted when it is shown.
    pub trust: &'static str,
    /// Arguments of `openssl genpkey`, or the name of a key beside this file.
    key: &'static str,
    /// Extensions, one a line; `v1`: none, and version 1.
    extensions: &'static str,
    /// Start and end of validity.
    valid: (&'static str, &'static str),
    /// Options of signing.
    signing: &'static [&'static str],
}

const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
const ALWAYS: (&str, &str) = ("20200101000000Z", "20991231235959Z");
const CA: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign";
const NAMED: &str = "subjectAltName=DNS:localhost,IP:127.0.0.1";
const BOTH: &str = "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth";

const fn made(name: &'static str, extensions: &'static str) -> Made {
    Made { name, issuer: "ca", trust: "ca", key: P256, extensions, valid: ALWAYS, signing: &["-md", "sha256"] }
}

const fn authority(name: &'static str, issuer: &'static str, extensions: &'static str) -> Made {
    Made { issuer, ..made(name, extensions) }
}

/// Signs `NAME.pem`, named after what is odd about it.
pub const AUTHORITIES: &[Made] = &[
    authority("ca", "", CA),
    authority("other", "", CA),
    authority("ca-v1", "", "v1"),
    authority("ca-without-constraints", "", "keyUsage=critical,keyCertSign"),
    authority("ca-false", "", "basicConstraints=critical,CA:FALSE"),
    authority("ca-without-cert-sign", "", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature"),
    Made { valid: ("20200101000000Z", "20210101000000Z"), ..authority("ca-expired", "", CA) },
    Made { key: "-algorithm RSA -pkeyopt rsa_keygen_bits:1024", ..authority("ca-rsa-1024", "", CA) },
    Made { key: "-algorithm EC -pkeyopt ec_paramgen_curve:P-521", ..authority("ca-p521", "", CA) },
    Made { key: "-algorithm RSA -pkeyopt rsa_keygen_bits:2048", ..authority("ca-rsa", "", CA) },
    authority("ca-server-only", "", "basicConstraints=CA:TRUE\nextendedKeyUsage=serverAuth"),
    authority("ca-path-0", "", "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=keyCertSign"),
    authority(
        "ca-names",
        "",
        "basicConstraints=CA:TRUE\nnameConstraints=critical,permitted;DNS:localhost,permitted;IP:127.0.0.0/255.0.0.0",
    ),
    authority("ca-other-names", "", "basicConstraints=CA:TRUE\nnameConstraints=critical,permitted;DNS:example.com"),
    authority("ca-excluded-names", "", "basicConstraints=CA:TRUE\nnameConstraints=critical,excluded;DNS:localhost"),
    authority(
        "ca-dir-names",
        "",
        "basicConstraints=CA:TRUE\nnameConstraints=critical,permitted;dirName:dir\n[dir]\nO=x",
    ),
    authority("ca-policy", "", "basicConstraints=CA:TRUE\npolicyConstraints=requireExplicitPolicy:0"),
    authority("ca-odd", "", "basicConstraints=CA:TRUE\n1.2.3.4=critical,DER:0500"),
    authority("between", "ca", CA),
    authority("between-v1", "ca", "v1"),
    authority("between-false", "ca", "basicConstraints=CA:FALSE"),
    authority("between-path-0", "ca-path-0", CA),
    authority("between-client-only", "ca", "basicConstraints=CA:TRUE\nextendedKeyUsage=clientAuth"),
    authority("between-policy", "ca", "basicConstraints=CA:TRUE\npolicyConstraints=requireExplicitPolicy:0"),
    Made { valid: ("20200101000000Z", "20210101000000Z"), ..authority("between-expired", "ca", CA) },
];

const fn by(issuer: &'static str, trust: &'static str, name: &'static str) -> Made {
    Made { issuer, trust, ..made(name, BOTH) }
}

const fn with_key(name: &'static str, key: &'static str) -> Made {
    Made { key, ..made(name, BOTH) }
}

/// What servers and clients show.
pub const SHOWN: &[Made] = &[
    made("good", BOTH),
    // versions and flags
    made("v1", "v1"),
    Made {
        issuer: "",
        trust: "pair-ca-true",
        ..made("pair-ca-true", "basicConstraints=critical,CA:TRUE\nsubjectAltName=DNS:localhost,IP:127.0.0.1")
    },
    Made {
        issuer: "",
        trust: "pair-ca-false",
        ..made("pair-ca-false", "basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost,IP:127.0.0.1")
    },
    Made { issuer: "", trust: "pair-v1", ..made("pair-v1", "v1") },
    Made { issuer: "", ..made("pair-untrusted", BOTH) },
    Made { trust: "trusted-itself", ..made("trusted-itself", BOTH) },
    made("ca-true-by-ca", "basicConstraints=critical,CA:TRUE\nsubjectAltName=DNS:localhost"),
    // keys
    with_key("p384", "-algorithm EC -pkeyopt ec_paramgen_curve:P-384"),
    with_key("p521", "-algorithm EC -pkeyopt ec_paramgen_curve:P-521"),
    with_key("p224", "-algorithm EC -pkeyopt ec_paramgen_curve:P-224"),
    with_key("secp256k1", "-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1"),
    with_key("ed25519", "-algorithm ED25519"),
    with_key("rsa-1024", "-algorithm RSA -pkeyopt rsa_keygen_bits:1024"),
    with_key("rsa-2048", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048"),
    with_key("rsa-3072", "-algorithm RSA -pkeyopt rsa_keygen_bits:3072"),
    with_key("rsa-4096", "-algorithm RSA -pkeyopt rsa_keygen_bits:4096"),
    with_key("rsa-8192", "rsa-8192.key"),
    with_key("rsa-pss", "-algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048"),
    // purposes
    made("no-purpose", NAMED),
    made("server-only", "subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth"),
    made("client-only", "subjectAltName=DNS:localhost\nextendedKeyUsage=clientAuth"),
    made("any-purpose", "subjectAltName=DNS:localhost\nextendedKeyUsage=anyExtendedKeyUsage"),
    made("code-signing", "subjectAltName=DNS:localhost\nextendedKeyUsage=critical,codeSigning"),
    made("key-usage-crl-only", "subjectAltName=DNS:localhost\nkeyUsage=critical,cRLSign"),
    // names
    made("no-names", "extendedKeyUsage=serverAuth,clientAuth"),
    made("other-name", "subjectAltName=DNS:elsewhere.example"),
    made("upper-case", "subjectAltName=DNS:LOCALHOST"),
    made("ip-only", "subjectAltName=IP:127.0.0.1"),
    made("wildcard", "subjectAltName=DNS:*.example"),
    made("bare-wildcard", "subjectAltName=DNS:*"),
    made("many-kinds", "subjectAltName=critical,DNS:localhost,email:a@b.example,URI:spiffe://x.example/y,RID:1.2.3"),
    made("only-rid", "subjectAltName=critical,RID:1.2.3"),
    // critical extensions
    made("unknown-critical", "subjectAltName=DNS:localhost\n1.2.3.4=critical,DER:0500"),
    made("unknown-extension", "subjectAltName=DNS:localhost\n1.2.3.4=DER:0500"),
    made("critical-key-id", "subjectAltName=DNS:localhost\n2.5.29.14=critical,DER:040101"),
    made("critical-policies", "subjectAltName=DNS:localhost\ncertificatePolicies=critical,1.2.3.4"),
    // times
    Made { valid: ("20200101000000Z", "20210101000000Z"), ..made("expired", BOTH) },
    Made { valid: ("20980101000000Z", "20991231235959Z"), ..made("not-yet", BOTH) },
    // signatures
    Made { signing: &["-md", "sha1"], ..made("sha1", BOTH) },
    Made { signing: &["-md", "sha512"], ..made("sha512", BOTH) },
    by("ca-p521", "ca-p521", "by-p521-sha256"),
    by("ca-rsa", "ca-rsa", "by-rsa"),
    Made {
        signing: &["-md", "sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"],
        ..by("ca-rsa", "ca-rsa", "by-rsa-pss")
    },
    Made {
        signing: &["-md", "sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:20"],
        ..by("ca-rsa", "ca-rsa", "by-rsa-pss-salt-20")
    },
    by("ca-rsa-1024", "ca-rsa-1024", "by-rsa-1024"),
    // authorities
    by("other", "ca", "foreign"),
    by("ca-v1", "ca-v1", "by-v1-root"),
    by("ca-without-constraints", "ca-without-constraints", "by-root-without-constraints"),
    by("ca-false", "ca-false", "by-root-that-is-no-ca"),
    by("ca-without-cert-sign", "ca-without-cert-sign", "by-root-without-cert-sign"),
    by("ca-expired", "ca-expired", "by-expired-root"),
    by("ca-server-only", "ca-server-only", "by-root-for-servers"),
    by("ca-names", "ca-names", "within-names"),
    by("ca-other-names", "ca-other-names", "outside-names"),
    by("ca-excluded-names", "ca-excluded-names", "excluded-name"),
    by("ca-dir-names", "ca-dir-names", "by-root-with-directory-names"),
    by("ca-policy", "ca-policy", "by-root-with-policy"),
    by("ca-odd", "ca-odd", "by-root-with-unknown-critical"),
    by("between", "ca", "in-between"),
    by("between", "between", "trusted-in-between"),
    by("between-v1", "ca", "in-between-v1"),
    by("between-false", "ca", "in-between-no-ca"),
    by("between-path-0", "ca-path-0", "in-between-too-many"),
    by("ca-path-0", "ca-path-0", "by-root-of-path-0"),
    by("between-client-only", "ca", "in-between-for-clients"),
    by("between-expired", "ca", "in-between-expired"),
    by("between-policy", "ca", "in-between-with-policy"),
];

/// Makes the files of all certificates in a folder, or those of the `wanted` and of whom they need. `keys` is the folder with
/// the keys of the repository. `None`: there is no `openssl` here.
pub fn make(folder: &Path, keys: &Path, wanted: &[&str]) -> Option<()> {
    Command::new("openssl").arg("version").output().ok()?;
    let is_wanted = |one: &&Made| wanted.is_empty() || wanted.contains(&one.name);
    let shown: Vec<&Made> = SHOWN.iter().filter(is_wanted).collect();
    let mut needed: Vec<&str> = shown.iter().flat_map(|one| [one.issuer, one.trust]).chain(["ca"]).collect();
    // an issuer stands behind its own, so one pass from the end finds whom issuers need
    for one in AUTHORITIES.iter().rev() {
        if needed.contains(&one.name) {
            needed.push(one.issuer);
        }
    }
    let authorities = AUTHORITIES.iter().filter(|one| needed.contains(&one.name));
    for one in authorities.chain(shown) {
        one.make(folder, keys);
    }
    Some(())
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let run = Command::new("openssl").args(arguments).current_dir(folder).output().expect("openssl runs");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "openssl {}: {said}", arguments.join(" "));
}

impl Made {
    fn make(&self, folder: &Path, keys: &Path) {
        let own = |ending: &str| format!("{}.{ending}", self.name);
        let key = own("key");
        if self.key.starts_with('-') {
            let mut arguments: Vec<&str> = vec!["genpkey", "-out", &key];
            arguments.extend(self.key.split(' '));
            openssl(folder, &arguments);
        } else {
            std::fs::copy(keys.join(self.key), folder.join(&key)).expect("a key of the repository");
        }
        // the common name is a host's, as in old instructions
        let subject = if AUTHORITIES.iter().any(|one| one.name == self.name) { self.name } else { "localhost" };
        let subject = format!("/CN={subject}");
        let request = own("csr");
        openssl(folder, &["req", "-new", "-key", &key, "-subj", &subject, "-out", &request]);
        let leaf = own("leaf.pem");
        if self.extensions == "v1" {
            self.sign_v1(folder, &request, &leaf)
        } else {
            self.sign(folder, &request, &leaf)
        }
        let mut chain = std::fs::read(folder.join(&leaf)).expect("a certificate");
        if !self.issuer.is_empty() && self.issuer != self.trust {
            chain.extend(std::fs::read(folder.join(format!("{}.leaf.pem", self.issuer))).expect("an issuer"));
        }
        std::fs::write(folder.join(own("pem")), chain).expect("a chain");
    }

    fn issuer_files(&self) -> (String, String) {
        let issuer = if self.issuer.is_empty() { self.name } else { self.issuer };
        (format!("{issuer}.leaf.pem"), format!("{issuer}.key"))
    }

    fn sign(&self, folder: &Path, request: &str, leaf: &str) {
        let extensions = format!("{}.ext", self.name);
        std::fs::write(folder.join(&extensions), format!("{}\n", self.extensions)).expect("extensions");
        std::fs::write(folder.join("index.txt"), "").expect("an index");
        let conf = "[ca]\ndefault_ca=a\n[a]\ndatabase=index.txt\nnew_certs_dir=.\npolicy=p\nunique_subject=no\nrand_serial=yes\n[p]\ncommonName=supplied\n";
        std::fs::write(folder.join("ca.conf"), conf).expect("settings");
        let (cert, key) = self.issuer_files();
        let mut arguments = vec!["ca", "-config", "ca.conf", "-batch", "-notext", "-in", request, "-out", leaf];
        arguments.extend(["-keyfile", &key, "-extfile", &extensions]);
        arguments.extend(["-startdate", self.valid.0, "-enddate", self.valid.1]);
        arguments.extend(self.signing);
        if self.issuer.is_empty() {
            arguments.push("-selfsign")
        } else {
            arguments.extend(["-cert", &cert])
        }
        openssl(folder, &arguments);
    }

    fn sign_v1(&self, folder: &Path, request: &str, leaf: &str) {
        let (cert, key) = self.issuer_files();
        let mut arguments = vec!["x509", "-req", "-in", request, "-out", leaf, "-days", "3650", "-set_serial", "77"];
        if self.issuer.is_empty() {
            arguments.extend(["-signkey", &key])
        } else {
            arguments.extend(["-CA", &cert, "-CAkey", &key])
        }
        openssl(folder, &arguments);
    }
}
