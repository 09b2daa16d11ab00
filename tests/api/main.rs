//! Every RPC and every kind of bad input, over a real socket.
#![cfg(all(feature = "cli", feature = "dashboard"))]
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

mod admin;
mod anchored;
mod balance;
mod bias;
mod curriculum;
mod expiry;
mod flow;
mod leases;
mod mining;
mod pools;
mod quarantine;
mod reports;
mod rounds;
mod runs;
mod samples;
mod selection;
mod streams;

use hardneg::client::{Client, Error, Ids};
use hardneg::proto::v1 as pb;
use tonic::Code;

/// The code of an error, the reason of its ErrorInfo, and the first field in its BadRequest.
fn told<T: std::fmt::Debug>(result: Result<T, Error>) -> (Code, String, String) {
    let error = result.expect_err("an error");
    let field = error.field_violations().first().map(|(field, _)| field.clone());
    (error.code(), error.reason().expect("every error has an ErrorInfo"), field.unwrap_or_default())
}

/// INVALID_ARGUMENT naming `field`.
#[track_caller]
fn assert_invalid<T: std::fmt::Debug>(result: Result<T, Error>, field: &str) {
    assert_eq!(told(result), (Code::InvalidArgument, "INVALID_FIELD".into(), field.into()));
}

fn integers(ids: &Ids) -> &[u64] {
    ids.as_u64().expect("an integer pool")
}

/// A pool without decay, with 2 partitions.
fn plain(capacity: u64) -> pb::PoolSpec {
    pb::PoolSpec {
        capacity,
        shards: 2,
        decay: Some(pb::Decay { half_life: Some(pb::decay::HalfLife::Disabled(true)), max_step_jump: 0 }),
        ..Default::default()
    }
}

/// Everything that a client can read of a pool.
async fn figures(client: &Client, pool: &str) -> pb::PoolStats {
    client.pool_stats(pool).await.unwrap()
}

/// The sizes of a pool. A refused call may change counters, but not these.
async fn sizes(client: &Client, pool: &str) -> (pb::PoolSizes, u64) {
    let stats = figures(client, pool).await;
    (stats.sizes.unwrap(), stats.reported_rows)
}
