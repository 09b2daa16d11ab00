//! For tests of what depends on a store's state alone: a store that many threads used at once, and copies of it; and an empty one.

use std::sync::Arc;

use super::local::tests::{Recorded, loaded, recorded, replayed, spec_of_recorded, with_log};
use super::local::{LocalEngine, LocalStore};
use super::{Engine, Store, StoreSpec};

/// The store, and its copies: its log replayed on one thread and on three, and its images loaded.
pub(crate) fn store_and_copies() -> (Arc<dyn Store>, [Arc<dyn Store>; 3]) {
    let (store, log) = recorded();
    let again = |threads| replayed(spec_of_recorded(), &log, threads);
    let copies: [Arc<dyn Store>; 3] = [Arc::new(again(1)), Arc::new(again(3)), Arc::new(loaded(&store))];
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

/// A store whose log is kept.
pub(crate) struct Recording {
    store: Arc<LocalStore>,
    spec: StoreSpec,
    log: Arc<parking_lot::Mutex<Recorded>>,
}

impl Recording {
    /// The images of its partitions; call it while nothing is under way.
    pub(crate) fn images(&self) -> Vec<Vec<u8>> {
        self.store.images()
    }

    /// The images of another store to which some threads apply the log, each that of its own partitions.
    pub(crate) fn replayed(&self, threads: usize) -> Vec<Vec<u8>> {
        replayed(self.spec.clone(), &self.log.lock(), threads).images()
    }
}

/// An empty store in memory, and what is recorded of it.
pub(crate) fn logged(spec: StoreSpec) -> (Arc<dyn Store>, Recording) {
    let (store, log) = with_log(spec.clone());
    (store.clone(), Recording { store, spec, log })
}
