//! Scores of the background: all members of a small one, or a few thousand drawn uniformly.

use rand::RngExt as _;

use crate::model::error::PoolError;
use crate::store::{Address, BackgroundCount, Store};

/// Maximum number of members read.
const ROWS_MAX: u64 = 4096;

/// The scores of up to [`ROWS_MAX`] members of the background; NaN for an id of a dense space that was never reported.
pub(crate) async fn scores(store: &dyn Store) -> Result<Vec<f32>, PoolError> {
    let lanes: Vec<u64> = match store.census().await?.background {
        BackgroundCount::Sampled(partitions) => partitions.iter().map(|p| p.members).collect(),
        BackgroundCount::Dense { ids, .. } => vec![ids],
    };
    let rows = store.fetch(&addresses(&lanes)).await?;
    Ok(rows.into_iter().flatten().map(|row| row.score).collect())
}

/// The addresses of up to [`ROWS_MAX`] members; `lanes` has the number of members of each partition.
fn addresses(lanes: &[u64]) -> Vec<Address> {
    let members: u64 = lanes.iter().sum();
    let place = |mut member: u64| {
        let mut partition = 0;
        while member >= lanes[partition] {
            member -= lanes[partition];
            partition += 1;
        }
        Address::Background { partition: partition as u16, ordinal: member }
    };
    if members <= ROWS_MAX {
        return (0..members).map(place).collect();
    }
    let mut rng = rand::rng();
    (0..ROWS_MAX).map(|_| place(rng.random_range(0..members))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_all_members_of_a_small_background_and_a_sample_of_a_large_one() {
        let few = addresses(&[2, 0, 3]);
        let expected = [(0, 0), (0, 1), (2, 0), (2, 1), (2, 2)]
            .map(|(partition, ordinal)| Address::Background { partition, ordinal });
        assert_eq!(few, expected);
        let many = addresses(&[1 << 20, 1 << 20]);
        let first = many.iter().filter(|a| matches!(a, Address::Background { partition: 0, .. })).count();
        // The count is binomial with a standard deviation of 32, so it is outside these bounds about once in a million.
        assert!((1_890..2_206).contains(&first), "{first}");
        assert!(addresses(&[]).is_empty());
    }
}
