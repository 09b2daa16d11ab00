//! A pool's counters and figures.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::model::batch::{MinedBatch, PoolSizes, Source};
use crate::model::filter_counts::FilterCounts;
use crate::model::report::ReportCounts;
use crate::model::run::RunState;
use crate::store::anchored::{AnchorStoreStats, AnchorTotals};
use crate::store::{StoreStats, Totals};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters since the pool was created.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            /// Rows by what became of them, as far as partitions do not count it.
            rows: Mutex<ReportCounts>,
            $($(#[$doc])* pub $name: AtomicU64,)*
        }

        /// The counters at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct CounterValues {
            /// Rows by what became of them; resends are in it.
            pub rows: ReportCounts,
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Reads them all.
            #[must_use]
            pub(crate) fn values(&self) -> CounterValues {
                CounterValues { rows: *self.rows.lock(), $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

// Rows and samples are counted in a pool's partitions (`CounterValues::with_totals`), and here only what depends on how rows were
// divided into batches, and calls.
counters! {
    /// Rows reported, each once: those of resends count as duplicate.
    reported_rows,
    /// Accepted batches.
    reported_batches,
    /// Batches refused as a whole.
    rejected_batches,
    /// Resends.
    duplicate_batches,
    /// Samples set aside.
    quarantine_set_aside,
    /// Samples released from quarantine.
    quarantine_released,
    /// Known positives and vetoes that were not remembered, because a limit was reached.
    pairs_refused,
    /// Pushed out by harder ones.
    evicted,
    /// log2 weights clamped.
    clamped,
    /// Scores below the one from which on they differ in weight.
    floored,
    /// Removed on request.
    removed,
    /// Removed because no report came for longer than they live.
    expired,
    /// Mined batches.
    mined_batches,
    /// Served from the hard store.
    served_hard,
    /// Served from the background.
    served_background,
    /// Batches smaller than asked for.
    shortfalls,
    /// Proposals of the sampler.
    proposals,
    /// Rounds drawn.
    rounds,
    /// Answers from a round that another request had begun.
    round_replays,
    /// Rounds of the control arm.
    control_batches,
    /// Reports that waited for miners.
    flow_report_waits,
    /// Reports refused at the end of their wait.
    flow_report_timeouts,
    /// Mines that waited for reports.
    flow_mine_waits,
    /// Mines whose wait ended first.
    flow_mine_timeouts,
}

impl Counters {
    /// Adds to one counter.
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        if n > 0 {
            counter.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// Counts a batch that was applied, as far as its pool's partitions do not. Rows of a resend are among them where only some partitions
    /// had applied it.
    pub(crate) fn count_batch(&self, counts: &ReportCounts) {
        Self::add(&self.reported_batches, 1);
        let ReportCounts { inserted, updated, background_only, dropped, coalesced, duplicate, .. } = *counts;
        *self.rows.lock() += ReportCounts {
            inserted,
            updated,
            background_only,
            dropped,
            coalesced,
            duplicate,
            ..ReportCounts::default()
        };
    }

    /// Counts a resend of a batch that was applied.
    pub(crate) fn count_resend(&self, rows: u64) {
        Self::add(&self.duplicate_batches, 1);
        self.rows.lock().duplicate += rows;
    }

    /// Counts a mined batch; a dry run serves nobody.
    pub(crate) fn count_mine(&self, batch: &MinedBatch, dry_run: bool) {
        Self::add(&self.mined_batches, 1);
        if !dry_run {
            // By where they were drawn from. What partitions count is what each serve was owed to.
            let hard = batch.columns.count_from(Source::Hard) as u64;
            Self::add(&self.served_hard, hard);
            Self::add(&self.served_background, batch.columns.ids.len() as u64 - hard);
        }
        Self::add(&self.shortfalls, u64::from(batch.draw.shortfall_count > 0));
        Self::add(&self.proposals, batch.draw.proposals);
        Self::add(&self.control_batches, u64::from(batch.draw.control));
    }
}

impl CounterValues {
    /// The same, with what the partitions of a flat pool count.
    #[must_use]
    pub(crate) fn with_totals(self, totals: &Totals) -> Self {
        Self {
            rows: ReportCounts {
                non_finite: totals.non_finite,
                stale: totals.stale,
                out_of_range: totals.out_of_range,
                quarantined: totals.quarantined,
                blocked: totals.blocked,
                ..self.rows
            },
            reported_rows: totals.reported,
            quarantine_set_aside: totals.set_aside,
            quarantine_released: totals.released,
            evicted: totals.evicted,
            clamped: totals.clamped,
            floored: totals.floored,
            removed: totals.removed,
            expired: totals.expired,
            ..self
        }
    }

    /// The same, with what the partitions of anchors of an anchored pool count.
    #[must_use]
    pub(crate) fn with_anchor_totals(self, totals: &AnchorTotals) -> Self {
        Self {
            rows: ReportCounts {
                non_finite: totals.non_finite,
                out_of_range: totals.out_of_range,
                stale: totals.stale,
                anchor_limit: totals.anchor_limit,
                not_negative: totals.not_negative,
                ..self.rows
            },
            reported_rows: totals.reported,
            evicted: totals.evicted,
            clamped: totals.clamped,
            floored: totals.floored,
            ..self
        }
    }
}

/// What an anchored pool holds, and what its filters did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnchoredFigures {
    /// Sizes.
    pub store: AnchorStoreStats,
    /// Candidates that each filter turned away so far.
    pub filtered: FilterCounts,
}

/// A pool's figures now.
#[derive(Clone, Debug)]
pub struct PoolStats {
    /// Sizes.
    pub sizes: PoolSizes,
    /// Counters.
    pub counters: CounterValues,
    /// Candidates that filters turned away.
    pub filtered: FilterCounts,
    /// The store's own figures.
    pub store: StoreStats,
    /// The quantile that raw scores are held against by the quarantine; `None` without the rule, or before enough rows.
    pub quarantine_threshold: Option<f32>,
    /// Of a pool that ages by steps: its current run.
    pub run: Option<RunState>,
    /// With a flow: its balance, samples.
    pub flow_balance: Option<f64>,
    /// Of an anchored pool.
    pub anchored: Option<AnchoredFigures>,
}
