//! Which samples stay among the hardest however often they are scored again: the first that a person should look at
//! for a wrong label (the sign that docs/methods.md 12 quarantines by; here it is only shown).

use std::collections::HashMap;

use crate::store::Row;

/// Fresh scores through which a sample must have stayed among the hardest.
const REPORTS_MIN: u32 = 3;
/// Suspects told of.
const SUSPECTS_MAX: usize = 16;

/// A sample that is still among the hardest after several fresh scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suspect {
    /// The sample.
    pub id: u64,
    /// Its raw score now.
    pub score: f32,
    /// Fresh scores seen while it stayed among the hardest: at least so many, since two within a second look like one.
    pub reports: u32,
    /// For how many looks, about a second each, it has been among them.
    pub looks: u32,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    stamp: Option<u32>,
    suspect: Suspect,
}

/// The hardest samples at the last look. Bounded by how many are looked at.
#[derive(Debug, Default)]
pub(crate) struct Suspects(HashMap<u64, Seen>);

impl Suspects {
    /// Compares the hardest samples with those of the look before; who has left is forgotten.
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

    /// Those with several fresh scores, the most first.
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
    fn only_who_stays_through_fresh_scores_is_suspected() {
        let mut suspects = Suspects::default();
        for look in 0..6 {
            // 1 is scored again each time, 2 never; 3 leaves once.
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
