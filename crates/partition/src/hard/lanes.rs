//! Searches a line of the index with SIMD instructions.

use wide::u32x4;

/// Bit i: word i equals `value` in the bits of `mask`.
#[inline]
pub(super) fn equal_lanes(words: &[u32; 16], value: u32, mask: u32) -> u32 {
    let (value, mask) = (u32x4::splat(value & mask), u32x4::splat(mask));
    let (four, _) = words.as_chunks::<4>();
    let equal = |at: usize| (u32x4::new(four[at]) & mask).simd_eq(value).to_bitmask();
    equal(0) | equal(1) << 4 | equal(2) << 8 | equal(3) << 12
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_are_compared_under_the_mask(
            words in proptest::array::uniform16(0u32..8),
            value in 0u32..8,
            mask in prop_oneof![Just(0u32), Just(3), Just(u32::MAX), any::<u32>()],
            scale in prop_oneof![Just(1u32), Just(1 << 29)],
        ) {
            let words = words.map(|word| word.wrapping_mul(scale));
            let value = value.wrapping_mul(scale);
            let is_equal = |i: usize| (words[i] ^ value) & mask == 0;
            prop_assert_eq!(equal_lanes(&words, value, mask), (0..16).map(|i| u32::from(is_equal(i)) << i).sum::<u32>());
        }
    }
}
