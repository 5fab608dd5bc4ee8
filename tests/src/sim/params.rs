//! The sizes and habits of one run, drawn from its seed: small enough that every border is met within a few hundred events.

use super::rng::Rng;
use actors::limits::LOG_TAIL_BYTES;
use actors::watch_hub::HubConfig;
use storage::apply::CHUNK_BYTES;
use storage::wal::WalConfig;

/// Microseconds of a tick.
pub const TICK: u64 = 100_000;
/// Ticks of an election timeout.
pub const ELECTION_TICKS: u32 = 10;

/// Version of an older build.
pub const OLDER: [u16; 3] = [3, 7, 0];
/// Version of the present build, as far as the simulator goes.
pub const NEWER: [u16; 3] = [3, 8, 0];

/// What a world is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Shape {
    /// One member, with a learner that never catches up.
    One,
    /// Several members and the network between them; members come and go.
    #[default]
    Cluster,
}

/// See the file header.
#[derive(Clone, Debug)]
pub struct Params {
    /// What the world is made of.
    pub shape: Shape,
    /// Founders.
    pub members: usize,
    /// Ids of leases that clients use.
    pub leases: u64,
    /// Bytes of entries in one message of raft.
    pub message_bytes: u64,
    /// Such messages under way to one member.
    pub messages_in_flight: usize,
    /// Bytes of applied entries kept in memory.
    pub tail_bytes: u64,
    /// Members ask before they campaign.
    pub pre_vote: bool,
    /// Most of the first election timeout is skipped.
    pub advance_first_election: bool,
    /// Some members begin as older ones, and are upgraded.
    pub mixed: bool,
    /// Changes of the membership that could cost the quorum are refused.
    pub strict_reconfig: bool,
    /// Longest way of a message, in microseconds.
    pub way: u64,
    /// Chance of a message to be lost, or to come twice, in permille.
    pub loss: u64,
    /// How far clocks may run apart, in parts per million.
    pub drift: u64,
    /// Longest pause of the operator between two looks, in microseconds.
    pub operator: u64,
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
    pub fn draw(rng: &mut Rng, shape: Shape) -> Self {
        let mut params = Self::draw_member(rng);
        if shape == Shape::Cluster {
            params.draw_cluster(rng);
        }
        params
    }

    /// What is between members. Messages and what is kept of the log are small, so that snapshots are the rule.
    fn draw_cluster(&mut self, rng: &mut Rng) {
        self.shape = Shape::Cluster;
        // one that grows has been sure of itself once
        self.members = rng.pick(&[1, 1, 2, 3, 3, 3, 3, 4, 5]);
        self.clients = rng.between(2, 6);
        self.faults = rng.between(4, 20);
        self.leases = rng.pick(&[6, 30]);
        self.message_bytes = rng.pick(&[1, 300, 4_000, 1 << 20]);
        self.messages_in_flight = rng.pick(&[1, 4, 256]);
        self.tail_bytes = rng.pick(&[0, 500, 5_000, LOG_TAIL_BYTES]);
        self.pre_vote = rng.chance(85);
        self.advance_first_election = rng.chance(50);
        self.strict_reconfig = rng.chance(60);
        self.mixed = rng.chance(30);
        self.way = rng.pick(&[300, 3_000, 30_000]);
        self.loss = rng.pick(&[0, 0, 5, 50]);
        self.drift = rng.pick(&[0, 200, 5_000]);
        self.operator = rng.pick(&[1_000_000, 5_000_000, 20_000_000]);
        self.think = rng.pick(&[2_000, 50_000, 300_000]);
        self.latency = rng.pick(&[100, 2_000, 10_000]);
    }

    fn draw_member(rng: &mut Rng) -> Self {
        let segment = rng.pick(&[12 << 10, 16 << 10, 32 << 10, 64 << 10]);
        Self {
            shape: Shape::One,
            members: 1,
            leases: 6,
            message_bytes: 1 << 20,
            messages_in_flight: 512,
            tail_bytes: LOG_TAIL_BYTES,
            pre_vote: true,
            advance_first_election: false,
            strict_reconfig: true,
            mixed: false,
            way: 0,
            loss: 0,
            drift: 0,
            operator: 0,
            operations: rng.between(60, 400),
            faults: rng.between(2, 14),
            clients: rng.between(1, 6),
            keys: rng.pick(&[2, 5, 12, 40]),
            value: rng.pick(&[8, 40, 200, 900]),
            wal: WalConfig {
                min_segment: segment,
                max_segment: segment * rng.pick(&[1, 2, 4]),
                max_spares: rng.between(0, 2) as usize,
                // not drawn: seeds stay what they were
                max_padding: 4 * segment,
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
                // not drawn: seeds stay what they were
                response_revisions: 20,
                fragmented_bytes: 4_000,
                sent_bytes: rng.pick(&[500, 8 << 20]),
                progress_interval: rng.pick(&[300, 5_000]),
            },
            eager: rng.pick(&[0, 30, 100]),
            think: rng.pick(&[2_000, 50_000, 400_000]),
            latency: rng.pick(&[100, 2_000, 20_000]),
        }
    }
}
