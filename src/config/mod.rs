//! The server's configuration: every limit, its default, and why it is what it is.
//!
//! Sources, the strongest first: flags, environment (`HARDNEG_*`), a TOML file, defaults. [`Loader`] merges and
//! validates them completely before a port is bound.

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
    /// Serve beyond loopback without authentication. Default false: this version has no authentication, so an
    /// open port is a decision.
    pub insecure: bool,
    /// Where samples live. Default memory.
    pub store: StoreKind,
    /// Threads of the runtime. Default max(4, 2 x cores): a batch is applied on the thread that decoded it, and
    /// spare threads keep health checks answered meanwhile.
    pub worker_threads: usize,
    /// How long running calls may take to end after SIGTERM. Default 10 s: within the 30 s that orchestrators grant.
    #[serde(with = "units::duration")]
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

/// HTTP/2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http2Config {
    /// Largest frame accepted, in bytes. Default 128 KiB: a batch of 8,192 scores in one frame instead of seven.
    #[serde(with = "units::byte_count")]
    pub max_frame_bytes: usize,
    /// Bytes that a stream may send unread. Default 4 MiB: a quarter of the longest message, so that reading
    /// sets the pace and not round trips.
    #[serde(with = "units::byte_count")]
    pub stream_window_bytes: usize,
    /// Bytes that a connection may send unread, over its streams. Default 16 MiB.
    #[serde(with = "units::byte_count")]
    pub connection_window_bytes: usize,
    /// A ping after this long without traffic. Default 30 s: finds dead peers and keeps middleboxes open.
    #[serde(with = "units::duration")]
    pub keepalive_interval: Duration,
    /// A ping unanswered for this long ends the connection. Default 20 s.
    #[serde(with = "units::duration")]
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

/// Flags and environment of `hardneg serve`: an argument for each setting of the table in `keys.rs`, read by the command line.
#[derive(Clone, Debug, Default)]
pub struct ServeArgs {
    /// The TOML file.
    pub file: Option<PathBuf>,
    /// Print the effective configuration and stop.
    pub print_config: bool,
    /// (setting, value as written, where) in order of rising strength.
    pub(crate) overrides: Vec<(&'static Setting, String, Source)>,
}
