//! Equal shares of a batch for strata (docs/methods.md 8).

use hashbrown::HashMap;

/// Equal shares of `size` for strata. What a stratum has too few samples for goes to the others (water-filling).
pub(super) fn shares(available: &HashMap<u32, u64>, size: usize) -> HashMap<u32, u32> {
    let mut order: Vec<(u32, u64)> = available.iter().map(|(s, n)| (*s, *n)).collect();
    order.sort_unstable_by_key(|(stratum, available)| (*available, *stratum));
    let mut left = size as u64;
    let mut shares = HashMap::with_capacity(order.len());
    for (i, (stratum, available)) in order.iter().enumerate() {
        // The strata with the most samples come last and take the remainder of the division.
        let share = (left / (order.len() - i) as u64).min(*available);
        left -= share;
        shares.insert(*stratum, share as u32);
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unfilled_share_of_a_stratum_goes_to_the_others() {
        let of = |counts: &[(u32, u64)], size| {
            let mut shares: Vec<_> = shares(&counts.iter().copied().collect(), size).into_iter().collect();
            shares.sort_unstable();
            shares.into_iter().map(|s| s.1).collect::<Vec<_>>()
        };
        assert_eq!(of(&[(1, 100), (2, 100)], 10), [5, 5]);
        assert_eq!(of(&[(1, 2), (2, 100), (3, 100)], 12), [2, 5, 5]);
        assert_eq!(of(&[(1, 1), (2, 1)], 12), [1, 1]);
        assert_eq!(of(&[(1, 100), (2, 100), (3, 101)], 11), [3, 4, 4]);
    }
}
