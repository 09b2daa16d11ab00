//! Work for the parts of a pool, in the order of positions (docs/methods.md 14.1).

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// Rows applied before others may have the lock: about a tenth of a millisecond.
pub(super) const ROWS_PER_LOCK: usize = 1024;
/// Rows applied before other tasks get their turn.
const ROWS_PER_YIELD: usize = 1024;

/// Work on things of kind `S`, one part each.
pub(super) trait Task<S> {
    /// Whether there is anything to do for a part.
    fn concerns(&self, number: usize) -> bool;
    /// Does the next rows of a part, a bounded number; how many.
    fn advance(&self, number: usize, state: &mut S) -> usize;
    /// Whether a part is done.
    fn is_done(&self, number: usize) -> bool;
}

/// A state and its queue. Whoever holds the state does what is first in the queue, whosever it is; so the queue is at most
/// as long as there are callers.
#[derive(Debug)]
pub(super) struct Cell<S, W> {
    pub(super) state: Mutex<S>,
    queue: Mutex<VecDeque<Arc<W>>>,
}

impl<S, W: Task<S>> Cell<S, W> {
    pub(super) fn new(state: S) -> Self {
        Self { state: Mutex::new(state), queue: Mutex::default() }
    }

    /// Queues work; called in the order of positions.
    pub(super) fn push(&self, work: Arc<W>) {
        self.queue.lock().push_back(work);
    }

    /// Does a bounded piece of what is first in the queue, and tells `after` of the state then; how many rows. `None`: somebody
    /// else is at it, and the caller does not want to `wait`.
    pub(super) fn step(&self, number: usize, wait: bool, after: impl FnOnce(&S)) -> Option<usize> {
        let mut state = if wait { self.state.lock() } else { self.state.try_lock()? };
        let Some(first) = self.queue.lock().front().cloned() else {
            return Some(0);
        };
        let rows = first.advance(number, &mut state);
        if first.is_done(number) {
            // Only holders of the state take from the queue, so the first is still this one.
            self.queue.lock().pop_front();
        }
        after(&state);
        // A draw that waits gets the lock now, not some time.
        parking_lot::MutexGuard::unlock_fair(state);
        Some(rows)
    }
}

/// Sees queued work through, in all the cells that it concerns: also when whoever waits for it goes away, since what has a position
/// takes effect.
pub(super) struct Finish<'a, S, W: Task<S>, F: Fn(usize, &S)> {
    cells: &'a [Cell<S, W>],
    work: &'a Arc<W>,
    after: F,
    left: Vec<usize>,
}

impl<'a, S, W: Task<S>, F: Fn(usize, &S)> Finish<'a, S, W, F> {
    /// `after` is told of each state that was changed, by number.
    pub(super) fn new(cells: &'a [Cell<S, W>], work: &'a Arc<W>, after: F) -> Self {
        let left = (0..cells.len()).filter(|number| work.concerns(*number)).collect();
        Self { cells, work, after, left }
    }

    /// Goes on until all is done, letting other tasks run in between. Cells that are free come first: a batch goes through the cells
    /// one by one, and whoever waited for the one that it holds would wait for it again at the next, all the way.
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
        self.cells[number].step(number, wait, |state| (self.after)(number, state))
    }
}

impl<S, W: Task<S>, F: Fn(usize, &S)> Drop for Finish<'_, S, W, F> {
    fn drop(&mut self) {
        for number in std::mem::take(&mut self.left) {
            while !self.work.is_done(number) {
                self.advance(number, true);
            }
        }
    }
}

/// Visits states, the free ones first.
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
