//! Figures of the bias of mining (docs/methods.md 13), computed from the samples served last, a uniform sample of the hard store and one of
//! the background. They are computed when somebody asks; a batch only writes to a ring.

use std::collections::BTreeMap;

use crate::store::Row;

use super::histograms::Sample;
use super::served::Lately;

/// The quantiles of ages that are reported.
const AGE_QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];
/// The quantiles of scores that are reported.
const SCORE_QUANTILES: [f64; 5] = [0.01, 0.1, 0.5, 0.9, 0.99];

/// Maximum number of strata listed: those with the largest shares of the reported samples.
const STRATA_MAX: usize = 64;

/// The shares of one stratum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StratumShare {
    /// Number of the stratum.
    pub stratum: u32,
    /// Its share of the distinct reported samples, 0 to 1, estimated from the background (with a dense id space, its share of the hard
    /// store).
    pub reported: f64,
    /// Its share of the samples served last, 0 to 1.
    pub served: f64,
}

/// Figures of the bias of mining. A figure is 0 or empty if there are no samples to compute it from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BiasFigures {
    /// The largest strata; empty if nothing was served, or there is only one stratum.
    pub strata: Vec<StratumShare>,
    /// Half the sum of |served - reported| over all strata, 0 to 1.
    pub strata_total_variation: f64,
    /// KL(served || reported) over all strata, in nats.
    pub strata_kl: f64,
    /// Gini coefficient of serves over the hard store.
    pub serves_gini: f64,
    /// The mean of (sum w)^2 / (n sum w^2) over the last mined batches with weights.
    pub effective_sample_share: f64,
    /// (mean score served - mean score of the background) / standard deviation of the background's scores.
    pub lift: f64,
    /// Quantiles of the ages of served samples at 0.5, 0.9 and 0.99, in seconds or steps.
    pub served_age_quantiles: Vec<f64>,
    /// Quantiles of the raw scores of served samples at 0.01, 0.1, 0.5, 0.9 and 0.99.
    pub served_score_quantiles: Vec<f64>,
    /// The same quantiles of the raw scores in the background.
    pub background_score_quantiles: Vec<f64>,
}

impl BiasFigures {
    /// Computes the figures from a sample of the hard store, scores of the background, the number of reported samples by stratum, and what
    /// was served lately.
    pub(crate) fn of(stored: &[Row], background: &[f32], reported: &[(u32, u64)], lately: &Lately) -> Self {
        let finite = |values: &mut dyn Iterator<Item = f32>| -> Vec<f64> {
            let mut values: Vec<f64> = values.filter(|v| v.is_finite()).map(f64::from).collect();
            values.sort_unstable_by(f64::total_cmp);
            values
        };
        let of_served = |value: fn(&Sample) -> f32| finite(&mut lately.rows.iter().map(value));
        let (scores, ages) = (of_served(|s| s.score), of_served(|s| s.age));
        let background = finite(&mut background.iter().copied());
        let shares = &lately.effective_shares;
        let mut strata = strata(reported, &lately.rows);
        let strata_total_variation = strata.iter().map(|s| (s.served - s.reported).abs()).sum::<f64>() / 2.0;
        let strata_kl = divergence(&strata);
        strata.truncate(STRATA_MAX);
        Self {
            strata,
            strata_total_variation,
            strata_kl,
            serves_gini: gini(stored.iter().map(|row| f64::from(row.serves)).collect()),
            effective_sample_share: mean(shares).unwrap_or(0.0),
            lift: lift(&scores, &background),
            served_age_quantiles: quantiles(&ages, &AGE_QUANTILES),
            served_score_quantiles: quantiles(&scores, &SCORE_QUANTILES),
            background_score_quantiles: quantiles(&background, &SCORE_QUANTILES),
        }
    }
}

/// The shares of all strata, in descending order of their reported shares.
fn strata(reported: &[(u32, u64)], served: &[Sample]) -> Vec<StratumShare> {
    let mut counts: BTreeMap<u32, [f64; 2]> =
        reported.iter().map(|(stratum, n)| (*stratum, [*n as f64, 0.0])).collect();
    for sample in served {
        counts.entry(sample.stratum).or_default()[1] += 1.0;
    }
    let all: f64 = reported.iter().map(|(_, n)| *n as f64).sum();
    if counts.len() < 2 || all <= 0.0 || served.is_empty() {
        return Vec::new();
    }
    let mut shares: Vec<StratumShare> = counts
        .into_iter()
        .map(|(stratum, [reported, n])| StratumShare {
            stratum,
            reported: reported / all,
            served: n / served.len() as f64,
        })
        .collect();
    shares.sort_by(|a, b| b.reported.total_cmp(&a.reported).then(a.stratum.cmp(&b.stratum)));
    shares
}

/// sum p ln(p / q) with p = served and q = reported. For a stratum that was served and is not in the background, q is taken as the machine
/// epsilon of f32, so that the sum stays finite.
fn divergence(strata: &[StratumShare]) -> f64 {
    let of = |s: &StratumShare| s.served * (s.served / s.reported.max(f64::from(f32::EPSILON))).ln();
    strata.iter().filter(|s| s.served > 0.0).map(of).sum::<f64>().max(0.0)
}

/// The effective sample share of weights: (sum w)^2 / (n sum w^2) (Kish 1965); `None` if there are no weights above 0.
pub(crate) fn effective_share(weights: &[f32]) -> Option<f64> {
    let (sum, squares) = weights.iter().fold((0.0, 0.0), |(sum, squares), &w| {
        let w = f64::from(w);
        (sum + w, squares + w * w)
    });
    (squares > 0.0).then(|| sum * sum / (weights.len() as f64 * squares))
}

/// The Gini coefficient: the sum of (2i - n - 1) x_i over n sum x_i, with x ascending and i from 1; 0 if all values are 0.
fn gini(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let (n, sum) = (values.len() as f64, values.iter().sum::<f64>());
    if sum <= 0.0 {
        return 0.0;
    }
    let ranked: f64 = values.iter().enumerate().map(|(i, x)| (2.0 * i as f64 + 1.0 - n) * x).sum();
    ranked / (n * sum)
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn lift(served: &[f64], background: &[f64]) -> f64 {
    let (Some(served), Some(typical)) = (mean(served), mean(background)) else {
        return 0.0;
    };
    let squares: f64 = background.iter().map(|score| (score - typical).powi(2)).sum();
    let deviation = (squares / (background.len() as f64 - 1.0).max(1.0)).sqrt();
    if deviation > 0.0 { (served - typical) / deviation } else { 0.0 }
}

/// Quantiles of ascending values, with linear interpolation between neighbours.
fn quantiles(ascending: &[f64], at: &[f64]) -> Vec<f64> {
    let Some(last) = ascending.len().checked_sub(1) else {
        return Vec::new();
    };
    let quantile = |q: &f64| {
        let place = q * last as f64;
        let (below, part) = (place as usize, place.fract());
        ascending[below] + part * (ascending[(below + 1).min(last)] - ascending[below])
    };
    at.iter().map(quantile).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use statrs::distribution::{ContinuousCDF as _, Normal};

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} is not {b}");
    }

    #[test]
    fn gini_of_known_distributions() {
        close(gini(vec![]), 0.0);
        close(gini(vec![0.0; 5]), 0.0);
        close(gini(vec![3.0; 5]), 0.0);
        close(gini(vec![0.0, 0.0, 0.0, 1.0]), 0.75);
        // For the values 1 to n it is (n - 1) / 3n.
        close(gini((1..=100).rev().map(f64::from).collect()), 99.0 / 300.0);
    }

    #[test]
    fn effective_share_of_known_weights() {
        close(effective_share(&[2.0; 7]).unwrap(), 1.0);
        close(effective_share(&[0.0, 0.0, 5.0, 0.0]).unwrap(), 0.25);
        close(effective_share(&[1.0, 3.0]).unwrap(), 0.8);
        assert_eq!(effective_share(&[]), None);
    }

    #[test]
    fn served_shares_of_strata_are_compared_with_reported_shares() {
        let served = |stratum, n| {
            let sample = Sample { score: 1.0, age: 1.0, model_version: 0, serves: 1, stratum };
            std::iter::repeat_n(sample, n)
        };
        let lately = Lately { rows: served(1, 30).chain(served(2, 10)).collect(), ..Lately::default() };
        let bias = BiasFigures::of(&[], &[], &[(1, 100), (2, 200), (3, 100)], &lately);
        let share = |stratum, reported, served| StratumShare { stratum, reported, served };
        assert_eq!(bias.strata, [share(2, 0.5, 0.25), share(1, 0.25, 0.75), share(3, 0.25, 0.0)]);
        close(bias.strata_total_variation, 0.5);
        close(bias.strata_kl, 0.75 * 3f64.ln() + 0.25 * 0.5f64.ln());
        // If the shares are equal, both figures are 0. If a stratum is not in the background, they are finite.
        let alike = BiasFigures::of(&[], &[], &[(1, 3), (2, 1)], &lately);
        close(alike.strata_total_variation, 0.0);
        close(alike.strata_kl, 0.0);
        let unknown = BiasFigures::of(&[], &[], &[(1, 3)], &lately);
        assert!(unknown.strata_kl.is_finite() && unknown.strata_kl > 1.0);
    }

    #[test]
    fn lift_of_a_shifted_normal_in_deviations() {
        let normal = Normal::new(5.0, 2.0).unwrap();
        let grid = |shift: f64| -> Vec<f64> {
            (0..2_000).map(|i| shift + normal.inverse_cdf((f64::from(i) + 0.5) / 2_000.0)).collect()
        };
        let lifted = lift(&grid(3.0), &grid(0.0));
        // The grid lacks the outermost tails, so its deviation is 0.1 % too small.
        assert!((lifted - 1.5).abs() < 0.005, "{lifted}");
        close(lift(&[], &grid(0.0)), 0.0);
        close(lift(&grid(0.0), &[1.0, 1.0]), 0.0);
    }

    #[test]
    fn quantiles_of_evenly_spaced_values() {
        let ramp: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!(quantiles(&ramp, &SCORE_QUANTILES), [1.0, 10.0, 50.0, 90.0, 99.0]);
        assert_eq!(quantiles(&[7.0], &AGE_QUANTILES), [7.0; 3]);
        assert!(quantiles(&[], &AGE_QUANTILES).is_empty());
    }

    #[test]
    fn samples_that_were_never_reported_are_left_out() {
        let row = |serves| Row { serves, ..Row::unreported(1) };
        let sample = |score, age| Sample { score, age, model_version: 0, serves: 1, stratum: 0 };
        let lately = Lately {
            rows: vec![sample(3.0, 10.0), sample(f32::NAN, f32::NAN), sample(5.0, 20.0)],
            effective_shares: vec![0.5, 0.7],
        };
        let bias = BiasFigures::of(&[row(0), row(2)], &[1.0, f32::NAN, 3.0], &[(0, 2)], &lately);
        close(bias.serves_gini, 0.5);
        close(bias.effective_sample_share, 0.6);
        close(bias.lift, 2.0 / 2f64.sqrt());
        assert_eq!((bias.served_age_quantiles[0], bias.served_score_quantiles[2]), (15.0, 4.0));
        assert_eq!(bias.background_score_quantiles[2], 2.0);
        assert!(bias.strata.is_empty() && bias.strata_kl == 0.0, "one stratum has no shares to compare");
        let nothing = BiasFigures::of(&[], &[], &[], &Lately::default());
        assert_eq!(nothing, BiasFigures::default());
    }
}
