//! From a certificate to an authority that is trusted: the rules of Go's verifier.
//!
//! Must never be laxer than those: the same paths are tried, in the same order, with the same bound on the work.

use super::certificate::{Certificate, Purposes};
use super::constraints::Checked;
use super::refusal::{Hint, Refusal};
use rustls::pki_types::CertificateDer;
use std::collections::HashMap;

/// Signatures that are checked for one chain at most; a client could ask for any number otherwise.
const MOST_SIGNATURES: usize = 100;

/// What a certificate is shown for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be a server.
    Server,
    /// To be a client.
    Client,
}

/// Certificates that are trusted: authorities, or the very certificates of clients and servers.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    by_subject: HashMap<Vec<u8>, Vec<Certificate>>,
}

impl Roots {
    /// Trusts a certificate.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub fn add(&mut self, der: &CertificateDer<'_>) -> Result<(), Refusal> {
        let certificate = Certificate::parse(der)?;
        if !self.contains(&certificate) {
            self.by_subject.entry(certificate.subject.clone()).or_default().push(certificate);
        }
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_subject.values().map(Vec::len).sum()
    }

    /// Nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.by_subject.is_empty()
    }

    fn contains(&self, certificate: &Certificate) -> bool {
        self.named(&certificate.subject).any(|own| own.der == certificate.der)
    }

    fn named(&self, subject: &[u8]) -> impl Iterator<Item = &Certificate> {
        self.by_subject.get(subject).into_iter().flatten()
    }
}

/// Whether `leaf`, shown with `presented`, leads to one of `roots` at the time `now` (seconds since 1970), and is for `host`.
///
/// # Errors
/// The [`Refusal`] that Go would name.
pub fn verify(
    leaf: &Certificate,
    presented: &[Certificate],
    roots: &Roots,
    purpose: Purpose,
    host: Option<&str>,
    now: u64,
) -> Result<(), Refusal> {
    check_itself(leaf, now)?;
    if let Some(host) = host {
        leaf.verify_hostname(host)?;
    }
    let mut search = Search { presented, roots, purpose, now, signatures: 0, refused: None };
    let found = if roots.contains(leaf) { search.accept(&[leaf]) } else { search.extend(&mut vec![leaf]) };
    match (found, search.refused) {
        (Ok(()), _) => Ok(()),
        // a path there was, but not for this purpose or name
        (Err(_), Some(refused)) => Err(refused),
        (Err(why), None) => Err(why),
    }
}

/// What holds for every certificate of a chain.
fn check_itself(certificate: &Certificate, now: u64) -> Result<(), Refusal> {
    if certificate.unhandled_critical {
        return Err(Refusal::UnhandledCritical);
    }
    let seconds = |at: i64| u64::try_from(at).unwrap_or(0);
    let time = i64::try_from(now).unwrap_or(i64::MAX);
    if time < certificate.not_before {
        return Err(Refusal::NotYetValid { now, not_before: seconds(certificate.not_before) });
    }
    if time > certificate.not_after {
        return Err(Refusal::Expired { now, not_after: seconds(certificate.not_after) });
    }
    Ok(())
}

struct Search<'a> {
    presented: &'a [Certificate],
    roots: &'a Roots,
    purpose: Purpose,
    now: u64,
    signatures: usize,
    /// Why the first whole chain was not taken.
    refused: Option<Refusal>,
}

impl<'a> Search<'a> {
    /// Tries every issuer of the last certificate of `chain`: trusted ones first.
    fn extend(&mut self, chain: &mut Vec<&'a Certificate>) -> Result<(), Refusal> {
        let last = chain[chain.len() - 1];
        let mut nearest: Option<Box<Hint>> = None;
        let mut below = None;
        let presented = self.presented.iter().filter(|own| own.subject == last.issuer).collect();
        let trusted = self.roots.named(&last.issuer).collect();
        for (is_root, candidates) in [(true, trusted), (false, presented)] {
            for issuer in by_key_id(last, candidates) {
                self.signatures += 1;
                if self.signatures > MOST_SIGNATURES {
                    return Err(Refusal::TooManySignatures);
                }
                if chain.iter().any(|own| is_same_entity(own, issuer)) {
                    continue;
                }
                if let Err(why) = last.check_signed_by(issuer) {
                    nearest.get_or_insert_with(|| Box::new(Hint { why, issuer: issuer.label() }));
                    continue;
                }
                if let Err(why) = self.check_issuer(issuer, chain.len(), is_root) {
                    below = Some(why);
                    continue;
                }
                chain.push(issuer);
                let found = if is_root { self.accept(chain) } else { self.extend(chain) };
                chain.pop();
                match found {
                    Ok(()) => return Ok(()),
                    Err(Refusal::TooManySignatures) => return Err(Refusal::TooManySignatures),
                    Err(why) => below = Some(why),
                }
            }
        }
        Err(below.unwrap_or(Refusal::UnknownAuthority(nearest)))
    }

    fn check_issuer(&self, issuer: &Certificate, below: usize, is_root: bool) -> Result<(), Refusal> {
        check_itself(issuer, self.now)?;
        // of version 1 too: whoever shows it could have been signed by anybody's certificate
        if !is_root && !issuer.basic.is_some_and(|basic| basic.authority) {
            return Err(Refusal::NotAuthorizedToSign);
        }
        let most = issuer.basic.and_then(|basic| basic.path_length);
        if most.is_some_and(|most| below - 1 > most as usize) {
            return Err(Refusal::TooManyIntermediates);
        }
        Ok(())
    }

    /// Rules about a whole chain, from the leaf to the root.
    fn accept(&mut self, chain: &[&'a Certificate]) -> Result<(), Refusal> {
        let judged = check_chain(chain, self.purpose);
        if let Err(why) = &judged {
            self.refused.get_or_insert_with(|| why.clone());
        }
        judged
    }
}

fn check_chain(chain: &[&Certificate], purpose: Purpose) -> Result<(), Refusal> {
    // what a trust anchor asks of policies does not count, as in Go
    if chain[..chain.len() - 1].iter().any(|own| own.needs_policy) {
        return Err(Refusal::PolicyConstraints);
    }
    let allows = |purposes: Purposes| {
        purposes.any
            || match purpose {
                Purpose::Server => purposes.server,
                Purpose::Client => purposes.client,
            }
    };
    if !chain.iter().all(|own| own.purposes.is_none_or(allows)) {
        return Err(Refusal::IncompatibleUsage);
    }
    for (at, issuer) in chain.iter().enumerate() {
        let Some(constraints) = &issuer.constraints else { continue };
        for below in chain[..at].iter().filter(|own| own.raw_names.is_some()) {
            let names = &below.names;
            let checked =
                Checked { dns: &names.dns, ips: &names.ips, emails: &names.emails, uri_hosts: &names.uri_hosts };
            constraints.check(&checked)?;
        }
    }
    Ok(())
}

/// The most likely issuers first: key ids that are equal, then those that one side lacks, then the others.
fn by_key_id<'a>(child: &Certificate, mut issuers: Vec<&'a Certificate>) -> Vec<&'a Certificate> {
    issuers.sort_by_key(|issuer| {
        let own = &issuer.subject_key_id;
        let wanted = &child.authority_key_id;
        if own == wanted { 0 } else { 1 + u8::from(own.is_empty() == wanted.is_empty()) }
    });
    issuers
}

/// Cross-signed certificates of one entity would otherwise make loops.
fn is_same_entity(one: &Certificate, other: &Certificate) -> bool {
    one.subject == other.subject && one.spki == other.spki && one.raw_names == other.raw_names
}
