//! The limits of a server. The configuration sets them; pools and handlers apply them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units;

/// One mebibyte.
const MIB: usize = 1 << 20;

/// Limits on what clients may ask for. A request over a limit fails with RESOURCE_EXHAUSTED or INVALID_ARGUMENT, and nothing of it is
/// applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Maximum number of pools. Default 1,024: each has its own partitions and background, which take some MiB even when empty.
    pub max_pools: usize,
    /// Maximum capacity of a pool, in samples. Default 2^27: about 5 GB at 38 bytes per sample.
    pub max_pool_capacity: u64,
    /// Maximum length of a request or response message, in bytes. Default 16 MiB: 65,536 rows with payloads of 200 bytes.
    #[serde(with = "units::byte_count")]
    pub max_message_bytes: usize,
    /// Maximum number of rows of a score batch, an exclusion list, a removal or a mined batch. Default 65,536, the limit of the contract:
    /// larger batches are not faster, and hold the lock of a partition longer.
    pub max_batch_rows: usize,
    /// Maximum number of open connections; further ones wait in the backlog of the listener. Default 1,024: each may hold unread requests
    /// up to the HTTP/2 connection window.
    pub max_connections: usize,
    /// Maximum number of concurrent streams of a connection. Default 1,024: hyper's default of 200 stalls a data loader with many workers.
    pub max_concurrent_streams: u32,
    /// Maximum number of concurrent unary reports, over all connections; more are refused with a retry delay. Default 1,024: this bounds
    /// the memory of decoded batches. Streams are slowed by flow control instead.
    pub max_inflight_reports: usize,
    /// Maximum number of concurrent mining calls, over all connections, without those that wait. Default 256: mining is pure computation,
    /// so more than a few per core only add delay.
    pub max_inflight_mines: usize,
    /// Maximum number of calls that wait at a time: for a pool to fill, a round to be drawn, or the other side of a flow. Default 4,096:
    /// each costs a timer.
    pub max_waiting_mines: usize,
    /// Maximum number of concurrent watches (WatchPoolStats). Default 256: the watches of a pool share one measurement per second.
    pub max_watches: usize,
    /// Maximum number of worker processes per pool whose batches are remembered, so that resends are recognised. Default 65,536: about 200
    /// bytes each. The one that reported least recently is forgotten first.
    pub max_workers_per_pool: usize,
    /// Maximum length of payloads that the spec of a pool may allow, in bytes. Default 4,096: a payload is a reference or a small crop, not
    /// a data set.
    pub max_payload_bytes: u32,
    /// Maximum number of samples that one mining call may read in passes over the store: for windows that admit few samples, and to count
    /// eligible samples; and maximum number of members of the background that a request for negatives may reject. Default 16,777,216: a
    /// whole pool of that size, read in about a second.
    pub max_scan_rows: usize,
    /// Maximum number of strata that a pool may store for a policy with limits on strata; a mining call beyond it is refused. Default
    /// 131,072: such a call reads the count of every stratum, which takes about 20 ms of these.
    pub max_balance_strata: usize,
    /// Maximum wait for a pool to fill. Default 5 min: no call should wait all night.
    #[serde(with = "units::duration")]
    pub max_wait: Duration,
    /// How long a mined batch is kept under its request id. Default 60 s: longer than the retries of any client.
    #[serde(with = "units::duration")]
    pub request_id_ttl: Duration,
    /// Maximum total bytes of the mined batches that are kept under their request ids, over all pools. Default 64 MiB: 1,000 batches of
    /// 2,048 rows. The oldest is forgotten first.
    #[serde(with = "units::byte_count")]
    pub mine_cache_bytes: usize,
    /// Maximum number of rounds kept for their ranks, per pool. Default 64: the number of rounds by which the fastest rank may be ahead of
    /// the slowest. A rank that asks for an older round gets an error.
    pub max_rounds_per_pool: usize,
    /// How long a round is kept for its ranks. Default 10 min: longer than a checkpoint delays a rank.
    #[serde(with = "units::duration")]
    pub round_ttl: Duration,
    /// Maximum total bytes of the rounds kept, over all pools. Default 256 MiB: 64 rounds of 8 ranks x 4,096 rows take 130 MB. The oldest
    /// is forgotten first, the newest never.
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
            max_balance_strata: 1 << 17,
            max_wait: Duration::from_secs(300),
            request_id_ttl: Duration::from_secs(60),
            mine_cache_bytes: 64 * MIB,
            max_rounds_per_pool: 64,
            round_ttl: Duration::from_secs(600),
            round_cache_bytes: 256 * MIB,
        }
    }
}
