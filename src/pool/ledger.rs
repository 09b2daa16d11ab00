//! Which batches have been applied, so that a resend does nothing (DECISIONS 19).

use moka::policy::EvictionPolicy;
use parking_lot::Mutex;
use std::sync::Arc;

use super::report::Sender;

/// Sequences behind the highest that are remembered one by one; older ones are taken for resends.
const WINDOW: u64 = 1024;

/// Per (worker_id, worker_epoch): the highest sequence and a window behind it. Bounded; the least recently heard
/// worker is forgotten first.
#[derive(Debug)]
pub(super) struct Ledger {
    workers: moka::sync::Cache<(String, u64), Arc<Mutex<Seen>>>,
}

impl Ledger {
    /// Remembers at most `workers_max` worker epochs.
    #[must_use]
    pub(super) fn new(workers_max: usize) -> Self {
        Self {
            workers: moka::sync::Cache::builder()
                .max_capacity(workers_max as u64)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
        }
    }

    /// Enters a batch; false when it had been entered before. Sequence 0 always enters.
    #[must_use]
    pub(super) fn enter(&self, sender: &Sender) -> bool {
        if sender.sequence == 0 {
            return true;
        }
        let key = (sender.worker_id.clone(), sender.epoch);
        let seen = self.workers.get_with(key, Arc::default);
        let mut seen = seen.lock();
        seen.enter(sender.sequence)
    }

    /// Takes an entry back, for a batch that could not be applied after all.
    pub(super) fn forget(&self, sender: &Sender) {
        if let Some(seen) = self.workers.get(&(sender.worker_id.clone(), sender.epoch)) {
            seen.lock().forget(sender.sequence);
        }
    }
}

#[derive(Debug, Default)]
struct Seen {
    highest: u64,
    /// Bit s % WINDOW: sequence s in (highest - WINDOW, highest] was entered.
    bits: [u64; (WINDOW / 64) as usize],
}

impl Seen {
    fn enter(&mut self, sequence: u64) -> bool {
        if sequence > self.highest {
            // The places between are now in the window and were not entered.
            let fresh = (sequence - self.highest).min(WINDOW);
            for s in sequence - fresh + 1..=sequence {
                self.clear(s);
            }
            self.highest = sequence;
        } else if self.highest - sequence >= WINDOW || self.is_set(sequence) {
            return false;
        }
        self.bits[Self::word(sequence)] |= Self::bit(sequence);
        true
    }

    fn forget(&mut self, sequence: u64) {
        if sequence <= self.highest && self.highest - sequence < WINDOW {
            self.clear(sequence);
        }
    }

    fn is_set(&self, sequence: u64) -> bool {
        self.bits[Self::word(sequence)] & Self::bit(sequence) != 0
    }

    fn clear(&mut self, sequence: u64) {
        self.bits[Self::word(sequence)] &= !Self::bit(sequence);
    }

    fn word(sequence: u64) -> usize {
        (sequence % WINDOW / 64) as usize
    }

    fn bit(sequence: u64) -> u64 {
        1 << (sequence % 64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn sender(sequence: u64) -> Sender {
        Sender { worker_id: "w".into(), epoch: 7, sequence }
    }

    #[test]
    fn a_forgotten_batch_may_come_again() {
        let ledger = Ledger::new(10);
        assert!(ledger.enter(&sender(3)));
        assert!(!ledger.enter(&sender(3)));
        ledger.forget(&sender(3));
        assert!(ledger.enter(&sender(3)));
        assert!(ledger.enter(&Sender { epoch: 8, ..sender(3) }), "another process counts anew");
    }

    proptest! {
        #[test]
        fn agrees_with_a_set(sequences in proptest::collection::vec(1u64..5000, 1..400)) {
            let ledger = Ledger::new(10);
            let mut seen = HashSet::new();
            let mut highest = 0;
            for s in sequences {
                let expected = s + WINDOW > highest && !seen.contains(&s);
                prop_assert_eq!(ledger.enter(&sender(s)), expected);
                seen.insert(s);
                highest = highest.max(s);
            }
        }
    }
}
