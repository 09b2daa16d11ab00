//! The samples served last and the weights of the batches mined last, for figures of what trainers see.

use parking_lot::Mutex;
use std::collections::VecDeque;

use super::bias::effective_share;
use super::histograms::Sample;
use crate::model::batch::MinedBatch;

/// Served samples kept.
const ROWS_MAX: usize = 4096;
/// Batches with weights whose effective sample share is kept.
const BATCHES_MAX: usize = 256;

/// A ring of the samples served last. 20 bytes each, allocated with the first batch.
#[derive(Debug, Default)]
pub(crate) struct Served(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    rows: Vec<Sample>,
    next: usize,
    effective_shares: VecDeque<f64>,
}

/// What was served lately; in no order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lately {
    /// The samples served last.
    pub(crate) rows: Vec<Sample>,
    /// (sum w)^2 / (n sum w^2) of the batches with weights mined last.
    pub(crate) effective_shares: Vec<f64>,
}

impl Served {
    /// Remembers a batch; of a batch beyond the ring, every stride-th row. A batch that would have to wait for
    /// another is left out: these are figures, not accounts.
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
