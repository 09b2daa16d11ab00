//! The filter of a draw for an anchor, which decides which negatives may be served. Its conditions are in the order of docs/methods.md 5.3:
//! exclusions, positives, vetoes; model version and age; score; the margins and the condition of the strategy; then the range, over the
//! negatives that are left. Group caps come last, in the draw. A negative counts at the first condition that refuses it.

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
    /// Its negatives, the hardest first.
    pub(crate) negatives: &'a [Negative],
    /// Groups, one per negative, or empty.
    groups: &'a [u64],
    positives: &'a [u64],
    vetoes: &'a [u64],
}

impl<'a> View<'a> {
    pub(crate) fn of(rows: &'a AnchorRows, row: &'a AnchorRow) -> Self {
        Self {
            row,
            negatives: &rows.negatives[row.negatives.clone()],
            groups: rows.groups.get(row.negatives.clone()).unwrap_or_default(),
            positives: &rows.not_negative[row.positives.clone()],
            vetoes: &rows.not_negative[row.vetoes.clone()],
        }
    }

    pub(crate) fn group(&self, at: usize) -> u64 {
        self.groups.get(at).copied().unwrap_or(0)
    }
}

/// The conditions of one request.
pub(crate) struct Filter<'a> {
    pub(crate) policy: &'a NegativePolicy,
    pub(crate) strategy: &'a dyn Strategy,
    pub(crate) excluded: &'a HashSet<u64>,
    pub(crate) stamp_now: u32,
    pub(crate) by_steps: bool,
}

impl Filter<'_> {
    /// Whether a sample may be served for an anchor, from either source; counts it if not.
    pub(crate) fn admits(&self, view: &View<'_>, id: u64, counts: &mut FilterCounts) -> bool {
        let reason = if self.excluded.contains(&id) {
            Reason::Excluded
        } else if view.positives.binary_search(&id).is_ok() {
            Reason::KnownPositive
        } else if view.vetoes.binary_search(&id).is_ok() {
            Reason::Vetoed
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
            if !self.admits(view, negative.id, counts) || !self.passes(negative, scene, counts) {
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
