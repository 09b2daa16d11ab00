//! The batches of the load, which are made before the measurement.

use rand::{RngExt as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::client::{self, Error, ScoreBatch, pb};

/// Number of different batches of a stream, which are sent in turn.
const BATCHES: usize = 128;

/// How the ids of a batch are chosen.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ids {
    /// Uniformly at random.
    Random,
    /// In sequence; batches of the lanes alternate.
    Sequential { lane: usize, lanes: usize },
}

/// Makes the batches of one stream, with ids from 0..ids.
pub(super) fn make(
    pool: &str,
    ids: u64,
    rows: usize,
    order: Ids,
    seed: u64,
    encoding: pb::ColumnEncoding,
) -> Result<Vec<ScoreBatch>, Error> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    (0..BATCHES)
        .map(|turn| {
            let column = match order {
                Ids::Random => (0..rows).map(|_| random.random_range(0..ids)).collect(),
                Ids::Sequential { lane, lanes } => {
                    let start = ((turn * lanes + lane) * rows) as u64;
                    (0..rows as u64).map(|row| (start + row) % ids).collect()
                }
            };
            let scores = scores(&mut random, rows);
            // All batches have step 1, so that steps never go back; a pool that ages by time ignores it.
            Ok(ScoreBatch::with_encoding(pool, client::Ids::U64(column), scores, encoding)?.step(1))
        })
        .collect()
}

/// Log-normal scores with median 1: many easy samples and a long tail of hard ones, like losses.
pub(super) fn scores(random: &mut Xoshiro256PlusPlus, rows: usize) -> Vec<f32> {
    (0..rows)
        .map(|_| {
            // Box-Muller; 1 - u keeps the logarithm finite.
            let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
            let normal = radius * (std::f64::consts::TAU * random.random::<f64>()).cos();
            #[expect(clippy::cast_possible_truncation, reason = "at most e^9")]
            let score = normal.exp() as f32;
            score
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_log_normal() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
        let scores = scores(&mut random, 100_000);
        assert!(scores.iter().all(|score| score.is_finite() && *score > 0.0));
        let logs: Vec<f64> = scores.iter().map(|score| f64::from(*score).ln()).collect();
        let mean = logs.iter().sum::<f64>() / 1e5;
        let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((variance - 1.0).abs() < 0.03, "{variance}");
    }
}
