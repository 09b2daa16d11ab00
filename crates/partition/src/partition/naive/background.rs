//! The background of the reference model: generations that are searched for their largest hash, and a witness that holds all ids.

use std::collections::BTreeMap;

use super::{Entry, Naive};
use crate::background::WITNESS;
use crate::hash::background_hash;
use crate::key::Key;
use crate::partition::HalfLimits;
use crate::place::Place;
use crate::spec::BackgroundSpec;

/// A generation of the background.
#[derive(Clone, Debug)]
pub(crate) struct Generation {
    pub(crate) salt: u64,
    pub(crate) members: BTreeMap<u64, Entry>,
    /// Own keys of members, and whether each owes its last serve to its membership.
    pub(crate) own: BTreeMap<u64, (Key, bool)>,
    pub(crate) threshold: Option<u64>,
}

impl Naive {
    /// The own key of a sample of the hard store.
    pub(crate) fn own_key(&self, id: u64) -> Option<Key> {
        let (key, entry) = self.hard.get(&id)?;
        let (Some((own, _)), Some(_)) = (self.serving.own.get(&id), self.serving.threshold) else {
            return Some(*key);
        };
        let full = self.hard.len() == self.spec.capacity;
        let floor = self.order().last().filter(|_| full).map(|last| self.place(*last));
        let score = self.serving.members.get(&id).map_or(entry.score, |member| member.score);
        let place = Place::of(*own, score, id, self.spec.hardness.lower_is_harder);
        floor.is_none_or(|floor| place.compare(&floor).is_ge()).then_some(*own)
    }

    /// Valid while no removal makes a witness thin.
    pub(super) fn renew(&mut self, rows: u64, renew_after_rows: u64) {
        let mut hashes: Vec<u64> = self.witness.keys().copied().collect();
        hashes.truncate(WITNESS);
        let threshold = self.serving.threshold.map_or(1.0, |threshold| threshold as f64 / 2_f64.powi(64));
        // All ids are in the witness.
        let stands_for_all = !self.expires
            || hashes.len() as f64 >= 0.9 * (self.serving.members.len() as f64 / threshold).floor();
        let watched = |witness: &BTreeMap<u64, (u64, bool, u32)>| {
            stands_for_all && hashes.iter().all(|hash| witness[hash].1)
        };
        self.rows += rows;
        if self.serving.threshold.is_none() {
            return;
        }
        let is_worn = self.serving.members.len() < self.size() / 2;
        match self.filling.take() {
            filling
                if hashes.is_empty() && filling.is_some()
                    || filling.is_none() && (self.rows >= renew_after_rows || is_worn) =>
            {
                let salt = background_hash(self.generations, self.spec.salt_seed);
                self.generations += 1;
                self.filling = Some(Generation {
                    salt,
                    members: BTreeMap::new(),
                    own: BTreeMap::new(),
                    threshold: None,
                });
                self.witness.values_mut().for_each(|member| member.1 = false);
            }
            None => {}
            Some(filling) if watched(&self.witness) => {
                self.serving = filling;
                self.rows = 0;
            }
            filling => self.filling = filling,
        }
    }

    /// Offers a released sample to background and witness.
    pub(super) fn meet(&mut self, id: u64, entry: &Entry, key: Key) {
        if self.dense() {
            self.removed.retain(|removed| *removed != id);
            return;
        }
        self.witness.insert(background_hash(id, self.witness_salt), (id, true, entry.stamp));
        let size = self.size();
        for generation in std::iter::once(&mut self.serving).chain(&mut self.filling) {
            generation.meet(id, entry.clone(), key, size);
        }
    }

    /// Resets everything but the quarantine after all samples were removed.
    pub(super) fn begin_anew(&mut self) {
        self.hard.clear();
        self.leases.clear();
        self.unstored.clear();
        self.witness.clear();
        self.rows = 0;
        self.filling = None;
        let salt = background_hash(self.generations, self.spec.salt_seed);
        self.serving = Generation { salt, members: BTreeMap::new(), own: BTreeMap::new(), threshold: None };
        self.generations += u64::from(!self.dense());
    }

    pub(super) fn end_removal(&mut self) {
        if !self.dense() {
            self.renew(0, u64::MAX);
        }
    }

    /// The partition without the ids of the other half.
    pub(crate) fn half(mut self, limits: HalfLimits, stays: impl Fn(u64) -> bool) -> Self {
        let HalfLimits { capacity, background_size: size, workers } = limits;
        if !self.dense() {
            self.spec.background = BackgroundSpec::Sampled { size };
        }
        (self.spec.capacity, self.spec.workers) = (capacity, workers);
        self.hard.retain(|id, _| stays(*id));
        let order = self.order();
        order.iter().skip(capacity).for_each(|id| _ = self.hard.remove(id));
        for generation in std::iter::once(&mut self.serving).chain(&mut self.filling) {
            generation.members.retain(|id, _| stays(*id));
            let mut hashes: Vec<u64> =
                generation.members.keys().map(|id| background_hash(*id, generation.salt)).collect();
            hashes.sort_unstable();
            if let Some(next) = hashes.get(size).copied() {
                generation.threshold = Some(next);
                generation.members.retain(|id, _| background_hash(*id, generation.salt) < next);
            }
        }
        for generation in std::iter::once(&mut self.serving).chain(&mut self.filling) {
            let members = &generation.members;
            generation.own.retain(|id, _| members.contains_key(id));
        }
        self.rows /= 2;
        self.witness.retain(|_, (id, ..)| stays(*id));
        self.leases.retain(|id, _| stays(*id));
        self.unstored.retain(|(id, _)| stays(*id));
        self.removed.retain(|id| stays(*id));
        self.senders.limit(workers);
        self.suspects.retain(stays);
        self
    }
}

impl Generation {
    /// Offers a sample. Returns whether it is a member afterwards.
    pub(super) fn meet(&mut self, id: u64, entry: Entry, key: Key, size: usize) -> bool {
        let salt = self.salt;
        let hash = |id: &u64| background_hash(*id, salt);
        if self.threshold.is_some_and(|threshold| hash(&id) >= threshold) {
            return false;
        }
        self.members.insert(id, entry);
        let (own, owes) = self.own.entry(id).or_insert((key, false));
        if !std::mem::take(owes) {
            *own = key;
        }
        if self.members.len() > size
            && let Some(largest) = self.members.keys().copied().max_by_key(hash)
        {
            self.members.remove(&largest);
            self.own.remove(&largest);
            self.threshold = Some(hash(&largest));
            return largest != id;
        }
        true
    }
}
