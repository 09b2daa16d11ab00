//! The time that this thread has had a processor. What runs beside it on the machine, and takes the processor away in the
//! middle of a call, is left out; what it does to caches is not.

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
