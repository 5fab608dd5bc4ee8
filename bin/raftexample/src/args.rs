//! The command line, with the flags of etcd's raftexample.
//!
//! Must never open a file or a socket.

use clap::Parser;
use raft::NodeId;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A replicated key-value store over HTTP.
///
/// `PUT /key` stores the body, `GET /key` shows it. `POST /4` with a URL as its body adds member 4, `DELETE /3` removes
/// member 3.
#[derive(Debug, Parser)]
#[command(name = "raftexample", version)]
pub struct Args {
    /// Own id: the place of this member in --cluster, counted from 1.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub id: NodeId,
    /// URLs of all members, separated by commas.
    #[arg(long, default_value = "http://127.0.0.1:9021")]
    pub cluster: String,
    /// Port for clients.
    #[arg(long, default_value_t = 9121)]
    pub port: u16,
    /// Join a cluster that runs and to which this member was added by POST.
    #[arg(long)]
    pub join: bool,
    /// Entries between two snapshots; what lies further back leaves the log.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub snapshot_count: u64,
    /// Folder of log and snapshot; raftexample-ID when it is not given.
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
}

impl Args {
    /// Members by id.
    ///
    /// # Errors
    /// What is wrong with a URL, in a sentence.
    pub fn cluster(&self) -> Result<BTreeMap<NodeId, String>, String> {
        let urls = self.cluster.split(',').map(|url| check_url(url.trim()));
        let urls: Vec<String> = urls.collect::<Result<_, _>>()?;
        if urls.len() < usize::try_from(self.id).unwrap_or(usize::MAX) {
            return Err(format!("--id {} needs at least that many URLs in --cluster, not {}", self.id, urls.len()));
        }
        Ok((1..).zip(urls).collect())
    }

    /// Where log and snapshot are.
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| format!("raftexample-{}", self.id).into())
    }
}

/// Takes `http://host:port`, and nothing else.
///
/// # Errors
/// A sentence that says what is expected.
pub fn check_url(url: &str) -> Result<String, String> {
    let uri: Result<hyper::Uri, _> = url.parse();
    match uri {
        Ok(uri) if uri.scheme_str() == Some("http") && uri.port().is_some() && uri.path() == "/" => {
            Ok(url.trim_end_matches('/').to_owned())
        }
        _ => Err(format!("{url:?} is no URL of a member: write http://host:port")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(list: &[&str]) -> Args {
        Args::parse_from(std::iter::once("raftexample").chain(list.iter().copied()))
    }

    #[test]
    fn a_place_in_the_list_is_an_id() {
        let cluster = args(&["--id", "2", "--cluster", "http://a:1,http://b:2/"]).cluster();
        assert_eq!(cluster, Ok(BTreeMap::from([(1, "http://a:1".to_owned()), (2, "http://b:2".to_owned())])));
    }

    #[test]
    fn what_is_no_url_of_a_member_is_refused_by_name() {
        for bad in ["", "a:1", "https://a:1", "http://a", "http://a:1/x"] {
            let refused = args(&["--cluster", bad]).cluster().expect_err(bad);
            assert!(refused.contains("http://host:port"), "{bad}: {refused}");
        }
        assert!(args(&["--id", "2"]).cluster().expect_err("one URL").contains("--id 2 needs"));
    }
}
