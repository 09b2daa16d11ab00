//! Decides the remaining hard arrivals of a race by one pass over the hard store, when proposals would take too long (docs/methods.md 6.2).

use super::super::quota::Quota;
use super::Race;
use super::lanes::Lane;
use crate::model::error::PoolError;
use crate::store::{Cursor, Row};

/// Rows that the pass reads in one call.
const SCAN_PAGE: usize = 4096;
/// Strata whose rows are read in one call, while which their partition is locked.
const STRATA_PAGE: usize = 1024;
/// Arrivals kept beyond those needed, in case the store refuses to serve some.
const SCAN_SPARE: usize = 64;

impl Race<'_> {
    /// Lets scheduled hard samples arrive up to `time`; returns whether any did.
    pub(super) async fn arrive_scheduled(&mut self, time: f64, target: usize) -> bool {
        let mut arrived = false;
        while !self.is_done(target) {
            let Some(schedule) = self.scheduled.as_mut() else {
                break;
            };
            if schedule.front().is_none_or(|first| first.0 > time) {
                break;
            }
            let Some((at, row, hard_mass)) = schedule.pop_front() else {
                break;
            };
            self.worked(1).await;
            self.time = at;
            if !self.taken.contains(&row.id) {
                self.accept(&row, at, false, hard_mass);
                arrived = true;
            }
        }
        arrived
    }

    /// Decides all further hard arrivals by one pass: T_i = now + E_i/u_i for every eligible sample, which is exact because the exponential
    /// distribution is memoryless. The background goes on by proposals.
    pub(super) async fn schedule(&mut self, target: usize) -> Result<(), PoolError> {
        let closing = self.quota.as_ref().map_or(0, Quota::parts_to_close);
        let keep = target.saturating_sub(self.arrivals.len()) + SCAN_SPARE + closing;
        let mut found: Vec<(f64, Row, f64)> = Vec::with_capacity(2 * keep);
        let (mut cursor, mut read) = (Some(Cursor::default()), 0);
        self.schedule_cut = false;
        while let Some(at) = cursor {
            if read >= self.field.scan_limit {
                self.approximate = true;
                break;
            }
            let page = self.field.store.scan(at, SCAN_PAGE).await?;
            self.worked(SCAN_PAGE).await;
            read += page.rows.len();
            for row in page.rows {
                let hard_mass = self.hard_mass(&row);
                if hard_mass > 0.0 && !self.taken.contains(&row.id) {
                    let time = self.time + self.draws.exponential() / hard_mass;
                    found.push((time, row, hard_mass));
                }
            }
            if found.len() >= 2 * keep {
                self.schedule_cut |= self.prune(&mut found, keep);
            }
            cursor = page.next;
        }
        self.schedule_cut |= self.prune(&mut found, keep);
        self.lanes.retain(Lane::is_background);
        self.passed = true;
        self.scheduled = Some(found.into());
        Ok(())
    }

    /// Sorts what a pass has found by time, and keeps the first `keep` of those that will be admitted or be the first that a stratum or
    /// group rejects. Returns whether there were more.
    fn prune(&self, found: &mut Vec<(f64, Row, f64)>, keep: usize) -> bool {
        found.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        if let Some(quota) = &self.quota {
            let mut rehearsal = quota.rehearse();
            found.retain(|(time, row, _)| rehearsal.matters(row, *time));
        }
        let more = found.len() > keep;
        found.truncate(keep);
        more
    }

    /// Decides the hard arrivals of rare strata before the race begins, because proposals would take too long to find them.
    pub(crate) async fn schedule_rare(&mut self) -> Result<(), PoolError> {
        let (Some(quota), Some(_)) = (&self.quota, self.mass) else {
            return Ok(());
        };
        let (rare, proposals) = quota.rare(self.field.strata, self.field.census.hard);
        // The last arrivals of a stratum take several times as many proposals as the mean. A pass over the store would read even more rows.
        self.patience = (4.0 * proposals).min(self.field.census.hard as f64) as u64;
        if rare.is_empty() {
            return Ok(());
        }
        let mut found = Vec::new();
        for some in rare.chunks(STRATA_PAGE) {
            let rows = self.field.store.of_strata(some).await?;
            self.worked(some.len() + rows.len()).await;
            for row in rows {
                match self.judge_mass(&row) {
                    Ok(hard_mass) if hard_mass > 0.0 => {
                        found.push((self.draws.exponential() / hard_mass, row, hard_mass));
                    }
                    Ok(_) => {}
                    Err(reason) => self.filtered.count(reason),
                }
            }
        }
        found.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        self.rare = rare.into_iter().collect();
        if let Some(quota) = &mut self.quota {
            quota.mark_rare(&self.rare);
        }
        self.scheduled = Some(found.into());
        Ok(())
    }

    /// Stops proposals from the hard store once all strata but the rare ones are settled.
    pub(super) fn drop_settled(&mut self) {
        let settled = || self.quota.as_ref().is_some_and(Quota::is_settled_but_for_rare);
        if !self.passed && !self.rare.is_empty() && settled() {
            self.lanes.retain(Lane::is_background);
            self.passed = true;
        }
    }
}
