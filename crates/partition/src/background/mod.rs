//! The background: a uniform sample of all ids that were reported, and its renewal (docs/methods.md 4.1 and 4.2).
//!
//! One generation serves draws. After a number of rows a second one with another salt begins to fill, and takes over once nearly all ids
//! have been reported since it began. Members of the serving generation cannot show when that is, because being served makes trainers
//! report them more often than other ids. A witness can: it is a sample of the ids that is never served, so its members are reported like
//! all other ids.

mod own_keys;
mod sample;
mod witness;

use crate::hard::slots::Attachment;
use crate::hash::background_hash;
use crate::key::Key;
use crate::spec::PartitionSpec;
pub(crate) use sample::{Offer, Sample, SavedMember, Taken};
pub(crate) use witness::{WITNESS, Witness, WitnessMember};

/// Separates the salts of witnesses from those of generations.
const WITNESS_SERIES: u64 = 0x5749_544e_4553_5331;

/// The generations of the background, and its witnesses.
#[derive(Debug)]
pub(crate) struct Background {
    size_max: usize,
    salt_seed: u64,
    pub(crate) serving: Sample,
    pub(crate) filling: Option<Sample>,
    /// Decides when the filling generation takes over.
    pub(crate) witness: Witness,
    /// Replaces the witness when the first generation that began after it takes over.
    pub(crate) next_witness: Option<NextWitness>,
    /// Generations and witnesses begun so far.
    pub(crate) generations: u64,
    pub(crate) witnesses: u64,
    /// Rows reported since the serving generation took over.
    pub(crate) rows: u64,
    /// The pool has a time to live.
    pub(crate) expires: bool,
}

/// A witness that still collects members, and will replace the current one.
#[derive(Debug)]
pub(crate) struct NextWitness {
    pub(crate) witness: Witness,
    pub(crate) from_generation: u64,
    /// The first generation that this witness can decide on alone: when that began, the witness was a sample of at least half of the ids.
    /// Members that it got later prove nothing, because the generation has seen the same reports. `u64::MAX`: none yet.
    pub(crate) decides_from: u64,
    /// Rows reported since this witness began.
    pub(crate) rows: u64,
}

/// After so many rows a witness that still has room holds all ids that are reported.
const FILLED_ROWS: u64 = 16 * WITNESS as u64;

/// The estimated number of ids, of which `members` have hashes below a threshold. `None`: every id is a member.
fn distinct(members: usize, threshold: Option<u64>) -> u128 {
    let members = members as u128;
    threshold.map_or(members, |threshold| (members << 64) / u128::from(threshold.max(1)))
}

impl NextWitness {
    /// Whether it holds as many members as it will get: it is full, or there are not enough ids.
    fn is_full(&self) -> bool {
        self.witness.is_thin() || self.rows >= FILLED_ROWS
    }

    /// Whether all its members were removed, and its threshold lets too few reported ids in.
    fn is_gone(&self) -> bool {
        self.witness.len() == 0 && self.witness.is_thin()
    }
}

impl Background {
    pub(crate) fn new(size_max: usize, spec: &PartitionSpec) -> Self {
        let mut background = Self {
            size_max,
            salt_seed: spec.salt_seed,
            serving: Sample::new(0, 0, size_max),
            filling: None,
            witness: Witness::new(0),
            next_witness: None,
            generations: 0,
            witnesses: 0,
            rows: 0,
            expires: false,
        };
        background.serving = background.begin();
        background.witness = background.begin_witness();
        background
    }

    fn begin(&mut self) -> Sample {
        self.generations += 1;
        let number = self.generations - 1;
        Sample::new(number, background_hash(number, self.salt_seed), self.size_max)
    }

    fn begin_witness(&mut self) -> Witness {
        self.witnesses += 1;
        Witness::new(background_hash(self.witnesses, self.salt_seed ^ WITNESS_SERIES))
    }

    /// The serving generation, then the filling one if there is one.
    #[inline]
    pub(crate) fn samples(&self) -> impl Iterator<Item = &Sample> {
        std::iter::once(&self.serving).chain(&self.filling)
    }

    #[inline]
    pub(crate) fn samples_mut(&mut self) -> impl Iterator<Item = &mut Sample> {
        std::iter::once(&mut self.serving).chain(&mut self.filling)
    }

    /// Whether an id is a member of a generation.
    pub(crate) fn has_member(&self, id: u64) -> bool {
        self.samples().any(|sample| sample.contains(id))
    }

    /// Whether an id is a member of a generation, or of a witness.
    pub(crate) fn knows(&self, id: u64) -> bool {
        self.has_member(id) || self.witnesses().any(|witness| witness.contains(id))
    }

    /// The witness that decides, then the next one if there is one.
    pub(crate) fn witnesses(&self) -> impl Iterator<Item = &Witness> {
        std::iter::once(&self.witness).chain(self.next_witness.as_ref().map(|next| &next.witness))
    }

    /// The stamp of an id in generations and witnesses. All copies have the same.
    pub(crate) fn stamp(&self, id: u64) -> Option<u32> {
        let of_member = self.samples().find_map(|sample| sample.stamp(id));
        of_member.or_else(|| self.witnesses().find_map(|witness| witness.stamp(id)))
    }

    /// The number of members of generations and witnesses, counted in each.
    pub(crate) fn copies(&self) -> usize {
        self.samples().map(Sample::len).sum::<usize>() + self.witnesses().map(Witness::len).sum::<usize>()
    }

    /// Two estimates of the number of ids: from the witness, and from the serving generation.
    pub(crate) fn distinct(&self) -> (u64, u64) {
        let number = |members, threshold| u64::try_from(distinct(members, threshold)).unwrap_or(u64::MAX);
        let witness = number(self.witness.len(), self.witness.threshold);
        (witness, number(self.serving.len(), self.serving.threshold()))
    }

    /// The name and payload of a member.
    pub(crate) fn attachment(&self, id: u64) -> Option<&Attachment> {
        self.samples().find_map(|sample| sample.attachment(id))
    }

    /// Whether an id is or may become a member of a generation. For most rows this hash and comparison is all that the background costs.
    #[inline]
    pub(crate) fn may_take(&self, id: u64) -> bool {
        self.serving.may_take(id) || self.filling.as_ref().is_some_and(|filling| filling.may_take(id))
    }

    /// Whether an id is or may become a member of a witness.
    #[inline]
    pub(crate) fn may_witness(&self, id: u64) -> bool {
        self.witness.may_take(id) || self.next_witness.as_ref().is_some_and(|next| next.witness.may_take(id))
    }

    /// Records in the witnesses that an id was reported.
    pub(crate) fn witness(&mut self, id: u64, stamp: u32) {
        self.witness.saw(id, stamp);
        if let Some(next) = &mut self.next_witness {
            next.witness.saw(id, stamp);
        }
    }

    /// Records whether the hard store holds a sample.
    #[inline]
    pub(crate) fn set_in_hard(&mut self, id: u64, in_hard: bool) {
        self.samples_mut().for_each(|sample| sample.set_in_hard(id, in_hard));
    }

    /// Lifts the own keys of at most `most` members to `floor`, beginning with the `from`-th member of all generations. Returns how many
    /// members it visited.
    pub(crate) fn lift(&mut self, floor: Key, from: usize, most: usize) -> usize {
        let (mut skip, mut left) = (from, most);
        for sample in self.samples_mut() {
            let first = skip.min(sample.len());
            let end = first.saturating_add(left).min(sample.len());
            sample.own_keys.lift(first, end, floor);
            skip -= first;
            left -= end - first;
        }
        most - left
    }

    /// Takes an id out of all generations and witnesses. Returns whether it was a member of a generation.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        self.witness.remove(id);
        if let Some(next) = &mut self.next_witness {
            next.witness.remove(id);
        }
        self.samples_mut().fold(false, |was, sample| sample.remove(id) | was)
    }

    /// Takes out the last member of a generation. Returns its id, or `None` once all generations are empty.
    pub(crate) fn pop(&mut self) -> Option<u64> {
        self.samples_mut().find_map(Sample::pop)
    }

    /// Starts again with an empty generation and an empty witness under new salts.
    pub(crate) fn restart(&mut self) {
        self.serving = self.begin();
        self.filling = None;
        self.witness = self.begin_witness();
        self.next_witness = None;
        self.rows = 0;
    }

    /// A lower bound on the number of rows that can be reported before [`Self::renew`] has anything to do. It holds unless a row removes
    /// members, which only a row that sets its sample aside does.
    pub(crate) fn quiet_rows(&self, renew_after_rows: u64) -> u64 {
        let has_witness = self.witness.len() >= WITNESS / 2 || !self.witness.is_thin();
        let is_quiet =
            self.filling.is_none() && has_witness && (self.serving.threshold().is_none() || !self.is_worn());
        if is_quiet { renew_after_rows.saturating_sub(self.rows).saturating_sub(1) } else { 0 }
    }

    /// Counts reported rows, at most [`Self::quiet_rows`] of them.
    pub(crate) fn count_rows(&mut self, rows: u64) {
        self.rows = self.rows.saturating_add(rows);
    }

    /// After `rows` reported rows: starts a generation, or lets one take over, if it is time. Returns whether a generation or a witness
    /// began.
    pub(crate) fn renew(&mut self, rows: u64, renew_after_rows: u64) -> bool {
        self.count_rows(rows);
        // While every id is a member there is nothing to renew.
        self.serving.threshold().is_some() && self.renew_now(rows, renew_after_rows)
    }

    /// Whether removals have left the serving generation with too few members.
    #[inline]
    fn is_worn(&self) -> bool {
        self.serving.len() < self.size_max / 2
    }

    fn renew_now(&mut self, rows: u64, renew_after_rows: u64) -> bool {
        if let Some(next) = &mut self.next_witness {
            next.rows = next.rows.saturating_add(rows);
        }
        let needs_witness = self.witness.len() < WITNESS / 2
            && self.witness.is_thin()
            && self.next_witness.as_ref().is_none_or(NextWitness::is_gone);
        if needs_witness {
            let (witness, from_generation) = (self.begin_witness(), self.generations);
            self.next_witness =
                Some(NextWitness { witness, from_generation, decides_from: u64::MAX, rows: 0 });
        }
        let begins = match &self.filling {
            None => self.rows >= renew_after_rows || self.is_worn(),
            Some(filling) => match self.is_complete(filling.number) {
                Some(true) => {
                    self.take_over();
                    false
                }
                Some(false) => false,
                // No witness can decide on it any more: it begins again, under the next witness.
                None => true,
            },
        };
        if begins {
            self.begin_filling();
        }
        needs_witness || begins
    }

    fn begin_filling(&mut self) {
        let (number, can_decide) = (self.generations, self.can_next_decide());
        self.filling = Some(self.begin());
        self.witness.forget_reports();
        if let Some(next) = &mut self.next_witness {
            if can_decide {
                next.decides_from = next.decides_from.min(number);
            }
            next.witness.forget_reports();
        }
    }

    /// Whether the next witness could decide alone on a generation that begins now: it is full, and a sample of at least half of the ids.
    /// Then at least half of its members remain when the other ids are reported.
    fn can_next_decide(&self) -> bool {
        let living = distinct(self.serving.len(), self.serving.threshold());
        let can = |next: &NextWitness| {
            let met = distinct(next.witness.len(), next.witness.threshold);
            next.witness.len() > 0 && next.is_full() && 2 * met >= living
        };
        self.next_witness.as_ref().is_some_and(can)
    }

    /// Whether a generation has seen nearly all ids. `None`: no witness can decide that, now or later.
    fn is_complete(&self, generation: u64) -> Option<bool> {
        if self.witness.len() > 0 {
            return Some(self.has_seen_all(&self.witness));
        }
        let next = self.next_witness.as_ref()?;
        if generation >= next.decides_from {
            return Some(next.witness.len() > 0 && self.has_seen_all(&next.witness));
        }
        // This generation waits until the next witness could decide on a new one, and is then replaced.
        if self.can_next_decide() { None } else { Some(false) }
    }

    /// Whether all members of a witness were reported since the filling generation began. Where ids expire, some members of the serving
    /// generation do not expire only because they are served, and so reported again. The witness is never served, so it loses such ids, and
    /// so would a generation that it decides on. Its estimate of the number of ids is then clearly below that of the serving generation,
    /// and it does not decide (docs/methods.md 4.4).
    fn has_seen_all(&self, witness: &Witness) -> bool {
        let (by_witness, by_members) = (
            distinct(witness.len(), witness.threshold),
            distinct(self.serving.len(), self.serving.threshold()),
        );
        witness.pending() == 0 && (!self.expires || 10 * by_witness >= 9 * by_members)
    }

    fn take_over(&mut self) {
        let Some(filling) = self.filling.take() else {
            return;
        };
        self.serving = filling;
        self.rows = 0;
        // All ids have been reported since this generation began, so a witness that began before it has seen them all.
        if let Some(next) = self.next_witness.take_if(|next| self.serving.number >= next.from_generation) {
            self.witness = next.witness;
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.samples().map(Sample::memory_bytes).sum::<usize>()
            + self.witness.memory_bytes()
            + self.next_witness.as_ref().map_or(0, |next| next.witness.memory_bytes())
    }
}
