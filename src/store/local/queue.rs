//! Queues of operations for the partitions of a pool, in the order of positions (docs/methods.md 14.1).

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// Rows applied before the lock is released for other threads: about a tenth of a millisecond.
pub(super) const ROWS_PER_LOCK: usize = 1024;
/// Rows applied before the task yields to others.
const ROWS_PER_YIELD: usize = 1024;

/// An operation on states of type `S`, which has one part for each state that it concerns.
pub(super) trait Task<S> {
    /// Whether the operation concerns the state with this number.
    fn concerns(&self, number: usize) -> bool;
    /// Applies the next rows of a part, a bounded number; returns how many.
    fn advance(&self, number: usize, state: &mut S) -> usize;
    /// Whether the part of the state with this number is done.
    fn is_done(&self, number: usize) -> bool;
}

/// A state and its queue. The thread that holds the state applies the first operation of the queue, even if another caller queued it. So
/// the queue is never longer than the number of callers.
#[derive(Debug)]
pub(super) struct Cell<S, W> {
    pub(super) state: Mutex<S>,
    queue: Mutex<VecDeque<Arc<W>>>,
}

impl<S, W: Task<S>> Cell<S, W> {
    pub(super) fn new(state: S) -> Self {
        Self { state: Mutex::new(state), queue: Mutex::default() }
    }

    /// Queues an operation. Calls are in the order of positions.
    pub(super) fn push(&self, work: Arc<W>) {
        self.queue.lock().push_back(work);
    }

    /// Applies a bounded piece of the first operation of the queue, calls `after` with the state and whether the operation is done there, and
    /// returns how many rows it applied.
    /// `None`: another thread holds the state, and the caller does not want to `wait`.
    pub(super) fn step(&self, number: usize, wait: bool, after: impl FnOnce(&S, bool)) -> Option<usize> {
        let mut state = if wait { self.state.lock() } else { self.state.try_lock()? };
        let Some(first) = self.queue.lock().front().cloned() else {
            return Some(0);
        };
        let rows = first.advance(number, &mut state);
        let is_done = first.is_done(number);
        if is_done {
            // Only the holder of the state takes from the queue, so this operation is still the first.
            self.queue.lock().pop_front();
        }
        after(&state, is_done);
        // A fair unlock hands the lock to a waiting draw at once; otherwise this thread might take it again and again.
        parking_lot::MutexGuard::unlock_fair(state);
        Some(rows)
    }
}

/// Applies a queued operation in all the cells that it concerns. If the waiting future is dropped, the drop applies the rest, because an
/// operation with a position must take effect.
pub(super) struct Finish<'a, S, W: Task<S>, F: Fn(usize, &S, bool)> {
    cells: &'a [Cell<S, W>],
    work: &'a Arc<W>,
    after: F,
    left: Vec<usize>,
}

impl<'a, S, W: Task<S>, F: Fn(usize, &S, bool)> Finish<'a, S, W, F> {
    /// `after` is called with each state that was changed, its number, and whether an operation ended there.
    pub(super) fn new(cells: &'a [Cell<S, W>], work: &'a Arc<W>, after: F) -> Self {
        let left = (0..cells.len()).filter(|number| work.concerns(*number)).collect();
        Self { cells, work, after, left }
    }

    /// Runs until all cells are done, and lets other tasks run in between. It visits free cells first: another batch goes through the cells
    /// one by one, and a caller that waited for the cell which that batch holds would wait for it again at every next cell.
    pub(super) async fn run(mut self) {
        let mut rows = 0;
        while !self.left.is_empty() {
            let mut has_moved = false;
            let mut at = 0;
            while at < self.left.len() {
                let number = self.left[at];
                let last = !has_moved && at + 1 == self.left.len();
                match self.advance(number, last) {
                    Some(done) => {
                        has_moved = true;
                        rows += done;
                    }
                    None => at += 1,
                }
                if self.work.is_done(number) {
                    self.left.retain(|left| *left != number);
                }
                if rows >= ROWS_PER_YIELD {
                    rows = 0;
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    fn advance(&self, number: usize, wait: bool) -> Option<usize> {
        self.cells[number].step(number, wait, |state, is_done| (self.after)(number, state, is_done))
    }
}

impl<S, W: Task<S>, F: Fn(usize, &S, bool)> Drop for Finish<'_, S, W, F> {
    fn drop(&mut self) {
        for number in std::mem::take(&mut self.left) {
            while !self.work.is_done(number) {
                self.advance(number, true);
            }
        }
    }
}

/// Visits all states, those whose locks are free first, and lets other tasks run in between. `visit` returns how many rows it read.
pub(super) async fn each_of_yielding<S, W>(cells: &[Cell<S, W>], mut visit: impl FnMut(usize, &S) -> usize) {
    let (mut rows, mut busy) = (0, Vec::new());
    for (number, cell) in cells.iter().enumerate() {
        match cell.state.try_lock() {
            Some(state) => rows += visit(number, &state),
            None => busy.push(number),
        }
        if rows >= ROWS_PER_YIELD {
            rows = 0;
            tokio::task::yield_now().await;
        }
    }
    for number in busy {
        if visit(number, &cells[number].state.lock()) >= ROWS_PER_YIELD {
            tokio::task::yield_now().await;
        }
    }
}

/// Visits states, those whose locks are free first.
pub(super) fn each_of<S, W>(
    cells: &[Cell<S, W>],
    numbers: impl Iterator<Item = usize>,
    mut visit: impl FnMut(usize, &S),
) {
    let mut busy = Vec::new();
    for number in numbers {
        match cells[number].state.try_lock() {
            Some(state) => visit(number, &state),
            None => busy.push(number),
        }
    }
    for number in busy {
        visit(number, &cells[number].state.lock());
    }
}
