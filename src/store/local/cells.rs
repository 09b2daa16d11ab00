//! The partitions of a pool, each behind a lock, and the order of operations, which is the same in all of them.

use parking_lot::Mutex;
use std::ops::Deref;
use std::sync::Arc;

use super::machine::Machine;
use super::queue::{Cell, Finish, Task as _};
use super::work::Work;
use crate::store::key::{FOLD_BELOW_UNITS, FOLD_EVERY_UNITS};

/// A callback that gets the position and the changes of every operation, in order, before they are queued.
pub type Log<C> = Box<dyn Fn(u64, &[Option<C>]) + Send + Sync>;

/// The partitions of a pool with their queues.
pub(super) struct Cells<M: Machine> {
    cells: Vec<Cell<M, Work<M>>>,
    /// The lock is held while an operation is queued in all partitions, so that all queues have the same order.
    order: Mutex<Order>,
    log: Option<Log<M::Change>>,
}

/// A report that was queued, with the fold before it if one was due.
struct Queued<M: Machine> {
    fold: Option<Arc<Work<M>>>,
    work: Arc<Work<M>>,
    position: u64,
}

/// The state from which the next position and the next fold follow.
#[derive(Debug)]
struct Order {
    /// The position of the last operation.
    position: u64,
    /// D of the last fold, or else of the first report; `None` before the first report.
    folded_at_units: Option<u64>,
}

impl<M: Machine> Deref for Cells<M> {
    type Target = [Cell<M, Work<M>>];

    fn deref(&self) -> &Self::Target {
        &self.cells
    }
}

impl<M: Machine> Cells<M> {
    pub(super) fn new(partitions: impl Iterator<Item = M>) -> Self {
        let order = Mutex::new(Order { position: 0, folded_at_units: None });
        Self { cells: partitions.map(Cell::new).collect(), order, log: None }
    }

    /// Passes every change to `log` from now on.
    pub(super) fn set_log(&mut self, log: Log<M::Change>) {
        self.log = Some(log);
    }

    /// The image of each partition; call it while no operation runs.
    pub(super) fn images(&self) -> Vec<Vec<u8>> {
        self.iter().map(|cell| cell.state.lock().save()).collect()
    }

    /// Queues an operation at the next position, in every partition that it concerns.
    fn enqueue(&self, order: &mut Order, changes: Vec<Option<M::Change>>) -> (Arc<Work<M>>, u64) {
        order.position += 1;
        if let Some(log) = &self.log {
            log(order.position, &changes);
        }
        let work = Work::new(order.position, changes);
        for (number, cell) in self.iter().enumerate() {
            if work.concerns(number) {
                cell.push(work.clone());
            }
        }
        (work, order.position)
    }

    /// Applies an operation; returns the replies by partition, and the position. `after` is called with each partition that was changed,
    /// its number, and whether an operation ended there.
    pub(super) async fn change(
        &self,
        changes: Vec<Option<M::Change>>,
        after: impl Fn(usize, &M, bool),
    ) -> (Vec<(usize, M::Reply)>, u64) {
        let (work, position) = self.enqueue(&mut self.order.lock(), changes);
        Finish::new(self, &work, after).run().await;
        (work.replies(), position)
    }

    /// Applies a report as [`Self::change`] does. If D has grown far enough since the last fold, a fold comes directly before it.
    pub(super) async fn report(
        &self,
        decay_units: u64,
        changes: Vec<Option<M::Change>>,
        after: impl Fn(usize, &M, bool),
    ) -> (Vec<(usize, M::Reply)>, u64) {
        let Queued { fold, work, position } = self.enqueue_report(decay_units, changes);
        // If the caller drops this future, the drop of these two finishes both operations.
        let folding = fold.as_ref().map(|fold| Finish::new(self, fold, &after));
        let applying = Finish::new(self, &work, &after);
        if let Some(folding) = folding {
            folding.run().await;
        }
        applying.run().await;
        (work.replies(), position)
    }

    fn enqueue_report(&self, decay_units: u64, changes: Vec<Option<M::Change>>) -> Queued<M> {
        let mut order = self.order.lock();
        let folded = *order.folded_at_units.get_or_insert(decay_units);
        let mut fold = None;
        if decay_units >= folded.saturating_add(FOLD_EVERY_UNITS) {
            order.folded_at_units = Some(decay_units);
            let folds = (0..self.len()).map(|_| Some(M::fold(decay_units - FOLD_BELOW_UNITS)));
            fold = Some(self.enqueue(&mut order, folds.collect()).0);
        }
        let (work, position) = self.enqueue(&mut order, changes);
        Queued { fold, work, position }
    }

    /// The indices of items, grouped by partition.
    pub(super) fn by_partition<T>(&self, items: &[T], partition_of: impl Fn(&T) -> usize) -> Vec<Vec<usize>> {
        // Hashing spreads the items evenly, so with this room most groups never grow.
        let room = items.len() / self.len() + items.len() / (4 * self.len()) + 4;
        let mut groups: Vec<Vec<usize>> = (0..self.len()).map(|_| Vec::with_capacity(room)).collect();
        for (i, item) in items.iter().enumerate() {
            if let Some(group) = groups.get_mut(partition_of(item)) {
                group.push(i);
            }
        }
        groups
    }
}

/// The numbers of the groups that are not empty.
pub(super) fn concerned(groups: &[Vec<usize>]) -> impl Iterator<Item = usize> + '_ {
    (0..groups.len()).filter(|number| !groups[*number].is_empty())
}
