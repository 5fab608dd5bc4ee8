//! Files that are followed: looked at on every handshake, parsed when their bytes changed.
//!
//! While a file cannot be used (it is being replaced, say) what was last good stays in use. That is said once and then every
//! ten minutes, however many handshakes there are.

use crate::error::TlsError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub(crate) const CERT: &str = "certificate";
pub(crate) const KEY: &str = "private key";
pub(crate) const CA: &str = "trusted CA file";
pub(crate) const CRL: &str = "certificate revocation list";

/// Time between two warnings about the same trouble.
const REMINDER: Duration = Duration::from_secs(600);

/// Reads a file.
pub(crate) fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { what, path: path.to_owned(), source })
}

/// A file that was read and is not what it should be.
pub(crate) fn bad(what: &'static str, path: &Path, why: impl ToString) -> TlsError {
    TlsError::Bad { what, path: path.to_owned(), why: why.to_string() }
}

/// All certificates of a PEM file; at least one.
pub(crate) fn certificates(
    what: &'static str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(list) if list.is_empty() => Err(bad(what, path, "no certificate in it (PEM is expected)")),
        Ok(list) => Ok(list),
        Err(why) => Err(bad(what, path, why)),
    }
}

/// A file and what it is called in messages.
pub(crate) type Named = (&'static str, PathBuf);

type Make<T> = dyn Fn(&[Vec<u8>]) -> Result<T, TlsError> + Send + Sync;

/// What is made of one or more files, and follows them.
pub(crate) struct Followed<T> {
    files: Vec<Named>,
    /// None: there are no files.
    make: Option<Box<Make<T>>>,
    seen: Mutex<Seen<T>>,
}

struct Seen<T> {
    /// The files' bytes when `made` was made of them.
    bytes: Vec<Vec<u8>>,
    made: Arc<T>,
    trouble: Option<Trouble>,
}

/// Why the files cannot be used as they are now.
struct Trouble {
    bytes: Vec<Vec<u8>>,
    text: String,
    told: Instant,
}

impl<T> Followed<T> {
    /// Reads the files and makes the first `T` of them.
    pub(crate) fn new(
        files: Vec<Named>,
        make: impl Fn(&[Vec<u8>]) -> Result<T, TlsError> + Send + Sync + 'static,
    ) -> Result<Self, TlsError> {
        let bytes = read_all(&files)?;
        let made = Arc::new(make(&bytes)?);
        Ok(Self { files, make: Some(Box::new(make)), seen: Mutex::new(Seen { bytes, made, trouble: None }) })
    }

    /// Of no file: never changes.
    pub(crate) fn fixed(made: T) -> Self {
        let seen = Seen { bytes: Vec::new(), made: Arc::new(made), trouble: None };
        Self { files: Vec::new(), make: None, seen: Mutex::new(seen) }
    }

    /// The files as they are now, or as they were when they could last be used.
    pub(crate) fn current(&self) -> Arc<T> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(make) = &self.make else { return Arc::clone(&seen.made) };
        let (bytes, why) = match read_all(&self.files) {
            Ok(bytes) if bytes == seen.bytes => {
                seen.trouble = None;
                return Arc::clone(&seen.made);
            }
            Ok(bytes) if seen.trouble.as_ref().is_some_and(|trouble| trouble.bytes == bytes) => {
                // the same bytes again: no need to parse them
                let text = seen.trouble.as_ref().map(|trouble| trouble.text.clone()).unwrap_or_default();
                (bytes, text)
            }
            Ok(bytes) => match make(&bytes) {
                Ok(made) => {
                    let made = Arc::new(made);
                    *seen = Seen { bytes, made: Arc::clone(&made), trouble: None };
                    tracing::info!(files = %self.names(), "files of TLS were renewed");
                    return made;
                }
                Err(why) => (bytes, why.to_string()),
            },
            Err(why) => (Vec::new(), why.to_string()),
        };
        seen.complain(bytes, why);
        Arc::clone(&seen.made)
    }

    fn names(&self) -> String {
        self.files.iter().map(|(_, path)| path.display().to_string()).collect::<Vec<_>>().join(", ")
    }
}

impl<T> Seen<T> {
    fn complain(&mut self, bytes: Vec<Vec<u8>>, text: String) {
        let told = self.trouble.as_ref().filter(|trouble| trouble.text == text).map(|trouble| trouble.told);
        let told = told.filter(|told| told.elapsed() < REMINDER).unwrap_or_else(|| {
            tracing::warn!(error = text, "files of TLS cannot be used, the last good ones stay in use");
            Instant::now()
        });
        self.trouble = Some(Trouble { bytes, text, told });
    }
}

fn read_all(files: &[Named]) -> Result<Vec<Vec<u8>>, TlsError> {
    files.iter().map(|(what, path)| read(what, path)).collect()
}

impl<T: fmt::Debug> fmt::Debug for Followed<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Followed").field("files", &self.files).finish_non_exhaustive()
    }
}
