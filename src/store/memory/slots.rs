//! The samples of a shard: 24 bytes each, and side columns that exist once something needs them.

use bytemuck::{Pod, Zeroable};
use bytes::Bytes;
use std::sync::Arc;

use super::hint::{huge_pages, prefetch};
use crate::store::key::Key;
use crate::store::{Row, StoreError};

/// `Slot::position` of a slot that holds no sample.
pub(super) const VACANT: u32 = u32::MAX;

/// One sample.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Slot {
    pub(super) id: u64,
    pub(super) key: Key,
    /// Where its number stands in its bucket.
    pub(super) position: u32,
    pub(super) score: f32,
    pub(super) stamp: u32,
}

/// What samples are balanced by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) stratum: u32,
    /// 0: none.
    pub(super) group: u64,
}

/// Sets a value of a side column that exists once a value is not the default.
fn set_in<T: Copy + Default + PartialEq>(column: &mut Vec<T>, slot: u32, value: T, len: usize) {
    if column.is_empty() {
        if value == T::default() {
            return;
        }
        *column = vec![T::default(); len];
    }
    column[slot as usize] = value;
}

/// What goes with a sample beside numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Attachment {
    pub(super) name: Option<Arc<str>>,
    pub(super) payload: Option<Bytes>,
}

impl Attachment {
    /// Takes over what a report brings; an empty payload keeps what there is.
    pub(super) fn update(&mut self, name: Option<&Arc<str>>, payload: Option<&Bytes>) {
        if let Some(name) = name {
            self.name = Some(name.clone());
        }
        if let Some(payload) = payload.filter(|p| !p.is_empty()) {
            // A slice of the message it came in would keep all of that alive.
            self.payload = Some(Bytes::copy_from_slice(payload));
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.name.as_ref().map_or(0, |n| n.len() + 16)
            + self.payload.as_ref().map_or(0, Bytes::len)
    }
}

/// Slots and their side columns.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<Slot>,
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
    /// Room for `capacity` samples; memory is taken as it is touched.
    pub(super) fn new(capacity: usize) -> Result<Self, StoreError> {
        let slots: Vec<Slot> = bytemuck::allocation::try_zeroed_vec(capacity)
            .map_err(|()| StoreError::Exhausted(format!("no memory for {capacity} samples")))?;
        huge_pages(&slots);
        Ok(Self {
            slots,
            touched: 0,
            free: Vec::new(),
            versions: Vec::new(),
            serves: Vec::new(),
            attachments: Vec::new(),
            attachment_bytes: 0,
            strata: Vec::new(),
            groups: Vec::new(),
        })
    }

    /// Samples held.
    pub(super) fn len(&self) -> usize {
        self.touched as usize - self.free.len()
    }

    /// Whether another sample fits.
    pub(super) fn has_room(&self) -> bool {
        !self.free.is_empty() || (self.touched as usize) < self.slots.len()
    }

    /// Slots that may hold a sample: 0..touched.
    pub(super) fn touched(&self) -> u32 {
        self.touched
    }

    #[inline]
    pub(super) fn get(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, slot: u32) -> &mut Slot {
        &mut self.slots[slot as usize]
    }

    #[inline]
    pub(super) fn prefetch(&self, slot: u32) {
        prefetch(&self.slots, slot as usize);
    }

    /// A vacant slot; the caller has seen `has_room`.
    pub(super) fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.touched += 1;
            self.touched - 1
        })
    }

    /// Frees a slot and all that goes with it.
    pub(super) fn release(&mut self, slot: u32) {
        self.slots[slot as usize].position = VACANT;
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

    pub(super) fn set_version(&mut self, slot: u32, version: u32) {
        set_in(&mut self.versions, slot, version, self.slots.len());
    }

    pub(super) fn attributes(&self, slot: u32) -> Attributes {
        Attributes {
            stratum: self.strata.get(slot as usize).copied().unwrap_or(0),
            group: self.groups.get(slot as usize).copied().unwrap_or(0),
        }
    }

    pub(super) fn set_attributes(&mut self, slot: u32, attributes: Attributes) {
        set_in(&mut self.strata, slot, attributes.stratum, self.slots.len());
        set_in(&mut self.groups, slot, attributes.group, self.slots.len());
    }

    pub(super) fn serves(&self, slot: u32) -> u16 {
        self.serves.get(slot as usize).copied().unwrap_or(0)
    }

    pub(super) fn count_serve(&mut self, slot: u32) -> u16 {
        if self.serves.is_empty() {
            self.serves = vec![0; self.slots.len()];
        }
        let serves = &mut self.serves[slot as usize];
        *serves = serves.saturating_add(1);
        *serves
    }

    #[inline]
    pub(super) fn forget_serves(&mut self, slot: u32) {
        if let Some(serves) = self.serves.get_mut(slot as usize) {
            *serves = 0;
        }
    }

    pub(super) fn attachment(&self, slot: u32) -> Option<&Attachment> {
        self.attachments.get(slot as usize)?.as_deref()
    }

    pub(super) fn attach(&mut self, slot: u32, name: Option<&Arc<str>>, payload: Option<&Bytes>) {
        if name.is_none() && payload.is_none_or(Bytes::is_empty) {
            return;
        }
        if self.attachments.is_empty() {
            self.attachments.resize_with(self.slots.len(), || None);
        }
        let attachment = self.attachments[slot as usize].get_or_insert_default();
        let before = attachment.memory_bytes();
        attachment.update(name, payload);
        // A new one was counted as empty nowhere yet.
        let counted = if before == size_of::<Attachment>() { 0 } else { before };
        self.attachment_bytes += attachment.memory_bytes() - counted;
    }

    pub(super) fn row(&self, slot: u32) -> Row {
        let s = self.get(slot);
        let Attributes { stratum, group } = self.attributes(slot);
        Row {
            id: s.id,
            hard_key: Some(s.key),
            score: s.score,
            stamp: Some(s.stamp),
            model_version: self.versions.get(slot as usize).copied().unwrap_or(0),
            serves: self.serves(slot),
            leased: false,
            stratum,
            group,
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
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
