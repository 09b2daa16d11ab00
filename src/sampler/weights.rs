//! Inclusion probabilities and importance weights (docs/methods.md 7.1 to 7.3).

use crate::model::policy::{Normalization, Policy};

/// pi_i = 1 - exp(-r_i tau). It is 1 if tau is `None`, because nothing was left to arrive.
pub(crate) fn inclusion_probability(rate: f64, tau: Option<f64>) -> f64 {
    tau.map_or(1.0, |tau| -(-rate * tau).exp_m1())
}

/// w_i = n / (N pi_i), with which mean(w f) estimates the mean of f. `marginal` is the marginal pi_i.
pub(crate) fn weight(returned: usize, population: f64, marginal: f64) -> f64 {
    returned as f64 / (population * marginal)
}

/// w^beta (Schaul et al. 2016), scaled by the normalization of the policy.
pub(crate) fn finish(weights: &[f64], policy: &Policy) -> Vec<f32> {
    let raised: Vec<f64> = weights.iter().map(|w| w.powf(policy.beta)).collect();
    let scale = match policy.normalization {
        Normalization::None => 1.0,
        Normalization::Max => raised.iter().copied().fold(0.0, f64::max),
        Normalization::Mean => raised.iter().sum::<f64>() / raised.len().max(1) as f64,
    };
    raised.iter().map(|w| (w / scale) as f32).collect()
}
