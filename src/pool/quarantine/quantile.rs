//! The running quantile of the reported raw scores (docs/methods.md 12): a t-digest (Dunning & Ertl 2019) over a sample of each batch, in
//! which older rows count less.

use parking_lot::Mutex;
use tdigest::{Centroid, TDigest};

use crate::store::hash::background_hash;

/// Maximum number of rows sampled of a batch.
const SAMPLED_MAX: usize = 256;
/// Number of rows that must have been reported before the quantile is used.
pub(crate) const ROWS_MIN: f64 = 1_000.0;
/// The half-life of a row's weight, in further rows. With batches of 8,192 about 12,000 sampled rows carry the weight, with which a
/// quantile of 0.99 is accurate to 0.001.
const HALF_LIFE_ROWS: f64 = (1 << 18) as f64;
/// Maximum number of sampled rows that wait to be merged.
const PENDING_MAX: usize = 1_024;
/// They are merged earlier when they stand for this share of all rows so far.
const PENDING_SHARE: f64 = 1.0 / 64.0;
/// Maximum number of centroids.
const CENTROIDS_MAX: usize = 200;

/// The sampled scores of a batch, from which the quantile learns.
#[derive(Debug, Default)]
pub(in crate::pool) struct Sampled {
    scores: Vec<f32>,
    /// Number of rows that each sampled score stands for, so that a row of a small batch counts as much as one of a large batch.
    weight: f64,
}

impl Sampled {
    /// The same sample for a batch of which a number of rows had been applied before, from which the quantile has learnt already.
    pub(in crate::pool) fn less(self, duplicate: u64) -> Self {
        let rows = self.scores.len() as f64 * self.weight;
        let left = if rows > 0.0 { 1.0 - duplicate as f64 / rows } else { 0.0 };
        Self { weight: self.weight * left.max(0.0), ..self }
    }
}

/// Quantiles of the scores reported lately. It takes about 16 KB once it is used. Learning costs a short lock per batch, and about ten
/// microseconds when sampled rows are merged.
#[derive(Debug, Default)]
pub(in crate::pool) struct RunningQuantile(Mutex<QuantileSketch>);

#[derive(Debug, Default)]
struct QuantileSketch {
    digest: Option<TDigest>,
    pending: Vec<(f32, f32)>,
    pending_rows: f64,
    /// All rows so far.
    rows: f64,
    batches: u64,
    /// The quantile that was asked for last, and its value; empty after a merge.
    known: Option<(f64, f32)>,
}

impl RunningQuantile {
    /// Samples every stride-th of these finite scores, from a start that differs between batches.
    pub(in crate::pool) fn sample(&self, scores: &[f32]) -> Sampled {
        let stride = scores.len().div_ceil(SAMPLED_MAX).max(1);
        let batch = {
            let mut state = self.0.lock();
            state.batches += 1;
            state.batches
        };
        let start = (background_hash(batch, 0) % stride as u64) as usize;
        let scores_sampled: Vec<f32> = scores.iter().skip(start).step_by(stride).copied().collect();
        let weight = scores.len() as f64 / scores_sampled.len().max(1) as f64;
        Sampled { scores: scores_sampled, weight }
    }

    pub(in crate::pool) fn learn(&self, sampled: &Sampled) {
        let mut state = self.0.lock();
        let rows = sampled.scores.len() as f64 * sampled.weight;
        state.pending.extend(sampled.scores.iter().map(|score| (*score, sampled.weight as f32)));
        state.pending_rows += rows;
        state.rows += rows;
        let known = state.digest.as_ref().map_or(0.0, TDigest::count);
        if state.pending.len() >= PENDING_MAX || state.pending_rows >= (known * PENDING_SHARE).max(ROWS_MIN) {
            state.merge();
        }
    }

    /// The quantile `q`; `None` before [`ROWS_MIN`] rows.
    pub(in crate::pool) fn at(&self, q: f64) -> Option<f32> {
        let mut state = self.0.lock();
        if state.rows < ROWS_MIN {
            return None;
        }
        if let Some((of, value)) = state.known
            && of == q
        {
            return Some(value);
        }
        if state.digest.is_none() {
            state.merge();
        }
        // The value is rounded to f32 like the scores. Otherwise a mean of equal scores with rounding errors could be below all of them.
        let value = state.digest.as_ref()?.estimate_quantile(q)? as f32;
        state.known = Some((q, value));
        Some(value)
    }

    /// Forgets everything.
    pub(in crate::pool) fn clear(&self) {
        *self.0.lock() = QuantileSketch::default();
    }

    pub(in crate::pool) fn memory_bytes(&self) -> usize {
        let state = self.0.lock();
        let centroids = state.digest.as_ref().map_or(0, |d| d.centroids().len());
        state.pending.capacity() * size_of::<(f32, f32)>() + centroids * size_of::<Centroid>()
    }
}

impl QuantileSketch {
    /// Reduces the weights of older rows by the number of rows since, then merges the new ones.
    fn merge(&mut self) {
        let fresh: Vec<Centroid> = self
            .pending
            .drain(..)
            .map(|(score, weight)| Centroid::new(score.into(), weight.into()))
            .collect();
        let kept = 0.5f64.powf(self.pending_rows / HALF_LIFE_ROWS);
        self.pending_rows = 0.0;
        self.known = None;
        let older = self.digest.take().map(|digest| {
            digest.centroids().iter().map(|c| Centroid::new(c.mean(), c.weight() * kept)).collect()
        });
        let digests: Vec<TDigest> = older.into_iter().chain([fresh]).filter_map(digest).collect();
        self.digest = (!digests.is_empty()).then(|| TDigest::merge_digests(digests));
    }
}

/// A digest of weighted centroids. Its extremes are those of the means, so that an old outlier is forgotten.
fn digest(mut centroids: Vec<Centroid>) -> Option<TDigest> {
    centroids.sort();
    let (min, max) = (centroids.first()?.mean(), centroids.last()?.mean());
    let count = centroids.iter().map(Centroid::weight).sum();
    let sum = centroids.iter().map(|c| c.mean() * c.weight()).sum();
    Some(TDigest::new(centroids, sum, count, Some(max), Some(min), CENTROIDS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::hash::placement_hash;

    /// Uniform on 0..1, fixed for ever.
    fn uniform(i: u64) -> f32 {
        (placement_hash(i) >> 40) as f32 / (1u64 << 24) as f32
    }

    fn tell(quantile: &RunningQuantile, scores: &[f32]) {
        let sampled = quantile.sample(scores);
        quantile.learn(&sampled);
    }

    #[test]
    fn quantiles_of_known_scores_once_enough_were_seen() {
        let quantile = RunningQuantile::default();
        tell(&quantile, &[0.5; 999]);
        assert_eq!(quantile.at(0.99), None);
        // 2,000 batches of 1 to 300 rows: a row counts alike in each.
        let mut next = 0;
        for batch in 0..2_000 {
            let scores: Vec<f32> = (0..1 + batch % 300).map(|i| uniform(next + i)).collect();
            next += 1 + batch % 300;
            tell(&quantile, &scores);
        }
        for (q, within) in [(0.5, 0.01), (0.9, 0.006), (0.99, 0.002), (0.999, 0.001), (0.01, 0.002)] {
            let value = f64::from(quantile.at(q).unwrap());
            assert!((value - q).abs() < within, "{q}: {value}");
        }
        assert!(quantile.memory_bytes() < 32 * 1024);
    }

    #[test]
    fn large_batches_are_sampled_without_bias_and_small_ones_do_not_outweigh_them() {
        let quantile = RunningQuantile::default();
        for batch in 0..64u64 {
            let large: Vec<f32> = (0..8_000).map(|i| uniform(batch * 8_000 + i)).collect();
            tell(&quantile, &large);
            // As many batches, but one row in 80: a pool whose small batches are all 5 has its 0.98 quantile below 1.
            tell(&quantile, &[5.0; 100]);
        }
        let value = quantile.at(0.95).unwrap();
        // 0.95 = 80/81 x u: u = 0.9619. Sampled: 16,000 rows, a standard error of 0.0017.
        assert!((value - 0.9619).abs() < 0.009, "{value}");
    }

    #[test]
    fn the_quantile_follows_scores_that_fall() {
        let quantile = RunningQuantile::default();
        let told = |scale: f32, batches: u64| {
            for batch in 0..batches {
                let scores: Vec<f32> = (0..8_192).map(|i| scale * uniform(batch * 8_192 + i)).collect();
                tell(&quantile, &scores);
            }
            quantile.at(0.99).unwrap()
        };
        assert!((told(8.0, 64) - 7.92).abs() < 0.1);
        // 320 batches are ten half-lives: a thousandth is left of what was.
        assert!((told(1.0, 320) - 0.99).abs() < 0.03);
    }

    #[test]
    fn equal_scores_are_not_above_their_quantile() {
        for score in [0.1f32, 1e-30, -7.3, 16_777_216.0, 0.0] {
            let quantile = RunningQuantile::default();
            for _ in 0..300 {
                tell(&quantile, &[score; 777]);
            }
            assert_eq!(quantile.at(0.99), Some(score));
            assert_eq!(quantile.at(0.01), Some(score));
        }
    }
}
