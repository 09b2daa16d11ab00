//! The configuration of the server: all settings, their defaults, and the reasons for these.
//!
//! The sources are, in order of precedence, flags, environment variables (`HARDNEG_*`), a TOML file and the defaults. [`Loader`] merges and
//! checks them completely before the server binds a port.

mod format;
mod load;
mod settings;
#[cfg(all(test, feature = "cli"))]
mod tests;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::units;

pub use crate::model::limits::Limits;
#[cfg(feature = "cli")]
pub(crate) use load::default_texts;
pub use load::{ConfigError, Loaded, Loader, Source};
pub(crate) use settings::{Kind, SETTINGS, Setting};

/// One mebibyte.
const MIB: usize = 1 << 20;

/// The whole configuration of `hardneg serve`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address to listen on. Default 127.0.0.1:50051: without authentication, only this machine may call.
    pub listen: SocketAddr,
    /// Whether to serve beyond loopback without authentication. Default false: this version has no authentication, so an open port must be
    /// chosen explicitly.
    pub insecure: bool,
    /// Where samples are stored. Default memory.
    pub store: StoreKind,
    /// Number of threads of the runtime. Default max(4, 2 x cores): a batch is applied on the thread that decoded it, and other threads
    /// answer health checks meanwhile.
    pub worker_threads: usize,
    /// How long running calls may take to end after SIGTERM. Default 10 s: within the 30 s that orchestrators grant.
    #[serde(with = "units::duration")]
    pub drain_deadline: Duration,
    /// The log.
    pub log: LogConfig,
    /// Limits on what clients may ask for.
    pub limits: Limits,
    /// The HTTP/2 transport of gRPC.
    pub http2: Http2Config,
    /// The HTTP side: probes, metrics and dashboard.
    pub http: HttpConfig,
    /// Traces sent to a collector.
    pub otlp: OtlpConfig,
}

/// Where samples are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// In the memory of this process.
    #[default]
    Memory,
}

/// The log, written to standard error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Text for people, or JSON for programs. Default text.
    pub format: LogFormat,
    /// Which events are logged, in the syntax of tracing's `EnvFilter`. Default `info`: start, stop and problems, nothing per call.
    pub filter: String,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line of text per event.
    #[default]
    Text,
    /// One JSON object per event.
    Json,
}

/// The HTTP/2 transport of gRPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http2Config {
    /// Maximum size of a received frame, in bytes. Default 128 KiB: a batch of 8,192 scores takes one frame instead of seven.
    #[serde(with = "units::byte_count")]
    pub max_frame_bytes: usize,
    /// Bytes that a stream may send before the server has read them. Default 4 MiB, a quarter of the longest message, so that reading
    /// limits the rate and not round trips.
    #[serde(with = "units::byte_count")]
    pub stream_window_bytes: usize,
    /// Bytes that all streams of a connection may send before the server has read them. Default 16 MiB.
    #[serde(with = "units::byte_count")]
    pub connection_window_bytes: usize,
    /// The server sends a ping after this time without traffic. Default 30 s: this finds dead peers, and keeps connections through
    /// middleboxes open.
    #[serde(with = "units::duration")]
    pub keepalive_interval: Duration,
    /// The server closes a connection if a ping is not answered in this time. Default 20 s.
    #[serde(with = "units::duration")]
    pub keepalive_timeout: Duration,
}

/// The HTTP side: probes, metrics and dashboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Address to listen on, or `off`. Default 127.0.0.1:50052.
    #[serde(with = "format::address_or_off")]
    pub listen: Option<SocketAddr>,
    /// Maximum number of open connections; further ones wait in the backlog of the listener. Default 256: a browser opens six, a scraper
    /// one.
    pub max_connections: usize,
    /// Maximum number of live dashboards at a time; further ones are refused with a retry delay. Default 64: the pages of a pool share
    /// their rendering, so each costs a connection and some tens of kB per second.
    pub max_live_pages: usize,
}

/// Traces by the OpenTelemetry protocol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OtlpConfig {
    /// The gRPC address of the collector, for example `http://localhost:4317`. Default empty: no traces are sent.
    pub endpoint: String,
    /// Share of the traces begun in this process that are sent. For traces that a client has begun, its decision is followed. Default 0.01.
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

/// Flags and environment variables of `hardneg serve`, as the command line has read them. There is one of each for every setting of the
/// table in `settings.rs`.
#[derive(Clone, Debug, Default)]
pub struct ServeArgs {
    /// The TOML file.
    pub file: Option<PathBuf>,
    /// Whether to print the effective configuration and exit.
    pub print_config: bool,
    /// Settings with their values as written and their sources. Later entries override earlier ones.
    pub(crate) overrides: Vec<(&'static Setting, String, Source)>,
}
