//! What every host must do alike: one suite, which runs on each engine.
//!
//! A host adds itself to [`engines`]; nothing else in here knows which there are.

#![allow(clippy::unwrap_used, reason = "tests")]

mod anchors;
mod pools;
mod put_once;
mod quarantine;
mod reports;
mod samples;

use std::sync::Arc;

use super::engine::Engine;
use super::key::Hardness;
use super::local::LocalEngine;
use super::naive_engine::NaiveEngine;
use super::record::{NewPool, StoreSpecs};
use super::{BackgroundSpec, StoreSpec};

/// An empty engine of each kind, the plainest first: where two may differ, they are held against it.
fn engines() -> Vec<(&'static str, Arc<dyn Engine>)> {
    vec![("naive", Arc::new(NaiveEngine::default())), ("local", Arc::new(LocalEngine::new()))]
}

/// More pools than a test creates.
const MAX_POOLS: usize = 1_000;

/// A store of samples with room for `capacity` of them, and 256 in the background.
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

/// A flat pool.
fn flat(name: &str, uid: u64, samples: StoreSpec) -> NewPool {
    let specs = StoreSpecs { samples, anchors: None };
    NewPool { name: name.into(), uid, specs, bytes: vec![uid as u8].into() }
}
