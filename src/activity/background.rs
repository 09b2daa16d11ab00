//! Scores of the background: all of a small one, or some thousand drawn uniformly.

use rand::RngExt as _;

use crate::model::error::PoolError;
use crate::store::{Address, BackgroundCount, Store};

/// Members looked at.
const ROWS_MAX: u64 = 4096;

/// Scores of up to [`ROWS_MAX`] members; NaN for a dense id that was never reported.
pub(crate) async fn scores(store: &dyn Store) -> Result<Vec<f32>, PoolError> {
    let lanes: Vec<u64> = match store.census().await?.background {
        BackgroundCount::Sampled(partitions) => partitions.iter().map(|p| p.members).collect(),
        BackgroundCount::Dense { ids, .. } => vec![ids],
    };
    let rows = store.fetch(&addresses(&lanes)).await?;
    Ok(rows.into_iter().flatten().map(|row| row.score).collect())
}

/// Places in lanes of so many members each.
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
    fn every_member_of_a_small_background_once_and_a_sample_of_a_large_one() {
        let few = addresses(&[2, 0, 3]);
        let expected = [(0, 0), (0, 1), (2, 0), (2, 1), (2, 2)]
            .map(|(partition, ordinal)| Address::Background { partition, ordinal });
        assert_eq!(few, expected);
        let many = addresses(&[1 << 20, 1 << 20]);
        let first = many.iter().filter(|a| matches!(a, Address::Background { partition: 0, .. })).count();
        // Binomial, deviation 32: outside one time in a million.
        assert!((1_890..2_206).contains(&first), "{first}");
        assert!(addresses(&[]).is_empty());
    }
}
