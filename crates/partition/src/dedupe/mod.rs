//! Deduplication: which reports were applied, so that a resend changes nothing.
//!
//! A worker that gets no answer sends its batch again, and cannot know which partitions have applied it. So each partition remembers the
//! sequence numbers of the reports that it applied, by process of a worker, and skips a report whose number it has applied. It remembers a
//! bounded number of processes and forgets the least recently heard one. "Recently" counts operations that name a sender, not time, so the
//! same operations always leave the same state.

#[cfg(test)]
pub(crate) mod naive;
mod seen;
#[cfg(test)]
mod tests;

use crate::hash::placement_hash;
use crate::lru::{Lru, LruKey};
use crate::op::Sender;
pub(crate) use seen::{Recent, Seen, WORDS, Window};

/// Processes of workers with their sequences that were applied. The least recently heard is forgotten first.
///
/// Entering a report costs O(1) amortised.
#[derive(Debug)]
pub(crate) struct Dedupe {
    workers: Lru<Process, Seen>,
    /// The number of workers with a window.
    windows: usize,
}

/// The hash of the worker's name in two halves, and its epoch. A u128 would align the struct to 16 bytes, which costs 8 more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    low: u64,
    high: u64,
    epoch: u64,
}

impl Process {
    fn of(worker: u128, epoch: u64) -> Self {
        Self { low: worker as u64, high: (worker >> 64) as u64, epoch }
    }

    fn worker(self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }
}

impl LruKey for Process {
    fn hash(self) -> u64 {
        placement_hash(self.low ^ placement_hash(self.high ^ placement_hash(self.epoch)))
    }
}

impl Dedupe {
    /// Remembers at most `most` workers. Allocates nothing before the first.
    pub(crate) fn new(most: usize) -> Self {
        Self { workers: Lru::new(most), windows: 0 }
    }

    /// The number of workers that are remembered.
    pub(crate) fn len(&self) -> usize {
        self.workers.len()
    }

    /// Whether a report was applied, or is so old that it is taken for a resend. False for sequence 0.
    pub(crate) fn has(&self, sender: &Sender) -> bool {
        let process = Process::of(sender.worker, sender.epoch);
        sender.sequence != 0 && self.workers.get(process).is_some_and(|seen| seen.has(sender.sequence))
    }

    /// Records a report that was applied or is a resend. Its worker becomes the most recently heard. A report of sequence 0 leaves no
    /// trace.
    pub(crate) fn enter(&mut self, sender: &Sender) {
        if sender.sequence == 0 {
            return;
        }
        let process = Process::of(sender.worker, sender.epoch);
        if let Some(seen) = self.workers.get_mut(process) {
            self.windows -= usize::from(seen.has_window());
            seen.enter(sender.sequence);
            self.windows += usize::from(seen.has_window());
        } else {
            // The first sequence of a worker makes no gap.
            let forgotten = self.workers.put(process, Seen::first(sender.sequence));
            self.windows -= usize::from(forgotten.is_some_and(|seen| seen.has_window()));
        }
    }

    /// All workers with their epochs and sequences, the least recently heard first.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u128, u64, &Seen)> + '_ {
        self.workers.iter().map(|(process, seen)| (process.worker(), process.epoch, seen))
    }

    /// Reserves memory for workers that are to be restored.
    pub(crate) fn reserve(&mut self, workers: usize) {
        self.workers.reserve(workers);
    }

    /// Restores a worker that [`Self::all`] returned. False: the worker is there already, or there is no room.
    pub(crate) fn restore(&mut self, worker: u128, epoch: u64, seen: Seen) -> bool {
        let has_window = seen.has_window();
        let is_restored = self.workers.restore(Process::of(worker, epoch), seen);
        self.windows += usize::from(is_restored && has_window);
        is_restored
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.workers.memory_bytes() + self.windows * size_of::<Window>()
    }
}
