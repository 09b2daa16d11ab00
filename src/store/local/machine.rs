//! The interface of a partition to its host, for samples and anchors alike: operations that run step by step.

use hardneg_partition::anchors::{AnchorChange, AnchorJob, AnchorOp, AnchorPartition, AnchorReply};
use hardneg_partition::{Change, Job, Op, Partition, Reply};

/// A state machine that a host keeps behind a lock.
pub(super) trait Machine: Send + 'static {
    /// The input of an operation.
    type Change: Send + Sync + 'static;
    /// An operation under way.
    type Job: Send;
    /// The result of an operation.
    type Reply: Send;

    /// The change that lifts keys below a floor to it (docs/methods.md 2.2).
    fn fold(floor_units: u64) -> Self::Change;
    /// Begins an operation. The operation before it must be complete.
    fn begin(&self, position: u64, change: Self::Change) -> Self::Job;
    /// Continues the operation for at most `rows` rows. The last step returns the reply.
    fn step(&mut self, job: &mut Self::Job, rows: usize) -> Option<Self::Reply>;
    /// Rows that the operation has done so far.
    fn done(job: &Self::Job) -> usize;
    /// The image of the whole state.
    fn save(&self) -> Vec<u8>;
}

impl Machine for Partition {
    type Change = Change;
    type Job = Job;
    type Reply = Reply;

    fn fold(floor_units: u64) -> Change {
        Change::Fold { floor_units }
    }

    fn begin(&self, position: u64, change: Change) -> Job {
        self.begin(Op { position, change })
    }

    fn step(&mut self, job: &mut Job, rows: usize) -> Option<Reply> {
        self.step(job, rows)
    }

    fn done(job: &Job) -> usize {
        job.done()
    }

    fn save(&self) -> Vec<u8> {
        self.save()
    }
}

impl Machine for AnchorPartition {
    type Change = AnchorChange;
    type Job = AnchorJob;
    type Reply = AnchorReply;

    fn fold(floor_units: u64) -> AnchorChange {
        AnchorChange::Fold { floor_units }
    }

    fn begin(&self, position: u64, change: AnchorChange) -> AnchorJob {
        self.begin(AnchorOp { position, change })
    }

    fn step(&mut self, job: &mut AnchorJob, rows: usize) -> Option<AnchorReply> {
        self.step(job, rows)
    }

    fn done(job: &AnchorJob) -> usize {
        job.done()
    }

    fn save(&self) -> Vec<u8> {
        self.save()
    }
}
