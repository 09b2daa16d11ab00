//! The workers of a pool: when each reported last, and how much it sends. It is for display only; the partitions keep which batches were
//! applied.

use moka::policy::EvictionPolicy;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

use crate::model::report::Sender;

/// Time constant of the exponential average of a worker's rate, in seconds.
const RATE_SECONDS: f64 = 10.0;

/// The worker processes by (worker_id, worker_epoch), with figures of what each sends. The number is bounded; the process that reported
/// least recently is forgotten first.
#[derive(Debug)]
pub(crate) struct Workers {
    workers: moka::sync::Cache<(String, u64), Arc<Mutex<Heard>>>,
}

/// Figures of the applied batches of one process.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    /// Time of the last applied batch, milliseconds of the pool's time source.
    at_millis: u64,
    rows: u64,
    batches: u64,
    /// Rows per second, exponentially averaged, as of `at_millis`.
    rate: f64,
    step: u64,
    model_version: u32,
}

/// The facts about an applied batch that are recorded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    pub(crate) now_millis: u64,
    pub(crate) rows: u64,
    pub(crate) step: u64,
    pub(crate) model_version: u32,
}

/// The activity of a reporting worker.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerActivity {
    /// The name that its reports give; may be empty.
    pub worker_id: String,
    /// Seconds since its last applied batch.
    pub silent_seconds: f64,
    /// Rows per second, averaged over about the last ten seconds.
    pub rows_per_second: f64,
    /// Rows of the applied batches of the worker's latest process.
    pub rows: u64,
    /// Applied batches of that process.
    pub batches: u64,
    /// The step of its last batch.
    pub step: u64,
    /// The model version of its last batch.
    pub model_version: u32,
}

impl Workers {
    /// No workers yet; at most `workers_max` processes will be remembered.
    #[must_use]
    pub(crate) fn new(workers_max: usize) -> Self {
        Self {
            workers: moka::sync::Cache::builder()
                .max_capacity(workers_max as u64)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
        }
    }

    /// Records a batch that was applied.
    pub(crate) fn hear(&self, sender: &Sender, delivery: Delivery) {
        let key = (sender.worker_id.clone(), sender.epoch);
        let worker = self.workers.get_with(key, Arc::default);
        let mut heard = worker.lock();
        *heard = Heard {
            at_millis: delivery.now_millis,
            rows: heard.rows + delivery.rows,
            batches: heard.batches + 1,
            rate: heard.rate_at(delivery.now_millis) + delivery.rows as f64 / RATE_SECONDS,
            step: delivery.step,
            model_version: delivery.model_version,
        };
    }

    /// The workers that reported within the last `silent_max_seconds`, each by its latest process, in order of name.
    pub(crate) fn list(&self, now_millis: u64, silent_max_seconds: f64) -> Vec<WorkerActivity> {
        let mut latest: HashMap<String, WorkerActivity> = HashMap::new();
        for (key, worker) in &self.workers {
            let heard = *worker.lock();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(sequence: u64) -> Sender {
        Sender { worker_id: "w".into(), epoch: 7, sequence }
    }

    fn delivery(now_millis: u64) -> Delivery {
        Delivery { now_millis, rows: 100, step: now_millis, model_version: 3 }
    }

    #[test]
    fn a_worker_is_listed_by_its_latest_process_with_an_averaged_rate() {
        let known = Workers::new(10);
        // 1,000 rows per second for a minute, then silence.
        for tenth in 0..600 {
            known.hear(&sender(0), delivery(tenth * 100));
        }
        known.hear(&Sender { epoch: 8, ..sender(0) }, delivery(60_000));
        known.hear(&Sender { worker_id: "old".into(), ..sender(0) }, delivery(0));
        let workers = known.list(61_000, 30.0);
        assert_eq!(workers.len(), 1, "{workers:?}");
        assert_eq!(
            (workers[0].rows, workers[0].batches, workers[0].step),
            (100, 1, 60_000),
            "the process with epoch 8 reported last"
        );
        assert!((workers[0].silent_seconds - 1.0).abs() < 1e-9);
        let steady = *known.workers.get(&("w".to_owned(), 7)).unwrap().lock();
        assert!((steady.rate - 1_000.0).abs() < 20.0, "{steady:?}");
        assert!(steady.rate_at(59_900 + 10_000) < 0.4 * steady.rate);
        assert_eq!(known.list(61_000, 100.0).len(), 2);
    }
}
