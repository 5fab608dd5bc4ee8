//! Finds endpoints through DNS: SRV records of `_etcd-client-ssl._tcp` and `_etcd-client._tcp`.
//!
//! A question over UDP to the system's name servers, nothing more. Must never trust a length that an answer gives.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;

const SRV: u16 = 33;
/// How long a server is given.
const PATIENCE: Duration = Duration::from_secs(5);
/// Name servers when the system names none.
const FALLBACK: &str = "127.0.0.1:53";

/// A record.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    priority: u16,
    port: u16,
    target: String,
}

/// Endpoints of a domain, those with TLS first.
///
/// # Errors
/// When neither service is known, in the words of Go's resolver.
pub async fn endpoints(domain: &str, name: &str) -> Result<Vec<String>, String> {
    let suffix = if name.is_empty() { String::new() } else { format!("-{name}") };
    let secure = lookup(&format!("_etcd-client-ssl{suffix}._tcp.{domain}")).await;
    let plain = lookup(&format!("_etcd-client{suffix}._tcp.{domain}")).await;
    if let (Err(secure), Err(plain)) = (&secure, &plain) {
        return Err(format!("dns lookup errors: {secure} and {plain}"));
    }
    let urls = |scheme: &str, records: Vec<Record>| -> Vec<String> {
        records.iter().map(|r| format!("{scheme}://{}:{}", r.target, r.port)).collect()
    };
    let mut all = urls("https", secure.unwrap_or_default());
    all.extend(urls("http", plain.unwrap_or_default()));
    Ok(all)
}

async fn lookup(name: &str) -> Result<Vec<Record>, String> {
    let servers = servers();
    let mut last = format!("lookup {name}: no servers");
    for server in &servers {
        match tokio::time::timeout(PATIENCE, ask(*server, name)).await {
            Ok(Ok(Some(mut records))) if !records.is_empty() => {
                records.sort_by_key(|record| record.priority);
                return Ok(records);
            }
            Ok(Ok(_)) => last = format!("lookup {name} on {server}: no such host"),
            Ok(Err(why)) => last = format!("lookup {name} on {server}: {why}"),
            Err(_) => last = format!("lookup {name} on {server}: i/o timeout"),
        }
    }
    Err(last)
}

/// A name, and the server that was asked for it, as Go's resolver tells them.
pub fn asked(name: &str) -> String {
    servers().first().map_or_else(|| name.to_owned(), |server| format!("{name} on {server}"))
}

fn servers() -> Vec<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let mut found: Vec<SocketAddr> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .filter_map(|address| address.trim().parse::<IpAddr>().ok())
        .map(|address| SocketAddr::new(address, 53))
        .collect();
    if found.is_empty() {
        found.extend(FALLBACK.parse::<SocketAddr>());
    }
    found
}

async fn ask(server: SocketAddr, name: &str) -> std::io::Result<Option<Vec<Record>>> {
    let socket = UdpSocket::bind(if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).await?;
    socket.connect(server).await?;
    let id = std::process::id() as u16;
    socket.send(&question(id, name)).await?;
    let mut answer = vec![0; 4096];
    loop {
        let len = socket.recv(&mut answer).await?;
        if answer[..len].starts_with(&id.to_be_bytes()) {
            return Ok(read(&answer[..len]));
        }
    }
}

fn question(id: u16, name: &str) -> Vec<u8> {
    let mut out = id.to_be_bytes().to_vec();
    // recursion wanted, one question, and an extra record that allows answers of 4096 bytes
    out.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(label.len().min(63) as u8);
        out.extend(label.bytes().take(63));
    }
    out.extend([0, 0, SRV as u8, 0, 1]);
    out.extend([0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0]);
    out
}

/// Records of an answer; `None` when it is none, or says that the name is unknown.
fn read(answer: &[u8]) -> Option<Vec<Record>> {
    let u16_at = |at: usize| Some(u16::from_be_bytes([*answer.get(at)?, *answer.get(at + 1)?]));
    if answer.get(3)? & 0xf != 0 {
        return None;
    }
    let mut at = 12;
    for _ in 0..u16_at(4)? {
        at = name(answer, at)?.1 + 4;
    }
    let mut records = Vec::new();
    for _ in 0..u16_at(6)? {
        at = name(answer, at)?.1;
        let (kind, len) = (u16_at(at)?, usize::from(u16_at(at + 8)?));
        let data = at + 10;
        if kind == SRV {
            records.push(Record {
                priority: u16_at(data)?,
                port: u16_at(data + 4)?,
                target: name(answer, data + 6)?.0,
            });
        }
        at = data + len;
    }
    Some(records)
}

/// A name and the place behind it. Pointers may only go back, so that it ends.
fn name(answer: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut at, mut end, mut limit) = (start, None, start);
    let mut labels: Vec<String> = Vec::new();
    loop {
        let len = *answer.get(at)?;
        match len {
            0 => return Some((labels.join("."), end.unwrap_or(at + 1))),
            0xc0.. => {
                let to = usize::from(len & 0x3f) << 8 | usize::from(*answer.get(at + 1)?);
                if to >= limit {
                    return None;
                }
                end = end.or(Some(at + 2));
                (at, limit) = (to, to);
            }
            1..0x40 => {
                let label = answer.get(at + 1..at + 1 + usize::from(len))?;
                labels.push(String::from_utf8_lossy(label).into_owned());
                at += 1 + usize::from(len);
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_with_pointers() {
        let mut answer = question(7, "_etcd-client._tcp.a.b");
        answer[2..4].copy_from_slice(&[0x81, 0x80]);
        answer[7] = 1;
        answer.truncate(answer.len() - 11);
        answer.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 9, 0, 11, 0, 5, 0, 0, 0x09, 0x4b, 2, b'm', b'1', 0xc0, 30]);
        let record = Record { priority: 5, port: 2379, target: "m1.a.b".into() };
        assert_eq!(read(&answer), Some(vec![record]));
        for cut in 0..answer.len() {
            // nothing may panic
            let _ = read(&answer[..cut]);
        }
        answer[3] = 0x83;
        assert_eq!(read(&answer), None);
    }

    #[test]
    fn a_pointer_to_itself_ends() {
        assert_eq!(name(&[0xc0, 0], 0), None);
        assert_eq!(name(&[1, b'a', 0xc0, 0], 0), None);
    }
}
