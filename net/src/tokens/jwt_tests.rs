//! Every method signs what it verifies, and nothing else is taken.

use super::super::keys::KeyError;
use super::super::method::SignMethod;
use super::{Jwt, JwtSettings};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair as RsaPair, KeySize};
use aws_lc_rs::signature::{EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use std::time::Duration;

/// As openssl writes them.
const EC_SEC1: &str = "-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIPANxL8Lur08f0B2/jDtZkeROg6SSEvlrPgJyo1U3p/1oAoGCCqGSM49
AwEHoUQDQgAERrhKqug8+P8UFNzB2Xo9G7TfURHKJdGpZY3LLSqZoPPSnc5J/eSE
XmdWki3p5mrYANVfPK2TJ7tv2pqsE/fblQ==
-----END EC PRIVATE KEY-----
";
const EC_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAERrhKqug8+P8UFNzB2Xo9G7TfURHK
JdGpZY3LLSqZoPPSnc5J/eSEXmdWki3p5mrYANVfPK2TJ7tv2pqsE/fblQ==
-----END PUBLIC KEY-----
";
const ED25519: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEILa2jaBJ8ceybsTKqqMqGPdTRddHQQ29Fz09KYEJxcGn
-----END PRIVATE KEY-----
";
const ED25519_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAm3qnfc/rwOlxrecddhG1aRrD151Jfqjww6Jgosp1Xcw=
-----END PUBLIC KEY-----
";
const NOW: i64 = 1_800_000_000;

/// Private and public file.
type Files = (Vec<u8>, Vec<u8>);

fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der)).into()
}

fn rsa() -> Files {
    let pair = RsaPair::generate(KeySize::Rsa2048).expect("generated");
    let private = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).expect("encoded");
    let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).expect("encoded");
    (pem("PRIVATE KEY", private.as_ref()), pem("PUBLIC KEY", public.as_ref()))
}

fn ecdsa(method: SignMethod) -> Files {
    let SignMethod::Ecdsa(digest) = method else { panic!("{method:?} is no ECDSA") };
    let pair = EcdsaKeyPair::generate(digest.ecdsa()).expect("generated");
    let private = pair.to_pkcs8v1().expect("encoded");
    let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).expect("encoded");
    (pem("PRIVATE KEY", private.as_ref()), pem("PUBLIC KEY", public.as_ref()))
}

fn jwt(method: &str, public: Option<&[u8]>, private: Option<&[u8]>) -> Result<Jwt, KeyError> {
    let method = SignMethod::by_name(method).expect("a method");
    let (public_key, private_key) = (public.map(<[u8]>::to_vec), private.map(<[u8]>::to_vec));
    Jwt::new(&JwtSettings { method, public_key, private_key, ttl: Duration::from_secs(60) })
}

/// Signs with the private file and verifies with each half.
fn round_trip(method: &str, (private, public): &Files) -> String {
    let signer = jwt(method, None, Some(private)).expect(method);
    let token = signer.sign("alice", 7, NOW).expect(method);
    let verifiers = [
        jwt(method, Some(public), None).expect(method),
        jwt(method, Some(public), Some(private)).expect(method),
        signer,
    ];
    for verifier in verifiers {
        let claims = verifier.verify(&token).expect(method);
        assert_eq!((claims.username.as_str(), claims.revision), ("alice", 7), "{method}");
        assert!(claims.are_valid_at(NOW + 59) && !claims.are_valid_at(NOW + 60), "{method}");
        let mut forged = token.clone().into_bytes();
        let middle = token.find('.').expect("three parts") + 3;
        forged[middle] = if forged[middle] == b'A' { b'B' } else { b'A' };
        assert_eq!(verifier.verify(std::str::from_utf8(&forged).expect("text")), None, "{method}");
    }
    let verify_only = jwt(method, Some(public), None).expect(method).sign("alice", 7, NOW);
    assert_eq!(verify_only, Err("auth: token signing attempted with verify-only key".into()), "{method}");
    token
}

#[test]
fn every_method_with_a_key_pair_signs_what_it_verifies() {
    let rsa = rsa();
    for method in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        round_trip(method, &rsa);
    }
    for method in ["ES256", "ES384", "ES512"] {
        round_trip(method, &ecdsa(SignMethod::by_name(method).expect("a method")));
    }
    round_trip("ES256", &(EC_SEC1.into(), EC_PUBLIC.into()));
    round_trip("EdDSA", &(ED25519.into(), ED25519_PUBLIC.into()));
}

#[test]
fn a_shared_secret_is_the_raw_file_newline_included() {
    for method in ["HS256", "HS384", "HS512"] {
        let with_newline = jwt(method, None, Some(b"secret\n")).expect(method);
        let token = with_newline.sign("alice", 7, NOW).expect(method);
        assert!(with_newline.verify(&token).is_some());
        assert_eq!(jwt(method, None, Some(b"secret")).expect(method).verify(&token), None);
    }
    assert_eq!(jwt("HS256", Some(b"secret"), None).err(), Some(KeyError::Missing));
}

#[test]
fn a_token_is_taken_by_the_configured_method_alone() {
    let rsa = rsa();
    let verifier = jwt("RS256", Some(&rsa.1), None).expect("keys");
    let other = round_trip("RS512", &rsa);
    assert_eq!(verifier.verify(&other), None);
    // the classic: signed with the public key as a secret
    let forged = jwt("HS256", None, Some(&rsa.1)).expect("a secret").sign("root", 1, NOW).expect("signed");
    assert_eq!(verifier.verify(&forged), None);
    let none = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode("{}"));
    assert_eq!(verifier.verify(&none), None);
    for broken in ["", ".", "..", "a.b", "a.b.c", "abc.123", "e30.e30.e30"] {
        assert_eq!(verifier.verify(broken), None, "{broken}");
    }
}

fn with_claims(claims: &str) -> Option<super::Claims> {
    let key = jwt("HS256", None, Some(b"k")).expect("a secret");
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#), URL_SAFE_NO_PAD.encode(claims));
    let signature = key.key.sign(key.method, signed.as_bytes()).expect("signed");
    key.verify(&format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

#[test]
fn claims_are_those_that_etcd_wants() {
    let eternal = with_claims(r#"{"username":"a","revision":2}"#).expect("valid");
    assert!(eternal.are_valid_at(i64::MAX));
    assert!(with_claims(r#"{"username":"a","revision":2,"exp":0}"#).expect("valid").are_valid_at(i64::MAX));
    let later = with_claims(r#"{"username":"a","revision":2,"nbf":100,"exp":200.7}"#).expect("valid");
    assert!(!later.are_valid_at(99) && later.are_valid_at(100) && !later.are_valid_at(200));
    for wrong in [
        r#"{"revision":2}"#,
        r#"{"username":"a"}"#,
        r#"{"username":1,"revision":2}"#,
        r#"{"username":"a","revision":"2"}"#,
        r#"{"username":"a","revision":2,"exp":"soon"}"#,
        "[]",
    ] {
        assert_eq!(with_claims(wrong), None, "{wrong}");
    }
}

#[test]
fn keys_that_do_not_fit_are_refused() {
    let (first, second) = (rsa(), rsa());
    assert_eq!(jwt("RS256", Some(&second.1), Some(&first.0)).err(), Some(KeyError::Mismatch));
    assert_eq!(jwt("RS256", None, None).err(), Some(KeyError::Missing));
    assert_eq!(jwt("ES256", None, Some(&first.0)).err(), Some(KeyError::Private));
    assert_eq!(jwt("ES384", None, Some(EC_SEC1.as_bytes())).err(), Some(KeyError::Private));
    assert_eq!(jwt("RS256", Some(EC_PUBLIC.as_bytes()), None).err(), Some(KeyError::Public));
    assert_eq!(jwt("RS256", Some(b"no key"), None).err(), Some(KeyError::Public));
}
