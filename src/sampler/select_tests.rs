//! Statistical tests of selections, with fixed seeds. Each z has a standard normal law where the claim is exact, and is compared with 4.5: all
//! 252 comparisons together would fail by chance less than once in 500 choices of seeds.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::sampler::weights::weight;
use crate::store::key::HardnessFunction;

const N: usize = 400;
const TRIALS: usize = 4_000;
const Z_MAX: f64 = 4.5;
/// What planned probabilities may be off, beside chance (docs/methods.md 15.2).
const PLANNED_ERROR: f64 = 0.02;

const POWER: Hardness =
    Hardness { function: HardnessFunction::Power { offset: 1e-3 }, lower_is_harder: false };
const EXPONENTIAL: Hardness =
    Hardness { function: HardnessFunction::Exponential { temperature: 0.02 }, lower_is_harder: false };

fn normal(draws: &mut Draws) -> f64 {
    (-2.0 * (1.0 - draws.unit()).ln()).sqrt() * (std::f64::consts::TAU * draws.unit()).cos()
}

/// Scores of laws from practice, each with the hardness that one would choose for it.
fn laws() -> Vec<(&'static str, Vec<f32>, Hardness)> {
    let mut draws = Draws::new(7);
    let mut law = |of: fn(&mut Draws) -> f64| -> Vec<f32> { (0..N).map(|_| of(&mut draws) as f32).collect() };
    vec![
        ("lognormal, sigma 3", law(|d| (3.0 * normal(d)).exp()), POWER),
        ("cosines", law(|d| 0.64 + 0.02 * normal(d)), EXPONENTIAL),
        ("clustered", law(|d| 0.92 + 0.08 * d.unit()), POWER),
        ("saturated", law(|d| 1.0 / (1.0 + (-(4.0 + normal(d))).exp())), POWER),
        ("bimodal", law(|d| if d.unit() < 0.1 { 5.0 + d.unit() } else { 0.01 * d.unit() }), POWER),
        ("all equal", law(|_| 1.0), POWER),
        ("distances", law(|d| 0.2 + d.unit()), Hardness { lower_is_harder: true, ..POWER }),
    ]
}

fn ids() -> Vec<u64> {
    (0..N as u64).collect()
}

fn set<'a>(scores: &'a [f32], ids: &'a [u64], hardness: Hardness, strategy: Strategy) -> Set<'a> {
    Set { scores, ids, hardness, strategy, alpha: 0.5 }
}

/// A function of a sample, by its name.
type Named<'a> = (&'static str, &'a dyn Fn(usize) -> f64);

/// Of each function the mean over the set, and mean(w f) of many selections, each with the inclusion probability that `expected` makes of that
/// told.
fn estimates(
    set: &Set<'_>,
    count: usize,
    replacement: bool,
    fs: &[Named<'_>],
    expected: impl Fn(u32, f64) -> f64,
) -> Vec<(f64, f64, f64)> {
    let mut draws = Draws::new(count as u64 + 1);
    let (race, shares) = (Race::new(set.ln_masses(), count), Shares::new(&set.ln_masses()));
    let mut sums = vec![(0.0, 0.0); fs.len()];
    for _ in 0..TRIALS {
        let drawn = if replacement { shares.draw(count, &mut draws) } else { race.draw(&mut draws) };
        let told = drawn.expected.unwrap();
        for ((sum, squares), (_, f)) in sums.iter_mut().zip(fs) {
            let weighed = drawn
                .rows
                .iter()
                .zip(&told)
                .map(|(row, told)| weight(count, N as f64, expected(*row, *told)) * f(*row as usize));
            let estimate = weighed.sum::<f64>() / count as f64;
            *sum += estimate;
            *squares += estimate * estimate;
        }
    }
    let trials = TRIALS as f64;
    let of = |((sum, squares), (_, f)): (&(f64, f64), &Named<'_>)| {
        let mean = sum / trials;
        let error = ((squares / trials - mean * mean).max(0.0) / trials).sqrt();
        ((0..N).map(f).sum::<f64>() / N as f64, mean, error)
    };
    sums.iter().zip(fs).map(of).collect()
}

/// Whether an estimate is off by more than chance and a share of the truth explain.
fn is_off((truth, mean, error): (f64, f64, f64), share: f64) -> bool {
    (mean - truth).abs() > Z_MAX * error + share * truth.abs() + 1e-9
}

#[test]
fn weighted_means_are_those_of_the_set_for_every_law_and_strategy() {
    let ids = ids();
    for (law, scores, hardness) in laws() {
        for strategy in [Strategy::Proportional, Strategy::Rank, Strategy::Uniform] {
            let set = set(&scores, &ids, hardness, strategy);
            for (count, replacement) in [(1, false), (32, false), (200, false), (32, true)] {
                let share = if count == 1 || replacement { 0.0 } else { PLANNED_ERROR };
                // A score of its own kind, one that is independent of it, and the number of samples.
                let fs: [Named<'_>; 3] =
                    [("score", &|i| f64::from(scores[i])), ("id", &|i| (i % 7) as f64), ("one", &|_| 1.0)];
                let found = estimates(&set, count, replacement, &fs, |_, told| told);
                for (found, (name, _)) in found.into_iter().zip(fs) {
                    assert!(
                        !is_off(found, share),
                        "{law}, {strategy:?}, {count}, replacement {replacement}, {name}: {found:?}"
                    );
                }
            }
        }
    }
}

/// The formula count u / sum u, which holds with replacement, is wrong without it where some samples have much of the mass.
#[test]
fn probabilities_in_proportion_to_the_masses_are_biased_without_replacement() {
    let ids = ids();
    let (_, scores, hardness) = laws().swap_remove(0);
    let set = set(&scores, &ids, hardness, Strategy::Proportional);
    let masses = set.ln_masses();
    let ln_sum = ln_sum(&masses);
    let wrong = |row: u32, _: f64| 32.0 * (masses[row as usize] - ln_sum).exp();
    let found = estimates(&set, 32, false, &[("score", &|i| f64::from(scores[i]))], wrong);
    assert!(is_off(found[0], PLANNED_ERROR));
}

#[test]
fn every_sample_is_drawn_as_often_as_told() {
    let ids = ids();
    for (law, scores, hardness) in laws() {
        let set = set(&scores, &ids, hardness, Strategy::Proportional);
        let masses = set.ln_masses();
        let (tau, ln_sum) = (ln_tau(&masses, 32.0), ln_sum(&masses));
        if light_draws(&masses, tau) < LIGHT_EXPECTED_MIN {
            continue;
        }
        for (count, replacement) in [(1, false), (32, false), (32, true)] {
            let mut draws = Draws::new(11);
            let (race, shares) = (Race::new(masses.clone(), count), Shares::new(&masses));
            let mut times = vec![0u32; N];
            for _ in 0..TRIALS {
                let drawn = if replacement { shares.draw(count, &mut draws) } else { race.draw(&mut draws) };
                drawn.rows.iter().for_each(|row| times[*row as usize] += 1);
            }
            for (i, times) in times.iter().enumerate() {
                let rate = masses[i] - ln_sum;
                let share = match (count, replacement) {
                    (1, _) => rate.exp(),
                    (_, true) => 32.0 * rate.exp(),
                    _ => -(-(masses[i] + tau).exp()).exp_m1(),
                };
                let (expected, variance) = (share * TRIALS as f64, share * TRIALS as f64 + 1.0);
                // The bound holds for all 400 samples of a law together.
                let most = 5.5 * variance.sqrt() + 2.0 * PLANNED_ERROR * expected;
                assert!(
                    (f64::from(*times) - expected).abs() <= most,
                    "{law}, {count}, {replacement}, sample {i}: {times} times, {expected} expected"
                );
            }
        }
    }
}

#[test]
fn tau_gives_the_expected_number_of_draws_whatever_the_masses() {
    let spreads: [fn(f64) -> f64; 4] =
        [|_| 0.0, |x| x * 20.0, |x| -x * 5_000.0, |x| if x < 0.01 { 0.0 } else { -900.0 }];
    for spread in spreads {
        let masses: Vec<f64> = (0..N).map(|i| spread(i as f64 / N as f64)).collect();
        for count in [2.0, 4.0, 5.0, 100.0, 399.0] {
            let tau = ln_tau(&masses, count);
            let reached: f64 = masses.iter().map(|u| -(-(u + tau).exp()).exp_m1()).sum();
            assert!((reached - count).abs() < 1e-6 * count, "{count}: {reached} at {tau}");
        }
    }
}

#[test]
fn top_takes_the_hardest_in_order_and_equal_scores_share_their_ranks() {
    let scores = [3.0, 9.0, 9.0, -1.0, 0.0, 7.0];
    let ids: Vec<u64> = (0..6).collect();
    let top = |hardness| set(&scores, &ids, hardness, Strategy::Top).top(4);
    let rows = top(POWER).rows;
    assert_eq!((rows[2], rows[3]), (5, 0));
    assert!(rows[..2] == [1, 2] || rows[..2] == [2, 1]);
    assert_eq!(top(POWER).expected, None);
    assert_eq!(top(Hardness { lower_is_harder: true, ..EXPONENTIAL }).rows[..3], [3, 4, 0]);
    let masses = Set { alpha: 1.0, ..set(&scores, &ids, POWER, Strategy::Rank) }.ln_masses();
    let rounded: Vec<f64> = masses.iter().map(|u| (u.exp() * 1e6).round() / 1e6).collect();
    // Under POWER -1 and 0 have one weight, but the raw score decides.
    assert_eq!(rounded, [0.25, 0.75, 0.75, 0.166_667, 0.2, 0.333_333]);
}

/// However large the part, and although none of the samples is light: 8 of 10 have the probability .8 in every draw.
#[test]
fn equal_masses_have_the_probability_of_a_simple_random_sample() {
    let (scores, ids) = ([2.0; 10], core::array::from_fn::<u64, 10, _>(|i| i as u64));
    for strategy in [Strategy::Uniform, Strategy::Proportional, Strategy::Rank] {
        for seed in 0..20 {
            let drawn = set(&scores, &ids, POWER, strategy).draw(8, &mut Draws::new(seed));
            let expected = drawn.expected.expect("drawn at random");
            assert!(expected.iter().all(|pi| (pi - 0.8).abs() < 1e-8), "{strategy:?}: {expected:?}");
        }
    }
}

#[test]
fn a_set_smaller_than_the_selection_is_taken_whole() {
    let (scores, ids) = ([1.0, 2.0, 3.0], [0, 1, 2]);
    let set = set(&scores, &ids, POWER, Strategy::Proportional);
    let mut drawn = set.draw(5, &mut Draws::new(1));
    drawn.rows.sort_unstable();
    assert_eq!(drawn, Drawn { rows: vec![0, 1, 2], expected: Some(vec![1.0; 3]) });
    assert_eq!(set.draw_with_replacement(5, &mut Draws::new(1)).rows.len(), 5);
}
