//! A bounded map that forgets the least recently used key first (LRU). "Recently" counts uses, not time, so that the same calls always leave
//! the same state.

use hashbrown::HashTable;

use crate::hash::placement_hash;

/// Index of no node.
const NONE: u32 = u32::MAX;

/// A key of an [`Lru`].
pub(crate) trait LruKey: Copy + Eq {
    fn hash(self) -> u64;
}

impl LruKey for u64 {
    fn hash(self) -> u64 {
        placement_hash(self)
    }
}

/// Values by key, in a list from the least to the most recently used. Each change costs O(1) amortised.
#[derive(Debug)]
pub(crate) struct Lru<K, V> {
    /// Indices in `nodes` by key.
    table: HashTable<u32>,
    /// The nodes of the linked list, without holes and in no order.
    nodes: Vec<Node<K, V>>,
    oldest: u32,
    newest: u32,
    /// The maximal number of keys.
    most: usize,
}

#[derive(Debug)]
struct Node<K, V> {
    key: K,
    value: V,
    /// The neighbours in the list: the next less and the next more recently used key.
    older: u32,
    newer: u32,
}

impl<K: LruKey, V> Lru<K, V> {
    /// Holds at most `most` keys. Allocates nothing before the first.
    pub(crate) fn new(most: usize) -> Self {
        Self { table: HashTable::new(), nodes: Vec::new(), oldest: NONE, newest: NONE, most }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The value of a key. This is no use of it.
    #[inline]
    pub(crate) fn get(&self, key: K) -> Option<&V> {
        if self.nodes.is_empty() { None } else { self.find(key).map(|at| &self.nodes[at].value) }
    }

    /// The value of a key, which becomes the most recently used.
    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let at = self.find(key)?;
        self.unlink(at);
        self.link_newest(at);
        Some(&mut self.nodes[at].value)
    }

    /// Enters or replaces the value of a key, which becomes the most recently used. Returns the value that is gone for it: the one before,
    /// or that of the least recently used key if there was no room.
    pub(crate) fn put(&mut self, key: K, value: V) -> Option<V> {
        if let Some(known) = self.get_mut(key) {
            return Some(std::mem::replace(known, value));
        }
        if self.most == 0 {
            return None;
        }
        let oldest = self.nodes.get(self.oldest as usize).map(|node| node.key);
        let forgotten = oldest.filter(|_| self.nodes.len() >= self.most).and_then(|key| self.remove(key));
        self.push(key, value);
        forgotten
    }

    /// Removes a key, if it is there, and returns its value.
    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        if self.nodes.is_empty() {
            return None;
        }
        let nodes = &self.nodes;
        let found = self.table.find_entry(key.hash(), |at| nodes[*at as usize].key == key).ok()?;
        let at = found.remove().0 as usize;
        self.unlink(at);
        let removed = self.nodes.swap_remove(at);
        // What was the last node is at the free index now.
        let last = self.nodes.len();
        if let Some(&Node { key, older, newer, .. }) = self.nodes.get(at) {
            if let Some(place) = self.table.find_mut(key.hash(), |place| *place as usize == last) {
                *place = at as u32;
            }
            *self.newer_of(older) = at as u32;
            *self.older_of(newer) = at as u32;
        }
        Some(removed.value)
    }

    /// Removes all keys for which `stays` is false.
    pub(crate) fn retain(&mut self, stays: impl Fn(K) -> bool) {
        let gone: Vec<K> = self.iter().map(|(key, _)| key).filter(|key| !stays(*key)).collect();
        gone.into_iter().for_each(|key| _ = self.remove(key));
    }

    /// All keys with their values, the least recently used first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &V)> + '_ {
        let node = |at: u32| self.nodes.get(at as usize);
        std::iter::successors(node(self.oldest), move |n| node(n.newer)).map(|n| (n.key, &n.value))
    }

    /// Reserves memory for keys that are to be restored.
    pub(crate) fn reserve(&mut self, keys: usize) {
        self.table.reserve(keys, |_| 0);
        self.nodes.reserve_exact(keys);
    }

    /// Restores the next key that [`Self::iter`] returned. False: the key is there already, or there is no room.
    pub(crate) fn restore(&mut self, key: K, value: V) -> bool {
        let fits = self.nodes.len() < self.most && self.find(key).is_none();
        if fits {
            self.push(key, value);
        }
        fits
    }

    /// The memory of the map, without what values own.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.table.allocation_size() + self.nodes.capacity() * size_of::<Node<K, V>>()
    }

    fn find(&self, key: K) -> Option<usize> {
        let at = self.table.find(key.hash(), |at| self.nodes[*at as usize].key == key)?;
        Some(*at as usize)
    }

    /// Adds a new key as the most recently used.
    fn push(&mut self, key: K, value: V) {
        let at = self.nodes.len();
        self.nodes.push(Node { key, value, older: NONE, newer: NONE });
        let nodes = &self.nodes;
        self.table.insert_unique(key.hash(), at as u32, |at| nodes[*at as usize].key.hash());
        self.link_newest(at);
    }

    /// Takes a node out of the list.
    fn unlink(&mut self, at: usize) {
        let Node { older, newer, .. } = self.nodes[at];
        *self.newer_of(older) = newer;
        *self.older_of(newer) = older;
    }

    /// Puts a node at the most recent end of the list.
    fn link_newest(&mut self, at: usize) {
        let newest = std::mem::replace(&mut self.newest, at as u32);
        *self.newer_of(newest) = at as u32;
        (self.nodes[at].older, self.nodes[at].newer) = (newest, NONE);
    }

    /// The link to the node after `at`. After `NONE`: the link to the least recently used.
    fn newer_of(&mut self, at: u32) -> &mut u32 {
        match self.nodes.get_mut(at as usize) {
            Some(node) => &mut node.newer,
            None => &mut self.oldest,
        }
    }

    /// The link to the node before `at`. Before `NONE`: the link to the most recently used.
    fn older_of(&mut self, at: u32) -> &mut u32 {
        match self.nodes.get_mut(at as usize) {
            Some(node) => &mut node.older,
            None => &mut self.newest,
        }
    }

    /// Checks the invariants.
    #[cfg(test)]
    pub(crate) fn check(&self) {
        assert!(self.len() <= self.most);
        assert_eq!(self.table.len(), self.len());
        let (mut at, mut older, mut linked) = (self.oldest, NONE, 0);
        while let Some(node) = self.nodes.get(at as usize) {
            assert_eq!(node.older, older, "the order is the same in both directions");
            assert_eq!(self.find(node.key), Some(at as usize));
            (older, at, linked) = (at, node.newer, linked + 1);
        }
        assert_eq!((self.newest, linked), (older, self.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Compares with a list from which the least recently used key is removed.
        #[test]
        fn agrees_with_a_list(
            calls in proptest::collection::vec((0_u64..12, 0_u8..4, any::<u32>()), 0..200),
            most in 0_usize..9,
        ) {
            let (mut lru, mut list) = (Lru::new(most), Vec::<(u64, u32)>::new());
            for (key, call, value) in calls {
                let known = list.iter().find(|(other, _)| *other == key).map(|(_, value)| *value);
                prop_assert_eq!(lru.get(key).copied(), known);
                let is_used = call < 3;
                if is_used {
                    list.retain(|(other, _)| *other != key);
                }
                match call {
                    0 => prop_assert_eq!(lru.remove(key), known),
                    1 => {
                        prop_assert_eq!(lru.get_mut(key).copied(), known);
                        list.extend(known.map(|value| (key, value)));
                    }
                    2 => {
                        let gone = lru.put(key, value);
                        list.push((key, value));
                        let forgotten = (list.len() > most).then(|| list.remove(0).1);
                        prop_assert_eq!(gone, known.or(forgotten.filter(|_| most > 0)));
                    }
                    _ if value % 8 == 0 => {
                        lru.retain(|other| other % 3 != key % 3);
                        list.retain(|(other, _)| other % 3 != key % 3);
                    }
                    _ => {}
                }
                lru.check();
                prop_assert!(lru.iter().map(|(key, value)| (key, *value)).eq(list.iter().copied()));
            }
            let mut restored = Lru::new(most);
            prop_assert!(lru.iter().all(|(key, value)| restored.restore(key, *value)));
            restored.check();
            prop_assert!(restored.iter().eq(lru.iter()));
            prop_assert!(list.iter().all(|(key, value)| !restored.restore(*key, *value)));
            prop_assert!(list.len() < most || !restored.restore(99, 0), "there is no room");
        }
    }
}
