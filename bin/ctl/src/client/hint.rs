//! What a person may do about a failure. Must never be shown to scripts as a part of the error.

use super::Failure;

/// Part of a text, and what a person may do about it.
const HINTS: [(&str, &str); 15] = [
    ("user name is empty", "log in with --user name[:password]"),
    (
        "invalid user ID or password",
        "check --user and --password; an administrator can set a new one with `user passwd`",
    ),
    ("permission denied", "ask for a role with `user get --detail` and `role get`; --user root may do everything"),
    ("database space exceeded", "compact (`compaction`), `defrag`, then `alarm disarm`; or raise the server's quota"),
    ("has been compacted", "use a newer --rev, or none"),
    ("is a future revision", "`endpoint status -w fields` shows the current revision"),
    ("requested lease not found", "`lease list` shows what is left; leases are given in hex"),
    ("authentication is not enabled", "turn it on with `auth enable`"),
    ("root user does not exist", "add it first: `user add root`"),
    ("member not found", "`member list` shows the ids"),
    ("no leader", "most members must be up: look at `endpoint health --cluster`"),
    ("not leader", "name the leader in --endpoints: `endpoint status --cluster -w table` shows it"),
    ("not capable", "this server does not offer it (yet)"),
    ("unknown service", "this server does not offer it (yet)"),
    ("larger than max", "raise --max-request-bytes or --max-recv-bytes, and the server's --max-request-bytes"),
];

/// What a person may do about it.
pub fn hint(why: &Failure) -> Option<String> {
    if let Failure::Deadline(last) = why {
        return Some(match last {
            Some(last) => format!("no connection ({}); check --endpoints and whether the server runs", plain(last)),
            None => "the server did not answer in time; raise --command-timeout or look at `endpoint health`".into(),
        });
    }
    let text = why.to_string();
    HINTS.iter().find(|(part, _)| text.contains(part)).map(|(_, hint)| (*hint).to_owned())
}

/// Why a connection failed, without the words that gRPC clients put around it.
fn plain(last: &str) -> &str {
    let inner = last.strip_prefix("connection error: desc = \"transport: ").unwrap_or(last);
    inner.strip_prefix("Error while dialing: ").unwrap_or(inner).trim_end_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Status;

    #[test]
    fn a_known_failure_has_a_hint() {
        let known = Failure::Status(Status::not_found("etcdserver: requested lease not found"));
        assert!(hint(&known).is_some_and(|hint| hint.contains("lease list")));
        let dead =
            Failure::Deadline(Some("connection error: desc = \"transport: Error while dialing: dial tcp h:1\"".into()));
        assert!(hint(&dead).is_some_and(|hint| hint.contains("(dial tcp h:1)")));
    }
}
