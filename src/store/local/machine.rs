//! What a host asks of a partition, be it of samples or of anchors: operations that go on step by step.

use hardneg_partition::anchors::{AnchorChange, AnchorJob, AnchorOp, AnchorPartition, AnchorReply};
use hardneg_partition::{Change, Job, Op, Partition, Reply};

/// A state machine that a host keeps behind a lock.
pub(super) trait Machine: Send + 'static {
    /// What is to be done.
    type Change: Send + Sync + 'static;
    /// An operation under way.
    type Job: Send;
    /// What an operation did.
    type Reply: Send;

    /// A change in which keys below a floor are lifted to it.
    fn fold(floor_units: u64) -> Self::Change;
    /// Begins an operation; the one before is completed.
    fn begin(&self, position: u64, change: Self::Change) -> Self::Job;
    /// Goes on with it for at most `rows` rows; the reply comes with the last step.
    fn step(&mut self, job: &mut Self::Job, rows: usize) -> Option<Self::Reply>;
    /// Rows done so far.
    fn done(job: &Self::Job) -> usize;
    /// Its image.
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
