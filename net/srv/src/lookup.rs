//! A question for the SRV records of one name.
//!
//! Must never wait longer than its patience, whatever the servers do.

use domain::base::iana::Rcode;
use domain::base::{Message, Name, Rtype};
use domain::rdata::Srv;
use domain::resolv::StubResolver;
use domain::resolv::stub::conf::{ResolvConf, ServerConf, Transport};
use std::net::SocketAddr;
use std::time::Duration;

/// Longest a lookup takes: two tries of five seconds, as the C library makes them, and a little more.
const PATIENCE: Duration = Duration::from_secs(11);
/// Most records that are looked at: a cluster has a handful of members.
const MOST_RECORDS: usize = 256;

/// Why there are no records, in the words of Go's resolver.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("lookup {name} on {server}: {why}")]
pub struct LookupError {
    /// The name.
    pub name: String,
    /// The server that was asked first.
    pub server: String,
    /// What came instead.
    pub why: String,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The lowest is tried first.
    pub priority: u16,
    /// Share of the traffic among equal priorities; 0 for hardly any.
    pub weight: u16,
    /// Port.
    pub port: u16,
    /// Host, without the dot at its end.
    pub target: String,
}

/// Asks name servers.
#[derive(Debug)]
pub struct Resolver {
    stub: StubResolver,
    server: String,
}

impl Resolver {
    /// The system's name servers, those of `/etc/resolv.conf`.
    pub fn system() -> Self {
        Self::from_conf(ResolvConf::default())
    }

    /// These name servers.
    pub fn asking(servers: &[SocketAddr]) -> Self {
        let mut conf = ResolvConf::new();
        conf.servers = servers.iter().map(|server| ServerConf::new(*server, Transport::UdpTcp)).collect();
        conf.finalize();
        Self::from_conf(conf)
    }

    fn from_conf(conf: ResolvConf) -> Self {
        let server = conf.servers.first().map(|server| server.addr.to_string()).unwrap_or_default();
        Self { stub: StubResolver::from_conf(conf), server }
    }

    /// The server that is asked first, for messages.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The records of a name: lowest priority first, and of equal ones the greatest weight.
    ///
    /// # Errors
    /// When there are none, or no server answers.
    pub async fn srv(&self, name: &str) -> Result<Vec<Record>, LookupError> {
        let failed = |why: &str| LookupError { name: name.into(), server: self.server.clone(), why: why.into() };
        let question: Name<Vec<u8>> = name.parse().map_err(|_| failed("no such host"))?;
        let asked = tokio::time::timeout(PATIENCE, self.stub.query((question, Rtype::SRV))).await;
        let answer = asked.map_err(|_| failed("i/o timeout"))?.map_err(|why| failed(&why.to_string()))?;
        read_answer(answer.as_slice()).map_err(failed)
    }
}

/// The records of an answer, in their order of use. The bytes may be anything.
///
/// # Errors
/// What a lookup says of such an answer, but for the name and the server.
pub fn read_answer(message: &[u8]) -> Result<Vec<Record>, &'static str> {
    const GARBLED: &str = "the answer is no message of DNS";
    let answer = Message::from_slice(message).map_err(|_| GARBLED)?;
    match answer.header().rcode() {
        Rcode::NOERROR => {}
        Rcode::NXDOMAIN => return Err("no such host"),
        _ => return Err("server misbehaving"),
    }
    let section = answer.answer().map_err(|_| GARBLED)?;
    let mut records = Vec::new();
    for record in section.limit_to_in::<Srv<_>>().take(MOST_RECORDS) {
        let record = record.map_err(|_| GARBLED)?;
        let data = record.data();
        records.push(Record {
            priority: data.priority(),
            weight: data.weight(),
            port: data.port(),
            target: data.target().to_string().trim_end_matches('.').to_owned(),
        });
    }
    if records.is_empty() {
        return Err("no such host");
    }
    records.sort_by_key(|record| (record.priority, u16::MAX - record.weight));
    Ok(records)
}
