//! The server's configuration: every limit, its default, and why it is what it is.
//!
//! Sources, the strongest first: flags, environment (`HARDNEG_*`), a TOML file, defaults. [`Loader`] merges and
//! validates them completely before a port is bound.

mod format;
mod keys;
mod load;
#[cfg(all(test, feature = "cli"))]
mod tests;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub(crate) use keys::{KEYS, Key, Kind};
#[cfg(feature = "cli")]
pub(crate) use load::default_texts;
pub use load::{ConfigError, Loaded, Loader, Source};

/// One mebibyte.
const MIB: usize = 1 << 20;

/// The whole configuration of `hardneg serve`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address to listen on. Default 127.0.0.1:50051: without authentication, only this machine may call.
    pub listen: SocketAddr,
    /// Serve beyond loopback without authentication. Default false: this version has no authentication, so an
    /// open port is a decision.
    pub insecure: bool,
    /// Where samples live. Default memory.
    pub store: StoreKind,
    /// Threads of the runtime. Default max(4, 2 x cores): a batch is applied on the thread that decoded it, and
    /// spare threads keep health checks answered meanwhile.
    pub worker_threads: usize,
    /// How long running calls may take to end after SIGTERM. Default 10 s: within the 30 s that orchestrators grant.
    #[serde(with = "format::duration")]
    pub drain_deadline: Duration,
    /// The log.
    pub log: LogConfig,
    /// Limits on what clients may ask for.
    pub limits: Limits,
    /// The transport.
    pub http2: Http2Config,
    /// The pages for people and monitoring.
    pub http: HttpConfig,
    /// Traces sent to a collector.
    pub otlp: OtlpConfig,
}

/// Where samples live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// In this process.
    #[default]
    Memory,
}

/// The log, written to standard error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Text for people, JSON for machines. Default text.
    pub format: LogFormat,
    /// Which events, in the syntax of tracing's `EnvFilter`. Default `info`: start, stop and trouble, nothing per call.
    pub filter: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One readable line an event.
    #[default]
    Text,
    /// One JSON object an event.
    Json,
}

/// Limits on what clients may ask for. Over one: RESOURCE_EXHAUSTED or INVALID_ARGUMENT, and nothing half-applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Pools. Default 1,024: each has shards and a background of its own, some MiB even when empty.
    pub max_pools: usize,
    /// Largest capacity of a pool, in samples. Default 2^27: about 5 GB at 38 bytes a sample.
    pub max_pool_capacity: u64,
    /// Longest message either way, in bytes. Default 16 MiB: 65,536 rows with 200-byte payloads.
    #[serde(with = "format::bytes")]
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
    #[serde(with = "format::duration")]
    pub max_wait: Duration,
    /// How long a mined batch answers to its request id. Default 60 s: longer than any client's retries.
    #[serde(with = "format::duration")]
    pub request_id_ttl: Duration,
    /// Mined batches kept for their request ids, in bytes over all pools. Default 64 MiB: 1,000 batches of 2,048
    /// rows; the oldest is forgotten first.
    #[serde(with = "format::bytes")]
    pub mine_cache_bytes: usize,
    /// Mined rounds kept for their ranks, per pool. Default 64: how far the fastest rank may run ahead of the slowest; a
    /// rank that asks for an older one is told that it is over.
    pub max_rounds_per_pool: usize,
    /// How long a mined round is kept for its ranks. Default 10 min: longer than a rank stalls on a checkpoint.
    #[serde(with = "format::duration")]
    pub round_ttl: Duration,
    /// Mined rounds kept, in bytes over all pools. Default 256 MiB: 64 rounds of 8 ranks x 4,096 rows take 130 MB; the
    /// oldest is forgotten first, the newest never.
    #[serde(with = "format::bytes")]
    pub round_cache_bytes: usize,
}

/// HTTP/2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http2Config {
    /// Largest frame accepted, in bytes. Default 128 KiB: a batch of 8,192 scores in one frame instead of seven.
    #[serde(with = "format::bytes")]
    pub max_frame_bytes: usize,
    /// Bytes that a stream may send unread. Default 4 MiB: a quarter of the longest message, so that reading
    /// sets the pace and not round trips.
    #[serde(with = "format::bytes")]
    pub stream_window_bytes: usize,
    /// Bytes that a connection may send unread, over its streams. Default 16 MiB.
    #[serde(with = "format::bytes")]
    pub connection_window_bytes: usize,
    /// A ping after this long without traffic. Default 30 s: finds dead peers and keeps middleboxes open.
    #[serde(with = "format::duration")]
    pub keepalive_interval: Duration,
    /// A ping unanswered for this long ends the connection. Default 20 s.
    #[serde(with = "format::duration")]
    pub keepalive_timeout: Duration,
}

/// The HTTP side: probes, metrics, dashboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Address to listen on, or `off`. Default 127.0.0.1:50052.
    #[serde(with = "format::address_or_off")]
    pub listen: Option<SocketAddr>,
    /// Open connections; further ones wait in the listener's backlog. Default 256: a browser opens six, a scraper one.
    pub max_connections: usize,
    /// Live dashboards at a time; one more is told to come back. Default 64: pages of a pool share their drawings,
    /// so each costs a connection and some tens of kB a second.
    pub max_live_pages: usize,
}

/// Traces in the OpenTelemetry protocol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OtlpConfig {
    /// The collector's gRPC address, for example `http://localhost:4317`. Default empty: no traces.
    pub endpoint: String,
    /// Share of the traces begun here that are sent; those that a client began follow its decision. Default 0.01.
    pub sample_ratio: f64,
}

impl Default for Config {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50_051),
            insecure: false,
            store: StoreKind::Memory,
            worker_threads: (2 * cores).max(4),
            drain_deadline: Duration::from_secs(10),
            log: LogConfig::default(),
            limits: Limits::default(),
            http2: Http2Config::default(),
            http: HttpConfig::default(),
            otlp: OtlpConfig::default(),
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned() }
    }
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

impl Default for Http2Config {
    fn default() -> Self {
        Self {
            max_frame_bytes: 128 << 10,
            stream_window_bytes: 4 * MIB,
            connection_window_bytes: 16 * MIB,
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(20),
        }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50_052)),
            max_connections: 256,
            max_live_pages: 64,
        }
    }
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self { endpoint: String::new(), sample_ratio: 0.01 }
    }
}

/// Flags and environment of `hardneg serve`: an argument for each key of the table in `keys.rs`, read by the command line.
#[derive(Clone, Debug, Default)]
pub struct ServeArgs {
    /// The TOML file.
    pub file: Option<PathBuf>,
    /// Print the effective configuration and stop.
    pub print_config: bool,
    /// (key, value as written, where) in order of rising strength.
    pub(crate) overrides: Vec<(&'static Key, String, Source)>,
}
