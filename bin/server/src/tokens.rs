//! `--auth-token`, `--auth-token-ttl` and `--bcrypt-cost`, as etcd reads them. No file is opened here.

use crate::flags::Given;
use embed::tokens::{DEFAULT_JWT_TTL, JwtFiles, SignMethod, TokenSettings};
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

/// What etcd says of options that it cannot use.
const INVALID: &str = "auth: invalid auth options";
/// Options of signed tokens.
const JWT_OPTIONS: [&str; 4] = ["sign-method", "pub-key", "priv-key", "ttl"];
/// Costs that bcrypt takes.
const COSTS: std::ops::RangeInclusive<i64> = 4..=31;
/// Cost for who gives another one.
const DEFAULT_COST: u32 = 10;

/// Which tokens there are.
///
/// # Errors
/// etcd's text, and what it is about.
pub fn settings(given: &Given, warnings: &mut Vec<String>) -> Result<TokenSettings, String> {
    let text = given.text("auth-token");
    let mut parts = text.split(',');
    let kind = parts.next().unwrap_or_default();
    let mut options = HashMap::new();
    for part in parts {
        let pair = part.split_once('=').filter(|(_, value)| !value.contains('='));
        let (name, value) = pair.ok_or_else(|| format!("{INVALID}: {part:?} in --auth-token is not name=value"))?;
        if options.insert(name, value).is_some() {
            return Err(format!("{INVALID}: --auth-token has {name} twice"));
        }
    }
    match kind {
        "simple" => Ok(TokenSettings::Simple { ttl: simple_ttl(given) }),
        "jwt" => Ok(TokenSettings::Jwt(jwt(&options, warnings)?)),
        "" => Ok(TokenSettings::None),
        other => Err(format!("{INVALID}: --auth-token={other:?}: use simple or jwt")),
    }
}

fn simple_ttl(given: &Given) -> Duration {
    match given.number("auth-token-ttl") {
        0 => TokenSettings::DEFAULT_TTL,
        seconds => Duration::from_secs(seconds),
    }
}

fn jwt(options: &HashMap<&str, &str>, warnings: &mut Vec<String>) -> Result<JwtFiles, String> {
    let mut unknown: Vec<_> = options.keys().filter(|name| !JWT_OPTIONS.contains(name)).collect();
    unknown.sort_unstable();
    if !unknown.is_empty() {
        warnings.push(format!("unknown JWT options {unknown:?} in --auth-token are ignored"));
    }
    let text = |name: &str| options.get(name).copied().filter(|text| !text.is_empty());
    let method = text("sign-method").unwrap_or_default();
    let method = SignMethod::by_name(method).ok_or_else(|| {
        format!("{INVALID}: sign-method={method:?} in --auth-token: one of RS, PS, ES, HS with 256, 384, 512, or EdDSA")
    })?;
    let ttl = text("ttl").map(units::duration).transpose().map_err(|why| format!("{INVALID}: {why}"))?;
    Ok(JwtFiles {
        method,
        public_key: text("pub-key").map(PathBuf::from),
        private_key: text("priv-key").map(PathBuf::from),
        ttl: ttl.unwrap_or(DEFAULT_JWT_TTL),
    })
}

/// The cost of hashing passwords.
pub fn bcrypt_cost(given: &Given, warnings: &mut Vec<String>) -> u32 {
    let cost: i64 = given.number("bcrypt-cost");
    if COSTS.contains(&cost) {
        return u32::try_from(cost).unwrap_or(DEFAULT_COST);
    }
    warnings.push(format!("use default bcrypt cost {DEFAULT_COST} instead of the invalid given cost {cost}"));
    DEFAULT_COST
}
