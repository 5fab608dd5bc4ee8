//! A certificate made by ourselves: encryption against listeners on the wire, no proof of who the server is.
//!
//! Must never replace files that are there: clients may have pinned them.

use super::settings::{AutoTls, TlsError};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Paths of certificate and key, made when they are not there yet.
pub(super) fn certificate(auto: &AutoTls, hosts: &[String]) -> Result<(PathBuf, PathBuf), TlsError> {
    let (cert, key) = (auto.dir.join("cert.pem"), auto.dir.join("key.pem"));
    if cert.exists() && key.exists() {
        return Ok((cert, key));
    }
    let failed = |path: &Path, why: String| TlsError::Bad { what: "self-made certificate", path: path.to_owned(), why };
    let (cert_pem, key_pem) = make(auto, hosts).map_err(|why| failed(&cert, why.to_string()))?;
    let folder = DirBuilder::new().recursive(true).mode(0o700).create(&auto.dir);
    folder.map_err(|why| failed(&auto.dir, why.to_string()))?;
    // the key first: a certificate without its key would stop the next start
    write(&key, &key_pem, 0o600).map_err(|why| failed(&key, why.to_string()))?;
    write(&cert, &cert_pem, 0o644).map_err(|why| failed(&cert, why.to_string()))?;
    tracing::warn!(file = %cert.display(), years = auto.years, "made a certificate that clients cannot verify");
    Ok((cert, key))
}

fn make(auto: &AutoTls, hosts: &[String]) -> Result<(String, String), rcgen::Error> {
    let mut names: Vec<String> = hosts.iter().filter(|h| !h.is_empty()).cloned().collect();
    names.sort();
    names.dedup();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "etcd");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now;
    params.not_after = epoch + now + DAY * 365 * auto.years.max(1);
    let key = KeyPair::generate()?;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

fn write(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
