//! Finds the sample at a rank of the whole pool from the leaves of its partitions, without reading all samples.

use super::place::Place;
use super::{BucketCount, Span};

/// The key range that contains the sample at `rank`, joined from all buckets whose ranges overlap, and the number of samples above that
/// range.
pub(super) fn range_of(buckets: &[BucketCount], rank: u64) -> Option<(BucketCount, u64)> {
    let mut order: Vec<&BucketCount> = buckets.iter().collect();
    let first = order.first()?.high;
    order.sort_by_key(|bucket| std::cmp::Reverse(bucket.high.since(first)));
    let mut joined: Option<BucketCount> = None;
    let (mut above, mut members) = (0_u64, 0_u64);
    for bucket in order {
        match &mut joined {
            Some(range) if bucket.high.since(range.low) >= 0 => {
                if bucket.low.since(range.low) < 0 {
                    range.low = bucket.low;
                }
            }
            Some(range) if rank < above + members => return Some((*range, above)),
            _ => {
                above += members;
                members = 0;
                joined = Some(*bucket);
            }
        }
        members += u64::from(bucket.members());
    }
    joined.filter(|_| rank < above + members).map(|range| (range, above))
}

/// The narrowest two places, low and high, between which the sample at `rank` must be, as far as the spans show. `spans` are those of all
/// partitions; those of one partition are disjoint.
pub(super) fn bounds_of(spans: &[Span], rank: u64) -> Option<(Place, Place)> {
    let harder_first = |a: &Place, b: &Place| b.compare(a);
    // An upper bound of the number of samples at or above a place: all samples of the spans whose high end is at or above it.
    let mut by_high: Vec<&Span> = spans.iter().collect();
    by_high.sort_by(|a, b| harder_first(&a.high, &b.high));
    // A lower bound: all samples of the spans that lie wholly at or above it.
    let mut by_low: Vec<&Span> = spans.iter().collect();
    by_low.sort_by(|a, b| harder_first(&a.low, &b.low));
    let reaches = |mut sum: u64, order: &[&Span]| {
        order.iter().position(|span| {
            sum += u64::from(span.members);
            sum > rank
        })
    };
    let high = by_high[reaches(0, &by_high)?].high;
    let low = by_low[reaches(0, &by_low)?].low;
    Some((low, high))
}

/// Whether a span may have samples between two places.
pub(super) fn touches(span: &Span, (low, high): (Place, Place)) -> bool {
    span.high.compare(&low).is_ge() && span.low.compare(&high).is_le()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::key::Key;
    use crate::store::place::Rank;
    use proptest::prelude::*;

    proptest! {
        /// The spans that touch the bounds of a rank contain its sample, and the samples above those spans account for the rest of the
        /// rank.
        #[test]
        fn the_sample_at_a_rank_is_between_the_bounds(
            partitions in proptest::collection::vec(proptest::collection::vec((0_u32..300, 1_usize..20), 0..60), 1..5),
        ) {
            let place = |key: u32, id: u64| Place { key: Key(key), rank: Rank { score: 0, hash: id, id } };
            let (mut all, mut spans, mut id) = (Vec::new(), Vec::new(), 0);
            for keys in partitions {
                let mut members: Vec<Place> = keys.iter().map(|(key, _)| { id += 1; place(*key, id) }).collect();
                members.sort_by(|a, b| b.compare(a));
                let mut left = &members[..];
                for (_, size) in &keys {
                    let (leaf, rest) = left.split_at((*size).min(left.len()));
                    if let (Some(high), Some(low)) = (leaf.first(), leaf.last()) {
                        spans.push((Span { low: *low, high: *high, members: leaf.len() as u32 }, leaf.to_vec()));
                    }
                    left = rest;
                }
                all.extend(members);
            }
            all.sort_by(|a, b| b.compare(a));
            let only: Vec<Span> = spans.iter().map(|span| span.0).collect();
            for (rank, expected) in all.iter().enumerate() {
                let bounds = bounds_of(&only, rank as u64).unwrap();
                let (mut read, mut above) = (Vec::new(), 0);
                for (span, members) in &spans {
                    if touches(span, bounds) {
                        read.extend(members.iter().copied());
                    } else if span.low.compare(&bounds.1).is_gt() {
                        above += members.len();
                    }
                }
                read.sort_by(|a: &Place, b| b.compare(a));
                prop_assert_eq!(read[rank - above], *expected);
            }
            prop_assert!(bounds_of(&only, all.len() as u64).is_none());
        }
    }
}
