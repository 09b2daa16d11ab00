//! The history of a pool: the ticks of the last five minutes, about one per second.

use std::collections::VecDeque;
use std::time::SystemTime;

use super::latency::Percentiles;
use crate::activity::stats::CounterValues;

/// Maximum number of ticks kept.
pub(crate) const TICKS_MAX: usize = 300;

/// What happened in a pool during one tick, and its state at the end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tick {
    /// When the tick ended.
    pub time: SystemTime,
    /// Length of the tick, in seconds.
    pub seconds: f64,
    /// Reported rows.
    pub reported_rows: u64,
    /// Accepted batches.
    pub reported_batches: u64,
    /// Mined batches.
    pub mined_batches: u64,
    /// Samples served from the hard store.
    pub served_hard: u64,
    /// Samples served from the background.
    pub served_background: u64,
    /// Samples evicted from the hard store.
    pub evicted: u64,
    /// |S| at the end of the tick.
    pub hard: u64,
    /// log2 of the lowest weight in the hard store at the end of the tick; `None` while the hard store has room.
    pub floor_log2: Option<f32>,
    /// Latencies of reports during the tick; `None` if there were none.
    pub report: Option<Percentiles>,
    /// Latencies of mines during the tick, without their waits; `None` if there were none.
    pub mine: Option<Percentiles>,
}

/// The ticks of a pool, oldest first, at most [`TICKS_MAX`].
#[derive(Debug, Default)]
pub(crate) struct History {
    ticks: VecDeque<Tick>,
    counted: CounterValues,
}

/// The state of a pool at the end of a tick.
pub(crate) struct Now {
    pub(crate) time: SystemTime,
    pub(crate) seconds: f64,
    pub(crate) counters: CounterValues,
    pub(crate) hard: u64,
    pub(crate) floor_log2: Option<f32>,
    pub(crate) report: Option<Percentiles>,
    pub(crate) mine: Option<Percentiles>,
}

impl History {
    pub(crate) fn push(&mut self, now: &Now) {
        let (new, old) = (&now.counters, &self.counted);
        self.ticks.push_back(Tick {
            time: now.time,
            seconds: now.seconds,
            reported_rows: new.reported_rows - old.reported_rows,
            reported_batches: new.reported_batches - old.reported_batches,
            mined_batches: new.mined_batches - old.mined_batches,
            served_hard: new.served_hard - old.served_hard,
            served_background: new.served_background - old.served_background,
            evicted: new.evicted - old.evicted,
            hard: now.hard,
            floor_log2: now.floor_log2,
            report: now.report,
            mine: now.mine,
        });
        self.counted = now.counters;
        if self.ticks.len() > TICKS_MAX {
            self.ticks.pop_front();
        }
    }

    pub(crate) fn ticks(&self) -> Vec<Tick> {
        self.ticks.iter().copied().collect()
    }

    /// Whether anything was counted since the last tick.
    pub(crate) fn moved(&self, counters: &CounterValues) -> bool {
        self.counted != *counters
    }
}
