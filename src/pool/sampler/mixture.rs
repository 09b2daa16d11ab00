//! The rate of the background: what makes a share epsilon of the batch come from it (DECISIONS 3).

/// The smallest part of the background that is kept out of reach, so that ln(1 - share) stays finite.
const BACKGROUND_LEFT: f64 = 1e-6;

/// Hard samples of one mass: `weight` of them, each of mass `mass`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) weight: f64,
    pub(super) mass: f64,
}

/// The c of METHODS 5: solves sum n_b (1 - exp(-u_b tau)) = hard target for tau, then
/// c = -|R| ln(1 - background target / |R|) / tau.
///
/// Any c that is fixed before the first draw leaves the weights unbiased; this one makes the mixture come out as
/// asked. With too few hard samples it lets nearly all of them in and the background fill the rest.
pub(super) fn background_rate(
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
        (reachable, batch_size - available)
    } else {
        (hard_target, random_fraction * batch_size)
    };
    let tau = solve_tau(points, hard_target);
    let share = (background_target / background).clamp(0.0, 1.0 - BACKGROUND_LEFT);
    -background * (1.0 - share).ln() / tau
}

/// Newton's method from the left: the sum is concave and increasing in tau, so no step overshoots.
pub(super) fn solve_tau(points: &[Point], target: f64) -> f64 {
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
        // Where the heaviest are all in, the next ones are orders of magnitude away: bounded, not to leave f64.
        tau = (tau + missing / slope).min(tau * 1e6);
    }
    tau
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tau_solves_the_equation_however_skewed_the_masses() {
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
    fn the_background_gets_its_share_by_its_own_formula() {
        let points = [Point { weight: 1000.0, mass: 1.0 }];
        let c = background_rate(&points, 100.0, 0.25, 500.0);
        let tau = solve_tau(&points, 75.0);
        let expected = 500.0 * (1.0 - (-c * tau / 500.0).exp());
        assert!((expected - 25.0).abs() < 0.01, "{expected}");
    }
}
