//! Conditions of a transaction. Must never hold a condition that the server does not know.

use crate::blob::IntoBytes;
use crate::range;
use api::etcdserverpb as pb;
use bytes::Bytes;
use pb::{CompareResult, CompareTarget, TargetUnion};

/// A condition. A range of keys fulfils it when each of them does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare(pub(crate) pb::Compare);

/// What of a key is compared; [`equals`](Self::equals) and the others make a condition of it. A key that is not there has
/// versions and revisions of zero and no value.
#[derive(Clone, Debug)]
#[must_use]
pub struct Compared<T> {
    compare: pb::Compare,
    union: fn(T) -> TargetUnion,
}

impl Compare {
    /// The key is there.
    pub fn exists(key: impl IntoBytes) -> Self {
        Self::version(key).greater_than(0)
    }

    /// The key is not there.
    pub fn is_missing(key: impl IntoBytes) -> Self {
        Self::version(key).equals(0)
    }

    /// How often it was written since it was created.
    pub fn version(key: impl IntoBytes) -> Compared<i64> {
        Compared::new(key, CompareTarget::Version, TargetUnion::Version)
    }

    /// The revision at which it was created.
    pub fn create_revision(key: impl IntoBytes) -> Compared<i64> {
        Compared::new(key, CompareTarget::Create, TargetUnion::CreateRevision)
    }

    /// The revision of its last write.
    pub fn mod_revision(key: impl IntoBytes) -> Compared<i64> {
        Compared::new(key, CompareTarget::Mod, TargetUnion::ModRevision)
    }

    /// Its lease; zero for none.
    pub fn lease(key: impl IntoBytes) -> Compared<i64> {
        Compared::new(key, CompareTarget::Lease, TargetUnion::Lease)
    }

    /// Its value.
    pub fn value(key: impl IntoBytes) -> Compared<Bytes> {
        Compared::new(key, CompareTarget::Value, TargetUnion::Value)
    }

    /// The same for all keys that begin with the key.
    pub fn prefix(mut self) -> Self {
        (self.0.key, self.0.range_end) = range::prefix(&self.0.key);
        self
    }
}

impl<T> Compared<T> {
    fn new(key: impl IntoBytes, target: CompareTarget, union: fn(T) -> TargetUnion) -> Self {
        let compare = pb::Compare { target: target.into(), key: key.into_bytes(), ..Default::default() };
        Self { compare, union }
    }

    fn to(mut self, result: CompareResult, what: T) -> Compare {
        self.compare.result = result.into();
        self.compare.target_union = Some((self.union)(what));
        Compare(self.compare)
    }
}

impl Compared<i64> {
    /// It is equal to this.
    pub fn equals(self, what: i64) -> Compare {
        self.to(CompareResult::Equal, what)
    }

    /// It is something else.
    pub fn differs_from(self, what: i64) -> Compare {
        self.to(CompareResult::NotEqual, what)
    }

    /// It is less.
    pub fn less_than(self, what: i64) -> Compare {
        self.to(CompareResult::Less, what)
    }

    /// It is greater.
    pub fn greater_than(self, what: i64) -> Compare {
        self.to(CompareResult::Greater, what)
    }
}

impl Compared<Bytes> {
    /// It is equal to this.
    pub fn equals(self, what: impl IntoBytes) -> Compare {
        self.to(CompareResult::Equal, what.into_bytes())
    }

    /// It is something else.
    pub fn differs_from(self, what: impl IntoBytes) -> Compare {
        self.to(CompareResult::NotEqual, what.into_bytes())
    }

    /// It sorts before this.
    pub fn less_than(self, what: impl IntoBytes) -> Compare {
        self.to(CompareResult::Less, what.into_bytes())
    }

    /// It sorts behind this.
    pub fn greater_than(self, what: impl IntoBytes) -> Compare {
        self.to(CompareResult::Greater, what.into_bytes())
    }
}
