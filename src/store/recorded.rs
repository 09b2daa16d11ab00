//! For tests of what depends on a store's state alone: a store that many threads used at once, and copies of it; and an empty one.

use std::sync::Arc;

use super::local::tests::{loaded, recorded, replayed};
use super::local::{LocalEngine, LocalStore};
use super::{Engine, Store, StoreSpec};

/// The store, and its copies: its log replayed on one thread and on three, and its images loaded.
pub(crate) fn store_and_copies() -> (Arc<dyn Store>, [Arc<dyn Store>; 3]) {
    let (store, log) = recorded();
    let copies: [Arc<dyn Store>; 3] =
        [Arc::new(replayed(&log, 1)), Arc::new(replayed(&log, 3)), Arc::new(loaded(&store))];
    (store, copies)
}

/// The engine of one machine's memory.
pub(crate) fn engine() -> Arc<dyn Engine> {
    Arc::new(LocalEngine::new())
}

/// An empty store in memory.
pub(crate) fn local(spec: StoreSpec) -> Arc<dyn Store> {
    Arc::new(LocalStore::new(spec).expect("memory"))
}
