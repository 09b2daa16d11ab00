//! The flow: how a pool couples mining to reporting (docs/methods.md 11.4), with all defaults and ranges.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::error::{Checks, Violation};

/// Default of [`Flow::max_wait`].
pub const DEFAULT_MAX_WAIT: Duration = Duration::from_secs(10);
/// Maximum of [`Flow::max_wait`].
const MAX_WAIT_MAX: Duration = Duration::from_secs(300);
/// Maxima of the ratio and of the buffer, with which counts of samples are exact in f64.
const RATIO_MAX: f64 = (1u64 << 20) as f64;
const BUFFER_MAX: f64 = (1u64 << 40) as f64;
/// Tolerance for rounding, in samples.
pub(crate) const ROUNDING: f64 = 1e-6;

/// The coupling of mining to reporting in a pool (docs/methods.md 11.4).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// Number of samples mined for each reported one; above 0.
    pub mined_per_reported: f64,
    /// Maximum of the balance reported x ratio - mined, in either direction, in mined samples; at least max(1, mined_per_reported).
    pub error_buffer: f64,
    /// Number of samples that must be reported before mining begins and the ratio counts.
    pub min_reported: u64,
    /// How long a report or a mine waits at most.
    pub max_wait: Duration,
}

impl Flow {
    /// Checks every range. Errors name the fields below `pool.spec.flow`.
    pub(crate) fn violations(&self) -> Vec<Violation> {
        let mut bad = Checks::below("pool.spec.flow");
        let ratio = self.mined_per_reported;
        let ratio_ok = ratio > 0.0 && ratio <= RATIO_MAX;
        bad.check(ratio_ok, "mined_per_reported", format!("{ratio} is not above 0 and at most {RATIO_MAX}"));
        let least = if ratio_ok { ratio.max(1.0) } else { 1.0 };
        bad.check(
            self.error_buffer >= least && self.error_buffer <= BUFFER_MAX,
            "error_buffer",
            format!(
                "{} is not in {least}..={BUFFER_MAX}: below max(1, mined_per_reported) a single sample could wait forever",
                self.error_buffer
            ),
        );
        bad.check(
            self.max_wait <= MAX_WAIT_MAX,
            "max_wait",
            format!("{:?} is over {MAX_WAIT_MAX:?}", self.max_wait),
        );
        bad.found
    }

    /// The violation of a call that could never pass, because its samples, as mined samples, are more than the whole width of the balance.
    pub(crate) fn fault(&self, side: Side, samples: u64, field: &str) -> Option<Violation> {
        self.misfit(side, samples).map(|why| Violation::new(field, why))
    }

    pub(crate) fn misfit(&self, side: Side, samples: u64) -> Option<String> {
        let (ratio, buffer) = (self.mined_per_reported, self.error_buffer);
        let mined = samples as f64 * if side == Side::Report { ratio } else { 1.0 };
        // Mines are whole samples, so the balance may stop a fraction of a sample above -error_buffer.
        let stops_short = side == Side::Report && (ratio.fract() != 0.0 || buffer.fract() != 0.0);
        let (width, less) = if stops_short { (2.0 * buffer - 1.0, " - 1") } else { (2.0 * buffer, "") };
        (mined > width + ROUNDING).then(|| {
            format!("{mined} mined samples are over 2 x flow.error_buffer{less} = {width}, so this call could never pass")
        })
    }
}

/// A side of the balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Reports.
    Report,
    /// Mines.
    Mine,
}
