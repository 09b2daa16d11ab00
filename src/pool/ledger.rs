//! Who reports: which batches have been applied, so that a resend does nothing (DECISIONS 19), and when each worker was
//! heard last.

use moka::policy::EvictionPolicy;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

use super::report::Sender;

/// Sequences behind the highest that are remembered one by one; older ones are taken for resends.
const WINDOW: u64 = 1024;

/// Over how many seconds a worker's rate is averaged.
const RATE_SECONDS: f64 = 10.0;

/// Per (worker_id, worker_epoch): the highest sequence and a window behind it, and what the worker sends. Bounded; the
/// least recently heard worker is forgotten first.
#[derive(Debug)]
pub(super) struct Ledger {
    workers: moka::sync::Cache<(String, u64), Arc<Mutex<Worker>>>,
}

#[derive(Debug, Default)]
struct Worker {
    seen: Seen,
    /// `None`: nothing applied yet.
    heard: Option<Heard>,
}

/// What is known of a worker's applied batches.
#[derive(Clone, Copy, Debug)]
struct Heard {
    /// Milliseconds of the pool's time source.
    at_millis: u64,
    rows: u64,
    batches: u64,
    /// Rows a second, exponentially averaged, as of `at_millis`.
    rate: f64,
    step: u64,
    model_version: u32,
}

/// A batch that was applied, as its worker's next entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivery {
    pub(super) now_millis: u64,
    pub(super) rows: u64,
    pub(super) step: u64,
    pub(super) model_version: u32,
}

/// A reporting worker, as seen by its pool.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerActivity {
    /// As it calls itself; may be empty.
    pub worker_id: String,
    /// Seconds since its last applied batch.
    pub silent_seconds: f64,
    /// Rows a second over the last ten or so.
    pub rows_per_second: f64,
    /// Rows of its applied batches, by this process of the worker.
    pub rows: u64,
    /// Its applied batches.
    pub batches: u64,
    /// The step of its last batch.
    pub step: u64,
    /// The model version of its last batch.
    pub model_version: u32,
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

    /// Whether a batch has been applied. One of sequence 0 never has.
    #[must_use]
    pub(super) fn has(&self, sender: &Sender) -> bool {
        sender.sequence != 0
            && self
                .workers
                .get(&(sender.worker_id.clone(), sender.epoch))
                .is_some_and(|worker| worker.lock().seen.has(sender.sequence))
    }

    /// Enters an applied batch, so that a resend of it is told.
    pub(super) fn deliver(&self, sender: &Sender, delivery: Delivery) {
        let key = (sender.worker_id.clone(), sender.epoch);
        let worker = self.workers.get_with(key, Arc::default);
        let mut worker = worker.lock();
        if sender.sequence != 0 {
            worker.seen.enter(sender.sequence);
        }
        let heard = worker.heard.get_or_insert(Heard {
            at_millis: delivery.now_millis,
            rows: 0,
            batches: 0,
            rate: 0.0,
            step: 0,
            model_version: 0,
        });
        *heard = Heard {
            at_millis: delivery.now_millis,
            rows: heard.rows + delivery.rows,
            batches: heard.batches + 1,
            rate: heard.rate_at(delivery.now_millis) + delivery.rows as f64 / RATE_SECONDS,
            step: delivery.step,
            model_version: delivery.model_version,
        };
    }

    /// The workers heard within the last `silent_max_seconds`, the latest process of each, in order of name.
    pub(super) fn workers(&self, now_millis: u64, silent_max_seconds: f64) -> Vec<WorkerActivity> {
        let mut latest: HashMap<String, WorkerActivity> = HashMap::new();
        for (key, worker) in &self.workers {
            let Some(heard) = worker.lock().heard else {
                continue;
            };
            let silent_seconds = heard.silent_seconds(now_millis);
            let later = latest.get(&key.0).is_none_or(|known| silent_seconds < known.silent_seconds);
            if silent_seconds <= silent_max_seconds && later {
                latest.insert(
                    key.0.clone(),
                    WorkerActivity {
                        worker_id: key.0.clone(),
                        silent_seconds,
                        rows_per_second: heard.rate_at(now_millis),
                        rows: heard.rows,
                        batches: heard.batches,
                        step: heard.step,
                        model_version: heard.model_version,
                    },
                );
            }
        }
        let mut workers: Vec<WorkerActivity> = latest.into_values().collect();
        workers.sort_by(|a, b| a.worker_id.cmp(&b.worker_id));
        workers
    }
}

impl Heard {
    fn silent_seconds(&self, now_millis: u64) -> f64 {
        now_millis.saturating_sub(self.at_millis) as f64 / 1e3
    }

    fn rate_at(&self, now_millis: u64) -> f64 {
        self.rate * (-self.silent_seconds(now_millis) / RATE_SECONDS).exp()
    }
}

#[derive(Debug, Default)]
struct Seen {
    highest: u64,
    /// Bit s % WINDOW: sequence s in (highest - WINDOW, highest] was entered.
    bits: [u64; (WINDOW / 64) as usize],
}

impl Seen {
    fn enter(&mut self, sequence: u64) {
        if sequence > self.highest {
            // The places between are now in the window and were not entered.
            let fresh = (sequence - self.highest).min(WINDOW);
            for s in sequence - fresh + 1..=sequence {
                self.clear(s);
            }
            self.highest = sequence;
        }
        if self.highest - sequence < WINDOW {
            self.bits[Self::word(sequence)] |= Self::bit(sequence);
        }
    }

    fn has(&self, sequence: u64) -> bool {
        sequence <= self.highest && (self.highest - sequence >= WINDOW || self.is_set(sequence))
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

    fn delivery(now_millis: u64) -> Delivery {
        Delivery { now_millis, rows: 100, step: now_millis, model_version: 3 }
    }

    #[test]
    fn another_process_of_a_worker_counts_anew() {
        let ledger = Ledger::new(10);
        ledger.deliver(&sender(3), delivery(0));
        assert!(ledger.has(&sender(3)) && !ledger.has(&sender(2)));
        assert!(!ledger.has(&Sender { epoch: 8, ..sender(3) }));
        ledger.deliver(&sender(0), delivery(0));
        assert!(!ledger.has(&sender(0)), "never taken for a resend");
    }

    #[test]
    fn a_worker_is_known_by_its_latest_process_and_its_rate() {
        let ledger = Ledger::new(10);
        // 1,000 rows a second for a minute, then silence.
        for tenth in 0..600 {
            ledger.deliver(&sender(0), delivery(tenth * 100));
        }
        ledger.deliver(&Sender { epoch: 8, ..sender(0) }, delivery(60_000));
        ledger.deliver(&Sender { worker_id: "old".into(), ..sender(0) }, delivery(0));
        let workers = ledger.workers(61_000, 30.0);
        assert_eq!(workers.len(), 1, "{workers:?}");
        assert_eq!(
            (workers[0].rows, workers[0].batches, workers[0].step),
            (100, 1, 60_000),
            "epoch 8 is later"
        );
        assert!((workers[0].silent_seconds - 1.0).abs() < 1e-9);
        let steady = ledger.workers.get(&("w".to_owned(), 7)).unwrap().lock().heard.unwrap();
        assert!((steady.rate - 1_000.0).abs() < 20.0, "{steady:?}");
        assert!(steady.rate_at(59_900 + 10_000) < 0.4 * steady.rate);
        assert_eq!(ledger.workers(61_000, 100.0).len(), 2);
    }

    proptest! {
        #[test]
        fn agrees_with_a_set(sequences in proptest::collection::vec(1u64..5000, 1..400)) {
            let ledger = Ledger::new(10);
            let mut seen = HashSet::new();
            let mut highest = 0;
            for s in sequences {
                let expected = s + WINDOW > highest && !seen.contains(&s);
                prop_assert_eq!(!ledger.has(&sender(s)), expected);
                ledger.deliver(&sender(s), delivery(0));
                seen.insert(s);
                highest = highest.max(s);
            }
        }
    }
}
