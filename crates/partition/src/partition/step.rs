//! Applies operations: [`Partition::begin`] makes a job of an operation, and [`Partition::step`] does some rows of it at a time, so that a
//! host can let reads in between.

use std::ops::Range;

use super::Partition;
use super::apply::Batch;
use super::expiry::Sweep;
use super::repeats::Repeats;
use crate::hard::slots::Slot;
use crate::hash::placement_hash;
use crate::key::Key;
use crate::op::{ApplyCounts, BlockCounts, Change, Op, ReleaseCounts, Reply, Sender, SetAsideCounts};

/// An operation under way.
#[derive(Debug)]
pub struct Job {
    op: Op,
    /// The number of rows that are done.
    done: usize,
    /// The number of members of the background that a fold has lifted.
    members: usize,
    /// The progress of removing samples that are older than its horizon.
    sweep: Sweep,
    /// The operation is a report that was applied before. This cannot change while the job runs, because no other operation runs meanwhile.
    is_resend: bool,
    /// Which rows of a report repeat an id.
    repeats: Repeats,
    reply: Reply,
}

impl Job {
    /// The number of rows done so far.
    #[must_use]
    pub fn done(&self) -> usize {
        self.done
    }

    /// Counts the next rows of `len` as done, at most `most`. Returns their range.
    fn take(done: &mut usize, most: usize, len: usize) -> Range<usize> {
        let from = *done;
        *done = from.saturating_add(most).min(len);
        from..*done
    }
}

impl Partition {
    /// Begins an operation. The operation before it must be completed. Whether a report is a resend is decided here.
    #[must_use]
    pub fn begin(&self, op: Op) -> Job {
        let reply = match &op.change {
            Change::Report { .. } => Reply::Reported(ApplyCounts::default()),
            Change::Serve { drawn, .. } => Reply::Served(Vec::with_capacity(drawn.len())),
            Change::Release { .. } => Reply::Released(0),
            Change::Remove { .. } => Reply::Removed(0),
            Change::SetAside { .. } => Reply::SetAside(SetAsideCounts::default()),
            Change::ReleaseQuarantined { .. } => Reply::ReleasedQuarantined(ReleaseCounts::default()),
            Change::Block { .. } => Reply::Blocked(BlockCounts::default()),
            Change::Unblock { .. } => Reply::Unblocked(0),
            Change::Clear => Reply::Cleared(0),
            Change::Expire { .. } | Change::Fold { .. } => Reply::Done,
        };
        let is_resend = match &op.change {
            Change::Report { sender: Some(sender), .. } => self.dedupe.has(sender),
            _ => false,
        };
        let repeats = match &op.change {
            Change::Report { rows, range, .. } if !is_resend => {
                Repeats::of(&rows.hashes[range.clone()], &rows.ids[range.clone()])
            }
            _ => Repeats::default(),
        };
        Job { op, done: 0, members: 0, sweep: Sweep::default(), is_resend, repeats, reply }
    }

    /// Does at most `rows` more rows (at least one) of an operation. The last step returns the reply. How an operation is divided into
    /// steps makes no difference to the state. Reads may run between two steps; other operations and [`Self::save`] may not.
    ///
    /// A resend is done with its first step: its rows are counted as duplicate and not read. It changes the position, and makes its worker
    /// the one heard from most recently, so that a worker that retries is not forgotten. Nothing else changes.
    pub fn step(&mut self, job: &mut Job, rows: usize) -> Option<Reply> {
        let rows = rows.max(1);
        let is_done = match &job.op.change {
            Change::Report { .. } => self.step_report(job, rows),
            Change::Clear => self.step_clear(job, rows),
            Change::Expire { .. } => self.step_expire(job, rows),
            Change::Fold { .. } => self.step_fold(job, rows),
            _ => self.step_ids(job, rows),
        };
        if self.hard.is_full() {
            // Finds the floor now, so that reads of it are cheap.
            self.hard.lowest();
        }
        if !is_done {
            return None;
        }
        self.trim_expiry();
        self.position = job.op.position;
        self.totals.count(&job.op.change, &job.reply);
        Some(std::mem::replace(&mut job.reply, Reply::Done))
    }

    /// Applies a whole operation.
    pub fn apply(&mut self, op: Op) -> Reply {
        let mut job = self.begin(op);
        loop {
            if let Some(reply) = self.step(&mut job, usize::MAX) {
                return reply;
            }
        }
    }

    /// A step of a report. Returns whether it was the last.
    fn step_report(&mut self, job: &mut Job, rows: usize) -> bool {
        let Job { op, done, sweep, is_resend, repeats, reply, .. } = job;
        let (Change::Report { rows: columns, range, terms, sender }, Reply::Reported(counts)) =
            (&op.change, reply)
        else {
            return true;
        };
        if *is_resend {
            // The other counts of its faults were added when it was applied.
            counts.duplicate = range.len() as u64 + terms.faults.rows();
            *done = range.len();
            self.remember(*sender);
            return true;
        }
        let looked = if sweep.is_done { 0 } else { self.sweep_before_rows(terms.oldest_stamp, rows, sweep) };
        let more = if sweep.is_done { rows - looked } else { 0 };
        let next = Job::take(done, more, range.len());
        let batch = Batch { rows: columns, first: range.start, repeats, terms };
        self.report(&batch, range.start + next.start..range.start + next.end, counts);
        let is_done = sweep.is_done && *done == range.len();
        if is_done {
            counts.add(&terms.faults.counts());
            self.remember(*sender);
        }
        is_done
    }

    /// After a report, or a resend of one: the sender's next resend changes nothing.
    fn remember(&mut self, sender: Option<Sender>) {
        if let Some(sender) = sender {
            self.dedupe.enter(&sender);
        }
    }

    /// A step of an operation that is a list of ids. Returns whether it was the last.
    fn step_ids(&mut self, job: &mut Job, rows: usize) -> bool {
        let Job { op, done, reply, .. } = job;
        let len = op.change.rows();
        let next = Job::take(done, rows, len);
        self.change_ids(&op.change, next, reply);
        let is_done = *done == len;
        if is_done
            && matches!(op.change, Change::Remove { .. } | Change::SetAside { .. } | Change::Block { .. })
        {
            self.end_removal();
        }
        is_done
    }

    /// Applies some ids of a list.
    fn change_ids(&mut self, change: &Change, next: Range<usize>, reply: &mut Reply) {
        match (change, reply) {
            (Change::Serve { drawn, mark }, Reply::Served(served)) => {
                let drawn = &drawn[next];
                drawn.iter().for_each(|drawn| self.prefetch_serve(drawn.id));
                served.extend(drawn.iter().map(|drawn| self.serve(*drawn, *mark)));
            }
            (Change::Release { ids }, Reply::Released(released)) => {
                *released += ids[next].iter().filter(|id| self.release(**id)).count() as u64;
            }
            (Change::Remove { ids }, Reply::Removed(removed)) => {
                *removed += ids[next].iter().filter(|id| self.remove(**id)).count() as u64;
            }
            (Change::SetAside { ids, capacity, decay_units, now_millis }, Reply::SetAside(counts)) => {
                for id in &ids[next] {
                    self.set_aside(*id, *capacity, *decay_units, *now_millis, counts);
                }
            }
            (Change::ReleaseQuarantined { ids, trust }, Reply::ReleasedQuarantined(counts)) => {
                ids[next].iter().for_each(|id| self.release_quarantined(*id, *trust, counts));
            }
            (Change::Block { ids, names }, Reply::Blocked(counts)) => {
                next.for_each(|at| self.block(ids[at], names.get(at), counts));
            }
            (Change::Unblock { ids }, Reply::Unblocked(unblocked)) => {
                *unblocked += ids[next].iter().filter(|id| self.quarantine.unblock(**id)).count() as u64;
            }
            // Unreachable: `begin` made the reply that belongs to the change.
            _ => {}
        }
    }

    /// A step of a clear. Returns whether it was the last.
    fn step_clear(&mut self, job: &mut Job, rows: usize) -> bool {
        let Reply::Cleared(cleared) = &mut job.reply else {
            return true;
        };
        let taken = self.clear_some(rows, cleared);
        job.done += taken;
        let is_done = taken < rows;
        if is_done {
            self.end_clear();
        }
        is_done
    }

    /// A step of an expiry. Returns whether it was the last.
    fn step_expire(&mut self, job: &mut Job, rows: usize) -> bool {
        let Change::Expire { now_millis, oldest_stamp } = job.op.change else {
            return true;
        };
        let ended = (0..rows).take_while(|_| self.expire_one(now_millis)).count();
        // Samples are looked at once all leases that have run out are ended.
        let looked = self.sweep_alone(oldest_stamp, rows - ended, &mut job.sweep);
        job.done += ended + looked;
        ended + looked < rows
    }

    /// A step of a fold. Returns whether it was the last.
    fn step_fold(&mut self, job: &mut Job, rows: usize) -> bool {
        let Change::Fold { floor_units } = job.op.change else {
            return true;
        };
        self.folded_units = Some(floor_units);
        let floor = Key::of_clock(floor_units);
        let lifted = (0..rows).take_while(|_| self.lift_one(floor)).count();
        // Own keys are lifted once no key of the hard store is below the floor, with the rows that this step has left.
        let (members, most) = (job.members, rows - lifted);
        let followed = self.background.as_mut().map_or(0, |b| b.lift(floor, members, most));
        job.members += followed;
        job.done += lifted + followed;
        followed < most
    }

    /// Lifts the lowest sample of the hard store to `floor`, if it is below. Returns whether it was.
    fn lift_one(&mut self, floor: Key) -> bool {
        let Some((_, slot)) = self.hard.lowest().filter(|(lowest, _)| lowest.key.since(floor) < 0) else {
            return false;
        };
        let Slot { id, score, stamp, .. } = *self.hard.slots.get(slot);
        self.hard.reprioritise(slot, placement_hash(id), floor, score, stamp);
        if self.leases.contains(id) {
            self.hard.rest(slot);
        }
        true
    }
}
