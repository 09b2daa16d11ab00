//! The samples of a hard store: 24 bytes each, and side columns that exist once something needs them.

use bytemuck::{Pod, Zeroable};
use bytes::Bytes;
use std::sync::Arc;

use super::segments::{Segments, stage};
use crate::key::Key;
use crate::place::{Place, Rank, ordered_score};
use crate::row::Row;

/// `Slot::position` of a slot that holds no sample.
pub(crate) const VACANT: u32 = u32::MAX;

/// One sample.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Slot {
    pub(crate) id: u64,
    pub(crate) key: Key,
    /// The position of its slot number in the list of its leaf.
    pub(crate) position: u32,
    pub(crate) score: f32,
    pub(crate) stamp: u32,
}

impl Slot {
    /// The rank of the sample. `hash`: the placement hash of its id.
    #[inline]
    pub(crate) fn rank(&self, hash: u64, lower_is_harder: bool) -> Rank {
        Rank { score: ordered_score(self.score, lower_is_harder), hash, id: self.id }
    }
}

/// The attributes by which batches are balanced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) stratum: u32,
    /// The group of near-duplicates; 0: none.
    pub(crate) group: u64,
}

/// Sets a value of a side column, which is allocated with the first value that is not the default.
#[inline]
fn set_in<T: Copy + Default + PartialEq>(column: &mut Vec<T>, slot: u32, value: T, len: usize) {
    if column.is_empty() {
        if value == T::default() {
            return;
        }
        *column = vec![T::default(); len];
    }
    column[slot as usize] = value;
}

/// Extends a side column, if it is allocated, to the number of slots.
fn grow_column<T: Copy + Default>(column: &mut Vec<T>, len: usize) {
    if !column.is_empty() {
        column.resize(len, T::default());
    }
}

/// The name and payload of a sample.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attachment {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) payload: Option<Bytes>,
}

impl Attachment {
    /// Updates name and payload from a report. An empty payload keeps the old one.
    pub(crate) fn update(&mut self, name: Option<&Arc<str>>, payload: Option<&Bytes>) {
        if let Some(name) = name {
            self.name = Some(name.clone());
        }
        if let Some(payload) = payload.filter(|p| !p.is_empty()) {
            self.payload = Some(payload.clone());
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.name.as_ref().map_or(0, |n| n.len() + 16)
            + self.payload.as_ref().map_or(0, Bytes::len)
    }
}

/// Slots and their side columns.
#[derive(Debug)]
pub(crate) struct Slots {
    slots: Segments<Slot>,
    /// The maximal number of samples.
    capacity: usize,
    /// Slots 0..touched have been used.
    touched: u32,
    free: Vec<u32>,
    /// Empty until a report has a version other than 0.
    versions: Vec<u32>,
    /// Empty until a serve is counted.
    serves: Vec<u16>,
    /// Empty until a sample has a name or payload.
    attachments: Vec<Option<Box<Attachment>>>,
    attachment_bytes: usize,
    /// Empty until a report has a stratum other than 0.
    strata: Vec<u32>,
    /// Empty until a report has a group.
    groups: Vec<u64>,
}

impl Slots {
    /// Slots for at most `capacity` samples. Memory is allocated as samples are inserted.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            slots: Segments::new(),
            capacity,
            touched: 0,
            free: Vec::new(),
            versions: Vec::new(),
            serves: Vec::new(),
            attachments: Vec::new(),
            attachment_bytes: 0,
            strata: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// The number of samples.
    pub(crate) fn len(&self) -> usize {
        self.touched as usize - self.free.len()
    }

    /// The number of slots to grow to before the next sample is inserted. `None`: there are enough.
    #[inline]
    pub(crate) fn wants(&self) -> Option<usize> {
        let is_short = self.free.is_empty() && self.touched as usize == self.slots.capacity();
        is_short.then(|| stage(self.capacity, self.slots.capacity() + 1))
    }

    /// Grows to room for `to` samples.
    pub(crate) fn grow(&mut self, to: usize) {
        self.slots.grow(to);
        let to = self.slots.capacity();
        grow_column(&mut self.versions, to);
        grow_column(&mut self.serves, to);
        grow_column(&mut self.strata, to);
        grow_column(&mut self.groups, to);
        if !self.attachments.is_empty() {
            self.attachments.resize_with(to, || None);
        }
    }

    /// Slots that may hold a sample: 0..touched.
    pub(crate) fn touched(&self) -> u32 {
        self.touched
    }

    #[inline]
    pub(crate) fn get(&self, slot: u32) -> &Slot {
        self.slots.get(slot as usize)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> &mut Slot {
        self.slots.get_mut(slot as usize)
    }

    #[inline]
    pub(crate) fn prefetch(&self, slot: u32) {
        self.slots.prefetch(slot as usize);
    }

    /// Takes a vacant slot. The caller has made room.
    pub(crate) fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.touched += 1;
            self.touched - 1
        })
    }

    /// Frees a slot and clears its side columns.
    pub(crate) fn release(&mut self, slot: u32) {
        self.get_mut(slot).position = VACANT;
        self.forget_serves(slot);
        if let Some(version) = self.versions.get_mut(slot as usize) {
            *version = 0;
        }
        self.set_attributes(slot, Attributes::default());
        if let Some(old) = self.attachments.get_mut(slot as usize).and_then(Option::take) {
            self.attachment_bytes -= old.memory_bytes();
        }
        self.free.push(slot);
    }

    #[inline]
    pub(crate) fn set_version(&mut self, slot: u32, version: u32) {
        set_in(&mut self.versions, slot, version, self.slots.capacity());
    }

    pub(crate) fn attributes(&self, slot: u32) -> Attributes {
        Attributes {
            stratum: self.strata.get(slot as usize).copied().unwrap_or(0),
            group: self.groups.get(slot as usize).copied().unwrap_or(0),
        }
    }

    pub(crate) fn set_attributes(&mut self, slot: u32, attributes: Attributes) {
        set_in(&mut self.strata, slot, attributes.stratum, self.slots.capacity());
        set_in(&mut self.groups, slot, attributes.group, self.slots.capacity());
    }

    pub(crate) fn serves(&self, slot: u32) -> u16 {
        self.serves.get(slot as usize).copied().unwrap_or(0)
    }

    pub(crate) fn count_serve(&mut self, slot: u32) -> u16 {
        if self.serves.is_empty() {
            self.serves = vec![0; self.slots.capacity()];
        }
        let serves = &mut self.serves[slot as usize];
        *serves = serves.saturating_add(1);
        *serves
    }

    #[inline]
    pub(crate) fn forget_serves(&mut self, slot: u32) {
        if let Some(serves) = self.serves.get_mut(slot as usize) {
            *serves = 0;
        }
    }

    pub(crate) fn attachment(&self, slot: u32) -> Option<&Attachment> {
        self.attachments.get(slot as usize)?.as_deref()
    }

    #[inline]
    pub(crate) fn attach(&mut self, slot: u32, name: Option<&Arc<str>>, payload: Option<&Bytes>) {
        if name.is_some() || payload.is_some_and(|payload| !payload.is_empty()) {
            self.attach_some(slot, name, payload);
        }
    }

    fn attach_some(&mut self, slot: u32, name: Option<&Arc<str>>, payload: Option<&Bytes>) {
        if self.attachments.is_empty() {
            self.attachments.resize_with(self.slots.capacity(), || None);
        }
        let attachment = self.attachments[slot as usize].get_or_insert_default();
        let before = attachment.memory_bytes();
        attachment.update(name, payload);
        // A new attachment was not counted before, not even as empty.
        let counted = if before == size_of::<Attachment>() { 0 } else { before };
        self.attachment_bytes = self.attachment_bytes + attachment.memory_bytes() - counted;
    }

    /// The place of a sample in the order.
    #[inline]
    pub(crate) fn place(&self, slot: u32, lower_is_harder: bool) -> Place {
        let s = self.get(slot);
        Place::of(s.key, s.score, s.id, lower_is_harder)
    }

    /// Whether any sample may have a model version other than 0.
    pub(crate) fn has_versions(&self) -> bool {
        !self.versions.is_empty()
    }

    /// Whether any sample may have been served.
    pub(crate) fn has_serves(&self) -> bool {
        !self.serves.is_empty()
    }

    /// Whether any sample may have a stratum other than 0, or a group.
    pub(crate) fn has_attributes(&self) -> bool {
        !self.strata.is_empty() || !self.groups.is_empty()
    }

    pub(crate) fn set_serves(&mut self, slot: u32, serves: u16) {
        set_in(&mut self.serves, slot, serves, self.slots.capacity());
    }

    pub(crate) fn version(&self, slot: u32) -> u32 {
        self.versions.get(slot as usize).copied().unwrap_or(0)
    }

    pub(crate) fn row(&self, slot: u32) -> Row {
        let s = self.get(slot);
        let Attributes { stratum, group } = self.attributes(slot);
        Row {
            id: s.id,
            hard_key: Some(s.key),
            own_key: Some(s.key),
            score: s.score,
            stamp: Some(s.stamp),
            model_version: self.version(slot),
            serves: self.serves(slot),
            leased: false,
            stratum,
            group,
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.touched as usize * size_of::<Slot>()
            + self.free.capacity() * 4
            + self.versions.len() * 4
            + self.serves.len() * 2
            + self.strata.len() * 4
            + self.groups.len() * 8
            + self.attachments.len() * size_of::<usize>()
            + self.attachment_bytes
    }
}
