//! The binary logarithm of a weight, with the same bits on every machine and fast enough for every row of every report.
//!
//! A table brings the number close to 1 and a short series does the rest (Tang 1990, "Table-driven implementation of the logarithm
//! function"). Only additions and multiplications are used, which IEEE 754 rounds in one way. The error is below 10^-15 before the
//! exponent is added, and keys are counted in units of 2^-16 after 4,096 has been added, which is where anything below 10^-12 is lost.

/// Mantissa bits that choose an entry of the table.
const INDEX_BITS: u32 = 7;
const ENTRIES: usize = 1 << INDEX_BITS;
const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;

/// Of the middle c of each part of 1..2: 1/c, and log2(c).
const TABLE: [(f64, f64); ENTRIES] = {
    let mut table = [(0.0, 0.0); ENTRIES];
    let mut i = 0;
    while i < ENTRIES {
        let inverse = 1.0 / (1.0 + (i as f64 + 0.5) / ENTRIES as f64);
        // ln c = -2 atanh((inverse - 1) / (inverse + 1)), by its series, which is exact to the last bit after 20 terms for c < 2.
        let z = (inverse - 1.0) / (inverse + 1.0);
        let (mut sum, mut power, mut n) = (0.0, z, 1.0);
        while n < 60.0 {
            sum += power / n;
            power *= z * z;
            n += 2.0;
        }
        table[i] = (inverse, -2.0 * sum * std::f64::consts::LOG2_E);
        i += 1;
    }
    table
};

/// log2(x); `x` is finite, normal and > 0.
#[inline]
pub(crate) fn log2(x: f64) -> f64 {
    let bits = x.to_bits();
    let exponent = (bits >> MANTISSA_BITS) as i32 - (f64::MAX_EXP - 1);
    let (inverse, log2) = TABLE[(bits >> (MANTISSA_BITS - INDEX_BITS)) as usize % ENTRIES];
    // x without its exponent, in 1..2.
    let mantissa = f64::from_bits(bits & ((1 << MANTISSA_BITS) - 1) | 1.0_f64.to_bits());
    // |r| is below 2^-8.
    let r = mantissa * inverse - 1.0;
    let series =
        r * (1.0 + r * (-1.0 / 2.0 + r * (1.0 / 3.0 + r * (-1.0 / 4.0 + r * (1.0 / 5.0 - r / 6.0)))));
    f64::from(exponent) + (log2 + series * std::f64::consts::LOG2_E)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::background_hash;

    /// Against libm, whose error is below one unit in the last place.
    #[test]
    fn it_agrees_with_a_library() {
        let edges = [
            f64::MIN_POSITIVE,
            1e-45,
            1e-9,
            1.0 - f64::EPSILON,
            1.0,
            1.0 + f64::EPSILON,
            2.0,
            3.4e38,
            f64::MAX,
        ];
        let any = (0..2_000_000u64).map(|i| {
            let hash = background_hash(i, 5);
            // Half of them near 1, where the logarithm is small; the others of any magnitude that a score can have.
            let exponent = if i % 2 == 0 { 1023 } else { 1023 - 150 + hash % 280 };
            f64::from_bits(exponent << MANTISSA_BITS | hash >> 12)
        });
        for x in edges.into_iter().chain(any) {
            let (ours, theirs) = (log2(x), libm::log2(x));
            assert!(
                (ours - theirs).abs() <= 1e-15 + theirs.abs() * f64::EPSILON,
                "{x:e}: {ours:e}, {theirs:e}"
            );
        }
    }

    #[test]
    fn a_larger_number_has_no_smaller_logarithm() {
        // Of scores, which are single floats, on both sides of each border between two entries of the table.
        for i in 0..=ENTRIES as u32 {
            let border = 1.0_f32.to_bits() + (i << (23 - INDEX_BITS));
            for bits in border - 50..border + 50 {
                let (below, above) = (f32::from_bits(bits), f32::from_bits(bits + 1));
                assert!(log2(f64::from(below)) < log2(f64::from(above)), "{below:e}");
            }
        }
    }
}
