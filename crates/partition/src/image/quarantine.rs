//! The quarantine in an image: streaks, the least recently extended first; then records, trusted ids and blocked ids, each in order of id.

use super::load::{contradiction, read_attachment};
use super::save::write_attachment;
use super::{ImageError, Reader, Writer};
use crate::hard::slots::Attachment;
use crate::hash::placement_hash;
use crate::key::{FOLD_EVERY_UNITS, Key, UNITS_PER_OCTAVE};
use crate::partition::Partition;
use crate::quarantine::{MOST, Quarantine, Quarantined, Streak};
use crate::spec::{PartitionSpec, QuarantineLimits};

/// Bytes of a streak.
const STREAK_BYTES: usize = 17;
/// Bytes of a record without name, payload, key and threshold.
const RECORD_BYTES: usize = 53;
/// The largest difference between two keys of a partition that was never folded: D has risen by less than [`FOLD_EVERY_UNITS`], and a
/// weight is within 2^12 octaves of 1. One octave more, because the highest key is known to an octave only.
const UNFOLDED_UNITS: i64 = 3 * FOLD_EVERY_UNITS as i64 + UNITS_PER_OCTAVE;
/// Bytes of a blocked id without name.
const BLOCKED_BYTES: usize = 9;

pub(super) fn write_limits(out: &mut Writer, limits: &QuarantineLimits) {
    out.u64(limits.streaks as u64);
    out.u64(limits.trusted as u64);
    out.u64(limits.blocked as u64);
}

pub(super) fn read_limits(body: &mut Reader<'_>) -> Result<QuarantineLimits, ImageError> {
    let mut limit = || match body.u64()? {
        limit if limit <= MOST as u64 => Ok(limit as usize),
        _ => contradiction("more suspects than can be remembered"),
    };
    Ok(QuarantineLimits { streaks: limit()?, trusted: limit()?, blocked: limit()? })
}

pub(super) fn write(out: &mut Writer, quarantine: &Quarantine) {
    out.u64(quarantine.overflows);
    out.u64(quarantine.streaks.len() as u64);
    for (id, streak) in quarantine.streaks.iter() {
        out.u64(id);
        out.u32(streak.reports);
        out.u32(streak.stamp);
        out.flag(streak.was_refused);
    }
    let records = quarantine.page(None, usize::MAX);
    out.u64(records.len() as u64);
    records.into_iter().for_each(|record| write_record(out, record));
    let trusted = quarantine.trusted_ids();
    out.u64(trusted.len() as u64);
    out.column(&trusted);
    let blocked = quarantine.blocked_page(None, usize::MAX);
    out.u64(blocked.len() as u64);
    for (id, name) in blocked {
        out.u64(id);
        write_attachment(out, Some(&Attachment { name, payload: None }));
    }
}

fn write_record(out: &mut Writer, record: &Quarantined) {
    out.u64(record.id);
    out.u32(record.raw_score.to_bits());
    out.u32(record.score.to_bits());
    out.option(record.key_units);
    out.u32(record.stamp);
    out.u32(record.model_version);
    out.u16(record.serves);
    out.u32(record.stratum);
    out.u64(record.group);
    out.flag(record.threshold.is_some());
    record.threshold.iter().for_each(|threshold| out.u32(threshold.to_bits()));
    out.u32(record.reports);
    out.u64(record.set_aside_millis);
    let (name, payload) = (record.name.clone(), record.payload.clone());
    write_attachment(out, Some(&Attachment { name, payload }));
}

fn read_record(body: &mut Reader<'_>, spec: &PartitionSpec) -> Result<Quarantined, ImageError> {
    let id = body.u64()?;
    let (raw_score, score) = (f32::from_bits(body.u32()?), f32::from_bits(body.u32()?));
    let key_units = body.option()?;
    let (stamp, model_version, serves) = (body.u32()?, body.u32()?, body.u16()?);
    let (stratum, group) = (body.u32()?, body.u64()?);
    let threshold = if body.flag()? { Some(f32::from_bits(body.u32()?)) } else { None };
    let (reports, set_aside_millis) = (body.u32()?, body.u64()?);
    let Attachment { name, payload } = read_attachment(body, spec.named)?;
    let was_reported = score.is_finite() && raw_score.is_finite();
    // The record of a dense id that was not stored when it was set aside by hand has NaN for both.
    let was_not = [raw_score, score].iter().all(|score| score.to_bits() == f32::NAN.to_bits())
        && id < spec.dense_ids()
        && (key_units, stamp, model_version, stratum, group) == (None, 0, 0, 0, 0)
        && (threshold, name.is_none(), payload.is_none()) == (None, true, true);
    if !was_reported && !was_not || threshold.is_some_and(|threshold| !threshold.is_finite()) {
        return contradiction("a sample in quarantine whose score is no number");
    }
    Ok(Quarantined {
        id,
        name,
        raw_score,
        score,
        key_units,
        stamp,
        model_version,
        serves,
        stratum,
        group,
        payload,
        threshold,
        reports,
        set_aside_millis,
    })
}

impl Partition {
    pub(super) fn read_quarantine(&mut self, body: &mut Reader<'_>) -> Result<(), ImageError> {
        let spec = self.spec;
        self.quarantine.overflows = body.u64()?;
        let streaks = body.count(STREAK_BYTES)?;
        if streaks > spec.quarantine.streaks {
            return contradiction("more streaks than are remembered");
        }
        self.quarantine.streaks.reserve(streaks);
        for _ in 0..streaks {
            let id = body.u64()?;
            let streak = Streak { reports: body.u32()?, stamp: body.u32()?, was_refused: body.flag()? };
            if streak.reports == 0 || !self.quarantine.streaks.restore(id, streak) {
                return contradiction("a streak twice, or without rows");
            }
        }
        let records = body.count(RECORD_BYTES)?;
        if records > MOST {
            return contradiction("more samples in quarantine than there can be");
        }
        self.quarantine.reserve([records, 0, 0]);
        let (mut after, mut first_units) = (None, None);
        for _ in 0..records {
            let record = read_record(body, &spec)?;
            self.check_absent(record.id, &mut after)?;
            if let Some(units) = record.key_units
                && !self.may_have_key(units, *first_units.get_or_insert(units))
            {
                return contradiction("a sample in quarantine whose key is out of range");
            }
            if !self.quarantine.restore(record) {
                return contradiction("a sample twice in quarantine");
            }
        }
        self.read_trusted(body)?;
        self.read_blocked(body)
    }

    fn read_trusted(&mut self, body: &mut Reader<'_>) -> Result<(), ImageError> {
        let trusted = body.count(8)?;
        if trusted > self.spec.quarantine.trusted {
            return contradiction("more trusted ids than there can be");
        }
        self.quarantine.reserve([0, trusted, 0]);
        let mut after = None;
        for id in body.column::<u64>(trusted)? {
            if after.is_some_and(|after| id <= after) || self.quarantine.streaks.get(id).is_some() {
                return contradiction("trusted ids out of order, or with a streak");
            }
            after = Some(id);
            self.quarantine.trust(id);
        }
        Ok(())
    }

    fn read_blocked(&mut self, body: &mut Reader<'_>) -> Result<(), ImageError> {
        let blocked = body.count(BLOCKED_BYTES)?;
        if blocked > self.spec.quarantine.blocked {
            return contradiction("more blocked ids than there can be");
        }
        self.quarantine.reserve([0, 0, blocked]);
        let mut after = None;
        for _ in 0..blocked {
            let id = body.u64()?;
            let Attachment { name, payload } = read_attachment(body, self.spec.named)?;
            self.check_absent(id, &mut after)?;
            let is_set_aside = self.quarantine.get(id).is_some() || self.quarantine.is_trusted(id);
            if payload.is_some() || is_set_aside {
                return contradiction("a blocked id that is known otherwise");
            }
            self.quarantine.block(id, name);
        }
        Ok(())
    }

    /// Whether the key of a record can be compared by serial arithmetic with those of the hard store and of the first record. A key below
    /// the floor of the last fold counts as the floor.
    fn may_have_key(&self, units: u64, first_units: u64) -> bool {
        if let Some(floor) = self.folded_units {
            return (units.wrapping_sub(floor) as i64) < 1 << 31;
        }
        let fits = |difference: i64| difference.unsigned_abs() <= UNFOLDED_UNITS.unsigned_abs();
        let top = (self.hard.len() > 0).then(|| self.hard.buckets.top_key());
        fits(units.wrapping_sub(first_units) as i64)
            && top.is_none_or(|top| fits(Key::of_clock(units).since(top)))
    }

    /// Refuses an id in quarantine or blocked that is also stored, has a streak or a lease, or is not greater than the id before it.
    fn check_absent(&self, id: u64, after: &mut Option<u64>) -> Result<(), ImageError> {
        if after.is_some_and(|after| id <= after) {
            return contradiction("ids that are kept out, in another order than theirs");
        }
        *after = Some(id);
        let is_hard = self.hard.find(placement_hash(id), id).is_some();
        let is_member = || match &self.background {
            Some(background) => background.knows(id),
            None => id < self.dense_ids() && !self.removed.contains(id),
        };
        let is_suspect = || self.quarantine.streaks.get(id).is_some() || self.leases.contains(id);
        if is_hard || is_member() || is_suspect() {
            return contradiction("an id that is kept out, and stored");
        }
        Ok(())
    }
}
