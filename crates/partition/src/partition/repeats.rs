//! Rows whose id stands in an earlier row of the same operation.

/// A bitmap of the rows that repeat an id. It takes no memory where no row does.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    bits: Vec<u64>,
}

impl Repeats {
    /// The repeated rows among ids with these placement hashes.
    pub(crate) fn of(hashes: &[u64], ids: &[u64]) -> Self {
        Self::by(hashes.iter().copied(), |a, b| ids[a] == ids[b])
    }

    /// The repeated rows among rows with these hashes. `same` tells whether two rows with equal hashes repeat each other.
    #[inline]
    pub(crate) fn by(
        hashes: impl ExactSizeIterator<Item = u64>,
        same: impl Fn(usize, usize) -> bool,
    ) -> Self {
        // Open addressing over row numbers + 1; half empty, so that a search is short.
        let rows = hashes.len();
        let mask = (rows * 2).next_power_of_two() - 1;
        let mut table = vec![0_u32; mask + 1];
        let mut repeats = Self::default();
        for (row, hash) in hashes.enumerate() {
            let mut at = hash as usize & mask;
            loop {
                match table[at] as usize {
                    0 => {
                        table[at] = row as u32 + 1;
                        break;
                    }
                    there if same(there - 1, row) => {
                        repeats.bits.resize(rows.div_ceil(64), 0);
                        repeats.bits[row / 64] |= 1 << (row % 64);
                        break;
                    }
                    _ => at = (at + 1) & mask,
                }
            }
        }
        repeats
    }

    /// Whether a row repeats the id of an earlier one.
    #[inline]
    pub(crate) fn has(&self, row: usize) -> bool {
        self.bits.get(row / 64).is_some_and(|word| word >> (row % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::placement_hash;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_row_repeats_what_stands_before_it(ids in proptest::collection::vec(0u64..300, 0..400)) {
            let hashes: Vec<u64> = ids.iter().map(|id| placement_hash(*id)).collect();
            let repeats = Repeats::of(&hashes, &ids);
            for row in 0..ids.len() {
                prop_assert_eq!(repeats.has(row), ids[..row].contains(&ids[row]));
            }
        }
    }
}
