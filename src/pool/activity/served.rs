//! The samples served last, for figures of what trainers see.

use parking_lot::Mutex;

use super::figures::Sample;
use crate::pool::batch::MinedBatch;

/// Served samples kept.
const ROWS_MAX: usize = 4096;

/// A ring of the samples served last. 16 bytes each, allocated with the first batch.
#[derive(Debug, Default)]
pub(super) struct Served(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    rows: Vec<Sample>,
    next: usize,
}

impl Served {
    /// Remembers a batch; of a batch beyond the ring, every so-manieth row. A batch that would have to wait for
    /// another is left out: these are figures, not accounts.
    pub(super) fn record(&self, batch: &MinedBatch) {
        let Some(mut ring) = self.0.try_lock() else {
            return;
        };
        if ring.rows.is_empty() {
            ring.rows.reserve_exact(ROWS_MAX);
        }
        let stride = batch.ids.len().div_ceil(ROWS_MAX).max(1);
        for i in (0..batch.ids.len()).step_by(stride) {
            let row = Sample {
                score: batch.scores[i],
                age: batch.ages[i],
                model_version: batch.model_versions[i],
                serves: batch.serves[i].min(u32::from(u16::MAX)) as u16,
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

    pub(super) fn samples(&self) -> Vec<Sample> {
        self.0.lock().rows.clone()
    }
}
