//! What a flag is: name, kind of value, default, help, and what it does here.

/// Kinds of values, each with Go's syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// `true`, `false`, `1`, `t` …; may stand alone.
    Bool,
    /// A whole number with sign.
    Int,
    /// A whole number without sign.
    Uint,
    /// A whole number of 32 bits without sign.
    Uint32,
    /// A number of bytes such as `256MiB`, or nothing at all.
    Size,
    /// A length of time such as `100ms` or `1m30s`.
    Duration,
    /// URLs separated by commas.
    Urls,
    /// URLs, or nothing at all.
    OptionalUrls,
    /// One of these words.
    Word(&'static [&'static str]),
    /// `A=true,B=false`.
    Gates,
    /// Taken and forgotten, with a warning.
    Ignored,
}

/// What a flag does in this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Here {
    /// What it does in etcd.
    Used,
    /// Accepted without effect; the text says why that is right.
    Harmless(&'static str),
    /// Refused when set to anything but its default; the text says what to do instead.
    Refused(&'static str),
}

/// Headings of the help text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// This member.
    Member,
    /// Sockets.
    Listeners,
    /// The cluster.
    Clustering,
    /// Discovery services.
    Discovery,
    /// Sizes and counts.
    Limits,
    /// Storage.
    Backend,
    /// Compaction and corruption checks.
    Compaction,
    /// TLS for clients.
    ClientTls,
    /// TLS between members.
    PeerTls,
    /// TLS for both.
    Tls,
    /// Users and tokens.
    Auth,
    /// Logs.
    Logging,
    /// Metrics, profiles, traces.
    Monitoring,
    /// The rest.
    Other,
    /// Names of older releases.
    Legacy,
}

impl Area {
    /// Heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Member => "Member",
            Self::Listeners => "Listeners",
            Self::Clustering => "Clustering",
            Self::Discovery => "Discovery",
            Self::Limits => "Limits",
            Self::Backend => "Storage",
            Self::Compaction => "Compaction and corruption checks",
            Self::ClientTls => "Client TLS",
            Self::PeerTls => "Peer TLS",
            Self::Tls => "TLS",
            Self::Auth => "Authentication",
            Self::Logging => "Logging",
            Self::Monitoring => "Monitoring",
            Self::Other => "Other",
            Self::Legacy => "Older releases",
        }
    }
}

/// One flag.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Name without dashes.
    pub name: &'static str,
    /// Kind of value.
    pub kind: Kind,
    /// Value when it is not given.
    pub default: &'static str,
    /// Heading.
    pub area: Area,
    /// One line.
    pub help: &'static str,
    /// What it does.
    pub here: Here,
}

/// Flags of one area, in the order of the help text.
pub struct Group(pub Area, pub &'static [Row]);

/// A flag in a table: the area comes from its group.
pub struct Row(pub &'static str, pub Kind, pub &'static str, pub Here, pub &'static str);
