//! The reference model of deduplication: all sequences of every process that is remembered.

use std::collections::BTreeSet;

use super::Dedupe;
use crate::op::Sender;

#[derive(Clone)]
pub(crate) struct Senders {
    /// Every sequence of each process that is remembered, the least recently heard process first.
    pub(crate) workers: Vec<((u128, u64), BTreeSet<u64>)>,
    most: usize,
}

impl Senders {
    pub(crate) fn new(most: usize) -> Self {
        Self { workers: Vec::new(), most }
    }

    /// Whether a report was applied, or is older than the window.
    pub(crate) fn has(&self, Sender { worker, epoch, sequence }: Sender) -> bool {
        let known = self.workers.iter().find(|(name, _)| *name == (worker, epoch));
        known.is_some_and(|(_, applied)| {
            let highest = applied.last().copied().unwrap_or(0);
            sequence != 0 && (applied.contains(&sequence) || highest.saturating_sub(sequence) >= 1024)
        })
    }

    /// Records a report. Returns whether it is a resend.
    pub(crate) fn hear(&mut self, sender: Sender) -> bool {
        if sender.sequence == 0 {
            return false;
        }
        let is_resend = self.has(sender);
        let name = (sender.worker, sender.epoch);
        let known = self.workers.iter().position(|(known, _)| *known == name);
        let mut applied = known.map(|at| self.workers.remove(at).1).unwrap_or_default();
        if !is_resend {
            applied.insert(sender.sequence);
        }
        self.workers.push((name, applied));
        if self.workers.len() > self.most {
            self.workers.remove(0);
        }
        is_resend
    }

    /// Limits the number of processes. The most recently heard stay.
    pub(crate) fn limit(&mut self, most: usize) {
        self.most = most;
        self.workers.drain(..self.workers.len().saturating_sub(most));
    }

    /// Checks that both remember the same sequences of the same processes.
    pub(crate) fn agree(&self, real: &Dedupe) {
        let workers: Vec<(u128, u64)> = real.all().map(|(worker, epoch, _)| (worker, epoch)).collect();
        assert_eq!(workers, self.workers.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        for (worker, epoch) in workers {
            let naive = |sequence| self.has(Sender { worker, epoch, sequence });
            let real = |sequence| real.has(&Sender { worker, epoch, sequence });
            assert!((0..3010).all(|sequence| real(sequence) == naive(sequence)), "{worker:x}, {epoch}");
        }
    }
}
