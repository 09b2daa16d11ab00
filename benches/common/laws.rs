//! The distributions from which benches draw scores.

use rand::RngExt;
use rand::rngs::SmallRng;

/// The distribution of the scores of rows 0, 1, 2, ….
#[derive(Clone, Copy, Debug)]
pub(crate) enum Law {
    /// Like losses: log2 of the score has a standard deviation of two and is within ±7.
    LogNormal,
    /// Like probabilities: sigmoid of N(mean, 1). With a mean of 8 nearly all are 1.
    Sigmoid { mean: f32 },
    /// Logits: N(0, 5).
    Logits,
    /// All scores are equal.
    Equal,
    /// 0 for the first rows, then uniform in 1..2.
    ZerosFirst { rows: u64 },
    /// Each row is a little harder than all before it, so that the admission threshold rises slowly.
    Creeping,
}

impl Law {
    /// The name in figures.
    pub(crate) fn name(self) -> String {
        match self {
            Self::LogNormal => "lognormal".into(),
            Self::Sigmoid { mean } => format!("sigmoid_{mean}"),
            Self::Logits => "logits".into(),
            Self::Equal => "equal".into(),
            Self::ZerosFirst { .. } => "zeros_first".into(),
            Self::Creeping => "creeping".into(),
        }
    }

    /// The score of row number `row`.
    pub(crate) fn score(self, row: u64, rng: &mut SmallRng) -> f32 {
        match self {
            Self::LogNormal => (3.46 * ((0..4).map(|_| rng.random::<f32>()).sum::<f32>() - 2.0)).exp2(),
            Self::Sigmoid { mean } => 1.0 / (1.0 + (-mean - normal(rng)).exp()),
            Self::Logits => 5.0 * normal(rng),
            Self::Equal => 1.0,
            Self::ZerosFirst { rows } if row < rows => 0.0,
            Self::ZerosFirst { .. } => 1.0 + rng.random::<f32>(),
            Self::Creeping => (16.0 + row as f64 * 1e-5 + rng.random::<f64>() * 1e-3) as f32,
        }
    }
}

/// N(0, 1), by Box and Muller.
fn normal(rng: &mut SmallRng) -> f32 {
    let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt();
    radius * (std::f32::consts::TAU * rng.random::<f32>()).cos()
}
