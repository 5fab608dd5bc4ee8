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
