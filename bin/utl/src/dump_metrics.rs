//! `dump-metrics`: names, kinds and labels of metrics, without their values, as etcd-dump-metrics prints them.
//!
//! Must never start a server to ask: it is told where one runs.

use crate::failure::Failure;
use crate::print;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;
use units::quote;

/// Longest a server may take for each step.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer that is read.
const MOST: u64 = 64 << 20;

/// Carries out the command.
///
/// # Errors
/// [`Failure`] when there are no metrics.
pub fn run(addr: Option<&str>, file: Option<&Path>) -> Result<(), Failure> {
    let text = match (addr, file) {
        (Some(addr), _) => fetch(addr)?,
        (None, Some(file)) if file == Path::new("-") => {
            std::io::read_to_string(std::io::stdin()).map_err(|error| Failure::io("read", file, &error))?
        }
        (None, Some(file)) => std::fs::read_to_string(file).map_err(|error| Failure::io("read", file, &error))?,
        (None, None) => return Err(Failure::bad_args("dump-metrics wants --addr or a file")),
    };
    print::out(&show(&text))
}

/// Asks over HTTP/1.0, whose answers end with the connection.
fn fetch(addr: &str) -> Result<String, Failure> {
    let within = |why: String| Failure::new(format!("failed to fetch metrics from {addr}: {why}"));
    let Some(rest) = addr.strip_prefix("http://") else {
        return Err(within(
            "only http:// is spoken here; save them with curl and give the file, or - for a pipe".into(),
        ));
    };
    let (host, path) =
        rest.split_once('/').map_or((rest, "/metrics".to_owned()), |(host, path)| (host, format!("/{path}")));
    let io = |why: std::io::Error| within(why.to_string());
    let mut places = host.to_socket_addrs().map_err(io)?;
    let place = places.next().ok_or_else(|| within("there is no such host".into()))?;
    let mut socket = TcpStream::connect_timeout(&place, PATIENCE).map_err(io)?;
    socket.set_read_timeout(Some(PATIENCE)).and_then(|()| socket.set_write_timeout(Some(PATIENCE))).map_err(io)?;
    write!(socket, "GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n").map_err(io)?;
    let mut answer = String::new();
    socket.take(MOST).read_to_string(&mut answer).map_err(io)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| within("the answer is not one of HTTP".into()))?;
    let status = head.lines().next().unwrap_or_default();
    match status.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        _ => Err(within(format!("the server says {status:?}"))),
    }
}

/// A metric: everything that its lines say but the values.
#[derive(Default)]
struct Metric {
    name: String,
    description: String,
    kind: String,
    codes: BTreeSet<String>,
    series: Vec<String>,
}

fn show(text: &str) -> String {
    let mut metrics = parse(text);
    metrics.sort_by(|a, b| a.name.cmp(&b.name));
    let version = metrics.iter().rfind(|metric| metric.name.starts_with("etcd_server_version"));
    let version = version.and_then(|metric| metric.series.first()).map_or("unknown", String::as_str);
    let shown: Vec<String> = metrics.iter().map(Metric::show).collect();
    format!("# server version: {version}\n\n{}\n", shown.join("\n\n"))
}

fn parse(text: &str) -> Vec<Metric> {
    let mut metrics: Vec<Metric> = Vec::new();
    for line in text.split('\n') {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, description) = rest.split_once(' ').unwrap_or((rest, ""));
            metrics.push(Metric { name: name.into(), description: description.into(), ..Metric::default() });
            continue;
        }
        let Some(metric) = metrics.last_mut() else { continue };
        match line.strip_prefix("# TYPE ") {
            Some(rest) => metric.kind = rest.split(' ').nth(1).unwrap_or_default().into(),
            None => metric.series.push(line.split(' ').next().unwrap_or_default().into()),
        }
    }
    metrics.iter_mut().for_each(Metric::gather);
    metrics
}

impl Metric {
    /// Ids of members become names, and what is the same then stands once.
    fn gather(&mut self) {
        let known = match &self.name[..] {
            "etcd_network_active_peers" => Some("{Local=\"LOCAL_NODE_ID\",Remote=\"REMOTE_PEER_NODE_ID\"}"),
            "etcd_network_peer_sent_bytes_total" => Some("{To=\"REMOTE_PEER_NODE_ID\"}"),
            "etcd_network_peer_received_bytes_total" => Some("{From=\"REMOTE_PEER_NODE_ID\"}"),
            _ => None,
        };
        if let Some(labels) = known {
            self.series = vec![format!("{}{labels}", self.name)];
        }
        if self.name == "etcd_network_peer_round_trip_time_seconds" {
            let renamed: BTreeSet<String> = self.series.iter().map(|series| without_peer(series)).collect();
            self.series = renamed.into_iter().collect();
        }
        if self.name == "grpc_server_handled_total" {
            let head = "grpc_server_handled_total{grpc_code=\"";
            let mut series = BTreeSet::new();
            for one in &self.series {
                let rest = one.replacen(head, "", 1);
                if let Some(at) = rest.find("\",grpc_method=\"") {
                    self.codes.insert(rest[..at].to_owned());
                    series.insert(format!("{head}CODE{}", &rest[at..]));
                }
            }
            self.series = series.into_iter().collect();
        }
    }

    fn show(&self) -> String {
        let (name, description, kind) =
            (quote(self.name.as_bytes()), quote(self.description.as_bytes()), quote(self.kind.as_bytes()));
        let mut out = format!("# name: {name}\n# description: {description}\n# type: {kind}\n");
        if !self.codes.is_empty() {
            out += "# gRPC codes: \n";
            for code in &self.codes {
                out += &format!("#  - {}\n", quote(code.as_bytes()));
            }
        }
        out + &self.series.join("\n")
    }
}

fn without_peer(series: &str) -> String {
    let name = "etcd_network_peer_round_trip_time_seconds";
    for part in ["sum", "count"] {
        if series.starts_with(&format!("{name}_{part}")) {
            return format!("{name}_{part}{{To=\"REMOTE_PEER_NODE_ID\"}}");
        }
    }
    match (series.find("To=\""), series.find("\",le=\"")) {
        (Some(to), Some(le)) => format!("{}REMOTE_PEER_NODE_ID{}", &series[..to + 4], &series[le..]),
        _ => series.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_ids_are_left_out() {
        let text = "# HELP b_total Of \"b\".\n# TYPE b_total counter\nb_total{x=\"1\"} 5\nb_total{x=\"2\"} 6\n\
                    # HELP etcd_server_version Which version is running.\n# TYPE etcd_server_version gauge\n\
                    etcd_server_version{server_version=\"3.7.1\"} 1\n\
                    # HELP etcd_network_peer_sent_bytes_total Bytes.\n# TYPE etcd_network_peer_sent_bytes_total counter\n\
                    etcd_network_peer_sent_bytes_total{To=\"ab\"} 1\netcd_network_peer_sent_bytes_total{To=\"cd\"} 1";
        let expected = "# server version: etcd_server_version{server_version=\"3.7.1\"}\n\n\
                        # name: \"b_total\"\n# description: \"Of \\\"b\\\".\"\n# type: \"counter\"\nb_total{x=\"1\"}\nb_total{x=\"2\"}\n\n\
                        # name: \"etcd_network_peer_sent_bytes_total\"\n# description: \"Bytes.\"\n# type: \"counter\"\n\
                        etcd_network_peer_sent_bytes_total{To=\"REMOTE_PEER_NODE_ID\"}\n\n\
                        # name: \"etcd_server_version\"\n# description: \"Which version is running.\"\n# type: \"gauge\"\n\
                        etcd_server_version{server_version=\"3.7.1\"}\n";
        assert_eq!(show(text), expected);
    }
}
