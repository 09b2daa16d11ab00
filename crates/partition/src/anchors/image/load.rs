//! Reads the body of an image. Nothing in it is trusted: every value is checked.

use super::{GROUPS, LABELS, POSITIVES, SCORES, TOLD, VETOES};
use crate::anchors::anchor::Anchor;
use crate::anchors::negative::{Negative, PositiveScore};
use crate::anchors::{
    ANCHORS_MAX, AnchorPartition, AnchorPartitionSpec, Margins, NEGATIVES_MAX, PAIRS_PER_ANCHOR_MAX, Sizes,
};
use crate::hash::placement_hash;
use crate::image::{ImageError, Reader, WORKERS_MAX, read_dedupe, read_hardness};
use crate::key::{Key, UNITS_PER_OCTAVE};

/// Bytes of an anchor without negatives and optional fields.
const ANCHOR_BYTES: usize = 15;
/// Bytes of an empty name.
const NAME_BYTES: usize = 12;
/// The keys of a partition differ by at most so many units: a fold lifts them to at most 8,192 octaves below its clock, reports come at
/// most 4,096 octaves after the last fold, and a weight is at most 4,096 octaves above the clock of its report.
const SPAN_MAX: i64 = 16_384 * UNITS_PER_OCTAVE;

fn contradiction<T>(what: &'static str) -> Result<T, ImageError> {
    Err(ImageError::Contradiction(what))
}

/// The span of the keys of a partition. Serial order is only defined within half the range of keys.
#[derive(Default)]
struct Keys {
    first: Option<Key>,
    /// Units above the first.
    lowest: i64,
    highest: i64,
}

impl Keys {
    /// Adds a key. Returns whether the span is still allowed.
    fn fits(&mut self, key: Key) -> bool {
        let units = key.since(*self.first.get_or_insert(key));
        (self.lowest, self.highest) = (self.lowest.min(units), self.highest.max(units));
        self.highest - self.lowest <= SPAN_MAX
    }
}

impl AnchorPartition {
    pub(super) fn read(body: &mut Reader<'_>) -> Result<Self, ImageError> {
        let spec = read_spec(body)?;
        let mut partition = Self::new(spec);
        partition.position = body.u64()?;
        partition.folded_units = body.option()?;
        let anchors = body.count(ANCHOR_BYTES)?;
        if !partition.has_room(anchors as u64) {
            return contradiction("more anchors than its max_anchors");
        }
        partition.anchors.reserve_exact(anchors);
        partition.index.reserve(anchors, |_| 0);
        let mut keys = Keys::default();
        for _ in 0..anchors {
            partition.read_anchor(body, &mut keys)?;
        }
        if partition.sizes.positives + partition.sizes.vetoes > spec.max_pairs {
            return contradiction("more pairs than its max_pairs");
        }
        if spec.named {
            partition.read_names(body)?;
        }
        read_dedupe(body, &mut partition.dedupe, spec.workers)?;
        for number in partition.totals.numbers_mut() {
            *number = body.u64()?;
        }
        Ok(partition)
    }

    fn read_anchor(&mut self, body: &mut Reader<'_>, keys: &mut Keys) -> Result<(), ImageError> {
        let spec = self.spec;
        let id = body.u64()?;
        let hash = placement_hash(id);
        if self.find(hash, id).is_some() {
            return contradiction("an anchor twice");
        }
        let at = self.enter(hash, id);
        let anchor = &mut self.anchors[at];
        anchor.label = body.u32()?;
        let (negatives, flags) = (usize::from(body.u16()?), body.u8()?);
        if flags > (TOLD | POSITIVES | SCORES | VETOES | GROUPS | LABELS)
            || negatives > spec.negatives_per_anchor
        {
            return contradiction("an anchor of no kind, or with too many negatives");
        }
        if flags & TOLD != 0 {
            anchor.told = read_score(body)?;
            if anchor.told.score.is_nan() {
                return contradiction("a positive score that was not told");
            }
        }
        read_pairs(body, anchor, flags, &spec)?;
        let floor = self.folded_units.map(Key::of_clock);
        // The bytes are taken first, so that no memory is allocated for negatives that are not there.
        let mut rows = Reader::new(body.bytes(negatives * size_of::<Negative>())?);
        anchor.reserve(negatives);
        for _ in 0..negatives {
            let (id, score, key) = (rows.u64()?, f32::from_bits(rows.u32()?), Key(rows.u32()?));
            let negative = Negative { id, score, key, stamp: rows.u32()?, model_version: rows.u32()? };
            let is_below = floor.is_some_and(|floor| key.since(floor) < 0);
            if !score.is_finite() || is_below || !keys.fits(key) || !anchor.restore(negative, &spec) {
                return contradiction("a negative that cannot be one, or out of order");
            }
            if spec.named {
                self.names.retain(id, None);
            }
        }
        let groups: Vec<u64> =
            if flags & GROUPS == 0 { Vec::new() } else { body.column(negatives)?.collect() };
        let labels: Vec<u32> =
            if flags & LABELS == 0 { Vec::new() } else { body.column(negatives)?.collect() };
        if flags & GROUPS != 0 && groups.iter().all(|group| *group == 0)
            || flags & LABELS != 0 && labels.iter().all(|label| *label == 0)
        {
            return contradiction("a column of nothing");
        }
        anchor.restore_attributes(groups, labels);
        self.sizes.change(&Sizes::default(), &Sizes::of(anchor));
        Ok(())
    }

    /// Reads the names: one for every sample that is a negative of any anchor, and no others.
    fn read_names(&mut self, body: &mut Reader<'_>) -> Result<(), ImageError> {
        let names = body.count(NAME_BYTES)?;
        if names != self.names.len() {
            return contradiction("more or fewer names than samples");
        }
        let mut after = None;
        for _ in 0..names {
            let id = body.u64()?;
            let Ok(name) = std::str::from_utf8(body.counted()?) else {
                return contradiction("a name that is no text");
            };
            if after.is_some_and(|after| id <= after) || !self.names.restore(id, name) {
                return contradiction("names out of order, or of no sample");
            }
            after = Some(id);
        }
        Ok(())
    }
}

fn read_spec(body: &mut Reader<'_>) -> Result<AnchorPartitionSpec, ImageError> {
    let mut sizes = [0; 5];
    for size in &mut sizes {
        *size = body.u64()?;
    }
    let [negatives, max_anchors, positives, vetoes, max_pairs] = sizes;
    let margins = Margins { absolute: read_margin(body)?, relative: read_margin(body)? };
    let hardness = read_hardness(body)?;
    let (named, workers) = (body.flag()?, body.u64()?);
    let most = PAIRS_PER_ANCHOR_MAX as u64;
    let fits = (1..=NEGATIVES_MAX as u64).contains(&negatives)
        && (1..=ANCHORS_MAX).contains(&max_anchors)
        && positives.max(vetoes) <= most
        && workers <= WORKERS_MAX;
    if !fits {
        return contradiction("a limit out of range");
    }
    Ok(AnchorPartitionSpec {
        negatives_per_anchor: negatives as usize,
        max_anchors,
        max_positives_per_anchor: positives as usize,
        max_vetoes_per_anchor: vetoes as usize,
        max_pairs,
        margins,
        hardness,
        named,
        workers: workers as usize,
    })
}

fn read_margin(body: &mut Reader<'_>) -> Result<Option<f32>, ImageError> {
    let Some(bits) = body.option()? else {
        return Ok(None);
    };
    match u32::try_from(bits).map(f32::from_bits) {
        Ok(margin) if margin.is_finite() && margin >= 0.0 => Ok(Some(margin)),
        _ => contradiction("a margin out of range"),
    }
}

fn read_pairs(
    body: &mut Reader<'_>,
    anchor: &mut Anchor,
    flags: u8,
    spec: &AnchorPartitionSpec,
) -> Result<(), ImageError> {
    let positives = match flags & POSITIVES {
        0 => Vec::new(),
        _ => read_list(body, spec.max_positives_per_anchor)?,
    };
    let mut scores = Vec::new();
    if flags & SCORES != 0 {
        scores.reserve_exact(positives.len());
        for _ in 0..positives.len() {
            scores.push(read_score(body)?);
        }
        if scores.iter().all(|positive: &PositiveScore| positive.score.is_nan()) {
            return contradiction("a column of nothing");
        }
    }
    let vetoes = match flags & VETOES {
        0 => Vec::new(),
        _ => read_list(body, spec.max_vetoes_per_anchor)?,
    };
    anchor.restore_pairs(positives, scores, vetoes);
    Ok(())
}

/// Reads at least one id, in ascending order.
fn read_list(body: &mut Reader<'_>, most: usize) -> Result<Vec<u64>, ImageError> {
    let len = usize::from(body.u16()?);
    if len == 0 || len > most {
        return contradiction("a list of nothing, or one that is too long");
    }
    let ids: Vec<u64> = body.column(len)?.collect();
    if ids.is_sorted_by(|a, b| a < b) { Ok(ids) } else { contradiction("a list out of order") }
}

fn read_score(body: &mut Reader<'_>) -> Result<PositiveScore, ImageError> {
    let (bits, stamp, model_version) = (body.u32()?, body.u32()?, body.u32()?);
    let score = f32::from_bits(bits);
    let none = PositiveScore::NONE;
    let is_none = (bits, stamp, model_version) == (none.score.to_bits(), none.stamp, none.model_version);
    if score.is_finite() || is_none {
        Ok(PositiveScore { score, stamp, model_version })
    } else {
        contradiction("a positive score that is no number")
    }
}
