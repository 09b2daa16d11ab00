//! The put-once store of the [`super::LocalEngine`], in the memory of this process.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::store::StoreError;
use crate::store::put_once::{PutOnce, PutOnceLimits, Space, Term, check_name};

/// The entries of both spaces, each behind a lock that is held for a few map operations only.
#[derive(Debug)]
pub(super) struct LocalPutOnce {
    replies: Mutex<Entries>,
    rounds: Mutex<Entries>,
}

#[derive(Debug)]
struct Entry {
    bytes: Bytes,
    end_millis: u64,
    /// The order in which the entries of a space were put.
    number: u64,
}

#[derive(Debug, Default)]
struct Entries {
    by_name: HashMap<Arc<[u8]>, Entry>,
    /// The names by number, so the oldest is first.
    names: BTreeMap<u64, Arc<[u8]>>,
    /// End and number of each entry, so the first to end is first.
    ends: BTreeSet<(u64, u64)>,
    bytes: usize,
    bytes_max: usize,
    next_number: u64,
}

impl LocalPutOnce {
    pub(super) fn new(limits: PutOnceLimits) -> Self {
        let entries = |space| Mutex::new(Entries { bytes_max: limits.of(space), ..Entries::default() });
        Self { replies: entries(Space::Replies), rounds: entries(Space::Rounds) }
    }

    fn entries(&self, space: Space) -> &Mutex<Entries> {
        match space {
            Space::Replies => &self.replies,
            Space::Rounds => &self.rounds,
        }
    }
}

impl Entries {
    fn put_once(&mut self, name: &[u8], bytes: Bytes, term: Term) -> Bytes {
        self.expire(term.now_millis);
        if let Some(first) = self.by_name.get(name) {
            return first.bytes.clone();
        }
        if self.bytes_max == 0 {
            return bytes;
        }
        let (name, number, end_millis) = (Arc::<[u8]>::from(name), self.next_number, term.end_millis());
        self.next_number += 1;
        self.bytes += name.len() + bytes.len();
        self.names.insert(number, name.clone());
        self.ends.insert((end_millis, number));
        self.by_name.insert(name, Entry { bytes: bytes.clone(), end_millis, number });
        while self.bytes > self.bytes_max
            && self.names.len() > 1
            && let Some((&first, _)) = self.names.first_key_value()
        {
            self.forget_number(first);
        }
        bytes
    }

    fn get(&mut self, name: &[u8], now_millis: u64) -> Option<Bytes> {
        self.expire(now_millis);
        self.by_name.get(name).map(|entry| entry.bytes.clone())
    }

    fn forget_number(&mut self, number: u64) {
        if let Some(name) = self.names.get(&number).cloned() {
            self.forget(&name);
        }
    }

    fn forget(&mut self, name: &[u8]) {
        if let Some(Entry { bytes, end_millis, number }) = self.by_name.remove(name) {
            self.bytes -= name.len() + bytes.len();
            self.names.remove(&number);
            self.ends.remove(&(end_millis, number));
        }
    }

    fn expire(&mut self, now_millis: u64) {
        while let Some((_, number)) = self.ends.first().copied().filter(|(end, _)| *end <= now_millis) {
            self.forget_number(number);
        }
    }
}

#[async_trait]
impl PutOnce for LocalPutOnce {
    async fn put_once(
        &self,
        space: Space,
        name: &[u8],
        bytes: Bytes,
        term: Term,
    ) -> Result<Bytes, StoreError> {
        check_name(name)?;
        Ok(self.entries(space).lock().put_once(name, bytes, term))
    }

    async fn get(&self, space: Space, name: &[u8], now_millis: u64) -> Result<Option<Bytes>, StoreError> {
        Ok(self.entries(space).lock().get(name, now_millis))
    }

    async fn forget(&self, space: Space, names: &[Vec<u8>]) -> Result<(), StoreError> {
        if !names.is_empty() {
            let mut entries = self.entries(space).lock();
            names.iter().for_each(|name| entries.forget(name));
        }
        Ok(())
    }

    async fn expire(&self, now_millis: u64) -> Result<(), StoreError> {
        for space in [Space::Replies, Space::Rounds] {
            self.entries(space).lock().expire(now_millis);
        }
        Ok(())
    }
}
