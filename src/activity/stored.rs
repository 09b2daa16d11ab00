//! A sample of the rows of the hard store: all of a small store, or a few thousand drawn uniformly.

use rand::RngExt as _;

use crate::model::error::PoolError;
use crate::store::{Address, Census, Cursor, Row, Store};

/// Number of rows drawn. A store with at most this number is read completely.
pub(crate) const ROWS_MAX: usize = 4096;

/// All rows of a small store, or [`ROWS_MAX`] drawn uniformly with replacement.
pub(crate) async fn rows(store: &dyn Store) -> Result<Vec<Row>, PoolError> {
    if store.level().await?.hard <= ROWS_MAX as u64 {
        return all(store).await;
    }
    let addresses = draw(&store.census().await?);
    Ok(store.fetch(&addresses).await?.into_iter().flatten().collect())
}

/// The addresses of [`ROWS_MAX`] members drawn uniformly with replacement; none if the store is empty.
fn draw(census: &Census) -> Vec<Address> {
    // The number of members before each bucket.
    let mut before = Vec::with_capacity(census.buckets.len());
    let mut members = 0;
    for bucket in &census.buckets {
        before.push(members);
        members += u64::from(bucket.members());
    }
    if members == 0 {
        return Vec::new();
    }
    let mut rng = rand::rng();
    (0..ROWS_MAX)
        .map(|_| {
            let member = rng.random_range(0..members);
            let at = before.partition_point(|start| *start <= member) - 1;
            let bucket = &census.buckets[at];
            Address::Hard {
                partition: bucket.partition,
                bucket: bucket.bucket,
                ordinal: (member - before[at]) as u32,
            }
        })
        .collect()
}

async fn all(store: &dyn Store) -> Result<Vec<Row>, PoolError> {
    let mut rows = Vec::new();
    let mut cursor = Some(Cursor::default());
    while let Some(at) = cursor
        && rows.len() < 2 * ROWS_MAX
    {
        let page = store.scan(at, ROWS_MAX).await?;
        rows.extend(page.rows);
        cursor = page.next;
    }
    Ok(rows)
}
