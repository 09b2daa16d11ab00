//! The samples served last, and the effective sample shares of the batches mined last, for figures of what trainers get.

use parking_lot::Mutex;
use std::collections::VecDeque;

use super::bias::effective_share;
use super::histograms::Sample;
use crate::model::batch::MinedBatch;

/// Maximum number of served samples kept.
const ROWS_MAX: usize = 4096;
/// Maximum number of batches whose effective sample share is kept.
const BATCHES_MAX: usize = 256;

/// A ring of the samples served last. It takes 20 bytes per sample and is allocated with the first batch.
#[derive(Debug, Default)]
pub(crate) struct Served(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    rows: Vec<Sample>,
    next: usize,
    effective_shares: VecDeque<f64>,
}

/// The samples and batches served lately, in no order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lately {
    /// The samples served last.
    pub(crate) rows: Vec<Sample>,
    /// (sum w)^2 / (n sum w^2) of each of the last mined batches with weights.
    pub(crate) effective_shares: Vec<f64>,
}

impl Served {
    /// Records a batch; of a batch larger than the ring, every stride-th row. If another thread holds the lock the batch is skipped rather
    /// than delayed, because the figures are only estimates.
    pub(crate) fn record(&self, batch: &MinedBatch) {
        let Some(mut ring) = self.0.try_lock() else {
            return;
        };
        if ring.rows.is_empty() {
            ring.rows.reserve_exact(ROWS_MAX);
        }
        if let Some(share) = batch.columns.importance_weights.as_deref().and_then(effective_share) {
            ring.effective_shares.truncate(BATCHES_MAX - 1);
            ring.effective_shares.push_front(share);
        }
        let stride = batch.columns.ids.len().div_ceil(ROWS_MAX).max(1);
        for i in (0..batch.columns.ids.len()).step_by(stride) {
            let row = Sample {
                score: batch.columns.scores[i],
                age: batch.columns.ages[i],
                model_version: batch.columns.model_versions[i],
                serves: batch.columns.serves[i].min(u32::from(u16::MAX)) as u16,
                stratum: batch.columns.strata[i],
            };
            let next = ring.next;
            if ring.rows.len() < ROWS_MAX {
                ring.rows.push(row);
            } else {
                ring.rows[next] = row;
            }
            ring.next = (next + 1) % ROWS_MAX;
        }
    }

    pub(crate) fn lately(&self) -> Lately {
        let ring = self.0.lock();
        Lately { rows: ring.rows.clone(), effective_shares: ring.effective_shares.iter().copied().collect() }
    }

    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.0.lock().rows.clone()
    }
}
