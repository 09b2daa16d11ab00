//! Writes the body of an image.

use super::{GROUPS, LABELS, POSITIVES, SCORES, TOLD, VETOES};
use crate::anchors::anchor::Anchor;
use crate::anchors::negative::PositiveScore;
use crate::anchors::{AnchorPartition, AnchorPartitionSpec, NotNegative};
use crate::image::{Writer, write_dedupe, write_hardness};

impl AnchorPartition {
    /// About how many bytes the image has, so that its buffer grows once.
    pub(super) fn image_estimate(&self) -> usize {
        let pairs = self.sizes.positives + self.sizes.vetoes;
        self.anchors.len() * 27 + self.sizes.negatives as usize * 24 + pairs as usize * 8 + 4096
    }

    pub(super) fn write(&self, out: &mut Writer) {
        write_spec(out, &self.spec);
        out.u64(self.position);
        out.option(self.folded_units);
        out.u64(self.anchors.len() as u64);
        self.anchors.iter().for_each(|anchor| write_anchor(out, anchor));
        if self.spec.named {
            out.u64(self.names.len() as u64);
            for (id, name) in self.names.all() {
                out.u64(id);
                out.counted(name.as_bytes());
            }
        }
        write_dedupe(out, &self.dedupe);
        self.totals.numbers().into_iter().for_each(|number| out.u64(number));
    }
}

fn write_spec(out: &mut Writer, spec: &AnchorPartitionSpec) {
    out.u64(spec.negatives_per_anchor as u64);
    out.u64(spec.max_anchors);
    out.u64(spec.max_positives_per_anchor as u64);
    out.u64(spec.max_vetoes_per_anchor as u64);
    out.u64(spec.max_pairs);
    out.option(spec.margins.absolute.map(|margin| margin.to_bits().into()));
    out.option(spec.margins.relative.map(|margin| margin.to_bits().into()));
    write_hardness(out, &spec.hardness);
    out.flag(spec.named);
    out.u64(spec.workers as u64);
}

fn write_anchor(out: &mut Writer, anchor: &Anchor) {
    let (positives, vetoes) =
        (anchor.not_negative(NotNegative::Positive), anchor.not_negative(NotNegative::Vetoed));
    // A column of default values is left out, because it means the same as no column.
    let has_scores = anchor.scores().iter().any(|positive| !positive.score.is_nan());
    let has_groups = anchor.groups().iter().any(|group| *group != 0);
    let has_labels = anchor.labels().iter().any(|label| *label != 0);
    let beside = [
        (!anchor.told.score.is_nan(), TOLD),
        (!positives.is_empty(), POSITIVES),
        (has_scores, SCORES),
        (!vetoes.is_empty(), VETOES),
        (has_groups, GROUPS),
        (has_labels, LABELS),
    ];
    let flags = beside.iter().map(|(has, bit)| u8::from(*has) * bit).sum();
    out.u64(anchor.id);
    out.u32(anchor.label);
    out.u16(anchor.negatives().len() as u16);
    out.u8(flags);
    if flags & TOLD != 0 {
        write_score(out, &anchor.told);
    }
    if flags & POSITIVES != 0 {
        out.u16(positives.len() as u16);
        out.column(positives);
    }
    if flags & SCORES != 0 {
        anchor.scores().iter().for_each(|score| write_score(out, score));
    }
    if flags & VETOES != 0 {
        out.u16(vetoes.len() as u16);
        out.column(vetoes);
    }
    for negative in anchor.negatives() {
        out.u64(negative.id);
        out.u32(negative.score.to_bits());
        out.u32(negative.key.0);
        out.u32(negative.stamp);
        out.u32(negative.model_version);
    }
    if flags & GROUPS != 0 {
        out.column(anchor.groups());
    }
    if flags & LABELS != 0 {
        out.column(anchor.labels());
    }
}

/// Writes a positive score. One that was never reported is a NaN with zeros.
fn write_score(out: &mut Writer, positive: &PositiveScore) {
    out.u32(positive.score.to_bits());
    out.u32(positive.stamp);
    out.u32(positive.model_version);
}
