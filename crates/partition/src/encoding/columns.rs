//! Parts that operations of both kinds have: ids, columns of rows, terms and senders.

use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

use crate::hash::placement_hash;
use crate::image::{ImageError, Reader, Writer};
use crate::key::Key;
use crate::op::{QuarantineTerms, RowFaults, ScoreUpdate, Sender, Terms};

/// Writes which optional columns are present, a bit each, in an order that each kind of operation defines.
pub(super) fn write_present(out: &mut Writer, columns: &[bool]) {
    let bits = columns.iter().enumerate().map(|(bit, is_there)| u8::from(*is_there) << bit);
    out.u8(bits.sum());
}

/// Reads which of `N` optional columns are present. Returns the number of rows of each: `rows`, or 0 for an absent column.
pub(super) fn read_present<const N: usize>(
    body: &mut Reader<'_>,
    rows: usize,
) -> Result<[usize; N], ImageError> {
    let bits = body.u8()?;
    if u32::from(bits) >> N != 0 {
        return Err(ImageError::Contradiction("a column of no kind"));
    }
    Ok(std::array::from_fn(|bit| if bits >> bit & 1 == 0 { 0 } else { rows }))
}

/// The rows of a column, or none of an empty one.
pub(super) fn of<T>(column: &[T], rows: Range<usize>) -> &[T] {
    if column.is_empty() { column } else { &column[rows] }
}

pub(super) fn write_ids(out: &mut Writer, ids: &[u64]) {
    out.u64(ids.len() as u64);
    out.column(ids);
}

pub(super) fn read_ids(body: &mut Reader<'_>) -> Result<Vec<u64>, ImageError> {
    let ids = body.count(8)?;
    Ok(body.column(ids)?.collect())
}

pub(super) fn hashes(ids: &[u64]) -> Vec<u64> {
    ids.iter().map(|id| placement_hash(*id)).collect()
}

pub(super) fn write_keys(out: &mut Writer, keys: &[Key]) {
    keys.iter().for_each(|key| out.u32(key.0));
}

pub(super) fn read_keys(body: &mut Reader<'_>, rows: usize) -> Result<Vec<Key>, ImageError> {
    Ok(body.column(rows)?.map(Key).collect())
}

/// Reads scores, which must be finite. Positive scores, which may be NaN, are read as a plain column.
pub(super) fn read_scores(body: &mut Reader<'_>, rows: usize) -> Result<Vec<f32>, ImageError> {
    let scores: Vec<f32> = body.column(rows)?.collect();
    match scores.iter().all(|score| score.is_finite()) {
        true => Ok(scores),
        false => Err(ImageError::Contradiction("a score that is not finite")),
    }
}

pub(super) fn write_names(out: &mut Writer, names: &[Arc<str>]) {
    names.iter().for_each(|name| out.counted(name.as_bytes()));
}

pub(super) fn read_names(body: &mut Reader<'_>, rows: usize) -> Result<Vec<Arc<str>>, ImageError> {
    let name = |body: &mut Reader<'_>| match std::str::from_utf8(body.counted()?) {
        Ok(name) => Ok(Arc::from(name)),
        Err(_) => Err(ImageError::Contradiction("a name that is no text")),
    };
    (0..rows).map(|_| name(body)).collect()
}

pub(super) fn write_payloads(out: &mut Writer, payloads: &[Bytes]) {
    payloads.iter().for_each(|payload| out.counted(payload));
}

pub(super) fn read_payloads(body: &mut Reader<'_>, rows: usize) -> Result<Vec<Bytes>, ImageError> {
    (0..rows).map(|_| body.counted().map(Bytes::copy_from_slice)).collect()
}

pub(super) fn write_terms(out: &mut Writer, terms: &Terms) {
    let Terms {
        decay_units,
        stamp,
        refuse_stale,
        model_version,
        update,
        renew_after_rows,
        quarantine,
        faults,
        oldest_stamp,
    } = terms;
    out.u64(*decay_units);
    out.u32(*stamp);
    out.flag(*refuse_stale);
    out.u32(*model_version);
    match update {
        ScoreUpdate::Last => out.u8(0),
        ScoreUpdate::Max => out.u8(1),
        ScoreUpdate::Ema { weight } => {
            out.u8(2);
            out.u32(weight.to_bits());
        }
    }
    out.u64(*renew_after_rows);
    out.flag(quarantine.is_some());
    if let Some(QuarantineTerms { threshold, reports, capacity, now_millis }) = quarantine {
        out.option(threshold.map(|threshold| threshold.to_bits().into()));
        out.u32(*reports);
        out.u64(*capacity);
        out.u64(*now_millis);
    }
    let RowFaults { non_finite, out_of_range, clamped, floored } = *faults;
    [non_finite, out_of_range, clamped, floored].into_iter().for_each(|rows| out.u64(rows));
    write_stamp(out, *oldest_stamp);
}

/// Writes a stamp that may be absent.
pub(super) fn write_stamp(out: &mut Writer, stamp: Option<u32>) {
    out.flag(stamp.is_some());
    stamp.iter().for_each(|stamp| out.u32(*stamp));
}

pub(super) fn read_stamp(body: &mut Reader<'_>) -> Result<Option<u32>, ImageError> {
    Ok(if body.flag()? { Some(body.u32()?) } else { None })
}

fn read_quarantine(body: &mut Reader<'_>) -> Result<Option<QuarantineTerms>, ImageError> {
    if !body.flag()? {
        return Ok(None);
    }
    let threshold = match body.option()? {
        None => None,
        Some(bits) => match u32::try_from(bits).map(f32::from_bits) {
            Ok(threshold) if threshold.is_finite() => Some(threshold),
            _ => return Err(ImageError::Contradiction("a threshold that is no finite number")),
        },
    };
    let (reports, capacity, now_millis) = (body.u32()?, body.u64()?, body.u64()?);
    Ok(Some(QuarantineTerms { threshold, reports, capacity, now_millis }))
}

pub(super) fn read_terms(body: &mut Reader<'_>) -> Result<Terms, ImageError> {
    Ok(Terms {
        decay_units: body.u64()?,
        stamp: body.u32()?,
        refuse_stale: body.flag()?,
        model_version: body.u32()?,
        update: match body.u8()? {
            0 => ScoreUpdate::Last,
            1 => ScoreUpdate::Max,
            2 => match f32::from_bits(body.u32()?) {
                weight if weight > 0.0 && weight <= 1.0 => ScoreUpdate::Ema { weight },
                _ => return Err(ImageError::Contradiction("a weight that is not above 0 and at most 1")),
            },
            _ => return Err(ImageError::Contradiction("a rule for re-reports of no kind")),
        },
        renew_after_rows: body.u64()?,
        quarantine: read_quarantine(body)?,
        faults: RowFaults {
            non_finite: body.u64()?,
            out_of_range: body.u64()?,
            clamped: body.u64()?,
            floored: body.u64()?,
        },
        oldest_stamp: read_stamp(body)?,
    })
}

pub(super) fn write_sender(out: &mut Writer, sender: Option<&Sender>) {
    out.flag(sender.is_some());
    if let Some(Sender { worker, epoch, sequence }) = sender {
        [*worker as u64, (worker >> 64) as u64, *epoch, *sequence].iter().for_each(|number| out.u64(*number));
    }
}

pub(super) fn read_sender(body: &mut Reader<'_>) -> Result<Option<Sender>, ImageError> {
    if !body.flag()? {
        return Ok(None);
    }
    let worker = u128::from(body.u64()?) | u128::from(body.u64()?) << 64;
    Ok(Some(Sender { worker, epoch: body.u64()?, sequence: body.u64()? }))
}
