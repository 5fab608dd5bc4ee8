//! The own certificate of a listener or of a client, which follows its files, and what is said before it ends.
//!
//! A pair made by `--auto-tls` is made again before it ends; one that somebody gave is never touched.

use crate::auto;
use crate::error::TlsError;
use crate::files::{CERT, Followed, KEY, bad};
use crate::own::{Own, PairError};
use crate::settings::AutoTls;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

const DAY: i64 = 24 * 3600;
/// How long before its end a certificate is warned about.
const WARNED: i64 = 30 * DAY;
/// How long before its end a self-made certificate is replaced.
pub(crate) const REPLACED: i64 = 7 * DAY;

/// What is shown to the other side.
#[derive(Debug)]
pub struct Identity {
    own: Followed<Own>,
    cert: PathBuf,
    /// How a self-made pair is made again, and the hosts it is for.
    auto: Option<(AutoTls, Vec<String>)>,
    /// The end that was last warned about, and when.
    warned: Mutex<Option<(i64, i64)>>,
}

impl Identity {
    /// Of two files, PEM.
    ///
    /// # Errors
    /// Files that cannot be read, are no pair or hold a key that cannot be used.
    pub fn new(cert: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let identity = Self::load(cert, key, None)?;
        identity.look();
        Ok(identity)
    }

    fn load(cert: PathBuf, key: PathBuf, auto: Option<(AutoTls, Vec<String>)>) -> Result<Self, TlsError> {
        let files = vec![(CERT, cert.clone()), (KEY, key.clone())];
        let at = cert.clone();
        let beside = key;
        let own = Followed::new(files, move |bytes| {
            Own::from_pem(&bytes[0], &bytes[1]).map_err(|why| match why {
                PairError::Certificate(why) => bad(CERT, &at, why),
                PairError::Key(why) => bad(KEY, &beside, why),
                PairError::Mismatch => bad(KEY, &beside, format!("it does not belong to certificate {}", at.display())),
            })
        })?;
        Ok(Self { own, cert, auto, warned: Mutex::new(None) })
    }

    /// Self-made, for these hosts; made when there is none yet, or when the one that is there ends soon.
    ///
    /// # Errors
    /// As [`Self::new`], and folders that cannot be written.
    pub fn self_made(auto: &AutoTls, hosts: &[String]) -> Result<Self, TlsError> {
        let (cert, key) = auto::certificate(auto, hosts)?;
        let identity = Self::load(cert, key, Some((auto.clone(), hosts.to_vec())))?;
        identity.look();
        Ok(identity)
    }

    /// When the certificate that is in use ends, seconds since 1970; of a chain, its first to end.
    pub fn not_after(&self) -> i64 {
        self.own.current().not_after
    }

    /// Looks at the files and at the clock: replaces a self-made pair that ends soon, and warns about any other, once a day.
    /// To be called about once a minute. Blocks on files.
    pub fn look(&self) {
        let own = self.own.current();
        let now = seconds_since_1970();
        if let Some((auto, hosts)) = self.auto.as_ref().filter(|_| own.is_self_made && own.not_after - now < REPLACED) {
            match auto::make(auto, hosts) {
                Ok(_) => drop(self.own.current()),
                Err(why) => self.warn(own.not_after, now, &format!("; no new one could be made: {why}")),
            }
            return;
        }
        self.remind(&own, now);
    }

    /// A pair that is made again by itself needs nobody's hand.
    fn remind(&self, own: &Own, now: i64) {
        if self.auto.is_none() || !own.is_self_made {
            self.warn(own.not_after, now, "");
        }
    }

    fn warn(&self, not_after: i64, now: i64, why: &str) {
        let left = not_after - now;
        if left >= WARNED {
            return;
        }
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_some_and(|(end, at)| end == not_after && now - at < DAY) {
            return;
        }
        *warned = Some((not_after, now));
        let ends = units::utc_seconds(u64::try_from(not_after).unwrap_or_default());
        let file = self.cert.display();
        if left < 0 {
            tracing::warn!(%file, ends, "own certificate has expired, clients refuse it: renew it in place{why}");
        } else {
            let days = left / DAY;
            tracing::warn!(%file, ends, days, "own certificate expires soon: renew it in place{why}");
        }
    }

    fn certified(&self) -> Arc<CertifiedKey> {
        let own = self.own.current();
        self.remind(&own, seconds_since_1970());
        Arc::clone(&own.certified)
    }
}

fn seconds_since_1970() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
