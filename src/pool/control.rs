//! The control arm: rounds that get a uniform batch, with which mining is compared (docs/methods.md 11.3).

use xxhash_rust::xxh3::xxh3_64;

use crate::model::batch::Round;

/// Whether a round of the pool named `pool` is in the control arm. This is decided by a hash of run, number and name, so it is the same on
/// every rank, in every retry and after a restart. With a larger fraction the control arm has the same rounds and more.
#[must_use]
pub(super) fn is_control(fraction: f64, pool: &str, round: &Round) -> bool {
    let mut bytes = Vec::with_capacity(16 + round.run_id.len() + pool.len());
    bytes.extend(round.number.to_le_bytes());
    // The length of the first name comes first, so that no two pairs of names give the same bytes.
    bytes.extend((round.run_id.len() as u64).to_le_bytes());
    bytes.extend(round.run_id.as_bytes());
    bytes.extend(pool.as_bytes());
    let unit = (xxh3_64(&bytes) >> 11) as f64 / (1u64 << 53) as f64;
    unit < fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_arm_has_the_wanted_share_and_differs_between_runs_and_pools() {
        let arm = |fraction: f64, pool: &str, run: &str| -> Vec<bool> {
            (0..10_000)
                .map(|number| {
                    let round = Round { number, rank: 0, world_size: 1, run_id: run.into() };
                    is_control(fraction, pool, &round)
                })
                .collect()
        };
        let count = |arm: &[bool]| arm.iter().filter(|control| **control).count();
        let tenth = arm(0.1, "faces", "a");
        // The hash is fixed, so the test passes always or never. Five standard deviations of a binomial are 150.
        assert!(count(&tenth).abs_diff(1_000) < 150, "{}", count(&tenth));
        assert_eq!((count(&arm(0.0, "faces", "a")), count(&arm(1.0, "faces", "a"))), (0, 10_000));
        let fifth = arm(0.2, "faces", "a");
        assert!(tenth.iter().zip(&fifth).all(|(small, large)| !small || *large));
        for other in [arm(0.1, "faces", "b"), arm(0.1, "face", "sa")] {
            let both = tenth.iter().zip(&other).filter(|(a, b)| **a && **b).count();
            assert!(both.abs_diff(100) < 50, "{both}");
        }
    }
}
