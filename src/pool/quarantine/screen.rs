//! Which rows of a batch concern the quarantine: one pass over it, before the store has it.

use std::sync::atomic::Ordering;

use super::streaks::{IdMap, IdSet};
use super::{Concerned, Quarantine, QuarantineRule, SHARDS, Screened, is_above, shard_of};
use crate::pool::ingest;
use crate::store::ReportBatch;
use crate::store::hash::placement_hash;

/// Rows looked up under one lock: some ten microseconds.
const ROWS_PER_LOCK: usize = 1_024;

impl Quarantine {
    /// Takes rows of samples in quarantine out of `batch` and `raw`, the scores as reported (empty: those of the batch), and
    /// notes who is above the quantile.
    pub(in crate::pool) fn screen(
        &self,
        rule: Option<&QuarantineRule>,
        lower_is_harder: bool,
        batch: &mut ReportBatch,
        raw: &mut Vec<f32>,
    ) -> Screened {
        let holds_any = self.held.load(Ordering::Acquire) > 0;
        if rule.is_none() && !holds_any {
            return Screened::default();
        }
        let scores = if raw.is_empty() { &batch.scores } else { &*raw };
        let threshold = rule.and_then(|rule| self.threshold(rule, lower_is_harder));
        let (mut held, mut watched) = self.look(&batch.ids, scores, rule.is_some(), |score| {
            threshold.is_some_and(|threshold| is_above(score, threshold, lower_is_harder))
        });
        let sampled = rule.map(|_| self.quantile.sample(scores));
        keep_last_rows(&batch.ids, &mut held, &mut watched);
        let concerned = |rows: Vec<usize>| -> Vec<Concerned> {
            let of = |row: usize| Concerned {
                id: batch.ids[row],
                raw: scores[row],
                stored: batch.scores[row],
                name: batch.names.get(row).cloned(),
                payload: batch.payloads.get(row).filter(|payload| !payload.is_empty()).cloned(),
                stratum: batch.strata.get(row).copied(),
                group: batch.groups.get(row).copied(),
            };
            rows.into_iter().map(of).collect()
        };
        let (held, watched) = (concerned(held), concerned(watched));
        let rows = batch.ids.len();
        if !held.is_empty() {
            take_out(batch, raw, &held);
        }
        let coalesced = (rows - batch.ids.len() - held.len()) as u64;
        Screened { held, watched, coalesced, sampled, threshold }
    }

    /// The rows of samples in quarantine, and those above the quantile or with a streak; not in order.
    fn look(
        &self,
        ids: &[u64],
        scores: &[f32],
        has_rule: bool,
        is_above: impl Fn(f32) -> bool,
    ) -> (Vec<usize>, Vec<usize>) {
        let shards: Vec<u8> = ids.iter().map(|id| shard_of(placement_hash(*id)) as u8).collect();
        let mut offsets = [0usize; SHARDS + 1];
        for shard in &shards {
            offsets[usize::from(*shard) + 1] += 1;
        }
        for shard in 0..SHARDS {
            offsets[shard + 1] += offsets[shard];
        }
        let mut order = vec![0u32; ids.len()];
        let mut next = offsets;
        for (row, shard) in shards.iter().enumerate() {
            order[next[usize::from(*shard)]] = row as u32;
            next[usize::from(*shard)] += 1;
        }
        let (mut held, mut watched) = (Vec::new(), Vec::new());
        for (number, shard) in self.shards.iter().enumerate() {
            for rows in order[offsets[number]..offsets[number + 1]].chunks(ROWS_PER_LOCK) {
                let shard = shard.read();
                let (records, streaks) = (!shard.records.is_empty(), !shard.streaks.is_empty());
                for row in rows {
                    let row = *row as usize;
                    let id = ids[row];
                    if records && shard.records.contains_key(&id) {
                        held.push(row);
                    } else if has_rule
                        && (is_above(scores[row]) || (streaks && shard.streaks.get(id).is_some()))
                    {
                        watched.push(row);
                    }
                }
            }
        }
        (held, watched)
    }
}

/// Leaves the last row of each id, in order. Only of the concerned ids are the other rows looked for.
fn keep_last_rows(ids: &[u64], held: &mut Vec<usize>, watched: &mut Vec<usize>) {
    if held.is_empty() && watched.is_empty() {
        return;
    }
    let mut last: IdMap<usize> = IdMap::default();
    // Most rows concern nobody, which a bit tells sooner than a map.
    let mut marked = [0u64; 256];
    let bit = |id: u64| (id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 50) as usize;
    for row in held.iter().chain(watched.iter()) {
        last.insert(ids[*row], *row);
        marked[bit(ids[*row]) / 64] |= 1 << (bit(ids[*row]) % 64);
    }
    for (row, id) in ids.iter().enumerate() {
        let at = bit(*id);
        if marked[at / 64] >> (at % 64) & 1 == 1
            && let Some(place) = last.get_mut(id)
        {
            *place = row;
        }
    }
    for rows in [held, watched] {
        for row in rows.iter_mut() {
            *row = last[&ids[*row]];
        }
        rows.sort_unstable();
        rows.dedup();
    }
}

/// Takes the rows of these ids out of a batch.
fn take_out(batch: &mut ReportBatch, raw: &mut Vec<f32>, held: &[Concerned]) {
    let gone: IdSet = held.iter().map(|row| row.id).collect();
    let keep: Vec<bool> = batch.ids.iter().map(|id| !gone.contains(id)).collect();
    ingest::retain_rows(batch, raw, &keep);
}
