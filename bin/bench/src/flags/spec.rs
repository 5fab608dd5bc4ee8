//! The tables of commands and flags. Names and defaults of etcd's benchmark tool are etcd's.
//!
//! Must hold no behaviour beyond the check of a value.

/// What a flag's value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A switch.
    Bool,
    /// A whole number, not negative.
    Number,
    /// A number.
    Fraction,
    /// Go's form of a duration.
    Duration,
    /// Anything.
    Text,
    /// A path.
    File,
}

/// A flag.
#[derive(Debug)]
pub struct Spec {
    /// Without dashes.
    pub name: &'static str,
    /// Of its value.
    pub kind: Kind,
    /// Empty: none.
    pub default: &'static str,
    /// One sentence for the user.
    pub help: &'static str,
}

/// A command.
#[derive(Debug)]
pub struct Command {
    /// First word of the command line.
    pub name: &'static str,
    /// Arguments, for the usage line.
    pub args: &'static str,
    /// One line.
    pub short: &'static str,
    /// A paragraph, or nothing.
    pub long: &'static str,
    /// Its own flags.
    pub flags: &'static [Spec],
}

/// Go's words for truth.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

impl Kind {
    /// What stands for the value in a help text.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Bool => "",
            Self::Number => "N",
            Self::Fraction => "X",
            Self::Duration => "TIME",
            Self::Text => "TEXT",
            Self::File => "FILE",
        }
    }

    /// Whether a value has this form.
    pub(super) fn check(self, value: &str) -> Result<(), &'static str> {
        let good = match self {
            Self::Bool => truth(value).is_some(),
            Self::Number => value.parse::<u64>().is_ok_and(|n| i64::try_from(n).is_ok()),
            Self::Fraction => value.parse::<f64>().is_ok_and(|x| x.is_finite() && x >= 0.0),
            Self::Duration => units::duration(value).is_ok(),
            Self::Text | Self::File => true,
        };
        let what = match self {
            Self::Bool => "neither true nor false",
            Self::Number => "not a whole number",
            Self::Fraction => "not a number",
            _ => "not a duration such as 500ms, 10s or 1h30m",
        };
        if good { Ok(()) } else { Err(what) }
    }
}

const fn switch(name: &'static str, help: &'static str) -> Spec {
    Spec { name, kind: Kind::Bool, default: "false", help }
}

const fn number(name: &'static str, default: &'static str, help: &'static str) -> Spec {
    Spec { name, kind: Kind::Number, default, help }
}

const fn of(kind: Kind, name: &'static str, default: &'static str, help: &'static str) -> Spec {
    Spec { name, kind, default, help }
}

const KEY_SIZE: Spec = number("key-size", "8", "Bytes of a key");
const VAL_SIZE: Spec = number("val-size", "8", "Bytes of a value");
const KEY_SPACE: Spec = number("key-space-size", "1", "Number of different keys");
const RATE: Spec = of(
    Kind::Fraction,
    "rate",
    "0",
    "Requests per second, each sent when it is due, whether or not earlier ones were answered; 0: no limit",
);
const TOTAL: Spec = number("total", "10000", "Number of requests");
const CONSISTENCY: Spec = of(Kind::Text, "consistency", "l", "Linearizable (l) or serializable (s)");

/// Flags of every command.
pub const GLOBAL: &[Spec] = &[
    of(Kind::Text, "endpoints", "127.0.0.1:2379", "Members to load, separated by commas"),
    number("conns", "1", "Connections to open"),
    number("clients", "1", "Clients that send at the same time, spread over the connections"),
    switch("target-leader", "Send all requests to the leader"),
    switch("precise", "Print full precision"),
    switch("sample", "Print a table with one line for each second"),
    switch("percentiles", "Print percentiles up to 99.99 after the report"),
    of(Kind::File, "json", "", "Write everything to this file as JSON; - is standard output"),
    of(Kind::File, "csv", "", "Write one line for each second to this file"),
    of(Kind::File, "html", "", "Write a page with charts to this file"),
    switch("report-perfdash", "Write three percentiles as JSON into $ARTIFACTS, or ./_artifacts"),
    of(Kind::Duration, "duration", "0s", "Stop after this time even if requests are left"),
    switch(
        "from-send",
        "With --rate, measure latency from when a request was sent, as etcd's tool does, instead of from when it was due",
    ),
    number("seed", "0", "Seed for keys and values; 0: a new one in each run"),
    of(Kind::Text, "user", "", "Name and password as name:password; without the password it is asked for"),
    of(Kind::File, "cacert", "", "File of CA certificates to trust (PEM)"),
    of(Kind::File, "cert", "", "Client certificate file (PEM)"),
    of(Kind::File, "key", "", "Private key file for --cert (PEM)"),
    switch("insecure-skip-tls-verify", "Do not verify the server's certificate"),
    of(Kind::Duration, "dial-timeout", "0s", "Keep trying to connect for this long; 0: one attempt"),
    of(Kind::Duration, "auto-sync-interval", "0s", "Accepted for compatibility; has no effect"),
];

/// Every command.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "put",
        args: "",
        short: "Write keys",
        long: "",
        flags: &[
            KEY_SIZE,
            VAL_SIZE,
            RATE,
            TOTAL,
            KEY_SPACE,
            switch("sequential-keys", "Write keys in sequence instead of at random"),
            of(Kind::Duration, "compact-interval", "0s", "Compact this often; 0: never"),
            number("compact-index-delta", "1000", "Revisions that such a compaction keeps"),
            switch("check-hashkv", "Print the hash of all keys afterwards"),
        ],
    },
    Command {
        name: "range",
        args: "KEY [END]",
        short: "Read a key or a range of keys",
        long: "With --prefix and without KEY, all keys are read.",
        flags: &[
            RATE,
            TOTAL,
            CONSISTENCY,
            number("limit", "0", "Maximum number of keys in one response; 0: no limit"),
            switch("count-only", "Read only the number of keys"),
            switch("keys-only", "Read only keys"),
            switch("stream", "Use RangeStream instead of Range"),
            switch("paginate", "Read in pages of 10,000 keys"),
            switch("prefix", "Read all keys that begin with KEY"),
        ],
    },
    Command {
        name: "txn-put",
        args: "",
        short: "Write several keys in one transaction",
        long: "",
        flags: &[KEY_SIZE, VAL_SIZE, number("txn-ops", "1", "Keys written by one transaction"), RATE, TOTAL, KEY_SPACE],
    },
    Command {
        name: "txn-mixed",
        args: "[KEY [END]]",
        short: "Transactions that write a key or read a range",
        long: "KEY and END are accepted for compatibility and ignored, as in etcd's tool.",
        flags: &[
            KEY_SIZE,
            VAL_SIZE,
            RATE,
            TOTAL,
            of(Kind::Text, "end-key", "", "Accepted for compatibility; reads begin at the first key"),
            number("limit", "1000", "Maximum number of keys in one read"),
            KEY_SPACE,
            CONSISTENCY,
            of(Kind::Fraction, "rw-ratio", "1", "Reads for each write"),
        ],
    },
    Command {
        name: "watch",
        args: "",
        short: "Open watchers, then write and receive events",
        long: "Each watcher watches one key. Keys are written in turn until every watcher has every event.",
        flags: &[
            number("streams", "10", "Watch streams"),
            number("watch-per-stream", "100", "Watchers on each stream"),
            number("watched-key-total", "1", "Different keys that are watched"),
            of(Kind::Fraction, "put-rate", "0", "Writes per second; 0: no limit"),
            number("put-total", "1000", "Number of writes"),
            number("key-size", "32", "Bytes of a key"),
            KEY_SPACE,
            switch("sequential-keys", "Write keys in sequence instead of at random"),
        ],
    },
    Command {
        name: "watch-get",
        args: "",
        short: "Read a key while many watchers catch up",
        long: "",
        flags: &[
            number("watchers", "10000", "Watchers in all"),
            number("streams", "1", "Watch streams"),
            number("events", "8", "Events for each watcher"),
        ],
    },
    Command {
        name: "watch-latency",
        args: "",
        short: "Time from the end of a write to its event at each watcher",
        long: "",
        flags: &[
            number("streams", "10", "Watch streams"),
            number("watchers-per-stream", "10", "Watchers on each stream"),
            switch("prevkv", "Ask for previous values too"),
            number("put-total", "1000", "Number of writes"),
            of(Kind::Fraction, "put-rate", "100", "Writes per second"),
            number("key-size", "32", "Bytes of the key"),
            number("val-size", "32", "Bytes of a value"),
        ],
    },
    Command {
        name: "lease-keepalive",
        args: "",
        short: "Renew leases",
        long: "Each client grants a lease of 100 s and renews it, with a stream for each renewal as etcd's client does.",
        flags: &[TOTAL, RATE, switch("reuse-stream", "Send all renewals of a client on one stream")],
    },
    Command {
        name: "stm",
        args: "",
        short: "Software transactional memory: read keys, write some of them, retry on conflict",
        long: "",
        flags: &[
            of(
                Kind::Text,
                "isolation",
                "r",
                "Read committed (c), repeatable reads (r), serializable (s) or snapshot (ss)",
            ),
            number("keys", "1", "Different keys"),
            TOTAL,
            number("keys-per-txn", "1", "Keys read by a transaction"),
            number("txn-wr-percent", "50", "Percent of them that it writes"),
            of(Kind::Text, "stm-locker", "stm", "Lock around a transaction: none (stm), lock-client or lock-rpc"),
            VAL_SIZE,
            RATE,
        ],
    },
    Command {
        name: "mix",
        args: "FILE",
        short: "Any mixture of operations and key distributions, described in a file",
        long: "docs/bench.md describes the file. Each operation is reported by itself, and all together.",
        flags: &[TOTAL, RATE, switch("no-load", "Do not write the keys first")],
    },
    Command {
        name: "soak",
        args: "",
        short: "Load for a long time, verify every answer and event, and judge what drifts",
        long: "Writes keys and leases, then writes on while it compacts, defragments, saves snapshots, reads and watches. \
               Prints one line for each window and a verdict; the exit code is 1 when something failed or drifted.",
        flags: &[
            number("keys", "1000000", "Keys, each written before the clock starts"),
            number("leases", "1000000", "Leases; key i belongs to lease i"),
            number("writers", "1000", "Clients that write; --conns connections for them, 20 unless given"),
            VAL_SIZE_SOAK,
            of(Kind::Duration, "run", "10m", "How long to write once the keys are there"),
            of(Kind::Duration, "window", "10s", "Length of one line of the table"),
            of(Kind::Fraction, "rate", "0", "Writes per second; 0: no limit"),
            number("readers", "16", "Clients that read and verify"),
            number("watchers", "20", "Watchers of a share of the keys each, besides one of all keys"),
            of(Kind::Duration, "compact-every", "5s", "Pause between compactions; 0: never"),
            number("keep-revisions", "200000", "Revisions that a compaction keeps"),
            of(Kind::Duration, "defrag-every", "60s", "Pause between defragmentations; 0: never"),
            of(Kind::Duration, "snapshot-every", "60s", "Pause between snapshots, read and checked; 0: never"),
            number("pid", "0", "Process of the server, for its memory and CPU time"),
            of(Kind::File, "data-dir", "", "The server's data folder, for its size"),
            number("max-rss-mib", "0", "Most memory of the server that passes; 0: only growth is judged"),
            number("max-disk-mib", "0", "Largest data folder that passes; 0: only growth is judged"),
            of(Kind::File, "report", "", "Write the table and the verdict to this file too, line by line (Markdown)"),
        ],
    },
];

const VAL_SIZE_SOAK: Spec = number("val-size", "256", "Bytes of a value, at least 32");
