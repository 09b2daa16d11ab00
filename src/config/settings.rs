//! The table of all settings: path in the file, flag, environment variable, type and range.

use std::time::Duration;

/// One setting of the configuration.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Dotted path in the TOML file.
    pub path: &'static str,
    /// Name of the flag, without its dashes.
    #[cfg_attr(not(feature = "cli"), allow(dead_code, reason = "only the command line has flags"))]
    pub flag: &'static str,
    /// Name of the environment variable.
    #[cfg_attr(
        not(feature = "cli"),
        allow(dead_code, reason = "only the command line reads the environment")
    )]
    pub env: &'static str,
    /// Type and range of the value.
    pub kind: Kind,
    /// One line for `--help` and `--print-config`.
    pub help: &'static str,
}

/// Type and range (inclusive) of the value of a setting.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Text,
    Address,
    AddressOrOff,
    Bool,
    /// A number from 0 to 1.
    Ratio,
    Choice(&'static [&'static str]),
    Int {
        min: u64,
        max: u64,
    },
    Bytes {
        min: u64,
        max: u64,
    },
    Time {
        min: Duration,
        max: Duration,
    },
}

impl Setting {
    /// The section of the setting in the file; empty if it is at the top.
    pub(crate) fn section(&self) -> &'static str {
        self.path.split_once('.').map_or("", |(section, _)| section)
    }

    /// The name of the setting in its section.
    pub(crate) fn name(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(_, name)| name)
    }
}

const fn int(min: u64, max: u64) -> Kind {
    Kind::Int { min, max }
}

const fn bytes(min: u64, max: u64) -> Kind {
    Kind::Bytes { min, max }
}

const fn seconds(min: u64, max: u64) -> Kind {
    Kind::Time { min: Duration::from_secs(min), max: Duration::from_secs(max) }
}

macro_rules! settings {
    ($($path:literal $flag:literal $env:literal $kind:expr, $help:literal;)*) => {
        /// All settings by section, in the order of `--print-config`.
        pub(crate) static SETTINGS: &[Setting] = &[
            $(Setting { path: $path, flag: $flag, env: $env, kind: $kind, help: $help }),*
        ];
    };
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

settings! {
    "listen" "listen" "HARDNEG_LISTEN" Kind::Address,
        "Address to listen on; beyond loopback needs --insecure, because this version has no authentication";
    "insecure" "insecure" "HARDNEG_INSECURE" Kind::Bool,
        "Serve beyond loopback without authentication";
    "store" "store" "HARDNEG_STORE" Kind::Choice(&["memory"]),
        "Where samples are stored";
    "worker_threads" "worker-threads" "HARDNEG_WORKER_THREADS" int(1, 1_024),
        "Threads of the runtime; the default is max(4, 2 x cores)";
    "drain_deadline" "drain-deadline" "HARDNEG_DRAIN_DEADLINE" seconds(0, 3_600),
        "How long running calls may take to end after SIGTERM";

    "log.format" "log-format" "HARDNEG_LOG_FORMAT" Kind::Choice(&["text", "json"]),
        "Text for people, or JSON for programs";
    "log.filter" "log-filter" "HARDNEG_LOG_FILTER" Kind::Text,
        "Which events are logged, for example `info,hardneg=debug`";

    "limits.max_pools" "max-pools" "HARDNEG_MAX_POOLS" int(1, 1_048_576),
        "Maximum number of pools";
    "limits.max_pool_capacity" "max-pool-capacity" "HARDNEG_MAX_POOL_CAPACITY" int(1, 1 << 31),
        "Maximum capacity of a pool, in samples";
    "limits.max_message_bytes" "max-message-bytes" "HARDNEG_MAX_MESSAGE_BYTES" bytes(64 * KIB, GIB),
        "Maximum length of a request or response message";
    "limits.max_batch_rows" "max-batch-rows" "HARDNEG_MAX_BATCH_ROWS" int(1, 65_536),
        "Maximum number of rows of a score batch, an exclusion list, a removal or a mined batch";
    "limits.max_connections" "max-connections" "HARDNEG_MAX_CONNECTIONS" int(1, 1_048_576),
        "Maximum number of open connections; further ones wait in the backlog of the listener";
    "limits.max_concurrent_streams" "max-concurrent-streams" "HARDNEG_MAX_CONCURRENT_STREAMS" int(1, 65_536),
        "Maximum number of concurrent streams of a connection";
    "limits.max_inflight_reports" "max-inflight-reports" "HARDNEG_MAX_INFLIGHT_REPORTS" int(1, 1_048_576),
        "Maximum number of concurrent unary reports; more are refused with a retry delay";
    "limits.max_inflight_mines" "max-inflight-mines" "HARDNEG_MAX_INFLIGHT_MINES" int(1, 1_048_576),
        "Maximum number of concurrent mining calls; more are refused with a retry delay, or wait in a stream";
    "limits.max_waiting_mines" "max-waiting-mines" "HARDNEG_MAX_WAITING_MINES" int(1, 1_048_576),
        "Maximum number of calls that wait at a time for a pool to fill, a round or a flow";
    "limits.max_watches" "max-watches" "HARDNEG_MAX_WATCHES" int(0, 1_048_576),
        "Maximum number of concurrent watches of pools; more are refused with a retry delay";
    "limits.max_workers_per_pool" "max-workers-per-pool" "HARDNEG_MAX_WORKERS_PER_POOL" int(1, 16_777_216),
        "Maximum number of worker processes remembered per pool, to recognise resends";
    "limits.max_payload_bytes" "max-payload-bytes" "HARDNEG_MAX_PAYLOAD_BYTES" int(0, MIB),
        "Maximum length of payloads that the spec of a pool may allow, in bytes";
    "limits.max_scan_rows" "max-scan-rows" "HARDNEG_MAX_SCAN_ROWS" int(1_024, 1 << 31),
        "Maximum number of samples that one mining call may read in passes; beyond, its weights are APPROXIMATE";
    "limits.max_balance_strata" "max-balance-strata" "HARDNEG_MAX_BALANCE_STRATA" int(1, 1 << 24),
        "Maximum number of strata that a pool may store for a policy with limits on strata";
    "limits.max_wait" "max-wait" "HARDNEG_MAX_WAIT" seconds(0, 300),
        "Maximum wait for a pool to fill";
    "limits.request_id_ttl" "request-id-ttl" "HARDNEG_REQUEST_ID_TTL" seconds(1, 3_600),
        "How long a mined batch is kept under its request id";
    "limits.mine_cache_bytes" "mine-cache-bytes" "HARDNEG_MINE_CACHE_BYTES" bytes(0, 64 * GIB),
        "Maximum total size of the mined batches kept under their request ids";
    "limits.max_rounds_per_pool" "max-rounds-per-pool" "HARDNEG_MAX_ROUNDS_PER_POOL" int(1, 65_536),
        "Maximum number of rounds kept per pool for ranks that lag or retry";
    "limits.round_ttl" "round-ttl" "HARDNEG_ROUND_TTL" seconds(1, 86_400),
        "How long a round is kept for its ranks";
    "limits.round_cache_bytes" "round-cache-bytes" "HARDNEG_ROUND_CACHE_BYTES" bytes(MIB, 64 * GIB),
        "Maximum total size of the rounds kept";

    "http2.max_frame_bytes" "http2-max-frame-bytes" "HARDNEG_HTTP2_MAX_FRAME_BYTES" bytes(16 * KIB, 16 * MIB - 1),
        "Maximum size of a received frame";
    "http2.stream_window_bytes" "http2-stream-window-bytes" "HARDNEG_HTTP2_STREAM_WINDOW_BYTES"
        bytes(64 * KIB, 2 * GIB - 1),
        "Bytes that a stream may send before they are read";
    "http2.connection_window_bytes" "http2-connection-window-bytes" "HARDNEG_HTTP2_CONNECTION_WINDOW_BYTES"
        bytes(64 * KIB, 2 * GIB - 1),
        "Bytes that a connection may send before they are read";
    "http2.keepalive_interval" "http2-keepalive-interval" "HARDNEG_HTTP2_KEEPALIVE_INTERVAL" seconds(1, 86_400),
        "Send a ping after this time without traffic";
    "http2.keepalive_timeout" "http2-keepalive-timeout" "HARDNEG_HTTP2_KEEPALIVE_TIMEOUT" seconds(1, 3_600),
        "Close a connection if a ping is not answered in this time";

    "http.listen" "http-listen" "HARDNEG_HTTP_LISTEN" Kind::AddressOrOff,
        "Address of probes, metrics and dashboard, or `off`; beyond loopback needs --insecure";
    "http.max_connections" "http-max-connections" "HARDNEG_HTTP_MAX_CONNECTIONS" int(1, 1_048_576),
        "Maximum number of open connections; further ones wait in the backlog of the listener";
    "http.max_live_pages" "http-max-live-pages" "HARDNEG_HTTP_MAX_LIVE_PAGES" int(0, 65_536),
        "Maximum number of live dashboards at a time; more are refused with a retry delay";

    "otlp.endpoint" "otlp-endpoint" "HARDNEG_OTLP_ENDPOINT" Kind::Text,
        "Where traces are sent by OTLP over gRPC, for example http://localhost:4317; empty: nowhere";
    "otlp.sample_ratio" "otlp-sample-ratio" "HARDNEG_OTLP_SAMPLE_RATIO" Kind::Ratio,
        "Share of the traces begun here that are sent; for those begun by a client, its decision is followed";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_variables_follow_from_paths() {
        for setting in SETTINGS {
            let words = match setting.section() {
                "" | "limits" => setting.name().to_owned(),
                section => format!("{section}_{}", setting.name()),
            };
            assert_eq!(setting.flag, words.replace('_', "-"));
            assert_eq!(setting.env, format!("HARDNEG_{}", words.to_uppercase()));
        }
    }
}
