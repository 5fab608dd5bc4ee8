//! Ids of members and clusters, bit-exact with etcd's: the first eight bytes of a SHA-1.
//!
//! Must never use anything but its arguments: every member computes the same ids on its own.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

/// Id of a member of the initial cluster: SHA-1 over its sorted peer URLs and the cluster token.
pub fn member_id(peer_urls: &[String], token: &str) -> u64 {
    let mut urls: Vec<_> = peer_urls.iter().map(String::as_str).collect();
    urls.sort_unstable();
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    for url in urls {
        context.update(url.as_bytes());
    }
    context.update(token.as_bytes());
    first_eight(context)
}

/// Id of a member that is added to a running cluster: SHA-1 over its sorted peer URLs and the seconds since 1970, in decimal. It is
/// given no token, as etcd gives it none.
pub fn added_member_id(peer_urls: &[String], unix_seconds: i64) -> u64 {
    member_id(peer_urls, &unix_seconds.to_string())
}

/// Id of a cluster: SHA-1 over the sorted ids of its first members.
pub fn cluster_id(members: &[u64]) -> u64 {
    let mut members = members.to_vec();
    members.sort_unstable();
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    for id in members {
        context.update(&id.to_be_bytes());
    }
    first_eight(context)
}

fn first_eight(context: Context) -> u64 {
    let digest = context.finish();
    let (first, _) = digest.as_ref().split_at(8);
    u64::from_be_bytes(first.try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_added_members_are_etcds() {
        // sha1sum of the same text gives the same first eight bytes
        let urls = ["http://127.0.0.1:2480".to_owned(), "http://10.0.0.1:2380".to_owned()];
        let id = added_member_id(&urls, 1_700_000_000);
        assert_eq!(format!("{id:016x}"), "80465e000d37a7ac");
        assert_ne!(id, added_member_id(&urls, 1_700_000_001));
    }

    #[test]
    fn ids_are_etcds() {
        // computed by etcd's own test suite for this URL and token
        let member = member_id(&["https://localhost:20001".into()], "new");
        assert_eq!(format!("{member:x}"), "a8f3458387986d");
        assert_eq!(format!("{:x}", cluster_id(&[member])), "34c21a2d427db393");
        // etcd started without any flag
        assert_eq!(format!("{:x}", member_id(&["http://localhost:2380".into()], "etcd-cluster")), "8e9e05c52164694d");
        assert_eq!(format!("{:x}", cluster_id(&[0x8e9e_05c5_2164_694d])), "cdf818194e3a8c32");
    }
}
