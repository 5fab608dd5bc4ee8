//! The sizes and habits of one run, drawn from its seed: small enough that every border is met within a few hundred events.

use super::rng::Rng;
use actors::watch_hub::HubConfig;
use storage::apply::CHUNK_BYTES;
use storage::wal::WalConfig;

/// Microseconds of a tick.
pub const TICK: u64 = 100_000;
/// Ticks of an election timeout.
pub const ELECTION_TICKS: u32 = 10;

/// See the file header.
#[derive(Clone, Debug)]
pub struct Params {
    /// Operations clients begin.
    pub operations: u64,
    /// Faults.
    pub faults: u64,
    /// Clients.
    pub clients: u64,
    /// Keys they use.
    pub keys: u64,
    /// Largest value, in bytes.
    pub value: u64,
    /// Sizes of the log.
    pub wal: WalConfig,
    /// Effects of one batch.
    pub chunk_bytes: usize,
    /// Rows of a compaction step.
    pub compaction_rows: usize,
    /// Entries between two looks at what is durable.
    pub durable_check: u64,
    /// Entries after which the store is flushed.
    pub flush_entries: u64,
    /// Entries kept in the log.
    pub catch_up: u64,
    /// Batches after which the engine flushes by itself.
    pub background_flush: Option<u64>,
    /// Sizes of the watch hub.
    pub hub: HubConfig,
    /// Percent of clients that do not wait for the start of service.
    pub eager: u64,
    /// Longest pause between two operations of a client, in microseconds.
    pub think: u64,
    /// Longest time an owner takes to look at its queue, in microseconds.
    pub latency: u64,
}

impl Params {
    /// From the run's chance.
    pub fn draw(rng: &mut Rng) -> Self {
        let segment = rng.pick(&[12 << 10, 16 << 10, 32 << 10, 64 << 10]);
        Self {
            operations: rng.between(60, 400),
            faults: rng.between(2, 14),
            clients: rng.between(1, 6),
            keys: rng.pick(&[2, 5, 12, 40]),
            value: rng.pick(&[8, 40, 200, 900]),
            wal: WalConfig {
                min_segment: segment,
                max_segment: segment * rng.pick(&[1, 2, 4]),
                max_spares: rng.between(0, 2) as usize,
                mark_every: rng.pick(&[4 << 10, 64 << 10]),
            },
            chunk_bytes: rng.pick(&[300, 1_000, 3_000, CHUNK_BYTES]),
            compaction_rows: rng.pick(&[1, 3, 10, 1_000]),
            durable_check: rng.pick(&[1, 5, 20]),
            flush_entries: rng.pick(&[1, 10, 40, 1_000]),
            catch_up: rng.pick(&[0, 3, 30]),
            background_flush: rng.pick(&[None, Some(1), Some(2), Some(3), Some(7), Some(20)]),
            hub: HubConfig {
                ring_bytes: rng.pick(&[200, 2_000, 1 << 20]),
                fragment_bytes: rng.pick(&[300, 2_000, 1 << 20]),
                frame_bytes: rng.pick(&[200, 4_000, 256 << 10]),
                read_bytes: rng.pick(&[100, 2_000, 256 << 10]),
                oversized_bytes: rng.pick(&[0, 200, 1 << 20]),
                sent_bytes: rng.pick(&[500, 8 << 20]),
                progress_interval: rng.pick(&[300, 5_000]),
            },
            eager: rng.pick(&[0, 30, 100]),
            think: rng.pick(&[2_000, 50_000, 400_000]),
            latency: rng.pick(&[100, 2_000, 20_000]),
        }
    }
}
