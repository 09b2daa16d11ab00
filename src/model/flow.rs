//! How a pool couples mining to reporting, with every default and range.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::error::{Checks, Violation};

/// How long a report or a mine waits by default.
pub const DEFAULT_MAX_WAIT: Duration = Duration::from_secs(10);
/// The longest that either may wait.
const MAX_WAIT_MAX: Duration = Duration::from_secs(300);
/// Largest ratio, and largest buffer: counts of samples stay exact in double precision.
const RATIO_MAX: f64 = (1u64 << 20) as f64;
const BUFFER_MAX: f64 = (1u64 << 40) as f64;
/// Samples that rounding may be off.
pub(crate) const ROUNDING: f64 = 1e-6;

/// How a pool couples mining to reporting.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// Samples mined for each reported one; > 0.
    pub mined_per_reported: f64,
    /// How far the two may drift apart, in mined samples; at least max(1, mined_per_reported).
    pub error_buffer: f64,
    /// Mining begins, and the ratio counts, once so many samples have been reported.
    pub min_reported: u64,
    /// How long either side waits.
    pub max_wait: Duration,
}

impl Flow {
    /// Checks every range; fields are named below `pool.spec.flow`.
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
                "{} is not in {least}..={BUFFER_MAX}: below max(1, mined_per_reported) a single sample could wait for ever",
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

    /// What no wait could let pass: samples of one call, in mined samples, over the whole width of the balance.
    pub(crate) fn fault(&self, side: Side, samples: u64, field: &str) -> Option<Violation> {
        self.misfit(side, samples).map(|why| Violation::new(field, why))
    }

    pub(crate) fn misfit(&self, side: Side, samples: u64) -> Option<String> {
        let (ratio, buffer) = (self.mined_per_reported, self.error_buffer);
        let mined = samples as f64 * if side == Side::Report { ratio } else { 1.0 };
        // Mines are whole samples, so that the balance may stop a part of one short of -error_buffer.
        let stops_short = side == Side::Report && (ratio.fract() != 0.0 || buffer.fract() != 0.0);
        let (width, less) = if stops_short { (2.0 * buffer - 1.0, " - 1") } else { (2.0 * buffer, "") };
        (mined > width + ROUNDING).then(|| {
            format!("{mined} mined samples are over 2 x flow.error_buffer{less} = {width}: no wait could let them pass")
        })
    }
}

/// Which side of the balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Reports.
    Report,
    /// Mines.
    Mine,
}
