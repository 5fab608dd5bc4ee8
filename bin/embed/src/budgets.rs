//! Memory budgets of a node, all derived from one number.
//!
//! Each part has the size it needs to work at all and the size it has by default; a budget between the two sums gives every part the
//! same share of the way. What goes beyond the default is block cache. Must stay pure: who measures the machine passes a number.

use actors::limits::OwnerBudgets;
use net::door::DoorLimits;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Bytes of one part.
#[derive(Clone, Copy)]
struct Part {
    /// With which it still works.
    least: usize,
    /// By default.
    default: usize,
}

const fn part(least: usize, default: usize) -> Part {
    Part { least, default }
}

// Code, threads, allocator, lines of the log: measured, and the same for a member of any size.
const PROCESS: Part = part(48 * MIB, 48 * MIB);
const BLOCK_CACHE: Part = part(4 * MIB, 64 * MIB);
const MEMTABLES: Part = part(6 * MIB, 72 * MIB);
const LOG_TAIL: Part = part(MIB, 32 * MIB);
/// In which one batch is an entry of usual size at least; a larger one is applied alone.
const APPLY_BATCH: Part = part(MIB, 4 * MIB);
const APPLY_CHUNK: Part = part(512 * KIB, 8 * MIB);
const HUB_BACKLOG: Part = part(MIB, 16 * MIB);
const HUB_RING: Part = part(MIB, 16 * MIB);
const OVERSIZED_REVISION: Part = part(256 * KIB, MIB);
const HUB_SENT: Part = part(MIB, 16 * MIB);
const COLLECTED: Part = part(2 * MIB, 128 * MIB);
/// Of the door; what is proposed and not yet applied may be twice as much, so that clients wait and are not refused.
const REQUESTS: Part = part(2 * MIB, 32 * MIB);
const ASSEMBLY: Part = part(2 * MIB, 32 * MIB);
const WINDOWS: Part = part(2 * MIB, 32 * MIB);
const ANSWERS: Part = part(2 * MIB, 32 * MIB);
const STREAMS: Part = part(MIB, 16 * MIB);
const SOCKETS: Part = part(MIB, 16 * MIB);
const FLOWS: Part = part(MIB, 16 * MIB);

/// The budgets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Code, threads, allocator: what is taken whatever the node does.
    pub process: usize,
    /// RocksDB's block cache, with index and filters.
    pub block_cache: usize,
    /// RocksDB's memtables, at their most.
    pub memtables: usize,
    /// Of the owners.
    pub owners: OwnerBudgets,
    /// Of the door, all its loops together.
    pub door: DoorBudgets,
}

/// Byte budgets of the door, named as in [`DoorLimits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "see `DoorLimits`")]
pub struct DoorBudgets {
    pub request_bytes: usize,
    pub assembly_bytes: usize,
    pub window_bytes: usize,
    pub answer_bytes: usize,
    pub send_bytes: usize,
    pub socket_bytes: usize,
    pub flow_bytes: usize,
}

impl DoorBudgets {
    const fn total(&self) -> usize {
        self.request_bytes
            + self.assembly_bytes
            + self.window_bytes
            + self.answer_bytes
            + self.send_bytes
            + self.socket_bytes
            + self.flow_bytes
    }

    /// These limits, with no byte budget beyond its own.
    pub fn bound(&self, limits: &DoorLimits) -> DoorLimits {
        DoorLimits {
            request_bytes: limits.request_bytes.min(self.request_bytes),
            assembly_bytes: limits.assembly_bytes.min(self.assembly_bytes),
            window_bytes: limits.window_bytes.min(self.window_bytes),
            answer_bytes: limits.answer_bytes.min(self.answer_bytes),
            send_bytes: limits.send_bytes.min(self.send_bytes),
            socket_bytes: limits.socket_bytes.min(self.socket_bytes),
            flow_bytes: limits.flow_bytes.min(self.flow_bytes),
            ..limits.clone()
        }
    }
}

impl Budgets {
    /// Bytes of all budgets by default.
    pub const DEFAULT_BYTES: usize = Self::way(1, 1).total();
    /// Bytes of all budgets with which a node still works.
    pub const LEAST_BYTES: usize = Self::way(0, 1).total();

    /// Budgets whose sum is at most `bytes`, but for less than [`Self::LEAST_BYTES`].
    pub const fn of(bytes: usize) -> Self {
        let way = Self::DEFAULT_BYTES - Self::LEAST_BYTES;
        let gone = bytes.saturating_sub(Self::LEAST_BYTES);
        if gone < way {
            return Self::way(gone, way);
        }
        let mut budgets = Self::way(1, 1);
        budgets.block_cache += gone - way;
        budgets
    }

    /// All parts at the same share `gone / way` between their least and default sizes.
    const fn way(gone: usize, way: usize) -> Self {
        const fn at(part: Part, gone: usize, way: usize) -> usize {
            let further = (part.default - part.least) as u128 * gone as u128 / way as u128;
            part.least + further as usize
        }
        let requests = at(REQUESTS, gone, way);
        let oversized_revision = at(OVERSIZED_REVISION, gone, way);
        Self {
            process: at(PROCESS, gone, way),
            block_cache: at(BLOCK_CACHE, gone, way),
            memtables: at(MEMTABLES, gone, way),
            owners: OwnerBudgets {
                log_tail: at(LOG_TAIL, gone, way) as u64,
                uncommitted: 2 * requests as u64,
                apply_batch: at(APPLY_BATCH, gone, way) as u64,
                apply_chunk: at(APPLY_CHUNK, gone, way),
                hub_backlog: at(HUB_BACKLOG, gone, way),
                hub_ring: at(HUB_RING, gone, way),
                hub_read: oversized_revision / 4,
                oversized_revision,
                hub_sent: at(HUB_SENT, gone, way),
                collected: at(COLLECTED, gone, way),
            },
            door: DoorBudgets {
                request_bytes: requests,
                assembly_bytes: at(ASSEMBLY, gone, way),
                window_bytes: at(WINDOWS, gone, way),
                answer_bytes: at(ANSWERS, gone, way),
                send_bytes: at(STREAMS, gone, way),
                socket_bytes: at(SOCKETS, gone, way),
                flow_bytes: at(FLOWS, gone, way),
            },
        }
    }

    /// Bytes of all of them.
    pub const fn total(&self) -> usize {
        self.process + self.block_cache + self.memtables + self.owners.total() + self.door.total()
    }

    /// Connection loops of so many that these budgets bear: each must find room for one message of `largest` bytes.
    pub fn loops(&self, wanted: usize, largest: usize) -> usize {
        if self.total() >= Self::DEFAULT_BYTES {
            return wanted;
        }
        wanted.min(self.door.assembly_bytes / largest.max(1)).max(1)
    }

    /// Clients wait in front of the door before the core refuses them, a message of the hub fits where it must, and the owners' own
    /// relations hold.
    const fn are_sound(&self) -> bool {
        2 * self.door.request_bytes as u64 <= self.owners.uncommitted && self.owners.are_sound()
    }
}

const _: () = assert!(Budgets::DEFAULT_BYTES == 704 * MIB, "docs/architecture.md says what all budgets come to");
const _: () = assert!(Budgets::LEAST_BYTES == 88 * MIB, "docs/configuration.md says what is the least");
const _: () = assert!(Budgets::of(Budgets::LEAST_BYTES).are_sound() && Budgets::of(Budgets::DEFAULT_BYTES).are_sound());

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes all over the scale, those around its ends among them.
    fn sizes() -> impl Iterator<Item = usize> {
        let ends = [Budgets::LEAST_BYTES, Budgets::DEFAULT_BYTES, 96 * MIB, 192 * MIB, 2 << 30, 1 << 40];
        let around = ends.into_iter().flat_map(|end| [end - 1, end, end + 1, end + 4095]);
        around.chain((Budgets::LEAST_BYTES..2 * Budgets::DEFAULT_BYTES).step_by(77_777)).chain([0, 1, MIB])
    }

    #[test]
    fn budgets_never_sum_up_to_more_than_the_limit_and_keep_their_relations() {
        let mut last = Budgets::of(0).total();
        for bytes in sizes() {
            let budgets = Budgets::of(bytes);
            assert!(budgets.total() <= bytes.max(Budgets::LEAST_BYTES), "{bytes}: {}", budgets.total());
            // rounding costs less than a byte per part
            assert!(
                budgets.total() + 64 >= bytes.max(Budgets::LEAST_BYTES),
                "{bytes}: {} are given away",
                budgets.total()
            );
            assert!(budgets.are_sound(), "{bytes}: {budgets:?}");
            last = last.max(budgets.total());
        }
        assert!(last >= 1 << 40);
    }

    #[test]
    fn no_part_shrinks_when_there_is_more() {
        let flat = |b: &Budgets| {
            let owners = b.owners;
            let door = b.door;
            [
                b.process as u64,
                b.block_cache as u64,
                b.memtables as u64,
                owners.log_tail,
                owners.uncommitted,
                owners.apply_batch,
                owners.apply_chunk as u64,
                owners.hub_backlog as u64,
                owners.hub_ring as u64,
                owners.hub_read as u64,
                owners.oversized_revision as u64,
                owners.hub_sent as u64,
                owners.collected as u64,
                door.request_bytes as u64,
                door.assembly_bytes as u64,
                door.window_bytes as u64,
                door.answer_bytes as u64,
                door.send_bytes as u64,
                door.socket_bytes as u64,
                door.flow_bytes as u64,
            ]
        };
        let mut sizes: Vec<usize> = sizes().collect();
        sizes.sort_unstable();
        for pair in sizes.windows(2) {
            let less = flat(&Budgets::of(pair[0]));
            let more = flat(&Budgets::of(pair[1]));
            assert!(less.iter().zip(more).all(|(less, more)| *less <= more), "{pair:?}");
        }
    }

    /// What the parts are by default is written down where they are used, too.
    #[test]
    fn the_default_is_what_owners_and_door_have_by_themselves() {
        let budgets = Budgets::of(Budgets::DEFAULT_BYTES);
        assert_eq!(budgets.owners, OwnerBudgets::DEFAULT);
        let door = DoorLimits::default();
        assert_eq!(budgets.door.total(), door.total());
        assert_eq!(budgets.door.bound(&door).total(), door.total());
        let rocks = storage::engine::rocks::RocksOptions::default();
        assert_eq!(budgets.block_cache, rocks.cache_bytes);
        assert_eq!(budgets.memtables, rocks.write_buffer_bytes * 3 / 2);
    }

    #[test]
    fn a_small_node_has_few_loops() {
        let message = 2 * MIB;
        assert_eq!(Budgets::of(Budgets::LEAST_BYTES).loops(16, message), 1);
        assert_eq!(Budgets::of(0).loops(16, 10 * MIB), 1);
        assert_eq!(Budgets::of(Budgets::DEFAULT_BYTES).loops(64, message), 64);
        assert_eq!(Budgets::of(192 * MIB).loops(2, message), 2);
    }
}
