//! Reads the body of an image. Nothing in it is trusted: every value is checked.

use ::bytes::Bytes;
use std::sync::Arc;

use super::quarantine::read_limits;
use super::{ImageError, Reader, WORKERS_MAX, read_dedupe, read_hardness};
use crate::background::{Background, NextWitness, Sample, SavedMember, WITNESS, Witness, WitnessMember};
use crate::hard::BLOCK;
use crate::hard::buckets::{LeafShape, NodeShape};
use crate::hard::slots::{Attachment, Attributes, Slot};
use crate::hash::placement_hash;
use crate::key::Key;
use crate::leases::Membership;
use crate::partition::Partition;
use crate::place::Rank;
use crate::spec::{BackgroundSpec, PartitionSpec};
use crate::totals::Totals;

/// The number of rows by which index lines are prefetched ahead.
const AHEAD: usize = 24;
/// The maximal depth of a leaf below its root.
const DEPTH_MAX: u32 = 8;
/// The maximal number of children of a table.
const CHILDREN_MAX: u8 = 64;
/// The maximal number of roots.
const ROOTS_MAX: usize = 1 << 12;
/// The maximal number of generations or witnesses that began: more than operations could have started, and small enough to go on counting.
const BEGUN_MAX: u64 = 1 << 62;
/// Bytes of an entry of the expiry queue.
const EXPIRY_BYTES: usize = 16;
/// The latest horizon: it would take 2^31 operations that advance it by 2^31 each.
const BASE_MAX: i64 = 1 << 62;
/// Bytes of a member of a background without attachment.
const MEMBER_BYTES: usize = 40;

pub(super) fn contradiction<T>(what: &'static str) -> Result<T, ImageError> {
    Err(ImageError::Contradiction(what))
}

impl Partition {
    pub(super) fn read(body: &mut Reader<'_>) -> Result<Self, ImageError> {
        let spec = read_spec(body)?;
        let mut partition = Self::new(spec);
        partition.position = body.u64()?;
        partition.folded_units = body.option()?;
        partition.has_attributes = body.flag()?;
        partition.totals = read_totals(body)?;
        partition.read_hard(body)?;
        match spec.background {
            BackgroundSpec::Sampled { size } => {
                partition.background = Some(partition.read_background(body, size)?);
                partition.check_stamps()?;
            }
            BackgroundSpec::Dense { ids } => partition.read_removed(body, ids)?,
        }
        partition.read_leases(body)?;
        let unstored = body.count(10)?;
        if unstored > spec.unstored_serves {
            return contradiction("more serves of unstored ids than are remembered");
        }
        partition.unstored_serves.reserve(unstored);
        partition.unstored_order.reserve_exact(unstored);
        for _ in 0..unstored {
            let (id, serves) = (body.u64()?, body.u16()?);
            if serves == 0 || partition.unstored_serves.insert(id, serves).is_some() {
                return contradiction("the serves of an id twice, or none");
            }
            partition.unstored_order.push_back(id);
        }
        partition.read_quarantine(body)?;
        partition.read_expiry(body)?;
        read_dedupe(body, &mut partition.dedupe, spec.workers)?;
        Ok(partition)
    }

    fn read_hard(&mut self, body: &mut Reader<'_>) -> Result<(), ImageError> {
        let rows = body.count(20)?;
        if rows > self.spec.capacity {
            return contradiction("more samples than its capacity");
        }
        let top_key = Key(body.u32()?);
        let roots = body.count(14)?;
        if roots > ROOTS_MAX {
            return contradiction("more roots than there are");
        }
        let mut shapes = Vec::with_capacity(roots);
        let (mut blocks, mut members) = (0, 0);
        for _ in 0..roots {
            let at = (body.u8()?, body.u32()?);
            if at.0 > 2 {
                return contradiction("a root of no zone");
            }
            let mut count = |leaf: LeafShape| {
                blocks += (leaf.len as usize).div_ceil(BLOCK);
                members += leaf.len as usize;
                // The size that a leaf claims is checked before memory is allocated for it.
                members <= rows
            };
            shapes.push((at, read_shape(body, DEPTH_MAX, &mut count)?));
        }
        if members != rows {
            return contradiction("leaves with more or fewer members than there are rows");
        }
        let (ids, keys) = (body.column::<u64>(rows)?, body.column::<u32>(rows)?);
        let (scores, stamps) = (body.column::<f32>(rows)?, body.column::<u32>(rows)?);
        self.hard.reserve(rows, blocks);
        let floor = self.folded_units.map(Key::of_clock);
        let mut ahead = ids.clone().skip(AHEAD);
        for (((id, key), score), stamp) in ids.zip(keys).zip(scores).zip(stamps) {
            if let Some(next) = ahead.next() {
                self.hard.prefetch_line(placement_hash(next));
            }
            let key = Key(key);
            if !score.is_finite() || floor.is_some_and(|floor| key.since(floor) < 0) {
                return contradiction("a score that is no number, or a key below the fold");
            }
            let sample = Slot { id, key, position: 0, score, stamp };
            if !self.hard.restore(placement_hash(id), sample) {
                return contradiction("an id twice");
            }
        }
        if let Err(error) = self.hard.buckets.build(&mut self.hard.slots, top_key, &shapes) {
            return contradiction(error.0);
        }
        self.read_side_columns(body, rows)
    }

    fn read_side_columns(&mut self, body: &mut Reader<'_>, rows: usize) -> Result<(), ImageError> {
        let slots = 0..rows as u32;
        if body.flag()? {
            let versions = body.column::<u32>(rows)?;
            slots
                .clone()
                .zip(versions)
                .for_each(|(slot, version)| self.hard.slots.set_version(slot, version));
        }
        if body.flag()? {
            let serves = body.column::<u16>(rows)?;
            slots.clone().zip(serves).for_each(|(slot, serves)| self.hard.slots.set_serves(slot, serves));
        }
        let strata = if body.flag()? { Some(body.column::<u32>(rows)?) } else { None };
        let groups = if body.flag()? { Some(body.column::<u64>(rows)?) } else { None };
        let (mut strata, mut groups) = (strata.into_iter().flatten(), groups.into_iter().flatten());
        for slot in slots.clone() {
            let (stratum, group) = (strata.next().unwrap_or(0), groups.next().unwrap_or(0));
            self.hard.set_attributes(slot, Attributes { stratum, group });
        }
        if body.flag()? {
            for slot in slots {
                let attachment = self.read_attachment(body)?;
                self.hard.slots.attach(slot, attachment.name.as_ref(), attachment.payload.as_ref());
            }
        }
        Ok(())
    }

    fn read_attachment(&self, body: &mut Reader<'_>) -> Result<Attachment, ImageError> {
        read_attachment(body, self.spec.named)
    }

    fn read_background(&self, body: &mut Reader<'_>, size: usize) -> Result<Background, ImageError> {
        let mut background = Background::new(size, &self.spec);
        background.generations = body.u64()?;
        background.witnesses = body.u64()?;
        background.rows = body.u64()?;
        background.serving = self.read_sample(body, size)?;
        background.filling = if body.flag()? { Some(self.read_sample(body, size)?) } else { None };
        background.witness = read_witness(body)?;
        background.next_witness = match body.option()? {
            Some(from_generation) => {
                let (decides_from, rows) = (body.u64()?, body.u64()?);
                Some(NextWitness { witness: read_witness(body)?, from_generation, decides_from, rows })
            }
            None => None,
        };
        if background.generations.max(background.witnesses) > BEGUN_MAX {
            return contradiction("more generations or witnesses than can have begun");
        }
        let newest = background.samples().map(|sample| sample.number).max().unwrap_or(0);
        if newest >= background.generations {
            return contradiction("a generation that was never begun");
        }
        if background.filling.iter().flat_map(Sample::members).any(|member| member.owes_serve) {
            return contradiction("a serve from a generation that fills");
        }
        Ok(background)
    }

    /// Checks that all copies of a sample have the same stamp, as reports leave them.
    fn check_stamps(&self) -> Result<(), ImageError> {
        let Some(background) = &self.background else {
            return Ok(());
        };
        let serving = &background.serving;
        let has_met = |id| !serving.may_take(id) || serving.contains(id);
        if !background.filling.iter().flat_map(Sample::members).all(|member| has_met(member.id)) {
            return contradiction("a member of the generation that fills, which the serving one never met");
        }
        let in_hard = |id| self.hard.find(placement_hash(id), id).map(|slot| self.hard.slots.get(slot).stamp);
        let members = background.samples().flat_map(Sample::members).map(|member| (member.id, member.stamp));
        let witnesses = background.witnesses().flat_map(Witness::members);
        let mut stamps = members.chain(witnesses.map(|member| (member.id, member.stamp)));
        let agree = |(id, stamp): (u64, u32)| {
            in_hard(id).is_none_or(|other| other == stamp) && background.stamp(id) == Some(stamp)
        };
        if stamps.all(agree) { Ok(()) } else { contradiction("a sample with two stamps") }
    }

    fn read_sample(&self, body: &mut Reader<'_>, size_max: usize) -> Result<Sample, ImageError> {
        let (number, salt, limit) = (body.u64()?, body.u64()?, body.u64()?);
        let members = body.count(MEMBER_BYTES)?;
        if members > size_max {
            return contradiction("more members of a background than its size");
        }
        let fold = self.folded_units.map(Key::of_clock);
        let mut sample = Sample::restored(number, salt, limit, members, size_max);
        for _ in 0..members {
            let (id, score) = (body.u64()?, f32::from_bits(body.u32()?));
            let (stamp, model_version, serves) = (body.u32()?, body.u32()?, body.u16()?);
            let (own_key, owes_serve) = (Key(body.u32()?), body.flag()?);
            let attributes = Attributes { stratum: body.u32()?, group: body.u64()? };
            let attachment = self.read_attachment(body)?;
            let attachment =
                (attachment.name.is_some() || attachment.payload.is_some()).then_some(attachment);
            let attachment = attachment.as_ref();
            let member = SavedMember {
                id,
                score,
                stamp,
                model_version,
                serves,
                own_key,
                owes_serve,
                attributes,
                attachment,
            };
            let is_folded = fold.is_none_or(|fold| own_key.since(fold) >= 0);
            let in_hard = self.hard.find(placement_hash(id), id).is_some();
            if !score.is_finite() || !is_folded || !sample.restore(&member, in_hard) {
                return contradiction("a member of a background that cannot be one");
            }
        }
        Ok(sample)
    }

    fn read_removed(&mut self, body: &mut Reader<'_>, ids: u64) -> Result<(), ImageError> {
        let removed = body.count(8)?;
        let mut after = 0;
        for id in body.column::<u64>(removed)? {
            if id < after || id >= ids {
                return contradiction("removed ids out of order, or outside the id space");
            }
            after = id + 1;
            self.removed.insert(id);
        }
        Ok(())
    }

    fn read_expiry(&mut self, body: &mut Reader<'_>) -> Result<(), ImageError> {
        if !body.flag()? {
            return Ok(());
        }
        let base = body.u64()? as i64;
        let count = body.count(EXPIRY_BYTES)?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push((body.u64()? as i64, body.u64()?));
        }
        if !(0..=BASE_MAX).contains(&base) || !entries.is_sorted() || !self.restore_expiry(base, entries) {
            return contradiction("times to look at samples that do not fit the samples");
        }
        Ok(())
    }

    fn read_leases(&mut self, body: &mut Reader<'_>) -> Result<(), ImageError> {
        let leases = body.count(17)?;
        self.leases.restore_generation(body.u64()?, leases);
        let mut resting = 0;
        for _ in 0..leases {
            let (end, id, flags) = (body.u64()?, body.u64()?, body.u8()?);
            let membership = match flags {
                0 => None,
                _ if flags & 1 == 1 && flags < 8 => {
                    Some(Membership { generation: body.u64()?, hash: body.u64()?, outside: flags & 2 != 0 })
                }
                _ => return contradiction("a lease that is of no kind"),
            };
            if !self.leases.restore((end, id, membership, flags & 4 != 0)) {
                return contradiction("a lease twice, or one too many");
            }
            if let Some(slot) = self.hard.find(placement_hash(id), id) {
                if !self.hard.buckets.rests(&self.hard.slots, slot) {
                    return contradiction("a lease of a sample that does not rest");
                }
                resting += 1;
            }
        }
        if resting != self.hard.buckets.resting() {
            return contradiction("a sample that rests without a lease");
        }
        Ok(())
    }
}

fn read_totals(body: &mut Reader<'_>) -> Result<Totals, ImageError> {
    let mut totals = Totals::default();
    for number in totals.numbers_mut() {
        *number = body.u64()?;
    }
    let stamp = body.option()?.map(u32::try_from).transpose();
    totals.latest_stamp = stamp.or_else(|_| contradiction("a stamp of more than 32 bits"))?;
    Ok(totals)
}

fn read_spec(body: &mut Reader<'_>) -> Result<PartitionSpec, ImageError> {
    let capacity = body.u64()?;
    let (kind, size) = (body.u8()?, body.u64()?);
    let background = match kind {
        0 if (1..=1 << 24).contains(&size) => BackgroundSpec::Sampled { size: size as usize },
        1 if (1..=1 << 40).contains(&size) => BackgroundSpec::Dense { ids: size },
        _ => return contradiction("a background of no kind, or out of range"),
    };
    let hardness = read_hardness(body)?;
    let (named, salt_seed, unstored) = (body.flag()?, body.u64()?, body.u64()?);
    let workers = body.u64()?;
    let quarantine = read_limits(body)?;
    if !(1..=1 << 31).contains(&capacity) || unstored > 1 << 24 || workers > WORKERS_MAX {
        return contradiction("a capacity out of range");
    }
    Ok(PartitionSpec {
        capacity: capacity as usize,
        background,
        hardness,
        named,
        salt_seed,
        unstored_serves: unstored as usize,
        workers: workers as usize,
        quarantine,
    })
}

fn read_leaf(
    body: &mut Reader<'_>,
    count: &mut impl FnMut(LeafShape) -> bool,
) -> Result<LeafShape, ImageError> {
    let leaf = LeafShape { len: body.u32()?, resting: body.u32()? };
    // Every leaf must have at least one row, which bounds the memory that is allocated for leaves before the rows are read.
    if leaf.len > 0 && count(leaf) {
        Ok(leaf)
    } else {
        contradiction("leaves without members, or with more than there are rows")
    }
}

fn read_shape(
    body: &mut Reader<'_>,
    depth: u32,
    count: &mut impl FnMut(LeafShape) -> bool,
) -> Result<NodeShape, ImageError> {
    if depth == 0 {
        return contradiction("a tree that is too deep");
    }
    match body.u8()? {
        0 => Ok(NodeShape::Leaf(read_leaf(body, count)?)),
        1 => {
            let (bits, children) = (u32::from(body.u8()?), body.u8()?);
            if !(1..=CHILDREN_MAX).contains(&children) {
                return contradiction("a table of nothing, or of more than there can be");
            }
            let mut shapes = Vec::with_capacity(children.into());
            for _ in 0..children {
                let child = u32::from(body.u8()?);
                shapes.push((child, read_shape(body, depth - 1, count)?));
            }
            Ok(NodeShape::Table(bits, shapes))
        }
        2 => {
            let parts = body.count(28)?;
            let mut shapes = Vec::with_capacity(parts);
            for _ in 0..parts {
                let from = Rank { score: body.u32()?, hash: body.u64()?, id: body.u64()? };
                shapes.push((from, read_leaf(body, count)?));
            }
            Ok(NodeShape::Cuts(shapes))
        }
        _ => contradiction("a node of no kind"),
    }
}

pub(super) fn read_attachment(body: &mut Reader<'_>, named: bool) -> Result<Attachment, ImageError> {
    let flags = body.u8()?;
    if flags > 3 || (flags & 1 == 1 && !named) {
        return contradiction("an attachment of no kind");
    }
    let name = match flags & 1 {
        0 => None,
        _ => match std::str::from_utf8(body.counted()?) {
            Ok(name) => Some(Arc::from(name)),
            Err(_) => return contradiction("a name that is no text"),
        },
    };
    let payload = if flags & 2 == 0 { None } else { Some(Bytes::copy_from_slice(body.counted()?)) };
    if payload.as_ref().is_some_and(Bytes::is_empty) {
        return contradiction("an empty payload");
    }
    Ok(Attachment { name, payload })
}

fn read_witness(body: &mut Reader<'_>) -> Result<Witness, ImageError> {
    let mut witness = Witness::new(body.u64()?);
    witness.threshold = body.option()?;
    let members = body.count(13)?;
    if members > WITNESS {
        return contradiction("more members of a witness than its size");
    }
    for _ in 0..members {
        let member = WitnessMember { id: body.u64()?, stamp: body.u32()?, reported: body.flag()? };
        if !witness.restore(member) {
            return contradiction("a member of a witness that cannot be one");
        }
    }
    Ok(witness)
}
