//! Operations on anchors.

use std::ops::Range;
use std::sync::Arc;

use super::columns::{self, of};
use crate::anchors::{AnchorChange, AnchorColumns, AnchorOp, NotNegative, PairColumns};
use crate::image::{ImageError, Reader, Writer};

const REPORT: u8 = 1;
const MARK: u8 = 2;
const REMOVE: u8 = 3;
const FOLD: u8 = 4;
const CLEAR: u8 = 5;
/// Bytes of a row without optional columns: an anchor, an id, a key and a score.
const ROW_BYTES: usize = 24;
/// Bytes of a pair without a score.
const PAIR_BYTES: usize = 16;

pub(super) fn write(out: &mut Writer, op: &AnchorOp) {
    out.u64(op.position);
    match &op.change {
        AnchorChange::Report { rows, range, terms, sender } => {
            out.u8(REPORT);
            write_rows(out, rows, range.clone());
            columns::write_terms(out, terms);
            columns::write_sender(out, sender.as_ref());
        }
        AnchorChange::Mark { pairs, range, why, stamp, model_version } => {
            out.u8(MARK);
            write_pairs(out, pairs, range.clone());
            out.flag(*why == NotNegative::Vetoed);
            out.u32(*stamp);
            out.u32(*model_version);
        }
        AnchorChange::Remove { ids } => {
            out.u8(REMOVE);
            columns::write_ids(out, ids);
        }
        AnchorChange::Fold { floor_units } => {
            out.u8(FOLD);
            out.u64(*floor_units);
        }
        AnchorChange::Clear => out.u8(CLEAR),
    }
}

pub(super) fn read(body: &mut Reader<'_>) -> Result<AnchorOp, ImageError> {
    let position = body.u64()?;
    let change = match body.u8()? {
        REPORT => {
            let rows = Arc::new(read_rows(body)?);
            let range = 0..rows.ids.len();
            let (terms, sender) = (columns::read_terms(body)?, columns::read_sender(body)?);
            AnchorChange::Report { rows, range, terms, sender }
        }
        MARK => {
            let pairs = Arc::new(read_pairs(body)?);
            let range = 0..pairs.ids.len();
            let why = if body.flag()? { NotNegative::Vetoed } else { NotNegative::Positive };
            AnchorChange::Mark { pairs, range, why, stamp: body.u32()?, model_version: body.u32()? }
        }
        REMOVE => AnchorChange::Remove { ids: columns::read_ids(body)?.into() },
        CLEAR => AnchorChange::Clear,
        FOLD => AnchorChange::Fold { floor_units: body.u64()? },
        _ => return Err(ImageError::Contradiction("a change of no kind")),
    };
    Ok(AnchorOp { position, change })
}

fn write_rows(out: &mut Writer, columns: &AnchorColumns, rows: Range<usize>) {
    let AnchorColumns {
        hashes: _,
        anchors,
        ids,
        keys,
        scores,
        positive_scores,
        groups,
        labels,
        anchor_labels,
        names,
    } = columns;
    out.u64(rows.len() as u64);
    let present = [
        !positive_scores.is_empty(),
        !groups.is_empty(),
        !labels.is_empty(),
        !anchor_labels.is_empty(),
        !names.is_empty(),
    ];
    columns::write_present(out, &present);
    out.column(&anchors[rows.clone()]);
    out.column(&ids[rows.clone()]);
    columns::write_keys(out, &keys[rows.clone()]);
    out.column(&scores[rows.clone()]);
    out.column(of(positive_scores, rows.clone()));
    out.column(of(groups, rows.clone()));
    out.column(of(labels, rows.clone()));
    out.column(of(anchor_labels, rows.clone()));
    columns::write_names(out, of(names, rows));
}

fn read_rows(body: &mut Reader<'_>) -> Result<AnchorColumns, ImageError> {
    let rows = body.count(ROW_BYTES)?;
    let [positive_scores, groups, labels, anchor_labels, names] = columns::read_present(body, rows)?;
    let anchors: Vec<u64> = body.column(rows)?.collect();
    Ok(AnchorColumns {
        hashes: columns::hashes(&anchors),
        anchors,
        ids: body.column(rows)?.collect(),
        keys: columns::read_keys(body, rows)?,
        scores: columns::read_scores(body, rows)?,
        positive_scores: body.column(positive_scores)?.collect(),
        groups: body.column(groups)?.collect(),
        labels: body.column(labels)?.collect(),
        anchor_labels: body.column(anchor_labels)?.collect(),
        names: columns::read_names(body, names)?,
    })
}

fn write_pairs(out: &mut Writer, pairs: &PairColumns, rows: Range<usize>) {
    let PairColumns { anchors, ids, scores } = pairs;
    out.u64(rows.len() as u64);
    columns::write_present(out, &[!scores.is_empty()]);
    out.column(&anchors[rows.clone()]);
    out.column(&ids[rows.clone()]);
    out.column(of(scores, rows));
}

fn read_pairs(body: &mut Reader<'_>) -> Result<PairColumns, ImageError> {
    let rows = body.count(PAIR_BYTES)?;
    let [scores] = columns::read_present(body, rows)?;
    Ok(PairColumns {
        anchors: body.column(rows)?.collect(),
        ids: body.column(rows)?.collect(),
        scores: body.column(scores)?.collect(),
    })
}
