//! Memory of a server, as its metrics tell it.

use crate::client::{Config, dial};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const METRIC: &str = "process_resident_memory_bytes";
/// Longest answer that is read.
const LIMIT: u64 = 16 << 20;

/// Resident bytes.
///
/// # Errors
/// In words for a line of its own.
pub async fn resident(config: &Config, endpoint: &str) -> Result<f64, String> {
    let mut socket =
        dial::open(config, endpoint, endpoint, b"http/1.1").await.map_err(|why| format!("fetch error: {why}"))?;
    let host = crate::client::endpoint::authority(endpoint);
    let request = format!("GET /metrics HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    let read = async {
        socket.write_all(request.as_bytes()).await?;
        socket.take(LIMIT).read_to_end(&mut answer).await
    };
    read.await.map_err(|why| format!("fetch error: reading {host}: {why}"))?;
    value(&String::from_utf8_lossy(&answer))
}

fn value(metrics: &str) -> Result<f64, String> {
    let line = metrics.lines().find_map(|line| line.strip_prefix(METRIC));
    let line = line.ok_or_else(|| format!("could not find: {METRIC}"))?;
    line.trim().parse().map_err(|why| format!("parse error: {why}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn found_among_others() {
        let text = "HTTP/1.0 200 OK\r\n\r\n# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes 2.5e+07\n";
        assert_eq!(super::value(text), Ok(2.5e7));
        assert!(super::value("nothing").is_err());
    }
}
