//! What is known to be no negative of an anchor (positives, vetoes), and samples that are to be forgotten altogether.

use std::collections::HashSet;
use std::sync::Arc;

use super::Anchored;
use crate::pool::core::Pool;
use crate::pool::error::PoolError;
use crate::pool::executor;
use crate::pool::report::Ids;
use crate::store::BackgroundSpec;
use crate::store::anchored::{NotNegative, Pairs};

/// What became of pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MarkCounts {
    /// Pairs that were not known before.
    pub added: u64,
    /// Stored negatives that went.
    pub removed: u64,
}

impl Pool {
    /// Remembers known positives of anchors. `scores`: one a row or empty, NaN: none.
    ///
    /// # Errors
    /// `Invalid` naming the field, `Exhausted` naming the limit of the pool, `FailedPrecondition` of a flat pool; nothing is
    /// remembered then.
    pub async fn add_positives(
        self: &Arc<Self>,
        anchors: Ids,
        positives: Ids,
        mut scores: Vec<f32>,
    ) -> Result<MarkCounts, PoolError> {
        self.as_anchored("AddPositives")?;
        if let Some(i) = scores.iter().position(|s| s.is_infinite()) {
            return Err(PoolError::invalid("scores", format!("row {i} is infinite")));
        }
        if scores.iter().all(|score| score.is_nan()) {
            scores.clear();
        }
        self.mark(anchors, positives, "positives", scores, NotNegative::Positive).await
    }

    /// Remembers vetoed negatives of anchors.
    ///
    /// # Errors
    /// As of [`Pool::add_positives`].
    pub async fn reject_negatives(
        self: &Arc<Self>,
        anchors: Ids,
        negatives: Ids,
    ) -> Result<MarkCounts, PoolError> {
        self.as_anchored("RejectNegatives")?;
        self.mark(anchors, negatives, "negatives", Vec::new(), NotNegative::Vetoed).await
    }

    async fn mark(
        self: &Arc<Self>,
        anchors: Ids,
        ids: Ids,
        field: &str,
        scores: Vec<f32>,
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
        };
        let store = anchored.store.clone();
        let marking = async move { Ok(store.mark(pairs, why).await?) };
        let marked = executor::finish("marking of pairs", marking).await?;
        Ok(MarkCounts { added: marked.added, removed: marked.removed })
    }

    /// Removes samples from every anchor and from the background; how many were stored, and the position.
    pub(in crate::pool) async fn remove_negatives(
        &self,
        anchored: &Anchored,
        ids: &[u64],
    ) -> Result<(u64, u64), PoolError> {
        let background: Vec<u64> =
            self.store.get(ids).await?.into_iter().flatten().map(|row| row.id).collect();
        let (of_background, position) = self.store.remove(ids).await?;
        let (of_anchors, _) = anchored.store.remove(ids).await?;
        let removed = match self.spec().background {
            // Every id of the space could be drawn.
            BackgroundSpec::Dense { .. } => of_background,
            BackgroundSpec::Sampled { .. } => {
                of_anchors.into_iter().chain(background).collect::<HashSet<_>>().len() as u64
            }
        };
        Ok((removed, position))
    }
}
