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

use hashbrown::HashTable;

use crate::hash::placement_hash;
use crate::op::Sender;
pub(crate) use seen::{Recent, Seen, WORDS, Window};

/// Index of no worker.
const NONE: u32 = u32::MAX;

/// Processes of workers with their sequences that were applied, in a list from the least to the most recently heard (LRU).
///
/// Entering a report costs O(1) amortised.
#[derive(Debug)]
pub(crate) struct Dedupe {
    /// Indices in `workers` by hash of the process.
    table: HashTable<u32>,
    /// The nodes of the linked list, in no order.
    workers: Vec<Worker>,
    oldest: u32,
    newest: u32,
    /// The maximal number of workers.
    most: usize,
    /// The number of workers with a window.
    windows: usize,
}

/// One process of a worker.
#[derive(Debug)]
struct Worker {
    process: Process,
    seen: Seen,
    /// The neighbours in the list: the next less and the next more recently heard worker.
    older: u32,
    newer: u32,
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

    fn hash(self) -> u64 {
        placement_hash(self.low ^ placement_hash(self.high ^ placement_hash(self.epoch)))
    }
}

impl Dedupe {
    /// Remembers at most `most` workers. Allocates nothing before the first.
    pub(crate) fn new(most: usize) -> Self {
        Self { table: HashTable::new(), workers: Vec::new(), oldest: NONE, newest: NONE, most, windows: 0 }
    }

    /// The number of workers that are remembered.
    pub(crate) fn len(&self) -> usize {
        self.workers.len()
    }

    /// Whether a report was applied, or is so old that it is taken for a resend. False for sequence 0.
    pub(crate) fn has(&self, sender: &Sender) -> bool {
        let process = Process::of(sender.worker, sender.epoch);
        sender.sequence != 0
            && self.find(process).is_some_and(|at| self.workers[at].seen.has(sender.sequence))
    }

    /// Records a report that was applied or is a resend. Its worker becomes the most recently heard. A report of sequence 0 leaves no
    /// trace.
    pub(crate) fn enter(&mut self, sender: &Sender) {
        if sender.sequence == 0 || self.most == 0 {
            return;
        }
        let process = Process::of(sender.worker, sender.epoch);
        let Some(at) = self.find(process) else {
            let seen = Seen::first(sender.sequence);
            if self.workers.len() < self.most {
                self.push(process, seen);
            } else {
                self.replace(process, seen);
            }
            return;
        };
        let seen = &mut self.workers[at].seen;
        self.windows -= usize::from(seen.has_window());
        seen.enter(sender.sequence);
        self.windows += usize::from(seen.has_window());
        self.unlink(at);
        self.link_newest(at);
    }

    /// All workers with their epochs and sequences, the least recently heard first.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u128, u64, &Seen)> + '_ {
        let worker = |at: u32| self.workers.get(at as usize);
        std::iter::successors(worker(self.oldest), move |w| worker(w.newer))
            .map(|w| (w.process.worker(), w.process.epoch, &w.seen))
    }

    /// Reserves memory for workers that are to be restored.
    pub(crate) fn reserve(&mut self, workers: usize) {
        self.table.reserve(workers, |_| 0);
        self.workers.reserve_exact(workers);
    }

    /// Restores a worker that [`Self::all`] returned. False: the worker is there already, or there is no room.
    pub(crate) fn restore(&mut self, worker: u128, epoch: u64, seen: Seen) -> bool {
        let process = Process::of(worker, epoch);
        let fits = self.workers.len() < self.most && self.find(process).is_none();
        if fits {
            self.push(process, seen);
        }
        fits
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.table.allocation_size()
            + self.workers.capacity() * size_of::<Worker>()
            + self.windows * size_of::<Window>()
    }

    fn find(&self, process: Process) -> Option<usize> {
        let at = self.table.find(process.hash(), |at| self.workers[*at as usize].process == process)?;
        Some(*at as usize)
    }

    /// Adds a new worker as the most recently heard.
    fn push(&mut self, process: Process, seen: Seen) {
        self.windows += usize::from(seen.has_window());
        self.workers.push(Worker { process, seen, older: NONE, newer: NONE });
        self.index(process, self.workers.len() - 1);
    }

    /// Replaces the least recently heard worker with a new one.
    fn replace(&mut self, process: Process, seen: Seen) {
        let at = self.oldest as usize;
        self.unlink(at);
        let hash = self.workers[at].process.hash();
        if let Ok(entry) = self.table.find_entry(hash, |place| *place as usize == at) {
            entry.remove();
        }
        self.windows += usize::from(seen.has_window());
        self.windows -= usize::from(self.workers[at].seen.has_window());
        self.workers[at] = Worker { process, seen, older: NONE, newer: NONE };
        self.index(process, at);
    }

    /// Enters the worker at an index into the table and the list.
    fn index(&mut self, process: Process, at: usize) {
        let workers = &self.workers;
        self.table.insert_unique(process.hash(), at as u32, |at| workers[*at as usize].process.hash());
        self.link_newest(at);
    }

    /// Takes a worker out of the list.
    fn unlink(&mut self, at: usize) {
        let Worker { older, newer, .. } = self.workers[at];
        *self.newer_of(older) = newer;
        *self.older_of(newer) = older;
    }

    /// Puts a worker at the most recent end of the list.
    fn link_newest(&mut self, at: usize) {
        let newest = std::mem::replace(&mut self.newest, at as u32);
        *self.newer_of(newest) = at as u32;
        (self.workers[at].older, self.workers[at].newer) = (newest, NONE);
    }

    /// The link to the worker after `at`. After `NONE`: the link to the least recent worker.
    fn newer_of(&mut self, at: u32) -> &mut u32 {
        match self.workers.get_mut(at as usize) {
            Some(worker) => &mut worker.newer,
            None => &mut self.oldest,
        }
    }

    /// The link to the worker before `at`. Before `NONE`: the link to the most recent worker.
    fn older_of(&mut self, at: u32) -> &mut u32 {
        match self.workers.get_mut(at as usize) {
            Some(worker) => &mut worker.older,
            None => &mut self.newest,
        }
    }
}
