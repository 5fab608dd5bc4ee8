//! How long calls take: by method as gRPC libraries count it, and by kind of request as etcd does.
//!
//! Plain counters, written by one thread each. Must stay cheap: every call comes by.

use messages::histogram::Distribution;
use messages::measured::{DiskTimes, RequestTimes};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds in milliseconds: the default buckets of Prometheus' libraries.
const BOUNDS: [u64; 11] = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000];

/// A histogram with those buckets.
#[derive(Debug, Default)]
pub(super) struct HandlingTimes {
    buckets: [AtomicU64; BOUNDS.len()],
    longer: AtomicU64,
    nanos: AtomicU64,
}

impl HandlingTimes {
    fn observe(&self, took: Duration) {
        let nanos = took.as_nanos() as u64;
        let bucket = BOUNDS.iter().position(|bound| nanos <= bound * 1_000_000);
        bucket.map_or(&self.longer, |bucket| &self.buckets[bucket]).fetch_add(1, Relaxed);
        self.nanos.fetch_add(nanos, Relaxed);
    }

    /// What was counted so far.
    pub(super) fn distribution(&self) -> Distribution {
        let bounded = BOUNDS.iter().map(|bound| Some(bound * 1_000)).zip(&self.buckets);
        let buckets = bounded.chain([(None, &self.longer)]).map(|(bound, bucket)| (bound, bucket.load(Relaxed)));
        Distribution::new(buckets, self.nanos.load(Relaxed) as f64 / 1e9)
    }
}

/// Times of one method.
#[derive(Debug)]
pub(super) struct MethodTimes {
    /// etcd's name of the kind of request, for methods that have one.
    pub(super) request: Option<&'static str>,
    pub(super) handling: HandlingTimes,
    /// Of successful and failed requests.
    pub(super) requests: [DiskTimes; 2],
    /// The same in finer buckets, for Range.
    pub(super) ranges: Option<Box<[RequestTimes; 2]>>,
}

impl MethodTimes {
    pub(super) fn new(service: &str, method: &str) -> Self {
        let request = request_kind(service, method);
        Self {
            request,
            handling: HandlingTimes::default(),
            requests: Default::default(),
            ranges: (request == Some("Range")).then(Box::default),
        }
    }

    pub(super) fn observe(&self, success: bool, took: Duration) {
        self.handling.observe(took);
        let at = usize::from(!success);
        if self.request.is_some() {
            self.requests[at].observe(took);
        }
        if let Some(ranges) = &self.ranges {
            ranges[at].observe(took);
        }
    }
}

/// etcd's name of what a method asks for: in its log it is one request, whatever the method is called.
fn request_kind(service: &str, method: &str) -> Option<&'static str> {
    const KINDS: [(&str, &str, &str); 25] = [
        ("KV", "Range", "Range"),
        ("KV", "Put", "Put"),
        ("KV", "DeleteRange", "DeleteRange"),
        ("KV", "Txn", "Txn"),
        ("KV", "Compact", "Compaction"),
        ("Lease", "LeaseGrant", "LeaseGrant"),
        ("Lease", "LeaseRevoke", "LeaseRevoke"),
        ("Maintenance", "Alarm", "Alarm"),
        ("Auth", "AuthEnable", "AuthEnable"),
        ("Auth", "AuthDisable", "AuthDisable"),
        ("Auth", "AuthStatus", "AuthStatus"),
        ("Auth", "Authenticate", "Authenticate"),
        ("Auth", "UserAdd", "AuthUserAdd"),
        ("Auth", "UserGet", "AuthUserGet"),
        ("Auth", "UserList", "AuthUserList"),
        ("Auth", "UserDelete", "AuthUserDelete"),
        ("Auth", "UserChangePassword", "AuthUserChangePassword"),
        ("Auth", "UserGrantRole", "AuthUserGrantRole"),
        ("Auth", "UserRevokeRole", "AuthUserRevokeRole"),
        ("Auth", "RoleAdd", "AuthRoleAdd"),
        ("Auth", "RoleGet", "AuthRoleGet"),
        ("Auth", "RoleList", "AuthRoleList"),
        ("Auth", "RoleDelete", "AuthRoleDelete"),
        ("Auth", "RoleGrantPermission", "AuthRoleGrantPermission"),
        ("Auth", "RoleRevokePermission", "AuthRoleRevokePermission"),
    ];
    let service = service.strip_prefix("etcdserverpb.")?;
    KINDS.iter().find(|(s, m, _)| *s == service && *m == method).map(|(_, _, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_counted_in_each_of_its_histograms() {
        let times = MethodTimes::new("etcdserverpb.KV", "Range");
        times.observe(true, Duration::from_millis(5));
        times.observe(true, Duration::from_micros(5_001));
        times.observe(false, Duration::from_secs(60));
        let handling = times.handling.distribution();
        assert_eq!(handling.cumulative[0], (Some(5_000), 1));
        assert_eq!(handling.cumulative[1], (Some(10_000), 2));
        assert_eq!((handling.cumulative[10].1, handling.count()), (2, 3));
        assert_eq!(times.requests.each_ref().map(|times| times.count()), [2, 1]);
        assert_eq!(times.ranges.map(|ranges| ranges[0].count()), Some(2));
        let watch = MethodTimes::new("etcdserverpb.Watch", "Watch");
        assert!(watch.request.is_none() && watch.ranges.is_none());
    }
}
