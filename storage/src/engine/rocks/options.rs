//! How RocksDB is set up: every deviation from its defaults stands here, with its reason.
//!
//! Must never hold a setting that changes what a row means or what a crash leaves behind: those are fixed below, not options.

use super::store::{DEFAULT, error};
use crate::engine::{EngineError, Family};
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DataBlockIndexType,
    InfoLogger, LogLevel, Options, WriteBufferManager,
};

/// Memory and behaviour of a RocksDB store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RocksOptions {
    /// Bytes of the block cache: data blocks, and the partitions of index and filters that are in use.
    pub cache_bytes: usize,
    /// Bytes of all memtables of all stores that share a [`RocksMemory`], those being flushed included. A flush of all families
    /// starts when about 60 % are in use; what is not flushed is replayed from the raft log after a crash. While the disk cannot
    /// keep up, usage grows to about one and a half of it before the writer is made to wait.
    pub write_buffer_bytes: usize,
    /// Bytes of a file. Smaller ones are rewritten in smaller steps, which a small disk has room for.
    pub file_bytes: u64,
    /// Files kept open. A bound, because the usual limit for a process is 1,024 descriptors.
    pub max_open_files: i32,
    /// Threads for flushes and compactions together.
    pub background_jobs: i32,
    /// Flush when the store is closed, so that the next start replays nothing. Off in tests that want a crash.
    pub flush_on_close: bool,
}

impl Default for RocksOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 64 << 20,
            write_buffer_bytes: 48 << 20,
            file_bytes: 32 << 20,
            max_open_files: 512,
            background_jobs: 2,
            flush_on_close: true,
        }
    }
}

impl RocksOptions {
    /// Of a store on a disk of `total` bytes: on small ones memtables and files are shares of it.
    pub fn on_disk_of(total: u64) -> Self {
        let whole = Self::default();
        let write_buffer_bytes = (total / 16).clamp(4 << 20, whole.write_buffer_bytes as u64) as usize;
        let file_bytes = (total / 48).clamp(2 << 20, whole.file_bytes);
        Self { write_buffer_bytes, file_bytes, ..whole }
    }

    /// With so many bytes for blocks, and so many for memtables at their most.
    pub fn within(self, cache_bytes: usize, memtables: usize) -> Self {
        // see `write_buffer_bytes`: a disk that cannot keep up makes half as much again of it
        Self { cache_bytes, write_buffer_bytes: self.write_buffer_bytes.min(memtables / 3 * 2), ..self }
    }
}

/// Cache and write buffers; two open stores (old and new, while a snapshot is installed) share one.
#[derive(Clone)]
pub struct RocksMemory {
    cache: Cache,
    write_buffers: WriteBufferManager,
}

impl RocksMemory {
    /// Of the sizes in `options`.
    pub fn new(options: &RocksOptions) -> Self {
        Self {
            cache: Cache::new_lru_cache(options.cache_bytes),
            // Never stall the writer on memory: raft bounds what is in flight, and an applier that waits would look like a dead disk.
            // It flushes at 7/8 of its size, and again when half of it has come in meanwhile: two thirds make the ceiling honest.
            write_buffers: WriteBufferManager::new_write_buffer_manager(options.write_buffer_bytes / 3 * 2, false),
        }
    }

    /// Bytes in the block cache, for metrics.
    pub fn cache_usage(&self) -> usize {
        self.cache.get_usage()
    }

    /// Bytes of memtables, for metrics.
    pub fn write_buffer_usage(&self) -> usize {
        self.write_buffers.get_usage()
    }
}

impl std::fmt::Debug for RocksMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RocksMemory {{ cache: {}, write_buffers: {} }}", self.cache_usage(), self.write_buffer_usage())
    }
}

/// Settings of the whole store.
pub(super) fn of_store(options: &RocksOptions, memory: &RocksMemory) -> Result<Options, EngineError> {
    let mut to = Options::default();
    if !options.flush_on_close {
        // The crate has no setter for this one.
        to = to.get_options_from_string("avoid_flush_during_shutdown=true").map_err(|e| error("open", &e))?;
    }
    to.create_if_missing(true);
    to.create_missing_column_families(true);
    // All families move together, or the applied index in `meta` would not name the state of the others.
    to.set_atomic_flush(true);
    to.set_write_buffer_manager(&memory.write_buffers);
    to.set_max_background_jobs(options.background_jobs);
    to.set_max_open_files(options.max_open_files);
    // There is one writer: no need to make the memtable safe for several, nor to spin for their turn.
    to.set_allow_concurrent_memtable_write(false);
    to.set_enable_write_thread_adaptive_yield(false);
    // Write back steadily: a journal commit of the file system would otherwise drag a whole table along with a WAL sync.
    to.set_bytes_per_sync(512 << 10);
    to.set_max_manifest_file_size(4 << 20);
    // Statistics nobody reads cost a thread and a file scan at open.
    to.set_stats_dump_period_sec(0);
    to.set_stats_persist_period_sec(0);
    to.set_skip_stats_update_on_db_open(true);
    to.set_log_level(LogLevel::Warn);
    to.set_keep_log_file_num(1);
    to.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Warn, log));
    Ok(to)
}

/// RocksDB's own log lines, in the host's log instead of a file in the data folder.
fn log(level: LogLevel, line: &str) {
    let line = line.trim_end();
    match level {
        LogLevel::Error | LogLevel::Fatal => tracing::error!(target: "conclave::rocksdb", "{line}"),
        LogLevel::Warn => tracing::warn!(target: "conclave::rocksdb", "{line}"),
        LogLevel::Debug | LogLevel::Info | LogLevel::Header => tracing::debug!(target: "conclave::rocksdb", "{line}"),
    }
}

/// The five families, in the order of their discriminants, and the default one; `compacts` by themselves, see `compaction_gate`.
pub(super) fn of_families(options: &RocksOptions, memory: &RocksMemory, compacts: bool) -> Vec<ColumnFamilyDescriptor> {
    let family = |name, family| {
        let mut to = of_family(family, options, memory);
        to.set_disable_auto_compactions(!compacts);
        ColumnFamilyDescriptor::new(name, to)
    };
    let default = family(DEFAULT, Family::Meta);
    Family::ALL.into_iter().map(|f| family(f.name(), f)).chain([default]).collect()
}

/// Settings of one family, also of its files that are written beside the store.
pub(super) fn of_family(family: Family, options: &RocksOptions, memory: &RocksMemory) -> Options {
    let mut to = Options::default();
    to.set_write_buffer_manager(&memory.write_buffers);
    // The shared manager decides when to flush; a single family must not do so long before.
    to.set_write_buffer_size(options.write_buffer_bytes.max(1 << 20));
    // With the default of two the writer waits out every flush, 120 ms; a flush that is three behind must stop it, for memory.
    to.set_max_write_buffer_number(4);
    to.set_arena_block_size(256 << 10);
    to.set_compression_type(DBCompressionType::Lz4);
    to.set_target_file_size_base(options.file_bytes);
    to.set_max_bytes_for_level_base(4 * options.file_bytes);
    // An atomic flush adds a file to every family, however small: slow the writer down late.
    to.set_level_zero_slowdown_writes_trigger(24);
    to.set_level_zero_stop_writes_trigger(40);
    // Forgetting history leaves tombstones where scans start: compact files that are mostly that.
    to.add_compact_on_deletion_collector_factory(4096, 2048, 0.5);

    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&memory.cache);
    // Index and filters are paged through the cache, so that memory has one ceiling whatever the number of keys.
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(false);
    table.set_pin_top_level_index_and_filter(true);
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_metadata_block_size(4 << 10);
    match family {
        // Keys ascend: flushed files never overlap, so that compaction only moves them; read by exact revision or in long scans.
        Family::Log => table.set_block_size(16 << 10),
        Family::Hist => table.set_block_size(8 << 10),
        // Point reads and misses (every create looks for its key): filters, hashed blocks, and a filter in front of the memtable.
        Family::Cur => {
            table.set_block_size(4 << 10);
            table.set_bloom_filter(10.0, false);
            table.set_partition_filters(true);
            table.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
            to.set_memtable_whole_key_filtering(true);
            to.set_memtable_prefix_bloom_ratio(0.02);
        }
        Family::Cnt => table.set_block_size(4 << 10),
        Family::Meta => {
            table.set_block_size(4 << 10);
            table.set_bloom_filter(10.0, false);
            table.set_partition_filters(true);
        }
    }
    to.set_block_based_table_factory(&table);
    to
}
