//! Signed tokens and key files: any token is refused unless it was signed with the key, and any key file is read or refused.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use net::tokens::jwt::{Jwt, JwtSettings};
use net::tokens::method::SignMethod;
use std::time::Duration;

const SECRET: &[u8] = b"a secret that no input knows";
/// With this one nothing is ever signed.
const OTHER_SECRET: &[u8] = b"another one";
const METHODS: [&str; 13] = [
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
];

fn method(name: &str) -> SignMethod {
    SignMethod::by_name(name).expect("a method of etcd's")
}

fn with_secret(secret: &[u8]) -> Jwt {
    let settings = JwtSettings {
        method: method("HS256"),
        public_key: None,
        private_key: Some(secret.to_vec()),
        ttl: Duration::from_secs(60),
    };
    Jwt::new(&settings).expect("any secret is a key")
}

/// Signs any head and any claims.
fn signed(head: &[u8], claims: &[u8]) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// First byte: a token as it comes, a head or claims that are signed well, a user's name, or the file of a key.
pub fn run(data: &[u8]) {
    let Some((shape, rest)) = data.split_first() else { return };
    let jwt = with_secret(SECRET);
    match shape % 5 {
        0 => {
            let claims = with_secret(OTHER_SECRET).verify(&String::from_utf8_lossy(rest));
            assert_eq!(claims, None, "nobody signed it with this key");
        }
        1 => {
            let claims = jwt.verify(&signed(br#"{"alg":"HS256"}"#, rest));
            let Some(claims) = claims else { return };
            let times = [i64::MIN, 0, 1 << 40, i64::MAX];
            let valid = times.map(|now| claims.are_valid_at(now));
            // once it is over it is over, and before it begins it has not begun
            assert!(!valid.windows(3).any(|three| three == [true, false, true]), "{claims:?}: {valid:?}");
            serde_json::from_slice::<serde_json::Value>(rest).expect("claims are JSON");
        }
        2 => {
            if jwt.verify(&signed(rest, br#"{"username":"u","revision":1}"#)).is_some() {
                let head: serde_json::Value = serde_json::from_slice(rest).expect("a head is JSON");
                assert_eq!(head["alg"], "HS256", "the method is the configured one");
            }
        }
        3 => {
            let Some((revision, name)) = rest.split_first_chunk() else { return };
            // as a number of JSON they are exact up to here
            let revision = u64::from_be_bytes(*revision) >> 11;
            let name = String::from_utf8_lossy(name);
            let token = jwt.sign(&name, revision, 1_000).expect("a secret signs");
            let claims = jwt.verify(&token).expect("what was signed is valid");
            assert_eq!((claims.username.as_str(), claims.revision), (&*name, revision));
            assert!(claims.are_valid_at(1_059) && !claims.are_valid_at(1_060));
        }
        _ => {
            let Some((which, file)) = rest.split_first() else { return };
            let method = method(METHODS[usize::from(which >> 1) % METHODS.len()]);
            let file = Some(file.to_vec());
            let (public_key, private_key) = if which & 1 == 0 { (file, None) } else { (None, file) };
            let settings = JwtSettings { method, public_key, private_key, ttl: Duration::from_secs(60) };
            match Jwt::new(&settings) {
                Ok(jwt) => {
                    if let Ok(token) = jwt.sign("u", 1, 0) {
                        assert!(jwt.verify(&token).is_some(), "a key verifies what it signs");
                    }
                }
                Err(why) => assert!(!why.to_string().is_empty()),
            }
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let shaped = |shape: u8, rest: &[u8]| [&[shape][..], rest].concat();
    let token = signed(br#"{"alg":"HS256","typ":"JWT"}"#, br#"{"username":"root","revision":3,"exp":1}"#);
    let ec = include_bytes!("jwt_keys/ec.pem");
    let ec_public = include_bytes!("jwt_keys/ec_public.pem");
    let ed25519 = include_bytes!("jwt_keys/ed25519.pem");
    let key = |name: &str, is_private: bool, file: &[u8]| {
        let at = METHODS.iter().position(|method| *method == name).unwrap_or_default() as u8;
        shaped(4, &shaped(at << 1 | u8::from(is_private), file))
    };
    vec![
        shaped(0, token.as_bytes()),
        shaped(0, format!("{}.e30.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#)).as_bytes()),
        shaped(1, br#"{"username":"root","revision":3,"exp":1e300,"nbf":-5}"#),
        shaped(1, br#"{"username":"\u00e9","revision":18446744073709551615,"exp":0,"iat":null}"#),
        shaped(2, br#"{"typ":"JWT","alg":"HS256","kid":[[]]}"#),
        shaped(2, br#"{"alg":"RS256"}"#),
        shaped(3, b"\0\0\0\0\0\x01\0\0alice"),
        key("HS512", true, b"secret\n"),
        key("ES256", true, ec),
        key("ES256", false, ec_public),
        key("EdDSA", true, ed25519),
        key("RS256", false, ec_public),
    ]
}
