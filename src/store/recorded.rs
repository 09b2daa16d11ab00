//! Stores for tests whose result must depend on the state of a store alone: a store that many threads have used concurrently, with copies
//! of it, and an empty store.

use std::sync::Arc;

use super::local::tests::{Recorded, loaded, recorded, replayed, spec_of_recorded, with_log};
use super::local::{LocalEngine, LocalStore};
use super::{Engine, Store, StoreSpec};

/// The store, and its three copies: its log replayed on one thread, replayed on three threads, and its images loaded.
pub(crate) fn store_and_copies() -> (Arc<dyn Store>, [Arc<dyn Store>; 3]) {
    let (store, log) = recorded();
    let again = |threads| replayed(spec_of_recorded(), &log, threads);
    let copies: [Arc<dyn Store>; 3] = [Arc::new(again(1)), Arc::new(again(3)), Arc::new(loaded(&store))];
    (store, copies)
}

/// A [`LocalEngine`] without pools.
pub(crate) fn engine() -> Arc<dyn Engine> {
    Arc::new(LocalEngine::new())
}

/// An empty [`LocalStore`].
pub(crate) fn local(spec: StoreSpec) -> Arc<dyn Store> {
    Arc::new(LocalStore::new(spec).expect("memory"))
}

/// A store with the log of its operations.
pub(crate) struct Recording {
    store: Arc<LocalStore>,
    spec: StoreSpec,
    log: Arc<parking_lot::Mutex<Recorded>>,
}

impl Recording {
    /// The images of its partitions; call it while no operation runs.
    pub(crate) fn images(&self) -> Vec<Vec<u8>> {
        self.store.images()
    }

    /// The images of a second store to which `threads` threads apply the log, each to its own partitions.
    pub(crate) fn replayed(&self, threads: usize) -> Vec<Vec<u8>> {
        replayed(self.spec.clone(), &self.log.lock(), threads).images()
    }
}

/// An empty [`LocalStore`] and its recording.
pub(crate) fn logged(spec: StoreSpec) -> (Arc<dyn Store>, Recording) {
    let (store, log) = with_log(spec.clone());
    (store.clone(), Recording { store, spec, log })
}
