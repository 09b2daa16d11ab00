//! Which reports were applied, so that a resend of one does nothing.
//!
//! A worker that gets no answer sends its batch again, and cannot know which partitions have applied it. Each partition knows for
//! itself: it remembers the sequences of every process of a worker that it heard, and passes over a report whose sequence it has
//! applied. It remembers a bounded number of such processes, and forgets the one that it has not heard for the longest. Time is told
//! by the order of the operations that named a sender, so that the same operations always leave the same memory.

#[cfg(test)]
pub(crate) mod naive;
mod seen;
#[cfg(test)]
mod tests;

use hashbrown::HashTable;

use crate::hash::placement_hash;
use crate::op::Sender;
pub(crate) use seen::{Recent, Seen, WORDS, Window};

/// No worker.
const NONE: u32 = u32::MAX;

/// Processes of workers with the sequences of theirs that were applied, in the order in which they were last heard.
///
/// An entry costs O(1), but for the table and the vector that double now and then.
#[derive(Debug)]
pub(crate) struct Dedupe {
    /// Where a worker stands in `workers`.
    table: HashTable<u32>,
    /// In no order: each says which one was heard before it and which after it.
    workers: Vec<Worker>,
    oldest: u32,
    newest: u32,
    /// Workers that are remembered at most.
    most: usize,
    /// Workers with a window.
    windows: usize,
}

/// One process of a worker.
#[derive(Debug)]
struct Worker {
    process: Process,
    seen: Seen,
    /// The one that was last heard before this one, and the one after.
    older: u32,
    newer: u32,
}

/// Hash of the worker's name in two halves (a u128 would align a worker to 16 bytes, which takes 8 more), and its epoch.
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
    /// Remembers at most `most` workers. Takes no memory before it hears one.
    pub(crate) fn new(most: usize) -> Self {
        Self { table: HashTable::new(), workers: Vec::new(), oldest: NONE, newest: NONE, most, windows: 0 }
    }

    /// Workers that are remembered.
    pub(crate) fn len(&self) -> usize {
        self.workers.len()
    }

    /// Whether a report was applied, or is so old that it is taken for a resend. Of sequence 0: never.
    pub(crate) fn has(&self, sender: &Sender) -> bool {
        let process = Process::of(sender.worker, sender.epoch);
        sender.sequence != 0
            && self.find(process).is_some_and(|at| self.workers[at].seen.has(sender.sequence))
    }

    /// Enters a report that was completed, be it applied or a resend; its worker is then the last that was heard. Of sequence 0
    /// nothing is remembered, and who sends it was not heard.
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

    /// All workers with their epochs and sequences, the one that was not heard for the longest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u128, u64, &Seen)> + '_ {
        let worker = |at: u32| self.workers.get(at as usize);
        std::iter::successors(worker(self.oldest), move |w| worker(w.newer))
            .map(|w| (w.process.worker(), w.process.epoch, &w.seen))
    }

    /// Takes memory for so many workers that are yet to be restored.
    pub(crate) fn reserve(&mut self, workers: usize) {
        self.table.reserve(workers, |_| 0);
        self.workers.reserve_exact(workers);
    }

    /// Enters a worker as [`Self::all`] told it; false where it cannot have been told.
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

    /// A new worker, the last that was heard.
    fn push(&mut self, process: Process, seen: Seen) {
        self.windows += usize::from(seen.has_window());
        self.workers.push(Worker { process, seen, older: NONE, newer: NONE });
        self.index(process, self.workers.len() - 1);
    }

    /// A new worker takes the place of the one that was not heard for the longest, which is forgotten.
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

    /// Enters the worker at a place into table and order.
    fn index(&mut self, process: Process, at: usize) {
        let workers = &self.workers;
        self.table.insert_unique(process.hash(), at as u32, |at| workers[*at as usize].process.hash());
        self.link_newest(at);
    }

    /// Takes a worker out of the order.
    fn unlink(&mut self, at: usize) {
        let Worker { older, newer, .. } = self.workers[at];
        *self.newer_of(older) = newer;
        *self.older_of(newer) = older;
    }

    /// Puts a worker at the end of the order.
    fn link_newest(&mut self, at: usize) {
        let newest = std::mem::replace(&mut self.newest, at as u32);
        *self.newer_of(newest) = at as u32;
        (self.workers[at].older, self.workers[at].newer) = (newest, NONE);
    }

    /// What names the worker after this one; after none: the oldest.
    fn newer_of(&mut self, at: u32) -> &mut u32 {
        match self.workers.get_mut(at as usize) {
            Some(worker) => &mut worker.newer,
            None => &mut self.oldest,
        }
    }

    /// What names the worker before this one; before none: the newest.
    fn older_of(&mut self, at: u32) -> &mut u32 {
        match self.workers.get_mut(at as usize) {
            Some(worker) => &mut worker.older,
            None => &mut self.newest,
        }
    }
}
