//! The spec of a partition of anchors.

use crate::key::Hardness;

/// The part of an anchored pool's spec that a partition of anchors needs. The pool validates it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AnchorPartitionSpec {
    /// Negatives kept of an anchor. 1 ..= [`NEGATIVES_MAX`].
    pub negatives_per_anchor: usize,
    /// Anchors of this partition. 1 ..= [`ANCHORS_MAX`].
    pub max_anchors: u64,
    /// Known positives remembered of an anchor. At most [`PAIRS_PER_ANCHOR_MAX`].
    pub max_positives_per_anchor: usize,
    /// Vetoes remembered of an anchor. At most [`PAIRS_PER_ANCHOR_MAX`].
    pub max_vetoes_per_anchor: usize,
    /// Known positives and vetoes of all anchors of this partition together.
    pub max_pairs: u64,
    /// A full anchor evicts negatives that fail these margins first (docs/methods.md 10.1).
    pub margins: Margins,
    /// How a score becomes a key.
    pub hardness: Hardness,
    /// Negatives have string keys, which are stored with them.
    pub named: bool,
    /// Processes of workers whose reports are remembered, at most, so that resends change nothing. 0 ..= 2^20; 0: every report is applied.
    pub workers: usize,
}

/// The maximal number of negatives of an anchor.
pub const NEGATIVES_MAX: usize = 1 << 10;
/// The maximal number of anchors of a partition.
pub const ANCHORS_MAX: u64 = 1 << 31;
/// The maximal number of known positives, and of vetoes, of an anchor.
pub const PAIRS_PER_ANCHOR_MAX: usize = 1 << 12;

/// How far below the positive's score a negative's score must be (de Souza P. Moreira et al. 2024, NV-Retriever; the parameter names and
/// the bounds of sentence-transformers' `mine_hard_negatives`).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Margins {
    /// s_n <= s_p - margin; with distances d_n >= d_p + margin. Finite and >= 0.
    pub absolute: Option<f32>,
    /// s_n <= s_p - |s_p| margin; with distances d_n >= d_p + |d_p| margin. Finite and >= 0.
    pub relative: Option<f32>,
}

impl Margins {
    /// Whether any margin is set.
    #[must_use]
    pub fn is_some(&self) -> bool {
        self.absolute.is_some() || self.relative.is_some()
    }

    /// Whether a negative of this score is far enough below `positive`. True if `positive` is NaN (not known). Computed in double
    /// precision, in which the sum of two floats of similar size is exact.
    #[must_use]
    pub fn admit(&self, lower_is_harder: bool, positive: f32, score: f32) -> bool {
        if positive.is_nan() {
            return true;
        }
        let (positive, score) = (f64::from(positive), f64::from(score));
        let below = |margin: f64| {
            if lower_is_harder { score >= positive + margin } else { score <= positive - margin }
        };
        self.absolute.is_none_or(|margin| below(margin.into()))
            && self.relative.is_none_or(|margin| below(positive.abs() * f64::from(margin)))
    }
}

/// The one of two positive scores that margins are measured from: that of the positive which is less similar to the anchor. NaN: there is
/// none.
#[must_use]
pub fn least_alike(lower_is_harder: bool, a: f32, b: f32) -> f32 {
    // `min` and `max` ignore a NaN.
    if lower_is_harder { a.max(b) } else { a.min(b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_hold_at_their_bounds_to_the_last_bit() {
        let absolute = Margins { absolute: Some(0.25), relative: None };
        assert!(absolute.admit(false, 0.75, 0.5));
        assert!(!absolute.admit(false, 0.75, 0.5_f32.next_up()));
        assert!(absolute.admit(true, 0.75, 1.0));
        assert!(!absolute.admit(true, 0.75, 1.0_f32.next_down()));
        let relative = Margins { absolute: None, relative: Some(0.5) };
        assert!(relative.admit(false, 0.5, 0.25));
        assert!(!relative.admit(false, 0.5, 0.25_f32.next_up()));
        // Below zero the threshold is still below the positive, not above it.
        assert!(relative.admit(false, -0.5, -0.75));
        assert!(!relative.admit(false, -0.5, (-0.75_f32).next_up()));
        assert!(relative.admit(false, f32::NAN, 9.0), "nothing to measure from");
        let zero = Margins { absolute: Some(0.0), relative: None };
        assert!(zero.admit(false, 0.5, 0.5), "a margin of 0 keeps ties, as sentence-transformers does");
    }

    #[test]
    fn the_positive_least_like_the_anchor_counts() {
        assert_eq!(least_alike(false, 0.9, 0.4), 0.4);
        assert_eq!(least_alike(true, 0.9, 0.4), 0.9);
        assert_eq!(least_alike(false, f32::NAN, 0.4), 0.4);
        assert_eq!(least_alike(true, 0.4, f32::NAN), 0.4);
        assert!(least_alike(true, f32::NAN, f32::NAN).is_nan());
    }
}
