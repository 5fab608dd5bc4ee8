//! What the registry of a new cluster holds: its size, and members in the order in which they registered. Pure.
//!
//! Source of keys, rules and texts: etcd's package `v3discovery`. What is read here comes from another cluster: must never trust it.

/// Why the registry cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// Nobody wrote how many members there will be.
    #[error("discovery: size key not found")]
    NoSize,
    /// That is no number above zero.
    #[error("discovery: size key is bad")]
    BadSize,
    /// Others were faster.
    #[error("discovery: cluster is full")]
    Full,
    /// What a member registered is no list of URLs.
    #[error("discovery: invalid peer URL")]
    InvalidUrl,
    /// The settings of the connection.
    #[error("{0}")]
    Settings(String),
}

/// Keys of one cluster.
pub struct Keys(String);

impl Keys {
    /// Of the cluster with this token.
    pub fn of(token: &str) -> Self {
        Self(format!("/_etcd/registry/{}", token.trim_matches('/')))
    }

    /// Where it stands how many members there will be.
    pub fn size(&self) -> String {
        format!("{}/_config/size", self.0)
    }

    /// Where all members are.
    pub fn members(&self) -> String {
        format!("{}/members", self.0)
    }

    /// Where a member is.
    pub fn member(&self, id: u64) -> String {
        format!("{}/{id:x}", self.members())
    }
}

/// The number of members that was written.
///
/// # Errors
/// [`RegistryError::NoSize`], [`RegistryError::BadSize`].
pub fn size(value: Option<&[u8]>) -> Result<usize, RegistryError> {
    let text = value.ok_or(RegistryError::NoSize)?;
    let number: Option<i64> = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0).ok_or(RegistryError::BadSize)
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    key: String,
    /// `name=url,name=url`.
    urls: String,
    created: i64,
}

/// Members that have registered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members(Vec<Member>);

impl Members {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody has registered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what stands under a key. What is no member, and one that is there, is left out with a warning.
    pub fn add(&mut self, key: &[u8], value: &[u8], created: i64) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        let (key, urls) = (text(key), text(value));
        let is_there = self.0.iter().any(|member| member.key == key);
        if is_there || !urls.contains('=') {
            let fault = if is_there { "found duplicate peer" } else { "invalid peer info returned" };
            tracing::warn!("memberKey" = key, "memberInfo" = urls, "{fault} from discovery service");
            return;
        }
        tracing::info!("memberKey" = key, "memberInfo" = urls, "found peer from discovery service");
        self.0.push(Member { key, urls, created });
        self.0.sort_by_key(|member| member.created);
    }

    /// Refuses a member that is not among the first, when those are all there.
    ///
    /// # Errors
    /// [`RegistryError::Full`].
    pub fn refuse_late(&self, key: &str, size: usize) -> Result<(), RegistryError> {
        let is_in_time = self.0.iter().take(size).any(|member| member.key == key) || self.len() < size;
        if is_in_time { Ok(()) } else { Err(RegistryError::Full) }
    }

    /// The first members, as `--initial-cluster` has them.
    ///
    /// # Errors
    /// [`RegistryError::InvalidUrl`].
    pub fn cluster(&self, size: usize) -> Result<String, RegistryError> {
        let urls: Vec<&str> = self.0.iter().take(size).map(|member| member.urls.as_str()).collect();
        let cluster = urls.join(",");
        embed::parse_cluster(&cluster).map_err(|_| RegistryError::InvalidUrl)?;
        Ok(cluster)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(list: &[(&str, &str, i64)]) -> Members {
        let mut members = Members::default();
        list.iter().for_each(|(key, value, created)| members.add(key.as_bytes(), value.as_bytes(), *created));
        members
    }

    #[test]
    fn sizes() {
        assert_eq!(size(Some(b"3")), Ok(3));
        assert_eq!(size(None), Err(RegistryError::NoSize));
        for bad in [&b""[..], b"0", b"-1", b"x", b" 3", b"99999999999999999999", b"\xff"] {
            assert_eq!(size(Some(bad)), Err(RegistryError::BadSize), "{bad:?}");
        }
    }

    #[test]
    fn the_first_to_register_are_the_members() {
        let keys = Keys::of("T");
        assert_eq!(keys.size(), "/_etcd/registry/T/_config/size");
        assert_eq!(keys.member(0xab), "/_etcd/registry/T/members/ab");
        let all = members(&[("c", "c=http://c:1", 9), ("a", "a=http://a:1,a=http://a:2", 7), ("b", "b=http://b:1", 8)]);
        assert_eq!(all.cluster(2).unwrap(), "a=http://a:1,a=http://a:2,b=http://b:1");
        assert_eq!(all.refuse_late("b", 2), Ok(()));
        assert_eq!(all.refuse_late("c", 2), Err(RegistryError::Full), "who came third is no member");
        assert_eq!(all.refuse_late("d", 3), Err(RegistryError::Full), "who is not registered finds no room");
        assert_eq!(all.refuse_late("d", 4), Ok(()));
    }

    #[test]
    fn what_is_no_member_does_not_count() {
        let all = members(&[("a", "a=http://a:1", 1), ("a", "a=http://a:2", 2), ("b", "nothing", 3)]);
        assert_eq!(all.len(), 1);
        assert_eq!(members(&[("a", "a=ftp://x", 1)]).cluster(1), Err(RegistryError::InvalidUrl));
    }
}
