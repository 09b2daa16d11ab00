//! Counts of gRPC calls by method and code, and their durations: what monitoring asks of a server.

mod layer;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::activity::{Latency, LatencyCounts};

pub use layer::MeterLayer;

/// The codes of gRPC, by number.
pub const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
/// What counts a method that the server does not have: a client must not be able to make series.
pub const OTHER: &str = "other";
const UNKNOWN: usize = 2;

/// The counts of a server. Its methods are known beforehand, so it never grows.
#[derive(Debug)]
pub struct Meter {
    /// The last is [`OTHER`].
    methods: Vec<Method>,
}

/// The calls of one method.
#[derive(Debug)]
pub struct Method {
    /// As in the path of a request: `hardneg.v1.MiningService/MineBatch`.
    pub name: String,
    codes: [AtomicU64; CODES.len()],
    durations: Latency,
    inflight: AtomicI64,
}

impl Meter {
    /// Counts the calls of these methods, everything else as [`OTHER`].
    pub fn new(methods: impl IntoIterator<Item = String>) -> Self {
        let method = |name| Method {
            name,
            codes: Default::default(),
            durations: Latency::default(),
            inflight: AtomicI64::new(0),
        };
        Self { methods: methods.into_iter().chain([OTHER.to_owned()]).map(method).collect() }
    }

    /// Each method's counts.
    #[must_use]
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// Where the calls of a request's path are counted.
    fn position(&self, path: &str) -> usize {
        let name = path.strip_prefix('/').unwrap_or(path);
        self.methods.iter().position(|method| method.name == name).unwrap_or(self.methods.len() - 1)
    }
}

impl Method {
    /// Calls that ended with each of [`CODES`].
    #[must_use]
    pub fn codes(&self) -> [u64; CODES.len()] {
        std::array::from_fn(|code| self.codes[code].load(Ordering::Relaxed))
    }

    /// How long they took: of a stream, from its first to its last message.
    #[must_use]
    pub fn durations(&self) -> LatencyCounts {
        self.durations.counts()
    }

    /// Calls at work.
    #[must_use]
    pub fn inflight(&self) -> i64 {
        self.inflight.load(Ordering::Relaxed)
    }

    fn begin(&self) {
        self.inflight.fetch_add(1, Ordering::Relaxed);
    }

    fn end(&self, code: usize, took: Duration) {
        self.inflight.fetch_sub(1, Ordering::Relaxed);
        self.codes[if code < CODES.len() { code } else { UNKNOWN }].fetch_add(1, Ordering::Relaxed);
        self.durations.record(took);
    }
}
