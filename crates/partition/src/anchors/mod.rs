//! A partition of the anchors of a pool: for each anchor a bounded array of its hardest negatives, and the ids that are known not to be
//! negatives.
//!
//! It is a state machine of the same form as [`crate::Partition`], which holds samples: [`AnchorPartition::begin`] and
//! [`AnchorPartition::step`] apply one operation after another, and the state is a function of the operations alone. The hash of an anchor
//! chooses its partition, and no partition knows of the others.
//!
//! For each anchor a partition holds:
//! - the n negatives with the highest places ([`crate::place`]), with their groups and labels;
//! - its positive scores: the last one of each known positive, and the last one that a report gave for the anchor. Margins are measured
//!   from the positive that is least similar to the anchor;
//! - its known positives and vetoes, which are never stored as negatives and never forgotten;
//! - its label.
//!
//! It also holds the names of negatives, and which reports of which worker were applied.

mod anchor;
mod apply;
mod clear;
mod image;
mod mark;
#[cfg(test)]
mod naive;
mod names;
mod negative;
mod op;
mod read;
mod spec;
#[cfg(test)]
mod tests;
mod totals;

use hashbrown::HashTable;

use crate::dedupe::Dedupe;
use crate::hash::placement_hash;
use crate::id_map::IdMap;
use crate::key::Key;
use crate::op::Sender;
use crate::partition::Repeats;
use anchor::Anchor;
use clear::Clear;
use mark::Mark;
use names::Names;
pub use negative::Negative;
pub use op::{
    AnchorChange, AnchorColumns, AnchorCounts, AnchorOp, AnchorReply, Marked, NotNegative, PairColumns,
    PairLimit, Refusal, Reported,
};
pub use read::{AnchorRow, AnchorRows, AnchorStats};
pub use spec::{ANCHORS_MAX, AnchorPartitionSpec, Margins, NEGATIVES_MAX, PAIRS_PER_ANCHOR_MAX, least_alike};
pub use totals::AnchorTotals;

/// A partition of the anchors of a pool.
#[derive(Debug)]
pub struct AnchorPartition {
    spec: AnchorPartitionSpec,
    /// Position of the last operation that was completed.
    position: u64,
    /// The floor of the last fold, in key units. No key is below it.
    folded_units: Option<u64>,
    /// Indices in `anchors`, by the hash of the anchor.
    index: HashTable<u32>,
    /// The anchors in the order in which they came, except those that a clear has moved.
    anchors: Vec<Anchor>,
    /// The names of negatives, in a `named` pool.
    names: Names,
    /// Reports that were applied, by sender.
    dedupe: Dedupe,
    totals: AnchorTotals,
    sizes: Sizes,
}

/// Totals of the sizes of all anchors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sizes {
    negatives: u64,
    positives: u64,
    vetoes: u64,
    /// Bytes that the anchors have allocated, beside the array of anchors.
    heap_bytes: usize,
}

impl Sizes {
    fn of(anchor: &Anchor) -> Self {
        Self {
            negatives: anchor.negatives().len() as u64,
            positives: anchor.not_negative(NotNegative::Positive).len() as u64,
            vetoes: anchor.not_negative(NotNegative::Vetoed).len() as u64,
            heap_bytes: anchor.heap_bytes(),
        }
    }

    /// Updates the totals for an anchor that had the sizes `before` and now has `after`.
    fn change(&mut self, before: &Self, after: &Self) {
        self.negatives = self.negatives + after.negatives - before.negatives;
        self.positives = self.positives + after.positives - before.positives;
        self.vetoes = self.vetoes + after.vetoes - before.vetoes;
        self.heap_bytes = self.heap_bytes + after.heap_bytes - before.heap_bytes;
    }
}

/// An operation under way.
#[derive(Debug)]
pub struct AnchorJob {
    op: AnchorOp,
    /// The number of rows or anchors that are done.
    done: usize,
    work: Work,
}

/// The state of an operation between two steps.
#[derive(Debug)]
enum Work {
    Report {
        /// The report was applied before. This cannot change while the job runs, because no other operation runs meanwhile.
        is_resend: bool,
        /// Which rows repeat the anchor and id of an earlier row.
        repeats: Repeats,
        reported: Reported,
    },
    Mark(Mark),
    /// The ids to remove, each with whether any anchor had it.
    Remove(IdMap<bool>),
    Clear(Clear),
    Fold,
}

impl AnchorJob {
    /// The number of rows done so far, or of anchors where the operation visits all anchors.
    #[must_use]
    pub fn done(&self) -> usize {
        self.done
    }
}

impl AnchorPartition {
    /// An empty partition.
    #[must_use]
    pub fn new(spec: AnchorPartitionSpec) -> Self {
        Self {
            position: 0,
            folded_units: None,
            index: HashTable::new(),
            anchors: Vec::new(),
            names: Names::default(),
            dedupe: Dedupe::new(spec.workers),
            totals: AnchorTotals::default(),
            sizes: Sizes::default(),
            spec,
        }
    }

    /// The spec that the partition was created with.
    #[must_use]
    pub fn spec(&self) -> &AnchorPartitionSpec {
        &self.spec
    }

    /// Position of the last operation that was completed.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The floor of the last fold, in key units.
    #[must_use]
    pub fn folded_units(&self) -> Option<u64> {
        self.folded_units
    }

    /// Counters of what the partition has done since it was created.
    #[must_use]
    pub fn totals(&self) -> &AnchorTotals {
        &self.totals
    }

    /// Begins an operation. The operation before it must be completed. Whether a report is a resend is decided here.
    #[must_use]
    pub fn begin(&self, op: AnchorOp) -> AnchorJob {
        let work = match &op.change {
            AnchorChange::Report { rows, range, sender, .. } => {
                let is_resend = sender.is_some_and(|sender| self.dedupe.has(&sender));
                let negatives = Vec::with_capacity(if is_resend { 0 } else { range.len() });
                Work::Report {
                    is_resend,
                    repeats: if is_resend { Repeats::default() } else { apply::repeats(rows, range) },
                    reported: Reported { negatives, ..Reported::default() },
                }
            }
            AnchorChange::Mark { pairs, range, .. } => Work::Mark(Mark::of(pairs, range.clone())),
            AnchorChange::Remove { ids } => Work::Remove(ids.iter().map(|id| (*id, false)).collect()),
            AnchorChange::Clear => Work::Clear(Clear::of(self)),
            AnchorChange::Fold { .. } => Work::Fold,
        };
        AnchorJob { op, done: 0, work }
    }

    /// Does at most `rows` more rows or anchors (at least one) of an operation. The last step returns the reply. How an operation is
    /// divided into steps makes no difference to the state. Reads may run between two steps; other operations and [`Self::save`] may not.
    ///
    /// A resend is done with its first step: its rows are counted as duplicate and not read. A mark visits its rows twice, first to check
    /// whether all of them may be remembered.
    pub fn step(&mut self, job: &mut AnchorJob, rows: usize) -> Option<AnchorReply> {
        let rows = rows.max(1);
        let from = job.done;
        let reply = match (&job.op.change, &mut job.work) {
            (
                AnchorChange::Report { range, sender, terms, .. },
                Work::Report { is_resend: true, reported, .. },
            ) => {
                reported.counts.duplicate = range.len() as u64 + terms.faults.rows();
                job.done = range.len();
                self.remember(*sender);
                Some(AnchorReply::Reported(std::mem::take(reported)))
            }
            (
                AnchorChange::Report { rows: columns, range, terms, sender },
                Work::Report { repeats, reported, .. },
            ) => {
                let to = from.saturating_add(rows).min(range.len());
                let batch = apply::Batch { rows: columns, first: range.start, repeats, terms };
                self.report(&batch, range.start + from..range.start + to, reported);
                job.done = to;
                (to == range.len()).then(|| {
                    reported.counts.add(&AnchorCounts::of_faults(terms.faults));
                    self.totals.count(&reported.counts);
                    self.remember(*sender);
                    AnchorReply::Reported(std::mem::take(reported))
                })
            }
            (AnchorChange::Mark { pairs, why, stamp, model_version, .. }, Work::Mark(mark)) => {
                let terms = mark::Terms { why: *why, stamp: *stamp, model_version: *model_version };
                let marked = self.mark(pairs, terms, mark, rows);
                job.done = mark.done();
                marked.map(AnchorReply::Marked)
            }
            (AnchorChange::Remove { ids }, Work::Remove(found)) => {
                let to = from.saturating_add(rows).min(self.anchors.len());
                (from..to).for_each(|at| self.remove(at, found));
                job.done = to;
                (to == self.anchors.len()).then(|| {
                    // An id that is listed twice is returned once, where it stands first.
                    let was = |id: &&u64| found.insert(**id, false) == Some(true);
                    AnchorReply::Removed(ids.iter().filter(was).copied().collect())
                })
            }
            (AnchorChange::Clear, Work::Clear(clear)) => {
                let cleared = self.clear_some(clear, rows);
                job.done = clear.done();
                cleared.map(AnchorReply::Cleared)
            }
            (AnchorChange::Fold { floor_units }, _) => {
                self.folded_units = Some(*floor_units);
                let to = from.saturating_add(rows).min(self.anchors.len());
                let (floor, spec) = (Key::of_clock(*floor_units), self.spec);
                self.anchors[from..to].iter_mut().for_each(|anchor| anchor.lift(floor, &spec));
                job.done = to;
                (to == self.anchors.len()).then_some(AnchorReply::Done)
            }
            // Unreachable: `begin` made the work that belongs to the change.
            _ => Some(AnchorReply::Done),
        };
        if reply.is_some() {
            self.position = job.op.position;
        }
        reply
    }

    /// Applies a whole operation.
    pub fn apply(&mut self, op: AnchorOp) -> AnchorReply {
        let mut job = self.begin(op);
        loop {
            if let Some(reply) = self.step(&mut job, usize::MAX) {
                return reply;
            }
        }
    }

    /// After a report, or a resend of one: the sender's next resend changes nothing.
    fn remember(&mut self, sender: Option<Sender>) {
        if let Some(sender) = sender {
            self.dedupe.enter(&sender);
        }
    }

    #[inline]
    fn find(&self, hash: u64, anchor: u64) -> Option<usize> {
        let same = |at: &u32| self.anchors[*at as usize].id == anchor;
        self.index.find(hash, same).map(|at| *at as usize)
    }

    /// Whether there is room for `more` anchors.
    fn has_room(&self, more: u64) -> bool {
        self.anchors.len() as u64 + more <= self.spec.max_anchors.min(ANCHORS_MAX)
    }

    /// Enters an anchor that is not there; it has a place.
    fn enter(&mut self, hash: u64, anchor: u64) -> usize {
        let at = self.anchors.len();
        if at == self.anchors.capacity() {
            // Little by little: what doubles has room for as many again.
            self.anchors.reserve_exact((at / 8).max(4));
        }
        self.anchors.push(Anchor::new(anchor));
        let anchors = &self.anchors;
        self.index.insert_unique(hash, at as u32, |at| placement_hash(anchors[*at as usize].id));
        at
    }

    /// Removes ids from the anchor number `at`, and notes in `found` which of them it had.
    fn remove(&mut self, at: usize, found: &mut IdMap<bool>) {
        let anchor = &mut self.anchors[at];
        let gone: Vec<u64> =
            anchor.negatives().iter().map(|n| n.id).filter(|id| found.contains_key(id)).collect();
        if gone.is_empty() {
            return;
        }
        let before = Sizes::of(anchor);
        for id in gone {
            anchor.remove(id);
            found.insert(id, true);
            if self.spec.named {
                self.names.release(id);
            }
        }
        self.sizes.change(&before, &Sizes::of(anchor));
    }
}
