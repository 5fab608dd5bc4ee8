//! Revoked certificates: the serial numbers of a list, as etcd matches them, whoever issued the list.
//!
//! A list that cannot be used refuses everybody: it must never be taken for an empty one.

use super::certificate::{Certificate, bare};
use super::refusal::Refusal;
use crate::error::TlsError;
use crate::files::{CRL, bad, read};
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use x509_parser::asn1_rs::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

type Serials = HashSet<Vec<u8>>;

/// A file with a revocation list, DER or PEM, read again for each certificate.
#[derive(Debug)]
pub(crate) struct RevocationList {
    path: PathBuf,
    /// The file's bytes when it was last parsed, and what was in it.
    seen: Mutex<(Vec<u8>, Arc<Serials>)>,
}

impl RevocationList {
    /// Reads the file.
    pub(crate) fn new(path: PathBuf) -> Result<Self, TlsError> {
        let bytes = read(CRL, &path)?;
        let serials = Arc::new(serials(&path, &bytes)?);
        Ok(Self { path, seen: Mutex::new((bytes, serials)) })
    }

    /// None of the certificates that the other side showed is revoked.
    pub(super) fn check(&self, leaf: &Certificate, others: &[Certificate]) -> Result<(), Refusal> {
        let list = self.current().map_err(|why| Refusal::NoRevocationList(why.to_string()))?;
        match others.iter().chain([leaf]).find(|shown| list.contains(&shown.serial)) {
            Some(revoked) => Err(Refusal::Revoked(revoked.serial_text())),
            None => Ok(()),
        }
    }

    fn current(&self) -> Result<Arc<Serials>, TlsError> {
        let bytes = read(CRL, &self.path)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes != seen.0 {
            *seen = (bytes.clone(), Arc::new(serials(&self.path, &bytes)?));
        }
        Ok(Arc::clone(&seen.1))
    }
}

fn serials(path: &Path, bytes: &[u8]) -> Result<Serials, TlsError> {
    let pem = CertificateRevocationListDer::from_pem_slice(bytes).ok();
    let der = pem.as_ref().map_or(bytes, |pem| pem);
    let not_a_list = || bad(CRL, path, "it is not a revocation list in DER or PEM");
    let (rest, list) = CertificateRevocationList::from_der(der).map_err(|_| not_a_list())?;
    if !rest.is_empty() {
        return Err(not_a_list());
    }
    Ok(list.iter_revoked_certificates().map(|one| bare(one.raw_serial())).collect())
}
