//! A certificate, read once into what the rules ask about.
//!
//! What Go's parser refuses is refused here. Reading says nothing about trust: that is [`chain`](super::chain)'s.

use super::constraints::Constraints;
use super::refusal::Refusal;
use rustls::pki_types::CertificateDer;
use std::fmt::Display;
use std::net::IpAddr;
use x509_parser::asn1_rs::{Any, FromDer, Oid};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension, X509Extension};
use x509_parser::public_key::PublicKey as ParsedKey;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name, X509Version};

/// Names of a certificate's extension for alternative names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// DNS names, wildcards included, as they are written.
    pub dns: Vec<String>,
    /// IP addresses.
    pub ips: Vec<IpAddr>,
    /// E-mail addresses.
    pub emails: Vec<String>,
    /// Hosts of URIs, `None` for one without.
    pub(super) uri_hosts: Vec<Option<String>>,
}

/// What a key can do here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Rsa {
        bits: usize,
    },
    P256,
    P384,
    P521,
    Ed25519,
    /// The name of the algorithm, as far as it is known.
    Other(String),
}

/// Purposes that a certificate is limited to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Purposes {
    pub(super) any: bool,
    pub(super) server: bool,
    pub(super) client: bool,
}

/// Basic constraints: whether it is an authority, and how many may stand below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Basic {
    pub(super) authority: bool,
    pub(super) path_length: Option<u32>,
}

/// A certificate that could be read.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub(super) der: Vec<u8>,
    pub(super) is_v3: bool,
    pub(super) serial: Vec<u8>,
    pub(super) subject: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    pub(super) common_name: String,
    organization: Option<String>,
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    pub(super) spki: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) key_kind: KeyKind,
    pub(super) signed: Vec<u8>,
    pub(super) signature_oid: Oid<'static>,
    /// The whole identifier, parameters too, without its head.
    pub(super) signature_algorithm: Vec<u8>,
    pub(super) signature: Vec<u8>,
    /// The extension of alternative names as it is encoded, for comparison.
    pub(super) raw_names: Option<Vec<u8>>,
    pub(super) names: Names,
    pub(super) unhandled_critical: bool,
    pub(super) basic: Option<Basic>,
    /// Key usage allows signing certificates, or is not given.
    pub(super) may_sign: bool,
    pub(super) purposes: Option<Purposes>,
    pub(super) subject_key_id: Vec<u8>,
    pub(super) authority_key_id: Vec<u8>,
    pub(super) constraints: Option<Constraints>,
    /// Every chain through it needs a policy that all its certificates name.
    pub(super) needs_policy: bool,
}

fn malformed(why: impl Display) -> Refusal {
    Refusal::Malformed(why.to_string())
}

impl Certificate {
    /// Reads a certificate.
    ///
    /// # Errors
    /// [`Refusal::Malformed`].
    pub fn parse(der: &CertificateDer<'_>) -> Result<Self, Refusal> {
        let (rest, x509) = X509Certificate::from_der(der).map_err(|why| malformed(short(&why)))?;
        if !rest.is_empty() {
            return Err(malformed("trailing data"));
        }
        if x509.signature_algorithm != x509.signature {
            return Err(malformed("inner and outer signature algorithm identifiers don't match"));
        }
        if x509.raw_serial().first().is_none_or(|first| first & 0x80 != 0) {
            return Err(malformed("negative serial number"));
        }
        let is_v3 = x509.version() == X509Version::V3;
        if x509.version().0 > X509Version::V3.0 || (!is_v3 && !x509.extensions().is_empty()) {
            return Err(malformed("invalid version"));
        }
        let spki = x509.public_key();
        let mut read = Self {
            der: der.to_vec(),
            is_v3,
            serial: bare(x509.raw_serial()),
            subject: x509.subject().as_raw().to_vec(),
            issuer: x509.issuer().as_raw().to_vec(),
            common_name: last_text(x509.subject(), true).unwrap_or_default(),
            organization: last_text(x509.subject(), false),
            not_before: x509.validity().not_before.timestamp(),
            not_after: x509.validity().not_after.timestamp(),
            spki: spki.raw.to_vec(),
            key: spki.subject_public_key.data.to_vec(),
            key_kind: key_kind(spki)?,
            signed: x509.tbs_certificate.as_ref().to_vec(),
            signature_oid: x509.signature_algorithm.algorithm.to_owned(),
            signature_algorithm: outer_algorithm(der).ok_or_else(|| malformed("signature algorithm"))?,
            signature: x509.signature_value.data.to_vec(),
            raw_names: None,
            names: Names::default(),
            unhandled_critical: false,
            basic: None,
            may_sign: true,
            purposes: None,
            subject_key_id: Vec::new(),
            authority_key_id: Vec::new(),
            constraints: None,
            needs_policy: false,
        };
        let mut seen = Vec::new();
        for extension in x509.extensions() {
            if seen.contains(&extension.oid.as_bytes()) {
                return Err(malformed(format!("duplicate extension {}", extension.oid)));
            }
            seen.push(extension.oid.as_bytes());
            let handled = read.take(extension)?;
            read.unhandled_critical |= extension.critical && !handled;
        }
        Ok(read)
    }

    /// Its public key with the kind of it, as it is encoded.
    pub fn public_key_info(&self) -> &[u8] {
        &self.spki
    }

    /// Reads all that stand in a row; one that cannot be read refuses all.
    pub(super) fn parse_all(row: &[CertificateDer<'_>]) -> Result<Vec<Self>, Refusal> {
        row.iter().map(Self::parse).collect()
    }

    /// Takes one extension in; false when it is one that is not understood, or has parts that are not.
    fn take(&mut self, extension: &X509Extension<'_>) -> Result<bool, Refusal> {
        match extension.parsed_extension() {
            ParsedExtension::ParseError { .. } => return Err(malformed(format!("extension {}", extension.oid))),
            ParsedExtension::KeyUsage(usage) => self.may_sign = usage.flags == 0 || usage.key_cert_sign(),
            ParsedExtension::BasicConstraints(basic) => {
                let path_length = basic.path_len_constraint.filter(|_| basic.ca);
                self.basic = Some(Basic { authority: basic.ca, path_length });
            }
            ParsedExtension::SubjectAlternativeName(given) => {
                self.raw_names = Some(extension.value.to_vec());
                self.names = names(&given.general_names)?;
                return Ok(self.names != Names::default());
            }
            ParsedExtension::NameConstraints(given) => {
                let constraints = Constraints::read(given)?;
                let complete = constraints.is_complete();
                self.constraints = Some(constraints);
                return Ok(complete);
            }
            ParsedExtension::ExtendedKeyUsage(usage) => {
                self.purposes = Some(Purposes { any: usage.any, server: usage.server_auth, client: usage.client_auth });
            }
            ParsedExtension::SubjectKeyIdentifier(_) | ParsedExtension::AuthorityInfoAccess(_)
                if extension.critical =>
            {
                return Err(malformed(format!("extension {} incorrectly marked critical", extension.oid)));
            }
            ParsedExtension::SubjectKeyIdentifier(id) => self.subject_key_id = id.0.to_vec(),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                self.authority_key_id = id.key_identifier.as_ref().map(|id| id.0.to_vec()).unwrap_or_default();
            }
            // the one rule about policies that matters to somebody who asks for none
            ParsedExtension::PolicyConstraints(rules) => self.needs_policy = rules.require_explicit_policy.is_some(),
            ParsedExtension::AuthorityInfoAccess(_)
            | ParsedExtension::InhibitAnyPolicy(_)
            | ParsedExtension::CRLDistributionPoints(_)
            | ParsedExtension::CertificatePolicies(_)
            | ParsedExtension::PolicyMappings(_) => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Common name of the subject, empty without one.
    pub fn common_name(&self) -> &str {
        &self.common_name
    }

    /// Its alternative names.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// End of its validity, seconds since 1970.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// As `--auto-tls` makes them: signed by itself, in the name of `etcd`.
    pub(crate) fn is_self_made(&self) -> bool {
        self.subject == self.issuer && self.organization.as_deref() == Some("etcd") && self.common_name.is_empty()
    }

    /// The public key as it is encoded in the certificate, with its algorithm.
    pub(crate) fn public_key(&self) -> &[u8] {
        &self.spki
    }

    /// What people call it: common name, organization or serial number.
    pub(super) fn label(&self) -> String {
        match &self.organization {
            _ if !self.common_name.is_empty() => self.common_name.clone(),
            Some(organization) => organization.clone(),
            None => format!("serial:{}", self.serial_text()),
        }
    }

    /// The serial number in hexadecimal digits, as `openssl x509 -serial` shows it.
    pub fn serial_text(&self) -> String {
        self.serial.iter().map(|byte| format!("{byte:02X}")).collect()
    }
}

/// The serial number of a certificate without leading zeros.
pub(super) fn bare(integer: &[u8]) -> Vec<u8> {
    let zeros = integer.iter().take_while(|b| **b == 0).count();
    integer[zeros..].to_vec()
}

fn short(why: &x509_parser::nom::Err<x509_parser::error::X509Error>) -> String {
    match why {
        x509_parser::nom::Err::Error(why) | x509_parser::nom::Err::Failure(why) => why.to_string(),
        x509_parser::nom::Err::Incomplete(_) => "it ends too early".into(),
    }
}

/// Certificate ::= SEQUENCE { tbs, algorithm, signature }: the content of the second part.
fn outer_algorithm(der: &[u8]) -> Option<Vec<u8>> {
    let (_, whole) = Any::from_der(der).ok()?;
    let (rest, _) = Any::from_der(whole.data).ok()?;
    let (_, algorithm) = Any::from_der(rest).ok()?;
    Some(algorithm.data.to_vec())
}

/// The last common name (as Go has it) or the first organization.
fn last_text(name: &X509Name<'_>, common: bool) -> Option<String> {
    if common {
        return name.iter_common_name().last()?.as_str().ok().map(str::to_owned);
    }
    name.iter_organization().next()?.as_str().ok().map(str::to_owned)
}

fn key_kind(spki: &SubjectPublicKeyInfo<'_>) -> Result<KeyKind, Refusal> {
    use x509_parser::oid_registry as oid;
    let algorithm = &spki.algorithm.algorithm;
    if *algorithm == oid::OID_PKCS1_RSAENCRYPTION {
        return match spki.parsed() {
            Ok(ParsedKey::RSA(key)) => Ok(KeyKind::Rsa { bits: bits(key.modulus) }),
            _ => Err(malformed("RSA public key")),
        };
    }
    if *algorithm == oid::OID_SIG_ED25519 {
        return Ok(KeyKind::Ed25519);
    }
    if *algorithm != oid::OID_KEY_TYPE_EC_PUBLIC_KEY {
        return Ok(KeyKind::Other(named(algorithm)));
    }
    let curve = spki.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    Ok(match curve {
        Some(curve) if curve == oid::OID_EC_P256 => KeyKind::P256,
        Some(curve) if curve == oid::OID_NIST_EC_P384 => KeyKind::P384,
        Some(curve) if curve == oid::OID_NIST_EC_P521 => KeyKind::P521,
        Some(curve) => KeyKind::Other(format!("curve {}", named(&curve))),
        None => KeyKind::Other("a curve that is given by its parameters instead of its name".into()),
    })
}

fn bits(modulus: &[u8]) -> usize {
    let modulus = bare(modulus);
    let zeros = modulus.first().map_or(0, |first| first.leading_zeros() as usize);
    modulus.len() * 8 - zeros
}

fn named(oid: &Oid<'_>) -> String {
    let registry = x509_parser::objects::oid_registry();
    let known = registry.get(oid).map(|entry| entry.sn().to_owned());
    known.unwrap_or_else(|| match oid.to_id_string().as_str() {
        // which the registry lacks
        "1.3.132.0.33" => "P-224".into(),
        "1.3.132.0.10" => "secp256k1".into(),
        other => other.into(),
    })
}

fn names(given: &[GeneralName<'_>]) -> Result<Names, Refusal> {
    let mut names = Names::default();
    for name in given {
        match name {
            GeneralName::DNSName(text) if text.is_ascii() => names.dns.push((*text).to_owned()),
            GeneralName::RFC822Name(text) if text.is_ascii() => names.emails.push((*text).to_owned()),
            GeneralName::URI(text) if text.is_ascii() => names.uri_hosts.push(super::constraints::uri_host(text)),
            GeneralName::IPAddress(bytes) => names.ips.push(ip(bytes).ok_or_else(|| malformed("IP address"))?),
            GeneralName::DNSName(_) | GeneralName::RFC822Name(_) | GeneralName::URI(_) | GeneralName::Invalid(..) => {
                return Err(malformed("subject alternative name"));
            }
            _ => {}
        }
    }
    Ok(names)
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(four.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}
