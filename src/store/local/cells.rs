//! The partitions of a pool, each behind a lock, with the order in which operations take effect in all of them.

use parking_lot::Mutex;
use std::ops::Deref;
use std::sync::Arc;

use super::machine::Machine;
use super::queue::{Cell, Finish, Task as _};
use super::work::Work;
use crate::store::key::{FOLD_BELOW_UNITS, FOLD_EVERY_UNITS};

/// Is told of every change of every partition, in order, before it is queued.
pub type Log<C> = Box<dyn Fn(u64, &[Option<C>]) + Send + Sync>;

/// Partitions with their queues.
pub(super) struct Cells<M: Machine> {
    cells: Vec<Cell<M, Work<M>>>,
    /// Held while a change is queued everywhere, so that queues agree on the order.
    order: Mutex<Order>,
    log: Option<Log<M::Change>>,
}

/// A report that was queued, and the fold before it, if one was due.
struct Queued<M: Machine> {
    fold: Option<Arc<Work<M>>>,
    work: Arc<Work<M>>,
    position: u64,
}

/// What is known of the changes so far.
#[derive(Debug)]
struct Order {
    /// The last position given out.
    position: u64,
    /// D of the last fold, or of the first report; `None` before it.
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

    /// Tells every change to a log.
    pub(super) fn set_log(&mut self, log: Log<M::Change>) {
        self.log = Some(log);
    }

    /// The image of each partition; call it while nothing is under way.
    pub(super) fn images(&self) -> Vec<Vec<u8>> {
        self.iter().map(|cell| cell.state.lock().save()).collect()
    }

    /// Queues changes in every partition they concern, at the next position.
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

    /// Applies changes: their replies, and the position. `after` is told of each partition that was changed, by number.
    pub(super) async fn change(
        &self,
        changes: Vec<Option<M::Change>>,
        after: impl Fn(usize, &M),
    ) -> (Vec<(usize, M::Reply)>, u64) {
        let (work, position) = self.enqueue(&mut self.order.lock(), changes);
        Finish::new(self, &work, after).run().await;
        (work.replies(), position)
    }

    /// Applies a report as [`Self::change`] does; folds before it, if D has moved far since the last time, and nothing comes between.
    pub(super) async fn report(
        &self,
        decay_units: u64,
        changes: Vec<Option<M::Change>>,
        after: impl Fn(usize, &M),
    ) -> (Vec<(usize, M::Reply)>, u64) {
        let Queued { fold, work, position } = self.enqueue_report(decay_units, changes);
        // Whoever goes away finishes both.
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

    /// Items by partition: their places in `items`.
    pub(super) fn by_partition<T>(&self, items: &[T], partition_of: impl Fn(&T) -> usize) -> Vec<Vec<usize>> {
        // Partitions are alike: most have room for theirs at once.
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

/// The partitions that have anything to do.
pub(super) fn concerned(groups: &[Vec<usize>]) -> impl Iterator<Item = usize> + '_ {
    (0..groups.len()).filter(|number| !groups[*number].is_empty())
}
