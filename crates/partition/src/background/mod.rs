//! The background: a uniform sample of all ids that were ever reported, and its renewal (docs/methods.md 4.1 and 4.2).
//!
//! One generation serves. After so many rows a second one with another salt begins to fill, and takes over once it has seen
//! everything there is to see. Members of the serving generation cannot tell when that is, because they are served, and so reported
//! again. A witness can: a sample of the ids that is never served, so that its members are reported as all others are.

mod own_keys;
mod sample;
mod witness;

use crate::hard::slots::Attachment;
use crate::hash::background_hash;
use crate::key::Key;
use crate::spec::PartitionSpec;
pub(crate) use sample::{Offer, Sample, SavedMember, Taken};
pub(crate) use witness::{WITNESS, Witness, WitnessMember};

/// Salts of witnesses are of another series than those of generations.
const WITNESS_SERIES: u64 = 0x5749_544e_4553_5331;

/// The generations of the background, and the witnesses.
#[derive(Debug)]
pub(crate) struct Background {
    size_max: usize,
    salt_seed: u64,
    pub(crate) serving: Sample,
    pub(crate) filling: Option<Sample>,
    /// It decides when the filling generation takes over.
    pub(crate) witness: Witness,
    /// Takes the witness's place with the first generation that began after it.
    pub(crate) next_witness: Option<NextWitness>,
    /// Generations and witnesses begun so far.
    pub(crate) generations: u64,
    pub(crate) witnesses: u64,
    /// Rows reported since the serving generation took over.
    pub(crate) rows: u64,
    /// Ids that are not reported for some time are removed.
    pub(crate) expires: bool,
}

/// A witness that collects, and the number of the first generation that begins after it did.
#[derive(Debug)]
pub(crate) struct NextWitness {
    pub(crate) witness: Witness,
    pub(crate) from_generation: u64,
    /// The first generation that it can decide on alone: at its begin it was a sample of at least half of the ids. What it met only since
    /// tells nothing, for the generation has met the same. `u64::MAX`: none yet.
    pub(crate) decides_from: u64,
    /// Rows reported since it began.
    pub(crate) rows: u64,
}

/// Rows after which a witness that is not full yet is as full as it will be: so few ids are reported.
const FILLED_ROWS: u64 = 16 * WITNESS as u64;

/// About how many ids there are of which `members` have hashes below a threshold; `None`: all have.
fn distinct(members: usize, threshold: Option<u64>) -> u128 {
    let members = members as u128;
    threshold.map_or(members, |threshold| (members << 64) / u128::from(threshold.max(1)))
}

impl NextWitness {
    /// Whether it has met enough ids to be full, if there are so many.
    fn is_full(&self) -> bool {
        self.witness.is_thin() || self.rows >= FILLED_ROWS
    }

    /// Whether all of it was removed, and too little of what is reported can enter it.
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

    /// The generations, the serving one first.
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

    /// The witness that decides, and the next one.
    pub(crate) fn witnesses(&self) -> impl Iterator<Item = &Witness> {
        std::iter::once(&self.witness).chain(self.next_witness.as_ref().map(|next| &next.witness))
    }

    /// The stamp of an id in generations and witnesses, which is the same in all.
    pub(crate) fn stamp(&self, id: u64) -> Option<u32> {
        let of_member = self.samples().find_map(|sample| sample.stamp(id));
        of_member.or_else(|| self.witnesses().find_map(|witness| witness.stamp(id)))
    }

    /// Members of generations and witnesses.
    pub(crate) fn places(&self) -> usize {
        self.samples().map(Sample::len).sum::<usize>() + self.witnesses().map(Witness::len).sum::<usize>()
    }

    /// About how many ids live: by the witness, and by the serving generation.
    pub(crate) fn distinct(&self) -> (u64, u64) {
        let number = |members, threshold| u64::try_from(distinct(members, threshold)).unwrap_or(u64::MAX);
        let witness = number(self.witness.len(), self.witness.threshold);
        (witness, number(self.serving.len(), self.serving.threshold()))
    }

    /// What goes with a member beside numbers.
    pub(crate) fn attachment(&self, id: u64) -> Option<&Attachment> {
        self.samples().find_map(|sample| sample.attachment(id))
    }

    /// Whether an id may be (or become) a member of a generation: a hash and a comparison each, which is all that most rows cost.
    #[inline]
    pub(crate) fn may_take(&self, id: u64) -> bool {
        self.serving.may_take(id) || self.filling.as_ref().is_some_and(|filling| filling.may_take(id))
    }

    /// Whether an id may be (or become) one of the witnesses.
    #[inline]
    pub(crate) fn may_witness(&self, id: u64) -> bool {
        self.witness.may_take(id) || self.next_witness.as_ref().is_some_and(|next| next.witness.may_take(id))
    }

    /// Tells the witnesses that an id was reported.
    pub(crate) fn witness(&mut self, id: u64, stamp: u32) {
        self.witness.saw(id, stamp);
        if let Some(next) = &mut self.next_witness {
            next.witness.saw(id, stamp);
        }
    }

    /// The hard store takes a sample in, or lets it go.
    #[inline]
    pub(crate) fn set_in_hard(&mut self, id: u64, in_hard: bool) {
        self.samples_mut().for_each(|sample| sample.set_in_hard(id, in_hard));
    }

    /// Lifts the own keys of at most `most` members to `floor`, from the `from`-th of all generations on; how many members there were left.
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

    /// Takes an id out of all generations and witnesses; whether it was a member of a generation.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        self.witness.remove(id);
        if let Some(next) = &mut self.next_witness {
            next.witness.remove(id);
        }
        self.samples_mut().fold(false, |was, sample| sample.remove(id) | was)
    }

    /// Takes out the last member of a generation: its id, `None` once none has any.
    pub(crate) fn pop(&mut self) -> Option<u64> {
        self.samples_mut().find_map(Sample::pop)
    }

    /// Begins anew, with another generation and another witness.
    pub(crate) fn restart(&mut self) {
        self.serving = self.begin();
        self.filling = None;
        self.witness = self.begin_witness();
        self.next_witness = None;
        self.rows = 0;
    }

    /// How many reported rows there will surely be before [`Self::renew`] has anything to do. Of reports only rows that set their sample
    /// aside take witnesses or members away.
    pub(crate) fn quiet_rows(&self, renew_after_rows: u64) -> u64 {
        let has_witness = self.witness.len() >= WITNESS / 2 || !self.witness.is_thin();
        let is_quiet =
            self.filling.is_none() && has_witness && (self.serving.threshold().is_none() || !self.is_worn());
        if is_quiet { renew_after_rows.saturating_sub(self.rows).saturating_sub(1) } else { 0 }
    }

    /// Counts reported rows, as many as are quiet at most.
    pub(crate) fn count_rows(&mut self, rows: u64) {
        self.rows = self.rows.saturating_add(rows);
    }

    /// After `rows` reported rows: a generation begins, or takes over, if it is time. Whether a generation or a witness began.
    pub(crate) fn renew(&mut self, rows: u64, renew_after_rows: u64) -> bool {
        self.count_rows(rows);
        // While every id is a member there is nothing to renew.
        self.serving.threshold().is_some() && self.renew_now(rows, renew_after_rows)
    }

    /// Whether removals have left too few members.
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
                // Whoever could tell has gone: it begins again, under the next witness.
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

    /// Whether the next witness could decide alone on a generation that begins now: it is full, and has met at least half of the ids that
    /// live, so that half of it stays, whoever comes.
    fn can_next_decide(&self) -> bool {
        let living = distinct(self.serving.len(), self.serving.threshold());
        let can = |next: &NextWitness| {
            let met = distinct(next.witness.len(), next.witness.threshold);
            next.witness.len() > 0 && next.is_full() && 2 * met >= living
        };
        self.next_witness.as_ref().is_some_and(can)
    }

    /// Whether a generation has seen all there is to see; `None`: nobody can tell, now or later.
    fn is_complete(&self, generation: u64) -> Option<bool> {
        if self.witness.len() > 0 {
            return Some(self.has_seen_all(&self.witness));
        }
        let next = self.next_witness.as_ref()?;
        if generation >= next.decides_from {
            return Some(next.witness.len() > 0 && self.has_seen_all(&next.witness));
        }
        // It waits until the next witness can decide on one that begins then.
        if self.can_next_decide() { None } else { Some(false) }
    }

    /// Whether a witness has seen all that lives. Where ids expire, members of the serving generation may live only because they are
    /// served, and so reported: the witness, which is not, does not know of such ids, and a generation under it would lose them. Then it
    /// stands for clearly fewer ids than the generation does (docs/methods.md 4.4).
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
        // All that is reported has been reported since this generation began: a witness that is older has met it all.
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
