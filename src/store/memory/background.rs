//! The background of one shard: the smallest hashes seen, in up to two generations (METHODS 6, DECISIONS 6).

use bytes::Bytes;
use hashbrown::HashMap;
use std::collections::BinaryHeap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::hint::prefetch;
use super::slots::{Attachment, Attributes};
use super::strata::Strata;
use crate::store::hash::{background_hash, placement_hash};
use crate::store::key::Hardness;
use crate::store::{Row, ScoreUpdate};

/// Mixes ids, so that sequential ones spread; fixed, so that a store behaves the same in every process.
#[derive(Default)]
pub(super) struct IdHasher(u64);

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

/// A map by id.
pub(super) type IdMap<V> = HashMap<u64, V, BuildHasherDefault<IdHasher>>;

/// What all shards share of a generation.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) number: u64,
    pub(super) salt: u64,
    /// 2^64 p, p the smallest over shards of the (m+1)-th smallest hash; `u64::MAX` while p is 1. Never rises.
    threshold: AtomicU64,
    /// Members of all shards, those not yet purged included.
    members: AtomicU64,
}

impl Generation {
    pub(super) fn new(number: u64, salt_seed: u64) -> Arc<Self> {
        Arc::new(Self {
            number,
            salt: background_hash(number, salt_seed),
            threshold: AtomicU64::new(u64::MAX),
            members: AtomicU64::new(0),
        })
    }

    #[inline]
    fn limit(&self) -> u64 {
        self.threshold.load(Ordering::Relaxed)
    }

    /// 2^64 p, or `None` while p is 1.
    pub(super) fn threshold(&self) -> Option<u64> {
        Some(self.limit()).filter(|t| *t != u64::MAX)
    }

    /// The inclusion probability p.
    pub(super) fn probability(&self) -> f64 {
        self.threshold().map_or(1.0, |t| t as f64 / 2f64.powi(64))
    }

    /// |R|.
    pub(super) fn members(&self) -> u64 {
        self.members.load(Ordering::Relaxed)
    }

    /// N or its estimate |R|/p.
    pub(super) fn distinct(&self) -> f64 {
        self.members() as f64 / self.probability()
    }
}

/// One member. Its numbers are kept here as well, because it need not be in the hard store.
#[derive(Debug)]
struct Member {
    id: u64,
    hash: u64,
    score: f32,
    stamp: u32,
    model_version: u32,
    serves: u16,
    attributes: Attributes,
    attachment: Option<Box<Attachment>>,
}

/// A report as the background sees it.
pub(super) struct Offer<'a> {
    pub(super) id: u64,
    pub(super) score: f32,
    pub(super) stamp: u32,
    pub(super) refuse_stale: bool,
    pub(super) model_version: u32,
    pub(super) update: ScoreUpdate,
    /// `None`: what is stored is kept.
    pub(super) attributes: Option<Attributes>,
    pub(super) name: Option<&'a Arc<str>>,
    pub(super) payload: Option<&'a Bytes>,
}

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is (now) a member.
    Member,
    /// Its hash is too large.
    Outside,
    /// A member with a later stamp.
    Stale,
}

/// A shard's members of one generation.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) generation: Arc<Generation>,
    members: Vec<Member>,
    by_id: IdMap<u32>,
    /// (hash, id), the largest first; ids that were removed are skipped when met.
    by_hash: BinaryHeap<(u64, u64)>,
    size_max: usize,
    /// As of the last purge: what is not below it is outside for sure.
    limit: u64,
    pub(super) strata: Strata,
}

impl Sample {
    pub(super) fn new(generation: Arc<Generation>, size_max: usize) -> Self {
        Self {
            generation,
            members: Vec::new(),
            by_id: IdMap::default(),
            by_hash: BinaryHeap::new(),
            size_max,
            limit: u64::MAX,
            strata: Strata::default(),
        }
    }

    /// Whether an id may be (or become) a member: one hash and one comparison, which is all that most rows cost here.
    #[inline]
    pub(super) fn may_take(&self, id: u64) -> bool {
        background_hash(id, self.generation.salt) < self.limit
    }

    /// Enters or updates an id, if its hash is small enough.
    pub(super) fn offer(&mut self, hardness: &Hardness, offer: &Offer<'_>) -> Taken {
        let hash = background_hash(offer.id, self.generation.salt);
        if hash >= self.generation.limit() {
            return Taken::Outside;
        }
        self.enter(hash, hardness, offer)
    }

    fn enter(&mut self, hash: u64, hardness: &Hardness, offer: &Offer<'_>) -> Taken {
        if let Some(&at) = self.by_id.get(&offer.id) {
            let member = &mut self.members[at as usize];
            let before = member.attributes.stratum;
            let taken = member.update(hardness, offer);
            let after = member.attributes.stratum;
            if before != after {
                self.strata.take(before);
                self.strata.add(after);
            }
            return taken;
        }
        if self.members.len() == self.size_max {
            // The threshold becomes the (m+1)-th smallest hash, this one or the largest member's.
            match self.by_hash.peek() {
                Some(&(largest, _)) if largest > hash => {
                    self.lower_threshold(largest);
                    self.purge();
                }
                _ => {
                    self.lower_threshold(hash);
                    return Taken::Outside;
                }
            }
        }
        let mut member = Member {
            id: offer.id,
            hash,
            score: offer.score,
            stamp: offer.stamp,
            model_version: offer.model_version,
            serves: 0,
            attributes: offer.attributes.unwrap_or_default(),
            attachment: None,
        };
        self.strata.add(member.attributes.stratum);
        member.attach(offer.name, offer.payload);
        self.by_id.insert(offer.id, self.members.len() as u32);
        self.by_hash.push((hash, offer.id));
        self.members.push(member);
        // Removed ids leave their hashes behind, which only the largest ever meet.
        if self.by_hash.len() > 2 * self.members.len() + 64 {
            self.by_hash = self.members.iter().map(|m| (m.hash, m.id)).collect();
        }
        self.generation.members.fetch_add(1, Ordering::Relaxed);
        Taken::Member
    }

    fn lower_threshold(&self, hash: u64) {
        self.generation.threshold.fetch_min(hash, Ordering::Relaxed);
    }

    /// Lets go of members at or above the pool's threshold.
    #[inline]
    pub(super) fn purge(&mut self) {
        let limit = self.generation.limit();
        self.limit = limit;
        while let Some(&(hash, id)) = self.by_hash.peek() {
            let gone = self.by_id.get(&id).is_none_or(|at| self.members[*at as usize].hash != hash);
            if hash < limit && !gone {
                break;
            }
            self.by_hash.pop();
            if !gone {
                self.remove(id);
            }
        }
    }

    /// Takes an id out; it is not replaced.
    pub(super) fn remove(&mut self, id: u64) -> bool {
        let Some(at) = self.by_id.remove(&id) else {
            return false;
        };
        let gone = self.members.swap_remove(at as usize);
        self.strata.take(gone.attributes.stratum);
        if let Some(moved) = self.members.get(at as usize) {
            self.by_id.insert(moved.id, at);
        }
        self.generation.members.fetch_sub(1, Ordering::Relaxed);
        true
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// The id of a member.
    pub(super) fn id_at(&self, ordinal: u64) -> Option<u64> {
        self.members.get(usize::try_from(ordinal).ok()?).map(|m| m.id)
    }

    /// A member as a row that is not in the hard store.
    pub(super) fn row(&self, id: u64) -> Option<Row> {
        let m = self.member(id)?;
        Some(Row {
            id,
            hard_key: None,
            score: m.score,
            stamp: Some(m.stamp),
            model_version: m.model_version,
            serves: m.serves,
            leased: false,
            stratum: m.attributes.stratum,
            group: m.attributes.group,
        })
    }

    pub(super) fn attributes(&self, id: u64) -> Option<Attributes> {
        self.member(id).map(|m| m.attributes)
    }

    pub(super) fn attachment(&self, id: u64) -> Option<&Attachment> {
        self.member(id)?.attachment.as_deref()
    }

    /// Counts a serve of a member; its serves then.
    pub(super) fn count_serve(&mut self, id: u64) -> Option<u16> {
        let at = self.place(id)?;
        let serves = &mut self.members[at].serves;
        *serves = serves.saturating_add(1);
        Some(*serves)
    }

    /// Whether an id is a member.
    pub(super) fn contains(&self, id: u64) -> bool {
        self.place(id).is_some()
    }

    fn member(&self, id: u64) -> Option<&Member> {
        self.place(id).map(|at| &self.members[at])
    }

    /// Where a member stands. Most ids are none, which their hash tells without a look into the map.
    #[inline]
    fn place(&self, id: u64) -> Option<usize> {
        if !self.may_take(id) {
            return None;
        }
        self.by_id.get(&id).map(|at| *at as usize)
    }

    /// Starts loading what an offer of `id` will touch.
    #[inline]
    pub(super) fn prefetch(&self, id: u64) {
        if let Some(at) = self.place(id) {
            prefetch(&self.members, at);
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let attached: usize =
            self.members.iter().filter_map(|m| m.attachment.as_ref()).map(|a| a.memory_bytes()).sum();
        self.members.capacity() * size_of::<Member>()
            + self.by_id.allocation_size()
            + self.by_hash.capacity() * 16
            + self.strata.memory_bytes()
            + attached
    }
}

impl Member {
    fn update(&mut self, hardness: &Hardness, offer: &Offer<'_>) -> Taken {
        if offer.refuse_stale && (self.stamp.wrapping_sub(offer.stamp) as i32) > 0 {
            return Taken::Stale;
        }
        self.score = updated_score(hardness, offer.update, self.score, offer.score);
        self.stamp = offer.stamp;
        self.model_version = offer.model_version;
        self.serves = 0;
        if let Some(attributes) = offer.attributes {
            self.attributes = attributes;
        }
        self.attach(offer.name, offer.payload);
        Taken::Member
    }

    fn attach(&mut self, name: Option<&Arc<str>>, payload: Option<&Bytes>) {
        if name.is_some() || payload.is_some_and(|p| !p.is_empty()) {
            self.attachment.get_or_insert_default().update(name, payload);
        }
    }
}

/// The score after a re-report (DECISIONS 14).
pub(super) fn updated_score(hardness: &Hardness, update: ScoreUpdate, old: f32, new: f32) -> f32 {
    match update {
        ScoreUpdate::Last => new,
        ScoreUpdate::Max if hardness.log2_weight(old) > hardness.log2_weight(new) => old,
        ScoreUpdate::Max => new,
        ScoreUpdate::Ema { weight } => weight * new + (1.0 - weight) * old,
    }
}
