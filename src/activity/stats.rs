//! The counters and figures of a pool.

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
            /// Rows by outcome, for the outcomes that partitions do not count.
            rows: Mutex<ReportCounts>,
            $($(#[$doc])* pub $name: AtomicU64,)*
        }

        /// The counters at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct CounterValues {
            /// Rows by outcome, including rows of resends.
            pub rows: ReportCounts,
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// Reads all counters.
            #[must_use]
            pub(crate) fn values(&self) -> CounterValues {
                CounterValues { rows: *self.rows.lock(), $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

// The partitions of a pool count rows and samples (`CounterValues::with_totals`). These counters count only calls, batches, and what
// depends on how rows were divided into batches.
counters! {
    /// Rows reported, without those of resends, which count as `duplicate` only.
    reported_rows,
    /// Batches that were applied.
    reported_batches,
    /// Batches refused as a whole.
    rejected_batches,
    /// Resends of batches that had been applied.
    duplicate_batches,
    /// Samples set aside by the quarantine.
    quarantine_set_aside,
    /// Samples released from quarantine.
    quarantine_released,
    /// Positives and vetoes that were refused because a limit was reached.
    pairs_refused,
    /// Samples evicted from the hard store by harder ones.
    evicted,
    /// Scores whose log2 weight was clamped.
    clamped,
    /// Scores below 0 in a pool of power hardness, which all have the same weight.
    floored,
    /// Samples removed by a request.
    removed,
    /// Samples removed because no row reported them within the time to live.
    expired,
    /// Mined batches.
    mined_batches,
    /// Samples served that were drawn from the hard store.
    served_hard,
    /// Samples served that were drawn from the background.
    served_background,
    /// Mined batches with fewer samples than were asked for.
    shortfalls,
    /// Proposals that the sampler made.
    proposals,
    /// Rounds drawn.
    rounds,
    /// Mines answered from a round that another request had drawn.
    round_replays,
    /// Rounds of the control arm.
    control_batches,
    /// Reports that the flow made wait for mines.
    flow_report_waits,
    /// Reports refused because that wait timed out.
    flow_report_timeouts,
    /// Mines that the flow made wait for reports.
    flow_mine_waits,
    /// Mines whose wait for reports timed out.
    flow_mine_timeouts,
}

impl Counters {
    /// Adds to one counter.
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        if n > 0 {
            counter.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// Counts an applied batch, for the outcomes that partitions do not count. Some of its rows are `duplicate` if some partitions had
    /// applied them before.
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

    /// Counts a mined batch. A dry run serves no samples.
    pub(crate) fn count_mine(&self, batch: &MinedBatch, dry_run: bool) {
        Self::add(&self.mined_batches, 1);
        if !dry_run {
            // This counts by the source that a sample was drawn from. Partitions count by the source that its serve is owed to.
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
    /// These counters, with the counts of the partitions of a flat pool.
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

    /// These counters, with the counts of the anchor partitions of an anchored pool.
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

/// Figures of an anchored pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AnchoredFigures {
    /// Sizes, memory and counters of the anchor store.
    pub store: AnchorStoreStats,
    /// Candidates that each filter has refused so far.
    pub filtered: FilterCounts,
}

/// The present figures of a pool.
#[derive(Clone, Debug)]
pub struct PoolStats {
    /// Sizes of the pool.
    pub sizes: PoolSizes,
    /// Counters since the pool was created.
    pub counters: CounterValues,
    /// Candidates that each filter has refused so far.
    pub filtered: FilterCounts,
    /// Sizes, memory and counters of the store of samples.
    pub store: StoreStats,
    /// The quantile with which the quarantine compares raw scores; `None` without a quarantine rule, or before there were enough rows.
    pub quarantine_threshold: Option<f32>,
    /// The current run; `None` before the first report, and in a pool that does not age by steps.
    pub run: Option<RunState>,
    /// The balance of the flow, in mined samples; `None` without a flow.
    pub flow_balance: Option<f64>,
    /// What one half-life takes from a score; `None` where that is no fixed amount, or scores do not age.
    pub half_life_in_score: Option<f64>,
    /// Figures of the anchors; `None` for a flat pool.
    pub anchored: Option<AnchoredFigures>,
}
