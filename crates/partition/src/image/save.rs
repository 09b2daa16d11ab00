//! Writes the body of an image.

use super::{Writer, quarantine, write_dedupe, write_hardness};
use crate::background::{Background, Sample, Witness, WitnessMember};
use crate::hard::buckets::NodeShape;
use crate::hard::slots::{Attachment, Slots};
use crate::partition::Partition;
use crate::place::Rank;
use crate::spec::{BackgroundSpec, PartitionSpec};
use crate::totals::Totals;

/// Bytes of a plain row.
const ROW_BYTES: usize = 20;
/// The number of slots that are prefetched ahead.
const AHEAD: usize = 32;

impl Partition {
    pub(super) fn image_estimate(&self) -> usize {
        let members = self.background.as_ref().map_or(0, |b| b.samples().map(Sample::len).sum());
        // The shape takes a few thousand bytes, or less than one percent.
        self.hard.len() * (ROW_BYTES + 1) + members * 45 + 4096
    }

    pub(super) fn write(&self, out: &mut Writer) {
        write_spec(out, &self.spec);
        out.u64(self.position);
        out.option(self.folded_units);
        out.flag(self.has_attributes);
        write_totals(out, &self.totals);
        self.write_hard(out);
        match &self.background {
            Some(background) => write_background(out, background),
            None => {
                out.u64(self.removed.len());
                self.removed.iter().for_each(|id| out.u64(id));
            }
        }
        self.write_leases(out);
        out.u64(self.unstored_order.len() as u64);
        for id in &self.unstored_order {
            out.u64(*id);
            out.u16(self.unstored_serves.get(id).copied().unwrap_or(0));
        }
        quarantine::write(out, &self.quarantine);
        self.write_expiry(out);
        write_dedupe(out, &self.dedupe);
    }

    fn write_hard(&self, out: &mut Writer) {
        let (buckets, slots) = (&self.hard.buckets, &self.hard.slots);
        out.u64(self.hard.len() as u64);
        out.u32(buckets.top_key().0);
        let shapes = buckets.shapes();
        out.u64(shapes.len() as u64);
        for ((zone, below), shape) in &shapes {
            out.u8(*zone);
            out.u32(*below);
            write_shape(out, shape);
        }
        let mut order = Vec::with_capacity(self.hard.len());
        buckets.in_shape_order(|slot| order.push(slot));
        // The four columns are written at the same time, so that each slot is read once.
        let (ids, others) = out.next(ROW_BYTES * order.len()).split_at_mut(8 * order.len());
        let (keys, others) = others.split_at_mut(4 * order.len());
        let (scores, stamps) = others.split_at_mut(4 * order.len());
        let columns = ids.chunks_exact_mut(8).zip(keys.chunks_exact_mut(4));
        let columns = columns.zip(scores.chunks_exact_mut(4).zip(stamps.chunks_exact_mut(4)));
        for (i, ((id, key), (score, stamp))) in columns.enumerate() {
            if let Some(next) = order.get(i + AHEAD) {
                slots.prefetch(*next);
            }
            let s = slots.get(order[i]);
            id.copy_from_slice(&s.id.to_le_bytes());
            key.copy_from_slice(&s.key.0.to_le_bytes());
            score.copy_from_slice(&s.score.to_le_bytes());
            stamp.copy_from_slice(&s.stamp.to_le_bytes());
        }
        write_side_columns(out, slots, &order);
    }

    fn write_expiry(&self, out: &mut Writer) {
        out.flag(self.expiry.is_some());
        if let Some(expiry) = &self.expiry {
            let (base, entries) = expiry.saved();
            out.u64(base as u64);
            out.u64(entries.len() as u64);
            for (time, id) in entries {
                out.u64(time as u64);
                out.u64(id);
            }
        }
    }

    fn write_leases(&self, out: &mut Writer) {
        out.u64(self.leases.len() as u64);
        out.u64(self.leases.generation());
        for (end, id, membership, counts) in self.leases.all() {
            out.u64(end);
            out.u64(id);
            let membership = membership.map(|m| (m.generation, m.hash, m.outside));
            out.u8(membership.map_or(0, |(_, _, outside)| 1 | u8::from(outside) << 1 | u8::from(counts) << 2));
            if let Some((generation, hash, _)) = membership {
                out.u64(generation);
                out.u64(hash);
            }
        }
    }
}

fn write_totals(out: &mut Writer, totals: &Totals) {
    totals.numbers().into_iter().for_each(|number| out.u64(number));
    out.option(totals.latest_stamp.map(u64::from));
}

fn write_spec(out: &mut Writer, spec: &PartitionSpec) {
    out.u64(spec.capacity as u64);
    let (kind, size) = match spec.background {
        BackgroundSpec::Sampled { size } => (0, size as u64),
        BackgroundSpec::Dense { ids } => (1, ids),
    };
    out.u8(kind);
    out.u64(size);
    write_hardness(out, &spec.hardness);
    out.flag(spec.named);
    out.u64(spec.salt_seed);
    out.u64(spec.unstored_serves as u64);
    out.u64(spec.workers as u64);
    quarantine::write_limits(out, &spec.quarantine);
}

fn write_shape(out: &mut Writer, shape: &NodeShape) {
    match shape {
        NodeShape::Leaf(leaf) => {
            out.u8(0);
            out.u32(leaf.len);
            out.u32(leaf.resting);
        }
        NodeShape::Table(bits, children) => {
            out.u8(1);
            out.u8(*bits as u8);
            out.u8(children.len() as u8);
            for (child, shape) in children {
                out.u8(*child as u8);
                write_shape(out, shape);
            }
        }
        NodeShape::Cuts(parts) => {
            out.u8(2);
            out.u64(parts.len() as u64);
            for (Rank { score, hash, id }, leaf) in parts {
                out.u32(*score);
                out.u64(*hash);
                out.u64(*id);
                out.u32(leaf.len);
                out.u32(leaf.resting);
            }
        }
    }
}

/// Writes the side columns. A column of zeros is left out, because it means the same as no column.
fn write_side_columns(out: &mut Writer, slots: &Slots, order: &[u32]) {
    fn column<T: Copy + Default + PartialEq>(order: &[u32], value: impl Fn(u32) -> T) -> Option<Vec<T>> {
        let column: Vec<T> = order.iter().map(|slot| value(*slot)).collect();
        column.iter().any(|value| *value != T::default()).then_some(column)
    }
    let versions = slots.has_versions().then(|| column(order, |slot| slots.version(slot))).flatten();
    let serves = slots.has_serves().then(|| column(order, |slot| slots.serves(slot))).flatten();
    let attributes = slots.has_attributes();
    let strata = attributes.then(|| column(order, |slot| slots.attributes(slot).stratum)).flatten();
    let groups = attributes.then(|| column(order, |slot| slots.attributes(slot).group)).flatten();
    out.flag(versions.is_some());
    versions.iter().for_each(|column| out.column(column));
    out.flag(serves.is_some());
    serves.iter().for_each(|column| out.column(column));
    out.flag(strata.is_some());
    strata.iter().for_each(|column| out.column(column));
    out.flag(groups.is_some());
    groups.iter().for_each(|column| out.column(column));
    let attached = order.iter().any(|slot| slots.attachment(*slot).is_some());
    out.flag(attached);
    if attached {
        order.iter().for_each(|slot| write_attachment(out, slots.attachment(*slot)));
    }
}

pub(super) fn write_attachment(out: &mut Writer, attachment: Option<&Attachment>) {
    let name = attachment.and_then(|a| a.name.as_deref());
    let payload = attachment.and_then(|a| a.payload.as_deref());
    out.u8(u8::from(name.is_some()) | u8::from(payload.is_some()) << 1);
    name.iter().for_each(|name| out.counted(name.as_bytes()));
    payload.iter().for_each(|payload| out.counted(payload));
}

fn write_background(out: &mut Writer, background: &Background) {
    out.u64(background.generations);
    out.u64(background.witnesses);
    out.u64(background.rows);
    write_sample(out, &background.serving);
    out.flag(background.filling.is_some());
    background.filling.iter().for_each(|filling| write_sample(out, filling));
    write_witness(out, &background.witness);
    out.option(background.next_witness.as_ref().map(|next| next.from_generation));
    if let Some(next) = &background.next_witness {
        out.u64(next.decides_from);
        out.u64(next.rows);
        write_witness(out, &next.witness);
    }
}

fn write_sample(out: &mut Writer, sample: &Sample) {
    out.u64(sample.number);
    out.u64(sample.salt);
    out.u64(sample.limit());
    out.u64(sample.len() as u64);
    for member in sample.members() {
        out.u64(member.id);
        out.u32(member.score.to_bits());
        out.u32(member.stamp);
        out.u32(member.model_version);
        out.u16(member.serves);
        out.u32(member.own_key.0);
        out.flag(member.owes_serve);
        out.u32(member.attributes.stratum);
        out.u64(member.attributes.group);
        write_attachment(out, member.attachment);
    }
}

fn write_witness(out: &mut Writer, witness: &Witness) {
    out.u64(witness.salt);
    out.option(witness.threshold);
    out.u64(witness.len() as u64);
    for WitnessMember { id, stamp, reported } in witness.members() {
        out.u64(id);
        out.u32(stamp);
        out.flag(reported);
    }
}
