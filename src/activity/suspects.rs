//! Suspects: samples that stay among the hardest although they are scored again and again, so a person should check their labels. The
//! quarantine (docs/methods.md 12) acts on such a sign; here it is only shown.

use std::collections::HashMap;

use crate::store::Row;

/// Number of fresh scores through which a suspect must have stayed among the hardest.
const REPORTS_MIN: u32 = 3;
/// Maximum number of suspects listed.
const SUSPECTS_MAX: usize = 16;

/// A sample that is still among the hardest after several fresh scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suspect {
    /// The id of the sample.
    pub id: u64,
    /// Its present raw score.
    pub score: f32,
    /// Number of fresh scores seen while it stayed among the hardest. It is a lower bound, because two reports within one tick are seen as
    /// one.
    pub reports: u32,
    /// Number of consecutive ticks, of about a second each, at which it was among the hardest.
    pub looks: u32,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    stamp: Option<u32>,
    suspect: Suspect,
}

/// The hardest samples at the last tick, by id; at most as many as [`Self::observe`] is given.
#[derive(Debug, Default)]
pub(crate) struct Suspects(HashMap<u64, Seen>);

impl Suspects {
    /// Compares the hardest samples with those of the last tick, and forgets the ones that are no longer among them.
    pub(crate) fn observe(&mut self, hardest: &[Row]) {
        self.0 = hardest
            .iter()
            .map(|row| {
                let before = self.0.get(&row.id);
                let suspect = before.map(|seen| seen.suspect);
                let fresh = before.is_some_and(|seen| seen.stamp != row.stamp);
                let seen = Seen {
                    stamp: row.stamp,
                    suspect: Suspect {
                        id: row.id,
                        score: row.score,
                        reports: suspect.map_or(0, |s| s.reports) + u32::from(fresh),
                        looks: suspect.map_or(0, |s| s.looks) + 1,
                    },
                };
                (row.id, seen)
            })
            .collect();
    }

    /// The suspects: those with at least [`REPORTS_MIN`] fresh scores, those with the most first.
    pub(crate) fn list(&self) -> Vec<Suspect> {
        let mut suspects: Vec<Suspect> =
            self.0.values().map(|seen| seen.suspect).filter(|s| s.reports >= REPORTS_MIN).collect();
        suspects.sort_unstable_by(|a, b| {
            b.reports.cmp(&a.reports).then(b.score.total_cmp(&a.score)).then(a.id.cmp(&b.id))
        });
        suspects.truncate(SUSPECTS_MAX);
        suspects
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u64, stamp: u32) -> Row {
        Row { score: id as f32, stamp: Some(stamp), ..Row::unreported(id) }
    }

    #[test]
    fn only_samples_that_stay_through_fresh_scores_are_suspects() {
        let mut suspects = Suspects::default();
        for look in 0..6 {
            // Id 1 is scored again each time, id 2 never, and id 3 leaves once.
            let mut hardest = vec![row(1, look), row(2, 0)];
            if look != 3 {
                hardest.push(row(3, look));
            }
            suspects.observe(&hardest);
        }
        let list = suspects.list();
        assert_eq!(list.len(), 1, "{list:?}");
        assert_eq!(list[0], Suspect { id: 1, score: 1.0, reports: 5, looks: 6 });
        suspects.observe(&[]);
        assert!(suspects.list().is_empty());
    }
}
