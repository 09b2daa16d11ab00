//! A statistic that shows whether the hard store depends on the background, computed from counts of both.

use super::PartitionBackground;

/// The closed-loop ratio (|H| + sum of |R_s outside H|/p_s)/N (docs/methods.md 4.3): the number of ids estimated from the hard store and
/// the background together, over the number estimated from the background alone. It is 1 but for chance if H does not depend on R.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoopRatio {
    /// The ratio.
    pub ratio: f64,
    /// How far the ratio is off 1, in standard errors: the number of members of R in H is compared with what is expected by the root of the
    /// deviance of a binomial count (McCullagh and Nelder 1989, 2.3), which is close to normal for small counts too.
    pub deviation: f64,
}

impl Default for LoopRatio {
    fn default() -> Self {
        Self { ratio: 1.0, deviation: 0.0 }
    }
}

impl LoopRatio {
    /// Deviations above this are not put down to chance: a pool at rest exceeds it once in 16,000 cases.
    const OFF: f64 = 4.0;

    /// The ratio of a pool from the counts of its partitions.
    pub fn of<'a>(partitions: impl Iterator<Item = &'a PartitionBackground>) -> Self {
        let (mut excess, mut distinct) = (0.0, 0.0);
        let (mut standing, mut own, mut expected) = (0.0, 0.0, 0.0);
        for partition in partitions {
            let p = partition.probability();
            excess += partition.standing() as f64 - partition.own as f64 / p;
            distinct += partition.distinct();
            standing += partition.standing() as f64;
            own += partition.own as f64;
            expected += partition.standing() as f64 * p;
        }
        if distinct > 0.0 {
            let deviation = deviation_of(own, expected, standing);
            Self { ratio: 1.0 + excess / distinct, deviation }
        } else {
            Self::default()
        }
    }

    /// Whether the ratio is further off 1 than chance explains.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.deviation > Self::OFF
    }
}

/// The root of the deviance of a binomial count out of `of` trials, where `expected` is its mean.
fn deviation_of(count: f64, expected: f64, of: f64) -> f64 {
    if expected <= 0.0 || expected >= of {
        return 0.0;
    }
    let term = |count: f64, expected: f64| if count > 0.0 { count * (count / expected).ln() } else { 0.0 };
    (2.0 * (term(count, expected) + term(of - count, of - expected))).max(0.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exact probability that a binomial count is more than four deviations off. For a normal variable it is 6.3e-5.
    fn chance_of_being_off(of: u32, p: f64) -> f64 {
        let of = f64::from(of);
        let mut log_probability = of * (1.0 - p).ln();
        let mut chance = 0.0;
        let mut count = 0.0;
        while count <= of {
            if deviation_of(count, of * p, of) > LoopRatio::OFF {
                chance += log_probability.exp();
            }
            log_probability += ((of - count) / (count + 1.0) * p / (1.0 - p)).ln();
            count += 1.0;
        }
        chance
    }

    #[test]
    fn four_deviations_are_equally_rare_for_small_counts() {
        for (of, p) in [(250, 0.13), (250, 0.02), (1_000, 0.5), (100_000, 0.001), (40, 0.3)] {
            let chance = chance_of_being_off(of, p);
            assert!((1e-5..1.3e-4).contains(&chance), "{of} x {p}: {chance}");
        }
        // In plain standard errors, small counts exceed four too often.
        let is_off = |count: f64| (count - 5.0).abs() > 4.0 * (5.0_f64 * 0.98).sqrt();
        assert!(is_off(14.0) && deviation_of(14.0, 5.0, 250.0) < LoopRatio::OFF);
        assert_eq!(deviation_of(7.0, 7.0, 7.0), 0.0, "every id is a member");
        assert_eq!(deviation_of(0.0, 0.0, 0.0), 0.0, "nothing is stored");
    }
}
