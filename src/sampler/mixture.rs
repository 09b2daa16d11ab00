//! The rate of the background with which a share epsilon of the batch is expected to come from it (docs/methods.md 6.3).

/// The share of the background that the target always leaves out, so that ln(1 - share) stays finite.
const BACKGROUND_LEFT: f64 = 1e-6;

/// A number of hard samples of equal mass: `weight` samples, each of mass `mass`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) weight: f64,
    pub(crate) mass: f64,
}

/// The c of docs/methods.md 6.3. It solves sum n_b (1 - exp(-u_b tau)) = hard target for tau; then c = -|R| ln(1 - background target / |R|)
/// / tau.
///
/// Any c that is fixed before the first draw leaves the weights unbiased; with this one the mixture has the wanted share in expectation. If
/// there are too few hard samples, the target admits nearly all of them, and the background fills the batch, with no less than its share: a
/// batch that the hard samples could just fill must still be able to draw from the background, or ids outside S would never be served.
pub(crate) fn background_rate(
    points: &[Point],
    batch_size: f64,
    random_fraction: f64,
    background: f64,
) -> f64 {
    let available: f64 = points.iter().filter(|p| p.mass > 0.0).map(|p| p.weight).sum();
    let hard_target = (1.0 - random_fraction) * batch_size;
    if available <= 0.0 || hard_target <= 0.0 {
        return 1.0;
    }
    let reachable = available - available.min(1.0) / 2.0;
    let (hard_target, background_target) = if hard_target > reachable {
        (reachable, (batch_size - available).max(random_fraction * batch_size))
    } else {
        (hard_target, random_fraction * batch_size)
    };
    let tau = solve_tau(points, hard_target);
    let share = (background_target / background).clamp(0.0, 1.0 - BACKGROUND_LEFT);
    -background * (-share).ln_1p() / tau
}

/// The largest share of a source that a plan counts on. What is left keeps the rates finite, and makes room for chance.
const SOURCE_SHARE_MAX: f64 = 0.9;
/// The largest share of the hard draws that the cut may take out of the race.
const CUT_SHARE_MAX: f64 = 0.25;

/// What a plan is made for.
pub(crate) struct Wanted {
    /// B.
    pub(crate) batch_size: f64,
    /// epsilon.
    pub(crate) random_fraction: f64,
    /// |R|.
    pub(crate) members: f64,
    /// The members of R that may be drawn now: those without a lease.
    pub(crate) awake: f64,
    /// N.
    pub(crate) distinct: f64,
}

/// How a batch is mixed (docs/methods.md 6.3). All of it is decided before the first draw, so it leaves the weights unbiased.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plan {
    /// c.
    pub(crate) background_rate: f64,
    /// Masses below this count as 0.
    pub(crate) cut: f64,
    /// beta: how many samples the background is expected to give.
    pub(crate) background: f64,
}

impl Plan {
    /// The plan for hard samples of these masses. The background gets its share as far as it has the members, and what the hard samples
    /// cannot fill. The cut takes out the masses below those with which a member of R arrives, but at most a quarter of the hard draws:
    /// where the background is small beside the batch that rate is high, and without the limit nothing hard would be left.
    ///
    /// `edge` lowers a cut so far that it divides none of the points.
    pub(crate) fn of(points: &[Point], wanted: &Wanted, edge: impl Fn(f64) -> f64) -> Self {
        let hard: f64 = points.iter().filter(|p| p.mass > 0.0).map(|p| p.weight).sum();
        let most = SOURCE_SHARE_MAX * wanted.awake;
        let share = (wanted.random_fraction * wanted.batch_size).min(most);
        let left = (wanted.batch_size - SOURCE_SHARE_MAX * hard).min(most);
        let background = share.max(left);
        if hard <= 0.0 || background >= wanted.batch_size {
            return Self { background_rate: 1.0, cut: 0.0, background: wanted.batch_size };
        }
        let reachable = |hard: f64| (hard - 0.5).max(hard / 2.0);
        let target = (wanted.batch_size - background).min(reachable(hard));
        let tau = solve_tau(points, target);
        let cut = edge((background / (wanted.distinct * tau)).min(highest_cut(points, tau, target)));
        let kept: Vec<Point> = points.iter().filter(|p| p.mass >= cut).copied().collect();
        let hard: f64 = kept.iter().map(|p| p.weight).sum();
        let tau = solve_tau(&kept, target.min(reachable(hard)));
        let background_rate = if wanted.batch_size <= 1.0 {
            // A batch of one is drawn in proportion to the rates.
            let hard: f64 = kept.iter().map(|p| p.weight * p.mass).sum();
            wanted.members / wanted.awake * hard * background / (1.0 - background)
        } else {
            -wanted.members * (-background / wanted.awake).ln_1p() / tau
        };
        Self { background_rate, cut, background }
    }
}

/// The highest mass below which at most [`CUT_SHARE_MAX`] of the `target` hard draws until `tau` are expected.
fn highest_cut(points: &[Point], tau: f64, target: f64) -> f64 {
    let mut sorted: Vec<&Point> = points.iter().filter(|p| p.mass > 0.0 && p.weight > 0.0).collect();
    sorted.sort_unstable_by(|a, b| a.mass.total_cmp(&b.mass));
    let mut below = 0.0;
    for point in &sorted {
        below += point.weight * -(-point.mass * tau).exp_m1();
        if below > CUT_SHARE_MAX * target {
            return point.mass;
        }
    }
    sorted.last().map_or(0.0, |point| point.mass)
}

/// The hard samples and the background of a stratum, with the cap on its samples in a batch.
pub(crate) struct Part {
    /// How many strata are like this one.
    pub(crate) strata: f64,
    pub(crate) points: Vec<Point>,
    pub(crate) background: f64,
    pub(crate) cap: f64,
}

/// Maximum number of rates tried until the share is close enough to the wanted one.
const CAPPED_TRIALS: usize = 12;
/// A share is close enough if it differs by less than this.
const CAPPED_TOLERANCE: f64 = 0.005;

/// The c with which a share epsilon of a batch under caps is expected to come from the background. The search starts at `uncapped`, the c
/// of a batch without caps.
pub(crate) fn capped_background_rate(
    parts: &[Part],
    batch_size: f64,
    random_fraction: f64,
    background: f64,
    uncapped: f64,
) -> f64 {
    let (mut low, mut high, mut c) = (f64::NEG_INFINITY, f64::INFINITY, uncapped.max(f64::MIN_POSITIVE).ln());
    for _ in 0..CAPPED_TRIALS {
        let share = background_share(parts, batch_size, c.exp() / background);
        if (share - random_fraction).abs() < CAPPED_TOLERANCE {
            break;
        }
        // The share grows with c, and its odds grow about in proportion to c.
        let odds = |x: f64| (x / (1.0 - x)).clamp(1e-6, 1e6).ln();
        if share < random_fraction {
            low = c;
        } else {
            high = c;
        }
        let step = c + odds(random_fraction) - odds(share);
        let within = step > low && step < high;
        c = if within || low.is_infinite() || high.is_infinite() { step } else { f64::midpoint(low, high) };
    }
    c.exp()
}

/// The expected share of the background in a batch under caps, if each member has the rate `rate`.
fn background_share(parts: &[Part], batch_size: f64, rate: f64) -> f64 {
    let all: Vec<Capped> = parts
        .iter()
        .map(|part| {
            let background = Point { weight: part.background, mass: rate };
            let points: Vec<Point> = part.points.iter().copied().chain([background]).collect();
            let members: f64 = points.iter().map(|p| p.weight).sum();
            Capped { strata: part.strata, points, cap: part.cap.min(members * 0.999) }
        })
        .collect();
    let tau = solve_capped_tau(&all, batch_size);
    let (mut from_background, mut total) = (0.0, 0.0);
    for (Capped { strata, points, cap }, part) in all.iter().zip(parts) {
        if *cap <= 0.0 {
            continue;
        }
        let arrived = |tau: f64| points.iter().map(|p| p.weight * -(-p.mass * tau).exp_m1()).sum::<f64>();
        let tau = if arrived(tau) > *cap { solve_tau(points, *cap) } else { tau };
        from_background += strata * part.background * -(-rate * tau).exp_m1();
        total += strata * arrived(tau);
    }
    if total > 0.0 { from_background / total } else { 0.0 }
}

/// The samples of both sources of a stratum, with the number of strata like it and the cap that it can reach.
struct Capped {
    strata: f64,
    points: Vec<Point>,
    cap: f64,
}

/// Solves sum_s min(cap_s, sum_b n_b (1 - exp(-u_b tau))) = target, as `solve_tau` does. If the caps sum to less than the target, it
/// returns the largest tau tried.
fn solve_capped_tau(parts: &[Capped], target: f64) -> f64 {
    let of_one = |part: &Capped| part.points.iter().map(|p| p.weight * p.mass).sum::<f64>();
    let slope_at_0: f64 = parts.iter().map(|part| part.strata * of_one(part)).sum();
    let mut tau = target / slope_at_0;
    for _ in 0..100 {
        let (mut reached, mut slope) = (0.0, 0.0);
        for Capped { strata, points, cap } in parts {
            let (mut arrived, mut rising) = (0.0, 0.0);
            for p in points {
                let stays = (-p.mass * tau).exp();
                arrived += p.weight * (1.0 - stays);
                rising += p.weight * p.mass * stays;
            }
            reached += strata * arrived.min(*cap);
            slope += if arrived < *cap { strata * rising } else { 0.0 };
        }
        let missing = target - reached;
        if missing <= 1e-3 * target || slope <= 0.0 {
            break;
        }
        tau = (tau + missing / slope).min(tau * 1e3);
    }
    tau
}

/// Solves sum_b n_b (1 - exp(-u_b tau)) = target by Newton's method from the left. The sum is concave and increasing in tau, so no step
/// overshoots.
pub(crate) fn solve_tau(points: &[Point], target: f64) -> f64 {
    let slope_at_0: f64 = points.iter().map(|p| p.weight * p.mass).sum();
    let mut tau = target / slope_at_0;
    for _ in 0..200 {
        let (mut reached, mut slope) = (0.0, 0.0);
        for p in points {
            let stays = (-p.mass * tau).exp();
            reached += p.weight * (1.0 - stays);
            slope += p.weight * p.mass * stays;
        }
        let missing = target - reached;
        if missing <= 1e-4 * target || slope <= 0.0 {
            break;
        }
        // After the heaviest points, the next ones may be orders of magnitude away. The step is bounded, so that tau stays finite.
        tau = (tau + missing / slope).min(tau * 1e6);
    }
    tau
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tau_solves_the_equation_for_skewed_masses() {
        for alpha in [0.5, 1.0, 4.0, 16.0] {
            let points: Vec<Point> = (0..200)
                .map(|b| Point { weight: 50.0, mass: (-alpha * f64::from(b) / 8.0).exp2() })
                .collect();
            for target in [1.0, 192.0, 5000.0, 9999.0] {
                let tau = solve_tau(&points, target);
                let reached: f64 = points.iter().map(|p| p.weight * (1.0 - (-p.mass * tau).exp())).sum();
                assert!((reached - target).abs() < 2e-4 * target, "alpha {alpha} target {target}: {reached}");
            }
        }
    }

    #[test]
    fn the_background_rate_gives_the_wanted_share() {
        let points = [Point { weight: 1000.0, mass: 1.0 }];
        let c = background_rate(&points, 100.0, 0.25, 500.0);
        let tau = solve_tau(&points, 75.0);
        let expected = 500.0 * (1.0 - (-c * tau / 500.0).exp());
        assert!((expected - 25.0).abs() < 0.01, "{expected}");
    }

    /// How many hard samples and members of R a plan expects in a batch, if the race ends when `batch_size` have arrived.
    fn expected(points: &[Point], wanted: &Wanted, plan: Plan) -> (f64, f64) {
        let kept: Vec<Point> = points.iter().filter(|p| p.mass >= plan.cut).copied().collect();
        let rate = plan.background_rate / wanted.members;
        let all: Vec<Point> =
            kept.iter().copied().chain([Point { weight: wanted.awake, mass: rate }]).collect();
        let tau = solve_tau(&all, wanted.batch_size);
        let arrived = |p: &Point| p.weight * -(-p.mass * tau).exp_m1();
        (kept.iter().map(arrived).sum(), arrived(&all[kept.len()]))
    }

    #[test]
    fn a_plan_fills_the_batch_from_whatever_source_has_the_samples() {
        let skewed = |n: usize, alpha: f64| -> Vec<Point> {
            (0..n)
                .map(|b| Point { weight: 1.0, mass: (-alpha * b as f64 / n as f64 * 20.0).exp2() })
                .collect()
        };
        let cases = [
            // (hard samples, alpha, B, epsilon, |R|, awake): the background is plenty, small, nearly all leased, and the hard store is small.
            (20_000, 1.0, 256.0, 0.25, 4_096.0, 4_096.0),
            (20_000, 1.0, 1_024.0, 0.5, 256.0, 256.0),
            (20_000, 0.0, 256.0, 0.5, 256.0, 256.0),
            (20_000, 0.0, 1_024.0, 0.25, 256.0, 3.0),
            (20_000, 1.0, 1_024.0, 0.01, 256.0, 1.0),
            (300, 1.0, 1_024.0, 0.25, 4_096.0, 4_096.0),
            (1, 0.0, 32.0, 0.05, 256.0, 200.0),
        ];
        for (hard, alpha, batch_size, random_fraction, members, awake) in cases {
            let points = skewed(hard, alpha);
            let wanted = Wanted { batch_size, random_fraction, members, awake, distinct: 600_000.0 };
            let plan = Plan::of(&points, &wanted, |cut| cut);
            let (from_hard, from_background) = expected(&points, &wanted, plan);
            let total = from_hard + from_background;
            assert!(
                (total - batch_size).abs() < 0.01 * batch_size,
                "{hard} {awake}: {from_hard} + {from_background}"
            );
            let share = (random_fraction * batch_size)
                .min(0.9 * awake)
                .max((batch_size - 0.9 * hard as f64).min(0.9 * awake));
            assert!(
                (from_background - share).abs() < 0.05 * share + 1.0,
                "{hard} {awake}: {from_background}, not {share}"
            );
        }
    }

    #[test]
    fn a_cut_takes_out_at_most_a_quarter_of_the_hard_draws() {
        let points: Vec<Point> =
            (0..400).map(|b| Point { weight: 50.0, mass: (-f64::from(b) / 16.0).exp2() }).collect();
        for (random_fraction, awake) in [(0.01, 4_096.0), (0.5, 256.0), (0.9, 64.0)] {
            let wanted =
                Wanted { batch_size: 256.0, random_fraction, members: 4_096.0, awake, distinct: 8_192.0 };
            let plan = Plan::of(&points, &wanted, |cut| cut);
            let target = 256.0 - (random_fraction * 256.0).min(0.9 * awake);
            let tau = solve_tau(&points, target);
            let below: f64 = points
                .iter()
                .filter(|p| p.mass < plan.cut)
                .map(|p| p.weight * -(-p.mass * tau).exp_m1())
                .sum();
            assert!(below <= 0.25 * target, "{random_fraction}: {below} of {target}");
        }
    }

    #[test]
    fn the_background_keeps_its_share_if_the_hard_samples_just_fill_the_batch() {
        for (available, batch_size, epsilon) in
            [(1.0, 1.0, 0.25), (4.0, 4.0, 0.1), (8.0, 8.0, 0.05), (3.0, 4.0, 1e-17)]
        {
            let points = [Point { weight: available, mass: 1.0 }];
            let c = background_rate(&points, batch_size, epsilon, 500.0);
            let expected = 500.0 * -(-c * solve_tau(&points, available - 0.5) / 500.0).exp_m1();
            let wanted = f64::max(batch_size - available, epsilon * batch_size);
            assert!(
                (expected / wanted - 1.0).abs() < 0.01,
                "{available} of {batch_size}: {expected}, not {wanted}"
            );
            assert!(c > 0.0, "{c}");
        }
    }

    #[test]
    fn the_background_rate_gives_the_wanted_share_under_caps() {
        // One stratum has nearly all the mass, the other most of the background; each may have half of the batch.
        let part = |mass, background| Part {
            strata: 1.0,
            points: vec![Point { weight: 500.0, mass }],
            background,
            cap: 50.0,
        };
        let parts = [part(1.0, 50.0), part(0.01, 450.0)];
        let points: Vec<Point> = parts.iter().flat_map(|p| p.points.clone()).collect();
        for epsilon in [0.1, 0.25, 0.5] {
            let uncapped = background_rate(&points, 100.0, epsilon, 500.0);
            let without = background_share(&parts, 100.0, uncapped / 500.0);
            let c = capped_background_rate(&parts, 100.0, epsilon, 500.0, uncapped);
            let with = background_share(&parts, 100.0, c / 500.0);
            assert!((with - epsilon).abs() < 0.02, "{epsilon}: {with}, without caps in mind {without}");
            assert!((without - epsilon).abs() > 0.03, "{epsilon}: {without}");
        }
    }
}
