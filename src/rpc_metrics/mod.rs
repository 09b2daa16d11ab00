//! Counts gRPC calls by method and code, and measures their durations, for monitoring.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::activity::{Latency, LatencyCounts};

/// The status codes of gRPC; a code's index is its number.
pub(crate) const CODES: [&str; 17] = [
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
/// The name under which calls of unknown methods are counted: a client must not be able to create time series.
pub(crate) const OTHER: &str = "other";
const CANCELLED: usize = 1;
const UNKNOWN: usize = 2;

/// The call counts of a server. The methods are known beforehand, so it never grows.
#[derive(Debug)]
pub struct Meter {
    /// The last one is [`OTHER`].
    methods: Vec<Method>,
}

/// The calls of one method.
#[derive(Debug)]
pub struct Method {
    /// The name as in the path of a request, for example `hardneg.v1.MiningService/MineBatch`.
    pub name: String,
    codes: [AtomicU64; CODES.len()],
    durations: Latency,
    inflight: AtomicI64,
}

impl Meter {
    /// A meter that counts the calls of these methods, and all other calls as [`OTHER`].
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

    /// Counts a call of this path as in flight until it ends.
    pub(crate) fn begin(self: &Arc<Self>, path: &str) -> Call {
        let method = self.position(path);
        self.methods[method].begin();
        Call { meter: self.clone(), method, begun: Instant::now(), ended: false }
    }

    /// The index of the method in a request's path.
    fn position(&self, path: &str) -> usize {
        let name = path.strip_prefix('/').unwrap_or(path);
        self.methods.iter().position(|method| method.name == name).unwrap_or(self.methods.len() - 1)
    }
}

/// A call under way. One that is dropped before it ends counts as CANCELLED: its client went away, or its deadline passed.
#[derive(Debug)]
pub(crate) struct Call {
    meter: Arc<Meter>,
    method: usize,
    begun: Instant,
    ended: bool,
}

impl Call {
    /// Counts the call under the number of its code and returns how long it took; `None` where it had ended before.
    pub(crate) fn end(&mut self, code: usize) -> Option<Duration> {
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        let took = self.begun.elapsed();
        self.meter.methods[self.method].end(code, took);
        Some(took)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(CANCELLED);
    }
}

impl Method {
    /// Calls that ended with each of [`CODES`].
    #[must_use]
    pub fn codes(&self) -> [u64; CODES.len()] {
        std::array::from_fn(|code| self.codes[code].load(Ordering::Relaxed))
    }

    /// The durations of calls. That of a stream lasts from its first to its last message.
    #[must_use]
    pub fn durations(&self) -> LatencyCounts {
        self.durations.counts()
    }

    /// Calls in flight.
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
