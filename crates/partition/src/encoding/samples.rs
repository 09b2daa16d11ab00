//! Operations on samples.

use std::ops::Range;
use std::sync::Arc;

use super::columns::{self, of};
use crate::image::{ImageError, Reader, Writer};
use crate::op::{Change, Columns, Drawn, Op, ServeMark, Source};

const REPORT: u8 = 1;
const SERVE: u8 = 2;
const RELEASE: u8 = 3;
const EXPIRE: u8 = 4;
const REMOVE: u8 = 5;
const FOLD: u8 = 6;
const SET_ASIDE: u8 = 7;
const RELEASE_QUARANTINED: u8 = 8;
const BLOCK: u8 = 9;
const UNBLOCK: u8 = 10;
const CLEAR: u8 = 11;
/// Bytes of a row without optional columns: an id, a key and a score.
const ROW_BYTES: usize = 16;
/// Bytes of a drawn sample: an id and a flag.
const DRAWN_BYTES: usize = 9;

pub(super) fn write(out: &mut Writer, op: &Op) {
    out.u64(op.position);
    match &op.change {
        Change::Report { rows, range, terms, sender } => {
            out.u8(REPORT);
            write_rows(out, rows, range.clone());
            columns::write_terms(out, terms);
            columns::write_sender(out, sender.as_ref());
        }
        Change::Serve { drawn, mark } => {
            out.u8(SERVE);
            out.u64(drawn.len() as u64);
            drawn.iter().for_each(|drawn| out.u64(drawn.id));
            drawn.iter().for_each(|drawn| out.flag(drawn.source == Source::Background));
            write_mark(out, *mark);
        }
        Change::Release { ids } => {
            out.u8(RELEASE);
            columns::write_ids(out, ids);
        }
        Change::Expire { now_millis, oldest_stamp } => {
            out.u8(EXPIRE);
            out.u64(*now_millis);
            columns::write_stamp(out, *oldest_stamp);
        }
        Change::Remove { ids } => {
            out.u8(REMOVE);
            columns::write_ids(out, ids);
        }
        Change::Fold { floor_units } => {
            out.u8(FOLD);
            out.u64(*floor_units);
        }
        Change::SetAside { ids, capacity, decay_units, now_millis } => {
            out.u8(SET_ASIDE);
            columns::write_ids(out, ids);
            [capacity, decay_units, now_millis].into_iter().for_each(|number| out.u64(*number));
        }
        Change::ReleaseQuarantined { ids, trust } => {
            out.u8(RELEASE_QUARANTINED);
            columns::write_ids(out, ids);
            out.flag(*trust);
        }
        Change::Block { ids, names } => {
            out.u8(BLOCK);
            columns::write_ids(out, ids);
            columns::write_present(out, &[!names.is_empty()]);
            columns::write_names(out, names);
        }
        Change::Unblock { ids } => {
            out.u8(UNBLOCK);
            columns::write_ids(out, ids);
        }
        Change::Clear => out.u8(CLEAR),
    }
}

pub(super) fn read(body: &mut Reader<'_>) -> Result<Op, ImageError> {
    let position = body.u64()?;
    let change = match body.u8()? {
        REPORT => {
            let rows = Arc::new(read_rows(body)?);
            let range = 0..rows.ids.len();
            let (terms, sender) = (columns::read_terms(body)?, columns::read_sender(body)?);
            Change::Report { rows, range, terms, sender }
        }
        SERVE => Change::Serve { drawn: read_drawn(body)?, mark: read_mark(body)? },
        RELEASE => Change::Release { ids: columns::read_ids(body)? },
        EXPIRE => Change::Expire { now_millis: body.u64()?, oldest_stamp: columns::read_stamp(body)? },
        REMOVE => Change::Remove { ids: columns::read_ids(body)? },
        FOLD => Change::Fold { floor_units: body.u64()? },
        SET_ASIDE => Change::SetAside {
            ids: columns::read_ids(body)?,
            capacity: body.u64()?,
            decay_units: body.u64()?,
            now_millis: body.u64()?,
        },
        RELEASE_QUARANTINED => {
            Change::ReleaseQuarantined { ids: columns::read_ids(body)?, trust: body.flag()? }
        }
        BLOCK => {
            let ids = columns::read_ids(body)?;
            let [names] = columns::read_present(body, ids.len())?;
            Change::Block { ids, names: columns::read_names(body, names)? }
        }
        UNBLOCK => Change::Unblock { ids: columns::read_ids(body)? },
        CLEAR => Change::Clear,
        _ => return Err(ImageError::Contradiction("a change of no kind")),
    };
    Ok(Op { position, change })
}

fn write_rows(out: &mut Writer, columns: &Columns, rows: Range<usize>) {
    let Columns { hashes: _, ids, keys, scores, names, payloads, strata, groups, raw_scores } = columns;
    out.u64(rows.len() as u64);
    columns::write_present(
        out,
        &[
            !names.is_empty(),
            !payloads.is_empty(),
            !strata.is_empty(),
            !groups.is_empty(),
            !raw_scores.is_empty(),
        ],
    );
    out.column(&ids[rows.clone()]);
    columns::write_keys(out, &keys[rows.clone()]);
    out.column(&scores[rows.clone()]);
    columns::write_names(out, of(names, rows.clone()));
    columns::write_payloads(out, of(payloads, rows.clone()));
    out.column(of(strata, rows.clone()));
    out.column(of(groups, rows.clone()));
    out.column(of(raw_scores, rows));
}

fn read_rows(body: &mut Reader<'_>) -> Result<Columns, ImageError> {
    let rows = body.count(ROW_BYTES)?;
    let [names, payloads, strata, groups, raw_scores] = columns::read_present(body, rows)?;
    let ids: Vec<u64> = body.column(rows)?.collect();
    Ok(Columns {
        hashes: columns::hashes(&ids),
        ids,
        keys: columns::read_keys(body, rows)?,
        scores: columns::read_scores(body, rows)?,
        names: columns::read_names(body, names)?,
        payloads: columns::read_payloads(body, payloads)?,
        strata: body.column(strata)?.collect(),
        groups: body.column(groups)?.collect(),
        raw_scores: columns::read_scores(body, raw_scores)?,
    })
}

fn read_drawn(body: &mut Reader<'_>) -> Result<Vec<Drawn>, ImageError> {
    let drawn = body.count(DRAWN_BYTES)?;
    let ids = body.column(drawn)?;
    let with_source = |id| {
        let source = if body.flag()? { Source::Background } else { Source::Hard };
        Ok(Drawn { id, source })
    };
    ids.map(with_source).collect()
}

fn write_mark(out: &mut Writer, mark: ServeMark) {
    let ServeMark { count, max_serves, lease_until } = mark;
    out.flag(count);
    out.u16(max_serves);
    out.option(lease_until);
}

fn read_mark(body: &mut Reader<'_>) -> Result<ServeMark, ImageError> {
    Ok(ServeMark { count: body.flag()?, max_serves: body.u16()?, lease_until: body.option()? })
}
