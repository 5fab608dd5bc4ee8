//! What the disk writes for a put, by its own counter.
//!
//! Must run on a machine on which nothing else writes.

use super::cpu::put_many;
use super::{Value, value};
use crate::side::Side;
use std::time::Duration;

/// Clients, the connections they share, puts, and what the value is called.
const LOADS: [(usize, usize, u64, &str); 3] =
    [(1, 1, 4_000, "one client"), (16, 4, 16_000, "16 clients"), (1_000, 100, 100_000, "1,000 clients")];
/// Until what was written before has reached the disk.
const SETTLE: Duration = Duration::from_secs(1);

/// `written`
pub async fn written(side: &mut Side) -> Result<Vec<Value>, String> {
    side.forget();
    let server = side.fresh().await?;
    let count = || bench::proc::disk_written(&side.dir).map_err(|why| why.to_string());
    let mut out = Vec::new();
    for (clients, conns, puts, name) in LOADS {
        let channels = server.channels(conns).await?;
        put_many(&channels, clients, puts / 10, true).await?;
        tokio::time::sleep(SETTLE).await;
        let before = count()?;
        put_many(&channels, clients, puts, true).await?;
        out.push(value(name, "bytes/put", count()?.saturating_sub(before) as f64 / puts as f64, "not above etcd's"));
    }
    Ok(out)
}
