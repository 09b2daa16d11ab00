//! Adds positives and vetoes of anchors, and removes samples from all anchors.

use std::collections::HashSet;
use std::sync::Arc;

use crate::activity::stats::Counters;
use crate::model::anchored_spec::AnchoredSpec;
use crate::model::error::PoolError;
use crate::model::report::Ids;
use crate::pool::Pool;
use crate::pool::anchored::Anchored;
use crate::pool::executor;
use crate::store::BackgroundSpec;
use crate::store::anchored::{NotNegative, PairLimit, Pairs, Refusal};

/// Scores of positives, and the version of the model that computed them.
#[derive(Default)]
struct Scores {
    scores: Vec<f32>,
    model_version: u32,
}

/// The outcome of adding pairs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarkCounts {
    /// Number of pairs that were new.
    pub added: u64,
    /// Number of stored negatives that were removed because they are no negatives.
    pub removed: u64,
    /// Rows that were refused, in order. Nothing of them is stored.
    pub refused: Vec<u32>,
    /// The reasons, in order of their rows: at least one for each partition that refused its rows.
    pub limits: Vec<ReachedLimit>,
}

/// A limit of the pool that pairs would have exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReachedLimit {
    /// The first row of the anchor that would have too many pairs, or the first row for which there was no room.
    pub row: u32,
    /// The limit's name.
    pub limit: &'static str,
    /// Its value.
    pub max: u64,
}

impl ReachedLimit {
    fn of(refusal: &Refusal, spec: &AnchoredSpec) -> Self {
        let (limit, max) = match refusal.limit {
            PairLimit::PositivesPerAnchor => {
                ("max_positives_per_anchor", spec.max_positives_per_anchor.into())
            }
            PairLimit::VetoesPerAnchor => ("max_vetoes_per_anchor", spec.max_vetoes_per_anchor.into()),
            PairLimit::Anchors => ("max_anchors", spec.max_anchors),
            PairLimit::Pairs => ("max_pairs", spec.max_pairs),
        };
        Self { row: refusal.row, limit, max }
    }
}

/// Positives of anchors: columns of equal length.
#[derive(Clone, Debug, Default)]
pub struct Positives {
    /// The anchor of each row.
    pub anchors: Ids,
    /// The positive of each row.
    pub positives: Ids,
    /// Scores of the positives for their anchors, one per row or empty; NaN: none, and a score that was reported before stays.
    pub scores: Vec<f32>,
    /// Version of the model that computed the scores.
    pub model_version: u32,
}

impl Pool {
    /// Adds positives of anchors, with their scores. Of each the latest score counts.
    ///
    /// The pool is divided into partitions by the hash of the anchor. Each takes all of its pairs, or none if an anchor would have too
    /// many; the answer names the refused rows.
    ///
    /// # Errors
    /// `Invalid` naming the field, `FailedPrecondition` for a flat pool; nothing is stored then.
    pub async fn add_positives(self: &Arc<Self>, request: Positives) -> Result<MarkCounts, PoolError> {
        self.as_anchored("AddPositives")?;
        let Positives { anchors, positives, mut scores, model_version } = request;
        if let Some(i) = scores.iter().position(|s| s.is_infinite()) {
            return Err(PoolError::invalid("scores", format!("row {i} is infinite")));
        }
        if scores.iter().all(|score| score.is_nan()) {
            scores.clear();
        }
        let of_scores = Scores { scores, model_version };
        self.mark(anchors, positives, "positives", of_scores, NotNegative::Positive).await
    }

    /// Adds vetoes of anchors.
    ///
    /// # Errors
    /// As [`Pool::add_positives`].
    pub async fn reject_negatives(
        self: &Arc<Self>,
        anchors: Ids,
        negatives: Ids,
    ) -> Result<MarkCounts, PoolError> {
        self.as_anchored("RejectNegatives")?;
        self.mark(anchors, negatives, "negatives", Scores::default(), NotNegative::Vetoed).await
    }

    async fn mark(
        self: &Arc<Self>,
        anchors: Ids,
        ids: Ids,
        field: &str,
        Scores { scores, model_version }: Scores,
        why: NotNegative,
    ) -> Result<MarkCounts, PoolError> {
        let anchored = self.as_anchored("it")?;
        let spec = self.spec();
        let of_anchors = spec.anchored.as_ref().ok_or(PoolError::Internal("spec"))?;
        for (rows, of) in [(ids.len(), field), (scores.len(), "scores")] {
            if rows != anchors.len() && (rows > 0 || of == field) {
                return Err(PoolError::invalid(
                    of,
                    format!("has {rows} rows, anchors has {}", anchors.len()),
                ));
            }
        }
        let pairs = Pairs {
            anchors: self.resolve_anchors(of_anchors, anchors, "anchors")?,
            ids: self.resolve(&spec, ids, field)?.0,
            scores,
            stamp: self.clock.now().stamp,
            model_version,
        };
        let (pool, store) = (self.clone(), anchored.store.clone());
        let marking = async move {
            let marked = store.mark(pairs, why).await?;
            Counters::add(&pool.counters.pairs_refused, marked.refused.len() as u64);
            Ok(marked)
        };
        let marked = executor::finish("marking of pairs", marking).await?;
        Ok(MarkCounts {
            added: marked.added,
            removed: marked.removed,
            refused: marked.refused,
            limits: marked.refusals.iter().map(|refusal| ReachedLimit::of(refusal, of_anchors)).collect(),
        })
    }

    /// Removes samples from every anchor and from the background; returns how many were stored.
    pub(in crate::pool) async fn remove_negatives(
        &self,
        anchored: &Anchored,
        ids: &[u64],
    ) -> Result<u64, PoolError> {
        let background: Vec<u64> =
            self.store.get(ids).await?.into_iter().flatten().map(|row| row.id).collect();
        let (of_background, _) = self.store.remove(ids).await?;
        let (of_anchors, _) = anchored.store.remove(ids).await?;
        let removed = match self.spec().background {
            // In a dense id space every id could be drawn, so each that was not removed counts.
            BackgroundSpec::Dense { .. } => of_background,
            BackgroundSpec::Sampled { .. } => {
                of_anchors.into_iter().chain(background).collect::<HashSet<_>>().len() as u64
            }
        };
        Ok(removed)
    }
}
