//! The conformance suite: one set of tests that runs on every engine, because all must behave alike.
//!
//! A new host adds its engine to [`engines`]; nothing else here depends on which engines there are.

#![allow(clippy::unwrap_used, reason = "tests")]

mod anchor_calls;
mod anchors;
mod pools;
mod put_once;
mod quarantine;
mod reads;
mod reports;
mod samples;

use std::sync::Arc;

use super::engine::Engine;
use super::key::Hardness;
use super::local::LocalEngine;
use super::naive_engine::NaiveEngine;
use super::record::{NewPool, StoreSpecs};
use super::{BackgroundSpec, StoreSpec};

/// An empty engine of each kind. The first is the simplest one, with which the others are compared.
fn engines() -> Vec<(&'static str, Arc<dyn Engine>)> {
    vec![("naive", Arc::new(NaiveEngine::default())), ("local", Arc::new(LocalEngine::new()))]
}

/// A maximum of pools that no test reaches unless it sets its own.
const MAX_POOLS: usize = 1_000;

/// The spec of a store of samples with this capacity and 256 background samples.
fn samples(capacity: usize, partitions: usize) -> StoreSpec {
    StoreSpec {
        capacity,
        partitions,
        background: BackgroundSpec::Sampled { size: 256 },
        hardness: Hardness::default(),
        named: false,
        salt_seed: 7,
        workers: 64,
    }
}

/// The parameters of a flat pool.
fn flat(name: &str, uid: u64, samples: StoreSpec) -> NewPool {
    let specs = StoreSpecs { samples, anchors: None };
    NewPool { name: name.into(), uid, specs, bytes: vec![uid as u8].into() }
}
