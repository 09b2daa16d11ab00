//! The filter of a draw for an anchor, which decides which negatives may be served. Its conditions are in the order of docs/methods.md 5.3:
//! exclusions, the anchor itself, positives, vetoes, labels; model version and age; score; the margins and the condition of the strategy;
//! then the range, over the negatives that are left. Group caps come last, in the draw. A negative counts at the first condition that
//! refuses it.

use std::collections::HashSet;

use crate::model::filter_counts::{FilterCounts, Reason};
use crate::model::moment;
use crate::model::negative_policy::NegativePolicy;
use crate::sampler::anchored::strategy::{Scene, Strategy};
use crate::store::anchored::{AnchorRow, AnchorRows, Negative};

/// The stored rows of one anchor.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) row: &'a AnchorRow,
    anchor: u64,
    /// Its negatives, the hardest first.
    pub(crate) negatives: &'a [Negative],
    /// Groups, one per negative, or empty.
    groups: &'a [u64],
    /// Labels, one per negative, or empty.
    labels: &'a [u32],
    positives: &'a [u64],
    vetoes: &'a [u64],
}

impl<'a> View<'a> {
    /// `row`: that of `anchor`.
    pub(crate) fn of(anchor: u64, rows: &'a AnchorRows, row: &'a AnchorRow) -> Self {
        Self {
            row,
            anchor,
            negatives: &rows.negatives[row.negatives.clone()],
            groups: rows.groups.get(row.negatives.clone()).unwrap_or_default(),
            labels: rows.labels.get(row.negatives.clone()).unwrap_or_default(),
            positives: &rows.not_negative[row.positives.clone()],
            vetoes: &rows.not_negative[row.vetoes.clone()],
        }
    }

    pub(crate) fn group(&self, at: usize) -> u64 {
        self.groups.get(at).copied().unwrap_or(0)
    }

    fn label(&self, at: usize) -> u32 {
        self.labels.get(at).copied().unwrap_or(0)
    }
}

/// The conditions of one request.
pub(crate) struct Filter<'a> {
    pub(crate) policy: &'a NegativePolicy,
    pub(crate) strategy: &'a dyn Strategy,
    pub(crate) excluded: &'a HashSet<u64>,
    /// Anchors and samples share one id space.
    pub(crate) anchors_are_samples: bool,
    pub(crate) stamp_now: u32,
    pub(crate) by_steps: bool,
}

impl Filter<'_> {
    /// Whether a sample of this label may be served for an anchor, from either source; counts it if not. Label 0 is no label.
    pub(crate) fn admits(&self, view: &View<'_>, id: u64, label: u32, counts: &mut FilterCounts) -> bool {
        let reason = if self.excluded.contains(&id) {
            Reason::Excluded
        } else if self.anchors_are_samples && id == view.anchor {
            Reason::AnchorItself
        } else if view.positives.binary_search(&id).is_ok() {
            Reason::KnownPositive
        } else if view.vetoes.binary_search(&id).is_ok() {
            Reason::Vetoed
        } else if label != 0 && label == view.row.label {
            Reason::SameLabel
        } else {
            return true;
        };
        counts.count(reason);
        false
    }

    /// The indices of the negatives that may be served, the hardest first; counts the others.
    pub(crate) fn eligible(&self, view: &View<'_>, scene: &Scene, counts: &mut FilterCounts) -> Vec<usize> {
        let range =
            self.policy.range_min as usize..self.policy.range_max.map_or(usize::MAX, |max| max as usize);
        let mut rank = 0;
        let mut eligible = Vec::with_capacity(view.negatives.len());
        for (at, negative) in view.negatives.iter().enumerate() {
            let label = view.label(at);
            if !self.admits(view, negative.id, label, counts) || !self.passes(negative, scene, counts) {
                continue;
            }
            if range.contains(&rank) {
                eligible.push(at);
            } else {
                counts.count(Reason::Rank);
            }
            rank += 1;
        }
        eligible
    }

    fn passes(&self, negative: &Negative, scene: &Scene, counts: &mut FilterCounts) -> bool {
        let policy = self.policy;
        let reason = if policy
            .model_version
            .is_some_and(|(min, max)| !(min..=max).contains(&negative.model_version))
        {
            Reason::ModelVersion
        } else if policy.age.is_some_and(|(min, max)| !(min..=max).contains(&self.age(negative))) {
            Reason::Age
        } else if policy.min_score.is_some_and(|min| negative.score < min)
            || policy.max_score.is_some_and(|max| negative.score > max)
        {
            Reason::Score
        } else if !policy.margins.admit(scene.lower_is_harder, scene.positive, negative.score)
            || !policy.hard_margin.is_none_or(|margin| is_within(margin, negative.score, scene))
            || !self.strategy.admits(negative, scene)
        {
            Reason::PositiveAware
        } else {
            return true;
        };
        counts.count(reason);
        false
    }

    /// The age of a negative: seconds or steps since its report.
    pub(crate) fn age(&self, negative: &Negative) -> f64 {
        moment::age(self.stamp_now, negative.stamp, self.by_steps)
    }
}

/// Whether a negative is harder than the positive less `margin`: s_n > s_p - margin, or d_n < d_p + margin. These are the negatives of
/// pytorch-metric-learning's `TripletMarginMiner` and `MultiSimilarityMiner` (Wang et al. 2019, with the positive that is least similar to
/// the anchor). An anchor without a positive score (NaN) has none. In f64 the sums of f32 numbers of similar size are exact.
fn is_within(margin: f32, score: f32, scene: &Scene) -> bool {
    let (score, positive, margin) = (f64::from(score), f64::from(scene.positive), f64::from(margin));
    if scene.lower_is_harder { score < positive + margin } else { score > positive - margin }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::key::Key;

    #[test]
    fn the_hard_margin_is_strict_to_the_last_bit() {
        let within = |margin, positive, lower_is_harder, score: f32| {
            is_within(margin, score, &Scene { positive, lower_is_harder, now: Key(0) })
        };
        assert!(within(0.25, 0.75, false, 0.5_f32.next_up()) && !within(0.25, 0.75, false, 0.5));
        assert!(within(0.25, 0.75, true, 1.0_f32.next_down()) && !within(0.25, 0.75, true, 1.0));
        assert!(within(0.25, 0.75, false, 0.9) && within(0.25, 0.75, true, 0.1), "harder than the positive");
        assert!(within(0.0, 0.75, false, 0.75_f32.next_up()) && !within(0.0, 0.75, false, 0.75));
        assert!(!within(9.0, f32::NAN, false, 0.5) && !within(9.0, f32::NAN, true, 0.5));
    }
}
