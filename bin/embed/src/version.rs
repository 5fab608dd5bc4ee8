//! Versions told to clients: those of the etcd whose API this is.

pub use crate::cluster_version::decide as decide_cluster_version;

/// What `Status.version` and `/version` say.
pub const SERVER_VERSION: &str = "3.7.1";
/// The first version that ran in clusters: what a member runs that has not said which version it is.
pub const FIRST_CLUSTER_VERSION: [u16; 3] = [3, 7, 0];
/// What `Status.storageVersion` and snapshots say.
pub const STORAGE_VERSION: &str = "3.7.0";

/// [`SERVER_VERSION`] as the other members are told: major, minor, patch.
pub fn server_version() -> [u16; 3] {
    parse(SERVER_VERSION)
}

/// A member that is older than its cluster: entries and frames may have kinds that it does not know. A cluster is never lowered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid downgrade; server version is lower than determined cluster version: this member runs {own}, its cluster {cluster}. Start it \
     with a build of at least that version"
)]
pub struct TooOld {
    own: String,
    cluster: String,
}

/// Refuses a member that is older than the version of its cluster; an empty text is no version yet. The patch does not count.
///
/// # Errors
/// [`TooOld`].
pub fn refuse_older([major, minor, patch]: [u16; 3], cluster: &str) -> Result<(), TooOld> {
    if parse(cluster) <= [major, minor, u16::MAX] {
        return Ok(());
    }
    Err(TooOld { own: format!("{major}.{minor}.{patch}"), cluster: cluster.to_owned() })
}

/// A version as numbers: major, minor, patch. What is missing, or no number, counts as zero.
pub fn parse(text: &str) -> [u16; 3] {
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or_default());
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_told_to_members_is_the_one_told_to_clients() {
        let [major, minor, patch] = super::server_version();
        assert_eq!(format!("{major}.{minor}.{patch}"), super::SERVER_VERSION);
    }

    #[test]
    fn only_members_that_are_older_than_their_cluster_are_refused() {
        let refused = |own, cluster| super::refuse_older(own, cluster).is_err();
        assert!(!refused([3, 7, 1], "") && !refused([3, 7, 1], "3.7.0") && !refused([3, 7, 0], "3.7.9"));
        assert!(!refused([3, 8, 0], "3.7.0") && !refused([4, 0, 0], "3.9.0"));
        assert!(refused([3, 7, 1], "3.8.0") && refused([3, 9, 9], "4.0.0"));
    }
}
