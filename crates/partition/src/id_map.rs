//! Hash maps by id. Their hasher has no seed, so they are the same in every process.

use hashbrown::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::hash::placement_hash;

/// A hasher that mixes the bits of an id, so that sequential ids spread.
#[derive(Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = placement_hash(id);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A map by id. Nothing may depend on the order of its entries.
pub type IdMap<V> = HashMap<u64, V, BuildHasherDefault<IdHasher>>;
