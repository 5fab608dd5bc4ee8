//! What a certificate must be to be taken, whoever shows it: authority, purpose, key, revocation, names.
//!
//! Must be asked by the verifiers of both sides, so that they cannot come to differ.

use super::certificate::Certificate;
use super::chain::{Purpose, Roots, verify};
use super::names::AllowedNames;
use super::revocation::RevocationList;
use crate::files::Followed;
use rustls::Error;
use rustls::pki_types::{CertificateDer, UnixTime};

/// Authorities, a revocation list and names, each from files that may change.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) authorities: Followed<Roots>,
    pub(crate) revoked: Option<RevocationList>,
    pub(crate) allowed: AllowedNames,
}

impl Policy {
    /// Checks a certificate with what was presented beside it. With `host`, it must be that host's.
    pub(super) fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        purpose: Purpose,
        host: Option<&str>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let leaf = Certificate::parse(end_entity)?;
        let others = Certificate::parse_all(intermediates)?;
        verify(&leaf, &others, &self.authorities.current(), purpose, host, now.as_secs())?;
        leaf.check_handshake_key()?;
        if let Some(revoked) = &self.revoked {
            revoked.check(&leaf, &others)?;
        }
        self.allowed.check(&leaf)?;
        Ok(())
    }
}
