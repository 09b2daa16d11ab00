//! The limits of a server. The configuration holds them; pools and handlers go by them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units;

/// One mebibyte.
const MIB: usize = 1 << 20;

/// Limits on what clients may ask for. Over one: RESOURCE_EXHAUSTED or INVALID_ARGUMENT, and nothing half-applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Pools. Default 1,024: each has shards and a background of its own, some MiB even when empty.
    pub max_pools: usize,
    /// Largest capacity of a pool, in samples. Default 2^27: about 5 GB at 38 bytes a sample.
    pub max_pool_capacity: u64,
    /// Longest message either way, in bytes. Default 16 MiB: 65,536 rows with 200-byte payloads.
    #[serde(with = "units::byte_count")]
    pub max_message_bytes: usize,
    /// Rows of a score batch, an exclusion list, a removal or a mined batch. Default 65,536, the contract's own
    /// limit: larger batches gain nothing and hold a shard's lock longer.
    pub max_batch_rows: usize,
    /// Open connections; further ones wait in the listener's backlog. Default 1,024: each may hold unread
    /// requests up to the HTTP/2 connection window.
    pub max_connections: usize,
    /// Streams of a connection at a time. Default 1,024: hyper's 200 stalls a data loader with many workers.
    pub max_concurrent_streams: u32,
    /// Unary reports at work at a time, over all connections; more are refused with a retry delay. Default 1,024:
    /// bounds what decoded batches hold. Streams are slowed by flow control instead.
    pub max_inflight_reports: usize,
    /// Mining calls at work at a time, over all connections, waiting ones not counted. Default 256: mining is
    /// pure computation, beyond a few per core a queue only ages.
    pub max_inflight_mines: usize,
    /// Calls that wait for a pool to fill, a round to be drawn or a flow to move, at a time. Default 4,096: they cost a timer each.
    pub max_waiting_mines: usize,
    /// Watches (WatchPoolStats) at a time. Default 256: each costs a look at the pool a second, shared per pool.
    pub max_watches: usize,
    /// Workers remembered per pool for the recognition of resends. Default 65,536: about 200 bytes each; the one
    /// unheard for longest is forgotten first.
    pub max_workers_per_pool: usize,
    /// Longest payload that a pool's spec may allow, in bytes. Default 4,096: a payload is a reference or a small
    /// crop, not a data set.
    pub max_payload_bytes: u32,
    /// Samples that one mining call may read beside its draws: for windows that leave few, and for counts of what is
    /// eligible; and members of the background that a request for negatives may look at in vain. Default 16,777,216: a
    /// whole pool of that size, about a second.
    pub max_scan_rows: usize,
    /// Longest wait for a pool to fill. Default 5 min: a caller that is gone should not be waited for all night.
    #[serde(with = "units::duration")]
    pub max_wait: Duration,
    /// How long a mined batch answers to its request id. Default 60 s: longer than any client's retries.
    #[serde(with = "units::duration")]
    pub request_id_ttl: Duration,
    /// Mined batches kept for their request ids, in bytes over all pools. Default 64 MiB: 1,000 batches of 2,048
    /// rows; the oldest is forgotten first.
    #[serde(with = "units::byte_count")]
    pub mine_cache_bytes: usize,
    /// Mined rounds kept for their ranks, per pool. Default 64: how far the fastest rank may run ahead of the slowest; a
    /// rank that asks for an older one is told that it is over.
    pub max_rounds_per_pool: usize,
    /// How long a mined round is kept for its ranks. Default 10 min: longer than a rank stalls on a checkpoint.
    #[serde(with = "units::duration")]
    pub round_ttl: Duration,
    /// Mined rounds kept, in bytes over all pools. Default 256 MiB: 64 rounds of 8 ranks x 4,096 rows take 130 MB; the
    /// oldest is forgotten first, the newest never.
    #[serde(with = "units::byte_count")]
    pub round_cache_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_pools: 1_024,
            max_pool_capacity: 1 << 27,
            max_message_bytes: 16 * MIB,
            max_batch_rows: 65_536,
            max_connections: 1_024,
            max_concurrent_streams: 1_024,
            max_inflight_reports: 1_024,
            max_inflight_mines: 256,
            max_waiting_mines: 4_096,
            max_watches: 256,
            max_workers_per_pool: 65_536,
            max_payload_bytes: 4_096,
            max_scan_rows: 1 << 24,
            max_wait: Duration::from_secs(300),
            request_id_ttl: Duration::from_secs(60),
            mine_cache_bytes: 64 * MIB,
            max_rounds_per_pool: 64,
            round_ttl: Duration::from_secs(600),
            round_cache_bytes: 256 * MIB,
        }
    }
}
