//! Limits of a server that concern its pools.

use std::time::Duration;

/// Limits that concern pools, from the server's configuration.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Pools at once.
    pub max_pools: usize,
    /// Largest capacity of one pool, samples.
    pub max_pool_capacity: u64,
    /// Largest payload of one sample, bytes.
    pub max_payload_bytes: u32,
    /// Worker epochs remembered a pool; the least recently heard is forgotten first.
    pub max_workers_per_pool: usize,
    /// How long a `request_id` is remembered.
    pub request_id_ttl: Duration,
    /// Mining calls at work at a time, over all pools.
    pub max_inflight_mines: usize,
    /// Mining calls that wait for a pool to fill, at a time, over all pools.
    pub max_waiting_mines: usize,
    /// Bytes of batches remembered by request_id, over all pools.
    pub mine_cache_bytes: u64,
    /// Mined rounds kept a pool.
    pub max_rounds_per_pool: usize,
    /// How long a mined round is kept.
    pub round_ttl: Duration,
    /// Bytes of mined rounds, over all pools.
    pub round_cache_bytes: usize,
    /// Rows that one mine may read beside its draws (docs/methods.md 6.2).
    pub scan_limit: usize,
    /// Processors, by which pools are divided where their spec does not say.
    pub cores: u32,
    /// Longest `wait.timeout`.
    pub max_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get() as u32);
        Self {
            max_pools: 1024,
            max_pool_capacity: 1 << 27,
            max_payload_bytes: 4096,
            max_workers_per_pool: 1 << 16,
            request_id_ttl: Duration::from_secs(60),
            max_inflight_mines: 256,
            max_waiting_mines: 4096,
            mine_cache_bytes: 64 << 20,
            max_rounds_per_pool: 64,
            round_ttl: Duration::from_secs(600),
            round_cache_bytes: 256 << 20,
            scan_limit: 1 << 24,
            cores,
            max_wait: Duration::from_secs(300),
        }
    }
}
