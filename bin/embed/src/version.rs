//! Versions told to clients: those of the etcd whose API this is.

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

/// A version as numbers: major, minor, patch. What is missing, or no number, counts as zero.
pub(crate) fn parse(text: &str) -> [u16; 3] {
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
}
