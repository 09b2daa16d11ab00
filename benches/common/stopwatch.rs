//! The CPU time of this thread. It does not include the time of other processes that run on the same processor, but it does include their
//! effect on caches.

use rustix::time::{ClockId, clock_gettime};

pub(crate) struct Stopwatch(f64);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(thread_nanos())
    }

    pub(crate) fn nanos(&self) -> f64 {
        thread_nanos() - self.0
    }
}

fn thread_nanos() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
