//! A certificate made by ourselves: encryption against listeners on the wire, no proof of who the server is.
//!
//! Must never replace a pair that lasts: clients may have pinned it.

use crate::error::TlsError;
use crate::files::{bad, read};
use crate::own::Own;
use crate::settings::AutoTls;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: Duration = Duration::from_secs(24 * 3600);
const WHAT: &str = "self-made certificate";

/// Paths of certificate and key, made when they are not there yet or do not belong together, which a crash between the two
/// can leave.
pub(crate) fn certificate(auto: &AutoTls, hosts: &[String]) -> Result<(PathBuf, PathBuf), TlsError> {
    let (cert, key) = paths(auto);
    if cert.exists() && key.exists() {
        let pair = Own::from_pem(&read(WHAT, &cert)?, &read(WHAT, &key)?);
        match pair {
            Err(crate::own::PairError::Mismatch) => {
                tracing::warn!(file = %cert.display(), "certificate and key do not belong together, making new ones");
            }
            // a fault of any other kind is told by whoever loads the pair
            _ => return Ok((cert, key)),
        }
    }
    make(auto, hosts)
}

fn paths(auto: &AutoTls) -> (PathBuf, PathBuf) {
    (auto.dir.join("cert.pem"), auto.dir.join("key.pem"))
}

/// Makes a pair, also in place of one that is there.
pub(crate) fn make(auto: &AutoTls, hosts: &[String]) -> Result<(PathBuf, PathBuf), TlsError> {
    let (cert, key) = paths(auto);
    let (cert_pem, key_pem) = pair(auto, hosts).map_err(|why| bad(WHAT, &cert, why))?;
    let folder = DirBuilder::new().recursive(true).mode(0o700).create(&auto.dir);
    folder.map_err(|why| bad(WHAT, &auto.dir, why))?;
    // the key first: a certificate without its key would stop the next start
    write(&key, &key_pem, 0o600).map_err(|why| bad(WHAT, &key, why))?;
    write(&cert, &cert_pem, 0o644).map_err(|why| bad(WHAT, &cert, why))?;
    tracing::warn!(file = %cert.display(), years = auto.years, "made a certificate that clients cannot verify");
    Ok((cert, key))
}

fn pair(auto: &AutoTls, hosts: &[String]) -> Result<(String, String), rcgen::Error> {
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

/// Whole or not at all: a listener reads the file at any time.
fn write(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let new = path.with_extension("pem.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}
