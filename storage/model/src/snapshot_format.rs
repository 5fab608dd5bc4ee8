//! Which of two files a client's snapshot is.

/// Formats of the stream that a client is sent. Members send each other their own alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SnapshotFormat {
    /// A bbolt database, as etcd sends it: what etcd and every tool for its backups take.
    #[default]
    Etcd,
    /// Conclave's own, which is restored faster.
    Conclave,
}

impl SnapshotFormat {
    /// What the formats are called in flags and metadata.
    pub const NAMES: &'static [&'static str] = &["etcd", "conclave"];

    /// The format of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "etcd" => Some(Self::Etcd),
            "conclave" => Some(Self::Conclave),
            _ => None,
        }
    }
}
