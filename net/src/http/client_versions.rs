//! Calls by the version that their client says it is of (`etcd_server_client_requests_total`).
//!
//! Clients write that version themselves, so there are few places for it: whatever finds none is counted together. Must never grow.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Versions that are told apart.
const PLACES: usize = 16;
/// A longer text is no version.
const LONGEST: usize = 24;
/// etcd's name for a client that says nothing.
pub(super) const UNKNOWN: &str = "unknown";
/// Name of all that find no place.
pub(super) const OTHERS: &str = "other";

/// See the file header. Written by one thread.
#[derive(Debug, Default)]
pub(super) struct ClientVersions {
    places: [OnceLock<Box<str>>; PLACES],
    counts: [Calls; PLACES],
    unknown: Calls,
    others: Calls,
}

/// Unary calls and streams.
#[derive(Debug, Default)]
struct Calls {
    unary: AtomicU64,
    streams: AtomicU64,
}

impl Calls {
    fn add(&self, is_stream: bool) {
        (if is_stream { &self.streams } else { &self.unary }).fetch_add(1, Relaxed);
    }
}

impl ClientVersions {
    /// A call of a client that says it is of this version.
    pub(super) fn count(&self, version: Option<&[u8]>, is_stream: bool) {
        let Some(version) = version else { return self.unknown.add(is_stream) };
        for (place, calls) in self.places.iter().zip(&self.counts) {
            let known = match place.get() {
                Some(known) => known,
                None => {
                    let Some(text) = judge(version) else { break };
                    place.get_or_init(|| text.into())
                }
            };
            if known.as_bytes() == version {
                return calls.add(is_stream);
            }
        }
        self.others.add(is_stream);
    }

    /// What was counted: version, unary calls, streams.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        let known = self.places.iter().zip(&self.counts).filter_map(|(place, calls)| Some((&**place.get()?, calls)));
        let all = known.chain([(UNKNOWN, &self.unknown), (OTHERS, &self.others)]);
        all.map(|(version, calls)| (version, calls.unary.load(Relaxed), calls.streams.load(Relaxed)))
    }
}

/// A text that may stand in a label as it is.
fn judge(version: &[u8]) -> Option<&str> {
    let fits = (1..=LONGEST).contains(&version.len());
    let plain = version.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-+_".contains(byte));
    if fits && plain { std::str::from_utf8(version).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_apart_and_nobody_makes_more_of_them_than_there_are_places() {
        let seen = ClientVersions::default();
        seen.count(Some(b"3.7"), false);
        seen.count(Some(b"3.7"), true);
        seen.count(None, false);
        for bad in [&b""[..], b"3.7\"} 1\n", b"\xff", &[b'1'; 25]] {
            seen.count(Some(bad), false);
        }
        for n in 0..1_000 {
            seen.count(Some(format!("1.{n}").as_bytes()), false);
        }
        let all: Vec<_> = seen.all().collect();
        assert_eq!(all[0], ("3.7", 1, 1));
        assert_eq!(all.len(), PLACES + 2);
        assert_eq!(all[PLACES], (UNKNOWN, 1, 0));
        assert_eq!(all[PLACES + 1].0, OTHERS);
        assert_eq!(all.iter().map(|(_, unary, _)| unary).sum::<u64>(), 1 + 1 + 4 + 1_000);
    }
}
