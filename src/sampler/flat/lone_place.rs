//! TOP where epsilon B < 1 (docs/methods.md 5.4): one place goes to the background with probability epsilon B. With the other probability it
//! goes to the next hardest sample.

use std::collections::HashSet;

use super::background::Background;
use super::ranked::planned_tau;
use crate::sampler::rng::Draws;
use crate::sampler::weights;
use crate::store::Row;

/// The place of a batch that the background gets only sometimes.
pub(super) struct LonePlace {
    /// epsilon B.
    share: f64,
    /// The sample that has the place otherwise: the B-th hardest.
    next: u64,
    /// pi of that sample: as the next hardest, or as a member of the background.
    next_inclusion: f64,
}

impl LonePlace {
    /// Decides who gets the place, and takes the last of the `hardest` out where it is the background. `None`: they leave the background
    /// places of its own, or `share` gives it some.
    pub(super) fn deal(
        share: f64,
        size: usize,
        hardest: &mut Vec<Row>,
        background: &Background<'_>,
        draws: &mut Draws,
    ) -> Option<Self> {
        if share <= 0.0 || share >= 1.0 || background.size <= 0.0 || hardest.len() < size {
            return None;
        }
        hardest.truncate(size);
        let next = *hardest.last()?;
        let others: HashSet<u64> = hardest[..hardest.len() - 1].iter().map(|row| row.id).collect();
        // Of a member under a lease or filtered this is a little too high, by at most epsilon B over the number of members.
        let drawn = if background.contains(next.id) {
            let tau = planned_tau(background, &others, 1);
            weights::inclusion_probability(background.share_of(next.id), tau)
        } else {
            0.0
        };
        if draws.unit() < share {
            hardest.pop();
        }
        Some(Self { share, next: next.id, next_inclusion: (1.0 - share) + share * drawn })
    }

    /// pi of a sample among the hardest.
    pub(super) fn inclusion_of_hard(&self, id: u64) -> f64 {
        if id == self.next { self.next_inclusion } else { 1.0 }
    }

    /// pi of a member of the background that is drawn with probability `inclusion` where the background has the place.
    pub(super) fn inclusion_of_member(&self, id: u64, inclusion: f64) -> f64 {
        if id == self.next { self.next_inclusion } else { self.share * inclusion }
    }

    /// Whether a sample is the next hardest, which stands for itself also where the background brings it.
    pub(super) fn is_next(&self, id: u64) -> bool {
        id == self.next
    }
}
