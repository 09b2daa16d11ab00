//! Whether the hard store depends on the background, as counts of both tell it.

use super::PartitionBackground;

/// What the hard store and the background together say of how many ids there are, over what the background alone says:
/// (|H| + sum of |R_s outside H|/p_s)/N (docs/methods.md 4.3). 1, but for chance, where H does not depend on R.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoopRatio {
    /// The ratio.
    pub ratio: f64,
    /// Standard errors that |H| by those members is off |H|, on a scale on which they are normal also where they are few: the root of
    /// the deviance of a binomial count (McCullagh and Nelder 1989, 2.3).
    pub deviation: f64,
}

impl Default for LoopRatio {
    fn default() -> Self {
        Self { ratio: 1.0, deviation: 0.0 }
    }
}

impl LoopRatio {
    /// Standard errors off 1 that are no accident: once in 16,000 pools at rest.
    const OFF: f64 = 4.0;

    /// Of partitions.
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

    /// Whether it is further off 1 than chance can be.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.deviation > Self::OFF
    }
}

/// The root of the deviance of a count of `of`, of which `expected` were expected.
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

    /// The chance of a count that is more than four deviations off, from the binomial law itself: that of a normal one is 6.3e-5.
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
    fn four_deviations_are_as_rare_where_members_are_few() {
        for (of, p) in [(250, 0.13), (250, 0.02), (1_000, 0.5), (100_000, 0.001), (40, 0.3)] {
            let chance = chance_of_being_off(of, p);
            assert!((1e-5..1.3e-4).contains(&chance), "{of} x {p}: {chance}");
        }
        // In plain standard errors the few are off too often.
        let is_off = |count: f64| (count - 5.0).abs() > 4.0 * (5.0_f64 * 0.98).sqrt();
        assert!(is_off(14.0) && deviation_of(14.0, 5.0, 250.0) < LoopRatio::OFF);
        assert_eq!(deviation_of(7.0, 7.0, 7.0), 0.0, "every id is a member");
        assert_eq!(deviation_of(0.0, 0.0, 0.0), 0.0, "nothing is stored");
    }
}
